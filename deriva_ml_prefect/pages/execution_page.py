"""One execution as a page: what it ran, what it read, what it made."""

from __future__ import annotations

from deriva_ml_prefect.pages.markdown import cell, linked_table, table
from deriva_ml_prefect.questions.execution_summary import ExecutionSummary
from deriva_ml_prefect.values.liveness import Liveness
from deriva_ml_prefect.values.sizes import format_count
from deriva_ml_prefect.values.status import ExecutionStatus


def render_execution(summary: ExecutionSummary) -> str:
    """The summary as Markdown."""
    record = summary.execution
    lines = [
        f"# Execution {record.rid}",
        "",
        f"[{record.rid} in {summary.address}]({summary.url})",
        "",
        f"- **Status:** {record.status}" + (f" — {cell(record.status_detail)}" if record.status_detail else ""),
        f"- **Outcome of the code:** {cell(summary.outcome)}",
    ]
    if record.liveness not in (None, Liveness.settled):
        since = f" (last sign of life at {cell(record.last_sign_of_life or '')})"
        lines.append(f"- **Its process is:** {record.liveness}{since}")
    if summary.flow_run_id:
        lines.append(f"- **Prefect flow run:** {cell(summary.flow_run_id)}")
    if record.description:
        lines.append(f"- **Description:** {cell(record.description)}")
    if summary.workflow:
        workflow = summary.workflow
        kinds = ", ".join(workflow.workflow_types)
        lines.append(f"- **Workflow:** {cell(workflow.name or workflow.rid)} ({cell(kinds)})")
        lines.append(f"- **Code:** {cell(workflow.url or '')} `{cell(workflow.checksum or '')}`")
    lines += [f"- **{phase.capitalize()} took:** {cell(text)}" for phase, text in record.durations.items()]
    lines += _local(summary)
    lines += _inputs(summary)
    made = [
        (_link(summary, item.rid), cell(item.filename or ""), cell(item.asset_table),
         cell(", ".join(item.asset_types)), str(item.length), cell(item.md5))
        for item in summary.output_assets
    ]  # fmt: skip
    lines += linked_table("Assets made", ("RID", "File", "Table", "Types", "Bytes", "MD5"), made)
    lines += table("Feature values", ("Feature", "Rows"), [(name, str(n)) for name, n in summary.features.items()])
    return "\n".join(lines) + "\n"


def _inputs(summary: ExecutionSummary) -> list[str]:
    heads: tuple[str, ...] = ("RID", "Version", "Description")
    datasets: list[tuple[str, ...]] = [
        (_link(summary, item.rid), cell(item.version or ""), cell(item.description or ""))
        for item in summary.input_datasets
    ]
    if not any(item.description for item in summary.input_datasets):
        heads, datasets = heads[:2], [row[:2] for row in datasets]
    read = [
        (_link(summary, item.rid), cell(item.filename or ""), cell(item.asset_table), str(item.length), cell(item.md5))
        for item in summary.input_assets
    ]
    return [
        *linked_table("Datasets read", heads, datasets),
        *linked_table("Assets read", ("RID", "File", "Table", "Bytes", "MD5"), read),
    ]


def _link(summary: ExecutionSummary, rid: str) -> str:
    """A row of the catalog, to be followed in a browser; nothing for a file that has none yet."""
    return f"[{rid}]({summary.address_of(rid)})" if rid else "not uploaded"


def _local(summary: ExecutionSummary) -> list[str]:
    """What is still to be done on this machine, if anything is."""
    local = summary.local
    if local is None or summary.execution.status in (ExecutionStatus.Uploaded, ExecutionStatus.Aborted):
        return []
    files = format_count(local.files_waiting, "file")
    values = format_count(local.features_waiting, "feature value")
    lines = [f"- **On this machine:** {files} and {values} wait in {local.folder}"]
    if not local.owner_alive and local.user_code != "idle":
        lines.append(f"- **Finish it with:** `deriva-ml-prefect resume {summary.execution.rid}`")
    return lines
