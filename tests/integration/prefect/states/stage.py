"""A Prefect server, a work pool, a worker and a catalog, each a process of its own, and what they say of a run."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from deriva_ml_prefect.catalog.assets import asset_table
from deriva_ml_prefect.catalog.connection import Catalog, open_catalog
from deriva_ml_prefect.catalog.executions import read_execution
from deriva_ml_prefect.catalog.rows import get_rows
from deriva_ml_prefect.catalog.urls import equals, table_name
from deriva_ml_prefect.config.settings import Settings
from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.flow_runs import link_name
from deriva_ml_prefect.values.names import MLAsset
from tests.conftest import end_embedded
from tests.prefect_process import PrefectServer, output_of, prefect_process, wait_until, worker_process

ROOT = Path(__file__).parents[4]
POOL = "states"
"""The pool, and the deployments in it that are as `prefect deploy` makes them: three processes a run."""
QUICK = "quick"
"""Deployments in it that name their command, so that no process of Prefect's goes before that of the run. What a worker
does about the end of a run from outside (it signals, and runs hooks) is to be shown with the others."""
MORTAL = "mortal"
"""The pool, and the deployment in it, of workers that a test kills."""
SET_UP = f"""
from pathlib import Path
from prefect import flow, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.workers.process import ProcessWorker
from deriva_ml_prefect.ml.creation import create_ml_catalog

create_ml_catalog("embedded", "lab", "lab")
made = 0
with get_client(sync_client=True) as client:
    for pool in ("{POOL}", "{MORTAL}"):
        template = ProcessWorker.get_default_base_job_template()
        client.create_work_pool(WorkPoolCreate(name=pool, type="process", base_job_template=template))
    for name in ("train", "train_again"):
        source = flow.from_source(str(Path.cwd()), f"obedient.py:{{name}}")
        for pool, deployment in (("{POOL}", "{POOL}"), ("{POOL}", "{QUICK}"), ("{MORTAL}", "{MORTAL}")):
            variables = {{"command": "python -m prefect.engine"}} if deployment == "{QUICK}" else {{}}
            source.deploy(
                deployment, work_pool_name=pool, job_variables=variables, print_next_steps=False, ignore_warnings=True
            )
            made += 1
print(made)
"""
"""What `prefect work-pool create` and `prefect deploy` do, and a catalog, in one process instead of five."""
SECONDS = 300.0
"""How long a run may take to get somewhere: three processes that import Prefect, on a machine that is busy."""
FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


@dataclass(frozen=True)
class Seen:
    """What the catalog says of an execution."""

    rid: str
    status: str
    detail: str | None


@dataclass
class Stage:
    server: PrefectServer
    home: Path
    """DERIVA_ML_HOME."""
    folder: Path
    """Where the worker works, and runs leave their marks."""

    @property
    def environment(self) -> dict[str, str]:
        return {**self.server.environment, **variables(self.home, self.folder)}

    # what a person does

    def start(self, act: str, flow: str = "obedient", deployment: str = QUICK) -> str:
        """A new run of a flow's deployment; its id."""
        chosen = {"flows": {"name": {"any_": [flow]}}, "deployments": {"name": {"any_": [deployment]}}}
        (found,) = self.server.ask("/deployments/filter", chosen)
        run = self.server.ask(f"/deployments/{found['id']}/create_flow_run", {"parameters": {"act": act}})
        return str(run["id"])

    def set_state(self, run_id: str, kind: str, name: str, *, force: bool = True, **details: Any) -> dict[str, Any]:
        """As Prefect's pages do; the answer."""
        state = {"type": kind, "name": name, "message": "asked for by the test", "state_details": details}
        answer: dict[str, Any] = self.server.ask(f"/flow_runs/{run_id}/set_state", {"state": state, "force": force})
        return answer

    def cancel(self, run_id: str) -> None:
        self.set_state(run_id, "CANCELLING", "Cancelling", force=False)

    def suspend(self, run_id: str) -> None:
        self.set_state(run_id, "PAUSED", "Suspended", pause_reschedule=True, pause_timeout="2100-01-01T00:00:00Z")

    def pause(self, run_id: str) -> None:
        self.set_state(run_id, "PAUSED", "Paused", pause_reschedule=False, pause_timeout="2100-01-01T00:00:00Z")

    def resume(self, run_id: str) -> None:
        self.server.ask(f"/flow_runs/{run_id}/resume", {})

    def retry(self, run_id: str) -> None:
        """Ask for it when the process of the attempt before has ended: it would say its own end over that."""
        if (self.folder / f"{run_id}.pid").exists():
            process = Path(f"/proc/{self.pid(run_id)}")
            self._wait(lambda: not process.exists(), run_id, "the end of its process")
        self.set_state(run_id, "SCHEDULED", "AwaitingRetry")

    def let_go(self, run_id: str) -> None:
        """The code may come to its end."""
        (self.folder / f"{run_id}.go").touch()

    # what is there afterwards

    def begun(self, run_id: str) -> list[str]:
        """RIDs of the executions whose code was called, in order."""
        return self._noted(run_id, "begun")

    def ended(self, run_id: str) -> list[str]:
        """RIDs of those whose code came to its end."""
        return self._noted(run_id, "ended")

    def _noted(self, run_id: str, what: str) -> list[str]:
        path = self.folder / f"{run_id}.{what}"
        return path.read_text().split() if path.exists() else []

    def pid(self, run_id: str) -> int:
        return int((self.folder / f"{run_id}.pid").read_text())

    def await_code(self, run_id: str, times: int = 1) -> str:
        """RID of the execution whose code is being called, when it is."""
        self._wait(lambda: len(self.begun(run_id)) >= times, run_id, "the code")
        return self.begun(run_id)[times - 1]

    def await_end(self, run_id: str, *, after: int = 0) -> dict[str, Any]:
        """The flow run when it is at an end, having started more often than `after`."""

        def ended() -> dict[str, Any] | None:
            run: dict[str, Any] = self.run(run_id)
            return run if run["state"]["type"] in FINAL and run["run_count"] > after else None

        found: dict[str, Any] = self._wait(ended, run_id, "the end")
        return found

    def await_report(self, run_id: str) -> None:
        """Wait until the worker has done with a run whose process was killed.

        It says Crashed twice, before the hooks and after them, and the second time over whatever the state is then: a
        retry that is asked for in between is lost.
        """
        of_run = {"id": [f"prefect.flow-run.{run_id}"]}
        asked = {"filter": {"event": {"name": ["prefect.worker.executed-flow-run"]}, "related": of_run}}
        told = lambda: self.server.ask("/events/filter", asked)["events"]  # noqa: E731
        self._wait(told, run_id, "the worker's last word")

    def await_state(self, run_id: str, *names: str) -> dict[str, Any]:
        """The flow run when its state has one of these names."""

        def there() -> dict[str, Any] | None:
            run = self.run(run_id)
            return run if run["state"]["name"] in names else None

        found: dict[str, Any] = self._wait(there, run_id, " or ".join(names))
        return found

    def _wait(self, condition: Callable[[], Any], run_id: str, what: str) -> Any:
        """Wait for something of a flow run; where it does not come, the error says what Prefect has of it."""
        try:
            return wait_until(condition, f"{what} of flow run {run_id}", SECONDS)
        except AssertionError as e:
            told = [(state["timestamp"], state["name"], state["message"]) for state in self.flow_states(run_id)]
            raise AssertionError(f"{e}; its states: {told}; its phases: {self.phases(run_id)}") from None

    def run(self, run_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.server.ask(f"/flow_runs/{run_id}")
        return found

    def code_runs(self, run_id: str) -> list[dict[str, Any]]:
        """The runs of the user's code within a flow run, the first one first."""
        found = self.server.ask("/flow_runs/filter", {"flow_runs": {"parent_flow_run_id": {"any_": [run_id]}}})
        return sorted(found, key=lambda run: str(run["created"]))

    def phases(self, run_id: str) -> dict[str, str]:
        """State of the last task run of each phase, by the first word of its name."""
        found = self.server.ask("/task_runs/filter", {"task_runs": {"flow_run_id": {"any_": [run_id]}}})
        ordered = sorted(found, key=lambda run: str(run["expected_start_time"]))
        return {run["name"].partition(" ")[0]: run["state"]["name"] for run in ordered if run["state"]}

    def phase_states(self, run_id: str, phase: str) -> list[dict[str, Any]]:
        """All states that a phase was in, in order."""
        found = self.server.ask("/task_runs/filter", {"task_runs": {"flow_run_id": {"any_": [run_id]}}})
        (run,) = [run for run in found if run["name"].startswith(f"{phase} ")]
        states = self.server.ask(f"/task_run_states/?task_run_id={run['id']}")
        return sorted(states, key=lambda state: str(state["timestamp"]))

    def flow_states(self, run_id: str) -> list[dict[str, Any]]:
        """All states that a flow run was in, in order."""
        states = self.server.ask(f"/flow_run_states/?flow_run_id={run_id}")
        return sorted(states, key=lambda state: str(state["timestamp"]))

    def history(self, rid: str) -> list[tuple[str, str]]:
        """Statuses of an execution and when it came to them, as the journal has them."""
        with contextlib.closing(sqlite3.connect(self.journal)) as connection:
            query = "SELECT status, at FROM execution_state__status_history WHERE execution_rid = ? ORDER BY number"
            return list(connection.execute(query, (rid,)))

    def local_status(self, rid: str) -> str:
        return self.history(rid)[-1][0]

    def unsent(self, rid: str) -> int:
        """Steps of the status that the journal has, and that the catalog has not confirmed."""
        with contextlib.closing(sqlite3.connect(self.journal)) as connection:
            query = "SELECT count(*) FROM execution_state__status_history WHERE execution_rid = ? AND NOT sent"
            return int(connection.execute(query, (rid,)).fetchone()[0])

    def detail_here(self, rid: str) -> str:
        """Status_Detail as the journal has it."""
        with contextlib.closing(sqlite3.connect(self.journal)) as connection:
            query = "SELECT status_detail FROM execution_state__executions WHERE rid = ?"
            return str(connection.execute(query, (rid,)).fetchone()[0] or "")

    @property
    def journal(self) -> Path:
        return self.home / "workspaces" / "embedded" / "lab" / "journal.db"

    def execution(self, rid: str) -> Seen:
        """What the catalog says now."""
        record = read_execution(self.catalog, rid)
        assert record is not None
        return Seen(rid, str(record.status), record.status_detail)

    def check_superseded(self, run_id: str, rid: str) -> None:
        """The run has begun twice: the first execution was given up for the second, which is Uploaded."""
        first, second = self.begun(run_id)
        assert first == rid
        assert self.execution(first) == Seen(rid, "Aborted", f"superseded by {second}")
        assert self.execution(second).status == "Uploaded"

    def await_detail(self, rid: str, beginning: str) -> Seen:
        """What the catalog says when its message begins like this."""

        def said() -> Seen | None:
            seen = self.execution(rid)
            return seen if (seen.detail or "").startswith(beginning) else None

        found: Seen = wait_until(said, f"execution {rid}: {beginning}")
        return found

    def executions_of(self, run_id: str) -> list[str]:
        """RIDs of the executions that say that they belong to a flow run."""
        table = asset_table(self.catalog, MLAsset.execution_metadata)
        name = equals("Filename", link_name(run_id))
        path = f"{table_name(table.schema, table.name)}/{name}"
        linked = get_rows(self.catalog, f"entity/{path}/{table_name(table.execution_schema, table.execution_table)}")
        return [str(row[table.execution_execution_column]) for row in linked]

    def flow_runs_of(self, rid: str) -> list[str]:
        """The flow runs that the journal has for an execution."""
        with contextlib.closing(sqlite3.connect(self.journal)) as connection:
            query = "SELECT flow_run_id FROM execution_state__flow_runs WHERE execution_rid = ?"
            return [str(row[0]) for row in connection.execute(query, (rid,))]

    def tell_missed_ends(self, **options: float) -> dict[str, str]:
        """What Prefect is told later, by another process."""
        told: dict[str, str] = self.python(
            "import json; from deriva_ml_prefect import tell_missed_ends\n"
            f"print(json.dumps(tell_missed_ends('embedded/lab', **{options})))"
        )
        return told

    @cached_property
    def catalog(self) -> Catalog:
        """The catalog, asked by the test's own process."""
        return open_catalog(Address("embedded", "lab"), settings=Settings(home=self.home))

    def python(self, code: str) -> Any:
        """What a program prints as JSON in its last line."""
        return json.loads(output_of([sys.executable, "-c", code], self.environment, self.folder).splitlines()[-1])

    def prefect(self, *arguments: str) -> str:
        """What a command of Prefect prints."""
        return output_of(["prefect", *arguments], self.environment, self.folder)

    def worker(self, name: str = POOL, **changed: str) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
        """Another worker of the pool."""
        return worker_process(self.server, name, self.folder, **variables(self.home, self.folder), **changed)

    def signal_catalog(self, number: int) -> None:
        """Stop the embedded DERIVA (it answers nothing, and connections wait), or let it go on."""
        os.kill(int(json.loads((self.home / "embedded" / "server.json").read_text())["pid"]), number)


def variables(home: Path, folder: Path) -> dict[str, str]:
    return {
        "DERIVA_ML_HOME": str(home),
        "DERIVA_ML_ALLOW_DIRTY": "true",
        "DERIVA_ML_TIMEOUT": "10",
        "DERIVA_ML_RETRIES": "1",
        "STATES_FOLDER": str(folder),
        "STATES_CATALOG": "embedded/lab",
        "PYTHONPATH": str(ROOT),
    }


@contextlib.contextmanager
def whole_stage(folder: Path, *, port: int | None = None) -> Iterator[Stage]:
    """Bring everything up in an empty folder but the worker, and end it after the block."""
    home, work = folder / "deriva", folder / "work"
    work.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(__file__).parent / "obedient.py", work / "obedient.py")
    try:
        with prefect_process(folder / "prefect", port) as server:
            stage = Stage(server, home, work)
            assert stage.python(SET_UP) == 6
            yield stage
    finally:
        end_embedded(home)
