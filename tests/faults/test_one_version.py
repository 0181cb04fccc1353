"""A store that denies for a moment what it holds does not get it a second time."""

from __future__ import annotations

from typing import Any

import pytest

from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.transfer.client import HttpClient
from deriva_ml_prefect.values.status import ExecutionStatus


@pytest.mark.parametrize("size", [10, 100_000])
def test_conflict_on_looking_at_an_object(
    size: int, ml: DerivaML, workflow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by the campaign as kill-fsync@56+409@5: the object was there, HEAD was answered 409 once."""
    with ml.create_execution(ExecutionSpec(workflow=workflow)) as exe:
        exe.asset_file_path("Image", "once.png").write_bytes(exe.execution_rid.encode() + bytes(size))
    send = HttpClient._send
    seen: list[str] = []

    def denying(client: HttpClient, method: str, path: str, *rest: Any, **values: Any) -> Any:
        if method == "PUT" and "once.png?" in path and not seen:
            send(client, method, path, *rest, **values)
            seen.append("stored")
        answer = send(client, method, path, *rest, **values)
        if method == "HEAD" and "once.png" in path and seen == ["stored"]:
            seen.append("denied")
            return type(answer)(409, answer.headers, b"Conflict", answer.asked, 1)
        return answer

    monkeypatch.setattr(HttpClient, "_send", denying)
    exe.upload_execution_outputs(retry_delay=0)
    assert seen == ["stored", "denied"]
    assert exe.status is ExecutionStatus.Uploaded
    (row,) = [
        asset for asset in ml.summarize_execution(exe.execution_rid).output_assets if asset.filename == "once.png"
    ]
    versions = ml._catalog.client.request("GET", f"{row.url.partition(':')[0]};versions").json()
    assert len(versions) == 1
