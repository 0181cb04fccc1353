"""One execution as a page: what it ran, what it read, what it made."""

from __future__ import annotations

from collections.abc import Sequence

from deriva_ml_prefect.questions.execution_summary import ExecutionSummary
from deriva_ml_prefect.values.liveness import Liveness
from deriva_ml_prefect.values.status import ExecutionStatus


def render_execution(summary: ExecutionSummary) -> str:
    """The summary as Markdown."""
    record = summary.execution
    lines = [
        f"# Execution {record.rid}",
        "",
        f"[{record.rid} in {summary.address}]({summary.url})",
        "",
        f"- **Status:** {record.status}" + (f" — {_cell(record.status_detail)}" if record.status_detail else ""),
        f"- **Outcome of the code:** {_cell(summary.outcome)}",
    ]
    if record.liveness not in (None, Liveness.settled):
        since = f" (last sign of life at {_cell(record.last_sign_of_life or '')})"
        lines.append(f"- **Its process is:** {record.liveness}{since}")
    if record.description:
        lines.append(f"- **Description:** {_cell(record.description)}")
    if summary.workflow:
        workflow = summary.workflow
        kinds = ", ".join(workflow.workflow_types)
        lines.append(f"- **Workflow:** {_cell(workflow.name or workflow.rid)} ({_cell(kinds)})")
        lines.append(f"- **Code:** {_cell(workflow.url or '')} `{_cell(workflow.checksum or '')}`")
    lines += [f"- **{phase.capitalize()} took:** {_cell(text)}" for phase, text in record.durations.items()]
    lines += _local(summary)
    datasets = [(item.rid, item.version or "", item.description or "") for item in summary.input_datasets]
    lines += _table("Datasets read", ("RID", "Version", "Description"), datasets)
    read = [(item.asset_table, item.filename or "", str(item.length), item.md5) for item in summary.input_assets]
    lines += _table("Assets read", ("Table", "File", "Bytes", "MD5"), read)
    made = [
        (item.asset_table, item.filename or "", ", ".join(item.asset_types), str(item.length), item.md5, item.rid)
        for item in summary.output_assets
    ]
    lines += _table("Assets made", ("Table", "File", "Types", "Bytes", "MD5", "RID"), made)
    lines += _table("Feature values", ("Feature", "Rows"), [(name, str(n)) for name, n in summary.features.items()])
    return "\n".join(lines) + "\n"


def _local(summary: ExecutionSummary) -> list[str]:
    """What is still to be done on this machine, if anything is."""
    local = summary.local
    if local is None or summary.execution.status in (ExecutionStatus.Uploaded, ExecutionStatus.Aborted):
        return []
    waiting = f"{local.files_waiting} files and {local.features_waiting} feature values wait in {local.folder}"
    lines = [f"- **On this machine:** {waiting}"]
    if not local.owner_alive and local.user_code != "idle":
        lines.append(f"- **Finish it with:** `deriva-ml-prefect resume {summary.execution.rid}`")
    return lines


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return []
    body = ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    return ["", f"## {title}", "", "| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads), *body]


def _cell(text: str) -> str:
    """Text of the catalog inside a page: it cannot end its cell, nor bring markup of its own."""
    for mark, plain in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("\r", " "), ("\n", " ")):
        text = text.replace(mark, plain)
    return text
