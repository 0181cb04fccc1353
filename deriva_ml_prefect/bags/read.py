"""Reads a bag without any catalog: its tables, the members of its datasets, their nesting, features, files.

Rows are dicts by column name with the types that the catalog has. In rows of assets, `Filename` is the absolute path of
the file as soon as it is there (as deriva-ml's bags have it), else the bare name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deriva_ml_prefect.bags.layout import SCHEMA_FILE, old_asset_folder, payload_name, safe_name, table_file
from deriva_ml_prefect.bags.manifest import read_info
from deriva_ml_prefect.bags.tables import Row, read_table
from deriva_ml_prefect.catalog.feature_tables import define_feature
from deriva_ml_prefect.catalog.naming import closest
from deriva_ml_prefect.catalog.schema import Schema, Table, is_asset, is_vocabulary, read_schema
from deriva_ml_prefect.exceptions import (
    DerivaMLDataError,
    DerivaMLDatasetNotFound,
    DerivaMLFeatureNotFound,
    DerivaMLTableNotFound,
)
from deriva_ml_prefect.values.records import DatasetRecord, FeatureDefinition
from deriva_ml_prefect.values.version import DatasetVersion

Ref = tuple[str, str]


@dataclass(frozen=True)
class Bag:
    """An open bag. Tables are read when they are first asked for, and kept."""

    path: Path
    dataset_rid: str
    version: str
    snapshot: str
    schema: Schema = field(repr=False, compare=False)
    ml_schema: str
    files: Mapping[Ref, Path] = field(repr=False, compare=False)
    """The CSV of each table that the bag has."""
    _rows: dict[Ref, list[Row]] = field(default_factory=dict, repr=False, compare=False)

    def rows(self, ref: Ref) -> list[Row]:
        """Rows as the CSV has them; none for a table that the bag does not hold."""
        if ref not in self.files:
            return []
        if ref not in self._rows:
            table = self.schema.tables[ref]
            types = {name: _plain_type(table, name) for name in table.columns}
            rows = list(read_table(self.files[ref], types))
            if rows and "RID" not in rows[0]:
                raise DerivaMLDataError(f"{self.files[ref]} has no column RID. The bag is damaged: verify it.")
            self._rows[ref] = rows
        return self._rows[ref]


def open_bag(path: Path | str) -> Bag:
    """The bag in folder `path`; DerivaMLDataError if it is none that was exported from a catalog."""
    folder = Path(path).absolute()
    info = read_info(folder)
    try:
        schema = read_schema(json.loads((folder / SCHEMA_FILE).read_text(encoding="utf-8")))
    # what is JSON and no schema has something else where its parts should be
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise DerivaMLDataError(
            f"{folder} has no readable {SCHEMA_FILE} ({type(problem).__name__}: {problem}). Download the dataset again."
        ) from None
    files = {ref: folder / table_file(*ref) for ref in schema.tables if (folder / table_file(*ref)).is_file()}
    homes = [schema_name for schema_name, name in files if name == "Dataset_Version"]
    if not homes or "Dataset-RID" not in info:
        raise DerivaMLDataError(f"{folder} is not the bag of a dataset. Download the dataset again.")
    return Bag(
        path=folder,
        dataset_rid=info["Dataset-RID"],
        version=info.get("Dataset-Version", ""),
        snapshot=info.get("Dataset-Snapshot", ""),
        schema=schema,
        ml_schema=homes[0],
        files=files,
    )


def list_tables(bag: Bag) -> list[str]:
    """Bare names of the tables in the bag, sorted."""
    return sorted({name for _, name in bag.files})


def find_table(bag: Bag, name: str | Ref) -> Table:
    """A table of the bag: domain schemas before the ML schema; `schema:table` and pairs are exact."""
    if isinstance(name, str) and ":" in name:
        schema, _, bare = name.partition(":")
        name = (schema, bare)
    refs = sorted(bag.files, key=lambda ref: (ref[0] == bag.ml_schema, ref))
    for ref in refs:
        if ref == name or ref[1] == name:
            return bag.schema.tables[ref]
    shown = name if isinstance(name, str) else ":".join(name)
    near = closest(shown.rpartition(":")[2], list_tables(bag))
    hint = f" Did you mean {', '.join(near)}?" if near else ""
    raise DerivaMLTableNotFound(f"The bag of dataset {bag.dataset_rid} has no table {shown}.{hint}")


def table_rows(bag: Bag, name: str | Ref, *, local_paths: bool = True) -> Iterator[Row]:
    """Rows of a table, as new dicts."""
    table = find_table(bag, name)
    for row in bag.rows(table.ref):
        yield _with_path(bag, table, row) if local_paths and is_asset(table) else dict(row)


def asset_file_of(bag: Bag, table: Table, row: Mapping[str, Any]) -> Path | None:
    """Where the file of an asset's row lies; None while it has not been fetched, or has no bytes to fetch."""
    name = payload_name(str(row.get("Filename") or row["RID"]))
    folder = bag.path / old_asset_folder(table.name, row["RID"])
    for found in (bag.path / "data" / "assets" / safe_name(table.name) / row["RID"] / name, folder / name):
        if found.is_file():
            return found.parent.resolve() / name
    return None


def dataset_record(bag: Bag, rid: str | None = None) -> DatasetRecord:
    """The dataset of the bag, or one nested in it."""
    wanted = rid or bag.dataset_rid
    row = next((row for row in bag.rows((bag.ml_schema, "Dataset")) if row["RID"] == wanted), None)
    if row is None:
        raise DerivaMLDatasetNotFound(
            f"The bag of dataset {bag.dataset_rid} holds no dataset {wanted}. It holds: {', '.join(_datasets(bag))}."
        )
    types = tuple(
        sorted(link["Dataset_Type"] for link in _ml_rows(bag, "Dataset_Dataset_Type") if link["Dataset"] == wanted)
    )
    versions = {version["RID"]: version for version in _ml_rows(bag, "Dataset_Version")}
    current = versions.get(row.get("Version") or "")
    version = DatasetVersion.parse(current["Version"]) if current else None
    if wanted == bag.dataset_rid and bag.version:
        version = DatasetVersion.parse(bag.version)  # the snapshot may lie before the row's own update
    return DatasetRecord(wanted, row.get("Description"), bool(row.get("Deleted")), types, version)


def children(bag: Bag, rid: str | None = None, *, recurse: bool = False) -> list[str]:
    """RIDs of the datasets nested in one, sorted."""
    return _related(bag, rid, "Dataset", "Nested_Dataset", recurse=recurse)


def parents(bag: Bag, rid: str | None = None, *, recurse: bool = False) -> list[str]:
    """RIDs of the datasets of this bag that a dataset is nested in, sorted."""
    return _related(bag, rid, "Nested_Dataset", "Dataset", recurse=recurse)


def executions(bag: Bag, rid: str | None = None) -> list[str]:
    """RIDs of the executions that the catalog links with a dataset (`Dataset_Execution`), sorted."""
    wanted = rid or bag.dataset_rid
    return sorted({row["Execution"] for row in _ml_rows(bag, "Dataset_Execution") if row["Dataset"] == wanted})


def workflow_executions(bag: Bag, workflow: str) -> list[str]:
    """RIDs of the executions of the bag that ran a workflow (RID, URL or checksum), or workflows of a type; sorted."""
    of_type = {row["Workflow"] for row in _ml_rows(bag, "Workflow_Workflow_Type") if row["Workflow_Type"] == workflow}
    ran = {
        row["RID"]
        for row in _ml_rows(bag, "Workflow")
        if row["RID"] in of_type
        or workflow in (row["RID"], row.get("URL"), row.get("Checksum"), row.get("Workflow_Type"))
    }
    return sorted(row["RID"] for row in _ml_rows(bag, "Execution") if row["Workflow"] in ran)


def members(
    bag: Bag, rid: str | None = None, *, recurse: bool = False, local_paths: bool = True
) -> dict[str, list[Row]]:
    """Table → rows that are members of a dataset, nested datasets among them; `recurse` adds those of the nested."""
    wanted = dataset_record(bag, rid).rid
    owners = {wanted, *(children(bag, wanted, recurse=True) if recurse else ())}
    dataset = (bag.ml_schema, "Dataset")
    found: dict[str, list[Row]] = {}
    for ref in sorted(bag.files):
        link = bag.schema.tables[ref]
        ends = _member_ends(link, dataset)
        if ends is None:
            continue
        own, fkey = ends
        target = bag.schema.tables[fkey.target]
        if is_vocabulary(target) or target.ref in {(bag.ml_schema, name) for name in ("Execution", "Dataset_Version")}:
            continue
        keys = {row[fkey.column] for row in bag.rows(ref) if row[own.column] in owners}
        rows = [row for row in bag.rows(target.ref) if row[fkey.target_columns[0]] in keys]
        if rows:
            chosen = [_with_path(bag, target, row) if local_paths and is_asset(target) else dict(row) for row in rows]
            found.setdefault(target.name, []).extend(chosen)
    return found


def features(bag: Bag, table: str | Ref | None = None) -> list[FeatureDefinition]:
    """The features of a table, or of all, whose values the bag holds (there may be none of them)."""
    targets = [find_table(bag, table).ref] if table is not None else sorted(bag.files)
    made = (
        define_feature(bag.schema, bag.schema.tables[ref], target)
        for target in targets
        if target != (bag.ml_schema, "Execution") and not is_vocabulary(bag.schema.tables[target])
        for ref in sorted(bag.files)
    )
    return [feature for feature in made if feature is not None]


def lookup_feature(bag: Bag, table: str | Ref, name: str) -> FeatureDefinition:
    """The feature of that name; DerivaMLFeatureNotFound lists what the table has."""
    known = {feature.name: feature for feature in features(bag, table)}
    if name not in known:
        raise DerivaMLFeatureNotFound(
            f"In the bag of dataset {bag.dataset_rid}, {table} has no feature {name!r}. It has: "
            f"{', '.join(sorted(known)) or 'none'}."
        )
    return known[name]


def feature_rows(bag: Bag, feature: FeatureDefinition) -> list[Row]:
    """The values of a feature, as rows of its table."""
    return [dict(row) for row in bag.rows((feature.schema, feature.table))]


def _member_ends(link: Table, dataset: Ref) -> tuple[Any, Any] | None:
    """(reference to the dataset, reference to the member) of an association of Dataset."""
    for key in link.keys:
        ends = [fkey for fkey in link.foreign_keys if fkey.columns[0] in key and len(fkey.columns) == 1]
        if len(key) != 2 or len(ends) != 2 or {fkey.column for fkey in ends} != set(key):
            continue
        own = next((fkey for fkey in ends if fkey.target == dataset and fkey.column != "Nested_Dataset"), None)
        if own is not None:
            return own, next(fkey for fkey in ends if fkey != own)
    return None


def _related(bag: Bag, rid: str | None, here: str, there: str, *, recurse: bool) -> list[str]:
    found: set[str] = set()
    level = {rid or bag.dataset_rid}
    while level:
        level = {row[there] for row in _ml_rows(bag, "Dataset_Dataset") if row[here] in level} - found
        found |= level
        if not recurse:
            break
    return sorted(found)


def _ml_rows(bag: Bag, table: str) -> list[Row]:
    return bag.rows((bag.ml_schema, table))


def _datasets(bag: Bag) -> list[str]:
    return sorted(row["RID"] for row in _ml_rows(bag, "Dataset"))


def _with_path(bag: Bag, table: Table, row: Row) -> Row:
    file = asset_file_of(bag, table, row)
    return {**row, "Filename": str(file)} if file is not None else dict(row)


def _plain_type(table: Table, column: str) -> str:
    """The type name without its domain, e.g. text for markdown; arrays keep theirs."""
    kind: Mapping[str, Any] = table.columns[column]["type"]
    while kind.get("is_domain"):
        kind = kind["base_type"]
    return str(kind["typename"])
