"""One execution, read back whole and compared."""

from __future__ import annotations

from collections.abc import Iterator

from deriva_ml_prefect.catalog import executions as catalog_executions
from deriva_ml_prefect.catalog.connection import Catalog, catalog_for
from deriva_ml_prefect.config.settings import load_settings
from deriva_ml_prefect.exceptions import DerivaMLNotFoundError
from deriva_ml_prefect.journal import effects, executions, features, files
from deriva_ml_prefect.journal.executions import Entry
from deriva_ml_prefect.journal.store import FILE_NAME, Journal, open_journal
from deriva_ml_prefect.questions.verification.asset_links import check_asset_links, objects_made
from deriva_ml_prefect.questions.verification.asset_rows import (
    check_asset_rows,
    check_asset_types,
    objects_without_row,
)
from deriva_ml_prefect.questions.verification.execution_row import check_execution_row, read_both
from deriva_ml_prefect.questions.verification.feature_values import check_feature_values, count_values
from deriva_ml_prefect.questions.verification.report import Against, Findings, Verification
from deriva_ml_prefect.questions.verification.run_record import (
    check_record_against_rows,
    check_run_record,
    read_record,
)
from deriva_ml_prefect.questions.verification.stored_objects import DueObject, check_objects
from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.effects import EffectState
from deriva_ml_prefect.values.records import ExecutionRecord
from deriva_ml_prefect.values.rid import RID, check_rid
from deriva_ml_prefect.values.run_record import run_record_name
from deriva_ml_prefect.values.status import ExecutionStatus


def verify_execution(address: Address, rid: RID, *, content: bool = True) -> Verification:
    """Compare everything of an execution with its receipts, or without a journal the rows with the objects.

    `content` False takes the store's word for the MD5 of objects instead of reading gigabytes. What is staged and not
    in the catalog is a difference. DerivaMLNotFoundError when neither the catalog nor this machine has the execution.
    """
    check_rid(rid, "Execution RID")
    catalog = catalog_for(address)
    findings = Findings()
    journal = _journal_of(address, rid)
    if journal is None:
        record = catalog_executions.read_execution(catalog, rid)
        if record is None:
            raise DerivaMLNotFoundError(
                f"Catalog {address} has no execution {rid}, and no journal below {load_settings().home} knows it. "
                "Check the RID, and the catalog with --host and --catalog."
            )
        against = Against.itself
        due = list(_without_journal(catalog, record, findings))
    else:
        against = Against.receipts
        due = list(_with_journal(catalog, journal, rid, findings))
    check_objects(catalog, due, findings, content=content)
    return Verification(
        address,
        rid,
        against,
        content,
        tuple(findings.differences),
        tuple(findings.unchecked),
        findings.further,
        dict(findings.checked),
        tuple(findings.notes),
    )


def _journal_of(address: Address, rid: RID) -> Journal | None:
    """The journal of this machine, if it knows the execution."""
    workspace = load_settings().workspace(address)
    if not (workspace / FILE_NAME).exists():
        return None
    journal = open_journal(workspace)
    return journal if executions.read_execution(journal, rid) is not None else None


def _with_journal(catalog: Catalog, journal: Journal, rid: RID, findings: Findings) -> Iterator[DueObject]:
    entry, record = read_both(catalog, journal, rid)
    _check_waiting(journal, entry, findings)
    check_execution_row(catalog, journal, entry, record, findings)
    yield from check_asset_rows(catalog, journal, rid, findings)
    yield from objects_without_row(journal, rid)
    check_asset_types(catalog, journal, rid, findings)
    check_asset_links(catalog, journal, entry, findings)
    check_feature_values(catalog, journal, rid, findings)
    check_run_record(catalog, journal, entry, findings)


def _check_waiting(journal: Journal, entry: Entry, findings: Findings) -> None:
    """What is staged on this machine and has no receipt."""
    if entry.status is ExecutionStatus.Aborted:
        return
    subject = f"Execution {entry.rid}"
    for file in files.list_files(journal, entry.rid, unsent=True):
        state = file.error or f"staged on this machine ({file.status})"
        findings.differs(file.key, "file", expected="in the catalog", found=state, kind="waiting")
    for item in features.summarize(journal, entry.rid):
        waiting = sum(count for state, count in item.rows.items() if state != "Uploaded")
        if waiting:
            name = f"{item.target_table}.{item.feature_name}"
            findings.differs(name, "values staged and not in the catalog", expected=0, found=waiting)
    left = sum(
        count
        for state, (count, _) in effects.count_effects(journal, entry.rid).items()
        if state is not EffectState.delivered
    )
    if left and entry.status is ExecutionStatus.Uploaded:
        findings.differs(subject, "planned writes without a receipt", expected=0, found=left)


def _without_journal(catalog: Catalog, record: ExecutionRecord, findings: Findings) -> Iterator[DueObject]:
    findings.checked["execution row"] += 1
    name = run_record_name(record.rid)
    records: list[tuple[str, str]] = []
    for row, due in objects_made(catalog, record.rid, findings):
        if row["Filename"] == name:
            records.append((str(row["RCT"]), due.url))
        yield due
    for feature, count in count_values(catalog, record.rid):
        findings.checked[f"values of {feature.target_table}.{feature.name} (counted only)"] += count
    findings.notes.append(
        "No journal of this machine knows the execution: its rows were compared with the objects that they name and "
        "with the record of the run, and values of features were only counted. The machine that ran it has receipts."
    )
    if records:
        # an additive upload writes a further record; the last one tells all
        said = read_record(catalog, name, max(records)[1], findings)
        if said is not None:
            check_record_against_rows(catalog, record, said, findings)
    elif record.status is ExecutionStatus.Uploaded:
        findings.notes.append(f"It has no {name}, so nothing tells how many rows there should be.")
