"""Who may write: the lock that dies with its process, and the token in the journal."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect.exceptions import DerivaMLConfigurationError, DerivaMLOwnershipError
from deriva_ml_prefect.journal import ownership
from deriva_ml_prefect.journal.effects import mark_delivered, plan_effects
from deriva_ml_prefect.journal.executions import (
    adopt_status,
    mark_sent,
    mark_user_code,
    merge_facts,
    read_execution,
    unsent_steps,
    write_status,
)
from deriva_ml_prefect.journal.store import Journal, open_journal
from deriva_ml_prefect.values.effects import Effect, Order, Receipt
from deriva_ml_prefect.values.status import ExecutionStatus, Outcome

Fork = Callable[[Callable[[], None]], Any]


def test_taking_twice_gives_the_same_token(journal: Journal, tmp_path: Path) -> None:
    token = ownership.take(journal, tmp_path / "1-A", "1-A")
    assert ownership.take(journal, tmp_path / "1-A", "1-A") == token
    assert ownership.owns(tmp_path / "1-A")
    owner = ownership.owner_of(tmp_path / "1-A")
    assert owner is not None
    assert (owner.token, owner.pid, owner.alive) == (token, os.getpid(), True)
    ownership.release(tmp_path / "1-A")
    owner = ownership.owner_of(tmp_path / "1-A")
    assert owner is not None
    assert not owner.alive
    assert not ownership.owns(tmp_path / "1-A")
    assert ownership.take(journal, tmp_path / "1-A", "1-A") != token
    ownership.release(tmp_path / "1-A")


def test_nobody_owns_what_was_never_taken(tmp_path: Path) -> None:
    assert ownership.owner_of(tmp_path) is None
    ownership.release(tmp_path)


def test_owner_lives_as_long_as_its_process(journal: Journal, tmp_path: Path, fork: Fork) -> None:
    folder, ready = tmp_path / "1-A", tmp_path / "ready"

    def child() -> None:
        ownership.take(open_journal(journal.workspace), folder, "1-A")
        ready.touch()
        time.sleep(60)

    process = fork(child)
    while not ready.exists():
        time.sleep(0.01)
    owner = ownership.owner_of(folder)
    assert owner is not None
    assert (owner.pid, owner.alive) == (process.pid, True)
    with pytest.raises(DerivaMLOwnershipError, match=f"process {process.pid} on .* is alive"):
        ownership.take(journal, folder, "1-A")
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    owner = ownership.owner_of(folder)
    assert owner is not None
    assert not owner.alive
    assert ownership.take(journal, folder, "1-A")
    ownership.release(folder)


def test_forked_child_does_not_inherit(journal: Journal, tmp_path: Path, fork: Fork) -> None:
    folder = tmp_path / "1-A"
    ownership.take(journal, folder, "1-A")

    def child() -> None:
        assert not ownership.owns(folder)
        with pytest.raises(DerivaMLOwnershipError):
            ownership.take(open_journal(journal.workspace), folder, "1-A")

    assert fork(child).wait() == 0
    assert ownership.owns(folder)
    owner = ownership.owner_of(folder)
    assert owner is not None
    assert owner.alive
    ownership.release(folder)


def test_wrong_token_writes_nothing(journal: Journal) -> None:
    with pytest.raises(DerivaMLOwnershipError, match="1-A has been taken over"):
        write_status(journal, "1-A", ExecutionStatus.Running, None, owner="stale")
    assert unsent_steps(journal, "1-A") == []
    entry = read_execution(journal, "1-A")
    assert entry is not None
    assert entry.status is ExecutionStatus.Created


def _says(body: Callable[[], object]) -> str:
    try:
        body()
    except DerivaMLOwnershipError as e:
        return str(e)
    return "done"


def test_lock_that_the_own_process_lost_is_taken_again(journal: Journal, tmp_path: Path, fork: Fork) -> None:
    """Closing any descriptor of the file gives a POSIX lock back: a program that copies the folder does it."""
    folder = tmp_path / "1-A"
    ownership.take(journal, folder, "1-A")
    (folder / ownership.LOCK_NAME).read_bytes()
    ownership.check_not_taken_over(journal, folder, "1-A")

    def other() -> None:
        assert "alive" in _says(lambda: ownership.take(open_journal(journal.workspace), folder, "1-A"))

    assert fork(other).wait() == 0
    ownership.release(folder)


def test_lock_that_was_lost_and_taken_is_another_owners(journal: Journal, tmp_path: Path, fork: Fork) -> None:
    folder, ready, go_on = tmp_path / "1-A", tmp_path / "ready", tmp_path / "go on"
    ownership.take(journal, folder, "1-A")
    (folder / ownership.LOCK_NAME).read_bytes()

    def other() -> None:
        ownership.take(open_journal(journal.workspace), folder, "1-A")
        ready.touch()
        while not go_on.exists():
            time.sleep(0.01)

    process = fork(other)
    while not ready.exists():
        time.sleep(0.01)
    assert "taken over" in _says(lambda: ownership.check_not_taken_over(journal, folder, "1-A"))
    with pytest.raises(DerivaMLOwnershipError, match="taken over"):
        merge_facts(journal, "1-A", {"late": True})
    go_on.touch()
    assert process.wait() == 0
    ownership.release(folder)
    owner = ownership.owner_of(folder)
    assert owner is not None
    assert owner.pid == process.pid  # the note is the later owner's: giving back what was lost does not touch it


def test_deleted_lock_file_makes_no_second_owner(journal: Journal, tmp_path: Path, fork: Fork) -> None:
    """It comes back at the owner's next write or sign of life; who was quicker is the owner, and the first is told."""
    folder = tmp_path / "1-A"
    ownership.take(journal, folder, "1-A")
    (folder / ownership.LOCK_NAME).unlink()
    ownership.check_not_taken_over(journal, folder, "1-A")

    def other() -> None:
        assert "alive" in _says(lambda: ownership.take(open_journal(journal.workspace), folder, "1-A"))

    assert fork(other).wait() == 0
    (folder / ownership.LOCK_NAME).unlink()
    taking = fork(lambda: ownership.take(open_journal(journal.workspace), folder, "1-A") and None)
    assert taking.wait() == 0
    assert "taken over" in _says(lambda: ownership.check_not_taken_over(journal, folder, "1-A"))
    ownership.release(folder)


def test_lock_on_a_file_that_was_deleted_meanwhile_does_not_count(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, lock = tmp_path / "1-A", ownership.fcntl.lockf
    deleted: list[int] = []

    def late(descriptor: int, how: int) -> None:
        lock(descriptor, how)
        if not deleted:
            (folder / ownership.LOCK_NAME).unlink()
            deleted.append(descriptor)

    monkeypatch.setattr(ownership.fcntl, "lockf", late)
    ownership.take(journal, folder, "1-A")
    assert (folder / ownership.LOCK_NAME).exists()
    assert ownership.owns(folder)
    ownership.release(folder)


def test_what_could_not_be_taken_whole_is_not_taken(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk while the owner is noted: the next attempt is one from the start."""
    folder = tmp_path / "1-A"
    replace = Path.replace

    def full(path: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(DerivaMLConfigurationError, match="did not take a write"):
        ownership.take(journal, folder, "1-A")
    monkeypatch.setattr(Path, "replace", replace)
    assert not ownership.owns(folder)
    assert [path.name for path in folder.iterdir()] == [ownership.LOCK_NAME]
    token = ownership.take(journal, folder, "1-A")
    write_status(journal, "1-A", ExecutionStatus.Running, None, owner=token)
    ownership.check_not_taken_over(journal, folder, "1-A")
    ownership.release(folder)


def test_number_of_a_dead_process_that_another_one_has_by_now_is_no_life(journal: Journal, tmp_path: Path) -> None:
    """The note's process number is this very test's: only the lock says who lives."""
    folder = tmp_path / "1-A"
    ownership.take(journal, folder, "1-A")
    note = (folder / ownership.NOTE_NAME).read_text()
    ownership.release(folder)
    (folder / ownership.NOTE_NAME).write_text(note)
    owner = ownership.owner_of(folder)
    assert owner is not None
    assert (owner.pid, owner.alive) == (os.getpid(), False)
    assert ownership.take(journal, folder, "1-A") != owner.token
    ownership.release(folder)


def test_clock_of_the_machine_does_not_count_for_signs_of_life(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signs are as old as the file server says; this machine's clock is ten minutes fast, then ten slow."""
    folder = tmp_path / "1-A"
    ownership.take(journal, folder, "1-A", heartbeat=60)
    note = json.loads((folder / ownership.NOTE_NAME).read_text())
    ownership.release(folder)
    (folder / ownership.NOTE_NAME).write_text(json.dumps({**note, "host": "node17", "boot": "another"}))
    present = time.time
    for skew in (600, -600):
        monkeypatch.setattr(time, "time", lambda skew=skew: present() + skew)
        owner = ownership.owner_of(folder)
        assert owner is not None
        assert owner.alive
    monkeypatch.undo()
    os.utime(folder / ownership.NOTE_NAME, (present() - 181, present() - 181))
    owner = ownership.owner_of(folder)
    assert owner is not None
    assert not owner.alive


def test_every_write_of_an_owner_that_is_none_any_more_is_refused(journal: Journal, tmp_path: Path) -> None:
    """Looked at inside the transaction of the write, so there is no moment in between; other executions go on."""
    folder = tmp_path / "1-A"
    ownership.take(journal, folder, "1-A")
    merge_facts(journal, "1-A", {"mine": True})
    with journal.transaction():
        journal.connection.execute("UPDATE execution_state__executions SET owner = 'theirs' WHERE rid = '1-A'")
    receipt = Receipt("bytes/x", {"url": "/hatrac/x:1"})
    for attempt in (
        lambda: merge_facts(journal, "1-A", {"late": True}),
        lambda: mark_sent(journal, "1-A", 1, "Running"),
        lambda: adopt_status(journal, "1-A", ExecutionStatus.Failed, None, "Failed"),
        lambda: mark_user_code(journal, "1-A", "finished", Outcome.completed),
        lambda: mark_delivered(journal, "1-A", [receipt]),
        lambda: plan_effects(journal, "1-A", [Effect("bytes/x", Order.bytes, {"kind": "bytes"}, 1)]),
    ):
        with pytest.raises(DerivaMLOwnershipError, match="taken over"):
            attempt()
    entry = read_execution(journal, "1-A")
    assert entry is not None
    assert (entry.facts, entry.status, entry.user_code) == ({"mine": True}, ExecutionStatus.Created, "idle")
    merge_facts(journal, "1-B", {"other": True})
    ownership.release(folder)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere looking takes the lock for a moment")
def test_looking_takes_nothing(journal: Journal, tmp_path: Path, fork: Fork, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead run that others look at all the time is dead each time, and can be taken at any moment."""
    folder, taken, done = tmp_path / "1-A", tmp_path / "taken", tmp_path / "done"
    ownership.take(journal, folder, "1-A")
    ownership.release(folder)

    def look() -> None:
        while not done.exists():
            owner = ownership.owner_of(folder)
            assert owner is not None
            assert taken.exists() or not owner.alive

    lookers = [fork(look) for _ in range(3)]
    monkeypatch.setattr(ownership, "_PAUSES", (0,))
    for _ in range(200):
        owner = ownership.owner_of(folder)
        assert owner is not None
        assert not owner.alive
    taken.touch()
    for _ in range(50):
        ownership.take(journal, folder, "1-A")
        ownership.release(folder)
    done.touch()
    assert [looker.wait() for looker in lookers] == [0, 0, 0]


def test_disk_that_does_not_take_the_lock_file_has_a_name(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by the campaign as kill-sent@20+EIO-open@3."""

    opened = os.open

    def broken(path: Path, *rest: Any) -> int:
        if path.name == ownership.LOCK_NAME:
            raise OSError(errno.EIO, "Input/output error", str(path))
        return opened(path, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", broken)
        with pytest.raises(DerivaMLConfigurationError, match=r"The disk did not take a write to .*owner\.lock"):
            ownership.take(journal, tmp_path / "1-A", "1-A")
    ownership.take(journal, tmp_path / "1-A", "1-A")
    (tmp_path / "1-A" / ownership.LOCK_NAME).unlink()
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", broken)
        with pytest.raises(DerivaMLConfigurationError, match=r"owner\.lock"):
            ownership.check_not_taken_over(journal, tmp_path / "1-A", "1-A")
    ownership.check_not_taken_over(journal, tmp_path / "1-A", "1-A")
    ownership.release(tmp_path / "1-A")
