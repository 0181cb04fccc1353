"""A downloaded dataset, read without a connection."""

from __future__ import annotations

from pathlib import Path

from deriva_ml_prefect.bags.read import Bag


class DatasetBag:
    """A handle on a bag on this machine; rows of asset tables say in `Filename` where their file lies."""

    def __init__(self, bag: Bag) -> None:
        self.bag = bag

    @property
    def path(self) -> Path:
        """Folder of the bag."""
        return self.bag.path

    def __repr__(self) -> str:
        return f"DatasetBag({self.path})"
