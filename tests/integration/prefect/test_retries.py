"""What a second attempt of a flow run does: what is left, and never the user's finished code again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prefect import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.flow_engine import run_flow
from prefect.flows import Flow
from prefect.states import AwaitingRetry

from deriva_ml_prefect.decorators import deriva_execution
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.values.status import ExecutionStatus

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server")]


def new_run(made: Flow[..., Any]) -> FlowRun:
    with get_client(sync_client=True) as client:
        return client.create_flow_run(made, parameters={})


def retry(run: FlowRun) -> FlowRun:
    """As Prefect's UI asks for it: the same run, scheduled again."""
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run.id, AwaitingRetry(), force=True)
        return client.read_flow_run(run.id)


def run_once(made: Flow[..., Any], run: FlowRun) -> str:
    """Run a flow run in this process; the name of the state that it ended in."""
    state = run_flow(made, flow_run=run, parameters={}, return_type="state")
    return str(state.name)  # type: ignore[union-attr]


def test_failed_upload_is_finished_without_the_code(ml: DerivaML) -> None:
    rids: list[str] = []
    paths: list[Path] = []

    @deriva_execution(catalog=str(ml.address), name="uploads-late")
    def train(execution: Execution) -> None:
        rids.append(execution.execution_rid)
        # registered and not written: the upload cannot go on
        paths.append(execution.asset_file_path("Execution_Asset", "late.txt"))

    run = new_run(train)
    assert run_once(train, run) == "Failed"
    (rid,) = rids
    assert ml.lookup_execution(rid).status is ExecutionStatus.Failed

    paths[0].write_text("now it is there")
    assert run_once(train, retry(run)) == "Completed"
    assert rids == [rid]
    assert ml.lookup_execution(rid).status is ExecutionStatus.Uploaded
    assert "late.txt" in {asset.filename for asset in ml.list_assets("Execution_Asset")}


def test_code_that_failed_runs_again_as_a_new_execution(ml: DerivaML) -> None:
    rids: list[str] = []

    @deriva_execution(catalog=str(ml.address), name="fails-once")
    def train(execution: Execution) -> None:
        rids.append(execution.execution_rid)
        if len(rids) == 1:
            raise ValueError("once")

    run = new_run(train)
    assert run_once(train, run) == "Failed"
    assert run_once(train, retry(run)) == "Completed"
    first, second = rids
    assert first != second
    assert ml.lookup_execution(first).status is ExecutionStatus.Failed
    assert ml.lookup_execution(second).status is ExecutionStatus.Uploaded


def test_completed_run_that_is_retried_changes_nothing(ml: DerivaML) -> None:
    rids: list[str] = []

    @deriva_execution(catalog=str(ml.address), name="completes")
    def train(execution: Execution) -> None:
        rids.append(execution.execution_rid)

    run = new_run(train)
    assert run_once(train, run) == "Completed"
    before = ml.lookup_execution(rids[0])
    assert run_once(train, retry(run)) == "Completed"
    assert len(rids) == 1
    assert ml.lookup_execution(rids[0]).modified == before.modified


def test_retries_of_the_flow_stay_within_one_execution(ml: DerivaML) -> None:
    rids: list[str] = []
    told: list[tuple[str, str | None]] = []

    @deriva_execution(catalog=str(ml.address), name="asks-for-retries", retries=1)
    def train(execution: Execution) -> str:
        rids.append(execution.execution_rid)
        record = ml.lookup_execution(execution.execution_rid)
        told.append((record.status.value, record.status_detail))
        if len(rids) == 1:
            raise ValueError("once")
        return "done"

    assert train() == "done"
    assert len(set(rids)) == 1
    assert told == [("Running", None), ("Running", "Attempt 2")]
    assert ml.lookup_execution(rids[0]).status is ExecutionStatus.Uploaded
