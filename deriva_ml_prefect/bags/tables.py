"""Rows of a table as CSV and back, exactly: null is nothing, an empty text two quotes, other values keep their type.

The form is ERMrest's own: a header line, comma, double quotes, `t` and `f`, arrays as `{a,"b c",NULL}`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from deriva_ml_prefect.exceptions import DerivaMLDataError

Row = dict[str, Any]

_CELL = re.compile(r'(?:"(?P<quoted>[^"]*(?:""[^"]*)*)"|(?P<plain>[^,\r\n"]*))(?P<end>,|\r?\n|\Z)')
_ITEM = re.compile(r'(?:"(?P<quoted>[^"\\]*(?:\\.[^"\\]*)*)"|(?P<plain>[^,{}"]*))(?P<end>,|\})', re.DOTALL)
_INTEGERS = frozenset({"int2", "int4", "int8", "serial2", "serial4", "serial8"})
_FLOATS = frozenset({"float4", "float8"})
_JSON = frozenset({"json", "jsonb"})


def write_table(path: Path, columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> int:
    """Write rows as CSV; `columns` maps names to ERMrest's type names. Returns the number of rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(",".join(_quoted(name) for name in columns) + "\n")
        for row in rows:
            file.write(",".join(_text(row.get(name), typename) for name, typename in columns.items()) + "\n")
            count += 1
    return count


def read_table(path: Path, types: Mapping[str, str]) -> Iterator[Row]:
    """Rows with the values that were written; `types` are the column types, text where a column is not named."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            text = file.read()
    except UnicodeDecodeError:
        raise DerivaMLDataError(f"{path} is not UTF-8. The bag is damaged: verify it.") from None
    records = _records(text, path)
    header = [str(name) for name in next(records, [])]
    kinds = [types.get(name, "text") for name in header]
    for number, record in enumerate(records, start=2):
        if len(record) != len(header):
            raise DerivaMLDataError(
                f"{path}, row {number}: {len(record)} values for {len(header)} columns. The bag is damaged: verify it."
            )
        try:
            yield {name: _value(cell, kind) for name, cell, kind in zip(header, record, kinds, strict=True)}
        except (ValueError, RecursionError) as problem:
            raise DerivaMLDataError(
                f"{path}, row {number}: a value is not of its column's type ({problem}). The bag is damaged: verify it."
            ) from None


def _records(text: str, path: Path) -> Iterator[list[str | None]]:
    at = 0
    record: list[str | None] = []
    while at < len(text) or record:
        match = _CELL.match(text, at)
        if match is None:
            raise DerivaMLDataError(f"{path} is not a whole CSV file at character {at}. The bag is damaged: verify it.")
        quoted = match["quoted"]
        record.append(quoted.replace('""', '"') if quoted is not None else match["plain"] or None)
        at = match.end()
        if match["end"] != ",":
            yield record
            record = []


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if not text or re.search(r'[",\r\n]', text) else text


def _text(value: Any, typename: str) -> str:
    if value is None:
        return ""
    if typename in _JSON:
        return _quoted(json.dumps(value, ensure_ascii=False))
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, list):
        return _quoted(_array(value))
    return _quoted(str(value))


def _array(items: Sequence[Any]) -> str:
    return "{" + ",".join(_item(item) for item in items) + "}"


def _item(item: Any) -> str:
    if item is None:
        return "NULL"
    if isinstance(item, bool):
        return "t" if item else "f"
    if isinstance(item, list):
        return _array(item)
    text = str(item)
    if text and text.upper() != "NULL" and not re.search(r'[\s,{}"\\]', text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _value(cell: str | None, typename: str) -> Any:
    if cell is None:
        return None
    if typename.endswith("[]"):
        return _items(cell, typename[:-2])
    if typename in _INTEGERS:
        return int(cell)
    if typename in _FLOATS:
        return float(cell)
    if typename == "boolean":
        return cell.lower() in ("t", "true")
    if typename in _JSON:
        return json.loads(cell)
    return cell


def _items(cell: str, typename: str) -> list[Any]:
    if cell in ("", "{}"):
        return []
    items: list[Any] = []
    at = 1
    while at < len(cell):
        match = _ITEM.match(cell, at)
        if match is None or not cell.startswith("{"):
            raise DerivaMLDataError(f"{cell[:80]!r} is no array of {typename}. The bag is damaged: verify it.")
        if match["quoted"] is not None:
            items.append(_value(re.sub(r"\\(.)", r"\1", match["quoted"], flags=re.DOTALL), typename))
        else:
            items.append(None if match["plain"].upper() == "NULL" else _value(match["plain"], typename))
        at = match.end()
    return items
