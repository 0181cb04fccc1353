"""Staged feature values into the catalog, after every asset that they may refer to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from deriva_ml_prefect.exceptions import DerivaMLCredentialExpired, DerivaMLUploadError
from deriva_ml_prefect.journal import effects as journal_effects
from deriva_ml_prefect.journal import features as journal_features
from deriva_ml_prefect.journal import files as journal_files
from deriva_ml_prefect.journal.features import Batch, StagedFeature
from deriva_ml_prefect.phases.context import Context, journal_of
from deriva_ml_prefect.phases.deliver import deliver
from deriva_ml_prefect.phases.send import UploadOptions
from deriva_ml_prefect.values.effects import Effect, Failure, Order
from deriva_ml_prefect.values.listed import first_of
from deriva_ml_prefect.values.sizes import format_count

MOST_HALVINGS = 300
"""So often is looked which values of a batch are refused; if more are wrong, whole batches are told."""


def flush_features(context: Context, options: UploadOptions = UploadOptions()) -> Context:  # noqa: B008 (frozen)
    """Insert every staged feature value that is not in the catalog.

    One feature that fails does not hold up the others; values that failed before are sent again. Raises
    DerivaMLUploadError naming what is not there.
    """
    journal = journal_of(context)
    unsent = journal_files.count_unsent(journal, context.rid)
    if unsent:
        raise DerivaMLUploadError(
            f"Execution {context.rid} has {format_count(unsent, 'file')} to upload first; feature values wait for "
            "that. Call upload_execution_outputs() again."
        )
    failed = _flush(context, options)
    expired = next((failure for failure in failed if failure.credential_expired), None)
    if expired is not None:
        raise DerivaMLCredentialExpired(
            f"Execution {context.rid}: the server no longer accepts the credential, and feature values wait for "
            f"another one. {expired.reason} Everything is still staged: renew the credential, then call "
            f"upload_execution_outputs() again, or `deriva-ml-prefect resume {context.rid}`."
        )
    if failed:
        shown = first_of(f"{failure.key}: {failure.reason}" for failure in failed)
        raise DerivaMLUploadError(
            f"Execution {context.rid}: feature values were not inserted. {shown}. They are still staged, and the "
            "others are in the catalog: correct what is wrong, then call upload_execution_outputs() again, or "
            f"`deriva-ml-prefect resume {context.rid}`.",
            [(failure.key, failure.reason) for failure in failed],
            passing=all(failure.transient for failure in failed),
        )
    return context


def _flush(context: Context, options: UploadOptions) -> list[Failure]:
    """Deliver all values. A batch that is refused for its values is halved until it is clear which they are: the
    catalog takes all rows of a request or none."""
    journal = journal_of(context)
    failed: list[Failure] = []
    halvings = 0
    waiting = [
        effect for feature in journal_features.summarize(journal, context.rid) for effect in _plan(context, feature)
    ]
    while waiting:
        report = deliver(context, waiting, options)
        payloads = {effect.key: effect.payload for effect in waiting}
        waiting = []
        for receipt in report.delivered:
            _, ends = _place(payloads[receipt.key])
            journal_features.mark_uploaded(journal, context.rid, *ends)
        for failure in report.failed:
            batch, ends = _place(payloads[failure.key])
            if failure.of_values and batch.rows > 1 and halvings < MOST_HALVINGS:
                halvings += 1
                journal_effects.drop_effects(journal, context.rid, [failure.key])
                halves = journal_features.halve(journal, context.rid, ends[0], batch)
                waiting += [_effect(payloads[failure.key], half) for half in halves]
                continue
            journal_features.mark_failed(journal, context.rid, *ends, failure.reason)
            if batch.rows == 1:
                target = journal_features.target_of(journal, context.rid, ends[0], batch)
                failure = replace(failure, key=f"features/{ends[0]}/{target}")
            failed.append(failure)
    return failed


def _place(payload: Mapping[str, Any]) -> tuple[Batch, tuple[str, int, int]]:
    """The batch of an effect; and its feature's table with its ends."""
    batch = Batch(payload["first"], payload["last"], payload["rows"])
    return batch, (payload["feature_table"], batch.first, batch.last)


def _effect(common: Mapping[str, Any], batch: Batch) -> Effect:
    payload = {**common, "first": batch.first, "last": batch.last, "rows": batch.rows}
    key = f"features/{common['feature_table']}/{batch.first:012d}-{batch.last:012d}"
    return Effect(key, Order.feature_rows, payload)


def _plan(context: Context, feature: StagedFeature) -> Iterator[Effect]:
    """Batches of the values that are not in the catalog, named by their ends."""
    common = {
        "kind": "feature_rows",
        "feature_table": feature.feature_table,
        "feature_name": feature.feature_name,
        "target_table": feature.target_table,
    }
    for batch in journal_features.unsent_batches(journal_of(context), context.rid, feature.feature_table):
        yield _effect(common, batch)
