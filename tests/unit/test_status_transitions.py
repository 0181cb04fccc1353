"""Pins the status diagram of the chapter: all 49 pairs, and the same edges in the documentation of errors."""

from __future__ import annotations

import itertools

import pytest

from deriva_ml_prefect.exceptions import InvalidTransitionError
from deriva_ml_prefect.values.status import (
    TERMINAL,
    TRANSITIONS,
    ExecutionStatus,
    check_transition,
    is_legal,
    successors,
)

S = ExecutionStatus

DIAGRAM = {
    "Created": {"Running", "Aborted"},
    "Running": {"Stopped", "Failed", "Pending_Upload", "Aborted"},
    "Stopped": {"Pending_Upload", "Aborted"},
    "Pending_Upload": {"Uploaded", "Failed"},
    "Failed": {"Pending_Upload", "Aborted"},
    "Uploaded": {"Pending_Upload"},
    "Aborted": set(),
}


def test_the_seven_statuses() -> None:
    assert {status.value for status in S} == set(DIAGRAM)


@pytest.mark.spec("status.enforced", "status.no-others")
@pytest.mark.parametrize(("source", "target"), list(itertools.product(S, S)))
def test_pair(source: ExecutionStatus, target: ExecutionStatus) -> None:
    legal = target.value in DIAGRAM[source.value] or source is target
    assert is_legal(source, target) is legal
    assert ((source, target) in TRANSITIONS) is (legal and source is not target)
    if legal:
        check_transition(source, target)
        return
    with pytest.raises(InvalidTransitionError) as caught:
        check_transition(source, target, subject="Execution 1-ABC")
    message = str(caught.value)
    assert message.startswith(f"Execution 1-ABC is {source} and cannot become {target}.")
    for follower in DIAGRAM[source.value]:
        assert follower in message


@pytest.mark.parametrize("source", S)
def test_successors_are_those_of_the_diagram(source: ExecutionStatus) -> None:
    assert {status.value for status in successors(source)} == DIAGRAM[source.value]


@pytest.mark.spec("status.Aborted")
def test_only_aborted_is_terminal() -> None:
    assert {status.value for status in TERMINAL} == {name for name, after in DIAGRAM.items() if not after}
