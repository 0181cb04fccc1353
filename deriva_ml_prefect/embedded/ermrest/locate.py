"""Answer GET /entity_rid/RID: which table a row is in, or was in until it was deleted."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import orjson

from deriva_ml_prefect.embedded.ermrest.catalogs import Catalog, Reading
from deriva_ml_prefect.embedded.ermrest.clock import Moment, normalise_rid
from deriva_ml_prefect.embedded.ermrest.dates import micros_of
from deriva_ml_prefect.embedded.ermrest.model import Json, Table
from deriva_ml_prefect.embedded.ermrest.preconditions import tagged, unchanged
from deriva_ml_prefect.embedded.ermrest.url import decode
from deriva_ml_prefect.embedded.errors import BadRequest, NotFound
from deriva_ml_prefect.embedded.http import Request, Response


def answer_locate(catalog: Catalog, at: Moment | None, rest: str, request: Request) -> Response:
    """Raises NotFound for a RID that no row has or had."""
    with catalog.reading(request, at) as reading:
        rid = decode(rest.strip("/"))
        if not rid:
            raise NotFound("The resource needs a RID.")
        if "/" in rest.strip("/"):
            raise BadRequest("A RID contains no slash.")
        not_modified = unchanged(request, reading.revision)
        if not_modified is not None:
            return not_modified
        document = find_row(reading, rid)
        headers = (("Content-Type", "application/json"), *tagged(request, reading.revision))
        return Response(200, headers, orjson.dumps(document) + b"\n")


def find_row(reading: Reading, rid: str) -> dict[str, Json]:
    forms = tuple(dict.fromkeys((rid, normalise_rid(rid))))
    for form in forms:
        for table in _tables(reading):
            if _is_present(reading, table, form):
                return {"RID": form, "schema_name": table.schema, "table_name": table.name}
    if reading.at is None:
        for form in forms:
            ended = [(until, table) for table in _tables(reading) if (until := _ended(reading.connection, table, form))]
            if ended:
                return _describe_deleted(form, *max(ended, key=lambda found: found[0]))
    raise NotFound(f"No row has the RID {rid}.")


def _tables(reading: Reading) -> Iterator[Table]:
    for schema in reading.visible.schemas.values():
        for table in schema.tables.values():
            if table.kind == "table" and "RID" in table.columns:
                yield table


def _is_present(reading: Reading, table: Table, rid: str) -> bool:
    column, began = table.columns["RID"].physical, table.columns["RMT"].physical
    if reading.at is None:
        query, parameters = f"SELECT 1 FROM {table.physical} WHERE {column} = ?", (rid,)
    else:
        query = (
            f"SELECT 1 FROM {table.physical} WHERE {column} = ?1 AND {began} <= ?2 UNION ALL "
            f"SELECT 1 FROM {table.history} WHERE {column} = ?1 AND {began} <= ?2 AND until_ > ?2"
        )
        parameters = (rid, reading.at.text)  # type: ignore[assignment]
    return reading.connection.execute(query, parameters).fetchone() is not None


def _ended(connection: sqlite3.Connection, table: Table, rid: str) -> str | None:
    column = table.columns["RID"].physical
    row = connection.execute(f"SELECT max(until_) FROM {table.history} WHERE {column} = ?", (rid,)).fetchone()
    return None if row is None else row[0]


def _describe_deleted(rid: str, until: str, table: Table) -> dict[str, Json]:
    last = Moment(micros_of(until) - 1)
    return {
        "RID": rid,
        "schema_name": table.schema,
        "table_name": table.name,
        "deleted_at": until,
        "last_visible_at": last.text,
        "last_visible_snaptime": last.snaptime,
    }
