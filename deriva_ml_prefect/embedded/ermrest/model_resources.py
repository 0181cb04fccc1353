"""The resources of the model: schemas, tables, columns, keys and foreign keys, read, made, changed and deleted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from deriva_ml_prefect.embedded.ermrest.acl import Access, roles_of, visible_model
from deriva_ml_prefect.embedded.ermrest.alteration import (
    alter_column,
    alter_foreign_key,
    alter_key,
    alter_schema,
    alter_table,
)
from deriva_ml_prefect.embedded.ermrest.answers import empty_answer, json_answer, json_bytes_answer, read_json
from deriva_ml_prefect.embedded.ermrest.catalogs import Catalog, Reading
from deriva_ml_prefect.embedded.ermrest.change import change_model
from deriva_ml_prefect.embedded.ermrest.clock import Moment
from deriva_ml_prefect.embedded.ermrest.definition import (
    add_column,
    add_foreign_key,
    add_foreign_keys,
    add_key,
    create_schema,
    create_table,
)
from deriva_ml_prefect.embedded.ermrest.documents import (
    Viewer,
    describe_column,
    describe_foreign_key,
    describe_key,
    describe_model,
    describe_schema,
    describe_table,
)
from deriva_ml_prefect.embedded.ermrest.draft import Draft
from deriva_ml_prefect.embedded.ermrest.elements import (
    find_column,
    find_foreign_key,
    find_foreign_keys,
    find_key,
    find_schema,
    find_table,
)
from deriva_ml_prefect.embedded.ermrest.fields import (
    read_list,
    read_object,
)
from deriva_ml_prefect.embedded.ermrest.model import ForeignKey, Json, Schema, Table, TableName
from deriva_ml_prefect.embedded.ermrest.model_url import Target
from deriva_ml_prefect.embedded.ermrest.preconditions import unchanged
from deriva_ml_prefect.embedded.ermrest.removal import (
    drop_column,
    drop_foreign_key,
    drop_key,
    drop_schema,
    drop_table,
)
from deriva_ml_prefect.embedded.errors import BadRequest, Conflict, MethodNotAllowed, NotFound
from deriva_ml_prefect.embedded.http import Request, Response


def handle_model(catalog: Catalog, at: Moment | None, target: Target, request: Request) -> Response:
    """Answer a request for an element, or a set of elements, of the model."""
    acts: Mapping[str, Callable[[Catalog, Target, Request], Response]]
    if request.method == "GET":
        return read_model(catalog, at, target, request)
    acts = {"POST": make_elements, "PUT": change_element, "DELETE": delete_element}
    if request.method not in acts:
        raise MethodNotAllowed(f"{request.method} is not for elements of the model.")
    return acts[request.method](catalog, target, request)


def read_model(catalog: Catalog, at: Moment | None, target: Target, request: Request) -> Response:
    with catalog.reading(request, at) as reading:
        revision = Moment(reading.model.version)
        early = unchanged(request, revision)
        if early is not None:
            return early
        viewer = Viewer(Access(reading.visible, roles_of(request.client)), is_past=reading.at is not None)
        if target.kind == "schemas":
            return json_bytes_answer(request, render_model(catalog, reading, viewer), revision)
        return json_answer(request, describe_target(viewer, target), revision)


def render_model(catalog: Catalog, reading: Reading, viewer: Viewer) -> bytes:
    """The document of `/schema`, rendered once for each version of the model and set of roles."""
    key = ("document", id(reading.visible), viewer.access.roles, viewer.is_past)
    kept = catalog.views.get(key)
    if kept is not None and kept[0] is reading.visible:
        return kept[1]  # type: ignore[no-any-return]
    document = describe_model(viewer, Moment(reading.model.version).snaptime)
    content = orjson.dumps(document) + b"\n"
    catalog.keep(key, (reading.visible, content))
    return content


def describe_target(viewer: Viewer, target: Target) -> Json:
    model = viewer.access.model
    match target.kind:
        case "schema":
            return describe_schema(viewer, find_schema(model, target, NotFound))
        case "tables":
            return [describe_table(viewer, table) for table in find_schema(model, target).tables.values()]
        case "table":
            return describe_table(viewer, find_table(model, target, NotFound))
        case "columns":
            table = find_table(model, target)
            return [describe_column(viewer, table, column) for column in table.columns.values()]
        case "column":
            return describe_column(viewer, find_table(model, target), find_column(model, target, NotFound))
        case "keys":
            return [describe_key(key) for key in find_table(model, target).keys]
        case "key":
            return describe_key(find_key(model, target, NotFound))
        case "foreignkeys":
            return describe_groups(viewer, find_table(model, target))
        case _:
            return [describe_foreign_key(viewer, fkey) for fkey in find_foreign_keys(model, target)]


def describe_groups(viewer: Viewer, table: Table) -> list[Json]:
    """Foreign keys of a table, those with the same columns together."""
    groups: dict[frozenset[str], list[Json]] = {}
    for fkey in table.foreign_keys:
        groups.setdefault(frozenset(fkey.columns), []).append(describe_foreign_key(viewer, fkey))
    return list(groups.values())


def make_elements(catalog: Catalog, target: Target, request: Request) -> Response:
    """POST: make what the body describes below the element that the URL names."""
    name = (target.schema, target.table)
    match target.kind:
        case "schemas":
            return make_many(catalog, request)
        case "schema":
            change = change_model(catalog, request, lambda draft: create_schema(draft, {"schema_name": target.schema}))
            return empty_answer(request, change[2], 201)
        case "tables":
            document = read_object(read_json(request), "table")
            if document.get("schema_name", target.schema) != target.schema:
                raise Conflict(f"The schema_name of the document is not {target.schema}, as in the URL.")
            placed = {**document, "schema_name": target.schema}
            table, viewer, now = change_model(catalog, request, lambda draft: create_table(draft, placed))
            return json_answer(request, describe_table(viewer, table), now, 201)
        case "columns":
            document = read_json(request)
            column, viewer, now = change_model(catalog, request, lambda draft: add_column(draft, name, document))
            table = viewer.access.model.schemas[name[0]].tables[name[1]]
            return json_answer(request, describe_column(viewer, table, column), now, 201)
        case "keys":
            document = read_json(request)
            key, _, now = change_model(catalog, request, lambda draft: add_key(draft, name, document))
            return json_answer(request, [describe_key(key)], now, 201)
        case "foreignkeys":
            document = read_json(request)
            fkey, viewer, now = change_model(catalog, request, lambda draft: add_foreign_key(draft, document, name))
            return json_answer(request, [describe_foreign_key(viewer, fkey)], now, 201)
    raise MethodNotAllowed(f"POST is for sets of elements, not for a {target.kind} itself.")


def make_many(catalog: Catalog, request: Request) -> Response:
    """POST /schema: many schemas, tables and foreign keys at once, the foreign keys last so that cycles work."""
    document = read_json(request)
    if isinstance(document, Mapping):
        schemas = read_object(document.get("schemas"), "set of schemas")
        items: list[Mapping[str, Json]] = []
        for name, schema in schemas.items():
            schema = read_object(schema, "schema")
            if schema.get("schema_name", name) != name:
                raise BadRequest(f"Schema key {name} does not match its schema_name {schema['schema_name']}.")
            items.append({**schema, "schema_name": name})
    else:
        items = [read_object(item, "schema, table or foreign key") for item in read_list(document, "body")]

    def act(draft: Draft) -> list[Schema | Table | ForeignKey]:
        return make_items(draft, items)

    made, viewer, now = change_model(catalog, request, act)
    described = [describe_made(viewer, element) for element in made]
    if isinstance(document, Mapping):
        by_name = {item["schema_name"]: item for item in described}
        return json_answer(request, {"schemas": by_name}, now, 201)
    return json_answer(request, described, now, 201)


def make_items(draft: Draft, items: list[Any]) -> list[Schema | Table | ForeignKey]:
    """Make the elements in the order given, all foreign keys after all tables."""
    names: list[str | TableName | None] = []
    later: list[tuple[TableName, Mapping[str, Json]]] = []
    for item in items:
        if "foreign_key_columns" in item:
            names.append(None)
        elif "table_name" in item:
            table = create_table(draft, item, with_foreign_keys=False)
            names.append(table.full_name)
            later.append((table.full_name, item))
        else:
            schema = create_schema(draft, item)
            names.append(schema.name)
            tables = item.get("tables") or {}
            later.extend(((schema.name, name), table) for name, table in tables.items())
    for name, document in later:
        add_foreign_keys(draft, name, document)
    made: list[Schema | Table | ForeignKey] = []
    for item, made_name in zip(items, names, strict=True):
        if made_name is None:
            made.append(add_foreign_key(draft, item))
        elif isinstance(made_name, str):
            made.append(draft.model.schemas[made_name])
        else:
            made.append(draft.table(made_name))
    # foreign keys that stand in the list by themselves may belong to a table made before them
    return [draft.table(each.full_name) if isinstance(each, Table) else each for each in made]


def describe_made(viewer: Viewer, element: Schema | Table | ForeignKey) -> dict[str, Json]:
    if isinstance(element, Schema):
        return describe_schema(viewer, viewer.access.model.schemas[element.name])
    if isinstance(element, Table):
        return describe_table(viewer, element)
    return describe_foreign_key(viewer, element)


def change_element(catalog: Catalog, target: Target, request: Request) -> Response:
    """PUT: change what the document names; a schema, table, column or key that is missing is made."""
    name = (target.schema, target.table)
    if target.kind in ("schemas", "tables", "columns", "keys", "foreignkeys"):
        raise MethodNotAllowed("PUT is for one element, not for a set of them.")
    document = read_object(read_json(request), target.kind)
    match target.kind:
        case "schema":
            schema, viewer, now = change_model(catalog, request, lambda draft: put_schema(draft, target, document))
            described = describe_schema(viewer, viewer.access.model.schemas[schema.name])
        case "table":
            table, viewer, now = change_model(catalog, request, lambda draft: put_table(draft, name, document))
            described = describe_table(viewer, table)
        case "column":
            column, viewer, now = change_model(
                catalog, request, lambda draft: put_column(draft, name, target.columns[0], document)
            )
            parent = viewer.access.model.schemas[name[0]].tables[name[1]]
            described = describe_column(viewer, parent, column)
        case "key":
            key, _, now = change_model(catalog, request, lambda draft: put_key(draft, target, document))
            described = describe_key(key)
        case _:
            fkey, viewer, now = change_model(
                catalog, request, lambda draft: alter_foreign_key(draft, visible_foreign_key(draft, target), document)
            )
            described = describe_foreign_key(viewer, fkey)
    return json_answer(request, described, now)


def put_schema(draft: Draft, target: Target, document: Mapping[str, Json]) -> Schema:
    if target.schema in draft.model.schemas:
        return alter_schema(draft, target.schema, document)
    if document.get("schema_name") != target.schema:
        raise BadRequest(f"Schema {target.schema} does not exist; to make it, name it in the document's schema_name.")
    schema = create_schema(draft, document)
    for name, table in (document.get("tables") or {}).items():
        add_foreign_keys(draft, (schema.name, name), table)
    return draft.model.schemas[schema.name]


def put_table(draft: Draft, name: TableName, document: Mapping[str, Json]) -> Table:
    schema = draft.schema(name[0])
    if name[1] in schema.tables:
        return alter_table(draft, name, document)
    if document.get("table_name") != name[1] or document.get("schema_name", name[0]) != name[0]:
        raise BadRequest(f"Table {name[1]} does not exist; to make it, name it in the document's table_name.")
    return create_table(draft, {**document, "schema_name": name[0]})


def put_column(draft: Draft, name: TableName, column: str, document: Mapping[str, Json]) -> Any:
    if column in draft.table(name).columns:
        return alter_column(draft, name, column, document)
    if document.get("name") != column:
        raise BadRequest(f"Column {column} does not exist; to make it, name it in the document's name.")
    return add_column(draft, name, document)


def put_key(draft: Draft, target: Target, document: Mapping[str, Json]) -> Any:
    table = draft.table((target.schema, target.table))
    found = next((key for key in table.keys if set(key.columns) == set(target.columns)), None)
    if found is not None:
        return alter_key(draft, table.full_name, found, document)
    return add_key(draft, table.full_name, {"unique_columns": list(target.columns), **document})


def visible_foreign_key(draft: Draft, target: Target) -> ForeignKey:
    draft.table((target.schema, target.table))
    return find_foreign_key(draft.model, target)


def delete_element(catalog: Catalog, target: Target, request: Request) -> Response:
    name = (target.schema, target.table)

    def act(draft: Draft) -> None:
        model = visible_model(draft.model, draft.access.roles)
        match target.kind:
            case "schema":
                find_schema(model, target, NotFound)
                drop_schema(draft, target.schema)
            case "table":
                find_table(model, target, NotFound)
                drop_table(draft, name)
            case "column":
                find_column(model, target, NotFound)
                drop_column(draft, name, target.columns[0])
            case "key":
                drop_key(draft, name, find_key(model, target, NotFound))
            case _:
                for fkey in find_foreign_keys(model, target):
                    drop_foreign_key(draft, fkey)

    if target.kind in ("schemas", "tables", "columns", "keys", "foreignkeys"):
        raise MethodNotAllowed("DELETE is for one element, not for a set of them.")
    _, _, now = change_model(catalog, request, act)
    return empty_answer(request, now)
