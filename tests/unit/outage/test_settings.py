"""Settings of Prefect that are other inside a block, and nothing else of them."""

from __future__ import annotations

import pytest
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    temporary_settings,
)
from prefect.settings.context import get_current_settings

from deriva_ml_prefect.outage.settings import single_requests, without_heartbeats


def test_one_value_is_other_inside_and_all_others_stay() -> None:
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 3}):
        before = get_current_settings().model_dump()
        with without_heartbeats(), single_requests():
            assert PREFECT_FLOWS_HEARTBEAT_FREQUENCY.value() is None
            assert PREFECT_CLIENT_MAX_RETRIES.value() == 0
            inside = get_current_settings().model_dump()
        assert get_current_settings().model_dump() == before
    assert before["flows"]["heartbeat_frequency"] is not None
    inside["flows"]["heartbeat_frequency"] = before["flows"]["heartbeat_frequency"]
    inside["client"]["max_retries"] = 3
    assert inside == before


def test_they_are_back_after_an_error() -> None:
    with pytest.raises(ValueError, match="out"), without_heartbeats():
        raise ValueError("out")
    assert PREFECT_FLOWS_HEARTBEAT_FREQUENCY.value() is not None
