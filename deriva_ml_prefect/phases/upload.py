"""Assets into the catalog: bytes first, then rows, then the rows that say what they are and who made them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from deriva_ml_prefect.exceptions import DerivaMLUploadError
from deriva_ml_prefect.journal import files as journal_files
from deriva_ml_prefect.journal.files import StagedFile
from deriva_ml_prefect.phases.context import Context, journal_of
from deriva_ml_prefect.phases.deliver import deliver
from deriva_ml_prefect.phases.send import UploadOptions
from deriva_ml_prefect.values.effects import Effect, Failure, Order, Report
from deriva_ml_prefect.values.names import AssetRole
from deriva_ml_prefect.values.objects import object_path

ROWS_AT_ONCE = 500
"""Asset rows in one request."""


def upload_assets(context: Context, options: UploadOptions = UploadOptions()) -> Context:  # noqa: B008 (frozen)
    """Upload every sealed file that is not in the catalog, and its rows.

    A file that fails does not hold up the others. Raises DerivaMLUploadError naming each that is not there.
    """
    upload_files(context, journal_files.list_files(journal_of(context), context.rid, unsent=True), options)
    return context


def upload_files(context: Context, files: Sequence[StagedFile], options: UploadOptions) -> None:
    """Upload the given sealed files in the three waves; as `upload_assets`."""
    journal = journal_of(context)
    sent = deliver(context, [_bytes_effect(file) for file in files], options)
    urls = {receipt.key: str(receipt.facts["url"]) for receipt in sent.delivered}
    here = [file for file in files if _bytes_key(file) in urls]
    rowed = deliver(context, list(_row_effects(here, urls)), options)
    rids: dict[str, str] = {}
    for receipt in rowed.delivered:
        rids.update(receipt.facts["rids"])
    with_row = [file for file in here if file.key in rids]
    linked = deliver(context, list(_association_effects(with_row, rids)), options)
    if linked.complete:
        journal_files.mark_uploaded(journal, context.rid, {f.key: (urls[_bytes_key(f)], rids[f.key]) for f in with_row})
    _raise_failures(context, sent, rowed, linked)


def _raise_failures(context: Context, *reports: Report) -> None:
    failures: list[Failure] = [failure for report in reports for failure in report.failed]
    if not failures:
        return
    journal = journal_of(context)
    for failure in failures:
        if failure.key.startswith("bytes/"):
            journal_files.mark_failed(journal, context.rid, failure.key.removeprefix("bytes/"), failure.reason)
    shown = "; ".join(f"{failure.key}: {failure.reason}" for failure in failures[:5])
    more = f" (and {len(failures) - 5} more)" if len(failures) > 5 else ""
    raise DerivaMLUploadError(
        f"Execution {context.rid}: {len(failures)} of the uploads failed. {shown}{more}. Everything is still staged: "
        f"call upload_execution_outputs() again, or `deriva-ml-prefect resume {context.rid}`.",
        [(failure.key, failure.reason) for failure in failures],
    )


def _bytes_key(file: StagedFile) -> str:
    return f"bytes/{file.key}"


def _bytes_effect(file: StagedFile) -> Effect:
    assert file.md5 is not None
    assert file.length is not None
    payload = {
        "kind": "bytes",
        "key": file.key,
        "path": str(file.path),
        "object": object_path(file.asset_table, file.md5, file.file_name),
        "file_name": file.file_name,
        "length": file.length,
        "md5": file.md5,
    }
    return Effect(_bytes_key(file), Order.bytes, payload, file.length)


def _row_effects(files: Sequence[StagedFile], urls: Mapping[str, str]) -> Iterator[Effect]:
    for table, batch in _batches(files):
        rows = [
            {
                **file.metadata,
                "URL": urls[_bytes_key(file)],
                "Filename": file.file_name,
                "Length": file.length,
                "MD5": file.md5,
                "Description": file.description or None,
            }
            for file in batch
        ]
        payload = {"kind": "asset_rows", "table": table, "keys": [file.key for file in batch], "rows": rows}
        yield Effect(f"rows/{table}/{_digest(payload)}", Order.asset_rows, payload)


def _association_effects(files: Sequence[StagedFile], rids: Mapping[str, str]) -> Iterator[Effect]:
    for table, batch in _batches(files):
        types = [[rids[file.key], term] for file in batch for term in file.asset_types]
        if types:
            payload: dict[str, Any] = {"kind": "asset_types", "table": table, "rows": types}
            yield Effect(f"types/{table}/{_digest(payload)}", Order.association_rows, payload)
        payload = {
            "kind": "asset_links",
            "table": table,
            "assets": [rids[file.key] for file in batch],
            "role": AssetRole.output.value,
        }
        yield Effect(f"links/{table}/{_digest(payload)}", Order.association_rows, payload)


def _batches(files: Iterable[StagedFile]) -> Iterator[tuple[str, list[StagedFile]]]:
    ordered = sorted(files, key=lambda file: (file.asset_table, file.key))
    for table, group in groupby(ordered, key=lambda file: file.asset_table):
        listed = list(group)
        for start in range(0, len(listed), ROWS_AT_ONCE):
            yield table, listed[start : start + ROWS_AT_ONCE]


def _digest(payload: Mapping[str, Any]) -> str:
    """Names a batch by what is in it, so that the same batch has the same key in every attempt."""
    return hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()[:16]
