"""Files of parameters that would be more than they seem: each value is what is written, or the file is refused."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.exceptions import DerivaMLConfigurationError
from deriva_ml_prefect.experiments.parameter_file import read_parameters

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 30)
)

CARRIED: dict[str, tuple[str, Any]] = {
    "no": ("v: no", "no"),
    "yes, on, off, y": ("v: [yes, on, off, y, N]", ["yes", "on", "off", "y", "N"]),
    "true": ("v: true", True),
    "null": ("v: null", None),
    "nothing": ("v:", None),
    "empty text": ("v: ''", ""),
    "NULL in quotes": ("v: 'NULL'", "NULL"),
    "octal": ("v: 010", "010"),
    "leading zeros": ("v: 007", "007"),
    "minutes": ("v: 12:30", "12:30"),
    "underscores": ("v: 1_000", "1_000"),
    "hexadecimal": ("v: 0x10", "0x10"),
    "date": ("v: 2026-01-15", "2026-01-15"),
    "number": ("v: 10", 10),
    "large number": (f"v: {2**70}", 2**70),
    "exponent": ("v: 1e-3", 0.001),
    "infinity": ("v: .inf", math.inf),
    "quotes and newlines": ('v: "it\'s\\n\\"x\\""', 'it\'s\n"x"'),
    "block": ("v: |\n  a\n  b\n", "a\nb\n"),
    "interpolation": ("v: ${oc.env:HOME}", "${oc.env:HOME}"),
    "variable": ("v: $HOME", "$HOME"),
    "alias": ("a: &a [1, 2]\nv: *a", [1, 2]),
    "JSON in YAML": ('{"v": {"a": [1, "b"]}}', {"a": [1, "b"]}),
}


@pytest.mark.parametrize(("text", "value"), CARRIED.values(), ids=CARRIED)
def test_value_is_what_is_written(text: str, value: Any, tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(text)
    found = read_parameters(path)["v"]
    assert found == value
    assert type(found) is type(value)


def test_not_a_number(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("v: .nan")
    assert math.isnan(read_parameters(path)["v"])


def test_empty_file_has_no_values(tmp_path: Path) -> None:
    path = tmp_path / "p.yml"
    path.write_text("# nothing yet\n")
    assert read_parameters(path) == {}


REFUSED: dict[str, tuple[str, str]] = {
    "alias bomb": (BOMB, "comes to more than"),
    "alias within itself": ("a: &a [*a]", "an alias refers to what it is part of"),
    "unknown alias": ("v: *nowhere", "undefined alias"),
    "Python object": ("v: !!python/object/apply:os.system ['touch pwned']", "could not determine a constructor"),
    "Python name": ("v: !!python/name:os.system", "could not determine a constructor"),
    "own tag": ("v: !exec x", "could not determine a constructor"),
    "key twice": ("v: 1\nw: 2\nv: 3", "'v' is given twice"),
    "key twice, deeper": ("v: {a: 1, a: 2}", "'a' is given twice"),
    "two documents": ("v: 1\n---\nv: 2", "expected a single document"),
    "list": ("[1, 2]", "names with their values"),
    "text": ("only words", "names with their values"),
    "number as a name": ("1: a", "names with their values"),
    "nested": ("v: " + "[" * 5000 + "]" * 5000, "nested too deep"),
    "control character": ("v: a\x01b", "special characters are not allowed"),
    "no YAML": ("v: [1, 2", "expected"),
}


@pytest.mark.parametrize(("text", "problem"), REFUSED.values(), ids=REFUSED)
def test_file_is_refused(text: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(DerivaMLConfigurationError, match=r"p\.yaml cannot be used") as raised:
        read_parameters(path)
    assert problem in str(raised.value)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'{"v": 1, "v": 2}', "'v' is given twice"),
        (b"[1]", "names with their values"),
        (b'{"v": ', "Expecting value"),
        (b'{"v": "\xff"}', "utf-8"),
        (b'{"v": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deep"),
    ],
    ids=["twice", "list", "torn", "no UTF-8", "nested"],
)
def test_json_is_refused(content: bytes, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_bytes(content)
    with pytest.raises(DerivaMLConfigurationError) as raised:
        read_parameters(path)
    assert problem in str(raised.value)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'{"description": "a", "description": "b"}', "'description' is given twice"),
        (b'{"config_choices": {"model": "a", "model": "b"}}', "'model' is given twice"),
        (b"[1]", "must be a mapping"),
        (b'{"description": ', "Expecting value"),
        (b'{"description": "\xff"}', "utf-8"),
        (b'{"datasets": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deep"),
    ],
    ids=["twice", "twice, deeper", "list", "torn", "no UTF-8", "nested"],
)
def test_file_of_a_configuration_is_refused(content: bytes, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "configuration.json"
    path.write_bytes(content)
    with pytest.raises(DerivaMLConfigurationError) as raised:
        ExecutionSpec.load_configuration(path)
    assert problem in str(raised.value)


def test_many_names_are_read_at_once(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("".join(f"n{number}: {number}\n" for number in range(40_000)))
    began = time.monotonic()
    assert len(read_parameters(path)) == 40_000
    assert time.monotonic() - began < 30


def test_file_that_is_not_there_and_one_that_is_too_large(tmp_path: Path) -> None:
    with pytest.raises(DerivaMLConfigurationError, match="there is no such file"):
        read_parameters(tmp_path / "p.yaml")
    with (tmp_path / "p.yaml").open("wb") as file:
        file.truncate(11 << 20)
    with pytest.raises(DerivaMLConfigurationError, match="more than 10485760 bytes"):
        read_parameters(tmp_path / "p.yaml")
