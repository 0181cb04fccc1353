"""Datasets and their versions. What belongs to a dataset is in `dataset_members`, whose functions are given on here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.catalog.dataset_members import (
    add_element_type,
    add_members,
    element_types,
    list_children,
    list_descendants,
    list_members,
    list_parents,
    remove_members,
)
from deriva_ml_prefect.catalog.rows import (
    Row,
    get_rows,
    insert_rows,
    insert_with_rid,
    row_by_rid,
    rows_where_any,
    snaptime,
    update_rows,
)
from deriva_ml_prefect.catalog.schema import association_between, ml_table
from deriva_ml_prefect.catalog.urls import equals, table_name
from deriva_ml_prefect.exceptions import DerivaMLDatasetNotFound
from deriva_ml_prefect.values.names import MLVocab
from deriva_ml_prefect.values.records import DatasetRecord, DatasetVersionRecord
from deriva_ml_prefect.values.rid import RID, check_rid
from deriva_ml_prefect.values.version import DatasetVersion

__all__ = [
    "FIRST_VERSION",
    "add_dataset_types",
    "add_element_type",
    "add_members",
    "add_version",
    "create_dataset",
    "element_types",
    "insert_dataset",
    "list_children",
    "list_datasets",
    "list_descendants",
    "list_members",
    "list_parents",
    "mark_deleted",
    "read_dataset",
    "read_versions",
    "remove_members",
    "resolve_version",
]

FIRST_VERSION = DatasetVersion(0, 1, 0)


def create_dataset(
    catalog: Catalog,
    rid: RID,
    *,
    version_rid: RID,
    types: Sequence[str] = (),
    description: str = "",
    version: DatasetVersion = FIRST_VERSION,
    execution_rid: RID | None = None,
) -> DatasetVersionRecord:
    """Make a dataset and its first version, under RIDs leased before; calling it again goes on where it broke off.

    The types must be terms of Dataset_Type: ask `require_terms` before.
    """
    insert_dataset(catalog, rid, types=types, description=description)
    return add_version(catalog, rid, version_rid, version=version, description=description, execution_rid=execution_rid)


def insert_dataset(catalog: Catalog, rid: RID, *, types: Sequence[str] = (), description: str = "") -> None:
    """Make a dataset without a version, for callers that fill it first: `add_version` must follow. Repeatable."""
    values = {"Description": description or None, "Deleted": False}
    insert_with_rid(catalog, _dataset(catalog), rid, values, same=("Description",))
    add_dataset_types(catalog, rid, types)


def add_dataset_types(catalog: Catalog, rid: RID, types: Sequence[str]) -> None:
    """Give a dataset these types too."""
    link = association_between(catalog, ml_table(catalog, "Dataset"), ml_table(catalog, MLVocab.dataset_type))
    rows = [{link.left.column: rid, link.right.column: name} for name in dict.fromkeys(types)]
    insert_rows(catalog, link.table.ref, rows, skip_conflicts=True, repeatable=True)


def add_version(
    catalog: Catalog,
    rid: RID,
    version_rid: RID,
    *,
    version: DatasetVersion,
    description: str = "",
    execution_rid: RID | None = None,
) -> DatasetVersionRecord:
    """Make `version` the current one of the dataset, with a snapshot of the catalog as it is now. Repeatable.

    A version of that number under another RID is DerivaMLCatalogConflict: somebody else has made it meanwhile.
    """
    values = {
        "Version": str(version),
        "Description": description or None,
        "Dataset": check_rid(rid),
        "Execution": execution_rid,
    }
    ref = ml_table(catalog, "Dataset_Version").ref
    row = insert_with_rid(catalog, ref, version_rid, values, same=("Version", "Dataset"))
    if not row["Snapshot"]:
        update_rows(catalog, _dataset(catalog), [{"RID": rid, "Version": version_rid}])
        row = {**row, "Snapshot": snaptime(catalog)}
        update_rows(catalog, ref, [{"RID": version_rid, "Snapshot": row["Snapshot"]}])
    return _version(row)


def read_dataset(catalog: Catalog, rid: RID) -> DatasetRecord:
    """The dataset of that RID; DerivaMLDatasetNotFound if there is none."""
    row = row_by_rid(catalog, _dataset(catalog), check_rid(rid, "Dataset RID"))
    if row is None:
        raise DerivaMLDatasetNotFound(f"Catalog {catalog.address} has no dataset {rid}. Check the RID and the catalog.")
    return _records(catalog, [row])[0]


def list_datasets(catalog: Catalog, *, deleted: bool = False) -> list[DatasetRecord]:
    """All datasets, the oldest first; those marked as deleted only if asked for."""
    rows = get_rows(catalog, f"entity/{table_name(*_dataset(catalog))}@sort(RCT,RID)")
    return [record for record in _records(catalog, rows) if deleted or not record.deleted]


def read_versions(catalog: Catalog, rid: RID) -> list[DatasetVersionRecord]:
    """The versions of a dataset, the lowest first."""
    ref = ml_table(catalog, "Dataset_Version").ref
    rows = get_rows(catalog, f"entity/{table_name(*ref)}/{equals('Dataset', check_rid(rid, 'Dataset RID'))}")
    return sorted((_version(row) for row in rows), key=lambda record: record.version)


def resolve_version(catalog: Catalog, rid: RID, version: str | DatasetVersion | None = None) -> DatasetVersionRecord:
    """The version asked for, or the highest release; DerivaMLDatasetNotFound names those that there are.

    A dataset that has only development versions gives the highest of them.
    """
    versions = read_versions(catalog, rid)
    if not versions:
        read_dataset(catalog, rid)
        raise DerivaMLDatasetNotFound(f"Dataset {rid} has no version. Release one before it is used.")
    if version is None:
        return ([record for record in versions if not record.version.dev] or versions)[-1]
    wanted = DatasetVersion.parse(version) if isinstance(version, str) else version
    for record in versions:
        if record.version == wanted:
            return record
    known = ", ".join(str(record.version) for record in versions)
    raise DerivaMLDatasetNotFound(f"Dataset {rid} has no version {wanted}. It has: {known}.")


def mark_deleted(catalog: Catalog, rid: RID, *, deleted: bool = True) -> None:
    """Mark a dataset as deleted, or no longer: its rows and versions stay."""
    update_rows(catalog, _dataset(catalog), [{"RID": check_rid(rid), "Deleted": deleted}])


def _dataset(catalog: Catalog) -> tuple[str, str]:
    return ml_table(catalog, "Dataset").ref


def _records(catalog: Catalog, rows: Sequence[Row]) -> list[DatasetRecord]:
    """Rows of Dataset with types and current versions, in two requests whatever their number."""
    if not rows:
        return []
    link = association_between(catalog, ml_table(catalog, "Dataset"), ml_table(catalog, MLVocab.dataset_type))
    rids = [row["RID"] for row in rows]
    types: dict[RID, list[str]] = {}
    for row in rows_where_any(catalog, link.table.ref, link.left.column, rids):
        types.setdefault(row[link.left.column], []).append(row[link.right.column])
    versions: dict[RID, Mapping[str, Any]] = {
        row["RID"]: row
        for row in rows_where_any(
            catalog,
            ml_table(catalog, "Dataset_Version").ref,
            "RID",
            [row["Version"] for row in rows if row["Version"]],
        )
    }
    return [
        DatasetRecord(
            rid=row["RID"],
            description=row["Description"],
            deleted=bool(row["Deleted"]),
            dataset_types=tuple(sorted(types.get(row["RID"], ()))),
            current_version=(
                DatasetVersion.parse(versions[row["Version"]]["Version"]) if row["Version"] in versions else None
            ),
        )
        for row in rows
    ]


def _version(row: Row) -> DatasetVersionRecord:
    return DatasetVersionRecord(
        rid=row["RID"],
        dataset_rid=row["Dataset"],
        version=DatasetVersion.parse(row["Version"]),
        snapshot=row["Snapshot"],
        description=row["Description"],
        execution_rid=row["Execution"],
    )
