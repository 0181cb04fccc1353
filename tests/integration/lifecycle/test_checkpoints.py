"""Checkpoints outlive an attempt: a killed training goes on as a new execution that says which one it continues."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Callable
from typing import Any

import pytest

from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.exceptions import DerivaMLValidationError
from deriva_ml_prefect.journal.executions import list_executions
from deriva_ml_prefect.journal.store import open_journal
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.phases.begin import Request
from deriva_ml_prefect.phases.context import Context
from deriva_ml_prefect.phases.lifecycle import conduct
from deriva_ml_prefect.values.status import ExecutionStatus

S = ExecutionStatus


def test_killed_training_goes_on_from_its_checkpoint(ml: DerivaML, workflow: Workflow, fork: Any) -> None:
    def train(context: Context) -> int:
        exe = Execution(ml, context)
        path = exe.checkpoint_path("epoch.txt")
        first = int(path.read_text()) if path.exists() else 0
        for epoch in range(first + 1, 5):
            path.write_text(str(epoch))
            if epoch == 3 and first == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        exe.asset_file_path("Image", path, rename_file="last.png")
        return first

    request = Request(ml.address, ExecutionSpec(workflow=workflow), flow_run_id="long-1")
    request = pickle.loads(pickle.dumps(request))
    assert fork(lambda: conduct(request, train)).wait() == -signal.SIGKILL
    (killed,) = [entry.rid for entry in list_executions(open_journal(ml.working_dir))]
    done = conduct(Request(request.address, request.spec, flow_run_id="long-1", attempt=2), train)
    assert done.result == 3
    assert done.context.rid != killed
    assert pickle.loads(pickle.dumps(done.context)) == done.context
    old = ml.lookup_execution(killed)
    assert (old.status, old.status_detail) == (S.Aborted, f"superseded by {done.context.rid}")
    record = ml.summarize_execution(done.context.rid).run_record
    assert record is not None
    assert record["continued_from"] == {"execution_rid": killed, "checkpoints": ["epoch.txt"]}
    # it survives the upload of the link to it
    assert Execution(ml, done.context).checkpoint_path("epoch.txt").read_text() == "4"


def test_checkpoints_are_not_uploaded(ml: DerivaML, begin: Callable[..., Execution]) -> None:
    with begin() as exe:
        exe.checkpoint_path("model.pt").write_bytes(b"weights")
        for name in ("../model.pt", "", "a/b"):
            with pytest.raises(DerivaMLValidationError):
                exe.checkpoint_path(name)
    assert exe.staged().files == ()
    assert exe.upload_execution_outputs() == {}
    assert exe.checkpoint_path("model.pt").read_bytes() == b"weights"
