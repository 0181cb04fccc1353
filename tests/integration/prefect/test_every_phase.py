"""A flow run that failed in a phase, and is started again: on its machine, and on another one.

Another machine is another DERIVA_ML_HOME with the same catalog.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prefect import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.flow_engine import run_flow
from prefect.flows import Flow
from prefect.states import AwaitingRetry, State

from deriva_ml_prefect import tasks
from deriva_ml_prefect.blocks import ExecutionConfiguration
from deriva_ml_prefect.catalog.rows import insert_rows
from deriva_ml_prefect.decorators import deriva_execution, flow
from deriva_ml_prefect.journal.store import close_journals
from deriva_ml_prefect.ml.creation import create_ml_catalog
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.phases.close import close_execution
from deriva_ml_prefect.phases.download import download_inputs
from deriva_ml_prefect.phases.send import UploadOptions
from deriva_ml_prefect.phases.stage import stage_outputs
from deriva_ml_prefect.values.status import ExecutionStatus
from tests.conftest import make_lab_tables

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server")]


class Machines:
    """Homes of two machines with one catalog."""

    def __init__(self, embedded: Path, folder: Path, catalog: str, use: Callable[[str, str], None]) -> None:
        self.embedded = embedded
        self.folder = folder
        self.catalog = catalog
        self._use = use

    def move_to(self, name: str) -> DerivaML:
        close_journals()
        home = self.folder / name
        home.mkdir(exist_ok=True)
        if not (home / "embedded").exists():
            (home / "embedded").symlink_to(self.embedded)
        self._use("DERIVA_ML_HOME", str(home))
        return DerivaML("embedded", self.catalog)

    def signal_catalog(self, number: int) -> None:
        os.kill(int(json.loads((self.embedded / "server.json").read_text())["pid"]), number)


@pytest.fixture(scope="module")
def phase_catalog(deriva_home: Path) -> tuple[str, tuple[str, ...]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DERIVA_ML_HOME", str(deriva_home))
        catalog = str(create_ml_catalog("embedded", "lab", "phases").catalog_id)
        return catalog, make_lab_tables(DerivaML("embedded", catalog))


@pytest.fixture
def machines(
    deriva_home: Path, tmp_path: Path, phase_catalog: tuple[str, Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Machines]:
    monkeypatch.setenv("DERIVA_ML_TIMEOUT", "2")
    monkeypatch.setenv("DERIVA_ML_RETRIES", "0")
    monkeypatch.setattr(flow, "UploadOptions", partial(UploadOptions, retry_delay=0.1))
    made = Machines(deriva_home / "embedded", tmp_path, phase_catalog[0], monkeypatch.setenv)
    made.move_to("first")
    yield made
    made.signal_catalog(signal.SIGCONT)
    close_journals()


class Story:
    """A training, what breaks in it and how that is mended."""

    def __init__(self, machines: Machines, ml: DerivaML, patch: pytest.MonkeyPatch) -> None:
        self.machines = machines
        self.ml = ml
        self.patch = patch
        self.rids: list[str] = []
        self.configuration: ExecutionConfiguration | None = None
        self.outputs: Callable[[Execution], None] = lambda execution: None

    def flow(self) -> Flow[..., Any]:
        @deriva_execution(catalog=f"embedded/{self.machines.catalog}", workflow_type="Training", name="phase-story")
        def train(execution: Execution) -> None:
            self.rids.append(execution.execution_rid)
            execution.asset_file_path("Execution_Asset", f"{execution.execution_rid}.txt").write_text("weights")
            self.outputs(execution)

        return train

    def catalog_goes_away_in(self, phase: Callable[..., Any]) -> Callable[[], None]:
        """The catalog stops when this phase begins, as its task tells; the task is not tried again here."""
        whole = tasks.TASKS[phase]

        def stop(task: Any, task_run: Any, state: Any) -> None:
            self.machines.signal_catalog(signal.SIGSTOP)

        self.patch.setitem(tasks.TASKS, phase, whole.with_options(retries=0, on_running=[stop]))

        def mend() -> None:
            self.machines.signal_catalog(signal.SIGCONT)
            self.patch.setitem(tasks.TASKS, phase, whole)

        return mend


def break_download(story: Story) -> Callable[[], None]:
    workflow = story.ml.create_workflow("Makes an input", "Training", "An input")
    with story.ml.create_execution(ExecutionConfiguration(workflow=workflow).spec()) as execution:
        execution.asset_file_path("Execution_Asset", f"in-{execution.execution_rid}.txt").write_text("in")
    execution.upload_execution_outputs()
    (asset,) = (
        asset
        for asset in story.ml.list_assets("Execution_Asset")
        if asset.filename == f"in-{execution.execution_rid}.txt"
    )
    story.configuration = ExecutionConfiguration(assets=[asset.asset_rid])
    return story.catalog_goes_away_in(download_inputs)


def break_stage(story: Story) -> Callable[[], None]:
    story.outputs = lambda execution: None
    return story.catalog_goes_away_in(stage_outputs)


def break_upload(story: Story) -> Callable[[], None]:
    paths: list[Path] = []
    # registered and not written
    story.outputs = lambda execution: paths.append(
        execution.asset_file_path("Execution_Asset", f"late-{execution.execution_rid}.txt")
    )
    return lambda: [path.write_text("now it is there") for path in paths] and None


def break_flush(story: Story) -> Callable[[], None]:
    """A value of a subject that is not in the catalog yet."""
    rid = "9-ZZZ" + str(os.getpid())[-1]

    def stage(execution: Execution) -> None:
        record = story.ml.lookup_feature("Subject", "Score").feature_record_class()
        execution.add_features([record(Subject=rid, Score=0.5)])

    story.outputs = stage

    def mend() -> None:
        row = {"RID": rid, "Name": "late"}
        insert_rows(story.ml._catalog, ("lab", "Subject"), [row], nondefaults=["RID"])

    return mend


def break_close(story: Story) -> Callable[[], None]:
    return story.catalog_goes_away_in(close_execution)


def run_once(made: Flow[..., Any], run: FlowRun, parameters: dict[str, Any]) -> State[Any]:
    state: Any = run_flow(made, flow_run=run, parameters=parameters, return_type="state")
    return state  # type: ignore[no-any-return]


def again(run: FlowRun) -> FlowRun:
    """As Prefect's pages ask for it: the same run, scheduled again."""
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run.id, AwaitingRetry(), force=True)
        return client.read_flow_run(run.id)


@pytest.mark.parametrize(
    ("break_it", "left"),
    [
        (break_download, ExecutionStatus.Created),
        (break_stage, ExecutionStatus.Failed),
        (break_upload, ExecutionStatus.Failed),
        (break_flush, ExecutionStatus.Failed),
        (break_close, ExecutionStatus.Failed),
    ],
    ids=["download", "stage", "upload", "flush", "close"],
)
def test_failed_in_a_phase(
    machines: Machines,
    monkeypatch: pytest.MonkeyPatch,
    break_it: Callable[[Story], Callable[[], None]],
    left: ExecutionStatus,
) -> None:
    ml = machines.move_to("first")
    story = Story(machines, ml, monkeypatch)
    mend = break_it(story)
    train = story.flow()
    parameters = {"configuration": story.configuration}
    with get_client(sync_client=True) as client:
        run = client.create_flow_run(train, parameters={})
    assert run_once(train, run, parameters).name == "Failed"
    calls = list(story.rids)
    assert len(calls) == (0 if left is ExecutionStatus.Created else 1)
    mend()

    # on a machine that does not know what was staged, nothing is done, and it is said what that means
    elsewhere = machines.move_to("second")
    state = run_once(train, again(run), parameters)
    assert state.name == "Failed"
    assert "does not know it" in (state.message or "")
    assert "start a new flow run" in (state.message or "")
    assert story.rids == calls
    with contextlib.suppress(StopIteration):
        rid = next(iter(calls))
        # the catalog was away: it was told by the journal of the first machine, or will be
        assert elsewhere.lookup_execution(rid).status in (left, ExecutionStatus.Stopped, ExecutionStatus.Pending_Upload)

    # where it is, what is left is done, and the code does not run again
    ml = machines.move_to("first")
    assert run_once(train, again(run), parameters).name == "Completed"
    assert len(story.rids) == 1
    (rid,) = story.rids
    assert calls in ([], [rid])
    record = ml.lookup_execution(rid)
    assert record.status is ExecutionStatus.Uploaded

    # and when it is done, any machine may be asked again
    elsewhere = machines.move_to("second")
    assert run_once(train, again(run), parameters).name == "Completed"
    assert story.rids == [rid]
    assert elsewhere.lookup_execution(rid).modified == record.modified


def test_failed_code_is_not_called_on_another_machine(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    ml = machines.move_to("first")
    story = Story(machines, ml, monkeypatch)

    def fail_once(execution: Execution) -> None:
        if len(story.rids) == 1:
            raise ValueError("once")

    story.outputs = fail_once
    train = story.flow()
    with get_client(sync_client=True) as client:
        run = client.create_flow_run(train, parameters={})
    assert run_once(train, run, {}).name == "Failed"

    elsewhere = machines.move_to("second")
    state = run_once(train, again(run), {})
    assert state.name == "Failed"
    assert "which is Failed (ValueError: once)" in (state.message or "")
    assert len(story.rids) == 1

    # what the failed code had staged is uploaded by hand, so nothing of it can be lost: it is called anew there
    ml = machines.move_to("first")
    ml.resume_execution(story.rids[0]).upload_execution_outputs()
    elsewhere = machines.move_to("second")
    assert run_once(train, again(run), {}).name == "Completed"
    first, second = story.rids
    assert first != second
    assert elsewhere.lookup_execution(second).status is ExecutionStatus.Uploaded
