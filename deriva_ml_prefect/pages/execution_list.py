"""A list of executions as lines of a table, as wide as the terminal that shows it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from deriva_ml_prefect.values.sizes import format_count, format_size

if TYPE_CHECKING:
    from deriva_ml_prefect.questions.local_executions import ListedExecution


def render_list(items: Sequence[ListedExecution], *, width: int | None = None) -> Iterator[str]:
    """A heading and a line each; `width` columns at most, any number without it."""
    several = len({str(item.address) for item in items}) > 1
    heads = ["RID", "STATUS", "OUTCOME", "PROCESS", "STARTED", "STAGED", *(["CATALOG"] if several else []), "WORKFLOW"]
    rows = [
        [
            item.rid,
            item.status.value,
            item.outcome or "-",
            _process(item),
            _moment(item.started),
            _staged(item),
            *([str(item.address)] if several else []),
            _plain(item.workflow or item.workflow_rid or "-"),
        ]
        for item in items
    ]
    widths = [max(len(head), *(columns(row[i]) for row in rows)) for i, head in enumerate(heads)]
    widths[-1] = min(widths[-1], 30)
    yield _line([*heads, "DESCRIPTION"], widths, width)
    for item, row in zip(items, rows, strict=True):
        yield _line([*row, _plain(item.description or "")], widths, width)


def _process(item: ListedExecution) -> str:
    if item.liveness is None:
        return "-"
    return "ended" if item.liveness.value == "settled" else item.liveness.value


def _moment(text: str | None) -> str:
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M") if text else "-"


def _staged(item: ListedExecution) -> str:
    waiting = item.waiting
    told = []
    if waiting.files:
        told.append(format_count(waiting.files, "file") + (f" ({format_size(waiting.bytes)})" if waiting.bytes else ""))
    if waiting.features:
        told.append(format_count(waiting.features, "value"))
    return ", ".join(told) or "-"


def _plain(text: str) -> str:
    """One line without characters that could steer a terminal."""
    return "".join(
        " " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in text if not _invisible(c)
    ).strip()


def _invisible(character: str) -> bool:
    return unicodedata.category(character) == "Cf"


def columns(text: str) -> int:
    """Columns of a terminal that a text takes: wide characters take two."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in ("W", "F") else 1 for c in text
    )


def cut(text: str, width: int) -> str:
    """The text, or its beginning and an ellipsis, in so many columns."""
    if columns(text) <= width:
        return text
    kept = ""
    for character in text:
        if columns(kept + character) > width - 1:
            break
        kept += character
    return kept + "…" if width > 0 else ""


def _line(cells: Sequence[str], widths: Sequence[int], width: int | None) -> str:
    padded = [
        cut(cell, wide) + " " * (wide - columns(cut(cell, wide))) for cell, wide in zip(cells, widths, strict=False)
    ]
    line = "  ".join([*padded, cells[-1]]).rstrip()
    return line if width is None else cut(line, width)
