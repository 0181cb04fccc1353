"""Who may write: the lock that dies with its process, and the token in the journal."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect.exceptions import DerivaMLOwnershipError
from deriva_ml_prefect.journal import ownership
from deriva_ml_prefect.journal.executions import read_execution, unsent_steps, write_status
from deriva_ml_prefect.journal.store import Journal, open_journal
from deriva_ml_prefect.values.status import ExecutionStatus

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
