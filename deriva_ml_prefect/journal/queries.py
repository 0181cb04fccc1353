"""The journal's SQL by name, read once from `queries.sql`."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

_HEADING = re.compile(r"^-- name: (\w+)$", re.M)


def _here(name: str) -> Path:
    # importlib.resources would cost a list of executions a tenth of its time
    return Path(__file__).with_name(name)


@cache
def _queries() -> dict[str, str]:
    text = _here("queries.sql").read_text(encoding="utf-8")
    parts = _HEADING.split(text)
    return dict(zip(parts[1::2], (body.strip() for body in parts[2::2]), strict=True))


def sql(name: str) -> str:
    """The statement of that name."""
    return _queries()[name]


@cache
def schema() -> str:
    """The statements that make an empty journal."""
    return _here("schema.sql").read_text(encoding="utf-8")


def change_from(version: int) -> str:
    """The statements that bring a journal of an older version to the next one."""
    return _here(f"from_version_{version}.sql").read_text(encoding="utf-8")
