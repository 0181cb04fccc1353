"""The row of an execution against the journal: status, workflow, durations, the datasets read and the parent."""

from __future__ import annotations

from deriva_ml_prefect.catalog import executions as catalog_executions
from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.journal import executions, inputs
from deriva_ml_prefect.journal.executions import Entry
from deriva_ml_prefect.journal.store import Journal
from deriva_ml_prefect.questions.verification.report import Findings
from deriva_ml_prefect.values.durations import told_durations
from deriva_ml_prefect.values.records import ExecutionRecord
from deriva_ml_prefect.values.rid import RID
from deriva_ml_prefect.values.status import ExecutionStatus

_LOOKS = 5


def read_both(catalog: Catalog, journal: Journal, rid: RID) -> tuple[Entry, ExecutionRecord | None]:
    """Journal entry and row of one moment: a run that is at work may change both while they are read."""
    for _ in range(_LOOKS):
        before = executions.read_execution(journal, rid)
        record = catalog_executions.read_execution(catalog, rid)
        entry = executions.read_execution(journal, rid)
        if before == entry:
            break
    assert entry is not None
    return entry, record


def check_execution_row(
    catalog: Catalog, journal: Journal, entry: Entry, record: ExecutionRecord | None, findings: Findings
) -> None:
    """Compare the row itself; one that is missing is the only difference then."""
    subject = f"Execution {entry.rid}"
    findings.checked["execution row"] += 1
    if record is None:
        if entry.registered:
            findings.differs(subject, "row", expected=f"a row, {entry.status}", found=None)
        return
    findings.compare(subject, "Status", str(entry.status), str(record.status))
    if not executions.unsent_steps(journal, entry.rid):
        findings.compare(subject, "Status_Detail", entry.status_detail or None, record.status_detail or None)
    findings.compare(subject, "Workflow", entry.workflow_rid, record.workflow_rid)
    findings.compare(subject, "Description", entry.description or None, record.description or None)
    if entry.status is ExecutionStatus.Uploaded:
        due = told_durations(entry.facts)
        for phase, text in due.items():
            if phase in catalog.dialect.durations or (phase == "execution" and catalog.dialect.single_duration):
                findings.compare(subject, f"{phase} duration", text, record.durations.get(phase))
    if entry.facts.get("begun"):
        _check_datasets(catalog, journal, entry, findings)
        _check_parent(catalog, entry, findings)


def _check_datasets(catalog: Catalog, journal: Journal, entry: Entry, findings: Findings) -> None:
    """The datasets of the configuration must be linked; one that was only looked at need not be, and may be."""
    read = {item.rid: item.facts.get("version_rid") for item in inputs.list_inputs(journal, entry.rid, "dataset")}
    needed = {str(item["rid"]) for item in entry.configuration.get("datasets") or ()}
    linked = dict(catalog_executions.list_input_datasets(catalog, entry.rid))
    for rid in sorted(needed | linked.keys()):
        subject = f"Dataset {rid}"
        findings.checked["datasets"] += 1
        if rid not in linked:
            findings.differs(subject, "link to the execution", expected="read by it", found=None)
        elif rid not in read:
            findings.differs(subject, "link to the execution", expected=None, found="read by it")
        elif catalog.dialect.dataset_execution_version:
            findings.compare(subject, "version that was read", read[rid], linked[rid])


def _check_parent(catalog: Catalog, entry: Entry, findings: Findings) -> None:
    within = entry.facts.get("within")
    if not within or not catalog.dialect.nested_executions:
        return
    parent, sequence = within
    linked = dict(catalog_executions.list_nested(catalog, entry.rid, parents=True))
    findings.checked["parent"] += 1
    if parent not in linked:
        findings.differs(f"Execution {entry.rid}", "parent", expected=parent, found=None)
    else:
        findings.compare(f"Execution {entry.rid}", "place in its parent", sequence, linked[parent])
