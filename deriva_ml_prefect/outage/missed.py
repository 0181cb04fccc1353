"""Ends of flow runs that Prefect's server missed, told to it later.

    tell_missed_ends("embedded/1")

A server that was away at the end of a run, or a process that was killed where no worker looked after it, leaves a run
that is Running in Prefect for ever. The journal of this machine knows which execution each of its flow runs worked on,
and the lock of an execution says whether its process lives. So nothing needs to be noted when an end cannot be told:
each run that is Running in Prefect, and has no process here any more, is given the end that its execution has.
"""

from __future__ import annotations

import contextvars
import logging
import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.states import Cancelled, Completed, Crashed, Failed

from deriva_ml_prefect.config.settings import load_settings
from deriva_ml_prefect.journal import executions, flow_runs, ownership
from deriva_ml_prefect.journal.executions import Entry
from deriva_ml_prefect.journal.store import FILE_NAME, Journal, open_journal
from deriva_ml_prefect.outage.settings import prompt_answers, single_requests
from deriva_ml_prefect.outage.within import end_runs_within
from deriva_ml_prefect.values.address import Address, parse_address
from deriva_ml_prefect.values.status import ExecutionStatus, Outcome

logger = logging.getLogger(__name__)
_S = ExecutionStatus

QUIET_SECONDS = 300.0
"""How long an execution that has come to its end has been left alone when its run is taken for one without a process:
a run that still tells its own end is at it for less."""
ANSWER_SECONDS = 10.0
_LATER = "Told later:"
_PAGE = 200
"""Flow runs that Prefect gives at most in one answer."""
_looked: set[Address] = set()


def tell_missed_ends(catalog: str | Address, *, quiet_seconds: float = QUIET_SECONDS) -> dict[str, str]:
    """Give each run of this machine that is Running in Prefect, and has no process, the end of its execution.

    `catalog` is HOST/CATALOG, the one that the executions are of; `quiet_seconds` how long nothing happened to one that
    is at its end. The names of the states that were told, by the id of the flow run. An error of Prefect's server goes
    to the caller.
    """
    address = parse_address(catalog) if isinstance(catalog, str) else catalog
    workspace = load_settings().workspace(address)
    if not (workspace / FILE_NAME).exists():
        return {}
    journal = open_journal(workspace)
    told = {}
    with single_requests(), prompt_answers(ANSWER_SECONDS), get_client(sync_client=True) as client:
        for run in _running(client, journal):
            entry = _ended_execution(run, journal, quiet_seconds)
            if entry is None:
                continue
            end = _end(entry)
            client.set_flow_run_state(run.id, end, force=True)
            finished = entry.outcome is Outcome.completed
            code = Completed(message=f"{_LATER} the code came to its end") if finished else end
            end_runs_within(client, run.id, tasks=end, flows=code)
            told[str(run.id)] = str(end.name)
            logger.info("Prefect is told now that flow run %s is %s: %s", run.id, end.name, end.message)
    return told


def tell_missed_ends_aside(address: Address) -> None:
    """The same beside what this process does, once for a catalog; what goes wrong is left to the next one."""
    if address in _looked:
        return
    _looked.add(address)
    around = contextvars.copy_context()
    threading.Thread(target=around.run, args=(_try, address), name="missed-ends", daemon=True).start()


def _try(address: Address) -> None:
    try:
        tell_missed_ends(address)
    # nothing that this process does depends on it
    except Exception as e:  # noqa: BLE001
        logger.debug("Prefect was not asked for runs that it shows as Running: %s", e)


def _running(client: SyncPrefectClient, journal: Journal) -> list[FlowRun]:
    """Flow runs that Prefect shows as Running: all, or those of this machine where many others use the server."""
    running = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING]))
    every = FlowRunFilter(state=running)
    answer = client.request("POST", "/flow_runs/count", json={"flow_runs": every.model_dump(mode="json")})
    answer.raise_for_status()
    count = answer.json()
    if count <= _PAGE:
        return client.read_flow_runs(flow_run_filter=every, limit=_PAGE) if count else []
    ours = [UUID(run_id) for run_id in flow_runs.list_flow_runs(journal)]
    found: list[FlowRun] = []
    for first in range(0, len(ours), _PAGE):
        named = FlowRunFilter(state=running, id=FlowRunFilterId(any_=ours[first : first + _PAGE]))
        found += client.read_flow_runs(flow_run_filter=named, limit=_PAGE)
    return found


def _ended_execution(run: FlowRun, journal: Journal, quiet_seconds: float) -> Entry | None:
    """The execution of a run that has come to an end; None when it may have a process, or is not of this machine."""
    rids = flow_runs.executions_of(journal, str(run.id))
    entry = executions.read_execution(journal, rids[-1]) if rids else None
    if entry is None or entry.facts.get("suspended") or run.state is None:
        return None
    owner = ownership.owner_of(journal.workspace / "executions" / entry.rid)
    # nobody has had it yet, or a process that has begun since may not have come to it yet
    if owner is None or owner.alive or run.state.timestamp > datetime.fromisoformat(owner.since):
        return None
    ended = entry.status in (_S.Uploaded, _S.Failed, _S.Aborted)
    last = datetime.fromisoformat(entry.last_activity)
    return None if ended and datetime.now(UTC) - last < timedelta(seconds=quiet_seconds) else entry


def _end(entry: Entry) -> State[Any]:
    said = f"execution {entry.rid} is {entry.status}" + (f", {entry.status_detail}" if entry.status_detail else "")
    match entry.status:
        case _S.Uploaded:
            return Completed(message=f"{_LATER} {said}")
        case _S.Failed:
            return Failed(message=f"{_LATER} {said}")
        case _S.Aborted:
            return Cancelled(message=f"{_LATER} {said}")
        case _:
            return Crashed(message=f"{_LATER} the process of this run is gone; {said}")
