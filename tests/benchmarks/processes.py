"""Programs as a person starts them: seconds from the start of the process to its end, with its cache of bytecode."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.benchmarks.comparison import Figure, timed

SECONDS = 120


def run_program(command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """What it printed. RuntimeError with the end of its stderr if it does not end well."""
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=SECONDS, check=False, env={**os.environ, **(environment or {})}
    )
    if ended.returncode:
        raise RuntimeError(f"{' '.join(command)[:200]} ended with {ended.returncode}: {ended.stderr.strip()[-500:]}")
    return ended.stdout


def python(
    code: str, interpreter: str | Path = sys.executable, *, environment: Mapping[str, str] | None = None
) -> Figure:
    """The figure of `python -c code`."""
    return timed(lambda: run_program([str(interpreter), "-c", code], environment))


def loaded(code: str, packages: Sequence[str], *, environment: Mapping[str, str] | None = None) -> int:
    """How many of the packages are imported when the code has run; RuntimeError unless it ends well."""
    told = f"""
import contextlib, io, sys
try:
    with contextlib.redirect_stdout(io.StringIO()):
        exec({code!r})
except SystemExit as ended:
    if ended.code:
        raise
print(sum(name in sys.modules for name in {tuple(packages)!r}))
"""
    return int(run_program([sys.executable, "-c", told], environment))
