"""What belongs to a dataset: rows of the tables that may be members, and other datasets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from deriva_ml_prefect.catalog import documents
from deriva_ml_prefect.catalog.assets import target_of
from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.catalog.documents import Target
from deriva_ml_prefect.catalog.rows import Row, delete_rows, get_rows, insert_rows, rows_where_any
from deriva_ml_prefect.catalog.schema import (
    Association,
    Table,
    associations_of,
    default_schema,
    domain_schemas,
    find_table,
    ml_table,
)
from deriva_ml_prefect.catalog.tables import create_tables
from deriva_ml_prefect.catalog.urls import any_of, batches_of_values, equals, quote, table_name
from deriva_ml_prefect.exceptions import (
    DerivaMLCatalogConflict,
    DerivaMLCycleError,
    DerivaMLRidsNotFound,
    DerivaMLTableTypeError,
)
from deriva_ml_prefect.values.rid import RID, check_rid

TableName = str | tuple[str, str]
Name = TypeVar("Name", str, tuple[str, str], str | tuple[str, str])
_DATASET = "Dataset"
_FILE = "File"


def add_element_type(catalog: Catalog, table: TableName) -> Table:
    """Let rows of a table be members of datasets; gives the association. One that is there already is fine."""
    element = find_table(catalog, table)
    if link := _links(catalog).get(element.ref):
        return link.table
    if element.schema not in domain_schemas(catalog):
        raise DerivaMLTableTypeError(
            f"{element.qualified} is not in a domain schema, so its rows cannot be made members of datasets."
        )
    dataset = ml_table(catalog, _DATASET)
    document = documents.association(
        element.schema or default_schema(catalog),
        [target_of(catalog, dataset), Target(element.schema, element.name, "RID", element.typename("RID"))],
    )
    return create_tables(catalog, [document])[0]


def element_types(catalog: Catalog) -> list[Table]:
    """The tables whose rows may be members: those of the domain schemas that were added, and Dataset itself."""
    ml_file = (catalog.address.ml_schema, _FILE)
    return [catalog.schema.tables[ref] for ref in _links(catalog) if ref != ml_file]


def member_links(catalog: Catalog) -> Mapping[tuple[str, str], Association]:
    """The association of Dataset with each table that may have members, File included; `left` is the dataset."""
    return _links(catalog)


def add_members(catalog: Catalog, dataset_rid: RID, members: Mapping[Name, Sequence[RID]]) -> int:
    """Make rows members of a dataset, one request a table; gives how many were not members before. Repeatable.

    The version is not raised: `datasets.add_version` does that, once everything is in.
    """
    check_rid(dataset_rid, "Dataset RID")
    added = 0
    for name, rids in members.items():
        link = _link(catalog, name)
        wanted = list(dict.fromkeys(check_rid(rid, "Member RID") for rid in rids))
        if link.right.target == ml_table(catalog, _DATASET).ref:
            _refuse_cycle(catalog, dataset_rid, wanted)
        values = _referenced_values(catalog, link, wanted)
        rows = [{link.left.column: dataset_rid, link.right.column: value} for value in values]
        added += len(insert_rows(catalog, link.table.ref, rows, skip_conflicts=True, repeatable=True))
    return added


def tables_of_members(catalog: Catalog, rids: Sequence[RID]) -> dict[tuple[str, str], list[RID]]:
    """Rows by their table, looked for where members may be; DerivaMLRidsNotFound for those that are nowhere there."""
    left = dict.fromkeys(check_rid(rid, "Member RID") for rid in rids)
    found: dict[tuple[str, str], list[RID]] = {}
    for link in _links(catalog).values():
        if here := [row["RID"] for row in rows_where_any(catalog, link.right.target, "RID", left)]:
            found[link.right.target] = here
            left = {rid: None for rid in left if rid not in here}
    if left:
        raise DerivaMLRidsNotFound(
            f"{', '.join(list(left)[:5])}: no rows of a table whose rows may be members of datasets. Check the RIDs, "
            "and ml.list_dataset_element_types()."
        )
    return found


def remove_members(catalog: Catalog, dataset_rid: RID, members: Mapping[Name, Sequence[RID]]) -> None:
    """Take rows out of a dataset; those that are no members are passed over. The rows themselves stay."""
    for name, rids in members.items():
        link = _link(catalog, name)
        for batch in batches_of_values(_referenced_values(catalog, link, [check_rid(rid) for rid in rids])):
            own = equals(link.left.column, check_rid(dataset_rid))
            delete_rows(catalog, f"{table_name(*link.table.ref)}/{own}/{any_of(link.right.column, batch)}")


def list_members(
    catalog: Catalog, rid: RID, *, snapshot: str | None = None, recurse: bool = False
) -> dict[str, list[Row]]:
    """Rows of the members by bare table name, as they are now or were at a snapshot; a list for each element type.

    `recurse` adds the members of all datasets below. A row that several of them have comes once.
    """
    datasets = [check_rid(rid, "Dataset RID")]
    if recurse:
        datasets += list_descendants(catalog, rid, snapshot=snapshot)
    found: dict[str, list[Row]] = {}
    for link in _links(catalog).values():
        rows = found.setdefault(link.right.target_table, [])
        seen = {row["RID"] for row in rows}
        for batch in batches_of_values(datasets):
            rows += [row for row in _member_rows(catalog, link, batch, snapshot) if row["RID"] not in seen]
            seen |= {row["RID"] for row in rows}
    return found


def list_descendants(catalog: Catalog, rid: RID, *, snapshot: str | None = None) -> list[RID]:
    """The datasets below a dataset, at any depth, nearest first, without itself."""
    return _reachable(rid, _children(catalog, snapshot))


def list_children(catalog: Catalog, rid: RID, *, snapshot: str | None = None) -> list[RID]:
    """The datasets that are members of this one."""
    return _children(catalog, snapshot).get(rid, [])


def list_parents(catalog: Catalog, rid: RID, *, snapshot: str | None = None) -> list[RID]:
    """The datasets that this one is a member of."""
    return [parent for parent, members in _children(catalog, snapshot).items() if rid in members]


def _links(catalog: Catalog) -> dict[tuple[str, str], Association]:
    return catalog.remember("member links", lambda: _find_links(catalog))


def _find_links(catalog: Catalog) -> dict[tuple[str, str], Association]:
    """Pure associations of Dataset with tables of the domain schemas, with File, and with itself."""
    dataset = ml_table(catalog, _DATASET)
    ml_file = (catalog.address.ml_schema, _FILE)
    domains = domain_schemas(catalog)
    links: dict[tuple[str, str], Association] = {}
    for link in associations_of(catalog, dataset):
        other = link.right.target
        nested = other == dataset.ref and link.left.column == _DATASET
        element = other[0] in domains or (other == ml_file and link.table.schema == catalog.address.ml_schema)
        if link.extra or not (nested or element):
            continue
        if other not in links or link.table.name == f"{_DATASET}_{other[1]}":
            links[other] = link
    return links


def _link(catalog: Catalog, name: TableName) -> Association:
    element = find_table(catalog, name)
    link = _links(catalog).get(element.ref)
    if link is None:
        raise DerivaMLTableTypeError(
            f"Rows of {element.qualified} cannot be members of a dataset. "
            f"Call add_dataset_element_type({element.name!r}) first."
        )
    return link


def _referenced_values(catalog: Catalog, link: Association, rids: Sequence[RID]) -> list[str]:
    """What the association stores for these rows: their RIDs, or in old catalogs a name."""
    column = link.right.target_columns[0]
    if column == "RID" or not rids:
        return list(rids)
    rows = rows_where_any(catalog, link.right.target, "RID", rids)
    if len(rows) != len(rids):
        gone = sorted(set(rids) - {row["RID"] for row in rows})
        raise DerivaMLRidsNotFound(f"{link.right.target_table} has no rows {', '.join(gone[:5])}.")
    return [row[column] for row in rows]


def _member_rows(catalog: Catalog, link: Association, datasets: Iterable[RID], snapshot: str | None) -> list[Row]:
    target = f"{table_name(*link.right.target)}:{quote(link.right.target_columns[0])}"
    members = f"{table_name(*link.table.ref)}/{any_of(link.left.column, datasets)}"
    try:
        path = f"entity/{members}/({quote(link.right.column)})=({target})@sort(RID)"
        return get_rows(catalog, path, snapshot=snapshot)
    except DerivaMLCatalogConflict:
        if snapshot is None:
            raise
        # the table was made after the snapshot: nothing of it was a member then
        return []


def _children(catalog: Catalog, snapshot: str | None) -> dict[RID, list[RID]]:
    link = _links(catalog)[ml_table(catalog, _DATASET).ref]
    children: dict[RID, list[RID]] = {}
    for row in get_rows(catalog, f"entity/{table_name(*link.table.ref)}@sort(RID)", snapshot=snapshot):
        children.setdefault(row[link.left.column], []).append(row[link.right.column])
    return children


def _reachable(rid: RID, children: Mapping[RID, Sequence[RID]]) -> list[RID]:
    reached: dict[RID, None] = {}
    waiting = list(children.get(rid, ()))
    while waiting:
        nearest = waiting.pop(0)
        if nearest not in reached and nearest != rid:
            reached[nearest] = None
            waiting += children.get(nearest, ())
    return list(reached)


def _refuse_cycle(catalog: Catalog, dataset_rid: RID, members: Sequence[RID]) -> None:
    if dataset_rid in members:
        raise DerivaMLCycleError(f"Dataset {dataset_rid} cannot be a member of itself.")
    children = _children(catalog, None)
    for member in members:
        if dataset_rid in _reachable(member, children):
            raise DerivaMLCycleError(
                f"Dataset {member} contains dataset {dataset_rid} already, so it cannot become a member of it."
            )
