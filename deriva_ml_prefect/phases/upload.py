"""Assets into the catalog: bytes first, then rows, then the rows that say what they are and who made them."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import Any

from deriva_ml_prefect.exceptions import DerivaMLCredentialExpired, DerivaMLUploadError
from deriva_ml_prefect.journal import effects as journal_effects
from deriva_ml_prefect.journal import files as journal_files
from deriva_ml_prefect.journal.files import StagedFile
from deriva_ml_prefect.phases.context import Context, journal_of
from deriva_ml_prefect.phases.deliver import Course, deliver
from deriva_ml_prefect.phases.scrubbing import show_files
from deriva_ml_prefect.phases.send import UploadOptions
from deriva_ml_prefect.phases.tell import Amount, Teller
from deriva_ml_prefect.values.effects import Effect, Failure, Order, Receipt
from deriva_ml_prefect.values.listed import first_of
from deriva_ml_prefect.values.names import AssetRole
from deriva_ml_prefect.values.objects import object_path, object_path_apart
from deriva_ml_prefect.values.sizes import format_count

logger = logging.getLogger(__name__)

FILES_AT_ONCE = 4_000
"""Files in memory at the same time."""
ROWS_AT_ONCE = 2_000
"""Asset rows in one request."""
APART = "apart/"
"""Begins the keys of effects that send bytes a second time, to an object of another name."""


def upload_assets(context: Context, options: UploadOptions = UploadOptions()) -> Context:  # noqa: B008 (frozen)
    """Upload every sealed file that is not in the catalog, and its rows.

    A file that fails, or that `stage_outputs` found wanting, does not hold up the others. Raises DerivaMLUploadError
    naming each that is not there.
    """
    journal = journal_of(context)
    waiting = journal_files.measure_waiting(journal, context.rid)
    amount = Amount(waiting.files - waiting.sent_files, waiting.bytes, waiting.sent_bytes)
    pages = journal_files.pages(journal, context.rid, unsent=True, size=FILES_AT_ONCE)
    with Teller(context.rid, options, amount) as teller:
        _upload(context, pages, options, Course(teller))
    return context


def upload_files(context: Context, files: Sequence[StagedFile], options: UploadOptions) -> None:
    """Upload the given sealed files in the three waves; as `upload_assets`."""
    _upload(context, [files], options)


def _upload(
    context: Context, pages: Iterable[Sequence[StagedFile]], options: UploadOptions, course: Course | None = None
) -> None:
    """Upload files page after page, each with its rows, so that no more than a page is in memory."""
    journal = journal_of(context)
    wanting: dict[str, str] = {}
    failures: list[Failure] = []
    uploaded = 0
    for page in pages:
        wanting.update({file.key: file.error or "it was never sealed" for file in page if file.status == "wanting"})
        ready = [file for file in page if file.status != "wanting"]
        if failures and failures[-1].held_back:
            # nothing can be delivered now, so that the rest is not tried either
            failures += [replace(failures[-1], key=file.key) for file in ready]
            continue
        done, failed = _upload_page(context, ready, options, course)
        uploaded += done
        failures += sorted(failed, key=lambda failure: failure.held_back)
    failed_keys = {failure.key: failure.reason for failure in failures}
    journal_files.mark_failed(journal, context.rid, failed_keys)
    if failed_keys or wanting:
        expired = next((failure for failure in failures if failure.credential_expired), None)
        passing = not wanting and all(failure.transient for failure in failures)
        raise _error(context, {**wanting, **failed_keys}, uploaded, expired, passing=passing)


def _upload_page(
    context: Context, ready: Sequence[StagedFile], options: UploadOptions, course: Course | None
) -> tuple[int, list[Failure]]:
    """The number of files that are in the catalog now, and what became of the others; a failure's key is its file's."""
    sent = deliver(context, [_bytes_effect(file) for file in ready], options, course)
    urls = {receipt.key.removeprefix("bytes/"): str(receipt.facts["url"]) for receipt in sent.delivered}
    rowed = _deliver_rows(context, [f for f in ready if f.key in urls], partial(_rows_effect, urls=urls), options)
    rowed, moved = _give_own_rows(context, rowed, options)
    urls |= moved
    rids: dict[str, str] = {}
    for receipt in rowed.receipts:
        rids.update(receipt.facts["rids"])
    typed = _deliver_rows(context, rowed.files, partial(_types_effect, rids=rids), options)
    linked = _deliver_rows(context, typed.files, partial(_links_effect, rids=rids), options)
    uploaded = {f.key: (urls[f.key], rids[f.key]) for f in linked.files}
    journal_files.mark_uploaded(journal_of(context), context.rid, uploaded)
    unsent = [replace(failure, key=failure.key.removeprefix("bytes/")) for failure in sent.failed]
    return len(uploaded), [*unsent, *rowed.failed, *typed.failed, *linked.failed]


def _give_own_rows(context: Context, rowed: _Rowed, options: UploadOptions) -> tuple[_Rowed, dict[str, str]]:
    """Rows of their own for files whose bytes and name have a row that says something else; and their URLs by key.

    The URL is unique, so the bytes go to an object of another name. A row there that was changed since by hand is
    used as it is, and that is said.
    """
    otherwise = {key for receipt in rowed.receipts for key in receipt.facts.get("otherwise", ())}
    _drop_apart(context, {file.key for file in rowed.files} - otherwise)
    apart = [file for file in rowed.files if file.key in otherwise]
    if not apart:
        return rowed, {}
    sent = deliver(context, [_bytes_effect(file, apart=True) for file in apart], options)
    urls = {receipt.key.removeprefix(APART): str(receipt.facts["url"]) for receipt in sent.delivered}
    own = _deliver_rows(context, [f for f in apart if f.key in urls], partial(_rows_effect, urls=urls), options)
    for receipt in own.receipts:
        for key, names in receipt.facts.get("otherwise", {}).items():
            show_files([key])
            logger.warning(
                "Execution %s: file %s is asset %s, whose row has been changed by somebody in %s. What was given for "
                "it now is not recorded; correct the row if it is wrong.",
                *(context.rid, key, receipt.facts["rids"][key], ", ".join(names)),
            )
    unsent = [replace(failure, key=failure.key.removeprefix(APART)) for failure in sent.failed]
    shared = [file for file in rowed.files if file.key not in otherwise]
    return _Rowed((*shared, *own.files), (*rowed.receipts, *own.receipts), (*rowed.failed, *unsent, *own.failed)), urls


def _drop_apart(context: Context, needless: Collection[str]) -> None:
    """Forget objects apart that were planned for files that need none any more."""
    journal = journal_of(context)
    planned = (item.effect.key for item in journal_effects.undelivered(journal, context.rid))
    stale = [key for key in planned if key.startswith(APART) and key.removeprefix(APART) in needless]
    if stale:
        journal_effects.drop_effects(journal, context.rid, stale)


def _error(
    context: Context, failed: Mapping[str, str], uploaded: int, expired: Failure | None, *, passing: bool
) -> DerivaMLUploadError | DerivaMLCredentialExpired:
    show_files(failed)
    again = f"call upload_execution_outputs() again, or `deriva-ml-prefect resume {context.rid}`"
    if expired is not None:
        return DerivaMLCredentialExpired(
            f"Execution {context.rid}: the server no longer accepts the credential, and {len(failed)} of "
            f"{format_count(len(failed) + uploaded, 'file')} wait for another one. {expired.reason} Everything is "
            f"still staged: renew the credential, then {again}."
        )
    shown = first_of(f"{key}: {reason.rstrip('.')}" for key, reason in failed.items())
    others = f" {format_count(uploaded, 'other')} went to the catalog." if uploaded else ""
    were = "was" if len(failed) == 1 else "were"
    return DerivaMLUploadError(
        f"Execution {context.rid}: {format_count(len(failed), 'file')} {were} not uploaded. {shown}.{others} What is "
        f"on the disk stays staged: correct what is wrong (or drop a file with its path's unregister()), then {again}.",
        list(failed.items()),
        passing=passing,
    )


@dataclass(frozen=True)
class _Rowed:
    """What became of rows that stand for files: one file's failure is its own."""

    files: tuple[StagedFile, ...]
    receipts: tuple[Receipt, ...]
    failed: tuple[Failure, ...]
    """Their keys are the files'."""


def _deliver_rows(
    context: Context,
    files: Sequence[StagedFile],
    plan: Callable[[str, Sequence[StagedFile]], Effect],
    options: UploadOptions,
) -> _Rowed:
    """Deliver one effect a batch of files of one table. A batch whose values are refused is halved until it is clear
    which file's they are; the catalog takes all rows of a request or none."""
    done: list[StagedFile] = []
    receipts: list[Receipt] = []
    failed: list[Failure] = []
    waiting = list(_batches(files))
    while waiting:
        batches = {effect.key: (table, batch) for table, batch in waiting for effect in [plan(table, batch)]}
        report = deliver(context, [plan(*named) for named in batches.values()], options)
        for receipt in report.delivered:
            done += batches[receipt.key][1]
            receipts.append(receipt)
        waiting = []
        for failure in report.failed:
            table, batch = batches[failure.key]
            if failure.of_values and len(batch) > 1:
                journal_effects.drop_effects(journal_of(context), context.rid, [failure.key])
                half = len(batch) // 2
                waiting += [(table, batch[:half]), (table, batch[half:])]
            else:
                failed += [replace(failure, key=file.key) for file in batch]
    order = {file.key: number for number, file in enumerate(files)}
    return _Rowed(tuple(sorted(done, key=lambda file: order[file.key])), tuple(receipts), tuple(failed))


def _bytes_key(file: StagedFile) -> str:
    return f"bytes/{file.key}"


def _bytes_effect(file: StagedFile, *, apart: bool = False) -> Effect:
    assert file.md5 is not None
    assert file.length is not None
    path = object_path(file.asset_table, file.md5, file.file_name)
    if apart:
        said = {**file.metadata, "Description": file.description}
        path = object_path_apart(file.asset_table, file.md5, file.file_name, said)
    payload = {
        "kind": "bytes",
        "key": file.key,
        "path": str(file.path),
        "object": path,
        "file_name": file.file_name,
        "length": file.length,
        "md5": file.md5,
    }
    return Effect(APART + file.key if apart else _bytes_key(file), Order.bytes, payload, file.length)


def _rows_effect(table: str, batch: Sequence[StagedFile], *, urls: Mapping[str, str]) -> Effect:
    rows = [
        {
            **file.metadata,
            "URL": urls[file.key],
            "Filename": file.file_name,
            "Length": file.length,
            "MD5": file.md5,
            "Description": file.description or None,
        }
        for file in batch
    ]
    payload = {"kind": "asset_rows", "table": table, "keys": [file.key for file in batch], "rows": rows}
    return Effect(f"rows/{table}/{_digest(payload)}", Order.asset_rows, payload)


def _types_effect(table: str, batch: Sequence[StagedFile], *, rids: Mapping[str, str]) -> Effect:
    types = [[rids[file.key], term] for file in batch for term in file.asset_types]
    payload = {"kind": "asset_types", "table": table, "rows": types}
    return Effect(f"types/{table}/{_digest(payload)}", Order.association_rows, payload)


def _links_effect(table: str, batch: Sequence[StagedFile], *, rids: Mapping[str, str]) -> Effect:
    payload = {
        "kind": "asset_links",
        "table": table,
        "assets": [rids[file.key] for file in batch],
        "role": AssetRole.output.value,
    }
    return Effect(f"links/{table}/{_digest(payload)}", Order.association_rows, payload)


def _batches(files: Iterable[StagedFile]) -> Iterator[tuple[str, list[StagedFile]]]:
    ordered = sorted(files, key=lambda file: (file.asset_table, file.key))
    for table, group in groupby(ordered, key=lambda file: file.asset_table):
        listed = list(group)
        for start in range(0, len(listed), ROWS_AT_ONCE):
            yield table, listed[start : start + ROWS_AT_ONCE]


def _digest(payload: Mapping[str, Any]) -> str:
    """Names a batch by what is in it, so that the same batch has the same key in every attempt."""
    return hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()[:16]
