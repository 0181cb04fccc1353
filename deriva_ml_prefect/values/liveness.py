"""Whether the process of an execution is at work, as far as can be told from where one looks."""

from __future__ import annotations

import re
from enum import StrEnum

SECONDS = 60.0
"""Between two signs of life, unless the execution says otherwise."""
MISSED = 3
"""Signs of life that may be missing before an execution is called silent or dead."""

LAST_SIGN = "last_sign_of_life"
"""Fact of an execution whose owner was found to be gone: when it gave its last sign."""


class Liveness(StrEnum):
    """A live run is never called dead: what gave no promise of signs is silent at most."""

    alive = "alive"
    """Its process holds the execution on this machine, or has given a sign of life in time."""
    silent = "silent"
    """No sign of life for a while, but it never promised one (deriva-ml, or signs are switched off)."""
    dead = "dead"
    """Its process is gone: nobody holds the execution on this machine, or the promised signs stay away."""
    settled = "settled"
    """Uploaded, Failed or Aborted: no process has to be at work."""


_PROMISE = re.compile(r"Its process gives a sign of life every (\d+(?:\.\d+)?) s\.")


def promise_of_signs(seconds: float) -> str:
    """The sentence that tells others how often an execution gives a sign of life; empty if it gives none."""
    return f"Its process gives a sign of life every {seconds:g} s." if seconds else ""


def promised_seconds(text: str | None) -> float | None:
    """The seconds that such a sentence promises, wherever it stands in a text."""
    found = _PROMISE.search(text or "")
    return float(found[1]) if found else None


def judge_from_afar(age: float, promised: float | None) -> Liveness:
    """What the age of the last sign of life, in seconds, tells of an execution that is not settled."""
    if age <= MISSED * (promised or SECONDS):
        return Liveness.alive
    return Liveness.silent if promised is None else Liveness.dead
