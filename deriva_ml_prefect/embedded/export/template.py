"""Texts with `{name}` in them, filled from an environment: as deriva-py's processors write them, and nothing more.

`{{` and `}}` stand for braces. Python's own format language (attributes, conversions, widths) is not offered: the
texts come from a client.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from deriva_ml_prefect.embedded.errors import BadRequest

ENCODED: Final = "_urlencoded"
PIECE: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


def fill(template: str, environment: Mapping[str, str]) -> str:
    """The text. `{name_urlencoded}` is the value of `name`, percent-encoded. Raises BadRequest for unknown names."""

    def value(found: re.Match[str]) -> str:
        whole = found.group()
        if whole in ("{{", "}}"):
            return whole[0]
        name = found.group(1)
        if name is None:
            raise BadRequest(
                f"The template {template[:200]!r} has a brace without its fellow; double it to mean itself."
            )
        if name in environment:
            return environment[name]
        plain = name.removesuffix(ENCODED)
        if plain != name and plain in environment:
            return quote(environment[plain], safe="")
        raise BadRequest(f"The template {template[:200]!r} names {name[:100]!r}, which nothing before it has set.")

    return PIECE.sub(value, template)


def extended(environment: Mapping[str, str], row: Mapping[str, Any]) -> dict[str, str]:
    """The environment with a row's values in it, as texts."""
    return {**environment, **{name: str(value) for name, value in row.items()}}
