"""`python -m tests.benchmarks`: take the comparisons and print the table."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sqlite3
import sys
import tempfile
import traceback
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.benchmarks.comparison import Comparison, Skipped, Taken, take
from tests.benchmarks.subjects import SUBJECTS
from tests.benchmarks.table import document, table
from tests.benchmarks.world import open_world


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Ratios of speed, each within one run against one server: what we need for a piece of work, "
        "divided by what the best that it could be needs. The exit status is 1 if a comparison broke; an aim that is "
        "missed is no error.",
        epilog=f"Subjects: {', '.join(SUBJECTS)}.",
    )
    made.add_argument(
        "--only", action="append", choices=sorted(SUBJECTS), metavar="NAME", help="a subject; may be given again"
    )
    made.add_argument("--rounds", type=int, default=10, metavar="N", help="at least one; default: 10")
    made.add_argument("--json", type=Path, metavar="FILE", help="write all figures of all rounds to FILE as well")
    made.add_argument("--folder", type=Path, help="where to put the data (default: a temporary folder)")
    made.add_argument(
        "--scale",
        type=float,
        default=1.0,
        help="how much of the work is done, to try that a row runs; the aims are about 1, the default",
    )
    return made


def run(asked: argparse.Namespace) -> list[Taken]:
    """Take what was asked for; progress goes to stderr."""
    # what a process of the benchmarks still writes there at the end must not cost the figures
    kept = tempfile.TemporaryDirectory(prefix="benchmarks-", dir=asked.folder, ignore_cleanup_errors=True)
    with kept as folder, ExitStack() as stack:
        os.environ.update(DERIVA_ML_HOME=str(Path(folder) / "home"), DERIVA_ML_ALLOW_DIRTY="true")
        world = stack.enter_context(open_world(Path(folder), scale=asked.scale))
        comparisons: list[Comparison] = []
        broken: list[Taken] = []
        for name in [name for name in SUBJECTS if name in (asked.only or SUBJECTS)]:
            _tell(f"preparing {name}")
            try:
                comparisons += SUBJECTS[name](world, stack)
            except Skipped as lacking:
                _tell(f"skipping {name}: {lacking}")
                broken.append(
                    Taken(Comparison(f"{name} (all of it)", lambda: 0, None, 0), problem=str(lacking), skipped=True)
                )
            except Exception as error:  # noqa: BLE001 (whatever it is, the table says it, and the exit status)
                _tell(traceback.format_exc())
                problem = f"{type(error).__name__}: {error}"
                broken.append(Taken(Comparison(f"{name} (all of it)", lambda: 0, None, 0), problem=problem))
        return [*take(comparisons, max(asked.rounds, 1), _tell), *broken]


def main(argv: Sequence[str] | None = None) -> int:
    asked = parser().parse_args(argv)
    # as Ctrl-C: the table of what has been taken is still printed
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    taken = run(asked)
    print(table(taken))
    print(
        f"\n{max(asked.rounds, 1)} rounds on {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )
    if asked.json:
        asked.json.write_text(json.dumps(document(taken), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return int(any(one.problem and not one.skipped for one in taken))


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
