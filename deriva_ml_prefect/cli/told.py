"""What stops a command, told in one line and as an exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable

from deriva_ml_prefect.exceptions import DerivaMLException

FAILED = 1
INTERRUPTED = 130


def told(act: Callable[[], int]) -> int:
    """The exit status of `act`; errors of this package become one line on stderr, anything else stays a traceback."""
    try:
        return act()
    except DerivaMLException as e:
        tell_error(e)
        return FAILED
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return FAILED


def tell_error(error: DerivaMLException) -> None:
    """The error as one line on stderr."""
    print(f"{type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)


def emit(lines: Iterable[str]) -> None:
    """Print lines for as long as somebody reads them: the exit status is the command's, not that of the pipe."""
    try:
        for line in lines:
            print(line)
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()


def _drop_output() -> None:
    # whoever read our output has closed it; writing what is buffered at exit would fail a second time
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
