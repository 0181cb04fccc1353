"""Settings of Prefect that are other inside a block.

Prefect's own `temporary_settings` reads the environment and all files of settings again, which takes longer than a
whole task does; what is changed here is one value of the settings that hold already.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect.context import SettingsContext, get_settings_context


@contextmanager
def without_heartbeats() -> Iterator[None]:
    """Flows that begin inside have no thread that sends heartbeats: it holds each of them up to a second at its end."""
    with _changed("flows", heartbeat_frequency=None):
        yield


@contextmanager
def single_requests() -> Iterator[None]:
    """Each request that is sent inside is sent once."""
    with _changed("client", max_retries=0):
        yield


@contextmanager
def prompt_answers(seconds: float) -> Iterator[None]:
    """Clients that are made inside wait so long for an answer."""
    with _changed("api", request_timeout=seconds):
        yield


@contextmanager
def _changed(group: str, **values: Any) -> Iterator[None]:
    around = get_settings_context()
    changed = getattr(around.settings, group).model_copy(update=values)
    settings = around.settings.model_copy(update={group: changed})
    with SettingsContext(profile=around.profile, settings=settings):
        yield
