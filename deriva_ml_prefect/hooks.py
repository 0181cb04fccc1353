"""State hooks of a flow that records an execution: they repeat or repair its status, and are never its only writer.

Entry point: `make_hooks`. A hook may run in the flow's process, in the runner's, or in a fresh one that has only the
flow run's id, and more than once; so all it does is tell `phases.recover.note_end` how the run ended. It gives up after
`TIME_LIMIT` seconds, and an error in it is a warning in the log: it must not hide the user's own.
"""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext
from prefect.flows import Flow

from deriva_ml_prefect.blocks import DerivaCatalog
from deriva_ml_prefect.catalog.connection import keep_catalog, open_catalog
from deriva_ml_prefect.exceptions import DerivaMLOfflineError
from deriva_ml_prefect.outage.within import end_runs_within
from deriva_ml_prefect.phases import recover

logger = logging.getLogger(__name__)

TIME_LIMIT = 30.0
"""Seconds that a hook may hold up the end of a run."""

Hook = Callable[[Flow[..., Any], FlowRun, State[Any]], None]

ENDINGS = {"on_failure": "failed", "on_crashed": "crashed", "on_cancellation": "cancelled"}
"""Prefect's kinds of hooks that matter, and how the run ended when they fire. The phases write all other statuses."""


def make_hooks(find_catalog: Callable[[], DerivaCatalog]) -> dict[str, list[Hook]]:
    """Hooks by the name of the flow's keyword; `find_catalog` says where the executions are, when a hook runs."""
    return {kind: [_hook(ended, find_catalog)] for kind, ended in ENDINGS.items()}


def _hook(ended: str, find_catalog: Callable[[], DerivaCatalog]) -> Hook:
    # Prefect's runner passes these by keyword: their names count
    def tell_execution(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001
        # nothing but the id is to be trusted here: after a crash the rest of flow_run is stale
        run_id = str(flow_run.id)
        message = f"Flow run {run_id} {state.name}" + (f": {state.message}" if state.message else "")
        context = contextvars.copy_context()
        worker = threading.Thread(
            target=lambda: context.run(_tell, find_catalog, run_id, ended, message),
            name=f"deriva-ml-hook-{ended}",
            daemon=True,
        )
        worker.start()
        worker.join(TIME_LIMIT)
        if worker.is_alive():
            logger.warning(
                "The catalog was not told within %.0f s that flow run %s %s; it will be at the next look at it.",
                TIME_LIMIT,
                run_id,
                ended,
            )

    tell_execution.__name__ = f"tell_execution_{ended}"
    return tell_execution


def _tell(find_catalog: Callable[[], DerivaCatalog], run_id: str, ended: str, message: str) -> None:
    try:
        catalog = find_catalog()
        if catalog.credentials is not None:
            # one that is away is told later, by what the journal keeps
            with suppress(DerivaMLOfflineError):
                keep_catalog(open_catalog(catalog.address(), credential=catalog.credential))
        recover.note_end(catalog.address(), run_id, ended=ended, message=message)
        if ended != "failed" and FlowRunContext.get() is None:
            _end_what_it_ran(UUID(run_id))
    # whatever goes wrong here must not hide how the run ended; a resume or the next look repairs the status
    except Exception as e:  # noqa: BLE001
        logger.warning("The execution of flow run %s could not be told that it %s: %s", run_id, ended, e)


def _end_what_it_ran(run_id: UUID) -> None:
    """Say in Prefect that the runs within a run whose process is gone are at their end too; nobody else would.

    A run that was not ended from outside has told their end itself.
    """
    with suppress(Exception), get_client(sync_client=True) as client:
        end_runs_within(client, run_id)
