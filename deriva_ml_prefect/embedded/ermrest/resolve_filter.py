"""Resolve filters: columns found, literals in their stored form, regular expressions checked."""

from __future__ import annotations

from deriva_ml_prefect.embedded.ermrest.clock import normalise_rid
from deriva_ml_prefect.embedded.ermrest.model import Model
from deriva_ml_prefect.embedded.ermrest.plan import (
    Both,
    ColumnRef,
    Compare,
    Condition,
    Either,
    IsNull,
    Match,
    Negation,
    PathPlan,
)
from deriva_ml_prefect.embedded.ermrest.regular_expression import translate_regexp
from deriva_ml_prefect.embedded.ermrest.resolve_path import PathScope, find_reference, find_source, walk_path
from deriva_ml_prefect.embedded.ermrest.tree import And, Filter, Not, Or, Path, Predicate
from deriva_ml_prefect.embedded.ermrest.types import Stored, cast_literal
from deriva_ml_prefect.embedded.errors import BadRequest, Conflict, NotImplementedHere

ORDERED = {"=": "=", "lt": "<", "leq": "<=", "gt": ">", "geq": ">="}


def resolve_path(model: Model, path: Path) -> PathPlan:
    """The plan of a whole path. Raises Conflict for names that do not resolve."""
    scope = None
    for scope, filters in walk_path(model, path):
        if filters is not None:
            scope.conditions.append(resolve_filter(scope, filters))
    assert scope is not None
    return scope.plan()


def resolve_filter(scope: PathScope, filters: Filter) -> Condition:
    if isinstance(filters, Not):
        return Negation(resolve_filter(scope, filters.operand))
    if isinstance(filters, And):
        return Both(tuple(resolve_filter(scope, operand) for operand in filters.operands))
    if isinstance(filters, Or):
        return Either(tuple(resolve_filter(scope, operand) for operand in filters.operands))
    return _resolve_predicate(scope, filters)


def _resolve_predicate(scope: PathScope, predicate: Predicate) -> Condition:
    if predicate.operator == "ts":
        raise NotImplementedHere("The text search operator ::ts:: is not offered; use ::ciregexp::.")
    if predicate.operator in ("regexp", "ciregexp"):
        return _resolve_match(scope, predicate)
    if predicate.column.parts[-1] == "*":
        raise BadRequest(f"The operator {predicate.operator} cannot be used with '*': only regexp and ciregexp can.")
    column = find_reference(scope, predicate.column)
    if predicate.operator == "null":
        return IsNull(column)
    element = column.type.base if column.type.is_array and column.type.base else column.type
    if element.scalar == "json":
        raise Conflict(f"Column {column.column.name} of type json cannot be compared; jsonb can.")
    values: list[Stored] = [cast_literal(column.type, value) for value in predicate.values]
    every = predicate.quantifier == "all"
    if column.type.name == "ermrest_rid" and predicate.operator == "=":
        return _resolve_rid(column, predicate.values, every)
    return Compare(column, ORDERED[predicate.operator], tuple(dict.fromkeys(values)), every)


def _resolve_rid(column: ColumnRef, texts: tuple[str, ...], every: bool) -> Condition:
    """A RID is found as it is written, or in the form that the server writes."""
    forms = [tuple(dict.fromkeys((text, normalise_rid(text)))) for text in texts]
    if every:
        return Both(tuple(Compare(column, "=", form, every=False) for form in forms))
    return Compare(column, "=", tuple(dict.fromkeys(value for form in forms for value in form)), every=False)


def _resolve_match(scope: PathScope, predicate: Predicate) -> Match:
    if predicate.column.parts[-1] == "*":
        source, _ = find_source(scope, predicate.column)
        columns = tuple(ColumnRef(source, column) for column in scope.sources[source].columns.values())
    else:
        columns = (find_reference(scope, predicate.column),)
    for pattern in predicate.values:
        translate_regexp(pattern)
    return Match(columns, predicate.values, predicate.operator == "ciregexp", predicate.quantifier == "all")
