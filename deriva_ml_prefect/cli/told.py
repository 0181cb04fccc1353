"""What stops a command, told in one line and as an exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from deriva_ml_prefect.exceptions import DerivaMLException

FAILED = 1
INTERRUPTED = 130


def told(act: Callable[[], int]) -> int:
    """The exit status of `act`; errors of this package become one line on stderr, anything else stays a traceback."""
    try:
        return act()
    except DerivaMLException as e:
        print(f"{type(e).__name__}: {' '.join(str(e).split())}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # whoever read our output has closed it; writing what is buffered at exit would fail a second time
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
