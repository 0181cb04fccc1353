"""Every recorded answer of the real servers is given by the embedded DERIVA too."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
EMBEDDED = HERE.parents[1] / "deriva_ml_prefect/embedded"


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


@pytest.fixture(scope="module")
def replayed(embedded_server: Any) -> Callable[[Path], Any]:
    """Replays a file of the corpus, once for all tests."""
    outcomes: dict[Path, Any] = {}

    def replay(path: Path) -> Any:
        if path not in outcomes:
            outcomes[path] = REPORT.replay(embedded_server.url, embedded_server.token, embedded_server.token2, [path])
        return outcomes[path]

    return replay


@pytest.fixture(scope="module")
def findings(embedded_server: Any) -> list[Any]:
    """What every operation of the report answered."""
    with embedded_server.client() as client:
        found: list[Any] = REPORT.probe(client)
    return found


@pytest.mark.parametrize("path", REPORT.files(everything=True), ids=lambda path: path.stem)
def test_recorded_answers(replayed: Callable[[Path], Any], path: Path) -> None:
    outcome = replayed(path)
    assert not outcome.complaints
    assert outcome.passed.total() > 0


def test_the_document_is_what_the_server_answers(replayed: Callable[[Path], Any], findings: list[Any]) -> None:
    outcome = REPORT.Outcome()
    for path in REPORT.files(everything=True):
        outcome.add(replayed(path))
    written = REPORT.DOCUMENT.read_text(encoding="utf-8").splitlines()
    assert written == REPORT.document(outcome, findings).splitlines(), (
        "out of date: python tests/embedded/conformance_report.py --all --write-docs"
    )


def test_every_refusal_of_the_code_is_in_the_document(findings: list[Any]) -> None:
    refusals = [finding.refusal for finding in findings if finding.refusal]
    patterns = [pattern for path in EMBEDDED.rglob("*.py") for pattern in refusal_patterns(path)]
    assert len(patterns) >= 5, "the search for refusals finds hardly any"
    assert not [pattern for pattern in patterns if not any(re.fullmatch(pattern, said) for said in refusals)]


def refusal_patterns(path: Path) -> list[str]:
    """Of every `raise NotImplementedHere(..)` in a module, a pattern of its sentence."""
    patterns = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            raised = node.exc
            if isinstance(raised.func, ast.Name) and raised.func.id == "NotImplementedHere":
                said = raised.args[0]
                parts = said.values if isinstance(said, ast.JoinedStr) else [said]
                patterns.append(
                    "".join(re.escape(str(part.value)) if isinstance(part, ast.Constant) else ".+" for part in parts)
                )
    return patterns


def test_an_operation_neither_done_nor_refused_is_noticed(embedded_server: Any) -> None:
    nothing = REPORT.Operation("read what is not there", "GET", "/ermrest/nothing")
    with embedded_server.client() as client, pytest.raises(REPORT.Unexpected, match="answers 404"):
        REPORT.probe(client, [nothing])


def test_a_wrong_answer_is_noticed(embedded_server: Any, tmp_path: Path) -> None:
    recorded = (REPORT.CORPUS / "hatrac-object-1.jsonl").read_text(encoding="utf-8")
    altered = tmp_path / "hatrac-object-1.jsonl"
    altered.write_text(
        recorded.replace('"hello world"', '"hello warld"', 1).replace('"status": 404', '"status": 410', 1)
    )
    outcome = REPORT.replay(embedded_server.url, embedded_server.token, embedded_server.token2, [altered])
    assert outcome.failed.total() >= 2
    assert outcome.failed_core >= 2
