"""One planned write to the catalog, as a value that can be stored, sent, and sent again.

An effect is planned before it is sent and recorded in the journal with the RIDs and names that it will use; its
receipt is recorded after. The key names it within its execution: planning the same thing again gives the same key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any


class Order(IntEnum):
    """Bytes first, rows after, features last, status at the end: no row ever names what is not there."""

    bytes = 1
    asset_rows = 2
    association_rows = 3
    feature_rows = 4
    record = 5


class EffectState(StrEnum):
    planned = "planned"
    delivered = "delivered"
    failed = "failed"


@dataclass(frozen=True)
class Effect:
    key: str
    """Unique within the execution, e.g. `bytes/Image/scan.png` or `rows/Image/000001`."""
    order: Order
    payload: Mapping[str, Any]
    """JSON-able; what it holds is agreed between the phase that plans it and `phases.send`."""
    size: int = 0
    """Bytes that travel, for progress; 0 where that is no matter."""


@dataclass(frozen=True)
class Receipt:
    """What the catalog answered, once it is certain that the effect is there."""

    key: str
    facts: Mapping[str, Any]
    """JSON-able, e.g. {"url": …} for bytes, {"rids": {file key: RID}} for asset rows, {"rows": 100}."""


@dataclass(frozen=True)
class Failure:
    key: str
    reason: str
    transient: bool
    """Whether sending the same again may succeed (refused connection, 5xx, time-out) or cannot (4xx, bad value)."""
    retry_after: float = 0.0
    """Seconds that the server asks to wait at least before it is sent again."""
    of_values: bool = False
    """Whether it is the values that were refused, so that others sent along with them may be taken."""
    held_back: bool = False
    """Whether it was not sent at all, because others had shown that nothing can be delivered now."""
    credential_expired: bool = False
    """Whether the server no longer accepts the credential: everything waits for another one."""


@dataclass(frozen=True)
class Report:
    """What became of a set of effects: partial failure is data."""

    delivered: tuple[Receipt, ...] = ()
    failed: tuple[Failure, ...] = ()

    @property
    def complete(self) -> bool:
        return not self.failed
