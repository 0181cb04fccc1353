"""Parts of a model element that have URLs of their own: comment, annotations, ACLs and ACL bindings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from deriva_ml_prefect.embedded.ermrest.acl import (
    CATALOG_ACLS,
    COLUMN_ACLS,
    FKEY_ACLS,
    SCHEMA_ACLS,
    TABLE_ACLS,
    Access,
    catalog_right,
    refusal,
    roles_of,
    schema_right,
    table_right,
)
from deriva_ml_prefect.embedded.ermrest.alteration import put_column, put_foreign_key
from deriva_ml_prefect.embedded.ermrest.answers import (
    LARGEST_DOCUMENT,
    empty_answer,
    json_answer,
    read_json,
    text_answer,
)
from deriva_ml_prefect.embedded.ermrest.catalogs import Catalog
from deriva_ml_prefect.embedded.ermrest.change import change_model
from deriva_ml_prefect.embedded.ermrest.clock import Moment
from deriva_ml_prefect.embedded.ermrest.controls import Subject, read_acl, read_acls, read_binding, read_bindings
from deriva_ml_prefect.embedded.ermrest.draft import Draft, put_schema, put_table, set_catalog_parts
from deriva_ml_prefect.embedded.ermrest.elements import Element, find_element, find_table
from deriva_ml_prefect.embedded.ermrest.fields import (
    read_object,
)
from deriva_ml_prefect.embedded.ermrest.model import Column, ForeignKey, Json, Key, Model, Schema, Table
from deriva_ml_prefect.embedded.ermrest.model_url import Target
from deriva_ml_prefect.embedded.ermrest.preconditions import unchanged
from deriva_ml_prefect.embedded.errors import BadRequest, MethodNotAllowed, NotFound
from deriva_ml_prefect.embedded.http import Client, Request, Response

SUPPORTED: Final[Mapping[type, tuple[str, ...]]] = {
    Model: CATALOG_ACLS,
    Schema: SCHEMA_ACLS,
    Table: TABLE_ACLS,
    Column: COLUMN_ACLS,
    ForeignKey: FKEY_ACLS,
}
BINDABLE: Final[Mapping[type, Subject]] = {Table: "table", Column: "column", ForeignKey: "foreign key"}
FIELDS: Final = {"comment": "comment", "annotation": "annotations", "acl": "acls", "acl_binding": "acl_bindings"}


def handle_part(catalog: Catalog, at: Moment | None, target: Target, request: Request) -> Response:
    """Answer a request for a comment, annotations, ACLs or bindings."""
    if request.method == "GET":
        return read_part(catalog, at, target, request)
    if request.method == "PUT":
        return put_part(catalog, target, request)
    if request.method == "DELETE":
        return delete_part(catalog, target, request)
    raise MethodNotAllowed(f"{request.method} is not for a {target.part}.")


def read_part(catalog: Catalog, at: Moment | None, target: Target, request: Request) -> Response:
    with catalog.reading(request, at) as reading:
        revision = Moment(reading.model.version)
        element = find_element(reading.visible, target)
        if target.part in ("acl", "acl_binding"):
            require_owner(reading.model, target, request.client)
        value = value_of(element, target)
        early = unchanged(request, revision)
        if early is not None:
            return early
        if target.part == "comment":
            return text_answer(request, value, revision)
        return json_answer(request, value, revision)


def value_of(element: Element, target: Target) -> Json:
    """What GET shows.

    Raises NotFound when the element has no such part, or the part no such member.
    """
    values = part_of(element, target)
    if target.part == "comment":
        if values is None:
            raise NotFound(f"The {target.kind} has no comment.")
        return values
    if target.part == "acl":
        supported = SUPPORTED[type(element)]
        if isinstance(element, Model):
            values = {name: values.get(name, []) for name in supported}
        if target.key is not None and target.key in supported:
            return values.get(target.key)
    if target.key is None:
        return dict(values)
    if target.key not in values:
        raise NotFound(f"The {target.kind} has no {target.part} {target.key}.")
    return values[target.key]


def part_of(element: Element, target: Target) -> Any:
    """The value of the field that the part is kept in.

    Raises NotFound when such an element has no such part: keys no ACLs, schemas no bindings, the catalog no comment.
    """
    has_it = {
        "comment": not isinstance(element, Model),
        "annotation": True,
        "acl": type(element) in SUPPORTED,
        "acl_binding": type(element) in BINDABLE,
    }[target.part or ""]
    if not has_it:
        raise NotFound(f"A {target.kind} has no {target.part}.")
    return getattr(element, FIELDS[target.part or ""])


def require_owner(model: Model, target: Target, client: Client | None) -> None:
    if not is_owner(model, target, client):
        raise refusal(client, f"owner access on the {target.kind} {target.table or target.schema}")


def is_owner(model: Model, target: Target, client: Client | None) -> bool:
    access = Access(model, roles_of(client))
    if target.kind == "catalog":
        return catalog_right(access, "owner")
    if target.kind == "schema":
        return schema_right(access, model.schemas[target.schema], "owner")
    return table_right(access, find_table(model, target), "owner") is True


def replace_field(draft: Draft, target: Target, element: Element, value: Any) -> None:
    """Put a new value into the field that the part is kept in."""
    field = FIELDS[target.part or ""]
    if isinstance(element, Model):
        if field == "acls":
            value = {name: value.get(name, []) for name in CATALOG_ACLS}
        set_catalog_parts(draft, **{field: value})
        return
    changed: Any = replace(element, **{field: value})
    table = find_table(draft.model, target) if target.table else None
    if isinstance(changed, Schema):
        put_schema(draft, changed, instead_of=target.schema)
    elif isinstance(changed, Table):
        put_table(draft, changed, instead_of=changed.full_name)
    elif isinstance(changed, Column) and table:
        put_column(draft, table, changed)
    elif isinstance(changed, Key) and table:
        keys = tuple(changed if key.rid == changed.rid else key for key in table.keys)
        put_table(draft, replace(table, keys=keys), instead_of=table.full_name)
    elif isinstance(changed, ForeignKey):
        put_foreign_key(draft, changed)


def change_part(
    catalog: Catalog, target: Target, request: Request, act: Callable[[Draft, Element, Any], tuple[Any, Any]]
) -> tuple[Any, Moment]:
    """Let `act` make (result, new value) of the part's value; only owners may, and they must stay owners."""

    def change(draft: Draft) -> Any:
        visible = catalog.view(draft.model, roles_of(request.client))
        find_element(visible, target)
        require_owner(draft.model, target, request.client)
        element = find_element(draft.model, target)
        result, value = act(draft, element, part_of(element, target))
        replace_field(draft, target, element, value)
        if not is_owner(draft.model, target, request.client):
            raise refusal(request.client, "owner access: the change would take it from you")
        return result

    result, _, now = change_model(catalog, request, change)
    return result, now


def put_part(catalog: Catalog, target: Target, request: Request) -> Response:
    if target.part == "comment":
        try:
            comment = request.body.read(LARGEST_DOCUMENT).decode()
        except UnicodeDecodeError as error:
            raise BadRequest("A comment must be text in UTF-8.") from error
        _, now = change_part(catalog, target, request, lambda *_: (None, comment))
        return empty_answer(request, now)
    document = read_json(request)
    if target.part == "annotation":
        created, now = change_part(
            catalog, target, request, lambda _draft, _element, old: put_annotation(old, target.key, document)
        )
        return empty_answer(request, now, 201 if created else 204)

    def act(draft: Draft, element: Element, old: Any) -> tuple[Any, Any]:
        if target.part == "acl":
            return put_acl(element, old, target.key, document)
        table = find_table(draft.model, target)
        if isinstance(element, ForeignKey):  # its bindings are about rows of the table that it refers to
            table = draft.table(element.referenced_table)
        return put_binding(draft.model, table, element, old, target.key, document)

    stored, now = change_part(catalog, target, request, act)
    return json_answer(request, stored, now)


def put_annotation(old: Mapping[str, Json], key: str | None, document: Json) -> tuple[bool, dict[str, Json]]:
    """(whether one was added under a new key, all annotations)"""
    if key is None:
        return False, dict(read_object(document, "set of annotations"))
    return key not in old, {**old, key: document}


def put_acl(
    element: Element, old: Mapping[str, list[str]], name: str | None, document: Json
) -> tuple[Json, dict[str, list[str]]]:
    supported, wildcard = SUPPORTED[type(element)], isinstance(element, ForeignKey)
    if name is None:
        acls = read_acls(read_object(document, "set of ACLs"), supported, wildcard=wildcard, empty=False)
        if isinstance(element, Model):
            acls = {each: acls.get(each, []) for each in supported}
        return acls, acls
    if document is None and name in supported:  # the list is taken away, as by DELETE
        return ([] if isinstance(element, Model) else None), {each: acl for each, acl in old.items() if each != name}
    acl = read_acl(document, name, supported, wildcard=wildcard)
    return acl, {**old, name: acl}


def put_binding(
    model: Model, table: Table, element: Element, old: Mapping[str, Json], name: str | None, document: Json
) -> tuple[Json, dict[str, Json]]:
    subject = BINDABLE[type(element)]
    if name is None:
        bindings = read_bindings(read_object(document, "set of ACL bindings"), subject, model, table)
        return bindings, bindings
    binding = read_binding(document, name, subject, model, table)
    return binding, {**old, name: binding}


def delete_part(catalog: Catalog, target: Target, request: Request) -> Response:
    if target.part == "annotation" and target.key is None:
        raise MethodNotAllowed("DELETE is for one annotation: PUT {} to delete all.")

    def act(_draft: Draft, element: Element, old: Any) -> tuple[None, Any]:
        if target.part == "comment":
            return None, None
        if target.key is None:
            return None, {}
        if target.part == "annotation" and target.key not in old:
            raise NotFound(f"The {target.kind} has no annotation {target.key}.")
        if target.part == "acl" and target.key not in SUPPORTED[type(element)]:
            raise NotFound(f"The {target.kind} has no ACL {target.key}.")
        return None, {name: value for name, value in old.items() if name != target.key}

    _, now = change_part(catalog, target, request, act)
    return empty_answer(request, now)
