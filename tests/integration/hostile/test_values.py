"""Values that a database, a CSV or a page could take for something else: read back equal, or refused by name.

Equal bytes under an equal name are one row of the catalog, so each case writes bytes of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from deriva_ml_prefect.exceptions import DerivaMLException, DerivaMLValidationError
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from tests.integration.hostile.conftest import Begin, Made, Refused

COLUMNS = {
    "Text": "text",
    "Note": "markdown",
    "Small": "int4",
    "Large": "int8",
    "Real": "float8",
    "Flag": "boolean",
    "Day": "date",
    "Time": "timestamptz",
    "Local": "timestamp",
    "Facts": "jsonb",
    "Words": "text[]",
    "Numbers": "int8[]",
}

CARRIED: dict[str, tuple[str, Any]] = {
    "None": ("Text", None),
    "empty text": ("Text", ""),
    "NULL": ("Text", "NULL"),
    "null": ("Text", "null"),
    "None as text": ("Text", "None"),
    "__NULL__": ("Text", "__NULL__"),
    "\\N": ("Text", "\\N"),
    "quotes": ("Text", "\"double\" 'single' `back`"),
    "two quotes": ("Text", '""'),
    "commas": ("Text", "a,b,,c,"),
    "newlines": ("Text", "a\nb\r\nc\rd\n"),
    "spaces": ("Text", "  a\t "),
    "CSV injection": ("Text", "=cmd|' /C calc'!A0"),
    "SQL": ("Text", '\'); DROP TABLE "Image"; --'),
    "template": ("Text", "{{7*7}} ${jndi:x} %s"),
    "braces": ("Text", '{"a","b"}'),
    "text of a number": ("Text", "007"),
    "NaN as text": ("Text", "NaN"),
    "NFD": ("Text", "e\u0301"),
    "emoji": ("Text", "👩‍🔬 \U0010ffff"),
    "control characters": ("Text", "\x01\x1b[31m\x7f"),
    "10 MB": ("Text", "0123456789" * 1024**2),
    "HTML": ("Note", "<script>alert(1)</script><img src=x onerror=alert(1)>"),
    "largest int4": ("Small", 2**31 - 1),
    "smallest int8": ("Large", -(2**63)),
    "largest int8": ("Large", 2**63 - 1),
    "zero": ("Small", 0),
    "tiny": ("Real", 5e-324),
    "huge": ("Real", 1.7976931348623157e308),
    "a third": ("Real", 1 / 3),
    "minus zero": ("Real", -0.0),
    "False": ("Flag", False),
    "leap day": ("Day", "2024-02-29"),
    "array of commas and quotes": ("Words", ["a,b", 'c"d', "{e}", "f\\g", "", "NULL", " h ", "i\nj", "it's"]),
    "no array": ("Words", None),
    "no array of numbers": ("Numbers", None),
    "array with a null": ("Words", ["a", None, "NULL"]),
    "empty array": ("Words", []),
    "array of numbers": ("Numbers", [2**63 - 1, -(2**63), 0]),
    "nested JSON": ("Facts", {"a": [[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]}),
    "large whole number in JSON": ("Facts", {"a": 2**70}),
    "JSON": ("Facts", {"a": ["b,c", 'd"e', "", None, True, {"f": "NULL"}]}),
}


def _nested(depth: int) -> Any:
    found: Any = 1
    for _ in range(depth):
        found = [found]
    return found


REFUSED: dict[str, tuple[str, Any]] = {
    "NaN": ("Real", math.nan),
    "infinity": ("Real", math.inf),
    "minus infinity": ("Real", -math.inf),
    "text for an array": ("Words", "a,b"),
    "number among texts": ("Words", ["a", 7]),
    "2^63 in an array": ("Numbers", [2**63]),
    "truth value in an array": ("Numbers", [True]),
    "NUL in an array": ("Words", ["a\0b"]),
    "NaN in JSON": ("Facts", {"a": [math.nan]}),
    "2^31": ("Small", 2**31),
    "2^63": ("Large", 2**63),
    "-2^63-1": ("Large", -(2**63) - 1),
    "10^400": ("Real", 10**400),
    "True as a whole number": ("Small", True),
    "True as a number": ("Real", True),
    "1 as a truth value": ("Flag", 1),
    "0 as a truth value": ("Flag", 0),
    "yes": ("Flag", "yes"),
    "text for a number": ("Small", "much"),
    "empty text for a number": ("Small", ""),
    "half": ("Small", 0.5),
    "naive datetime": ("Time", datetime(2026, 1, 15, 14, 30)),
    "naive time as text": ("Time", "2026-01-15T14:30:00"),
    "aware datetime where there is no zone": ("Local", datetime(2026, 1, 15, 14, 30, tzinfo=UTC)),
    "no date": ("Day", "2026-02-30"),
    "date by its week": ("Day", "2024-W09-4"),
    "time by its week": ("Time", "2026-W03-4T14:30:00+00:00"),
    "nanoseconds": ("Time", "2026-01-15T14:30:00.123456789+00:00"),
    "hour alone": ("Time", "2026-01-15T14+00:00"),
    "offset of a day": ("Time", "2026-01-15T14:30:00+23:59"),
    "digits of another script": ("Large", "\u0663"),
    "nested without end": ("Facts", _nested(100_000)),
    "nested too deep": ("Facts", {"a": _nested(201)}),
    "NUL": ("Text", "a\0b"),
    "NUL in JSON": ("Facts", {"a": "b\0"}),
    "lone surrogate": ("Text", "a\ud800b"),
    "bytes of a file name": ("Text", "a\udcffb"),
    "number for a text": ("Text", 7),
    "unknown column": ("Nowhere", "x"),
    "SQL as a column": ('Text"; DROP TABLE', "x"),
}


def _type(name: str) -> dict[str, Any]:
    base = name.removesuffix("[]")
    return {"typename": name} if base == name else {"typename": name, "is_array": True, "base_type": {"typename": base}}


@pytest.fixture
def tables(ml: DerivaML) -> Iterator[None]:
    """An asset table and a feature with a column of every kind, made once in the catalog that tests share."""
    if "Odd" not in ml.model.schemas["lab"].tables:
        columns: list[Any] = [
            {"name": name, "type": _type(typename), "nullok": True, "default": None, "comment": None}
            for name, typename in COLUMNS.items()
        ]
        ml.create_asset("Odd", columns)
        ml.create_feature("Subject", "Oddity", metadata=columns)
    return


@pytest.mark.usefixtures("tables")
@pytest.mark.parametrize(("column", "value"), CARRIED.values(), ids=CARRIED)
def test_value_is_read_back_equal(
    column: str, value: Any, ml: DerivaML, begin: Begin, made: Made, subjects: tuple[str, ...]
) -> None:
    record = ml.feature_record_class("Subject", "Oddity")
    with begin() as exe:
        exe.asset_file_path("Odd", "odd.txt", metadata={column: value}).write_bytes(exe.execution_rid.encode())
        exe.add_features([record(Subject=subjects[0], **{column: value})])
    exe.upload_execution_outputs(retry_delay=0)
    stored = made(exe)["odd.txt"][0].metadata[column]
    (feature,) = [row for row in ml.feature_values("Subject", "Oddity") if row.Execution == exe.execution_rid]
    for found in (stored, getattr(feature, column)):
        assert found == value
        assert type(found) is type(value)
    assert ml.verify_execution(exe.execution_rid).differences == ()


@pytest.mark.usefixtures("tables")
@pytest.mark.parametrize(("column", "value"), REFUSED.values(), ids=REFUSED)
def test_value_is_refused(
    column: str, value: Any, ml: DerivaML, begin: Begin, refused: Refused, subjects: tuple[str, ...]
) -> None:
    record = ml.feature_record_class("Subject", "Oddity")
    exe = begin()
    registered = exe.asset_file_path("Odd", "registered.txt")
    with refused(DerivaMLValidationError):
        exe.asset_file_path("Odd", "odd.txt", metadata={column: value})
    with refused(DerivaMLValidationError):
        registered.set_metadata(column, value)
    with refused(DerivaMLValidationError):
        exe.add_features([record(Subject=subjects[0], Text="fine"), record(Subject=subjects[1], **{column: value})])


@pytest.mark.usefixtures("tables")
@pytest.mark.parametrize("value", ["1_0", "\u0663", "0x10", "ten", b"10"])
def test_text_that_is_a_number_to_python_alone_is_refused(value: Any, begin: Begin, refused: Refused) -> None:
    exe = begin()
    for column in ("Real", "Large", "Small"):
        with refused(DerivaMLValidationError):
            exe.asset_file_path("Odd", "odd.txt", metadata={column: value})


@pytest.mark.usefixtures("tables")
def test_times_with_a_zone_are_the_same_moment(
    ml: DerivaML, begin: Begin, made: Made, subjects: tuple[str, ...]
) -> None:
    moment = datetime(2026, 1, 15, 14, 30, 0, 123456, tzinfo=UTC)
    record = ml.feature_record_class("Subject", "Oddity")
    with begin() as exe:
        exe.asset_file_path("Odd", "timed.txt", Time=moment).write_bytes(b"timed")
        exe.add_features([record(Subject=subjects[0], Time=moment)])
    exe.upload_execution_outputs(retry_delay=0)
    assert datetime.fromisoformat(made(exe)["timed.txt"][0].metadata["Time"]) == moment


@pytest.mark.usefixtures("tables")
def test_a_thousand_rows_go_as_csv_and_say_the_same(ml: DerivaML, begin: Begin) -> None:
    """More rows than one JSON body takes are sent as CSV, where null, empty and quoted texts must stay apart."""
    texts = [None, "", "NULL", '"', '""', ",", "a\nb", "a\r\nb", "'", "\\", "\\N", " "]
    table = ml.pathBuilder().schemas["lab"].tables["Subject"]
    rids = [row["RID"] for row in table.insert([{"Name": f"csv {i}"} for i in range(1200)])]
    wanted = {rid: texts[i % len(texts)] for i, rid in enumerate(rids)}
    record = ml.feature_record_class("Subject", "Oddity")
    with begin() as exe:
        exe.add_features([record(Subject=rid, Text=text) for rid, text in wanted.items()])
    exe.upload_execution_outputs(retry_delay=0)
    values = [row for row in ml.feature_values("Subject", "Oddity") if row.Execution == exe.execution_rid]
    assert {row.Subject: row.Text for row in values} == wanted


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"], ids=["NUL", "lone surrogate"])
def test_texts_of_an_execution_that_are_refused(text: str, begin: Begin, refused: Refused) -> None:
    exe = begin()
    with refused(DerivaMLValidationError):
        begin(description=text)
    with refused(DerivaMLValidationError):
        begin(config_choices={"model": text})
    with refused(DerivaMLValidationError):
        exe.asset_file_path("Image", "described.txt", description=text)
    with refused(DerivaMLException):
        exe.asset_file_path("Image", "typed.txt", asset_types=[text])
    with refused(DerivaMLValidationError):
        exe.ml.create_workflow(text, "Training")


@pytest.mark.parametrize(
    "text",
    ["<script>alert(1)</script>", "a\nb\t'\"", "NULL", "x" * 1024**2],
    ids=["HTML", "newlines", "NULL", "1 MB"],
)
def test_descriptions_are_carried(text: str, begin: Begin, made: Made) -> None:
    with begin(description=text) as exe:
        exe.asset_file_path("Image", "described.txt", description=text).write_bytes(exe.execution_rid.encode())
    exe.upload_execution_outputs(retry_delay=0)
    assert exe.ml.lookup_execution(exe.execution_rid).description == text
    assert (made(exe)["described.txt"][0].description or "") == text
