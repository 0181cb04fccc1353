"""Records of metrics files, by the form that their name tells."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from deriva_ml_prefect.exceptions import DerivaMLDataError
from deriva_ml_prefect.questions.metrics import parse_metrics
from deriva_ml_prefect.watching.metrics import MetricsReader


@pytest.mark.parametrize(
    ("name", "text", "records"),
    [
        ("m.jsonl", '{"a": 1}\n\n{"a": null, "b": "x\u2028y"}\r\n', [{"a": 1}, {"a": None, "b": "x\u2028y"}]),
        ("m.jsonl", "", []),
        ("m.json", '{"a": [1]}', [{"a": [1]}]),
        ("m.json", '[{"a": 1}, {"b": 2}]', [{"a": 1}, {"b": 2}]),
        ("M.CSV", 'a,b\n1,"x, ""y"""\n,2.5\n', [{"a": 1, "b": 'x, "y"'}, {"a": None, "b": 2.5}]),
        ("m.csv", "", []),
        ("m.csv", 'a,b\r\n1,"x\r\ny\n"\r\n', [{"a": 1, "b": "x\r\ny\n"}]),
        ("m.csv", 'a\n"x\u2028y\x0cz"\n', [{"a": "x\u2028y\x0cz"}]),
        ("m.csv", "a,b,c\n1_000,\u0663, 2\n", [{"a": "1_000", "b": "\u0663", "c": 2}]),
        ("m.csv", "a,b\n1e999," + "9" * 5000 + "\n", [{"a": "1e999", "b": "9" * 5000}]),
        ("m.csv", "a,b,,\n1,2,,\n", [{"a": 1, "b": 2}]),
        ("m.csv", ",a\n0,2\n", [{"": 0, "a": 2}]),
        ("m.csv", ",".join(map(str, range(50_000))) + "\n", []),
        ("m.csv", "a,b\n-inf,1e-3\n", [{"a": -math.inf, "b": 0.001}]),
    ],
)
def test_forms(name: str, text: str, records: list[dict[str, object]]) -> None:
    assert parse_metrics(name, text) == records


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("m.jsonl", '{"a": 1}\n{"a": ', "line 2 is no JSON"),
        ("m.jsonl", "[1]", "line 1 is list"),
        ("m.json", "1", "neither an object nor"),
        ("m.json", "{", "no JSON"),
        ("m.jsonl", '{"a": 1}\n' + "[" * 100_000, "line 2 is no JSON"),
        ("m.json", "[" * 100_000, "no JSON"),
        ("m.csv", "a,b,a\n1,2,3\n", "more than one column 'a'"),
        ("m.csv", "a,,\n1,2,3\n", "line 2 has values in more than one column without a name"),
        ("m.csv", "a,b\n1,2\n3\n", "line 3 has 1 values for 2 columns"),
    ],
)
def test_broken_files(name: str, text: str, message: str) -> None:
    with pytest.raises(DerivaMLDataError, match=message):
        parse_metrics(name, text)


def test_a_line_that_nobody_can_read_hides_no_other(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_bytes(b'{"a": 1}\n' + b"[" * 100_000 + b'\n\xff\n{"a": 2}\n')
    reader = MetricsReader()
    assert reader.look([path])
    assert reader.measured.records == 2
