"""The check of the table of states finds what it is there to find."""

from __future__ import annotations

from tests.spec.states import RUNS, STATES, problems, rows
from tests.spec.table import find_shown


def test_every_row_has_a_test() -> None:
    assert problems(rows(), find_shown(marker="state")) == []
    assert len(rows()) == len(RUNS) * len(STATES)


def test_what_is_missing_is_said() -> None:
    listed, shown = rows(), find_shown(marker="state")
    assert problems(listed[1:], {**shown, "flow pending": []})[0] == "There is no row 'flow pending'."
    assert problems(listed, {name: tests for name, tests in shown.items() if name != "subflow paused"}) == [
        "The row 'subflow paused' is shown by no test."
    ]
    assert problems(listed, {**shown, "flow flying": ["a::b"]}) == ["a::b shows 'flow flying', which is no row."]
    assert "The row 'flow paused' is there twice." in problems([*listed, "flow paused"], shown)
