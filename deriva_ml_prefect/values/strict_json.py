"""JSON that a person wrote: read exactly, or refused."""

from __future__ import annotations

import json
from typing import Any


def read_strictly(text: str) -> Any:
    """The value of a JSON text. ValueError saying what is wrong: also for a name given twice, and endless nesting."""
    try:
        return json.loads(text, object_pairs_hook=_without_twins)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name!r} is given twice")
        found[name] = value
    return found
