"""Asking a person before something is done that cannot be undone."""

from __future__ import annotations

import sys
from typing import TextIO

from deriva_ml_prefect.exceptions import DerivaMLConfigurationError


def ask(question: str, *, otherwise: str, stream: TextIO) -> bool:
    """Whether a person at the terminal says yes. Without a terminal DerivaMLConfigurationError names the option."""
    if not sys.stdin.isatty():
        raise DerivaMLConfigurationError(
            f"{question} Nobody can be asked, since there is no terminal. Nothing was done: say {otherwise} if you "
            "mean it."
        )
    print(f"{question} [y/N] ", end="", file=stream, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
