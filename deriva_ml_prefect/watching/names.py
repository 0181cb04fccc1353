"""Tags and a name by which the flow run of an execution is found in Prefect."""

from __future__ import annotations

import re

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun

from deriva_ml_prefect.questions.execution_summary import ExecutionSummary

_GENERATED = re.compile(r"[A-Za-z]+-[A-Za-z]+(?: [0-9A-Z]+(?:-[0-9A-Z]+)*)?")
"""A name that Prefect has made up, with the RID that an earlier attempt has put behind it."""


def tags_of(summary: ExecutionSummary) -> set[str]:
    """`execution:RID`, `catalog:HOST/CATALOG` and `workflow:RID`."""
    tags = {f"execution:{summary.execution.rid}", f"catalog:{summary.address}"}
    return tags | ({f"workflow:{summary.workflow.rid}"} if summary.workflow else set())


def tag_flow_run(client: SyncPrefectClient, run: FlowRun, summary: ExecutionSummary, *, rename: bool) -> None:
    """Add the tags to the flow run; with `rename`, put the RID behind a name that Prefect has made up."""
    name = run.name
    if rename and _GENERATED.fullmatch(name):
        name = f"{name.partition(' ')[0]} {summary.execution.rid}"
    client.update_flow_run(run.id, name=name, tags=sorted({*run.tags, *tags_of(summary)}))
