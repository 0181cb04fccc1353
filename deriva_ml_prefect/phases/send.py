"""How each kind of effect is sent, so that sending it again changes nothing: one function a kind.

bytes          {kind, key, path, object, file_name, length, md5}     → {url}
asset_rows     {kind, table, keys, rows}                            → {rids: {key: RID}, otherwise: {key: [column]}}
asset_types    {kind, table, rows: [[asset RID, term]]}             → {rows}
asset_links    {kind, table, assets: [RID], role}                   → {rows}
feature_rows   {kind, feature_table, feature_name, target_table, first, last, rows}  → {rows}
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deriva_ml_prefect.catalog import assets, features, objects, vocabulary
from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.config.settings import load_settings
from deriva_ml_prefect.exceptions import DerivaMLValidationError
from deriva_ml_prefect.journal import effects as journal_effects
from deriva_ml_prefect.journal import features as journal_features
from deriva_ml_prefect.journal import files as journal_files
from deriva_ml_prefect.journal.effects import Planned
from deriva_ml_prefect.journal.files import Sealed
from deriva_ml_prefect.phases.context import Context, catalog_of, journal_of
from deriva_ml_prefect.transfer.hashing import FileFacts
from deriva_ml_prefect.values.effects import Receipt
from deriva_ml_prefect.values.names import AssetRole
from deriva_ml_prefect.values.objects import content_disposition, content_type
from deriva_ml_prefect.values.progress import ProgressCallback
from deriva_ml_prefect.values.records import FeatureDefinition
from deriva_ml_prefect.values.rid import is_rid

CHUNK_SIZE = 50 * 1024**2
"""Bytes of one chunk of an upload, unless the caller says otherwise."""


@dataclass(frozen=True)
class UploadOptions:
    """How outputs are sent. Times are seconds, sizes bytes; the defaults are the chapter's."""

    timeout: tuple[float, float] = (600, 600)
    """(connect, read) for each chunk."""
    chunk_size: int = CHUNK_SIZE
    max_retries: int = 3
    """Times that a failed effect is sent again."""
    retry_delay: float = 5.0
    """Before the first repetition; doubled for each further one."""
    progress: ProgressCallback | None = None
    keep_staged: bool = False
    """Leave the staged files on disk when everything is in the catalog."""

    def __post_init__(self) -> None:
        if not isinstance(self.chunk_size, int) or self.chunk_size < 1:
            raise DerivaMLValidationError(f"chunk_size is {self.chunk_size!r}: it is a number of bytes, at least one.")
        if not isinstance(self.max_retries, int) or self.max_retries < 0:
            raise DerivaMLValidationError(f"max_retries is {self.max_retries!r}: it is a whole number, from 0 up.")
        if not _is_time(self.retry_delay) or self.retry_delay < 0:
            raise DerivaMLValidationError(f"retry_delay is {self.retry_delay!r}: it is a number of seconds, from 0 up.")
        pair = self.timeout if isinstance(self.timeout, (tuple, list)) else ()
        if len(pair) != 2 or not all(_is_time(each) and each > 0 for each in pair):
            raise DerivaMLValidationError(
                f"timeout is {self.timeout!r}: give (connect, read) in seconds, both above 0."
            )


def for_own_files(options: UploadOptions) -> UploadOptions:
    """The same for the small files that an execution says something about itself with.

    A catalog that says nothing is not waited for as long as for a chunk of the user's, but as for any other answer.
    """
    longest = load_settings().timeout
    connect, read = options.timeout
    return replace(options, timeout=(min(connect, longest), min(read, longest)))


def _is_time(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


Told = Callable[[int], None]
"""Told how many bytes have gone since it was told last."""


Seals = Mapping[str, Sealed]
"""What the files that are sent together were sealed with, by key."""


def send(context: Context, planned: Planned, options: UploadOptions, told: Told, seals: Seals) -> Receipt:
    """Send one effect; the receipt says that it is certainly there. The caller looks whether it is still the owner."""
    payload = planned.effect.payload
    if payload["kind"] == "bytes":
        facts = _send_bytes(context, planned, options, told, seals.get(payload["key"]))
    else:
        facts = _SENDERS[payload["kind"]](context, planned)
    return Receipt(planned.effect.key, facts)


def seals_of(context: Context, effects: Sequence[Planned]) -> Seals:
    """Those of the files whose bytes are among the effects."""
    keys = [item.effect.payload["key"] for item in effects if item.effect.payload["kind"] == "bytes"]
    return journal_files.read_seals(journal_of(context), context.rid, keys) if keys else {}


def _send_bytes(
    context: Context, planned: Planned, options: UploadOptions, told: Told, seal: Sealed | None
) -> Mapping[str, Any]:
    payload = planned.effect.payload
    path = Path(payload["path"])
    facts = _sealed_facts(context, payload["key"], path, seal)
    journal = journal_of(context)
    url = objects.upload_object(
        catalog_of(context),
        path,
        payload["object"],
        facts,
        content_type=content_type(payload["file_name"]),
        disposition=content_disposition(payload["file_name"]),
        chunk_size=options.chunk_size,
        timeout=options.timeout,
        progress=told,
        job=planned.progress.get("job"),
        on_job=lambda job: journal_effects.note_progress(journal, context.rid, planned.effect.key, {"job": job}),
    )
    return {"url": url}


def _sealed_facts(context: Context, key: str, path: Path, file: Sealed | None) -> FileFacts:
    """Length and checksum that the file was sealed with; DerivaMLValidationError when it is gone or another one now."""
    if file is None:
        raise DerivaMLValidationError(f"File {key} of execution {context.rid} was never sealed; upload it again.")
    try:
        found = path.stat()
    except OSError as e:
        raise DerivaMLValidationError(
            f"File {key} is gone: {path} ({e.strerror}). Put it back, or register it again with asset_file_path()."
        ) from e
    if (found.st_size, found.st_mtime_ns, found.st_ino) != (file.length, file.modified_ns, file.inode):
        raise DerivaMLValidationError(
            f"File {key} was changed after it was sealed ({path}). Nothing of it was sent. Register it again with "
            "asset_file_path() to upload what it holds now."
        )
    md5_base64 = base64.b64encode(bytes.fromhex(file.md5)).decode()
    return FileFacts(file.length, file.md5, md5_base64, file.modified_ns, file.inode)


def _send_asset_rows(context: Context, planned: Planned) -> Mapping[str, Any]:
    payload = planned.effect.payload
    catalog = catalog_of(context)
    placed = assets.place_asset_rows(catalog, assets.asset_table(catalog, payload["table"]), payload["rows"])
    urls = {key: row["URL"] for key, row in zip(payload["keys"], payload["rows"], strict=True)}
    otherwise = {key: placed.otherwise[url] for key, url in urls.items() if url in placed.otherwise}
    return {"rids": {key: placed.rids[url] for key, url in urls.items()}, "otherwise": otherwise}


def _send_asset_types(context: Context, planned: Planned) -> Mapping[str, Any]:
    payload = planned.effect.payload
    catalog = catalog_of(context)
    pairs = [(asset, term) for asset, term in payload["rows"]]
    assets.insert_asset_types(catalog, assets.asset_table(catalog, payload["table"]), pairs)
    return {"rows": len(pairs)}


def _send_asset_links(context: Context, planned: Planned) -> Mapping[str, Any]:
    payload = planned.effect.payload
    catalog = catalog_of(context)
    table = assets.asset_table(catalog, payload["table"])
    assets.link_assets(catalog, table, context.rid, payload["assets"], AssetRole(payload["role"]))
    return {"rows": len(payload["assets"])}


def _send_feature_rows(context: Context, planned: Planned) -> Mapping[str, Any]:
    payload = planned.effect.payload
    catalog, journal = catalog_of(context), journal_of(context)
    feature = features.feature_of_table(catalog, payload["feature_table"], payload["target_table"])
    rows = journal_features.records_between(
        journal, context.rid, payload["feature_table"], payload["first"], payload["last"]
    )
    asset_columns = [column.name for column in feature.columns if column.kind == "asset"]
    by_path = journal_files.rids_by_path(journal, context.rid) if asset_columns else {}
    for row in rows if asset_columns else ():
        for column in asset_columns:
            given = row.setdefault(column, None)
            if given is None:
                continue
            row[column] = by_path.get(given, given)
            if not is_rid(row[column]):
                raise DerivaMLValidationError(
                    f"Feature {feature.name} of {row[feature.target_column]}: {column} is {row[column]}, which is no "
                    "registered output of this execution, and no RID. Register the file with asset_file_path(), or "
                    "drop the value with unstage_features()."
                )
    _name_terms(catalog, feature, rows)
    present = features.insert_feature_rows(catalog, feature, rows)
    return {"rows": present}


def _name_terms(catalog: Catalog, feature: FeatureDefinition, rows: list[dict[str, Any]]) -> None:
    """Own names for synonyms in values that were staged while the catalog was away."""
    for column in feature.columns:
        if column.refers_to and column.holds_names:
            names = vocabulary.own_names(
                catalog, column.refers_to, {row[column.name] for row in rows if row.get(column.name)}
            )
            for row in rows:
                if row.get(column.name):
                    row[column.name] = names[row[column.name]]


_SENDERS: dict[str, Callable[[Context, Planned], Mapping[str, Any]]] = {
    "asset_rows": _send_asset_rows,
    "asset_types": _send_asset_types,
    "asset_links": _send_asset_links,
    "feature_rows": _send_feature_rows,
}
