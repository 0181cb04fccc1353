"""Reading and writing rows: the few requests that all other files of this room are made of."""

from __future__ import annotations

import csv
import io
import json
import math
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.catalog.urls import any_of, batches_of_values, column_list, equals, quote, table_name
from deriva_ml_prefect.exceptions import DerivaMLCatalogConflict, DerivaMLSchemaError, DerivaMLValidationError
from deriva_ml_prefect.transfer.client import encode_json
from deriva_ml_prefect.values.names import SYSTEM_COLUMNS
from deriva_ml_prefect.values.rid import RID, check_rid

Row = dict[str, Any]
Ref = tuple[str, str]
"""(schema, table)."""

JSON_ROWS = 1000
"""Rows in one JSON body; more go as CSV."""
CSV_ROWS = 10_000
PAGE_ROWS = 10_000
"""Rows read with one request where there may be any number."""
LEASES = 500
"""RIDs leased with one request."""


def get_rows(catalog: Catalog, path: str, *, snapshot: str | None = None) -> list[Row]:
    """Rows of a data path (`entity/S:T/…`, `attribute/…`), as they are now or were at a snapshot, without a limit."""
    if "limit=" not in path.partition("?")[2]:
        path += "&limit=none" if "?" in path else "?limit=none"
    answer = catalog.client.request(
        "GET", catalog.path(path, snapshot=snapshot), headers={"Accept": "application/json"}, want_json=True
    )
    return answer.rows()


def iterate_rows(catalog: Catalog, path: str, *, at_once: int = PAGE_ROWS) -> Iterator[list[Row]]:
    """Rows of a path below `entity/` that ends at a table, by RID, in pages: any number of them costs no memory."""
    after = ""
    while True:
        page = get_rows(catalog, f"entity/{path}@sort(RID){after}?limit={at_once}")
        if page:
            yield page
        if len(page) < at_once:
            return
        after = f"@after({quote(page[-1]['RID'])})"


def rows_where_any(catalog: Catalog, ref: Ref, column: str, values: Iterable[Any]) -> list[Row]:
    """Rows of a table whose column has one of the values; each request asks for some hundred of them."""
    found: list[Row] = []
    for batch in batches_of_values(list(dict.fromkeys(values))):
        found += get_rows(catalog, f"entity/{table_name(*ref)}/{any_of(column, batch)}")
    return found


def row_by_rid(catalog: Catalog, ref: Ref, rid: RID) -> Row | None:
    """The row of a table that has this RID."""
    rows = get_rows(catalog, f"entity/{table_name(*ref)}/{equals('RID', check_rid(rid))}")
    return rows[0] if rows else None


def insert_rows(
    catalog: Catalog,
    ref: Ref,
    rows: Sequence[Mapping[str, Any]],
    *,
    skip_conflicts: bool = False,
    defaults: Sequence[str] = (),
    nondefaults: Sequence[str] = (),
    repeatable: bool = False,
) -> list[Row]:
    """Insert rows and give them as stored.

    A column that a row does not have becomes null unless it is among `defaults`. With `skip_conflicts`, rows that hit
    any unique key are left out, of the table and of the answer: read back and compare what must be there.
    `repeatable` says that sending the same again does no harm (a natural key, or RIDs of one's own): only then is a
    lost answer tried again. DerivaMLValidationError, before anything is sent, for values that cannot be stored.
    """
    if not rows:
        return []
    path = _insert_path(catalog, ref, skip_conflicts=skip_conflicts, defaults=defaults, nondefaults=nondefaults)
    stored: list[Row] = []
    for body, kind in _bodies(catalog, ref, rows, defaults, nondefaults):
        answer = catalog.client.request(
            "POST",
            path,
            headers={"Content-Type": kind, "Accept": "application/json"},
            content=body,
            idempotent=repeatable,
            want_json=True,
        )
        stored += answer.rows()
    return stored


def insert_missing_rows(catalog: Catalog, ref: Ref, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert the rows that hit no unique key, and give their number; the others are left out. Repeatable.

    As `insert_rows` with `skip_conflicts`, for many rows of which only the number is wanted. Fewer than were given
    means: some were there, or the answer is not whole. Then read back what must be there.
    """
    path = _insert_path(catalog, ref, skip_conflicts=True)
    count = 0
    for body, kind in _bodies(catalog, ref, rows):
        as_json = kind == "application/json"
        answer = catalog.client.request(
            "POST",
            path,
            headers={"Content-Type": kind, "Accept": kind},
            content=body,
            idempotent=True,
            want_json=as_json,
        )
        if answer.looks_html:
            raise answer.not_json()
        count += len(answer.rows()) if as_json else _count_csv(answer.content)
    return count


def _count_csv(content: bytes) -> int:
    """Rows below a line of names: line ends outside of quotes."""
    return max(sum(part.count(b"\n") for part in content.split(b'"')[::2]) - 1, 0)


def _insert_path(
    catalog: Catalog, ref: Ref, *, skip_conflicts: bool, defaults: Sequence[str] = (), nondefaults: Sequence[str] = ()
) -> str:
    query = []
    if skip_conflicts:
        query.append("onconflict=skip")
    if defaults:
        query.append(f"defaults={column_list(defaults)}")
    if nondefaults:
        query.append(f"nondefaults={column_list(nondefaults)}")
    return catalog.path(f"entity/{table_name(*ref)}" + (f"?{'&'.join(query)}" if query else ""))


def _bodies(
    catalog: Catalog,
    ref: Ref,
    rows: Sequence[Mapping[str, Any]],
    defaults: Sequence[str] = (),
    nondefaults: Sequence[str] = (),
) -> Iterator[tuple[bytes, str]]:
    """Rows as bodies of requests, each with its content type; many scalars as CSV, all else as JSON."""
    if len(rows) > JSON_ROWS and _fit_csv(rows):
        for start in range(0, len(rows), CSV_ROWS):
            batch = rows[start : start + CSV_ROWS]
            yield _csv(catalog, ref, batch, defaults, nondefaults), "text/csv"
        return
    check_values(rows)
    empty = _empty_arrays(catalog, ref, {*defaults, *nondefaults})
    for start in range(0, len(rows), JSON_ROWS):
        batch = rows[start : start + JSON_ROWS]
        yield encode_json([{**empty, **row} for row in batch]), "application/json"


def _empty_arrays(catalog: Catalog, ref: Ref, filled: Set[str]) -> dict[str, None]:
    """Null for the array columns of a table: where JSON leaves them out, ERMrest writes an array without members."""
    if ref[0] == "public":
        # the server's own tables, written to before anybody needs the schema
        return {}
    table = catalog.schema.tables[ref]
    return {name: None for name in table.columns if name not in filled and table.typename(name).endswith("[]")}


def insert_with_rid(
    catalog: Catalog, ref: Ref, rid: RID, values: Mapping[str, Any], *, same: Sequence[str] = ()
) -> Row:
    """Insert one row under a RID leased before, once, however often this is called; gives the row as it is now.

    A row of that RID that is there already must have equal values in the columns `same` (all given, if none are
    named); others may have moved on since. Different ones are DerivaMLCatalogConflict.
    """
    try:
        rows = insert_rows(catalog, ref, [{"RID": check_rid(rid), **values}], nondefaults=("RID",), repeatable=True)
        return rows[0]
    except DerivaMLCatalogConflict:
        present = row_by_rid(catalog, ref, rid)
        if present is None:
            raise
    differing = [name for name in (same or values) if present.get(name) != values.get(name)]
    if differing:
        raise DerivaMLCatalogConflict(
            f"{ref[0]}:{ref[1]} has a row {rid} already, with other values of {', '.join(differing)}. "
            "Somebody else has used this RID: begin anew, with a RID leased for it."
        )
    return present


def update_rows(
    catalog: Catalog,
    ref: Ref,
    rows: Sequence[Mapping[str, Any]],
    *,
    match: Sequence[str] = ("RID",),
    change: Sequence[str] | None = None,
) -> list[Row]:
    """Change columns of the rows found by `match`; gives match and changed columns of the rows that there are."""
    if not rows:
        return []
    targets = list(change) if change is not None else [name for name in rows[0] if name not in match]
    check_values(rows)
    path = catalog.path(f"attributegroup/{table_name(*ref)}/{column_list(match)};{column_list(targets)}")
    wanted = [*match, *targets]
    changed: list[Row] = []
    for start in range(0, len(rows), JSON_ROWS):
        batch = [{name: row[name] for name in wanted} for row in rows[start : start + JSON_ROWS]]
        changed += catalog.client.request("PUT", path, json=batch, want_json=True).rows()
    return changed


def swap_column(
    catalog: Catalog,
    ref: Ref,
    rid: RID,
    column: str,
    *,
    expected: Any,
    target: Any,
    also: Mapping[str, Any] | None = None,
) -> bool:
    """Set `column` to `target`, and the columns of `also`, if and only if it holds `expected` now.

    False: it holds something else, and nothing was changed. Equal values move RMT and nothing else. When the answer to
    a first sending was lost, the row is read: it counts as ours if it holds exactly what was to be written.
    """
    further = dict(also or {})
    name = quote(column)
    targets = ",".join([f"to:={name}", *(quote(other) for other in further)])
    row = {"RID": check_rid(rid), "from": expected, "to": target, **further}
    check_values([row])
    answer = catalog.client.request(
        "PUT",
        catalog.path(f"attributegroup/{table_name(*ref)}/RID,from:={name};{targets}"),
        json=[row],
        want_json=True,
    )
    if answer.rows():
        return True
    if answer.attempts == 1:
        return False
    present = row_by_rid(catalog, ref, rid)
    return present is not None and all(present.get(k) == v for k, v in {column: target, **further}.items())


def delete_rows(catalog: Catalog, path: str) -> None:
    """Delete the rows of a path below `entity/`; that there are none is no error."""
    catalog.client.request("DELETE", catalog.path(f"entity/{path}"), expect=(204, 404))


def lease_rids(catalog: Catalog, tokens: Sequence[str]) -> list[RID]:
    """RIDs reserved for rows to be inserted later, one for each token, in order; the same token gives the same RID.

    Keep the tokens durably before asking, or the RIDs before using them: a lease ends when its RID is inserted.
    """
    leased: dict[str, RID] = {}
    for start in range(0, len(tokens), LEASES):
        batch = list(tokens[start : start + LEASES])
        rows = insert_rows(
            catalog,
            ("public", "ERMrest_RID_Lease"),
            [{"ID": token} for token in batch],
            skip_conflicts=True,
            repeatable=True,
        )
        leased |= {row["ID"]: row["RID"] for row in rows}
        missing = [token for token in batch if token not in leased]
        if missing:
            known = rows_where_any(catalog, ("public", "ERMrest_RID_Lease"), "ID", missing)
            leased |= {row["ID"]: row["RID"] for row in known}
    lost = [token for token in tokens if token not in leased]
    if lost:
        raise DerivaMLSchemaError(
            f"Catalog {catalog.address} leased no RID for {len(lost)} of {len(tokens)} rows. "
            "The account may lack the right to insert into public:ERMrest_RID_Lease."
        )
    return [leased[token] for token in tokens]


def new_token() -> str:
    """A token for `lease_rids` that nobody else has."""
    return uuid.uuid4().hex


def snaptime(catalog: Catalog) -> str:
    """The catalog's latest snapshot, e.g. `2PX-WS30-E58W`."""
    return str(catalog.client.request("GET", catalog.path(""), want_json=True).json()["snaptime"])


def check_values(rows: Iterable[Mapping[str, Any]]) -> None:
    """Refuse what the catalog cannot hold and give back: NaN, infinities, and NUL inside a text."""
    for number, row in enumerate(rows):
        for name, value in row.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise DerivaMLValidationError(
                    f"Row {number}, {name}: {value} cannot be stored. Use a finite number, or None for a missing one."
                )
            if isinstance(value, str) and "\0" in value:
                raise DerivaMLValidationError(f"Row {number}, {name}: the text holds a NUL character. Remove it.")


def _fit_csv(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether all values are scalars: lists and objects are told apart from texts only in JSON."""
    return all(value is None or isinstance(value, (str, int, float)) for row in rows for value in row.values())


def _csv(
    catalog: Catalog, ref: Ref, rows: Sequence[Mapping[str, Any]], defaults: Sequence[str], nondefaults: Sequence[str]
) -> bytes:
    """Rows as ERMrest's CSV: every column that is to be filled, null as nothing, an empty text as two quotes."""
    table = catalog.schema.tables[ref]
    columns = [
        name
        for name in table.columns
        if name in nondefaults or (name not in SYSTEM_COLUMNS and name not in set(defaults))
    ]
    if spelled := [name for name in columns if table.typename(name) in ("json", "jsonb")]:
        check_values(rows)
        rows = [{**row, **_spelt(row, spelled)} for row in rows]
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(
        [
            _WRITTEN[value] if value is None or value is True or value is False else value
            for value in map(row.get, columns)
        ]
        for row in rows
    )
    text = out.getvalue()
    if any(part in text for part in ("\0", "nan", "inf")):
        # perhaps only inside a text
        check_values(rows)
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise DerivaMLValidationError(
            f"A text for {ref[0]}:{ref[1]} is not valid Unicode (a lone surrogate). Correct the value."
        ) from None


def _spelt(row: Mapping[str, Any], columns: Sequence[str]) -> dict[str, str]:
    """Texts among JSON values the way JSON has them; CSV gives the spelling of a value, where JSON gives the value."""
    return {name: json.dumps(row[name], ensure_ascii=False) for name in columns if isinstance(row.get(name), str)}


class _Unquoted:
    """What csv.writer takes for a number, and so writes without quotes."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text

    def __float__(self) -> float:
        raise TypeError(f"{self.text!r} is only to be written")


_WRITTEN = {None: _Unquoted(""), True: _Unquoted("true"), False: _Unquoted("false")}
"""How CSV has what is neither text nor number: null is nothing at all, while an empty text is two quotes."""
