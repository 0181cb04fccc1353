"""`python -m tests.benchmarks`: take the comparisons and print the table."""

from __future__ import annotations

import argparse
import os
import platform
import sqlite3
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.benchmarks.comparison import take
from tests.benchmarks.subjects import SUBJECTS
from tests.benchmarks.table import table
from tests.benchmarks.world import open_world


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description="Ratios of speed, each within one run."
    )
    parser.add_argument("--only", action="append", choices=sorted(SUBJECTS), help="a subject; may be given again")
    parser.add_argument("--rounds", type=int, default=10, help="at least one; default: 10")
    parser.add_argument("--folder", type=Path, help="where to put the data (default: a temporary folder)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmarks-", dir=asked.folder) as folder, ExitStack() as stack:
        os.environ["DERIVA_ML_HOME"] = str(Path(folder) / "home")
        world = stack.enter_context(open_world(Path(folder)))
        chosen = asked.only or list(SUBJECTS)
        comparisons = [c for name in SUBJECTS if name in chosen for c in SUBJECTS[name](world, stack)]
        taken = take(comparisons, max(asked.rounds, 1), lambda text: print(text, file=sys.stderr, flush=True))
    print(table(taken))
    print(
        f"\n{max(asked.rounds, 1)} rounds on {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
