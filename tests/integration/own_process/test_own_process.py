"""The user's code in a process of its own: what it gives, its limits, and its death."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect import DerivaML, ExecutionStatus
from deriva_ml_prefect.exceptions import DerivaMLConfigurationError, DerivaMLProcessError
from deriva_ml_prefect.own_process import OwnProcess
from tests.conftest import Lab

HERE = Path(__file__).parent


@pytest.fixture
def flows(lab: Lab, home: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("DERIVA_ML_HOST", "embedded")
    monkeypatch.setenv("DERIVA_ML_CATALOG", lab.catalog_id)
    monkeypatch.syspath_prepend(HERE)
    import kept_apart

    return kept_apart


def newest(ml: DerivaML) -> Any:
    return ml.find_executions()[0]


def is_alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_the_code_runs_there_and_its_outputs_are_uploaded_here(flows: Any, ml: DerivaML) -> None:
    pid, gpus = flows.where.fn()
    assert pid != os.getpid()
    assert gpus == "1"
    execution = newest(ml)
    assert execution.status is ExecutionStatus.Uploaded
    assert f"{execution.rid}.txt" in {asset.filename for asset in execution.output_assets}
    assert ml.metrics_as_dataframe([execution.rid])["loss"].tolist() == [0.5]
    record = ml.summarize_execution(execution.rid).run_record
    assert record is not None
    assert "told by the child" in [step["detail"] for step in record["status_history"]]
    assert asyncio.run(flows.later.fn()) == newest(ml).rid


def test_more_memory_than_allowed_is_an_error_of_the_code(flows: Any, ml: DerivaML) -> None:
    with pytest.raises(MemoryError):
        flows.greedy.fn()
    execution = newest(ml)
    assert execution.status is ExecutionStatus.Failed
    assert "MemoryError" in execution.status_detail


def test_its_death_is_a_named_error_and_nothing_staged_is_lost(flows: Any, ml: DerivaML, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    with pytest.raises(DerivaMLProcessError, match=r"The process of execution .* was ended by signal SIGKILL"):
        flows.dies.fn(str(notes))
    (rid,) = [note.name for note in notes.iterdir()]
    assert ml.lookup_execution(rid).status is ExecutionStatus.Failed
    ml.resume_execution(rid).upload_execution_outputs()
    after = ml.lookup_execution(rid)
    assert after.status is ExecutionStatus.Uploaded
    assert f"{rid}.txt" in {asset.filename for asset in after.output_assets}


def test_errors_come_back_as_they_are(flows: Any, ml: DerivaML) -> None:
    with pytest.raises(ValueError, match="a wrong value"):
        flows.wrong.fn()
    assert newest(ml).status is ExecutionStatus.Failed
    with pytest.raises(SystemExit) as ended:
        flows.exits.fn()
    assert ended.value.code == 3
    assert newest(ml).status is ExecutionStatus.Failed
    with pytest.raises(DerivaMLProcessError, match="cannot be sent to another process"):
        flows.unsendable.fn()


def test_a_size_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(DerivaMLConfigurationError, match="'plenty' is no size"):
        OwnProcess(memory="plenty")
    assert OwnProcess(memory="1.5 GiB").memory_bytes() == 1536 * 2**20
    assert OwnProcess(memory="2k").memory_bytes() == 2048


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
def test_it_ends_with_the_process_that_owns_the_execution(flows: Any, tmp_path: Path, ending: signal.Signals) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    owner = subprocess.Popen([sys.executable, str(HERE / "kept_apart.py"), str(notes)], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not (started := list(notes.iterdir())):
            assert owner.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        child = int(started[0].name.partition(".")[2])
        assert is_alive(child)
        owner.send_signal(ending)
        owner.wait(30)
        while is_alive(child):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        owner.kill()
        owner.wait()


@pytest.mark.prefect
def test_in_a_flow_the_code_is_a_subflow_that_says_how_it_died(
    flows: Any, ml: DerivaML, tmp_path: Path, prefect_server: str
) -> None:
    from prefect import get_client
    from prefect.client.schemas.filters import FlowRunFilter

    notes = tmp_path / "notes"
    notes.mkdir()
    assert flows.where()[0] != os.getpid()
    state = flows.dies(str(notes), return_state=True)
    assert state.is_failed()
    assert "was ended by signal SIGKILL" in state.message
    with get_client(sync_client=True) as client:
        inside = FlowRunFilter.model_validate({"parent_flow_run_id": {"any_": [state.state_details.flow_run_id]}})
        (code,) = client.read_flow_runs(flow_run_filter=inside)
    assert code.state is not None
    assert code.state.is_crashed()
    (rid,) = [note.name for note in notes.iterdir()]
    assert ml.lookup_execution(rid).status is ExecutionStatus.Failed
