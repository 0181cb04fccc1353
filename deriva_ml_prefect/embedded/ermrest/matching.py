"""Searching a text by a regular expression, in bounded time and without holding up any other request.

Python's own search backtracks, may take for ever, and cannot be interrupted. So an estimate is made first of the most
steps that it could take: from the repetitions and alternatives in the pattern and the length of the text. A search
that is surely short runs here; any other runs in a process of its own, which is killed when it takes too long.
"""

from __future__ import annotations

import re
import select
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from deriva_ml_prefect.embedded.ermrest import matching_process

SECONDS_A_TEXT = 5.0
MOST_STEPS = 2e7
"""About a fifth of a second."""
IDLE_PROCESSES = 2


@dataclass(frozen=True)
class Effort:
    """The most steps that a search may take: `start(n) · factor · n ** power` for a text of n characters."""

    factor: float
    power: int
    anchored: bool

    def steps(self, length: int) -> float:
        starts = 1 if self.anchored else length + 1
        return float(min(starts * self.factor * float(length + 1) ** min(self.power, 20), 1e300))


@dataclass
class Processes:
    """Processes that wait for a search."""

    idle: list[subprocess.Popen[bytes]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


PROCESSES = Processes()


def contains(pattern: re.Pattern[str], text: str) -> bool:
    """Whether the pattern is found in the text.

    Raises TimeoutError when that is not known after SECONDS_A_TEXT.
    """
    if estimate(pattern.pattern).steps(len(text)) <= MOST_STEPS:
        return pattern.search(text) is not None
    return _search_outside(pattern, text)


@lru_cache(maxsize=512)
def estimate(pattern: str) -> Effort:
    """The effort of a pattern (in Python's syntax), never too small.

    Every repetition may be tried at each length, every group with each of its alternatives; a repeated group with
    all combinations of what is in it, for which there is no bound that is worth having.
    """
    factor, power = 1.0, 0
    bars = [0]
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if char == "\\":
            at += 2
        elif char == "[":
            at = _end_of_bracket(pattern, at)
        elif char == "(":
            bars.append(0)
            at += 1
            if pattern.startswith("?", at):
                at += 1
            continue
        elif char == ")":
            factor *= 1 + (bars.pop() if len(bars) > 1 else bars[0])
            at += 1
            if pattern[at : at + 1] in ("*", "+", "{"):
                return Effort(float("inf"), 0, False)
        elif char == "|":
            bars[-1] += 1
            at += 1
        elif char in "*+{":
            power += 1
            at += 1
        else:
            factor *= 2 if char == "?" else 1
            at += 1
    anchored = pattern.startswith(("^", r"\A")) and bars[0] == 0
    return Effort(factor * (1 + bars[0]), power, anchored)


def _end_of_bracket(pattern: str, start: int) -> int:
    at = start + 1
    at += pattern.startswith("^", at)
    at += pattern.startswith("]", at)
    while at < len(pattern) and pattern[at] != "]":
        at += 2 if pattern[at] == "\\" else 1
    return at + 1


def _search_outside(pattern: re.Pattern[str], text: str) -> bool:
    process = _take()
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        sent, searched = pattern.pattern.encode("utf-8", "surrogatepass"), text.encode("utf-8", "surrogatepass")
        head = matching_process.HEAD.pack(pattern.flags & ~re.UNICODE, len(sent), len(searched))
        process.stdin.write(head + sent + searched)
        process.stdin.flush()
        waiting = select.poll()
        waiting.register(process.stdout, select.POLLIN)
        if not waiting.poll(SECONDS_A_TEXT * 1000):
            raise TimeoutError("a regular expression took too long")
        answer = process.stdout.read(1)
        if not answer:
            raise TimeoutError("the process that searches by regular expressions has ended")
    except BaseException:  # whatever happened, this process may still be searching
        _end(process)
        raise
    with PROCESSES.lock:
        if len(PROCESSES.idle) < IDLE_PROCESSES:
            PROCESSES.idle.append(process)
            return answer == b"\1"
    _end(process)
    return answer == b"\1"


def end_processes() -> None:
    """End the processes that wait; another search starts a new one."""
    with PROCESSES.lock:
        while PROCESSES.idle:
            _end(PROCESSES.idle.pop())


def _take() -> subprocess.Popen[bytes]:
    with PROCESSES.lock:
        if PROCESSES.idle:
            return PROCESSES.idle.pop()
    command = [sys.executable, "-I", "-S", str(Path(matching_process.__file__))]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except BrokenPipeError:  # what it had not taken yet is of no use to anybody
                continue
