"""Names that a module gives on, each loaded when it is first used: Prefect and Hydra take a second to import."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def loader(module: str, homes: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """What a module's `__getattr__` calls; `homes` are the names by the module that has them."""
    places = {name: home for home, names in homes.items() for name in names}

    def load(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {module!r} has no attribute {name!r}", name=name, obj=sys.modules[module])
        value = getattr(importlib.import_module(places[name]), name)
        setattr(sys.modules[module], name, value)
        return value

    return load
