"""A journal of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deriva_ml_prefect.journal.executions import add_execution
from deriva_ml_prefect.journal.store import Journal, close_journals, open_journal


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """A journal with an execution 1-A."""
    opened = open_journal(tmp_path / "workspace")
    add_execution(opened, "1-A", address={}, workflow_rid="1-W", description="a test", configuration={})
    yield opened
    close_journals()
