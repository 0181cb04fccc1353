"""What every act of Hatrac works on: the database of names and the folder of contents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deriva_ml_prefect.embedded.database import Database

from .content import Contents
from .store import forget_garbage


@dataclass(frozen=True)
class Store:
    database: Database
    contents: Contents

    def remove(self, contents: Sequence[str]) -> None:
        """Remove content files that a committed transaction recorded as garbage, and the record."""
        if contents:
            self.contents.remove(contents)
            with self.database.write() as connection:
                forget_garbage(connection, contents)
