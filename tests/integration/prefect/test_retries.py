"""What a second attempt of a flow run does: what is left, and never the user's finished code again."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from prefect import flow, get_client, task
from prefect.client.schemas.objects import FlowRun
from prefect.flow_engine import run_flow
from prefect.flows import Flow
from prefect.futures import wait
from prefect.states import AwaitingRetry

from deriva_ml_prefect.decorators import deriva_execution
from deriva_ml_prefect.exceptions import DerivaMLOfflineError, DerivaMLUploadError
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.phases import advance
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


def test_a_repetition_of_the_code_does_not_need_the_catalog(ml: DerivaML) -> None:
    rids: list[str] = []
    patch = pytest.MonkeyPatch()

    def away(_: Any) -> None:
        raise DerivaMLOfflineError("the catalog is away")

    @deriva_execution(catalog=str(ml.address), name="repeats-alone", retries=1)
    def train(execution: Execution) -> str:
        rids.append(execution.execution_rid)
        if len(rids) == 1:
            patch.setattr(advance, "send_steps", away)
            raise ValueError("once")
        patch.undo()
        return "done"

    try:
        assert train() == "done"
    finally:
        patch.undo()
    assert ml.lookup_execution(rids[0]).status is ExecutionStatus.Uploaded


@dataclass
class Late:
    """A flow whose upload fails until `written` is called: it registers a file and does not write it."""

    ml: DerivaML
    rids: list[str] = field(default_factory=list)
    paths: list[Path] = field(default_factory=list)

    def flow(self) -> Flow[..., Any]:
        @deriva_execution(catalog=str(self.ml.address), name=f"late-{uuid.uuid4().hex[:8]}")
        def train(number: int, execution: Execution, of: Any = None) -> int:
            self.rids.append(execution.execution_rid)
            self.paths.append(execution.asset_file_path("Execution_Asset", f"late-{execution.execution_rid}.txt"))
            return number

        return train

    def written(self) -> None:
        for path in self.paths:
            path.write_text(f"{path.name} is there")

    def statuses(self) -> list[str]:
        return [self.ml.lookup_execution(rid).status.value for rid in self.rids]


def repeated_by_its_flow(ml: DerivaML, body: Callable[[], Any]) -> Any:
    return flow(name="plain", retries=1)(body)()


def repeated_by_a_flow_further_out(ml: DerivaML, body: Callable[[], Any]) -> Any:
    inner = flow(name="inner")(body)
    return flow(name="plain", retries=1)(lambda: inner())()


def repeated_by_a_recorded_flow(ml: DerivaML, body: Callable[[], Any]) -> Any:
    return deriva_execution(catalog=str(ml.address), name="around")(body).with_options(retries=1)()


def repeated_by_its_task(ml: DerivaML, body: Callable[[], Any]) -> Any:
    repeated = task(retries=1)(body)
    return flow(name="plain")(lambda: repeated.submit().result())()


@pytest.mark.parametrize(
    "around",
    [repeated_by_its_flow, repeated_by_a_flow_further_out, repeated_by_a_recorded_flow, repeated_by_its_task],
)
def test_a_flow_within_one_that_is_repeated_only_uploads(ml: DerivaML, around: Callable[..., Any]) -> None:
    late = Late(ml)
    train = late.flow()

    def body() -> Any:
        late.written()
        return train(7)

    assert around(ml, body) == 7
    assert len(late.rids) == 1
    assert late.statuses() == ["Uploaded"]
    if around is repeated_by_a_recorded_flow:
        # the code around it had failed, so there are two executions around it
        assert len(list(ml.lookup_execution(late.rids[0]).list_execution_parents())) == 2


def test_a_flow_that_ended_well_beside_one_that_failed_gives_its_kept_result(ml: DerivaML) -> None:
    """Prefect's own rule: without a persisted result it would be run again, as its value is wanted."""
    begun: list[int] = []
    rids: list[str] = []
    late: list[Path] = []

    @deriva_execution(catalog=str(ml.address), name=f"kept-{uuid.uuid4().hex[:8]}", persist_result=True)
    def train(number: int, execution: Execution) -> int:
        begun.append(number)
        rids.append(execution.execution_rid)
        path = execution.asset_file_path("Execution_Asset", f"kept-{execution.execution_rid}.txt")
        if number == 1:
            path.write_text(f"{execution.execution_rid} is there")
        else:
            late.append(path)
        return number

    @flow(name="plain", retries=1)
    def whole() -> int:
        for path in late:
            path.write_text(f"{path.name} is there")
        return train(1) + train(2)  # type: ignore[no-any-return]

    assert whole() == 3
    assert begun == [1, 2]
    assert [ml.lookup_execution(rid).status for rid in rids] == [ExecutionStatus.Uploaded] * 2


def test_equal_calls_that_are_repeated_at_the_same_time_upload_each_its_own(ml: DerivaML) -> None:
    late = Late(ml)
    train = late.flow()
    part = task(lambda: train(7))

    @flow(name="plain", retries=1)
    def parts() -> Any:
        late.written()
        futures = [part.submit() for _ in range(3)]
        # the first that fails would end this while the others are still at work
        wait(futures)
        return [future.result() for future in futures]

    assert parts() == [7, 7, 7]
    assert len(set(late.rids)) == len(late.rids) == 3
    assert late.statuses() == ["Uploaded"] * 3


def test_a_whole_that_is_started_again_only_uploads(ml: DerivaML) -> None:
    late = Late(ml)
    train = late.flow()
    whole = flow(name="whole")(lambda: train(7))
    run = new_run(whole)
    assert run_once(whole, run) == "Failed"
    late.written()
    assert run_once(whole, retry(run)) == "Completed"
    assert late.statuses() == ["Uploaded"]


def test_calls_that_repeat_nothing_are_calls(ml: DerivaML) -> None:
    """The same call again in one run, with other parameters, with what Prefect cannot keep, or in another run."""
    late = Late(ml)
    train = late.flow()

    @flow(name="twice", retries=1)
    def twice() -> None:
        for number in (1, 1, len(late.rids) + 5):
            with pytest.raises(DerivaMLUploadError):
                train(number, of=object() if number == 1 else 3)
        if len(late.rids) < 4:
            raise ValueError("once more")

    twice()
    with pytest.raises(DerivaMLUploadError):
        flow(name="another")(lambda: train(1, of=3))()
    assert len(set(late.rids)) == len(late.rids) == 7


def test_what_the_code_returned_is_kept_for_a_retry_of_the_upload(ml: DerivaML) -> None:
    late = Late(ml)
    train = late.flow()
    with ThreadPoolExecutor(1) as pool:
        given = pool.submit(train.with_options(retries=1, retry_delay_seconds=5), 7)
        while not late.paths or late.statuses() != ["Failed"]:
            assert not given.done()
        late.written()
        assert given.result(60) == 7
    assert late.statuses() == ["Uploaded"]


def test_a_run_that_is_started_a_second_time_while_it_is_at_work_goes_on(
    ml: DerivaML, tmp_path: Path, prefect_server: str
) -> None:
    """As a retry of a run that an automation took for crashed: the second process is refused, the first delivers."""
    program = tmp_path / "twice.py"
    program.write_text(
        "import subprocess, sys\n"
        "from prefect import get_client, runtime\n"
        "from prefect.flow_engine import run_flow\n"
        "from prefect.states import AwaitingRetry, Crashed\n"
        "from deriva_ml_prefect import Execution, deriva_execution\n"
        f"@deriva_execution(catalog={str(ml.address)!r})\n"
        "def twice(execution: Execution) -> None:\n"
        "    run_id = runtime.flow_run.root_flow_run_id\n"
        "    with get_client(sync_client=True) as client:\n"
        "        for state in (Crashed(), AwaitingRetry()):\n"
        "            client.set_flow_run_state(run_id, state, force=True)\n"
        "    subprocess.run([sys.executable, __file__, run_id])\n"
        "    with get_client(sync_client=True) as client:\n"
        "        print(execution.execution_rid, run_id, client.read_flow_run(run_id).state.name, flush=True)\n"
        "if len(sys.argv) == 1:\n"
        "    twice()\n"
        "else:\n"
        "    with get_client(sync_client=True) as client:\n"
        "        run = client.read_flow_run(sys.argv[1])\n"
        "    run_flow(twice, flow_run=run, parameters={}, return_type='state')\n"
    )
    variables = {**os.environ, "PREFECT_API_URL": prefect_server}
    done = subprocess.run(
        [sys.executable, program], env=variables, capture_output=True, text=True, timeout=120, check=True
    )
    rid, run_id, name = done.stdout.split()
    assert name == "Failed", "the second process says so of the run"
    assert ml.lookup_execution(rid).status is ExecutionStatus.Uploaded
    with get_client(sync_client=True) as client:
        assert str(client.read_flow_run(uuid.UUID(run_id)).state_name) == "Completed"
