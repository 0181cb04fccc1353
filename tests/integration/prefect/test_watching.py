"""What Prefect shows of an execution: while it runs, after it, and when its server refuses or has lost everything."""

from __future__ import annotations

import base64
import http.client
import http.server
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from prefect import get_client
from prefect.flow_engine import run_flow
from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_LEVEL, temporary_settings
from prefect.states import AwaitingRetry

from deriva_ml_prefect.blocks import ExecutionConfiguration
from deriva_ml_prefect.catalog.connection import catalog_for
from deriva_ml_prefect.decorators import deriva_execution
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.questions.flow_runs import executions_of_flow_run
from deriva_ml_prefect.values.progress import UploadProgress
from deriva_ml_prefect.values.status import ExecutionStatus
from deriva_ml_prefect.watching import watch
from deriva_ml_prefect.watching.transfers import Transfers, read_transfers
from tests.prefect_process import PrefectServer, prefect_process, wait_until

pytestmark = [pytest.mark.prefect]
logger = logging.getLogger(__name__)


@pytest.fixture
def server(prefect_server: str, tmp_path: Path) -> PrefectServer:
    """The server that the test run shares."""
    return PrefectServer(tmp_path, int(urlsplit(prefect_server).port or 0))


def run_of(server: PrefectServer, rid: str) -> dict[str, Any]:
    (run,) = wait_until(lambda: server.flow_runs(tags={"all_": [f"execution:{rid}"]}), "the flow run")
    return dict(run)


def await_told(rid: str) -> None:
    """Wait until Prefect has been told everything of an execution: the end of a run does not wait for it."""
    for thread in threading.enumerate():
        if thread.name == f"watch-{rid}":
            thread.join(30)
            assert not thread.is_alive()


def picture_in(artifact: dict[str, Any]) -> str:
    (data,) = re.findall(r"base64,([A-Za-z0-9+/=]+)\)", artifact["data"])
    return base64.b64decode(data).decode()


def named() -> str:
    return f"watched-{uuid.uuid4().hex[:8]}"


def test_a_finished_execution_is_shown_whole(ml: DerivaML, server: PrefectServer) -> None:
    seen: list[str] = []

    @deriva_execution(catalog=str(ml.address), workflow_type="Training", name=named())
    def train(execution: Execution) -> None:
        seen.append(execution.execution_rid)
        for epoch in range(4):
            execution.log_metrics({"loss": 1.0 / (epoch + 1), "val_loss": 2.0}, step=epoch)
        execution.asset_file_path("Execution_Asset", "weights.bin").write_bytes(b"w" * 1000)

    train(configuration=ExecutionConfiguration(description="to be looked at"))
    (rid,) = seen
    await_told(rid)
    run = run_of(server, rid)
    record = ml.lookup_execution(rid)
    assert set(run["tags"]) == {f"execution:{rid}", f"catalog:{ml.address}", f"workflow:{record.workflow_rid}"}
    assert run["name"].endswith(f" {rid}")

    shown = server.artifacts(run["id"])
    assert {name: artifact["type"] for name, artifact in shown.items()} == {
        "execution": "markdown",
        "files": "table",
        "transfers": "progress",
        "metrics": "markdown",
    }
    assert all(artifact["key"].endswith(f"-{rid.lower()}") for artifact in shown.values())
    link = ml.cite(rid, current=True)
    assert link in shown["execution"]["data"]
    assert "**Status:** Uploaded" in shown["execution"]["data"]
    assert "to be looked at" in shown["execution"]["data"]
    assert shown["transfers"]["data"] == 100.0
    assert re.match(rf"Execution {rid}: (\d+) of \1 files are in the catalog, ", shown["transfers"]["description"])
    picture = picture_in(shown["metrics"])
    assert ">val_loss<" in picture
    assert ">step<" in picture
    table = json.loads(shown["files"]["data"])
    (weights,) = [row for row in table if row["Name"] == "weights.bin"]
    (asset,) = [asset for asset in record.output_assets if asset.filename == "weights.bin"]
    assert weights == {
        "Role": "Output",
        "Kind": "Execution_Asset",
        "Name": "weights.bin",
        "Bytes": 1000,
        "MD5": asset.md5,
        "RID": asset.asset_rid,
    }


def test_inputs_are_in_the_table_and_the_events(
    ml: DerivaML, server: PrefectServer, dataset: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    @deriva_execution(catalog=str(ml.address), workflow_type="Training", name=named())
    def train(execution: Execution) -> None:
        seen.append(execution.execution_rid)

    read_for = {"rid": dataset[0], "description": "to learn from"}
    train(configuration=ExecutionConfiguration(datasets=[read_for]))
    (rid,) = seen
    await_told(rid)
    run = run_of(server, rid)
    assert f"| {dataset[1]} | to learn from |" in server.artifacts(run["id"])["execution"]["data"]
    table = json.loads(server.artifacts(run["id"])["files"]["data"])
    (read,) = [row for row in table if row["Role"] == "Input"]
    assert (read["Kind"], read["RID"], read["Name"]) == ("Dataset", dataset[0], f"version {dataset[1]}")

    catalog = f"{ml.address.hostname}.{ml.address.catalog_id}"
    events = wait_until(lambda: _all_events(server, f"deriva-ml.execution.{catalog}.{rid}"), "the events")
    assert [event["event"].rpartition(".")[2] for event in events] == [
        "created",
        "running",
        "stopped",
        "pending-upload",
        "uploaded",
    ]
    for event in events:
        related = {r["prefect.resource.role"]: r["prefect.resource.id"] for r in event["related"]}
        assert related["flow-run"] == f"prefect.flow-run.{run['id']}"
        assert related["catalog"] == f"deriva-ml.catalog.{catalog}"
    last = {r["prefect.resource.role"]: r["prefect.resource.id"] for r in events[-1]["related"]}
    assert last["input-dataset"] == f"deriva-ml.dataset.{catalog}.{dataset[0]}"

    # when the run is started again, what Prefect has is not sent a second time
    sent: list[str] = []
    monkeypatch.setattr(watch, "emit_status", lambda summary, step, number: sent.append(step.status))
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run["id"], AwaitingRetry(), force=True)
        again = client.read_flow_run(run["id"])
    state: Any = run_flow(train, flow_run=again, parameters={}, return_type="state")
    assert state.is_completed()
    await_told(rid)
    assert (seen, sent) == ([rid], [])


def test_downloads_and_uploads_are_told_while_they_go_on(ml: DerivaML, dataset: tuple[str, str]) -> None:
    workflow = ml.create_workflow("Transfers", "Training", "For tests")
    execution = ml.create_execution(ExecutionConfiguration(workflow=workflow, datasets=[dataset[0]]))
    told = read_transfers(execution.context, None, ended=False)
    assert told is not None
    assert told.percent == 100.0
    assert told.said.startswith("1 of 1 inputs are here, ")
    half = UploadProgress("", "", 5_000_000, 10_000_000, 50.0, "uploading", "Uploading file 1 of 2")
    assert read_transfers(execution.context, half, ended=False) == Transfers(
        50.0, "Uploading file 1 of 2, 5.0 MB of 10.0 MB"
    )
    with execution:
        assert read_transfers(execution.context, None, ended=False) is None
        execution.asset_file_path("Execution_Asset", "later.txt").write_text("12345")
    told = read_transfers(execution.context, None, ended=True)
    assert told is not None
    assert told.percent < 100
    execution.upload_execution_outputs()
    told = read_transfers(execution.context, None, ended=True)
    assert told is not None
    assert told.percent == 100.0


@pytest.fixture(scope="session")
def dataset(ml: DerivaML) -> tuple[str, str]:
    """RID and version of a dataset with nothing in it."""
    ml.add_term("Dataset_Type", "Watched", "For tests", exists_ok=True)
    workflow = ml.create_workflow("Makes a dataset", "Training", "For tests")
    with ml.create_execution(ExecutionConfiguration(workflow=workflow)) as execution:
        made = execution.create_dataset(["Watched"], description="Looked at")
    execution.upload_execution_outputs()
    return made.dataset_rid, str(made.current_version)


def _all_events(server: PrefectServer, resource: str) -> list[dict[str, Any]]:
    chosen = {"resource": {"id": [resource]}, "order": "ASC"}
    found = server.ask("/events/filter", {"filter": chosen, "limit": 50})["events"]
    return found if len(found) >= 5 else []


def test_metrics_are_seen_within_seconds_while_the_code_runs(ml: DerivaML, server: PrefectServer) -> None:
    seen: list[str] = []
    pictures: list[str] = []

    @deriva_execution(catalog=str(ml.address), workflow_type="Training", name=named())
    def train(execution: Execution) -> None:
        rid = execution.execution_rid
        seen.append(rid)
        for name in ("first_part", "second_part"):
            execution.log_metrics({name: 1.0}, step=1)
            began = time.monotonic()
            wait_until(lambda: name in _picture(server, rid), f"{name} in Prefect")  # noqa: B023
            pictures.append(f"{name} after {time.monotonic() - began:.1f} s")
            # bounded rate: a second look, and the request itself, on a busy machine
            assert time.monotonic() - began < 10
        shown = server.artifacts(run_of(server, rid)["id"])
        assert "**Status:** Running" in shown["execution"]["data"]

    train()
    assert len(pictures) == 2


def _picture(server: PrefectServer, rid: str) -> str:
    runs = server.flow_runs(tags={"all_": [f"execution:{rid}"]})
    shown = server.artifacts(runs[0]["id"]) if runs else {}
    return picture_in(shown["metrics"]) if "metrics" in shown else ""


def test_lines_of_the_users_own_logger_reach_the_run(ml: DerivaML, server: PrefectServer) -> None:
    seen: list[str] = []
    text = f"line {uuid.uuid4().hex}"

    @deriva_execution(catalog=str(ml.address), workflow_type="Training", name=named())
    def train(execution: Execution) -> None:
        seen.append(execution.execution_rid)
        logger.info("%s from the code", text)
        thread = threading.Thread(target=logger.info, args=("%s from a thread", text))
        thread.start()
        thread.join()

    before = (logger.level, list(logging.getLogger("tests").handlers), logging.getLogger("tests").level)
    with temporary_settings({PREFECT_LOGGING_LEVEL: "INFO"}):
        train()
    assert (logger.level, list(logging.getLogger("tests").handlers), logging.getLogger("tests").level) == before
    found = wait_until(lambda: _lines(server, text), "the log lines")
    assert sorted(line["message"] for line in found) == [f"{text} from a thread", f"{text} from the code"]
    assert {line["name"] for line in found} == {__name__}
    own = {line["flow_run_id"] for line in found if "thread" in line["message"]}
    assert own == {run_of(server, seen[0])["id"]}


def _lines(server: PrefectServer, text: str) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = server.ask("/logs/filter", {"logs": {}, "limit": 200, "sort": "TIMESTAMP_DESC"})
    found = [line for line in lines if text in line["message"]]
    return found if len(found) == 2 else []


def test_what_a_dry_run_finds_out_reaches_the_run(ml: DerivaML, server: PrefectServer) -> None:
    name = named()

    @deriva_execution(catalog=str(ml.address), workflow_type="Training", name=name)
    def train() -> None: ...

    with temporary_settings({PREFECT_LOGGING_LEVEL: "INFO"}):
        train(dry_run=True)
    (run,) = server.ask("/flow_runs/filter", {"flows": {"name": {"any_": [name]}}})

    def told() -> dict[str, str]:
        lines = server.ask("/logs/filter", {"logs": {"flow_run_id": {"any_": [run["id"]]}}, "limit": 200})
        found = {line["message"].partition(":")[0]: line["message"] for line in lines}
        return found if "Preflight, disk" in found else {}

    found = wait_until(told, "the log lines")
    # named so that it does not look like a secret, which is taken out of what goes to Prefect
    assert found["Preflight, login"].startswith("Preflight, login: logged in as ")
    assert {"Preflight, schema", "Preflight, terms"} <= found.keys()


def test_secrets_in_lines_of_own_loggers_stay_here(
    ml: DerivaML, server: PrefectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = f"s3cret-{uuid.uuid4().hex}"
    monkeypatch.setenv("LAB_API_TOKEN", secret)
    text = f"line {uuid.uuid4().hex}"

    @deriva_execution(catalog=str(ml.address), workflow_type="Training", name=named())
    def train() -> None:
        logger.error("%s with %s", text, secret)
        logger.error("%s without", text)

    train()
    found = wait_until(lambda: _lines(server, text), "the log lines")
    assert secret not in json.dumps(found)


CONFIGURED = """
import logging, sys
from deriva_ml_prefect import deriva_execution

logging.getLogger("lab.instruments").setLevel(logging.INFO)

@deriva_execution(catalog=sys.argv[1], name="has-loggers")
def train(execution):
    logging.getLogger("lab.instruments").info(f"{sys.argv[2]} from the one that is named")
    logging.getLogger(__name__).info(f"{sys.argv[2]} from the script's own")
    logging.getLogger("elsewhere").error(f"{sys.argv[2]} from one that nobody named")

train()
"""


def test_loggers_that_are_named_in_prefects_setting_reach_the_run_once(
    ml: DerivaML, server: PrefectServer, tmp_path: Path
) -> None:
    script = tmp_path / "train.py"
    script.write_text(CONFIGURED)
    text = f"line {uuid.uuid4().hex}"
    variables = {**server.environment, "PREFECT_LOGGING_EXTRA_LOGGERS": "lab"}
    command = [sys.executable, str(script), str(ml.address), text]
    done = subprocess.run(
        command, env=variables, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    found = wait_until(lambda: _lines(server, text), "the log lines")
    assert sorted(line["name"] for line in found) == ["__main__", "lab.instruments"]


def test_a_failure_is_shown_as_one(ml: DerivaML, server: PrefectServer) -> None:
    seen: list[str] = []

    @deriva_execution(catalog=str(ml.address), workflow_type="Training", name=named())
    def train(execution: Execution) -> None:
        seen.append(execution.execution_rid)
        execution.log_metrics({"loss": 3.0}, step=1)
        raise ValueError("the loss is not finite")

    with pytest.raises(ValueError, match="the loss is not finite"):
        train()
    await_told(seen[0])
    shown = server.artifacts(run_of(server, seen[0])["id"])
    assert "**Status:** Failed — ValueError: the loss is not finite" in shown["execution"]["data"]
    assert ">loss<" in picture_in(shown["metrics"])


def test_a_name_that_somebody_chose_stays(ml: DerivaML, server: PrefectServer) -> None:
    seen: list[str] = []

    @deriva_execution(catalog=str(ml.address), workflow_type="Training", name=named(), flow_run_name="my run")
    def train(execution: Execution) -> None:
        seen.append(execution.execution_rid)

    train()
    assert run_of(server, seen[0])["name"] == "my run"


def test_a_dry_run_is_not_shown(ml: DerivaML, server: PrefectServer) -> None:
    name = named()

    @deriva_execution(catalog=str(ml.address), workflow_type="Training", name=name)
    def train() -> None: ...

    train(dry_run=True)
    (run,) = server.ask("/flow_runs/filter", {"flows": {"name": {"any_": [name]}}})
    assert run["tags"] == []
    assert server.artifacts(run["id"]) == {}


@contextmanager
def refusing(url: str, refused: Callable[[str, str], bool], status: int = 403) -> Iterator[tuple[str, list[str]]]:
    """A server in front of Prefect's that answers `status` to some requests; its address and what it refused."""
    target = urlsplit(url)
    said_no: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if refused(self.command, self.path):
                said_no.append(self.path)
                self.answer(status, b'{"detail": "not now, or not you"}')
                return
            connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=60)
            headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "accept-encoding")}
            connection.request(self.command, self.path, body, headers)
            got = connection.getresponse()
            self.answer(got.status, got.read())
            connection.close()

        def answer(self, code: int, data: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = pass_on  # noqa: N815 (http.server's names)

        def log_message(self, format: str, *args: Any) -> None: ...  # noqa: A002

    front = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=front.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{front.server_port}{target.path}", said_no
    finally:
        front.shutdown()
        front.server_close()
        thread.join()


def test_a_server_that_refuses_artifacts_costs_one_warning(
    ml: DerivaML, prefect_server: str, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    @deriva_execution(catalog=str(ml.address), workflow_type="Training", name=named())
    def train(execution: Execution) -> float:
        seen.append(execution.execution_rid)
        execution.log_metrics({"loss": 3.0}, step=1)
        time.sleep(2)
        return 0.5

    with (
        refusing(prefect_server, lambda method, path: "/artifacts" in path) as (url, said_no),
        temporary_settings({PREFECT_API_URL: url}),
    ):
        assert train() == 0.5
        await_told(seen[0])
    assert said_no
    assert ml.lookup_execution(seen[0]).status is ExecutionStatus.Uploaded
    told = [record for record in caplog.records if "does not show execution" in record.getMessage()]
    assert [record.levelno for record in told].count(logging.WARNING) == 1


def test_a_server_that_is_busy_for_a_while_is_asked_again(
    ml: DerivaML, server: PrefectServer, prefect_server: str, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []
    times: list[str] = []

    def is_busy(method: str, path: str) -> bool:
        if "/artifacts" in path and len(times) < 4:
            times.append(path)
            return True
        return False

    @deriva_execution(catalog=str(ml.address), workflow_type="Training", name=named())
    def train(execution: Execution) -> None:
        seen.append(execution.execution_rid)
        execution.log_metrics({"loss": 3.0}, step=1)

    with refusing(prefect_server, is_busy, 503) as (url, _), temporary_settings({PREFECT_API_URL: url}):
        train()
        await_told(seen[0])
    assert len(times) == 4
    shown = server.artifacts(run_of(server, seen[0])["id"])
    assert set(shown) >= {"execution", "files", "metrics"}
    assert "**Status:** Uploaded" in shown["execution"]["data"]
    assert "does not show execution" not in caplog.text


@pytest.mark.parametrize("how", ["says so", "keeps the request"])
def test_a_server_that_is_busy_at_the_end_leaves_a_page_that_is_not_the_last(
    ml: DerivaML, prefect_server: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """A line says so, once, and names where the whole of it is."""
    monkeypatch.setattr("deriva_ml_prefect.watching.watch.PATIENCE", 3.0)
    seen: list[str] = []

    def is_busy(method: str, path: str) -> bool:
        if "/artifacts" not in path:
            return False
        if how == "keeps the request":
            time.sleep(6)
        return how == "says so"

    @deriva_execution(catalog=str(ml.address), workflow_type="Training", name=named())
    def train(execution: Execution) -> None:
        seen.append(execution.execution_rid)

    with refusing(prefect_server, is_busy, 503) as (url, _), temporary_settings({PREFECT_API_URL: url}):
        train()
        told = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING and "page" in r.getMessage()]
        await_told(seen[0])
    assert ml.lookup_execution(seen[0]).status is ExecutionStatus.Uploaded
    assert len(told) == 1, told
    assert f"execution {seen[0]}" in told[0]
    assert f"deriva-ml-prefect show {seen[0]}" in told[0]


SCRIPT = """
import sys
from deriva_ml_prefect import deriva_execution

@deriva_execution(catalog=sys.argv[1], name="outlives-its-server")
def train(execution):
    print(execution.execution_rid, flush=True)

train()
"""


def test_a_script_that_ends_at_once_has_told_everything(ml: DerivaML, server: PrefectServer, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT.replace("outlives-its-server", named()))
    command = [sys.executable, str(script), str(ml.address)]
    done = subprocess.run(
        command, env=server.environment, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    rid = done.stdout.split()[-1]
    shown = server.artifacts(run_of(server, rid)["id"])
    # nothing but the files about the execution itself was transferred: only a busy machine shows how far that is
    assert set(shown) - {"transfers"} == {"execution", "files"}
    assert "**Status:** Uploaded" in shown["execution"]["data"]
    events = {"filter": {"resource": {"id_prefix": ["deriva-ml.execution"]}, "order": "DESC"}, "limit": 50}
    found = wait_until(
        lambda: [
            e
            for e in server.ask("/events/filter", events)["events"]
            if e["resource"]["prefect.resource.id"].endswith(f".{rid}") and e["event"].endswith(".uploaded")
        ],
        "the last event",
    )
    assert len(found) == 1


@pytest.mark.slow
@pytest.mark.workers
def test_a_script_with_a_temporary_server_ends_with_its_own_last_word(
    ml: DerivaML, server: PrefectServer, tmp_path: Path
) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT.replace("outlives-its-server", named()) + 'print("the last word", file=sys.stderr)\n')
    without = {name: value for name, value in server.environment.items() if name != "PREFECT_API_URL"}
    variables = {**without, "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120"}
    command = [sys.executable, str(script), str(ml.address)]
    done = subprocess.run(
        command, env=variables, capture_output=True, text=True, timeout=240, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    told = done.stderr.splitlines()
    assert any("Starting temporary server" in line for line in told), told
    assert told[-1] == "the last word"
    assert not [line for line in told if "ERROR" in line or "WARNING" in line or "Traceback" in line]


@pytest.mark.slow
@pytest.mark.workers
def test_the_link_outlives_the_database_of_prefect(ml: DerivaML, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    home = tmp_path / "prefect"
    with prefect_process(home) as server:
        command = [sys.executable, str(script), str(ml.address)]
        done = subprocess.run(
            command, env=server.environment, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        rid = done.stdout.split()[-1]
        run = run_of(server, rid)
        port = server.port
    shutil.rmtree(home)
    with prefect_process(home, port) as server:
        assert server.flow_runs() == []
    assert executions_of_flow_run(ml.address, run["id"]) == [rid]
    assert ml.summarize_execution(rid).flow_run_id == run["id"]
    # from the command line, with either name
    for asked in (rid, run["id"]):
        command = [sys.executable, "-m", "deriva_ml_prefect.cli.main", "show", asked]
        shown = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, timeout=60, check=False)
        assert shown.returncode == 0, shown.stderr
        assert f"# Execution {rid}" in shown.stdout
        assert run["id"] in shown.stdout
    assert catalog_for(ml.address).base_url in shown.stdout
