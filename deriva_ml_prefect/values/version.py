"""Versions of a dataset: `major.minor.patch`, ordered by number, with an optional development suffix."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from deriva_ml_prefect.exceptions import DerivaMLValidationError

_PATTERN = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:\.post1\.dev(\d+))?")


class VersionPart(StrEnum):
    """Which number of a version is raised: schema break, members or values, clean-up."""

    major = "major"
    minor = "minor"
    patch = "patch"


@dataclass(frozen=True, order=True)
class DatasetVersion:
    """One version. A development version (`1.2.0.post1.dev3`) sorts after the release that it follows."""

    major: int
    minor: int = 0
    patch: int = 0
    dev: int = 0
    """Number of the development version; 0 for a release."""

    def __str__(self) -> str:
        text = f"{self.major}.{self.minor}.{self.patch}"
        return f"{text}.post1.dev{self.dev}" if self.dev else text

    @classmethod
    def parse(cls, text: str) -> DatasetVersion:
        """`text` as a version; anything else is DerivaMLValidationError."""
        match = _PATTERN.fullmatch(text.strip())
        if not match:
            raise DerivaMLValidationError(f"{text!r} is not a dataset version: write three numbers, e.g. 1.0.0.")
        return cls(*(int(part or 0) for part in match.groups()))

    def raised(self, part: VersionPart) -> DatasetVersion:
        """The next release: the part raised by one, those after it 0."""
        if part is VersionPart.major:
            return DatasetVersion(self.major + 1)
        if part is VersionPart.minor:
            return DatasetVersion(self.major, self.minor + 1)
        return DatasetVersion(self.major, self.minor, self.patch + 1)
