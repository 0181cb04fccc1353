"""The answer of a verification, and the collector that its parts put what they found into."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.rid import RID

KEPT = 1_000
"""Differences of one kind that are kept in full; further ones are counted."""
_LONGEST = 120


class Against(StrEnum):
    """What the catalog was compared with."""

    receipts = "receipts"
    """The journal of this machine: every receipt of what was delivered."""
    itself = "itself"
    """No journal here knows the execution: its rows against the objects, and against the record of the run."""


@dataclass(frozen=True)
class Difference:
    """One thing that is not as it should be."""

    subject: str
    """What it is about, e.g. `Image/scan.png (1-ABCD)`."""
    what: str
    """What of it differs, e.g. `MD5` or `row`."""
    expected: Any
    found: Any
    """JSON-able, as is `expected`; None: there is nothing."""

    def __str__(self) -> str:
        return f"{self.subject}: {self.what} should be {_shown(self.expected)} and is {_shown(self.found)}"


@dataclass(frozen=True)
class Unchecked:
    """Something that could not be looked at, so that nobody knows whether it is right."""

    subject: str
    reason: str

    def __str__(self) -> str:
        return f"{self.subject}: not checked, {self.reason}"


@dataclass(frozen=True)
class Verification:
    """What became of comparing an execution with what it delivered."""

    address: Address
    rid: RID
    against: Against
    content: bool
    """Whether the bytes of the objects were read; if not, the store's own word was taken for their MD5."""
    differences: tuple[Difference, ...]
    unchecked: tuple[Unchecked, ...]
    further: int
    """Differences beyond those listed."""
    checked: Mapping[str, int] = field(default_factory=dict)
    """How many there were of each kind: `asset rows`, `objects`, `bytes`, `feature values`, …"""
    notes: tuple[str, ...] = ()
    """What to bear in mind when reading this."""

    @property
    def same(self) -> bool:
        """Whether everything was looked at, and is as it should be."""
        return not self.differences and not self.unchecked


@dataclass
class Findings:
    """Collects what the parts of a verification find. Used by one thread at a time."""

    differences: list[Difference] = field(default_factory=list)
    unchecked: list[Unchecked] = field(default_factory=list)
    checked: Counter[str] = field(default_factory=Counter)
    further: int = 0
    notes: list[str] = field(default_factory=list)
    _kinds: Counter[str] = field(default_factory=Counter)

    def differs(self, subject: str, what: str, *, expected: Any, found: Any, kind: str = "") -> None:
        """Note a difference; of more than `KEPT` of one kind the rest is counted."""
        name = kind or what
        self._kinds[name] += 1
        if self._kinds[name] > KEPT:
            self.further += 1
        else:
            self.differences.append(Difference(subject, what, expected, found))

    def compare(self, subject: str, what: str, expected: Any, found: Any) -> None:
        """Note a difference unless both are equal."""
        if expected != found:
            self.differs(subject, what, expected=expected, found=found)

    def could_not(self, subject: str, reason: str) -> None:
        """Note that something could not be looked at."""
        self.unchecked.append(Unchecked(subject, reason))


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
