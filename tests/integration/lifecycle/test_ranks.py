"""Several processes of one training: one execution, written by one of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.exceptions import DerivaMLAttemptError, DerivaMLReadOnlyError
from deriva_ml_prefect.journal.executions import list_executions
from deriva_ml_prefect.journal.store import open_journal
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.phases.launch import find_launch
from deriva_ml_prefect.values.status import ExecutionStatus

S = ExecutionStatus

SCRIPT = """
import json, os, sys
from pathlib import Path
from deriva_ml_prefect import DerivaML
from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.exceptions import DerivaMLReadOnlyError

rank = int(os.environ["RANK"])
folder = Path(sys.argv[2])
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
