"""Sweeps: many runs of one flow as the parts of one execution."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from prefect import flow, get_client
from prefect.flow_engine import run_flow
from prefect.states import AwaitingRetry

from deriva_ml_prefect import DerivaML, ExecutionConfiguration, ExecutionStatus, run_nested
from deriva_ml_prefect.exceptions import DerivaMLExecutionError, DerivaMLNestedError, DerivaMLValidationError

from .conftest import Surroundings

pytestmark = [pytest.mark.prefect]
FINISHED = str(ExecutionStatus.Uploaded)


def starts(notes: Path) -> list[dict[str, Any]]:
    """Every start of a part's code, in no order."""
    return [json.loads(note.read_text()) for note in notes.glob("*.json")]


def parts_of(ml: DerivaML, rid: str) -> list[str]:
    return [part.execution_rid for part in ml.lookup_execution(rid).list_execution_children()]


def parent_of(ml: DerivaML, rid: str) -> str:
    (parent,) = ml.lookup_execution(rid).list_execution_parents()
    return str(parent.execution_rid)


def test_parts_are_nested_executions_in_their_order(surroundings: Surroundings) -> None:
    from sweep_flows import whole

    runs = whole(5, at_once=2)
    assert [(sequence, result) for sequence, _, _, _, result in runs] == [(n, n * n) for n in range(5)]
    assert {status for _, _, status, _, _ in runs} == {FINISHED}
    rids = [rid for _, rid, _, _, _ in runs]
    ml = surroundings.ml
    parent = parent_of(ml, rids[0])
    assert parts_of(ml, parent) == rids
    assert ml.lookup_execution(parent).status is ExecutionStatus.Uploaded
    assert len(starts(surroundings.notes)) == 5


def test_one_that_fails_keeps_no_other_from_running(surroundings: Surroundings) -> None:
    from sweep_flows import whole

    runs = whole(4, strict=False, wrong=(1,))
    assert [status for _, _, status, _, _ in runs] == [FINISHED, "Failed", FINISHED, FINISHED]
    assert "part 1 cannot be computed" in runs[1][3]

    with pytest.raises(DerivaMLNestedError, match=r"1 of 3 parts of execution .* part 2 cannot be computed"):
        whole(3, wrong=(2,))


def test_a_whole_that_is_run_again_leaves_finished_parts_alone(surroundings: Surroundings) -> None:
    from sweep_flows import whole

    ml = surroundings.ml
    parameters = {"count": 3, "break_off": True}
    with get_client(sync_client=True) as client:
        run = client.create_flow_run(whole, parameters=parameters)
    assert run_flow(whole, flow_run=run, parameters=parameters, return_type="state").name == "Failed"  # type: ignore[union-attr]
    first = {start["rid"] for start in starts(surroundings.notes)}
    assert len(first) == 3

    (surroundings.notes / "go").touch()
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run.id, AwaitingRetry(), force=True)
        again = client.read_flow_run(run.id)
    runs: Any = run_flow(whole, flow_run=again, parameters=parameters)
    assert {rid for _, rid, _, _, _ in runs} == first
    assert len(starts(surroundings.notes)) == 3
    # the code of the first whole had not finished, so there is a second one, with the same parts
    wholes = {parent.execution_rid for parent in ml.lookup_execution(runs[0][1]).list_execution_parents()}
    assert len(wholes) == 2
    assert {ml.lookup_execution(rid).status for rid in wholes} == {ExecutionStatus.Failed, ExecutionStatus.Uploaded}


def test_without_a_flow_the_parts_run_here(surroundings: Surroundings) -> None:
    from sweep_flows import part

    ml = surroundings.ml
    workflow = ml.create_workflow("By hand", "Training", function=starts)
    with ml.create_execution(ExecutionConfiguration(workflow=workflow)) as execution:
        runs = run_nested(part, [{"number": n} for n in range(3)])
    assert [run.result for run in runs] == [0, 1, 4]
    assert parts_of(ml, execution.execution_rid) == [run.execution_rid for run in runs]
    execution.upload_execution_outputs()


def test_a_decorated_flow_in_the_code_of_another_is_a_part_of_it(surroundings: Surroundings) -> None:
    from sweep_flows import part

    ml = surroundings.ml
    workflow = ml.create_workflow("By hand", "Training", function=starts)
    with ml.create_execution(ExecutionConfiguration(workflow=workflow)) as execution:
        part(7)
    (start,) = starts(surroundings.notes)
    assert parts_of(ml, execution.execution_rid) == [start["rid"]]
    execution.upload_execution_outputs()


def test_a_dry_run_makes_dry_parts(surroundings: Surroundings) -> None:
    from sweep_flows import whole

    before = {record.execution_rid for record in surroundings.ml.find_executions()}
    runs = whole(2, dry_run=True)
    assert [rid for _, rid, _, _, _ in runs] == [None, None]
    assert {start["rid"] for start in starts(surroundings.notes)} == {"0000"}
    assert {record.execution_rid for record in surroundings.ml.find_executions()} == before


def test_wrong_calls_are_named_before_anything_runs(surroundings: Surroundings) -> None:
    from sweep_flows import part

    with pytest.raises(DerivaMLExecutionError, match="No execution is running here"):
        run_nested(part, [{"number": 1}])

    @flow
    def plain(number: int) -> int:
        return number

    ml = surroundings.ml
    workflow = ml.create_workflow("By hand", "Training", function=starts)
    with ml.create_execution(ExecutionConfiguration(workflow=workflow)) as execution:
        with pytest.raises(DerivaMLValidationError, match="plain records no executions"):
            run_nested(plain, [{"number": 1}])
        with pytest.raises(DerivaMLValidationError, match=r"Part 1 does not fit flow part: .*nummer"):
            run_nested(part, [{"number": 1}, {"nummer": 2}])
        with pytest.raises(DerivaMLValidationError, match=r"(?s)Part 0 does not fit flow part: .*- number"):
            run_nested(part, [{"number": "many"}])
        with pytest.raises(DerivaMLValidationError, match="max_at_once is 0"):
            run_nested(part, [{"number": 1}], max_at_once=0)
    execution.upload_execution_outputs()
    assert starts(surroundings.notes) == []
