"""Which rows belong to a dataset.

    1  the dataset and those nested in it, with every row that names one of them (versions, types, memberships, …)
    2  the members of every element type, assets and plain tables alike
    3  the features of the members
    4  of every asset among all these rows: its types, and the executions that made or read it
    5  whatever any of these rows refers to, and so on outwards; Execution and Workflow are entered that way, but
       nothing that merely refers to them
    6  the metrics files of these executions (type Metrics_File), as the chapter reads them back from a bag
    7  vocabularies that any of these tables refers to, whole

All rows are read at one snapshot. A table costs one request, or one for each way that leads to it: membership is asked
by joins in the path, and only rows that no join has brought are asked by their keys, some hundred in a request.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.catalog.feature_tables import feature_target
from deriva_ml_prefect.catalog.rows import get_rows
from deriva_ml_prefect.catalog.schema import ForeignKey, Schema, Table, is_asset, is_vocabulary
from deriva_ml_prefect.catalog.urls import any_of, batches_of_values, column_list, equals, table_name
from deriva_ml_prefect.exceptions import DerivaMLDatasetNotFound
from deriva_ml_prefect.values.names import ExecMetadataType, MLAsset, MLVocab

Row = dict[str, Any]
Ref = tuple[str, str]

_BY_KEY = 400
"""Up to this many missing rows are asked by their keys, more through a join."""
_NO_ELEMENTS = ("Dataset", "Dataset_Version", "Execution")
"""What associations of Dataset lead to, without its rows being members."""
_LONGEST = 4000
"""Bytes of the values in one path: joins need some room too."""


@dataclass(frozen=True)
class Reach:
    """A path of ERMrest that ends at a table; its tables have the aliases t0, t1, …"""

    text: str
    end: int = 0
    """Number of the alias of the table that the path ends at."""
    last: int = 0
    """Number of the last alias given out."""

    def join(self, fkey_columns: Sequence[str], ref: Ref, columns: Sequence[str]) -> Reach:
        """The path that goes on to table `ref`, where its columns equal ours."""
        left = f"t{self.end}:{column_list(fkey_columns)}"
        right = f"{table_name(*ref)}:{column_list(columns)}"
        return Reach(f"{self.text}/t{self.last + 1}:=({left})=({right})", self.last + 1, self.last + 1)

    def where(self, condition: str) -> Reach:
        """The path with a filter on the table that it ends at."""
        return Reach(f"{self.text}/{condition}", self.end, self.last)

    def back_to(self, earlier: Reach) -> Reach:
        """This path, ending at the table that `earlier` ended at."""
        return Reach(f"{self.text}/$t{earlier.end}", earlier.end, self.last)


@dataclass
class Harvest:
    """The rows found, by table and RID."""

    rows: dict[Ref, dict[str, Row]] = field(default_factory=dict)
    dataset_rids: list[str] = field(default_factory=list)

    def of(self, ref: Ref) -> dict[str, Row]:
        return self.rows.setdefault(ref, {})


def walk_dataset(
    catalog: Catalog, schema: Schema, dataset_rid: str, *, snapshot: str, exclude_tables: Iterable[str] = ()
) -> Harvest:
    """All rows of a dataset at a snapshot; `exclude_tables` are bare names of tables left out, with all behind them."""
    walk = _Walk(catalog, schema, snapshot, frozenset(exclude_tables))
    walk.datasets(dataset_rid)
    walk.members()
    walk.outwards()
    walk.metrics()
    walk.outwards()
    walk.vocabularies()
    return walk.harvest


class _Walk:
    def __init__(self, catalog: Catalog, schema: Schema, snapshot: str, excluded: frozenset[str]) -> None:
        self.catalog = catalog
        self.schema = schema
        self.snapshot = snapshot
        self.ml = catalog.address.ml_schema
        self.excluded = excluded - {"Dataset", "Dataset_Version"}
        self.harvest = Harvest()
        self.queue: list[tuple[Ref, Reach, list[Row]]] = []

    def table(self, ref: Ref) -> Table | None:
        """The table, unless the catalog has none, it is the server's own, or it is excluded."""
        if ref[0] == "public" or ref[1] in self.excluded:
            return None
        return self.schema.tables.get(ref)

    def collect(self, ref: Ref, reach: Reach) -> list[Row]:
        """Read the rows at the end of a path; gives those not seen before, which go on outwards."""
        known = self.harvest.of(ref)
        found = get_rows(self.catalog, f"entity/{reach.text}", snapshot=self.snapshot)
        new = [row for row in found if row["RID"] not in known]
        known.update((row["RID"], row) for row in new)
        if new:
            self.queue.append((ref, reach, new))
        return new

    def by_keys(self, ref: Ref, column: str, values: Iterable[Any]) -> list[Row]:
        """Rows of a table by the values of one column."""
        new: list[Row] = []
        for batch in batches_of_values(sorted(set(values)), longest=_LONGEST):
            new += self.collect(ref, Reach(f"t0:={table_name(*ref)}/{any_of(column, batch)}"))
        return new

    def datasets(self, rid: str) -> None:
        """The dataset and all nested in it, level by level."""
        dataset = (self.ml, "Dataset")
        if not self.by_keys(dataset, "RID", [rid]):
            raise DerivaMLDatasetNotFound(
                f"Catalog {self.catalog.address} has no dataset {rid} at snapshot {self.snapshot}. Check the RID."
            )
        level = [rid]
        nesting = self.table((self.ml, "Dataset_Dataset"))
        while level:
            self.harvest.dataset_rids += level
            if nesting is None:
                break
            rows = self.by_keys(nesting.ref, "Dataset", level)
            level = sorted({row["Nested_Dataset"] for row in rows} - set(self.harvest.dataset_rids))
        self.by_keys(dataset, "RID", set(self.harvest.dataset_rids) - {rid})

    def members(self) -> None:
        """Everything that names one of the datasets, the rows that are members, and their features."""
        dataset = (self.ml, "Dataset")
        for fkey in self.schema.inbound.get(dataset, ()):
            table = self.table((fkey.schema, fkey.table))
            if table is None or table.ref == (self.ml, "Dataset_Dataset") or len(fkey.columns) != 1:
                continue
            ends = [other for other in table.foreign_keys if other != fkey and len(other.columns) == 1]
            for batch in batches_of_values(self.harvest.dataset_rids, longest=_LONGEST):
                reach = Reach(f"t0:={table_name(*table.ref)}/{any_of(fkey.column, batch)}")
                if self.collect(table.ref, reach) and _is_association(table, fkey):
                    for end in ends:
                        self._elements(reach, end)

    def _elements(self, reach: Reach, end: ForeignKey) -> None:
        table = self.table(end.target)
        if table is None or is_vocabulary(table) or table.ref in {(self.ml, name) for name in _NO_ELEMENTS}:
            return
        at_members = reach.join(end.columns, end.target, end.target_columns)
        self.collect(table.ref, at_members)
        for fkey in self.schema.inbound.get(table.ref, ()):
            feature = self.table((fkey.schema, fkey.table))
            if feature is not None and feature_target(feature, table.ref) == fkey:
                self.collect(feature.ref, at_members.join(fkey.target_columns, feature.ref, fkey.columns))

    def outwards(self) -> None:
        """Follow every foreign key of every row until nothing is missing."""
        while self.queue:
            ref, reach, rows = self.queue.pop(0)
            table = self.schema.tables[ref]
            for fkey in table.foreign_keys:
                self._follow(reach, rows, fkey)
            if is_asset(table) and ref[0] != "public":
                self._asset_links(table, reach)

    def _follow(self, reach: Reach, rows: list[Row], fkey: ForeignKey) -> None:
        target = self.table(fkey.target)
        if target is None or is_vocabulary(target):
            return
        present = {_key(row, fkey.target_columns) for row in self.harvest.of(target.ref).values()}
        wanted = {_key(row, fkey.columns) for row in rows}
        missing = {key for key in wanted if None not in key} - present
        if not missing:
            return
        if len(missing) > _BY_KEY or len(fkey.columns) > 1:
            new = self.collect(target.ref, reach.join(fkey.columns, target.ref, fkey.target_columns))
            missing -= {_key(row, fkey.target_columns) for row in new}
        if missing and len(fkey.columns) == 1:
            self.by_keys(target.ref, fkey.target_columns[0], (key[0] for key in missing))

    def _asset_links(self, asset: Table, reach: Reach) -> None:
        """`<Asset>_Asset_Type` and `<Asset>_Execution`."""
        ends = {(self.ml, MLVocab.asset_type.value), (self.ml, "Execution")}
        for fkey in self.schema.inbound.get(asset.ref, ()):
            link = self.table((fkey.schema, fkey.table))
            if link is None or not _is_association(link, fkey) or feature_target(link, asset.ref):
                continue
            if any(other.target in ends for other in link.foreign_keys):
                self.collect(link.ref, reach.join(fkey.target_columns, link.ref, fkey.columns))

    def metrics(self) -> None:
        """Files of type Metrics_File that the executions among the rows have written."""
        metadata = self.table((self.ml, MLAsset.execution_metadata.value))
        executions = list(self.harvest.rows.get((self.ml, "Execution"), {}))
        if metadata is None or not executions:
            return
        links = {other.target: (link, fkey, other) for link, fkey, other in self._associations(metadata)}
        written, typed = links.get((self.ml, "Execution")), links.get((self.ml, MLVocab.asset_type.value))
        if written is None or typed is None:
            return
        for batch in batches_of_values(executions, longest=_LONGEST):
            start = Reach(f"t0:={table_name(*written[0].ref)}/{any_of(written[2].column, batch)}")
            files = start.join(written[1].columns, metadata.ref, written[1].target_columns)
            types = files.join(typed[1].target_columns, typed[0].ref, typed[1].columns)
            only = equals(typed[2].column, ExecMetadataType.metrics_file.value)
            self.collect(metadata.ref, types.where(only).back_to(files))

    def _associations(self, table: Table) -> Iterable[tuple[Table, ForeignKey, ForeignKey]]:
        for fkey in self.schema.inbound.get(table.ref, ()):
            link = self.table((fkey.schema, fkey.table))
            if link is not None and _is_association(link, fkey):
                for other in link.foreign_keys:
                    if other != fkey:
                        yield link, fkey, other

    def vocabularies(self) -> None:
        """Every vocabulary that a table among the rows refers to."""
        for ref in list(self.harvest.rows):
            for fkey in self.schema.tables[ref].foreign_keys:
                target = self.table(fkey.target)
                if target is not None and is_vocabulary(target) and target.ref not in self.harvest.rows:
                    self.collect(target.ref, Reach(f"t0:={table_name(*target.ref)}"))


def _is_association(table: Table, fkey: ForeignKey) -> bool:
    """Whether a key of two references or more contains this one."""
    references = {other.column for other in table.foreign_keys if len(other.columns) == 1}
    return any(len(key) >= 2 and fkey.column in key and set(key) <= references for key in table.keys)


def _key(row: Row, columns: Sequence[str]) -> tuple[Any, ...]:
    return tuple(row.get(column) for column in columns)
