"""Lists of datasets or assets that say what they are for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hydra_zen import builds


class DescribedList(list[Any]):
    """A list with a `description`."""

    def __init__(self, items: Iterable[Any] = (), description: str = "") -> None:
        super().__init__(items)
        self.description = description


def with_description(items: list[Any], description: str) -> Any:
    """Configuration of a list that carries a description; `items` are RIDs or spec configurations."""
    return builds(DescribedList, items=list(items), description=description, hydra_convert="all")
