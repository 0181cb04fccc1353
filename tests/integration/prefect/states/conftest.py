"""One server, one pool, one worker for all tests of the table of states."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.prefect.states.stage import Stage, whole_stage


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with whole_stage(tmp_path_factory.mktemp("states")) as up, up.worker():
        yield up
