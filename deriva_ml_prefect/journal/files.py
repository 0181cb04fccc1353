"""Files that an execution registered: where they lie, what they are, and how far they have come."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deriva_ml_prefect.journal.store import Journal, now
from deriva_ml_prefect.values.rid import RID


@dataclass(frozen=True)
class StagedFile:
    """One registered file. `length` is bytes, `md5` hexadecimal; both None until the file is sealed."""

    key: str
    schema: str
    asset_table: str
    file_name: str
    mode: str
    """`new`, `symlink` or `copy`."""
    path: Path
    source: Path | None
    asset_types: tuple[str, ...]
    metadata: Mapping[str, Any]
    description: str
    status: str = "pending"
    """`pending`, `uploaded`, `failed`, or `wanting`: it cannot be uploaded as it is, `error` says why."""
    length: int | None = None
    md5: str | None = None
    modified_ns: int | None = None
    inode: int | None = None
    url: str | None = None
    rid: RID | None = None
    error: str | None = None
    created_at: str = ""
    updated_at: str = ""


@dataclass(frozen=True)
class Sealed:
    """What is known of a file whose bytes are final."""

    key: str
    length: int
    md5: str
    modified_ns: int
    inode: int


def _file(row: sqlite3.Row) -> StagedFile:
    values = {name: row[name] for name in row.keys() if name != "execution_rid"}  # noqa: SIM118 (as in executions)
    values.update(
        path=Path(row["path"]),
        source=Path(row["source"]) if row["source"] else None,
        asset_types=tuple(json.loads(row["asset_types"])),
        metadata=json.loads(row["metadata"]),
    )
    return StagedFile(**values)


def add_file(journal: Journal, rid: RID, file: StagedFile) -> StagedFile:
    """Register a file, durable on return. Registering its key again replaces the entry, which is pending anew."""
    stored = journal.write_row(
        "insert_asset",
        execution_rid=rid,
        key=file.key,
        schema=file.schema,
        asset_table=file.asset_table,
        file_name=file.file_name,
        mode=file.mode,
        path=str(file.path),
        source=str(file.source) if file.source else None,
        asset_types=json.dumps(list(file.asset_types)),
        metadata=json.dumps(dict(file.metadata)),
        description=file.description,
        length=file.length,
        md5=file.md5,
        modified_ns=file.modified_ns,
        inode=file.inode,
    )
    return replace(file, status="pending", url=None, rid=None, error=None, **dict(stored))


def read_file(journal: Journal, rid: RID, key: str) -> StagedFile | None:
    row = journal.row("select_asset", execution_rid=rid, key=key)
    return _file(row) if row else None


def read_seals(journal: Journal, rid: RID, keys: Iterable[str]) -> dict[str, Sealed]:
    """By key, what registered files were sealed with; those that were not are left out."""
    rows = journal.rows("select_seals", execution_rid=rid, keys=json.dumps(list(keys)))
    return {row["key"]: Sealed(*row) for row in rows}


def list_files(journal: Journal, rid: RID, *, unsent: bool = False) -> list[StagedFile]:
    """Registered files by key; `unsent`: only those that are not in the catalog."""
    query = "select_unsent_assets" if unsent else "select_assets"
    return [_file(row) for row in journal.rows(query, execution_rid=rid)]


def pages(journal: Journal, rid: RID, *, unsent: bool = False, size: int = 2_000) -> Iterator[list[StagedFile]]:
    """As `list_files`, so many at a time, for executions that have more than should be in memory at once."""
    query = "select_page_of_unsent_assets" if unsent else "select_page_of_assets"
    after = ""
    while page := [_file(row) for row in journal.rows(query, execution_rid=rid, after=after, limit=size)]:
        yield page
        after = page[-1].key


def rids_by_path(journal: Journal, rid: RID) -> dict[str, RID]:
    """RIDs of the rows of files that are in the catalog, by where a file lies, and by the file that it was made from.

    A source that is also a path of a registered file means that file.
    """
    found: dict[str, RID] = {}
    by_source: dict[str, RID] = {}
    for path, source, row in journal.rows("select_rids_of_uploaded_assets", execution_rid=rid):
        found[path] = row
        if source:
            by_source.setdefault(source, row)
    return by_source | found


def sources(journal: Journal, rid: RID) -> list[str]:
    """The files that registered ones were made from; those that are written to their staged path have none."""
    return [str(row[0]) for row in journal.rows("select_sources_of_assets", execution_rid=rid)]


def staged_paths(journal: Journal, rid: RID) -> list[str]:
    """Where the registered files lie in the staging folder, whether they are in the catalog or not."""
    return [str(row[0]) for row in journal.rows("select_paths_of_assets", execution_rid=rid)]


def paths_of_type(journal: Journal, rid: RID, asset_type: str) -> list[Path]:
    """Where the registered files of one type lie; asked again and again while many are registered."""
    rows = journal.rows("select_paths_of_type", execution_rid=rid, asset_type=asset_type)
    return [Path(row["path"]) for row in rows]


def unsent_keys(journal: Journal, rid: RID) -> list[str]:
    """Keys of the files that are not in the catalog."""
    return [str(row[0]) for row in journal.rows("select_keys_of_unsent_assets", execution_rid=rid)]


def unsealed_paths(journal: Journal, rid: RID) -> list[str]:
    """Where the files lie that are not in the catalog and were never sealed."""
    return [str(row[0]) for row in journal.rows("select_paths_of_unsealed_assets", execution_rid=rid)]


def unsent_types(journal: Journal, rid: RID) -> set[str]:
    """Asset types of the files that are not in the catalog, as they were given."""
    rows = journal.rows("select_types_of_unsent_assets", execution_rid=rid)
    return {term for row in rows for term in json.loads(row[0])}


@dataclass(frozen=True)
class Waiting:
    """What waits to be uploaded, and what of its bytes is in the object store already."""

    files: int
    bytes: int
    sent_files: int
    sent_bytes: int


def measure_waiting(journal: Journal, rid: RID) -> Waiting:
    """How much is sealed and not in the catalog."""
    row = journal.row("measure_waiting_assets", execution_rid=rid)
    return Waiting(*row) if row else Waiting(0, 0, 0, 0)


def count_files(journal: Journal, rid: RID) -> int:
    row = journal.row("count_assets", execution_rid=rid)
    return int(row[0]) if row else 0


def count_unsent(journal: Journal, rid: RID) -> int:
    row = journal.row("count_unsent_assets", execution_rid=rid)
    return int(row[0]) if row else 0


def describe_file(
    journal: Journal, rid: RID, key: str, *, metadata: Mapping[str, Any], asset_types: Sequence[str], description: str
) -> None:
    """Change what is said of a registered file."""
    journal.write(
        "write_asset_description",
        execution_rid=rid,
        key=key,
        metadata=json.dumps(dict(metadata)),
        asset_types=json.dumps(list(asset_types)),
        description=description,
    )


def seal_files(journal: Journal, rid: RID, sealed: Iterable[Sealed]) -> None:
    """Record that the bytes are final, durable on return."""
    moment = now()
    journal.write_many("seal_asset", ({"execution_rid": rid, "now": moment, **vars(seal)} for seal in sealed))


def mark_uploaded(journal: Journal, rid: RID, uploaded: Mapping[str, tuple[str, RID]]) -> None:
    """Bytes, row and associations are in the catalog: key → (URL, RID of the asset row)."""
    if uploaded:
        moment = now()
        journal.write_many(
            "mark_asset_uploaded",
            (
                {"execution_rid": rid, "key": key, "url": url, "rid": asset_rid, "now": moment}
                for key, (url, asset_rid) in uploaded.items()
            ),
        )


def mark_failed(journal: Journal, rid: RID, reasons: Mapping[str, str]) -> None:
    """Files that were not delivered: key → reason."""
    _write_problems(journal, rid, reasons, "failed")


def mark_wanting(journal: Journal, rid: RID, reasons: Mapping[str, str]) -> None:
    """Exactly these of the unsent files cannot be uploaded as they are (key → reason); the others are pending."""
    with journal.transaction():
        journal.write("clear_wanting", execution_rid=rid)
        _write_problems(journal, rid, reasons, "wanting")


def _write_problems(journal: Journal, rid: RID, reasons: Mapping[str, str], status: str) -> None:
    if reasons:
        moment = now()
        journal.write_many(
            "write_asset_problem",
            (
                {"execution_rid": rid, "key": key, "status": status, "error": reason, "now": moment}
                for key, reason in reasons.items()
            ),
        )


def remove_file(journal: Journal, rid: RID, key: str) -> None:
    """Forget a registered file that is not in the catalog, and the plans to send its bytes."""
    with journal.transaction():
        journal.write("delete_asset", execution_rid=rid, key=key)
        for plan in ("bytes", "apart"):
            journal.write("drop_effect", execution_rid=rid, key=f"{plan}/{key}")
