"""When a request is sent again, and after how long."""

from __future__ import annotations

import email.utils
import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime

FIRST_DELAY = 0.2
LONGEST_DELAY = 20.0
LONGEST_RETRY_AFTER = 300.0
"""A server that asks for a longer pause gets its error reported instead."""


def pause_before(attempt: int, headers: Mapping[str, str] | None = None) -> float:
    """Seconds to wait before sending again; `attempt` 1 is the first repetition.

    Doubles from 0.2 s up to 20 s, with up to half taken off by chance so that many clients do not return at once.
    A Retry-After header may lengthen the pause and never shortens it.
    """
    delay = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** (attempt - 1))
    delay -= random.random() * delay / 2
    return max(delay, retry_after(headers or {}))


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that the server asks for, as a number or a date; 0 where it asks for none or is not understood."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return 0.0
    if text.isascii() and text.isdigit():
        return float(text)
    when = moment_of(text)
    return max(0.0, when.timestamp() - time.time()) if when else 0.0


def moment_of(text: str) -> datetime | None:
    """The moment that a header tells; None for no date, UTC where it names no zone, as HTTP has no other."""
    try:
        when = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)
