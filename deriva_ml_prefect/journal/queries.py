"""The journal's SQL by name, read once from `queries.sql`."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

_HEADING = re.compile(r"^-- name: (\w+)$", re.M)


@cache
def _queries() -> dict[str, str]:
    text = files(__package__).joinpath("queries.sql").read_text(encoding="utf-8")
    parts = _HEADING.split(text)
    return dict(zip(parts[1::2], (body.strip() for body in parts[2::2]), strict=True))


def sql(name: str) -> str:
    """The statement of that name."""
    return _queries()[name]


@cache
def schema() -> str:
    """The statements that make an empty journal."""
    return files(__package__).joinpath("schema.sql").read_text(encoding="utf-8")


def change_from(version: int) -> str:
    """The statements that bring a journal of an older version to the next one."""
    return files(__package__).joinpath(f"from_version_{version}.sql").read_text(encoding="utf-8")
