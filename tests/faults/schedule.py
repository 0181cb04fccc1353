"""Schedules: which trouble meets which process of a run and its recoveries. A schedule's text says it whole.

kill-answered@17+lost-answer@5x2     the run is killed when its 17th request has been answered; of the first
                                     recovery the answers to requests 5 and 6 are lost
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tests.faults.proxy import ALWAYS

KILLS_BY_REQUEST = ("kill-sent", "kill-answered")
DISK = ("open", "write", "fsync", "rename", "link", "unlink", "commit", "mkdir", "truncate")
"""Kinds of file calls that the layer below the process counts."""
KILLS_ON_DISK = tuple(f"kill-{kind}{when}" for kind in ("fsync", "rename", "commit") for when in ("", "-after"))
CUTS = ("refused", "reset", "reset-body", "lost-answer", "reset-answer")
ANSWERS = ("500", "502", "503", "429", "408", "401", "409")
LIES = ("torn-json", "html", "length-long", "length-short", "stall", "trickle")
DISK_ERRORS = tuple(
    f"{error}-{kind}"
    for error in ("ENOSPC", "EIO")
    for kind in ("write", "fsync", "open", "rename", "link", "truncate", "mkdir", "unlink")
)
CHANGES = ("change-truncate", "change-rewrite", "change-delete", "change-touch", "change-source")
RACE = "race"
NEWER = "newer-journal"
"""The journal is of a version that nobody here knows: it must be refused, and stay as it is."""
ASLEEP = ("asleep-sent", "asleep-answered")
"""Stopped at a request, taken over from by another machine that shares the folder, and woken when that has ended."""
COMMITTED = ("500c", "502c", "stallc")
"""As those without the c, but the server has done what it was asked."""
GROUPS: Mapping[str, tuple[str, ...]] = {
    "kill": (*KILLS_BY_REQUEST, *KILLS_ON_DISK),
    "server": (*CUTS, *ANSWERS, *LIES, *COMMITTED),
    "disk": DISK_ERRORS,
    "change": CHANGES,
    "race": (RACE,),
    "asleep": ASLEEP,
    "version": (NEWER,),
}
KINDS = tuple(itertools.chain.from_iterable(GROUPS.values()))
_MOST_IN_VAIN = 2000
_TROUBLE = re.compile(r"(?P<kind>[A-Za-z0-9-]+)@(?P<at>\d+)(?:x(?P<times>\d+|all))?$")


@dataclass(frozen=True)
class Trouble:
    """What meets one process: `kind` at boundary number `at` of it, from 1, and `times` - 1 more of the same."""

    kind: str
    at: int
    times: int = 1

    def __str__(self) -> str:
        more = "" if self.times == 1 else "xall" if self.times >= ALWAYS else f"x{self.times}"
        return f"{self.kind}@{self.at}{more}"

    @property
    def at_proxy(self) -> bool:
        return self.kind in (*KILLS_BY_REQUEST, *GROUPS["server"], *ASLEEP)

    @property
    def on_disk(self) -> bool:
        return self.kind in (*KILLS_ON_DISK, *DISK_ERRORS)

    @property
    def kills(self) -> bool:
        return self.kind.startswith("kill-")


Schedule = tuple[Trouble, ...]


def shown(schedule: Schedule) -> str:
    return "+".join(map(str, schedule)) or "none"


def parse(text: str) -> Schedule:
    """A schedule from its text; ValueError for one that is none."""
    if text == "none":
        return ()
    found = []
    for part in text.split("+"):
        match = _TROUBLE.match(part)
        if not match or match["kind"] not in KINDS:
            raise ValueError(f"{part!r} is no trouble. They look like lost-answer@5x2; kinds: {', '.join(KINDS)}.")
        times = ALWAYS if match["times"] == "all" else int(match["times"] or 1)
        found.append(Trouble(match["kind"], int(match["at"]), times))
    return tuple(found)


@dataclass(frozen=True)
class Boundaries:
    """How many there are in a faultless run, and in a recovery of one that was killed when its code had ended."""

    seen: tuple[str, ...]
    """Method and path of each request of the run."""
    recovery_requests: int
    calls: Mapping[str, int]
    """File calls of the run, by kind."""
    recovery_calls: Mapping[str, int]

    @property
    def requests(self) -> int:
        return len(self.seen)

    @property
    def upload(self) -> int:
        """Number of a request early in the upload, when the code has ended."""
        return next(number for number, asked in enumerate(self.seen, 1) if "hatrac/Image" in asked) - 1


def plan(bounds: Boundaries, *, seed: int, count: int, only: str | None = None) -> list[Schedule]:
    """At most so many schedules from a seed: first every boundary once by itself, then combinations by chance."""
    dice = random.Random(seed)
    single = [schedule for schedule in _every_boundary(bounds, dice) if _wanted(schedule, only)]
    dice.shuffle(single)
    chosen = list(dict.fromkeys(single))[:count]
    seen = set(chosen)
    in_vain = 0
    # some kinds are in no combination
    while len(chosen) < count and in_vain < _MOST_IN_VAIN:
        schedule = _by_chance(bounds, dice)
        in_vain += 1
        if schedule not in seen and _wanted(schedule, only):
            seen.add(schedule)
            chosen.append(schedule)
            in_vain = 0
    return chosen


def _wanted(schedule: Schedule, only: str | None) -> bool:
    if only is None:
        return True
    kinds = GROUPS.get(only, (only,))
    return any(trouble.kind in kinds for trouble in schedule)


def _every_boundary(bounds: Boundaries, dice: random.Random) -> Iterator[Schedule]:
    for number in range(1, bounds.requests + 1):
        for kind in KILLS_BY_REQUEST:
            kill = Trouble(kind, number)
            yield (kill,)
            yield (kill, _kill_of_recovery(bounds, dice))
        for kind in ASLEEP:
            yield (Trouble(kind, number),)
        for kind in GROUPS["server"]:
            yield (Trouble(kind, number, dice.choice((1, 1, 2, ALWAYS))),)
    for kind in KILLS_ON_DISK:
        for number in range(1, bounds.calls.get(kind.split("-")[1], 0) + 1):
            yield (Trouble(kind, number),)
            yield (Trouble(kind, number), _kill_of_recovery(bounds, dice))
    for kind in DISK_ERRORS:
        # a full disk at every other call, a broken one at those in between
        for number in range(1 + kind.startswith("EIO"), bounds.calls.get(kind.split("-")[1], 0) + 1, 2):
            yield (Trouble(kind, number, dice.choice((1, ALWAYS))),)
    # the code has ended and the upload has not begun: what is changed then is what a person would have looked at
    for kind in CHANGES:
        for item in range(4):
            yield (_stop_after_code(bounds, dice), Trouble(kind, item))
    for number in range(max(1, bounds.requests // 3), bounds.requests, 8):
        yield (Trouble(dice.choice(KILLS_BY_REQUEST), number), Trouble(NEWER, 0))
    for number in range(max(1, bounds.requests // 3), bounds.requests, 2):
        yield (Trouble(dice.choice(KILLS_BY_REQUEST), number), Trouble(RACE, 0))


def _stop_after_code(bounds: Boundaries, dice: random.Random) -> Trouble:
    return Trouble("kill-sent", dice.randint(max(1, bounds.requests - bounds.recovery_requests), bounds.requests))


def _kill_of_recovery(bounds: Boundaries, dice: random.Random) -> Trouble:
    kind = dice.choice((*KILLS_BY_REQUEST, *KILLS_ON_DISK))
    if kind in KILLS_BY_REQUEST:
        return Trouble(kind, dice.randint(1, max(1, bounds.recovery_requests)))
    return Trouble(kind, dice.randint(1, max(1, bounds.recovery_calls.get(kind.split("-")[1], 1))))


def _by_chance(bounds: Boundaries, dice: random.Random) -> Schedule:
    first = _any_trouble(bounds.requests, bounds.calls, dice)
    rest = [
        _any_trouble(bounds.recovery_requests, bounds.recovery_calls, dice) for _ in range(dice.choice((0, 1, 1, 2, 3)))
    ]
    if dice.random() < 0.05:
        rest.append(Trouble(RACE, 0))
    return (first, *rest)


def _any_trouble(requests: int, calls: Mapping[str, int], dice: random.Random) -> Trouble:
    group = dice.choices(("kill", "server", "disk"), (5, 6, 2))[0]
    # one stall takes as long as a run
    kinds = [kind for kind in GROUPS[group] if not kind.startswith("stall") or dice.random() < 0.3]
    kind = dice.choice(kinds)
    times = 1 if group == "kill" else dice.choice((1, 1, 2, ALWAYS))
    trouble = Trouble(kind, 1, times)
    most = calls.get(kind.split("-")[1], 1) if trouble.on_disk else requests
    return Trouble(kind, dice.randint(1, max(1, most)), times)
