"""How long work is shown: not at all when it is quick, as lines in a log, as a bar on a terminal."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import threading
import time
from itertools import repeat

import pytest

from deriva_ml_prefect.progress import lines, meter
from deriva_ml_prefect.progress.lines import Lines, format_time
from deriva_ml_prefect.progress.meter import ROWS, Meter, Standing, hidden, showing


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work counts as long after a moment, and lines follow each other at once."""
    monkeypatch.setattr(meter, "QUIET_SECONDS", 0.01)
    monkeypatch.setattr(lines, "repeat", lambda pause, *times: repeat(pause / 1000, *times))
    monkeypatch.setenv("DERIVA_ML_PROGRESS", "lines")


def wait_for_lines(capsys: pytest.CaptureFixture[str]) -> str:
    """What stands on stderr, once there is something."""
    for _ in range(500):
        if said := capsys.readouterr().err:
            return said
        time.sleep(0.01)
    raise AssertionError("nothing was said")


@pytest.mark.usefixtures("soon")
def test_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with showing("Uploading 1-ABC", total=2_000_000, items=4) as told:
        told.advance(500_000, items=1)
        first = wait_for_lines(capsys).splitlines()[0]
        told.reach(2_000_000, items=4)
    assert first.startswith("Uploading 1-ABC: 1 of 4 files, 500 kB of 2.0 MB (25 %), ")
    assert first.endswith(" left")
    assert "Uploading 1-ABC: done, 2.0 MB in 0 s\n" in capsys.readouterr().err


@pytest.mark.usefixtures("soon")
def test_a_failure_is_not_told_as_done(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with showing("Inserting values 1-ABC", total=1000, unit=ROWS) as told:
            told.advance(250)
            wait_for_lines(capsys)
            raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        fail()
    assert capsys.readouterr().err.endswith("Inserting values 1-ABC: ended at 250 of 1,000 rows after 0 s\n")


def test_what_is_quick_is_not_shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for wanted in ("auto", "lines", "bar"):
        monkeypatch.setenv("DERIVA_ML_PROGRESS", wanted)
        with showing("Uploading 1-ABC", total=10) as told:
            told.advance(10)
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("soon")
def test_nothing_is_shown_where_it_is_not_wanted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with hidden(), showing("Uploading 1-ABC", total=10):
        time.sleep(0.1)
    monkeypatch.setenv("DERIVA_ML_PROGRESS", "off")
    with showing("Uploading 1-ABC", total=10):
        time.sleep(0.1)
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("wanted", ["auto", "lines"])
def test_a_stream_that_is_closed_holds_up_nothing(wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERIVA_ML_PROGRESS", wanted)
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    with showing("Uploading 1-ABC", total=10) as told:
        time.sleep(0.1)
        told.advance(10)
    assert told.standing().done == 10


def test_told_from_many_threads() -> None:
    told = Meter("Uploading", 40_000)

    def work() -> None:
        for _ in range(10_000):
            told.advance(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told.standing().done == 40_000


def test_the_rate_leaves_out_what_was_done_before() -> None:
    told = Meter("Uploading", 1000)
    told.start_at(900)
    assert told.standing().rate == 0
    assert told.standing().left is None
    assert told.standing().percent == 90


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (59, "59 s"), (200, "3 min 20 s"), (2400, "40 min"), (7500, "2 h 5 min")]
)
def test_times(seconds: float, said: str) -> None:
    assert format_time(seconds) == said


def test_amounts_name_their_unit_once() -> None:
    def amount(done: int, total: int) -> str:
        return Standing(done, total, meter.BYTES, 0, 0, 1.0, 0.0).amount

    assert amount(1_200_000_000, 2_100_000_000) == "1.2 of 2.1 GB"
    assert amount(412_000_000, 2_100_000_000) == "412 MB of 2.1 GB"
    assert Standing(400, 1000, ROWS, 0, 0, 1.0, 0.0).amount == "400 of 1,000 rows"
    assert next(Lines().pauses) == 10


BAR = """
import sys, time
from deriva_ml_prefect.progress import meter
from deriva_ml_prefect.progress.meter import showing
assert "rich" not in sys.modules
meter.QUIET_SECONDS = float(sys.argv[1])
try:
    for what in ("Uploading 1-ABC", "Recording files 1-ABC"):
        with showing(what, total=1_000_000) as told:
            told.advance(400_000)
            time.sleep(1)
            if sys.argv[2] == "fails":
                raise RuntimeError("the server went away")
except RuntimeError as error:
    print(error)
print("rich is", "rich" in sys.modules)
"""


def on_terminal(*arguments: str, program: str = BAR, columns: int = 80) -> str:
    """What a terminal gets to see of a program."""
    mine, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": str(columns), "DERIVA_ML_PROGRESS": "auto"},
    ) as process:
        os.close(theirs)
        seen = b""
        while True:
            try:
                piece = os.read(mine, 65536)
            except OSError:
                break
            if not piece:
                break
            seen += piece
    os.close(mine)
    assert process.returncode == 0, seen.decode()
    return seen.decode()


@pytest.mark.parametrize("ending", ["succeeds", "fails"])
def test_bar(ending: str) -> None:
    seen = on_terminal("0.01", ending)
    assert "Uploading 1-ABC" in seen
    assert "400 kB of 1.0 MB" in seen
    assert ("Recording files 1-ABC" in seen) == (ending == "succeeds")
    assert "rich is True" in seen
    # the cursor is never hidden, and the line of the bar is erased in the end
    assert "\x1b[?25l" not in seen
    assert "\x1b[2K" in seen[seen.rindex("1-ABC") :]


MANY_FILES = """
import time
from deriva_ml_prefect.progress import meter
from deriva_ml_prefect.progress.meter import showing
meter.QUIET_SECONDS = 0.01
with showing("Downloading resnet50_epoch_099_with_a_long_name.pt", total=2_100_000_000, items=1000) as told:
    for _ in range(10):
        told.advance(110_000_000, 52)
        time.sleep(0.1)
"""


@pytest.mark.parametrize("columns", [40, 50, 60, 80, 100, 160])
def test_bytes_and_time_left_are_told_in_any_width(columns: int) -> None:
    """What gives way is the rate, the bar, the count of files, and the end of a long name."""
    seen = on_terminal(program=MANY_FILES, columns=columns)
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "\r", seen).replace("\r", "\n")
    assert re.search(r"Downloa.*", shown)
    assert re.search(r"(?:\d+ MB|\d\.\d) of 2\.1 GB", shown), shown
    assert re.search(r"\d s left", shown), shown
    assert ("/1,000 files" in shown) == (columns >= 60)
    assert ("MB/s" in shown or "GB/s" in shown) == (columns >= 80)


def test_bar_of_quick_work_does_not_import_rich() -> None:
    seen = on_terminal("60", "succeeds")
    assert "rich is False" in seen
    assert "Uploading" not in seen
