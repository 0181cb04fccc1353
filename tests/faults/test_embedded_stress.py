"""The embedded DERIVA under writers, readers and kills, for some seconds; the command does it for a minute."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def stress(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.faults.embedded_stress", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.slow
@pytest.mark.workers
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("answer-before-commit", r"FAILED (Loose: lost|batch \S+: 0/|counter|object)"),
        ("write-twice", r"FAILED Loose: there twice"),
        ("commit-in-parts", r"FAILED batch \S+: [1-9]\d*(/| rows of)"),
        ("mention-before-writing", r"FAILED (object \S+: its file|GET /hatrac/)"),
        ("forget-history", r"FAILED /ermrest/catalog/\d+@\S+: another answer than before"),
    ],
)
def test_a_planted_fault_is_found(fault: str, said: str) -> None:
    done = stress("--seconds", "8", "--every", "2", "--seed", "1", "--planted", fault)
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(said, done.stdout), done.stdout


@pytest.mark.slow
def test_nothing_answered_is_lost_by_kills() -> None:
    done = stress("--seconds", "10", "--every", "3")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "0 failures"
    counts = {what: int(count) for count, what in re.findall(r"^ *(\d+) (.+)$", done.stdout, re.M)}
    assert counts["kills"] >= 3
    assert counts["writes cut off"] >= 1
    assert min(counts[what] for what in ("batches of rows", "rows without a key", "updates", "objects", "reads")) > 10
