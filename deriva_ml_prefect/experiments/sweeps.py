"""Named sweeps: lists of overrides that `deriva-ml-run +multirun=NAME` stands for. Kept in this process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deriva_ml_prefect.exceptions import DerivaMLConfigurationError


@dataclass(frozen=True)
class MultirunSpec:
    name: str
    overrides: tuple[str, ...]
    description: str = ""


_known: dict[str, MultirunSpec] = {}


def multirun_config(name: str, overrides: Sequence[str], description: str = "") -> MultirunSpec:
    """Name a sweep; a later one of the same name replaces it."""
    _known[name] = MultirunSpec(name, tuple(overrides), description)
    return _known[name]


def list_multiruns() -> list[MultirunSpec]:
    """All named sweeps, by name."""
    return [_known[name] for name in sorted(_known)]


def lookup_multirun(name: str) -> MultirunSpec:
    """The sweep of that name; DerivaMLConfigurationError listing the known ones."""
    if name not in _known:
        raise DerivaMLConfigurationError(
            f"There is no sweep {name!r}. Known: {', '.join(sorted(_known)) or 'none'}. multirun_config() names one."
        )
    return _known[name]
