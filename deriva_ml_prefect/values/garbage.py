"""What may be deleted on this machine, as values: nothing that the catalog does not hold, unless somebody says so."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.rid import RID


class Kind(StrEnum):
    staged = "staged"
    """Registered files of an execution that is Uploaded."""
    inputs = "inputs"
    """Single assets that it read."""
    checkpoints = "checkpoints"
    """Of an execution whose code has finished."""
    work = "work"
    """The user's scratch folder."""
    aborted = "aborted"
    """Everything of an execution that was given up: it is in no catalog."""
    bag = "bag"
    """A dataset in the cache."""
    asset = "asset"
    """An asset in the cache."""
    leftover = "leftover"
    """What a killed process, or a dry run, left behind."""


@dataclass(frozen=True)
class Garbage:
    """A folder or file that may be deleted."""

    kind: Kind
    path: Path
    bytes: int
    files: int
    why: str
    rid: RID | None = None
    """The execution, dataset or asset that it is of."""
    address: Address | None = None
    """The catalog that has it; None for what is in none."""
    used: float = 0.0
    """When it was used last, in seconds of the epoch; of entries of the cache."""


@dataclass(frozen=True)
class Kept:
    """Something that is not deleted, and why."""

    path: Path
    bytes: int
    why: str
    rid: RID | None = None
