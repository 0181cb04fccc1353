"""RIDs that are none, or not of this table, at every door that takes one: an error of our tree, and nothing written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect.cli.main import main
from deriva_ml_prefect.config.asset import AssetSpec
from deriva_ml_prefect.config.dataset import DatasetSpec
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.exceptions import DerivaMLException, DerivaMLNotFoundError, DerivaMLValidationError
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from tests.integration.hostile.conftest import Begin, Refused

MALFORMED = {
    "empty": "",
    "lower case": "1-abcd",
    "with spaces": " 1-ABCD ",
    "space inside": "1 ABCD",
    "newline": "1-ABCD\n",
    "mistyped": "1-ABCDE",
    "with a path": "1-ABCD/RID=1",
    "a query": "1-ABCD?limit=1",
    "a filter": "RID=1;RID=2",
    "parent folder": "../../x",
    "NUL": "1-AB\0D",
    "10,000 characters": "1-" + "ABCD-" * 2000,
    "other script": "1-\u0410B\u0421D",
    "other digits": "\u0661-ABCD",
}
DOORS: dict[str, Callable[[DerivaML, str], Any]] = {
    "lookup_execution": lambda ml, rid: ml.lookup_execution(rid),
    "resume_execution": lambda ml, rid: ml.resume_execution(rid),
    "summarize_execution": lambda ml, rid: ml.summarize_execution(rid),
    "lookup_dataset": lambda ml, rid: ml.lookup_dataset(rid),
    "lookup_asset": lambda ml, rid: ml.lookup_asset(rid),
    "lookup_workflow": lambda ml, rid: ml.lookup_workflow(rid),
    "DatasetSpec": lambda ml, rid: ml.download_dataset_bag(DatasetSpec(rid=rid)),
    "AssetSpec": lambda ml, rid: AssetSpec(rid=rid),
}
FURTHER_DOORS: dict[str, Callable[[DerivaML, str], Any]] = {
    "cite": lambda ml, rid: ml.cite(rid),
    "verify_execution": lambda ml, rid: ml.verify_execution(rid),
    "read_metrics": lambda ml, rid: ml.read_metrics([rid]),
    "feature_values": lambda ml, rid: ml.feature_values("Subject", "Score", execution_rids=[rid]),
    "continues": lambda ml, rid: ml.create_execution(continues=rid, workflow=Workflow(name="x", url="https://x.org")),
}


@pytest.mark.parametrize("rid", MALFORMED.values(), ids=MALFORMED)
@pytest.mark.parametrize("door", [*DOORS.values(), *FURTHER_DOORS.values()], ids=[*DOORS, *FURTHER_DOORS])
def test_what_is_no_rid(door: Callable[[DerivaML, str], Any], rid: str, ml: DerivaML, refused: Refused) -> None:
    with refused((DerivaMLValidationError, DerivaMLNotFoundError)) as raised:
        door(ml, rid)
    assert len(str(raised.value)) < 1000


@pytest.mark.parametrize("rid", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_rid_in_an_execution(rid: str, begin: Begin, refused: Refused) -> None:
    exe = begin()
    with refused():
        begin(assets=[rid])
    with refused():
        begin(datasets=[rid])
    with refused():
        exe.download_asset(rid)
    with refused():
        exe.add_nested_execution(rid)
    record = exe.ml.feature_record_class("Subject", "Score")
    with refused(DerivaMLValidationError):
        exe.add_features([record(Subject=rid, Score=1.0)])


@pytest.mark.parametrize("kind", ["mistyped", "deleted", "of another table", "with a snapshot"])
@pytest.mark.parametrize("door", [name for name in DOORS if name != "AssetSpec"])
def test_rid_of_no_row_of_that_table(
    door: str, kind: str, ml: DerivaML, refused: Refused, subjects: tuple[str, ...]
) -> None:
    rid = _rid(ml, kind, subjects)
    with refused():
        DOORS[door](ml, rid)


@pytest.mark.parametrize("kind", ["mistyped", "deleted", "of another table"])
def test_inputs_that_are_not_there(
    kind: str, ml: DerivaML, begin: Begin, refused: Refused, subjects: tuple[str, ...]
) -> None:
    rid = _rid(ml, kind, subjects)
    begin()
    for inputs in ({"assets": [rid]}, {"datasets": [rid]}):
        with refused():
            begin(**inputs)


@pytest.mark.parametrize("kind", ["mistyped", "deleted", "of another table"])
def test_feature_of_a_row_that_is_not_there(
    kind: str, ml: DerivaML, begin: Begin, subjects: tuple[str, ...], tmp_path: Path
) -> None:
    """Only the catalog knows: its refusal is named, and no value is there."""
    record = ml.feature_record_class("Subject", "Score")
    rid = _rid(ml, kind, subjects)
    if kind == "of another table":
        rid = begin().execution_rid
    with begin() as exe:
        exe.add_features([record(Subject=rid, Score=1.0)])
    with pytest.raises(DerivaMLException, match="Score"):
        exe.upload_execution_outputs(retry_delay=0, max_retries=0)
    assert [value for value in ml.feature_values("Subject", "Score") if value.Execution == exe.execution_rid] == []


def _rid(ml: DerivaML, kind: str, subjects: tuple[str, ...]) -> str:
    if kind == "mistyped":
        return "0-ZZZZ"
    if kind == "of another table":
        return subjects[0]
    if kind == "with a snapshot":
        return f"{subjects[0]}@2PX-WS30-E58W"
    table = ml.pathBuilder().schemas["lab"].tables["Subject"]
    (row,) = table.insert([{"Name": "deleted"}])
    table.filter(row["RID"] == table.RID).delete()
    return str(row["RID"])


@pytest.mark.parametrize(
    "rid", [*MALFORMED.values(), "1-ABCD@2PX-WS30-E58W", "\udcff"], ids=[*MALFORMED, "snapshot", "bytes"]
)
@pytest.mark.parametrize("command", ["show", "verify", "resume", "abort"])
def test_what_is_no_rid_for_a_command(command: str, rid: str, ml: DerivaML, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--host", ml.host_name, "--catalog", ml.catalog_id]
    assert main([command, *where, *(["--yes"] if command == "abort" else []), rid]) in (1, 2)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("DerivaMLValidationError: RID ")
    assert len(line) < 300
