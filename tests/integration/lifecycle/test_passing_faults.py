"""An upload whose server is not well: what passes by itself is told from what does not, and the pauses are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from deriva_ml_prefect.catalog.connection import catalog_for
from deriva_ml_prefect.exceptions import DerivaMLUploadError
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.phases import deliver
from deriva_ml_prefect.values.status import ExecutionStatus
from tests.integration.lifecycle.ailing import Ailing, ailing_server


@pytest.fixture
def ailing(ml: DerivaML) -> Iterator[Ailing]:
    with ailing_server(catalog_for(ml.address).base_url) as server:
        yield server


@pytest.fixture
def execution(ml: DerivaML, ailing: Ailing) -> Execution:
    """With three files, in a catalog that is reached through the ailing server."""
    token = catalog_for(ml.address).client.credential.values
    through = DerivaML(f"127.0.0.1:{ailing.port}", ml.catalog_id, credential=token)
    workflow = through.create_workflow("Passing faults", "Training")
    with through.create_execution(workflow=workflow, description="Passing faults") as exe:
        for name in ("a.bin", "b.bin", "c.bin"):
            exe.asset_file_path("Image", name).write_bytes(f"{exe.execution_rid} {name}".encode())
    return exe


def is_put(part: str) -> Callable[[str, str], bool]:
    return lambda method, path: method == "PUT" and path.startswith("/hatrac/") and part in path


def test_faults_that_pass_are_told_from_others(ailing: Ailing, execution: Execution) -> None:
    ailing.refuse = lambda method, path: 503 if is_put(".bin")(method, path) else None
    with pytest.raises(DerivaMLUploadError) as caught:
        execution.upload_execution_outputs(max_retries=1, retry_delay=0.01)
    assert caught.value.passing
    assert [key for key, _ in caught.value.failed] == ["Image/a.bin", "Image/b.bin", "Image/c.bin"]

    # one that will not pass among those that do
    ailing.refuse = lambda method, path: (
        (403 if "a.bin" in path else 503) if is_put(".bin")(method, path) and "c.bin" not in path else None
    )
    with pytest.raises(DerivaMLUploadError, match="1 other went to the catalog") as caught:
        execution.upload_execution_outputs(max_retries=0)
    assert not caught.value.passing
    assert [key for key, _ in caught.value.failed] == ["Image/a.bin", "Image/b.bin"]

    ailing.refuse = lambda method, path: None
    execution.upload_execution_outputs()
    assert execution.status is ExecutionStatus.Uploaded


@pytest.mark.spec("upload.retry-after")
def test_retry_after_lengthens_a_pause_and_never_shortens_it(
    ailing: Ailing, execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused: list[float] = []
    monkeypatch.setattr(deliver.time, "sleep", paused.append)
    ailing.refuse = lambda method, path: 503 if is_put("a.bin")(method, path) else None
    for asked, expected in (("3", [3.0, 3.0, 4.0]), ("0", [1.0, 2.0, 4.0])):
        ailing.headers = {"Retry-After": asked}
        with pytest.raises(DerivaMLUploadError):
            execution.upload_execution_outputs(max_retries=3, retry_delay=1.0)
        assert paused == expected
        paused.clear()
