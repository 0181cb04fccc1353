"""Pieces of Markdown that texts of a catalog cannot break out of."""

from __future__ import annotations

from collections.abc import Sequence

_MARKS = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("\r", " "), ("\n", " "))


def cell(text: str) -> str:
    """Text inside a page: it cannot end its cell, nor bring markup of its own."""
    for mark, plain in _MARKS:
        text = text.replace(mark, plain)
    return text


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table under its title; none without rows. The cells are texts, made harmless here."""
    return linked_table(title, heads, [[cell(value) for value in row] for row in rows])


def linked_table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """As `table`, of cells that are Markdown already."""
    if not rows:
        return []
    body = ["| " + " | ".join(row) + " |" for row in rows]
    heading = ["", f"## {title}", ""] if title else []
    return [*heading, "| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads), *body]
