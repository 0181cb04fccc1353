"""What a look ahead finds before an execution: checks with their verdicts, and what would be downloaded."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.rid import RID


class Verdict(StrEnum):
    good = "good"
    warning = "warning"
    """It will work, and somebody should know something before."""
    failed = "failed"
    """A run would end here."""


@dataclass(frozen=True)
class Check:
    name: str
    """`login`, `schema`, `rights`, `terms`, `inputs`, `disk`."""
    verdict: Verdict
    text: str
    """What was found; of one that failed, also what to do next."""


@dataclass(frozen=True)
class Download:
    """A dataset or an asset that the execution reads. Sizes are bytes."""

    kind: str
    """`dataset` or `asset`."""
    rid: RID
    version: str | None
    files: int
    bytes: int
    cached_files: int
    cached_bytes: int

    @property
    def left(self) -> int:
        """Bytes that would travel."""
        return self.bytes - self.cached_bytes


@dataclass(frozen=True)
class Preflight:
    """Everything that was looked at."""

    address: Address
    checks: tuple[Check, ...]
    downloads: tuple[Download, ...]

    @property
    def failed(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.verdict is Verdict.failed)

    @property
    def ok(self) -> bool:
        """Whether nothing stands in the way of a run."""
        return not self.failed

    @property
    def bytes_to_fetch(self) -> int:
        return sum(item.left for item in self.downloads)
