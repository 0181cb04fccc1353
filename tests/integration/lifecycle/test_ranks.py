"""Several processes of one training: one execution, written by one of them."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.exceptions import DerivaMLAttemptError, DerivaMLReadOnlyError
from deriva_ml_prefect.journal.executions import list_executions
from deriva_ml_prefect.journal.store import open_journal
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.phases.launch import RANKS, find_launch
from deriva_ml_prefect.values.status import ExecutionStatus

S = ExecutionStatus

SCRIPT = """
import json, os, sys, time
from pathlib import Path

rank = int(os.environ["RANK"])
folder = Path(sys.argv[2])
# one of them is slow to start: rank 0 has done everything before it has imported anything
while rank == 3 and not (folder / "0.json").exists():
    time.sleep(0.05)

from deriva_ml_prefect import DerivaML
from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.exceptions import DerivaMLReadOnlyError

ml = DerivaML("embedded", sys.argv[1])
workflow = ml.create_workflow("Ranks", "Training")
told = None
with ml.create_execution(ExecutionSpec(workflow=workflow, description=sys.argv[2])) as exe:
    exe.checkpoint_path(f"shard-{rank}.pt").write_bytes(b"weights")
    try:
        exe.asset_file_path("Image", "model.png").write_bytes(b"model")
    except DerivaMLReadOnlyError as e:
        told = str(e)
    status = str(exe.status)
exe.upload_execution_outputs()
facts = {"rid": exe.execution_rid, "told": told, "pid": os.getpid(), "status": status}
(folder / f"{rank}.json").write_text(json.dumps(facts))
"""


def test_four_processes_have_one_execution(ml: DerivaML, home: Path, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    started = []
    for rank in (3, 1, 0, 2):
        launched = {"RANK": str(rank), "WORLD_SIZE": "4", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29511"}
        torchrun = {"TORCHELASTIC_RUN_ID": "none", "TORCHELASTIC_RESTART_COUNT": "0"}
        command = [sys.executable, str(script), ml.catalog_id, str(tmp_path)]
        started.append(subprocess.Popen(command, env={**os.environ, **launched, **torchrun}))
    assert [process.wait(90) for process in started] == [0, 0, 0, 0]
    facts = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(4)]
    assert len({item["rid"] for item in facts}) == 1
    assert facts[0]["told"] is None
    for item in facts[1:]:
        assert f"process {facts[0]['pid']}" in item["told"]
        assert "rank 0" in item["told"]
    rows = [record for record in ml.find_executions() if record.description == str(tmp_path)]
    assert [row.status for row in rows] == [S.Uploaded]
    kept = sorted(path.name for path in (home / "workspaces").rglob("checkpoints/*"))
    assert kept == ["shard-0.pt", "shard-1.pt", "shard-2.pt", "shard-3.pt"]


def test_rank_without_a_writer_is_told_so(ml: DerivaML, workflow: Workflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_PROCID", "2")
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv("DERIVA_ML_RANK_TIMEOUT", "0.3")
    with pytest.raises(DerivaMLAttemptError, match=r"rank 2 of a training \(slurm 77"):
        ml.create_execution(ExecutionSpec(workflow=workflow))
    assert list_executions(open_journal(ml.working_dir)) == []


def test_forked_child_takes_part(begin: Callable[..., Execution], ml: DerivaML, fork: Any, tmp_path: Path) -> None:
    with begin() as exe:

        def child() -> None:
            other = begin()
            assert other.execution_rid == exe.execution_rid
            assert other.read_only
            for handle in (other, exe):
                for write in (lambda h=handle: h.asset_file_path("Image", "x.png"), handle.metrics_file, handle.abort):
                    with pytest.raises(DerivaMLReadOnlyError, match=f"process {os.getppid()}"):
                        write()
            with other:
                pass
            (tmp_path / "done").touch()

        assert fork(child).wait() == 0
        assert exe.status is S.Running
        assert not exe.read_only
    assert (tmp_path / "done").exists()
    assert exe.status is S.Stopped


@pytest.mark.parametrize(
    ("environ", "rank", "key"),
    [
        ({}, None, None),
        ({"RANK": "gold"}, None, None),
        ({"RANK": "1", "TORCHELASTIC_RUN_ID": "ab", "SLURM_PROCID": "0"}, 1, "torch ab 0"),
        ({"RANK": "0", "TORCHELASTIC_RUN_ID": "none", "MASTER_ADDR": "h", "MASTER_PORT": "9"}, 0, "master h 9 0"),
        ({"SLURM_PROCID": "3", "SLURM_JOB_ID": "5", "DERIVA_ML_RANK": "0"}, 0, "slurm 5 "),
    ],
)
def test_launchers(environ: dict[str, str], rank: int | None, key: str | None) -> None:
    launch = find_launch(environ)
    assert (launch and launch.rank, launch and launch.key) == (rank, key)


CHILDREN = """
import json, multiprocessing, os, sys
from pathlib import Path
from deriva_ml_prefect import DerivaML
from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.exceptions import DerivaMLReadOnlyError


def begin():
    ml = DerivaML("embedded", sys.argv[1])
    return ml.create_execution(ExecutionSpec(workflow=ml.create_workflow("Children", "Training")))


def took_part(exe):
    try:
        exe.asset_file_path("Image", "x.png")
    except DerivaMLReadOnlyError as e:
        return [exe.execution_rid, exe.read_only, str(e)]


def begins_one(_):
    with begin() as exe:
        found = took_part(exe)
    exe.upload_execution_outputs()
    return found


def is_handed_one(exe, record):
    exe.working_dir.joinpath("seen").touch()
    return took_part(exe), record


def is_a_run_of_its_own(_):
    os.environ["DERIVA_ML_RANK"] = "0"
    with begin() as exe:
        return exe.execution_rid, exe.read_only


if __name__ == "__main__":
    with begin() as exe:
        score = exe.ml.feature_record_class("Subject", "Score")
        record = score(Subject="1-AB", Score=0.5)
        facts = {"rid": exe.execution_rid, "pid": os.getpid()}
        with multiprocessing.get_context(sys.argv[2]).Pool(2) as pool:
            facts["begun"] = pool.map(begins_one, range(2))
            facts["handed"], back = pool.apply(is_handed_one, (exe, record))
            facts["own"] = pool.apply(is_a_run_of_its_own, (0,))
        assert back.model_dump() == record.model_dump()
        assert back.model_fields_set == record.model_fields_set
        exe.add_features([back])
        facts["status"] = str(exe.status)
        exe.asset_file_path("Image", "parent.png").write_bytes(b"parent")
    Path(sys.argv[3]).write_text(json.dumps(facts))
"""


@pytest.mark.parametrize("how", ["spawn", "forkserver"])
def test_workers_of_a_pool_take_part(ml: DerivaML, tmp_path: Path, how: str) -> None:
    script, told = tmp_path / "train.py", tmp_path / "told.json"
    script.write_text(CHILDREN)
    subprocess.run([sys.executable, str(script), ml.catalog_id, how, str(told)], check=True, timeout=120)
    facts = json.loads(told.read_text())
    for rid, read_only, error in (*facts["begun"], facts["handed"]):
        assert (rid, read_only) == (facts["rid"], True)
        assert f"process {facts['pid']} on" in error
    assert facts["own"][0] != facts["rid"]
    assert facts["own"][1] is False
    assert facts["status"] == "Running"
    known = [entry.rid for entry in list_executions(open_journal(ml.working_dir))]
    assert sorted(known) == sorted([facts["rid"], facts["own"][0]])


def test_handle_that_comes_back_to_its_process_writes(begin: Callable[..., Execution]) -> None:
    with begin() as exe:
        again = pickle.loads(pickle.dumps(exe))
        assert not again.read_only
        again.asset_file_path("Image", "again.png").write_bytes(b"again")
    assert [path.file_name for path in exe.staged().files] == ["again.png"]


def test_credential_is_not_pickled(lab: Any) -> None:
    secret = "ghp_" + "x" * 36
    data = pickle.dumps(DerivaML("embedded", lab.catalog_id, credential={"bearer-token": secret}))
    assert secret.encode() not in data


def test_rank_that_the_code_gave_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in `torch.multiprocessing.spawn`, where no launcher sets variables."""
    for name in RANKS:
        monkeypatch.delenv(name, raising=False)
    torch = ModuleType("torch.distributed")
    torch.is_available = torch.is_initialized = lambda: True  # type: ignore[attr-defined]
    torch.get_rank = lambda: 2  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.distributed", torch)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "29517")
    found = find_launch()
    assert found is not None
    assert (found.rank, found.key) == (2, "master 127.0.0.1 29517 0")
    torch.is_initialized = lambda: False  # type: ignore[attr-defined]
    assert find_launch() is None
