"""What a server answered, read once and kept, and what an error answer means in our own tree of exceptions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from deriva_ml_prefect.exceptions import (
    DerivaMLAuthenticationError,
    DerivaMLCatalogConflict,
    DerivaMLCredentialExpired,
    DerivaMLDataError,
    DerivaMLException,
    DerivaMLNotFoundError,
    DerivaMLOfflineError,
)
from deriva_ml_prefect.transfer.retry import retry_after

PASSING_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses that may be gone at the next try."""

_SENTENCE_LENGTH = 400


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    content: bytes
    asked: str
    """Method and path, for messages."""
    attempts: int = 1
    """How often the request was sent; over 1 means that an earlier sending may have had its effect."""

    @property
    def text(self) -> str:
        return self.content.decode("utf-8", errors="replace")

    @cached_property
    def _value(self) -> Any:
        return json.loads(self.content)

    @property
    def is_json(self) -> bool:
        """Whether the body is whole and valid JSON."""
        try:
            _ = self._value
        except (ValueError, RecursionError):
            return False
        return True

    def json(self) -> Any:
        """The body as JSON; anything else is DerivaMLOfflineError: another than the server has answered."""
        if not self.is_json:
            raise self.not_json()
        return self._value

    def rows(self) -> list[dict[str, Any]]:
        """The body as JSON rows; other JSON is DerivaMLOfflineError too, since it proves nothing of rows."""
        found = self.json()
        if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
            raise DerivaMLOfflineError(
                f"{self.asked} was answered {self.status} with JSON that are no rows: {self.sentence} Something else "
                "than the catalog may have answered. Repeat the call."
            )
        return found

    def not_json(self) -> DerivaMLOfflineError:
        """The error that says that JSON was due."""
        if self.looks_html:
            return DerivaMLOfflineError(
                f"{self.asked} was answered with a web page instead of data: a login page or a proxy stands in "
                "between. Log in again (deriva-globus-auth-utils login), or check the network, and repeat."
            )
        return DerivaMLOfflineError(
            f"{self.asked} was answered with {len(self.content)} bytes that are not JSON. Repeat the call."
        )

    @property
    def looks_html(self) -> bool:
        kind = self.headers.get("content-type", "").lower()
        return "html" in kind or self.content[:200].lstrip().lower().startswith((b"<!doctype", b"<html"))

    @property
    def sentence(self) -> str:
        """The server's own words, on one line and not longer than a message should be."""
        if self.looks_html:
            return "(a web page)"
        return " ".join(self.text.split())[:_SENTENCE_LENGTH] or "(no text)"


def error_of(answer: Answer) -> DerivaMLException:
    """The exception that an unexpected status means; the message names the request and the server's own sentence."""
    stop = "" if answer.sentence.endswith((".", "!", "?")) else "."
    what = f"{answer.asked} was answered {answer.status}: {answer.sentence}{stop}"
    status = answer.status
    if status < 300 and answer.looks_html:
        return answer.not_json()
    if 300 <= status < 400:
        elsewhere = DerivaMLOfflineError(
            f"{answer.asked} was redirected ({status}), which is not followed: no credential is to travel elsewhere. "
            "Use the address of the server itself."
        )
        elsewhere.redirected = True
        return elsewhere
    if status == 401:
        return DerivaMLCredentialExpired(f"{what} Log in to the server again, then repeat.")
    if status == 403:
        return DerivaMLAuthenticationError(f"{what} The account lacks the right: ask for it, then repeat.")
    if status == 404:
        return DerivaMLNotFoundError(what)
    if status in (409, 412):
        return DerivaMLCatalogConflict(what)
    if status in PASSING_STATUSES or status >= 500:
        times = "once" if answer.attempts == 1 else f"{answer.attempts} times"
        offline = DerivaMLOfflineError(f"{what} It was sent {times}. Nothing is lost: repeat when the server is well.")
        offline.retry_after = retry_after(answer.headers)
        return offline
    return DerivaMLDataError(what)
