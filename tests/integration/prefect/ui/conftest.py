"""One stage for all that look at it: a Prefect server with its pages, a worker, a catalog, a deployment."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.prefect.ui.stage import Stage, whole_stage


@pytest.fixture(scope="package")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with whole_stage(tmp_path_factory.mktemp("stage")) as up:
        yield up
