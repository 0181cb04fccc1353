"""The campaign in small: planted bugs are caught, and a sample that has each kind of trouble goes well."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.schedule import GROUPS, KINDS, Boundaries, Trouble, parse, plan, shown

BOUNDS = Boundaries(("GET /x",) * 43, 32, {"write": 50, "fsync": 20, "rename": 6, "commit": 15}, {"fsync": 10})


def campaign(*arguments: str, seconds: float = 240) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.faults", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)


@pytest.mark.slow
def test_a_sample_of_every_kind() -> None:
    done = campaign("--sample", "--no-prove")
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"0 failures in (\d+) schedules of (\d+)", done.stdout)
    assert found, done.stdout
    assert found[1] == found[2]
    assert int(found[1]) >= 30


@pytest.mark.slow
@pytest.mark.parametrize(
    "bug", ["receipt-before-send", "leased-anew", "rows-before-bytes", "code-run-again", "stale-owner-writes"]
)
def test_a_planted_bug_is_caught(bug: str) -> None:
    done = campaign("--prove", "--plant", bug)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Caught 1 of 1 planted bugs" in done.stdout


def test_a_failure_is_told_with_the_command_that_repeats_it() -> None:
    """A bug that shows without any trouble is planted; the command that is printed fails in the same way."""
    done = campaign("--repeat", "none", "--plant", "file-left-out")
    assert done.returncode == 1
    assert "FAILED Execution_Metadata lacks" in done.stdout


def test_it_can_be_interrupted() -> None:
    """On SIGTERM, as on Ctrl-C, it ends its workers, proxies and server."""
    command = [sys.executable, "-m", "tests.faults", "--no-prove", "--schedules", "500"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert running.stdout is not None
    assert "A faultless run" in running.stdout.readline()
    time.sleep(1)
    running.send_signal(signal.SIGTERM)
    assert running.wait(timeout=30) == 130
    deadline = time.monotonic() + 10
    while (left := _alive_in_session(running.pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []


def _alive_in_session(session: int) -> list[str]:
    """Command lines of the processes of a session that have not ended."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            ended = (folder / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
            if os.getsid(int(folder.name)) == session and not ended:
                found.append((folder / "cmdline").read_text())
    return found


def test_a_plan_is_the_same_from_the_same_seed_and_has_every_kind() -> None:
    first = plan(BOUNDS, seed=1, count=3000)
    assert first == plan(BOUNDS, seed=1, count=3000)
    assert first != plan(BOUNDS, seed=2, count=3000)
    assert len(set(first)) == 3000
    met = {trouble.kind for schedule in first for trouble in schedule}
    assert met >= {
        *GROUPS["kill"],
        *GROUPS["server"],
        *GROUPS["change"],
        *GROUPS["race"],
        *GROUPS["asleep"],
        "ENOSPC-write",
        "EIO-fsync",
    }
    numbers = {trouble.at for schedule in first for trouble in schedule if trouble.kind == "lost-answer"}
    assert numbers >= set(range(1, 44))


@pytest.mark.parametrize("kind", KINDS)
def test_the_text_of_a_schedule_says_it_whole(kind: str) -> None:
    schedule = (Trouble(kind, 3), Trouble("lost-answer", 5, 2))
    assert parse(shown(schedule)) == schedule


def test_a_text_that_is_no_schedule_is_refused() -> None:
    with pytest.raises(ValueError, match="is no trouble"):
        parse("lost-anser@5")
