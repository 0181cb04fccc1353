"""The end: the record of the run, a last look that everything is there, and status Uploaded with the durations."""

from __future__ import annotations

from deriva_ml_prefect.exceptions import DerivaMLUploadError
from deriva_ml_prefect.journal import effects, executions, features, files
from deriva_ml_prefect.journal.executions import Entry
from deriva_ml_prefect.journal.files import StagedFile
from deriva_ml_prefect.phases.advance import advance
from deriva_ml_prefect.phases.context import Context, entry_of, journal_of
from deriva_ml_prefect.phases.record import write_run_record
from deriva_ml_prefect.phases.seal import seal_file
from deriva_ml_prefect.phases.send import UploadOptions, for_own_files
from deriva_ml_prefect.phases.tidy import forget_staged_bytes
from deriva_ml_prefect.phases.upload import upload_files
from deriva_ml_prefect.values.durations import RECORDED, measured_seconds
from deriva_ml_prefect.values.effects import EffectState
from deriva_ml_prefect.values.names import MLAsset
from deriva_ml_prefect.values.run_record import run_record_name
from deriva_ml_prefect.values.sizes import format_count
from deriva_ml_prefect.values.status import ExecutionStatus


def close_execution(context: Context, options: UploadOptions = UploadOptions()) -> Context:  # noqa: B008 (frozen)
    """Make the execution Uploaded, with every byte and row of it in the catalog.

    Raises DerivaMLUploadError when anything is without a receipt.
    """
    journal = journal_of(context)
    entry = entry_of(context)
    known = files.read_file(journal, context.rid, f"{MLAsset.execution_metadata}/{run_record_name(context.rid)}")
    if known is None or not _is_of_this_upload(entry, known):
        seconds = measured_seconds(entry.facts)
        executions.merge_facts(journal, context.rid, {RECORDED: seconds})
        known = write_run_record(context, seconds=seconds)
    if known.status != "uploaded":
        upload_files(context, [seal_file(context, known)], for_own_files(options))
    check_complete(context)
    advance(context, ExecutionStatus.Uploaded)
    executions.merge_facts(journal, context.rid, {"closed": True})
    if not options.keep_staged:
        forget_staged_bytes(context)
    return context


def _is_of_this_upload(entry: Entry, record: StagedFile) -> bool:
    """Whether a record was made since the execution was Uploaded last: it stays as it is, so that it is sent once."""
    if record.status != "uploaded":
        return record.path.exists()
    return entry.uploaded_at is None or record.updated_at > entry.uploaded_at


def check_complete(context: Context) -> None:
    """Raise DerivaMLUploadError unless everything registered, staged and planned has its receipt."""
    journal = journal_of(context)
    missing = {
        "file": files.count_unsent(journal, context.rid),
        "feature value": features.count_unsent(journal, context.rid),
        "effect": sum(
            count
            for state, (count, _) in effects.count_effects(journal, context.rid).items()
            if state is not EffectState.delivered
        ),
    }
    if any(missing.values()):
        shown = ", ".join(format_count(count, name) for name, count in missing.items() if count)
        raise DerivaMLUploadError(
            f"Execution {context.rid} is not complete: {shown} without a receipt. Call upload_execution_outputs()."
        )
