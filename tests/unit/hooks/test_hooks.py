"""State hooks: they never raise, never hold up a run for long, and take what the runner gives by name."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import Crashed

from deriva_ml_prefect import hooks
from deriva_ml_prefect.blocks import DerivaCatalog


def fire(found: Any, kind: str = "on_crashed") -> None:
    (hook,) = hooks.make_hooks(found)[kind]
    run: Any = SimpleNamespace(id=uuid.uuid4())
    hook(flow=None, flow_run=run, state=Crashed(message="killed"))  # type: ignore[call-arg]


def test_run_that_began_no_execution_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERIVA_ML_HOME", str(tmp_path))
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}):
        for kind in hooks.ENDINGS:
            fire(lambda: DerivaCatalog(hostname="www.example.org", catalog_id="1"), kind)
    assert list(tmp_path.iterdir()) == []


def test_error_in_a_hook_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> DerivaCatalog:
        raise RuntimeError("no block of that name")

    with caplog.at_level(logging.WARNING, logger="deriva_ml_prefect"):
        fire(broken)
    assert "no block of that name" in caplog.text


def test_hook_gives_up(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(hooks, "TIME_LIMIT", 0.2)
    released = threading.Event()

    def slow() -> DerivaCatalog:
        released.wait(20)
        raise RuntimeError("too late")

    began = time.monotonic()
    with caplog.at_level(logging.WARNING, logger="deriva_ml_prefect"):
        fire(slow)
    assert time.monotonic() - began < 5
    assert "was not told within" in caplog.text
    released.set()
