"""What running a document needs: the variables of the Prefect server that the test run shares."""

from __future__ import annotations

import os

import pytest


@pytest.fixture
def prefect_api(prefect_server: str) -> dict[str, str]:
    """Variables with which a process uses the running Prefect server."""
    shared = {
        name: value for name, value in os.environ.items() if name.startswith("PREFECT_") or name == "DO_NOT_TRACK"
    }
    return {**shared, "PREFECT_API_URL": prefect_server}
