"""Which tests of a run go to one process: those that share a server of their own, or at least a file.

A server costs seconds to start, and some of the machine for as long as it lives, so one process starts it for all tests
that want it. The groups that take longest begin first, so that no process works alone at the end.
"""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadScopeScheduling

TOGETHER = (
    "tests/integration/prefect/states",
    "tests/integration/prefect/ui",
    "tests/integration/prefect",
    "tests/integration/flows",
    "tests/integration/sweeps",
    "tests/integration/quickstart",
    "tests/integration/own_process",
    "tests/faults",
    "tests/docs",
)
"""Folders whose tests go to one process, the slowest first; of two that hold a test, the first."""


def group_of(nodeid: str) -> str:
    """The folder of `TOGETHER`, or else the file, that a test belongs to."""
    path = nodeid.partition("::")[0]
    return next((folder for folder in TOGETHER if path.startswith(f"{folder}/")), path)


def place(item: pytest.Item) -> int:
    """Where a test stands in the order of the run."""
    group = group_of(item.nodeid)
    return TOGETHER.index(group) if group in TOGETHER else len(TOGETHER)


class Grouped(LoadScopeScheduling):
    """Hands out whole groups, in the order of the collection."""

    def __init__(self, config: pytest.Config, log: object) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
