"""Resolve a path against the model: tables, aliases and joins. Every error of a name in a path is raised here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from deriva_ml_prefect.embedded.ermrest.model import Column, Model, Table
from deriva_ml_prefect.embedded.ermrest.plan import ColumnRef, Condition, Join, PathPlan
from deriva_ml_prefect.embedded.ermrest.tree import (
    ColumnsElement,
    ContextElement,
    Filter,
    FilterElement,
    LinkElement,
    Name,
    Path,
    TableElement,
)
from deriva_ml_prefect.embedded.errors import BadRequest, Conflict

MOST_SOURCES = 60
"""SQLite joins at most 64 tables."""
Pairs = tuple[tuple[str, str], ...]
"""Columns of the left table with those of the right one that must be equal to them."""


@dataclass
class PathScope:
    """What the elements of a path have named so far."""

    model: Model
    sources: list[Table] = field(default_factory=list)
    joins: list[Join] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)
    aliases: dict[str, int] = field(default_factory=dict)
    current: int = 0
    identifying: set[int] = field(default_factory=set)
    """Sources of which no row stands in two rows of the join."""

    @property
    def table(self) -> Table:
        return self.sources[self.current]

    def plan(self) -> PathPlan:
        return PathPlan(
            tuple(self.sources),
            tuple(self.joins),
            tuple(self.conditions),
            self.current,
            self.aliases,
            self.current not in self.identifying,
        )


def find_table(model: Model, name: Name) -> Table:
    """The table named `T` or `S:T`. Raises Conflict when there is none, or several."""
    if len(name.parts) > 2:
        raise Conflict(f"The name {name} of a table has too many parts.")
    if len(name.parts) == 2:
        schema = model.schemas.get(name.parts[0])
        table = schema.tables.get(name.parts[1]) if schema else None
        if schema is None or table is None:
            raise Conflict(f"Table {name} does not exist.")
        return table
    found = [schema.tables[name.parts[0]] for schema in model.schemas.values() if name.parts[0] in schema.tables]
    if len(found) != 1:
        raise Conflict(f"Table {name} {'does not exist' if not found else 'exists in several schemas'}.")
    return found[0]


def find_column(table: Table, name: str) -> Column:
    try:
        return table.columns[name]
    except KeyError:
        raise Conflict(f"Column {name} does not exist in table {table.schema}:{table.name}.") from None


def find_source(scope: PathScope | PathPlan, name: Name) -> tuple[int, str]:
    """Position of the table that `c` or `alias:c` belongs to, and the name of the column."""
    if len(name.parts) == 1:
        return scope.current, name.parts[0]
    alias = name.parts[0]
    if len(name.parts) != 2 or alias not in scope.aliases:
        raise Conflict(f"The name {name} begins with an alias that the path does not bind.")
    return scope.aliases[alias], name.parts[1]


def find_reference(scope: PathScope | PathPlan, name: Name) -> ColumnRef:
    source, column = find_source(scope, name)
    return ColumnRef(source, find_column(scope.sources[source], column))


def walk_path(model: Model, path: Path) -> Iterator[tuple[PathScope, Filter | None]]:
    """Yield the scope after each element, with the filter where the element is one."""
    scope = PathScope(model)
    for element in path:
        if isinstance(element, FilterElement):
            yield scope, element.filter
            continue
        if isinstance(element, ContextElement):
            if element.alias not in scope.aliases:
                raise Conflict(f"The alias {element.alias} is not bound in the path.")
            scope.current = scope.aliases[element.alias]
        elif not scope.sources:
            assert isinstance(element, TableElement)
            _add_root(scope, element)
        elif isinstance(element, TableElement):
            _join_table(scope, element)
        elif isinstance(element, ColumnsElement):
            _join_columns(scope, element)
        else:
            _join_link(scope, element)
        yield scope, None


def _bind(scope: PathScope, alias: str | None, position: int) -> None:
    if alias is None:
        return
    if alias in scope.aliases:
        raise BadRequest(f"The alias {alias} is bound more than once.")
    scope.aliases[alias] = position


def _add_root(scope: PathScope, element: TableElement) -> None:
    scope.sources.append(find_table(scope.model, element.table))
    scope.identifying.add(0)
    _bind(scope, element.alias, 0)


def _join_table(scope: PathScope, element: TableElement) -> None:
    right = find_table(scope.model, element.table)
    left = scope.table
    if left.full_name == right.full_name:
        raise Conflict(f"Table {element.table} cannot be joined to itself by name alone: name the columns.")
    alternatives = [pairs for table, pairs in _links(scope.model, left) if table == right.full_name]
    if not alternatives:
        raise Conflict(f"No foreign key joins {left.schema}:{left.name} and {right.schema}:{right.name}.")
    _extend(scope, right, scope.current, alternatives, element.alias, None)


def _links(model: Model, table: Table) -> Iterator[tuple[tuple[str, str], Pairs]]:
    """Tables that foreign keys join to this one, with the pairs (column here, column there)."""
    for fkey in table.foreign_keys:
        yield fkey.referenced_table, tuple(zip(fkey.columns, fkey.referenced_columns, strict=True))
    for fkey in model.incoming.get(table.full_name, ()):
        yield fkey.table, tuple(zip(fkey.referenced_columns, fkey.columns, strict=True))


def _join_columns(scope: PathScope, element: ColumnsElement) -> None:
    """Follow the one foreign key that has exactly these columns at one of its ends."""
    first = element.columns[0]
    names = {first.parts[-1]} | {_unqualified(name, first) for name in element.columns[1:]}
    if len(first.parts) == 1 or (len(first.parts) == 2 and first.parts[0] in scope.aliases):
        position, _ = find_source(scope, first)
        left = scope.sources[position]
        for name in names:
            find_column(left, name)
        found = [(table, pairs) for table, pairs in _links(scope.model, left) if {a for a, _ in pairs} == names]
    else:
        position = scope.current
        right = find_table(scope.model, Name(first.parts[:-1]))
        for name in names:
            find_column(right, name)
        found = [
            (table, pairs)
            for table, pairs in _links(scope.model, scope.sources[position])
            if table == right.full_name and {b for _, b in pairs} == names
        ]
    if len(found) != 1:
        listed = ",".join(str(name) for name in element.columns)
        problem = "belong to no foreign key here" if not found else "belong to several foreign keys"
        raise Conflict(f"The columns ({listed}) {problem}.")
    table_name, pairs = found[0]
    _extend(scope, find_table(scope.model, Name(table_name)), position, [pairs], element.alias, element.outer)


def _unqualified(name: Name, first: Name) -> str:
    if len(name.parts) > 1 and name.parts[:-1] != first.parts[:-1]:
        raise Conflict(f"The columns {first} and {name} are of different tables.")
    return name.parts[-1]


def _join_link(scope: PathScope, element: LinkElement) -> None:
    first = element.left[0]
    position, _ = find_source(scope, first)
    left_names = [first.parts[-1], *(_unqualified(name, first) for name in element.left[1:])]
    target = element.right[0]
    if len(target.parts) == 1:
        raise Conflict(f"The column {target} must be qualified by the table that is joined.")
    right = find_table(scope.model, Name(target.parts[:-1]))
    right_names = [target.parts[-1], *(_unqualified(name, target) for name in element.right[1:])]
    if len(left_names) != len(right_names):
        raise BadRequest("The two sides of a join have different numbers of columns.")
    pairs = tuple(zip(left_names, right_names, strict=True))
    _extend(scope, right, position, [pairs], element.alias, element.outer)


def _extend(
    scope: PathScope, right: Table, left: int, alternatives: list[Pairs], alias: str | None, outer: str | None
) -> None:
    position = len(scope.sources)
    if position >= MOST_SOURCES:
        raise BadRequest(f"The path joins more than {MOST_SOURCES} tables.")
    left_table = scope.sources[left]
    scope.joins.append(
        Join(
            tuple(
                tuple(
                    (ColumnRef(left, find_column(left_table, a)), ColumnRef(position, find_column(right, b)))
                    for a, b in pairs
                )
                for pairs in alternatives
            ),
            outer,
        )
    )
    to_one = len(alternatives) == 1 and _is_unique(right, {b for _, b in alternatives[0]})
    from_one = len(alternatives) == 1 and _is_unique(left_table, {a for a, _ in alternatives[0]})
    right_identifies = from_one and left in scope.identifying and outer in (None, "right")
    if not to_one or outer in ("right", "full"):
        scope.identifying.clear()
    if right_identifies:
        scope.identifying.add(position)
    scope.sources.append(right)
    scope.current = position
    _bind(scope, alias, position)


def _is_unique(table: Table, names: set[str]) -> bool:
    """Whether the columns contain a key: null values never match in a join, so nullable keys count."""
    return any(names.issuperset(key.columns) for key in table.keys)
