"""Prefect events about an execution: one for each status that it comes to.

    deriva-ml.execution.created, .running, .stopped, .pending-upload, .uploaded, .failed, .aborted

The resource is the execution, `deriva-ml.execution.<host>.<catalog>.<RID>`. Related to it are its catalog, its workflow
and the datasets that it reads; the flow run, its flow, deployment and tags are added by Prefect. The id of an event
follows from what it says, so that one that is sent twice is one event. But a server of Prefect 3.8 on SQLite fails with
events all of which it has (`NOT NULL constraint failed: events.occurred`), and drops others that came with them: so an
execution that is taken up again first asks which are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import NAMESPACE_URL, UUID, uuid5

from prefect.client.orchestration import SyncPrefectClient
from prefect.events import emit_event

from deriva_ml_prefect.journal.executions import Step
from deriva_ml_prefect.questions.execution_summary import ExecutionSummary

PREFIX = "deriva-ml.execution"
_PAGE = 50
"""Events that Prefect gives at most in one answer."""


def emit_status(summary: ExecutionSummary, step: Step, number: int) -> None:
    """Tell Prefect that an execution has come to a status; `number` counts its steps from 0."""
    record = summary.execution
    catalog = f"{summary.address.hostname}.{summary.address.catalog_id}"
    related = [
        {
            "prefect.resource.id": f"deriva-ml.catalog.{catalog}",
            "prefect.resource.role": "catalog",
            "prefect.resource.name": str(summary.address),
        }
    ]
    if summary.workflow:
        related.append(
            {
                "prefect.resource.id": f"deriva-ml.workflow.{catalog}.{summary.workflow.rid}",
                "prefect.resource.role": "workflow",
                "prefect.resource.name": summary.workflow.name or summary.workflow.rid,
            }
        )
    related += [
        {
            "prefect.resource.id": f"deriva-ml.dataset.{catalog}.{dataset.rid}",
            "prefect.resource.role": "input-dataset",
            "prefect.resource.name": f"{dataset.rid} {dataset.version or ''}".strip(),
        }
        for dataset in summary.input_datasets
    ]
    emit_event(
        event=f"{PREFIX}.{step.status.value.lower().replace('_', '-')}",
        resource={
            "prefect.resource.id": f"{PREFIX}.{catalog}.{record.rid}",
            "prefect.resource.name": f"Execution {record.rid}",
            "deriva-ml.url": summary.url,
        },
        related=related,
        payload={"status": step.status.value, "detail": step.detail, "rid": record.rid, "url": summary.url},
        occurred=datetime.fromisoformat(step.at),
        id=event_id(summary, step, number),
    )


def event_id(summary: ExecutionSummary, step: Step, number: int) -> UUID:
    """The id of the event for one step of the status."""
    return uuid5(NAMESPACE_URL, f"{summary.url}#{number}-{step.status.value}-{step.at}")


def find_events(client: SyncPrefectClient, ids: Sequence[UUID]) -> set[UUID]:
    """Those of some events that Prefect has already."""
    found: set[UUID] = set()
    for first in range(0, len(ids), _PAGE):
        asked = {"id": {"id": [str(each) for each in ids[first : first + _PAGE]]}}
        answer = client.request("POST", "/events/filter", json={"filter": asked, "limit": _PAGE})
        answer.raise_for_status()
        found |= {UUID(event["id"]) for event in answer.json()["events"]}
    return found
