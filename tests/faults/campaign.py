"""Many schedules on a few workers: progress, failures with the command that repeats each, and the sum at the end."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deriva_ml_prefect.provenance import environment
from tests.faults import process
from tests.faults.judge import Judge, Verdict, measure
from tests.faults.picture import Picture
from tests.faults.planted import PLANTED
from tests.faults.process import Plant
from tests.faults.schedule import Boundaries, Schedule, parse, plan, shown
from tests.faults.world import Lane, Server, lanes, serve

_LONGEST_TEXT = 3000
_EVERY_SECONDS = 20.0
SAMPLE_SEED = 7


@dataclass(frozen=True)
class Job:
    """One schedule to conduct, with the planted bug that it is to catch, if any."""

    schedule: Schedule
    tag: str
    plant: str | None = None


@dataclass
class Campaign:
    root: Path
    server: Server
    lanes: list[Lane]
    wanted: Picture
    bounds: Boundaries
    deadline: float
    rollback: bool = False

    def planted(self, bug: str | None) -> Plant | None:
        """What is changed in the processes under test."""
        plant = PLANTED[bug].plant if bug else None
        return process.on_network(plant) if self.rollback else plant

    @property
    def library(self) -> Path:
        return library_of(self.root)


def library_of(root: Path) -> Path:
    return root / "layer.so"


def run(asked: argparse.Namespace, root: Path) -> int:
    """What the command asks for; its exit status."""
    if asked.list:
        for name, planted in PLANTED.items():
            print(f"{name:32} {planted.says}")
        return 0
    # SIGTERM ends the campaign as Ctrl-C does: its processes are ended first
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if asked.thousand:
            from tests.faults.thousand import live_through

            with serve(root) as server, lanes(root, server, 1) as own:
                return live_through(own[0], asked.seed)
        if asked.large:
            from tests.faults.large import carry

            with serve(root) as server, lanes(root, server, 1) as own:
                return carry(own[0])
        with open_campaign(root, asked) as campaign:
            return _run(campaign, asked)
    except KeyboardInterrupt:
        print("Interrupted: every process of the campaign was ended.", file=sys.stderr)
        return 130


@contextmanager
def open_campaign(root: Path, asked: argparse.Namespace) -> Iterator[Campaign]:
    """The world, and a faultless run in it whose boundaries are counted."""
    began = time.monotonic()
    # read once, for all the processes that are forked from this one
    packages = environment.installed_packages()
    environment.installed_packages = lambda: packages
    workers = 1 if asked.repeat else max(1, asked.workers)
    with serve(root) as server, lanes(root, server, workers) as found:
        nothing = Picture({}, {})
        own = process.on_network(None) if asked.rollback else None
        wanted, bounds = measure(Judge(found[0], library_of(root), nothing, own))
        calls = ", ".join(f"{n} {kind}" for kind, n in bounds.calls.items() if n)
        print(
            f"A faultless run: {bounds.requests} requests sent and answered, {calls}. Its recovery after the code: "
            f"{bounds.recovery_requests} requests. ({time.monotonic() - began:.0f} s)",
            flush=True,
        )
        deadline = began + asked.minutes * 60 if asked.minutes else float("inf")
        yield Campaign(root, server, found, wanted, bounds, deadline, asked.rollback)


def _run(campaign: Campaign, asked: argparse.Namespace) -> int:
    if asked.repeat:
        return _repeat(campaign, asked)
    status = 0
    if asked.prove or not (asked.no_prove or asked.plant or asked.only):
        status = _prove(campaign, asked.plant)
        if asked.prove:
            return status
    schedules = _sample(campaign.bounds) if asked.sample else None
    if schedules is None:
        schedules = plan(campaign.bounds, seed=asked.seed, count=asked.schedules, only=asked.only)
    if asked.part:
        which, parts = map(int, asked.part.split("/"))
        schedules = schedules[which - 1 :: parts]
    tag = f"t{asked.seed % 10_000_000}"
    jobs = [Job(schedule, f"{tag}-{number}", asked.plant) for number, schedule in enumerate(schedules)]
    began = time.monotonic()
    verdicts = _conduct(campaign, jobs)
    failed = [verdict for verdict in verdicts if verdict["problems"]]
    unmet = sum(not verdict["met"] for verdict in verdicts)
    partly = sum(0 < verdict["met"] < verdict["troubles"] for verdict in verdicts)
    minutes = (time.monotonic() - began) / 60
    for verdict in failed:
        _tell(verdict)
    print(
        f"{len(failed)} failures in {len(verdicts)} schedules of {len(jobs)}, seed {asked.seed}, {minutes:.1f} min; "
        f"in {unmet} of them the run had ended before its trouble came, in {partly} before a later one."
    )
    return 1 if failed or (len(verdicts) < len(jobs) and not asked.minutes) else status


def _repeat(campaign: Campaign, asked: argparse.Namespace) -> int:
    judge = Judge(campaign.lanes[0], campaign.library, campaign.wanted, campaign.planted(asked.plant))
    verdict = judge.conduct(parse(asked.repeat), "repeated")
    for end in judge.ends:
        print(f"  {end.how} {end.error} {end.text}".rstrip())
    print("\n".join(f"FAILED {problem}" for problem in verdict.problems) or "Everything is as promised.")
    print(campaign.lanes[0].said.read_text()[-4000:], file=sys.stderr)
    return 1 if verdict.problems else 0


def _sample(bounds: Boundaries) -> list[Schedule]:
    """Each kind of trouble once, at a boundary drawn once for all."""
    from tests.faults.schedule import ASLEEP, KINDS, Trouble

    chosen: dict[str, Schedule] = {}
    for kind in KINDS:
        candidates = plan(bounds, seed=SAMPLE_SEED, count=1, only=kind)
        # who falls asleep before the journal knows of the run cannot be taken over from
        chosen[kind] = (Trouble(kind, bounds.upload + 2),) if kind in ASLEEP else candidates[0]
    return list(dict.fromkeys(chosen.values()))


def _prove(campaign: Campaign, only: str | None) -> int:
    """Plant each bug, and conduct the schedules that must catch it."""
    chosen = {name: bug for name, bug in PLANTED.items() if only in (None, name)}
    began = time.monotonic()
    caught: dict[str, str] = {}
    texts = {name: bug.texts(campaign.bounds) for name, bug in chosen.items()}
    for rounds in range(max(map(len, texts.values()))):
        left = [name for name in chosen if name not in caught and len(texts[name]) > rounds]
        jobs = [Job(parse(texts[name][rounds]), f"p{rounds}-{number}", name) for number, name in enumerate(left)]
        for verdict in _conduct(campaign, jobs, quiet=True):
            if verdict["problems"] and verdict["plant"] not in caught:
                caught[verdict["plant"]] = f"{verdict['schedule']}: {verdict['problems'][0][:110]}"
    for name in chosen:
        print(f"  {name:32} {'caught by ' + caught[name] if name in caught else 'NOT CAUGHT'}")
    print(f"Caught {len(caught)} of {len(chosen)} planted bugs, in {time.monotonic() - began:.0f} s.", flush=True)
    return 0 if len(caught) == len(chosen) else 1


def _conduct(campaign: Campaign, jobs: Sequence[Job], *, quiet: bool = False) -> list[dict[str, Any]]:
    """Verdicts of all jobs, as the workers tell them."""
    task_read, task_write = os.pipe()
    told_read, told_write = os.pipe()
    workers = [
        _fork_worker(campaign, lane, jobs, task_read, task_write, told_write, told_read) for lane in campaign.lanes
    ]
    os.close(task_read)
    os.close(told_write)
    verdicts: list[dict[str, Any]] = []
    began = last = time.monotonic()
    try:
        # a pipe holds 65,536 bytes, four for each job
        for number in range(min(len(jobs), 15_000)):
            os.write(task_write, number.to_bytes(4, "little"))
        os.close(task_write)
        with os.fdopen(told_read, encoding="utf-8") as stream:
            for line in stream:
                verdicts.append(json.loads(line))
                if verdicts[-1]["problems"] and not quiet:
                    _tell(verdicts[-1])
                if not quiet and time.monotonic() - last > _EVERY_SECONDS:
                    last = time.monotonic()
                    _progress(verdicts, len(jobs), last - began)
    finally:
        broken = [pid for pid in workers if not _end(pid, gently=sys.exc_info()[0] is None)]
    if broken:
        raise RuntimeError(f"{len(broken)} of {len(workers)} workers broke, see above: this campaign says nothing.")
    return verdicts


def _progress(verdicts: Sequence[dict[str, Any]], count: int, seconds: float) -> None:
    failed = sum(bool(verdict["problems"]) for verdict in verdicts)
    left = seconds / len(verdicts) * (count - len(verdicts)) / 60
    print(f"{len(verdicts)} of {count}, {failed} failed, {seconds / 60:.1f} min, {left:.0f} min left", flush=True)


def _tell(verdict: dict[str, Any]) -> None:
    plant = f" --plant {verdict['plant']}" if verdict["plant"] else ""
    plant += " --rollback" if "--rollback" in sys.argv else ""
    print(f"FAILED {verdict['schedule']} ({', '.join(verdict['ends'])})")
    for problem in verdict["problems"][:4]:
        print(f"    {problem[-1200:]}")
    print(f"    repeat it: python -m tests.faults --repeat '{verdict['schedule']}'{plant}", flush=True)


def _end(pid: int, *, gently: bool) -> bool:
    """Wait for a worker, which is told to end unless it does by itself; whether it had come to its end."""
    try:
        if not gently:
            os.kill(pid, signal.SIGTERM)
        return os.waitpid(pid, 0)[1] == 0
    except (ProcessLookupError, ChildProcessError):
        return False


def _fork_worker(
    campaign: Campaign, lane: Lane, jobs: Sequence[Job], tasks: int, task_write: int, told: int, told_read: int
) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.close(task_write)
        os.close(told_read)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: os._exit(1))
        _work(campaign, lane, jobs, tasks, told)
        status = 0
    # nothing of the parent's may run in a worker; what broke it is shown
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def _work(campaign: Campaign, lane: Lane, jobs: Sequence[Job], tasks: int, told: int) -> None:
    while (raw := os.read(tasks, 4)) and time.monotonic() < campaign.deadline:
        job = jobs[int.from_bytes(raw, "little")]
        judge = Judge(lane, campaign.library, campaign.wanted, campaign.planted(job.plant))
        verdict = judge.conduct(job.schedule, job.tag)
        _say(told, job, verdict)


def _say(told: int, job: Job, verdict: Verdict) -> None:
    """One line, short enough for a pipe to take it whole."""
    line = {
        "schedule": shown(job.schedule),
        "plant": job.plant,
        "problems": [problem[-_LONGEST_TEXT // 4 :] for problem in verdict.problems[:3]],
        "ends": verdict.ends[:6],
        "met": verdict.met,
        "troubles": len(job.schedule),
        "seconds": round(verdict.seconds, 3),
    }
    os.write(told, json.dumps(line).encode() + b"\n")
