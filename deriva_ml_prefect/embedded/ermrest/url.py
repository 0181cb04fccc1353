"""Parse the raw text of a data URL into a syntax tree; knows the grammar and no model.

Reserved characters are syntax only while they are not percent-encoded, so every rule works on raw text and the
pieces are decoded last. Anything outside the grammar is errors.BadRequest.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from deriva_ml_prefect.embedded.ermrest.tree import (
    And,
    ColumnsElement,
    ContextElement,
    DataRequest,
    Filter,
    FilterElement,
    Item,
    LinkElement,
    Name,
    Not,
    Options,
    Or,
    Page,
    Path,
    PathElement,
    Predicate,
    SortKey,
    TableElement,
)
from deriva_ml_prefect.embedded.errors import BadRequest

_WORD = re.compile(r"(?:[A-Za-z0-9\-._~*]|%[0-9A-Fa-f]{2})+")
_TOKEN = re.compile(r"(?:[A-Za-z0-9\-._~*]|%[0-9A-Fa-f]{2})+|::|:=|[:=&;,()!$@/]")
_OUTER = ("left", "right", "full")
_LABELLED = ("lt", "leq", "gt", "geq", "regexp", "ciregexp", "ts")
_DEEPEST = 30
MOST_SORT_KEYS = 50


def decode(raw: str) -> str:
    """Percent-decode one piece as UTF-8."""
    try:
        text = unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError:
        raise BadRequest(f"The text {raw!r} is not percent-encoded UTF-8.") from None
    if "\0" in text:
        raise BadRequest("A URL must not contain the character NUL.")
    return text


class _Tokens:
    """Cursor over the tokens of one piece of a URL."""

    def __init__(self, raw: str) -> None:
        self.raw = raw
        self.tokens: list[str] = []
        self.at = 0
        position = 0
        for found in _TOKEN.finditer(raw):
            if found.start() != position:
                break
            self.tokens.append(found.group())
            position = found.end()
        if position != len(raw):
            raise BadRequest(
                f"The character {raw[position]!r} at position {position} of {raw!r} must be percent-encoded."
            )

    def peek(self, ahead: int = 0) -> str:
        place = self.at + ahead
        return self.tokens[place] if place < len(self.tokens) else ""

    def take(self, token: str) -> bool:
        if self.peek() == token:
            self.at += 1
            return True
        return False

    def keyword(self, *words: str) -> str | None:
        found = self.peek().lower()
        if found in words:
            self.at += 1
            return found
        return None

    def need(self, token: str) -> None:
        if not self.take(token):
            raise self.error(f"expected {token!r}")

    def is_word(self, ahead: int = 0) -> bool:
        return bool(_WORD.fullmatch(self.peek(ahead)))

    def word(self) -> str:
        if not self.is_word():
            raise self.error("expected a name")
        self.at += 1
        return decode(self.tokens[self.at - 1])

    def optional_word(self) -> str:
        return self.word() if self.is_word() else ""

    @property
    def done(self) -> bool:
        return self.at >= len(self.tokens)

    def error(self, what: str) -> BadRequest:
        found = self.peek() or "the end"
        return BadRequest(f"Cannot parse {self.raw!r}: {what}, found {found!r}.")

    def name(self) -> Name:
        """`[:]a[:b[:c]]`"""
        self.take(":")
        parts = [self.word()]
        while self.peek() == ":":
            self.at += 1
            parts.append(self.word())
        return Name(tuple(parts))

    def names(self) -> tuple[Name, ...]:
        found = [self.name()]
        while self.take(","):
            found.append(self.name())
        return tuple(found)

    def alias(self) -> str | None:
        if self.is_word() and self.peek(1) == ":=":
            alias = self.word()
            self.at += 1
            return alias
        return None


def parse_request(resource: str, rest: str) -> DataRequest:
    """Parse what follows the resource keyword of a data URL (raw, without the query).

    Shapes: entity PATH; attribute PATH/COLS; attributegroup PATH/KEYS[;ITEMS]; aggregate PATH/ITEMS; each with
    `@sort(..)@after(..)@before(..)` behind.
    """
    body, at, tail = rest.strip("/").partition("@")
    page = parse_page(at + tail)
    segments = body.split("/")
    if not body or "" in segments:
        raise BadRequest(f"The path {body!r} has an empty element.")
    if resource == "entity":
        return DataRequest(resource, parse_path(segments), page=page)
    if len(segments) < 2:
        raise BadRequest(f"The resource {resource} needs a list of columns behind the path {body!r}.")
    path = parse_path(segments[:-1])
    keys, items = _parse_projection(resource, segments[-1])
    return DataRequest(resource, path, keys, items, page)


def parse_path(segments: list[str]) -> Path:
    root = _Tokens(segments[0])
    alias = root.alias()
    path: list[PathElement] = [TableElement(root.name(), alias)]
    if not root.done:
        raise root.error("the first element of a path must name a table")
    path.extend(_parse_element(segment) for segment in segments[1:])
    return tuple(path)


def _parse_element(raw: str) -> PathElement:
    tokens = _Tokens(raw)
    if tokens.take("$"):
        element: PathElement = ContextElement(tokens.word())
        if not tokens.done:
            raise tokens.error("nothing may follow an alias")
        return element
    for attempt in (_try_join, _try_table):
        found = attempt(raw)
        if found is not None:
            return found
    filters = _parse_or(tokens, 0)
    if not tokens.done:
        raise tokens.error("expected the end of the filter")
    return FilterElement(filters)


def _try_join(raw: str) -> ColumnsElement | LinkElement | None:
    tokens = _Tokens(raw)
    alias = tokens.alias()
    outer = None
    if tokens.peek(1) == "(":
        outer = tokens.keyword(*_OUTER)
    left = _try_columns(tokens)
    if left is None:
        return None
    if tokens.done:
        return ColumnsElement(left, alias, outer)
    if not tokens.take("="):
        return None
    right = _try_columns(tokens)
    return LinkElement(left, right, alias, outer) if right is not None and tokens.done else None


def _try_columns(tokens: _Tokens) -> tuple[Name, ...] | None:
    """`(names)`, or None where the parenthesis holds something else."""
    try:
        tokens.need("(")
        names = tokens.names()
        tokens.need(")")
    except BadRequest:
        return None
    return names


def _try_table(raw: str) -> TableElement | None:
    tokens = _Tokens(raw)
    try:
        alias = tokens.alias()
        name = tokens.name()
    except BadRequest:
        return None
    return TableElement(name, alias) if tokens.done else None


def _parse_or(tokens: _Tokens, depth: int) -> Filter:
    operands = [_parse_and(tokens, depth)]
    while tokens.take(";"):
        operands.append(_parse_and(tokens, depth))
    return operands[0] if len(operands) == 1 else Or(tuple(operands))


def _parse_and(tokens: _Tokens, depth: int) -> Filter:
    operands = [_parse_not(tokens, depth)]
    while tokens.take("&"):
        operands.append(_parse_not(tokens, depth))
    return operands[0] if len(operands) == 1 else And(tuple(operands))


def _parse_not(tokens: _Tokens, depth: int) -> Filter:
    if depth > _DEEPEST:
        raise BadRequest(f"The filter is nested more than {_DEEPEST} levels deep.")
    if tokens.take("!"):
        return Not(_parse_operand(tokens, depth))
    return _parse_operand(tokens, depth)


def _parse_operand(tokens: _Tokens, depth: int) -> Filter:
    if tokens.take("("):
        inner = _parse_or(tokens, depth + 1)
        tokens.need(")")
        return inner
    column = tokens.name()
    if tokens.take("="):
        return _parse_value(tokens, column, "=")
    tokens.need("::")
    label = tokens.word().lower()
    tokens.need("::")
    if label == "null":
        return Predicate(column, "null", ())
    if label not in _LABELLED:
        raise BadRequest(f"The filter {tokens.raw!r} uses an unknown operator {label!r}.")
    return _parse_value(tokens, column, label)


def _parse_value(tokens: _Tokens, column: Name, operator: str) -> Predicate:
    if tokens.peek(1) == "(" and (quantifier := tokens.keyword("any", "all")):
        tokens.need("(")
        values = [tokens.optional_word()]
        while tokens.take(","):
            values.append(tokens.optional_word())
        tokens.need(")")
        return Predicate(column, operator, tuple(values), quantifier)
    return Predicate(column, operator, (tokens.optional_word(),))


def _parse_projection(resource: str, raw: str) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    tokens = _Tokens(raw)
    first = _parse_items(tokens)
    second: tuple[Item, ...] = ()
    if resource == "attributegroup" and tokens.take(";"):
        second = _parse_items(tokens)
    if not tokens.done:
        raise tokens.error("expected ',' or the end of the list of columns")
    return (first, second) if resource == "attributegroup" else ((), first)


def _parse_items(tokens: _Tokens) -> tuple[Item, ...]:
    items = [_parse_item(tokens)]
    while tokens.take(","):
        items.append(_parse_item(tokens))
    return tuple(items)


def _parse_item(tokens: _Tokens) -> Item:
    alias = tokens.alias()
    if tokens.is_word() and tokens.peek(1) == "(":
        function = tokens.word()
        tokens.need("(")
        column = tokens.name()
        arguments = []
        while tokens.take(";"):
            arguments.append(tokens.optional_word())
        tokens.need(")")
        return Item(column, alias, function.lower(), tuple(arguments))
    return Item(tokens.name(), alias)


def parse_page(raw: str) -> Page:
    """`@sort(..)`, then `@after(..)` and `@before(..)` in any order; empty text is no page."""
    tokens = _Tokens(raw)
    sort: list[SortKey] = []
    bounds: dict[str, tuple[str | None, ...]] = {}
    if tokens.take("@"):
        if tokens.keyword("sort") is None:
            raise tokens.error("expected 'sort' first")
        tokens.need("(")
        sort.append(_parse_sort_key(tokens))
        while tokens.take(","):
            sort.append(_parse_sort_key(tokens))
        tokens.need(")")
        if len(sort) > MOST_SORT_KEYS:
            raise BadRequest(f"More than {MOST_SORT_KEYS} sort keys are not accepted.")
    while tokens.take("@"):
        bound = tokens.keyword("after", "before")
        if bound is None or bound in bounds:
            raise tokens.error("expected 'after' or 'before', once each")
        tokens.need("(")
        values = [_parse_bound(tokens)]
        while tokens.take(","):
            values.append(_parse_bound(tokens))
        tokens.need(")")
        if len(values) != len(sort):
            raise BadRequest(f"@{bound} has {len(values)} values for {len(sort)} sort keys.")
        bounds[bound] = tuple(values)
    if not tokens.done:
        raise tokens.error("expected the end")
    return Page(tuple(sort), bounds.get("after"), bounds.get("before"))


def _parse_sort_key(tokens: _Tokens) -> SortKey:
    name = tokens.word()
    if not tokens.take("::"):
        return SortKey(name, False)
    if tokens.keyword("desc") is None:
        raise tokens.error("expected 'desc'")
    tokens.need("::")
    return SortKey(name, True)


def _parse_bound(tokens: _Tokens) -> str | None:
    if tokens.take("::"):
        if tokens.keyword("null") is None:
            raise tokens.error("expected 'null'")
        tokens.need("::")
        return None
    return tokens.optional_word()


_SINGLE = ("limit", "accept", "download", "arrays", "onconflict")
_LISTS = ("defaults", "nondefaults")


def parse_options(query: str) -> Options:
    """Query parameters, separated by `&` or `;`; lists by `,`. Unknown ones are ignored, a bare name is as absent."""
    single: dict[str, str] = {}
    lists: dict[str, tuple[str, ...]] = {}
    for pair in re.split("[&;]", query):
        key, _, raw = pair.partition("=")
        key = decode(key)
        if not raw:
            continue
        if key in _LISTS:
            lists[key] = lists.get(key, ()) + tuple(decode(part) for part in raw.split(","))
        elif key in _SINGLE:
            if key in single:
                raise BadRequest(f"The parameter {key!r} is given more than once.")
            single[key] = decode(raw)
    return Options(**single, **lists)  # type: ignore[arg-type]
