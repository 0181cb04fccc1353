"""A disk that takes no more while a file is registered a second time: what was registered before is still whole."""

from __future__ import annotations

import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.exceptions import DerivaMLConfigurationError
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.values.status import ExecutionStatus


def test_a_copy_that_does_not_fit(
    ml: DerivaML, workflow: Workflow, fork: Callable[[Callable[[], None]], Any], tmp_path: Path
) -> None:
    """The system refuses files of more than two megabytes to the process, as a full disk would."""
    model, told = tmp_path / "model.png", tmp_path / "told"

    def child() -> None:
        with ml.create_execution(ExecutionSpec(workflow=workflow)) as exe:
            told.write_text(exe.rid)
            model.write_bytes(b"first epoch of " + exe.rid.encode())
            exe.asset_file_path("Image", model, copy_file=True)
            model.write_bytes(b"second " * 500_000)
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, resource.RLIM_INFINITY))
            with pytest.raises(DerivaMLConfigurationError, match="The disk did not take a write"):
                exe.asset_file_path("Image", model, copy_file=True)

    assert fork(child).wait() == 0
    exe = ml.resume_execution(told.read_text())
    (staged,) = exe.staged().files
    assert [path.name for path in Path(staged).parent.iterdir()] == ["model.png"]
    exe.upload_execution_outputs()
    assert exe.status is ExecutionStatus.Uploaded
    (output,) = [asset for asset in ml.lookup_execution(exe.rid).list_assets("Output") if asset.filename == model.name]
    assert output.length == len(b"first epoch of ") + len(exe.rid)
