"""What stands in the artifacts of an execution."""

from __future__ import annotations

import json
import re
from typing import Any

from deriva_ml_prefect.pages.execution_page import render_execution
from deriva_ml_prefect.pages.metrics_page import render_metrics
from deriva_ml_prefect.questions.execution_summary import ExecutionSummary
from deriva_ml_prefect.values.series import SeriesBuilder
from deriva_ml_prefect.watching.board import Shown
from deriva_ml_prefect.watching.transfers import Transfers

LISTED = 2_000
"""Files of one execution that its table shows."""


def show_summary(summary: ExecutionSummary) -> Shown:
    """The execution as a page, with links to its row and those of everything that it read and made."""
    said = f"Execution {summary.execution.rid} is {summary.execution.status}"
    return Shown(_key("execution", summary), "markdown", render_execution(summary), f"{said}: {_link(summary)}")


def show_files(summary: ExecutionSummary) -> Shown:
    """Inputs and outputs with their checksums, a row each."""
    rows = [
        _row("Input", "Dataset", item.rid, "", None, f"version {item.version or '?'}")
        for item in summary.input_datasets
    ]
    for role, files in (("Input", summary.input_assets), ("Output", summary.output_assets)):
        rows += [
            _row(role, item.asset_table, item.rid or "not uploaded", item.md5, item.length, item.filename or "")
            for item in files
        ]
    more = f"; the first {LISTED} of {len(rows)}" if len(rows) > LISTED else ""
    said = f"What execution {summary.execution.rid} read and made{more}: {_link(summary)}"
    return Shown(_key("files", summary), "table", json.dumps(rows[:LISTED]), said)


def _row(role: str, kind: str, rid: str, md5: str, length: int | None, name: str) -> dict[str, Any]:
    return {"Role": role, "Kind": kind, "RID": rid, "MD5": md5, "Bytes": length, "Name": name}


def show_transfers(summary: ExecutionSummary, transfers: Transfers) -> Shown:
    """How far the transfers are, 0 to 100 %."""
    said = f"Execution {summary.execution.rid}: {transfers.said}"
    return Shown(_key("transfers", summary), "progress", round(transfers.percent, 1), said)


def show_metrics(summary: ExecutionSummary, measured: SeriesBuilder) -> Shown:
    """The course of what the run measures."""
    rid = summary.execution.rid
    link = f"{_link(summary)}, {measured.records} records so far." if _runs(summary) else f"{_link(summary)}."
    page = render_metrics(f"Metrics of execution {rid}", measured.series(), steps=measured.steps, link=link)
    return Shown(_key("metrics", summary), "markdown", page, f"What execution {rid} measured: {_link(summary)}")


def _runs(summary: ExecutionSummary) -> bool:
    return str(summary.execution.status) == "Running"


def _key(what: str, summary: ExecutionSummary) -> str:
    return f"{what}-{re.sub(r'[^a-z0-9]+', '-', summary.execution.rid.lower())}"


def _link(summary: ExecutionSummary) -> str:
    return f"[{summary.execution.rid} in {summary.address}]({summary.url})"
