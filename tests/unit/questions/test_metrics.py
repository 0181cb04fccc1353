"""Records of metrics files, by the form that their name tells."""

from __future__ import annotations

import pytest

from deriva_ml_prefect.exceptions import DerivaMLDataError
from deriva_ml_prefect.questions.metrics import parse_metrics


@pytest.mark.parametrize(
    ("name", "text", "records"),
    [
        ("m.jsonl", '{"a": 1}\n\n{"a": null, "b": "x\u2028y"}\r\n', [{"a": 1}, {"a": None, "b": "x\u2028y"}]),
        ("m.jsonl", "", []),
        ("m.json", '{"a": [1]}', [{"a": [1]}]),
        ("m.json", '[{"a": 1}, {"b": 2}]', [{"a": 1}, {"b": 2}]),
        ("M.CSV", 'a,b\n1,"x, ""y"""\n,2.5\n', [{"a": 1, "b": 'x, "y"'}, {"a": None, "b": 2.5}]),
        ("m.csv", "", []),
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
        ("m.csv", "a,b\n1,2\n3\n", "line 3 has 1 values for 2 columns"),
    ],
)
def test_broken_files(name: str, text: str, message: str) -> None:
    with pytest.raises(DerivaMLDataError, match=message):
        parse_metrics(name, text)
