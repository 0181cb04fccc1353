"""One process of a schedule: forked warm, met by its trouble, and what became of it."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deriva_ml_prefect.exceptions import DerivaMLException
from deriva_ml_prefect.journal import ownership, store
from deriva_ml_prefect.phases import record
from deriva_ml_prefect.transfer import retry
from tests.faults.program import OwnError, Program
from tests.faults.schedule import Trouble
from tests.faults.shim import Fail, Kill, Layer, count, environment
from tests.faults.world import Lane

LONGEST = 90.0
"""Seconds after which a process is taken to hang."""
PATIENT = 10.0
IMPATIENT = 0.8
"""Seconds that an answer may take when one will never come."""
FIRST_PAUSE = 0.02
"""Seconds before a request is sent again, in place of the package's: how long they are is tested elsewhere."""
_PR_SET_PDEATHSIG = 1
_EXITS = {0: "done", 3: "named", 4: "unnamed", 5: "broken", -signal.SIGKILL: "killed"}
_PLANTED = f'File "{Path(__file__).with_name("planted.py")}"'

Plant = Callable[[], None]
SECRET = "hunter2-9f3a61c07be24d58"
"""In the environment of each process under test, under a name that tells what it is."""


@dataclass(frozen=True)
class End:
    """How a process ended: `done`, `named` (an error of the package's tree), `unnamed`, `killed` or `hung`; `broken` by
    the campaign's own code, when a planted bug does not fit the package any more."""

    how: str
    error: str = ""
    text: str = ""


@dataclass(frozen=True)
class Started:
    pid: int
    go: int
    """Write here to let it begin."""
    folder: Path


def proceed(lane: Lane, library: Path, trouble: Trouble | None, plant: Plant | None) -> End:
    """Begin the run, or go on with it, in a process that meets the trouble."""
    started = start(lane, library, trouble, plant, "end.json")
    if trouble and trouble.at_proxy:
        kind, committed = (trouble.kind[:-1], True) if trouble.kind.endswith("c") else (trouble.kind, False)
        lane.proxy.order(
            kind=kind, at=trouble.at, times=trouble.times, committed=committed, pid=started.pid, stall=IMPATIENT * 1.25
        )
    else:
        lane.proxy.order()
    let_go(started)
    return finish(started)


def start(lane: Lane, library: Path, trouble: Trouble | None, plant: Plant | None, name: str) -> Started:
    """Fork the process; it waits to be told to go."""
    read, write = os.pipe()
    end = lane.folder / name
    end.unlink(missing_ok=True)
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        os.close(read)
        return Started(pid, write, end)
    status = 4
    try:
        os.close(write)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # it ends with the worker that conducts it, however that ends
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        log = os.open(lane.said, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.read(read, 1)
        status = _live(lane, library, trouble, plant, end)
    # whatever it was is told to the campaign; nothing of the parent's may run in this process
    except BaseException:  # noqa: BLE001
        end.write_text(json.dumps({"error": "BaseException", "text": traceback.format_exc()}))
        status = 5
    finally:
        os._exit(status)


def _live(lane: Lane, library: Path, trouble: Trouble | None, plant: Plant | None, end: Path) -> int:
    stalls = trouble is not None and trouble.kind.startswith("stall")
    os.environ["DERIVA_ML_HOME"] = str(lane.home)
    os.environ["DERIVA_ML_RETRIES"] = "2"
    os.environ["LAB_API_TOKEN"] = SECRET
    os.environ["DERIVA_ML_TIMEOUT"] = str(IMPATIENT if stalls else PATIENT)
    program = Program(lane.address, lane.subjects, lane.inputs, lane.notes, lane.tag)
    if stalls:
        program.timeout = (IMPATIENT, IMPATIENT)
    shorten_pauses(program)
    if plant:
        plant()
    arm(lane, library, end.stem, trouble)
    try:
        program.proceed(lane.workspace)
    except (DerivaMLException, OwnError) as e:
        disarm()
        end.write_text(json.dumps({"error": type(e).__name__, "text": str(e)}))
        return 3
    except Exception as e:  # noqa: BLE001 - an error outside the package's tree is what the campaign looks for
        disarm()
        text = traceback.format_exc()
        end.write_text(json.dumps({"error": type(e).__name__, "text": text}))
        last = [line.strip() for line in text.splitlines() if line.startswith('  File "')][-1]
        return 5 if last.startswith(_PLANTED) else 4
    return 0


def shorten_pauses(program: Program) -> None:
    """A run under trouble waits for most of its time: where nobody can choose the pauses, they are shortened here."""
    for place, name, other in (
        (retry, "FIRST_DELAY", FIRST_PAUSE),
        (record, "UploadOptions", program.options),
    ):
        getattr(place, name)
        setattr(place, name, other)


def layer_of(lane: Lane, library: Path, name: str, trouble: Trouble | None = None) -> Layer:
    """The layer below the file calls of a process: it counts, and does what a trouble on the disk says."""
    fail = kill = None
    if trouble and trouble.on_disk:
        what, kind, *when = trouble.kind.split("-")
        if what == "kill":
            kill = Kill(kind, trouble.at, after=bool(when))
        else:
            fail = Fail(kind, trouble.at, getattr(errno, what), lasting=trouble.times > 1)
    return Layer(library, root=lane.home, state=lane.folder / f"layer-{name}", fail=fail, kill=kill)


def arm(lane: Lane, library: Path, name: str, trouble: Trouble | None) -> None:
    """Switch the layer on in this process, which was started with it below and switched off."""
    _switch(environment(layer_of(lane, library, name, trouble)))


def disarm() -> None:
    """The trouble is over: what is reported next must not meet it."""
    _switch({})


def _switch(settings: Mapping[str, str]) -> None:
    for name in ("SHIM_ROOT", "SHIM_STATE", "SHIM_LOG", "SHIM_ONLY", "SHIM_FAIL", "SHIM_KILL", "SHIM_DROP"):
        os.environ.pop(name, None)
    os.environ.update({name: value for name, value in settings.items() if name != "LD_PRELOAD"})
    ctypes.CDLL(None).shim_begin_again()


def calls_of(lane: Lane, library: Path) -> dict[str, int]:
    """How many file calls of each kind the last process made in its home."""
    return count(layer_of(lane, library, "end"))


def let_go(started: Started) -> None:
    """Let a process that waits begin its work."""
    os.write(started.go, b"g")
    os.close(started.go)


def finish(started: Started) -> End:
    """Wait for the end of a process that was let go."""
    deadline = time.monotonic() + LONGEST
    pause = 0.001
    while time.monotonic() < deadline:
        pid, status = os.waitpid(started.pid, os.WNOHANG)
        if pid:
            return _told(started, os.waitstatus_to_exitcode(status))
        time.sleep(pause)
        pause = min(pause * 1.3, 0.02)
    os.kill(started.pid, signal.SIGKILL)
    os.waitpid(started.pid, 0)
    return End("hung", text=f"It had not ended after {LONGEST:.0f} s.")


def sleeps(started: Started) -> bool:
    """Wait until a process has been stopped; False when it ends before (and is still to be asked how)."""
    deadline = time.monotonic() + LONGEST
    while time.monotonic() < deadline:
        state = Path(f"/proc/{started.pid}/stat").read_text().rpartition(")")[2].split()[0]
        if state in "TZX":
            return state == "T"
        time.sleep(0.002)
    return False


def wake(started: Started) -> None:
    os.kill(started.pid, signal.SIGCONT)


def send_to_sleep(started: Started) -> None:
    os.kill(started.pid, signal.SIGSTOP)


def on_network(plant: Plant | None) -> Plant:
    """Plants in a process that its folder is on a network file system, where the journal is a rollback journal."""

    def become() -> None:
        for place in (ownership, store):
            getattr(place, "is_on_network")  # noqa: B009 - it must be there
            setattr(place, "is_on_network", lambda _: True)  # noqa: B010 - the type checker knows better
        if plant:
            plant()

    return become


def on_machine(name: str, plant: Plant | None) -> Plant:
    """Plants in a process that it is on another machine, whose locks on the shared folder nobody else sees."""

    def become() -> None:
        for place, attribute, value in (
            (ownership, "_boot", lambda: f"boot of {name}"),
            (socket, "gethostname", lambda: name),
            (fcntl, "lockf", lambda *_: None),
        ):
            getattr(place, attribute)
            setattr(place, attribute, value)
        on_network(plant)()

    return become


def _told(started: Started, code: int) -> End:
    how = _EXITS.get(code, "unnamed")
    if how == "broken":
        raise RuntimeError(f"The campaign's own code does not fit the package: {started.folder.read_text()}")
    try:
        told = json.loads(started.folder.read_text())
    except (FileNotFoundError, ValueError):
        return End(how, text=f"exit status {code}")
    return End(how, told["error"], told["text"])
