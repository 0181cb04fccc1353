"""Staged feature values into the catalog, after every asset that they may refer to."""

from __future__ import annotations

from collections.abc import Iterator

from deriva_ml_prefect.exceptions import DerivaMLCredentialExpired, DerivaMLUploadError
from deriva_ml_prefect.journal import features as journal_features
from deriva_ml_prefect.journal import files as journal_files
from deriva_ml_prefect.journal.features import StagedFeature
from deriva_ml_prefect.phases.context import Context, journal_of
from deriva_ml_prefect.phases.deliver import deliver
from deriva_ml_prefect.phases.send import UploadOptions
from deriva_ml_prefect.values.effects import Effect, Order


def flush_features(context: Context, options: UploadOptions = UploadOptions()) -> Context:  # noqa: B008 (frozen)
    """Insert every staged feature value that is not in the catalog.

    One feature that fails does not hold up the others; values that failed before are sent again. Raises
    DerivaMLUploadError naming what is not there.
    """
    journal = journal_of(context)
    unsent = journal_files.count_unsent(journal, context.rid)
    if unsent:
        raise DerivaMLUploadError(
            f"Execution {context.rid} has {unsent} files that are not uploaded; feature values wait for them. Call "
            "upload_execution_outputs() again."
        )
    planned = [
        effect for feature in journal_features.summarize(journal, context.rid) for effect in _plan(context, feature)
    ]
    report = deliver(context, planned, options)
    by_key = {effect.key: effect.payload for effect in planned}
    for receipt in report.delivered:
        batch = by_key[receipt.key]
        journal_features.mark_uploaded(journal, context.rid, batch["feature_table"], batch["first"], batch["last"])
    for failure in report.failed:
        batch = by_key[failure.key]
        journal_features.mark_failed(
            journal, context.rid, batch["feature_table"], batch["first"], batch["last"], failure.reason
        )
    expired = next((failure for failure in report.failed if failure.credential_expired), None)
    if expired is not None:
        raise DerivaMLCredentialExpired(
            f"Execution {context.rid}: the server no longer accepts the credential, and feature values wait for "
            f"another one. {expired.reason} Everything is still staged: renew the credential, then call "
            f"upload_execution_outputs() again, or `deriva-ml-prefect resume {context.rid}`."
        )
    if report.failed:
        shown = "; ".join(f"{failure.key}: {failure.reason}" for failure in report.failed[:5])
        raise DerivaMLUploadError(
            f"Execution {context.rid}: feature values were not inserted. {shown}. They are still staged: call "
            f"upload_execution_outputs() again, or `deriva-ml-prefect resume {context.rid}`.",
            [(failure.key, failure.reason) for failure in report.failed],
            passing=all(failure.transient for failure in report.failed),
        )
    return context


def _plan(context: Context, feature: StagedFeature) -> Iterator[Effect]:
    """Batches of the values that are not in the catalog, named by their ends."""
    for batch in journal_features.unsent_batches(journal_of(context), context.rid, feature.feature_table):
        payload = {
            "kind": "feature_rows",
            "feature_table": feature.feature_table,
            "feature_name": feature.feature_name,
            "target_table": feature.target_table,
            "first": batch.first,
            "last": batch.last,
            "rows": batch.rows,
        }
        key = f"features/{feature.feature_table}/{batch.first:012d}-{batch.last:012d}"
        yield Effect(key, Order.feature_rows, payload)
