"""Functions whose code runs in a process of its own, in a module that the child can import."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from deriva_ml_prefect import Execution, deriva_execution
from deriva_ml_prefect.own_process import OwnProcess


@deriva_execution(workflow_type="Training", own_process=OwnProcess(gpus="1"))
def where(execution: Execution) -> tuple[int, str]:
    execution.asset_file_path("Execution_Asset", f"{execution.execution_rid}.txt").write_text("from the child")
    execution.log_metrics({"loss": 0.5}, step=1)
    execution.update_status("Running", "told by the child")
    return os.getpid(), os.environ["CUDA_VISIBLE_DEVICES"]


@deriva_execution(workflow_type="Training", own_process=OwnProcess(memory="600 MiB"))
def greedy(execution: Execution) -> int:
    return len(bytearray(1_000_000_000))


@deriva_execution(workflow_type="Training", own_process=True)
def dies(execution: Execution, notes: str) -> None:
    (Path(notes) / execution.execution_rid).touch()
    path = execution.asset_file_path("Execution_Asset", f"{execution.execution_rid}.txt")
    path.write_text("before the end")
    os.kill(os.getpid(), signal.SIGKILL)


@deriva_execution(workflow_type="Training", own_process=True)
def wrong(execution: Execution) -> None:
    raise ValueError("a wrong value")


@deriva_execution(workflow_type="Training", own_process=True)
def exits(execution: Execution) -> None:
    sys.exit(3)


@deriva_execution(workflow_type="Training", own_process=True)
def unsendable(execution: Execution) -> object:
    return iter(Path("/").glob("*"))


@deriva_execution(workflow_type="Training", own_process=True)
def waits(execution: Execution, notes: str) -> None:
    (Path(notes) / f"{execution.execution_rid}.{os.getpid()}").touch()
    time.sleep(600)


@deriva_execution(workflow_type="Training", own_process=True)
async def later(execution: Execution) -> str:
    return execution.execution_rid


if __name__ == "__main__":
    # a shell that runs this beside itself has Ctrl-C ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)
    waits.fn(sys.argv[1])
