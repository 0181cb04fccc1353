"""The embedded DERIVA under writers, readers and kills, for some seconds; the command does it for a minute."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_nothing_answered_is_lost_by_kills() -> None:
    command = [sys.executable, "-m", "tests.faults.embedded_stress", "--seconds", "10", "--every", "3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "0 failures"
    counts = {what: int(count) for count, what in re.findall(r"^ *(\d+) (.+)$", done.stdout, re.M)}
    assert counts["kills"] >= 3
    assert counts["writes cut off"] >= 1
    assert min(counts[what] for what in ("batches of rows", "rows without a key", "updates", "objects", "reads")) > 10
