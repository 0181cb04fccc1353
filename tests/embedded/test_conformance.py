"""Every recorded answer of the real servers is given by the embedded DERIVA too."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent


def load_report() -> ModuleType:
    spec = importlib.util.spec_from_file_location("conformance_report", HERE / "conformance_report.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["conformance_report"] = module
    spec.loader.exec_module(module)
    return module


REPORT = load_report()


@pytest.mark.parametrize("path", REPORT.files(everything=True), ids=lambda path: path.stem)
def test_recorded_answers(embedded_server: Any, path: Path) -> None:
    outcome = REPORT.replay(embedded_server.url, embedded_server.token, embedded_server.token2, [path])
    assert not outcome.complaints
    assert outcome.passed.total() > 0


def test_a_wrong_answer_is_noticed(embedded_server: Any, tmp_path: Path) -> None:
    recorded = (REPORT.CORPUS / "hatrac-object-1.jsonl").read_text(encoding="utf-8")
    altered = tmp_path / "hatrac-object-1.jsonl"
    altered.write_text(
        recorded.replace('"hello world"', '"hello warld"', 1).replace('"status": 404', '"status": 410', 1)
    )
    outcome = REPORT.replay(embedded_server.url, embedded_server.token, embedded_server.token2, [altered])
    assert outcome.failed.total() >= 2
    assert outcome.failed_core >= 2
