"""A disk that takes no more while inputs are downloaded: a named error, and the next try goes on."""

from __future__ import annotations

import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect.config.asset import AssetSpec
from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.exceptions import DerivaMLConfigurationError
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.values.status import ExecutionStatus

MEGABYTES = 1 << 20


@pytest.mark.parametrize("cache", [False, True])
def test_asset_that_does_not_fit(
    cache: bool, ml: DerivaML, workflow: Workflow, fork: Callable[[Callable[[], None]], Any], tmp_path: Path
) -> None:
    """The system refuses files of more than two megabytes to the process, as a full disk would."""
    content = bytes(range(256)) * (3 * MEGABYTES // 256) + str(cache).encode()
    with ml.create_execution(ExecutionSpec(workflow=workflow)) as made:
        made.asset_file_path("Image", "large.png").write_bytes(content)
    (uploaded,) = [path for path in made.upload_execution_outputs()["Image"] if path.file_name == "large.png"]
    rid = uploaded.asset_rid
    assert rid is not None
    spec = ExecutionSpec(workflow=workflow, assets=[AssetSpec(rid=rid, cache=cache)], description=f"inputs {cache}")
    told = tmp_path / "told"

    def child() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2 * MEGABYTES, resource.RLIM_INFINITY))
        with pytest.raises(DerivaMLConfigurationError, match="The disk did not take a write") as raised:
            ml.create_execution(spec)
        told.write_text(str(raised.value))

    assert fork(child).wait() == 0
    (begun,) = [exe for exe in ml.find_executions() if exe.description == f"inputs {cache}"]
    assert begun.status is ExecutionStatus.Created
    assert "The disk did not take a write" in (begun.status_detail or "")
    exe = ml.resume_execution(begun.rid)
    (path,) = exe.asset_paths["Image"]
    assert path.read_bytes() == content
