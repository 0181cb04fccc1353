"""Messages that no catalog can hold as they are, as of errors that name a file: the status is written all the same."""

from __future__ import annotations

import uuid

import pytest

from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.values.status import ExecutionStatus
from tests.integration.hostile.conftest import Begin
from tests.prefect_process import wait_until

MESSAGES = {
    "NUL": ("a\0b", "a\\x00b"),
    "bytes of a file name": ("no file a\udcffb", "no file a\\udcffb"),
    "lone surrogate": ("a\ud800b", "a\\ud800b"),
    "HTML": ("<script>alert(1)</script>", "<script>alert(1)</script>"),
    "newlines and quotes": ("a\n'b'\t\"c\"", "a\n'b'\t\"c\""),
}


@pytest.mark.parametrize(("text", "told"), MESSAGES.values(), ids=MESSAGES)
def test_error_of_the_code_is_told_whatever_it_says(text: str, told: str, begin: Begin) -> None:
    exe = begin()
    with pytest.raises(RuntimeError) as raised, exe:
        raise RuntimeError(text)
    assert str(raised.value) == text
    record = exe.ml.lookup_execution(exe.execution_rid)
    assert (record.status, record.status_detail) == (ExecutionStatus.Failed, f"RuntimeError: {told}")


@pytest.mark.parametrize(("text", "told"), MESSAGES.values(), ids=MESSAGES)
def test_message_and_reason_are_told(text: str, told: str, begin: Begin) -> None:
    with begin() as exe:
        exe.update_status("Running", text)
        assert exe.ml.lookup_execution(exe.execution_rid).status_detail == told
    exe.upload_execution_outputs(retry_delay=0)
    assert exe.status is ExecutionStatus.Uploaded
    given_up = begin()
    given_up.abort(text)
    assert given_up.ml.lookup_execution(given_up.execution_rid).status_detail == told


@pytest.mark.prefect
@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("own_process", [False, True], ids=["in this process", "in its own"])
def test_flow_ends_whatever_its_code_says(own_process: bool, ml: DerivaML) -> None:
    """Prefect's client can send no text that is no Unicode: the code's own flow run would stay Running for ever."""
    from prefect import get_client, get_run_logger
    from prefect.settings import PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

    from deriva_ml_prefect.decorators import deriva_execution

    name = f"odd-{uuid.uuid4().hex[:8]}"

    def code(execution: Execution) -> None:
        get_run_logger().error("said before: %s", name)
        get_run_logger().error("logged: a\udcffb")
        raise LookupError("no file a\udcffb")

    flow = deriva_execution(catalog=str(ml.address), workflow_type="Training", name=name, own_process=own_process)(code)
    with (
        temporary_settings({PREFECT_LOGGING_TO_API_ENABLED: True}),
        pytest.raises(LookupError, match=r"^no file a\\udcffb$"),
    ):
        flow()
    with get_client(sync_client=True) as client:
        body = {"flows": {"name": {"any_": [name, f"{name}-code"]}}}
        runs = client.request("POST", "/flow_runs/filter", json=body).json()
        assert [run["state_name"] for run in runs] == ["Failed", "Failed"]
        ids = [run["id"] for run in runs]

        def told() -> list[str]:
            asked = {"logs": {"flow_run_id": {"any_": ids}}, "limit": 200}
            lines = [line["message"] for line in client.request("POST", "/logs/filter", json=asked).json()]
            return lines if "logged: a\\udcffb" in lines else []

        assert f"said before: {name}" in wait_until(told, "the lines of the run", 30)
    (record,) = ml.find_executions(limit=1)
    assert record.status is ExecutionStatus.Failed
    assert record.status_detail == "LookupError: no file a\\udcffb"
