"""Conducts one schedule and says which promises did not hold."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from deriva_ml_prefect.catalog.connection import Catalog, keep_catalog
from deriva_ml_prefect.config.settings import load_settings
from deriva_ml_prefect.exceptions import DerivaMLException
from deriva_ml_prefect.journal import ownership
from deriva_ml_prefect.journal.store import close_journals
from deriva_ml_prefect.questions.verification.verify import verify_execution
from deriva_ml_prefect.values.status import ExecutionStatus, is_legal
from tests.faults import process
from tests.faults.picture import (
    ASSETS,
    Picture,
    differences,
    items_in,
    rows_without_objects,
    run_record,
    secrets_in,
    take_picture,
    wrong_bytes,
)
from tests.faults.process import SECRET, End, Plant
from tests.faults.program import ITEMS, content_of, prepare, write_missing
from tests.faults.schedule import ASLEEP, NEWER, RACE, Boundaries, Schedule, Trouble, shown
from tests.faults.world import Lane

_ON_THEIR_WAY = 2
"""Requests that write rows side by side with the one at which a process falls asleep."""
FILES = ("Image/left.png", "Image/right.png", "Mask/mask.png", "Execution_Metadata/metrics.jsonl")


@dataclass(frozen=True)
class Verdict:
    schedule: Schedule
    problems: tuple[str, ...]
    ends: tuple[str, ...]
    met: int
    """How many of the troubles came to pass, the first ones."""
    seconds: float


@dataclass
class Judge:
    """Conducts schedules in one lane, against the picture of a faultless run."""

    lane: Lane
    library: Path
    wanted: Picture
    plant: Plant | None = None
    ends: list[End] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    met: int = 0
    changed: bool = False

    def conduct(self, schedule: Schedule, tag: str) -> Verdict:
        """Run a schedule to its end and look whether everything is as promised."""
        began = time.monotonic()
        try:
            self._conduct(schedule, tag)
        except DerivaMLException as e:
            self.problems.append(f"the catalog could not be looked at: {type(e).__name__}: {e}")
        told = tuple(f"{end.how} {end.error}".strip() for end in self.ends)
        return Verdict(schedule, tuple(self.problems), told, self.met, time.monotonic() - began)

    def _conduct(self, schedule: Schedule, tag: str) -> None:
        self.lane.reset(tag)
        prepare(self.lane.inputs, self.lane.tag)
        self.ends, self.problems, self.met, self.changed = [], [], 0, False
        for trouble in schedule:
            self._meet(trouble)
            if not self.problems:
                self.problems += self._between()
        if not self.problems:
            self._recover()
        if not self.problems:
            self.problems += self._final(schedule)

    def _meet(self, trouble: Trouble) -> None:
        if trouble.kind == RACE:
            self._race()
        elif trouble.kind.startswith("change-"):
            self._change(trouble)
        elif trouble.kind == NEWER:
            self._make_journal_newer()
        elif trouble.kind in ASLEEP:
            self._sleep_and_wake(trouble)
        else:
            end = self._step(trouble)
            self.met += end.how == "killed" if trouble.kills else self._came_to_pass(trouble)

    def _came_to_pass(self, trouble: Trouble) -> bool:
        if trouble.at_proxy:
            return self.lane.proxy.report()[1] > 0
        return process.calls_of(self.lane, self.library)[trouble.kind.split("-")[1]] >= trouble.at

    def _step(self, trouble: Trouble | None) -> End:
        self._finish_own_files()
        end = process.proceed(self.lane, self.library, trouble, self.plant)
        self.ends.append(end)
        if end.how in ("unnamed", "hung"):
            self.problems.append(f"a process ended {end.how}: {end.error} {end.text}")
        if end.how == "killed" and not (trouble and trouble.kills):
            self.problems.append("a process was killed by nobody of the campaign")
        return end

    def _race(self) -> None:
        """Two processes take the run up at once: one does it, the other is told who does, or finds it done."""
        if not self._statuses():
            return
        self._finish_own_files()
        self.lane.proxy.order()
        both = [process.start(self.lane, self.library, None, self.plant, f"end-{i}.json") for i in range(2)]
        for started in both:
            process.let_go(started)
        ends = [process.finish(started) for started in both]
        self.ends += ends
        self.met += 1
        for end in ends:
            if "taken over" in end.text:
                self.problems.append(f"P6: one was at work, and the other took the run from it: {end.text}")
            # what killed code had registered and not written, a person writes who has read this: `_recover`
            if end.error == "DerivaMLUploadError" and "registered but never written" in end.text:
                continue
            if end.how != "done" and end.error != "DerivaMLOwnershipError":
                self.problems.append(f"of two at once one ended {end.how}: {end.error} {end.text}")

    def _sleep_and_wake(self, trouble: Trouble) -> None:
        """A machine sleeps at a request, another one that shares the folder finishes the run, and the first wakes up:
        it writes no rows, but those that were on their way when it fell asleep, which are there already."""
        lane, own = self.lane, self.plant
        sleeper = process.start(lane, self.library, None, process.on_machine("node1", own), "end-asleep.json")
        lane.proxy.order(kind=trouble.kind, at=trouble.at, pid=sleeper.pid)
        process.let_go(sleeper)
        slept = process.sleeps(sleeper)
        before = set(lane.proxy.report()[0])
        try:
            # without an entry in the journal nobody can know of the run
            if slept and self._falls_asleep_without_lock(sleeper) and self._statuses():
                self.met += 1
                for note in lane.workspace.glob("executions/*/owner.json"):
                    os.utime(note, (0, 0))
                self.plant = process.on_machine("node2", own)
                self._recover()
            lane.proxy.order()
        finally:
            if slept:
                process.wake(sleeper)
            end = process.finish(sleeper)
        self.ends.append(end)
        if end.how in ("unnamed", "hung"):
            self.problems.append(f"the sleeper ended {end.how}: {end.error} {end.text}")
        late = {asked for asked in lane.proxy.report()[0] if _writes_rows(asked)} - before
        if self.met and (len(late) > _ON_THEIR_WAY or not all("onconflict=skip" in asked for asked in late)):
            self.problems.append(f"P6: awake after the take-over, it still wrote: {sorted(late)}")

    def _falls_asleep_without_lock(self, sleeper: process.Started) -> bool:
        """A machine that sleeps in a commit keeps everybody from the journal: then it sleeps a little later."""
        for _ in range(20):
            if self._can_write_journal():
                return True
            process.wake(sleeper)
            time.sleep(0.003)
            process.send_to_sleep(sleeper)
        return False

    def _can_write_journal(self) -> bool:
        if not (self.lane.workspace / "journal.db").exists():
            return False
        try:
            with closing(sqlite3.connect(self.lane.workspace / "journal.db", timeout=0.1)) as connection:
                connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            return False
        return True

    def _make_journal_newer(self) -> None:
        """Promise P8: local state that this version does not know is refused, and not touched."""
        path = self.lane.workspace / "journal.db"
        if not path.exists():
            return
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            connection.execute(f"PRAGMA user_version={version + 90}")
            before = list(connection.iterdump())
        end = self._step(None)
        self.met += 1
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            if end.how != "named" or "newer version" not in end.text:
                self.problems.append(f"P8: a journal of version {version + 90} was not refused: {end.how} {end.text}")
            if list(connection.iterdump()) != before:
                self.problems.append("P8: a journal of a version that nobody knows was written")
            connection.execute(f"PRAGMA user_version={version}")

    def _change(self, trouble: Trouble) -> None:
        """Change a file behind the back of the run."""
        item = FILES[trouble.at]
        paths = [path for path in self.lane.workspace.glob(f"executions/*/staged/{item}") if os.path.lexists(path)]
        if trouble.kind == "change-source":
            paths = [path for path in [self.lane.inputs / item.rpartition("/")[2]] if path.exists()]
        self.met += bool(paths)
        for path in paths:
            self.changed = True
            match trouble.kind:
                case "change-truncate":
                    os.truncate(path, 7)
                case "change-rewrite" | "change-source":
                    path.write_bytes(path.read_bytes()[::-1])
                case "change-delete":
                    path.unlink()
                case "change-touch":
                    os.utime(path)

    def _recover(self) -> None:
        """Take the run up without further trouble, repairing what a person would have to repair."""
        for _ in range(3):
            end = self._step(None)
            if end.how == "done" or self.problems:
                break
            if not self._repair():
                self.problems.append(f"a recovery without any trouble ended {end.how}: {end.error} {end.text}")
                return
        else:
            self.problems.append(f"the run does not end: {self.ends[-1].error} {self.ends[-1].text}")
        if self.changed and not self.problems:
            self.problems += self._carries_what_is_there()

    def _finish_own_files(self) -> None:
        """What the user's code could not write whole, a person who saw its error writes before the run goes on."""
        for item in self._not_done():
            for path in self.lane.workspace.glob(f"executions/*/staged/{item}"):
                content = content_of(item, self.lane.tag)
                if not path.is_symlink() and path.read_bytes() != content and content.startswith(path.read_bytes()):
                    path.write_bytes(content)

    def _repair(self) -> bool:
        """Whether there was a file to write, or one that the campaign itself had changed, which is put right again."""
        written = write_missing(self.lane.workspace / "executions", self.lane.tag)
        repaired = bool(written)
        if self.changed:
            for item in FILES:
                content = content_of(item, self.lane.tag)
                source = self.lane.inputs / item.rpartition("/")[2]
                for path in self.lane.workspace.glob("executions/*/staged"):
                    self._put_right(path / item, source, content)
            repaired = True
        return repaired

    def _put_right(self, path: Path, source: Path, content: bytes) -> None:
        """A person registers the file again, which holds its right bytes again."""
        if source.exists():
            source.write_bytes(content)
        rid = path.parents[2].name
        table, _, name = str(path.relative_to(path.parents[1])).partition("/")
        known = {key for key, status, _ in self._files() if status != "uploaded"}
        if f"{table}/{name}" not in known:
            return
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.environ["DERIVA_ML_HOME"] = str(self.lane.home)
                from deriva_ml_prefect.ml.deriva_ml import DerivaML

                exe = DerivaML(self.lane.address.hostname, self.lane.address.catalog_id).resume_execution(rid)
                _register_again(exe, table, name, source, content)
                status = 0
            except DerivaMLException as e:
                (self.lane.folder / "repair.txt").write_text(str(e))
            finally:
                os._exit(status)
        os.waitpid(pid, 0)

    def _carries_what_is_there(self) -> list[str]:
        """A file that was changed before it was sent may go as it is by then, whole, or be refused; never a mixture."""
        return rows_without_objects(self.lane, take_picture(self.lane))

    def _notes(self) -> list[str]:
        return self.lane.notes.read_text().splitlines()

    def _not_done(self) -> list[str]:
        """What the user's code did not finish registering: it may be there or not."""
        done = {line.removeprefix("done ") for line in self._notes() if line.startswith("done ")}
        return [item for item in ITEMS if item not in done]

    def _statuses(self) -> list[tuple[str, str]]:
        """(RID, status) of the status history in the journal, in order."""
        return self._query("SELECT execution_rid, status FROM execution_state__status_history ORDER BY number")

    def _files(self) -> list[tuple[str, str, str]]:
        return self._query("SELECT key, status, path FROM execution_state__assets")

    def _query(self, text: str) -> list[Any]:
        path = self.lane.workspace / "journal.db"
        if not path.exists():
            return []
        with closing(sqlite3.connect(path)) as connection:
            if not connection.execute("PRAGMA user_version").fetchone()[0]:
                return []
            return list(connection.execute(text))

    def _between(self) -> list[str]:
        """What must hold at every moment: P5, P3, P4, and that nothing staged has gone."""
        picture = take_picture(self.lane, tables=("Execution", *ASSETS))
        if any(row["Status"] == "Uploaded" for row in picture.executions):
            picture = take_picture(self.lane)
        problems = rows_without_objects(self.lane, picture)
        problems += self._still_owned()
        if len(picture.executions) > 1:
            problems.append(f"P2: there are {len(picture.executions)} executions")
        if self._notes().count("code") > 1:
            problems.append("P4: the user's code ran again")
        for row in picture.executions:
            if row["Status"] == "Uploaded":
                told = differences(picture, self.wanted, absent=self._not_done())
                problems += [f"P3: Uploaded, and {difference}" for difference in told if not self.changed]
        if not self.changed:
            problems += [
                f"P1: {key} is {status}, and its file {path} is gone"
                for key, status, path in self._files()
                if status != "uploaded"
                and not Path(path).exists()
                and f"done {key}" in self._notes()
                and not any(row["Status"] == "Uploaded" for row in picture.executions)
            ]
        return problems

    def _still_owned(self) -> list[str]:
        """Promise P6: no process is left, so none may be shown as alive. On another machine only signs tell."""
        owners = [(folder.name, ownership.owner_of(folder)) for folder in self.lane.workspace.glob("executions/*")]
        return [
            f"P6: {rid} has a dead owner that is shown as alive"
            for rid, owner in owners
            if owner and owner.alive and not owner.elsewhere
        ]

    def _final(self, schedule: Schedule) -> list[str]:
        """What must hold at the end."""
        picture = take_picture(self.lane)
        problems = []
        if self._notes().count("code") > 1:
            problems.append("P4: the user's code ran again")
        statuses = [row["Status"] for row in picture.executions]
        if statuses != ["Uploaded"]:
            problems.append(f"P3: the executions are {statuses}, not one that is Uploaded")
        absent = self._not_done()
        if self.changed:
            # what was changed went as it was by then: rows and objects agree, and nothing else is missing
            lost = [item for item in ITEMS if item not in items_in(picture) and item not in absent]
            problems += [f"P1: {item} is lost" for item in lost]
        else:
            problems += differences(picture, self.wanted, absent=absent)
            problems += wrong_bytes(self.lane, picture)
        problems += rows_without_objects(self.lane, picture)
        problems += secrets_in(self.lane, picture, (SECRET, self.lane.server.token))
        problems += self._history(picture)
        problems += self._verified(picture)
        # a kill or a dead disk may come before the end of the code is recorded
        if "code ended" in self._notes() and not any(trouble.kills or trouble.on_disk for trouble in schedule):
            record = run_record(self.lane, picture)
            if record is None or record["outcome"] != "completed":
                problems.append(f"the record of the run says {record and record['outcome']}, and its code had ended")
        return problems

    def _verified(self, picture: Picture) -> list[str]:
        """What the package's own verification finds, which has the receipts. The proxy does not count it."""
        os.environ["DERIVA_ML_HOME"] = str(self.lane.home)
        past = self.lane.catalog
        keep_catalog(Catalog(self.lane.address, client=past.client, base_url=past.base_url, settings=load_settings()))
        told = []
        try:
            for row in picture.executions:
                found = verify_execution(self.lane.address, row["RID"])
                told += [f"verify: {item}" for item in (*found.differences, *found.unchecked)]
        finally:
            # the next schedule has another journal under this name
            close_journals()
        return told[:5]

    def _history(self, picture: Picture) -> list[str]:
        told = []
        histories: dict[str, list[str]] = {}
        for rid, status in self._statuses():
            histories.setdefault(rid, ["Created"]).append(status)
        record = run_record(self.lane, picture)
        recorded = [item["status"] for item in record["status_history"]] if record else []
        for steps in (*histories.values(), recorded):
            told += [
                f"the status went from {before} to {after}, which is no edge"
                for before, after in pairwise(steps)
                if not is_legal(ExecutionStatus(before), ExecutionStatus(after))
            ]
        if not recorded:
            told.append("the record of the run has no status history")
        return told


def _writes_rows(asked: str) -> bool:
    """Whether a request (`METHOD path`) writes rows; a lease of RIDs writes none of a user's."""
    method, _, path = asked.partition(" ")
    return method != "GET" and "/ermrest/" in path and "ERMrest_RID_Lease" not in path


def _register_again(exe: object, table: str, name: str, source: Path, content: bytes) -> None:
    from deriva_ml_prefect.ml.execution import Execution

    assert isinstance(exe, Execution)
    if table == "Execution_Metadata":
        exe.metrics_file(name).write_bytes(content)
        return
    if name == "right.png":
        exe.asset_file_path(table, name, description="of four chunks").write_bytes(content)
    elif name == "left.png":
        exe.asset_file_path(table, source, copy_file=True, metadata={"Camera": "A"}, description="left")
    else:
        exe.asset_file_path(table, source)


def measure(judge: Judge) -> tuple[Picture, Boundaries]:
    """A faultless run, and a recovery of one that was killed when its code had ended: what they hold and count."""
    lane, library = judge.lane, judge.library
    verdict = judge.conduct((), "reference")
    if judge.ends[-1].how != "done":
        raise RuntimeError(
            f"The faultless run ended {judge.ends[-1].how}: {judge.ends[-1].error} {judge.ends[-1].text}"
        )
    asked, calls = tuple(lane.proxy.report()[0]), process.calls_of(lane, library)
    wanted = take_picture(lane)
    missing = set(ITEMS) - items_in(wanted)
    if missing or not verdict.ends:
        raise RuntimeError(f"The faultless run lacks {missing}.")
    for at in range(len(asked) // 3, len(asked)):
        if _killed_after_code(judge, at):
            break
    process.proceed(lane, library, None, judge.plant)
    seen, _ = lane.proxy.report()
    return wanted, Boundaries(asked, len(seen), calls, process.calls_of(lane, library))


def _killed_after_code(judge: Judge, at: int) -> bool:
    """Kill a run when it sends a request; whether its code had ended by then."""
    lane = judge.lane
    lane.reset(f"reference-{at}")
    prepare(lane.inputs, lane.tag)
    process.proceed(lane, judge.library, Trouble("kill-sent", at), judge.plant)
    return "code ended" in lane.notes.read_text().splitlines()


def problems_of(verdicts: Sequence[Verdict]) -> list[str]:
    return [f"{shown(verdict.schedule)}: {'; '.join(verdict.problems)}" for verdict in verdicts if verdict.problems]
