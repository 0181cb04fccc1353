"""The file that an execution uploads about itself, against the journal or against the rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deriva_ml_prefect.catalog import executions as catalog_executions
from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.catalog.objects import object_path_of
from deriva_ml_prefect.exceptions import DerivaMLDataError, DerivaMLException, DerivaMLOfflineError
from deriva_ml_prefect.journal import files
from deriva_ml_prefect.journal.executions import Entry
from deriva_ml_prefect.journal.store import Journal
from deriva_ml_prefect.questions.verification.report import Findings
from deriva_ml_prefect.values.durations import format_duration, told_seconds
from deriva_ml_prefect.values.names import MLAsset
from deriva_ml_prefect.values.records import ExecutionRecord
from deriva_ml_prefect.values.run_record import run_record_name
from deriva_ml_prefect.values.status import ExecutionStatus


def check_run_record(catalog: Catalog, journal: Journal, entry: Entry, findings: Findings) -> None:
    """Compare what the record of an Uploaded execution says with the journal."""
    if entry.status is not ExecutionStatus.Uploaded:
        return
    name = run_record_name(entry.rid)
    file = files.read_file(journal, entry.rid, f"{MLAsset.execution_metadata}/{name}")
    if file is None or file.url is None:
        findings.differs(f"Execution {entry.rid}", "record of the run", expected=name, found=None)
        return
    said = read_record(catalog, name, file.url, findings)
    if said is None:
        return
    due = {
        "execution_rid": entry.rid,
        "outcome": entry.outcome.value,
        "attempt": entry.attempt,
        "supersedes": entry.supersedes,
        "durations_seconds": told_seconds(entry.facts),
    }
    for field, expected in due.items():
        findings.compare(name, field, expected, said.get(field))


def check_record_against_rows(
    catalog: Catalog, record: ExecutionRecord, said: Mapping[str, Any], findings: Findings
) -> None:
    """Without a journal: what the record says against the row of the execution and the datasets linked to it."""
    name = run_record_name(record.rid)
    findings.compare(name, "execution_rid", record.rid, said.get("execution_rid"))
    for phase, seconds in dict(said.get("durations_seconds") or {}).items():
        if phase in catalog.dialect.durations or (phase == "execution" and catalog.dialect.single_duration):
            subject = f"Execution {record.rid}"
            findings.compare(subject, f"{phase} duration", format_duration(seconds), record.durations.get(phase))
    linked = dict(catalog_executions.list_input_datasets(catalog, record.rid))
    for item in said.get("inputs") or ():
        if item.get("kind") != "dataset":
            continue
        findings.checked["datasets"] += 1
        if item["rid"] not in linked:
            findings.differs(f"Dataset {item['rid']}", "link to the execution", expected="read by it", found=None)
        elif catalog.dialect.dataset_execution_version:
            subject = f"Dataset {item['rid']}"
            findings.compare(subject, "version that was read", item.get("version_rid"), linked[item["rid"]])


def read_record(catalog: Catalog, name: str, url: str, findings: Findings) -> Mapping[str, Any] | None:
    """The record's content; None, and a finding, when it cannot be had."""
    findings.checked["record of the run"] += 1
    try:
        answer = catalog.client.request("GET", object_path_of(catalog, url))
        if not answer.is_json or not isinstance(answer.json(), dict):
            findings.differs(name, "content", expected="an object of JSON", found=answer.text[:80])
            return None
        content: Mapping[str, Any] = answer.json()
    except DerivaMLOfflineError as e:
        findings.could_not(name, " ".join(str(e).split()))
        return None
    except (DerivaMLDataError, DerivaMLException) as e:
        findings.differs(name, "content", expected=url, found=" ".join(str(e).split()))
        return None
    return content
