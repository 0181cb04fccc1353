"""ACLs and ACL bindings in documents: read, checked, and refused where a client would lock itself out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from deriva_ml_prefect.embedded.ermrest.acl import FKEY_BINDING_TYPES, TABLE_BINDING_TYPES
from deriva_ml_prefect.embedded.ermrest.model import Json, Model, Table
from deriva_ml_prefect.embedded.errors import BadRequest, Conflict

Subject = Literal["table", "column", "foreign key"]
BINDING_TYPES: Final[Mapping[Subject, Sequence[str]]] = {
    "table": TABLE_BINDING_TYPES,
    "column": TABLE_BINDING_TYPES,
    "foreign key": FKEY_BINDING_TYPES,
}
BINDING_FIELDS: Final = frozenset({"types", "projection", "projection_type", "scope_acl", "comment"})


def read_acl(value: Json, name: str, supported: Sequence[str], *, wildcard: bool = False) -> list[str]:
    """One ACL, a list of roles. `wildcard` allows `*` in every list, not only in `enumerate` and `select`.

    Raises Conflict when the element has no ACL of that name, BadRequest for anything that is no such list.
    """
    if name not in supported:
        raise Conflict(f"There is no ACL named {name} here, only {', '.join(supported)}.")
    if not isinstance(value, list) or not all(isinstance(member, str) for member in value):
        raise BadRequest(f"ACL {name} must be a list of roles, each a text.")
    if "*" in value and not wildcard and name not in ("enumerate", "select"):
        raise BadRequest(f"ACL {name} cannot hold the wildcard *: that would let anonymous clients in.")
    return list(value)


def read_acls(
    value: Json, supported: Sequence[str], *, wildcard: bool = False, empty: bool = True
) -> dict[str, list[str]]:
    """A set of ACLs by name; with `empty`, null members are left out, else they are BadRequest."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise BadRequest("A set of ACLs must be a JSON object.")
    return {
        name: read_acl(members, name, supported, wildcard=wildcard)
        for name, members in value.items()
        if not (empty and members is None)
    }


def read_binding(value: Json, name: str, subject: Subject, model: Model, table: Table | None) -> Json:
    """One ACL binding with its defaults filled in, or False, which switches an inherited one off.

    Raises BadRequest for a document that is no binding, Conflict when it names what the model lacks.
    """
    if value is False:
        return False
    if not isinstance(value, Mapping) or not value.keys() <= BINDING_FIELDS:
        raise BadRequest(f"ACL binding {name} must be false or an object with {', '.join(sorted(BINDING_FIELDS))}.")
    types, scope = value.get("types"), value.get("scope_acl", ["*"])
    allowed = BINDING_TYPES[subject]
    if not isinstance(types, list) or not types or not all(kind in allowed for kind in types):
        raise BadRequest(f"The types of ACL binding {name} must be some of {', '.join(allowed)}.")
    if not isinstance(scope, list) or not scope or not all(isinstance(member, str) for member in scope):
        raise BadRequest(f"The scope_acl of ACL binding {name} must be a list of roles.")
    projection = value.get("projection")
    steps = [projection] if isinstance(projection, str) else projection
    if not isinstance(steps, list) or not steps or not isinstance(steps[-1], str):
        raise BadRequest(f"The projection of ACL binding {name} must end with a column name.")
    if not all(isinstance(step, Mapping) for step in steps[:-1]):
        raise BadRequest(f"All but the last element of the projection of ACL binding {name} must be objects.")
    kind = value.get("projection_type")
    if kind not in (None, "acl", "nonnull"):
        raise BadRequest(f"The projection_type of ACL binding {name} must be acl or nonnull.")
    end = find_projected_table(steps[:-1], name, model, table)
    if end is not None:
        if steps[-1] not in end.columns:
            raise Conflict(f"ACL binding {name} names column {steps[-1]}, which {end.schema}:{end.name} lacks.")
        scalar = end.columns[steps[-1]].type.scalar
        if kind == "acl" and scalar != "text":
            raise Conflict(f"Column {steps[-1]} cannot hold roles for ACL binding {name}: its type is {scalar}.")
        kind = kind or ("acl" if scalar == "text" else "nonnull")
    return {**value, "projection_type": kind or "acl", "scope_acl": list(scope)}


def find_projected_table(
    steps: Sequence[Mapping[str, Json]], name: str, model: Model, table: Table | None
) -> Table | None:
    """The table that a projection ends in; None where it starts at a table that is still being made."""
    current = table
    known = {"base": table}
    for step in steps:
        if "context" in step:
            if step["context"] not in known:
                raise BadRequest(f"ACL binding {name} goes back to {step['context']!r}, which is no alias before it.")
            current = known[step["context"]]
        link = step.get("inbound") or step.get("outbound")
        if link is None and not step.keys() & {"filter", "and", "or"}:
            raise BadRequest(f"An element of the projection of ACL binding {name} is neither a join nor a filter.")
        if link is None or current is None:
            continue
        if not isinstance(link, list) or len(link) != 2:
            raise BadRequest(f"A join in ACL binding {name} must name a foreign key as [schema, constraint].")
        inbound = "inbound" in step
        fkeys = model.incoming.get(current.full_name, ()) if inbound else current.foreign_keys
        found = next((fkey for fkey in fkeys if list(fkey.name) == link), None)
        if found is None:
            raise Conflict(f"ACL binding {name} follows a foreign key {link} that {current.name} does not have.")
        schema, other = found.table if inbound else found.referenced_table
        current = model.schemas[schema].tables[other]
        if isinstance(step.get("alias"), str):
            known[step["alias"]] = current
    return current


def read_bindings(value: Json, subject: Subject, model: Model, table: Table | None) -> dict[str, Json]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise BadRequest("A set of ACL bindings must be a JSON object.")
    return {name: read_binding(binding, name, subject, model, table) for name, binding in value.items()}
