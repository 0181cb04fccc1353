"""The table of states in docs/state-machine.md and the tests of its rows: `python -m tests.spec.states [--check]`.

A row is named by its first cell. Markers are read from the source of the tests, as those of `tests.spec.table`.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from tests.spec.table import ROOT, find_shown

DOCUMENT = ROOT / "docs" / "state-machine.md"
RUNS = ("flow", "phase", "subflow")
STATES = (
    "pending",
    "running",
    "retrying",
    "paused",
    "suspended",
    "cancelling",
    "cancelled",
    "completed",
    "failed",
    "crashed",
)
_ROW = re.compile(rf"^\| ((?:{'|'.join(RUNS)}) \w+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


def rows(document: Path = DOCUMENT) -> list[str]:
    """Names of the rows, in order."""
    return [found[1] for found in _ROW.finditer(document.read_text())]


def problems(listed: list[str], shown: dict[str, list[str]]) -> list[str]:
    """What is wrong with rows and markers, one sentence each."""
    wanted = [f"{run} {state}" for run in RUNS for state in STATES]
    found = [f"There is no row {name!r}." for name in wanted if name not in listed]
    found += [f"The row {name!r} is there twice." for name in sorted(set(listed)) if listed.count(name) > 1]
    found += [f"The row {name!r} is none of the table's." for name in listed if name not in wanted]
    found += [f"The row {name!r} is shown by no test." for name in listed if name not in shown]
    found += [f"{', '.join(tests)} shows {name!r}, which is no row." for name, tests in shown.items()
              if name not in listed]  # fmt: skip
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="The table of states and its tests.")
    parser.add_argument("--check", action="store_true", help="fail unless each row has a test")
    chosen = parser.parse_args()
    shown = find_shown(marker="state")
    wrong = problems(rows(), shown)
    if not chosen.check:
        for name in rows():
            print(f"{name}: {', '.join(test.rpartition('::')[2] for test in shown.get(name, [])) or 'no test'}")
    for sentence in wrong:
        print(sentence, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
