"""The layer below file calls does what it says: records, loses, counts, fails, kills; and catches a missing fsync."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from tests.faults.shim import Fail, Kill, Layer, Recording, begin, build, count, environment

ATOMIC = """
import os
def put(name, text, sync_file=True, sync_folder=True):
    with open("." + name, "w") as out:
        out.write(text)
        out.flush()
        sync_file and os.fsync(out.fileno())
    os.replace("." + name, name)
    folder = os.open(".", os.O_RDONLY)
    sync_folder and os.fsync(folder)
    os.close(folder)
"""
DATABASE = """
    import sqlite3, sys
    db = sqlite3.connect("a.db", isolation_level=None)
    db.execute("PRAGMA journal_mode=" + sys.argv[1])
    db.execute("PRAGMA synchronous=" + sys.argv[2])
    db.execute("CREATE TABLE IF NOT EXISTS t (x)")
    for number in range(5):
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO t VALUES (?)", (str(number) * 3000,))
        db.execute("COMMIT")
        print(number, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def layer(library: Path, tmp_path: Path) -> Layer:
    (tmp_path / "data").mkdir()
    return Layer(library, tmp_path / "data", tmp_path / "state", tmp_path / "log")


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run() -> Run:
    def started(layer: Layer, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program), *arguments],
            env={**os.environ, **environment(layer)},
            cwd=layer.root,
            capture_output=True,
            text=True,
            input="",
            timeout=30,
        )

    return started


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def recording_of(layer: Layer) -> Recording:
    assert layer.log is not None
    return begin(layer.root, layer.log)


def test_what_is_synced_survives_and_what_is_not_does_not(layer: Layer, run: Run, tmp_path: Path) -> None:
    (layer.root / "before").write_text("from before")
    recording = recording_of(layer)
    done = run(
        layer,
        ATOMIC
        + """
put("safe", "bytes")
put("no-bytes", "bytes", sync_file=False)
os.mkdir("sub")
open("before", "a").write(" and later")
put("no-name", "bytes", sync_folder=False)
""",
    )
    assert done.returncode == 0, done.stderr
    assert contents(layer.root)["before"] == "from before and later"
    assert set(contents(layer.root)) == {"safe", "no-bytes", "no-name", "before"}
    after = recording.replay(tmp_path / "after")
    assert contents(after) == {"safe": "bytes", "no-bytes": "", "before": "from before"}
    assert not (after / "sub").exists()


def test_a_mark_is_a_moment_and_random_remains_are_some_of_what_was_not_synced(
    layer: Layer, run: Run, tmp_path: Path
) -> None:
    recording = recording_of(layer)
    assert run(layer, ATOMIC + "put('a', 'first'); put('a', 'second', sync_folder=False)").returncode == 0
    seen = [contents(recording.replay(tmp_path / f"at-{mark}", mark)).get("a", "") for mark in recording.marks()]
    assert seen[-1] == "first"
    assert set(seen) == {"", "first"}
    remains = {contents(recording.replay(tmp_path / f"seed-{seed}", keep=Random(seed)))["a"] for seed in range(20)}
    assert remains == {"first", "second"}


def test_names_of_folders_links_and_truncated_files(layer: Layer, run: Run, tmp_path: Path) -> None:
    recording = recording_of(layer)
    program = """
    import os, shutil
    def sync(path):
        handle = os.open(path, os.O_RDONLY); os.fsync(handle); os.close(handle)
    os.makedirs("one/two")
    with open("one/two/file", "wb") as out:
        out.write(b"0123456789"); out.flush(); os.ftruncate(out.fileno(), 4); os.fsync(out.fileno())
    os.link("one/two/file", "one/two/same"); os.symlink("file", "one/two/soft")
    shutil.copyfile("one/two/file", "one/two/copy"); sync("one/two/copy")
    for path in ("one/two", "one", "."):
        sync(path)
    os.rename("one/two", "one/three"); sync("one")
    shutil.rmtree("one/three")
    """
    assert run(layer, program).returncode == 0
    assert contents(layer.root) == {}
    after = recording.replay(tmp_path / "after")
    names = ("copy", "file", "same", "soft")
    assert contents(after) == {f"one/three/{name}": "0123" for name in names}
    assert (after / "one/three/soft").is_symlink()


@pytest.mark.parametrize(("mode", "sync"), [("WAL", "FULL"), ("DELETE", "EXTRA")])
def test_a_database_keeps_its_commits(layer: Layer, run: Run, tmp_path: Path, mode: str, sync: str) -> None:
    recording = recording_of(layer)
    done = run(layer, DATABASE, mode, sync)
    assert done.stdout.split() == ["0", "1", "2", "3", "4"], done.stderr
    rows = [_rows(recording.replay(tmp_path / f"at-{mark}", mark)) for mark in recording.marks()]
    assert rows == sorted(rows)
    assert set(rows) == {0, 1, 2, 3, 4, 5}
    assert count(layer)["commit"] >= 6  # its table and five rows; making the file, in DELETE


def test_a_rollback_journal_whose_removal_is_not_synced_undoes_the_last_commit(
    layer: Layer, run: Run, tmp_path: Path
) -> None:
    recording = recording_of(layer)
    assert run(layer, DATABASE, "DELETE", "FULL").returncode == 0
    assert _rows(recording.replay(tmp_path / "after")) == 4  # SQLite's manual: that is what EXTRA is for


def test_a_database_without_sync_is_caught(layer: Layer, run: Run, tmp_path: Path) -> None:
    recording = recording_of(layer)
    assert run(layer, DATABASE, "WAL", "OFF").returncode == 0
    assert _rows(recording.replay(tmp_path / "after")) == 0
    dropping = replace(layer, drop_fsync=0)
    again = recording_of(layer)
    assert run(dropping, DATABASE, "WAL", "FULL").returncode == 0
    assert count(dropping)["fsync"] > 4
    assert _rows(again.replay(tmp_path / "dropped")) == 5  # those of the first program
    assert _rows(layer.root) == 10


def test_one_dropped_fsync_is_caught(layer: Layer, run: Run, tmp_path: Path) -> None:
    lost = []
    for number in (1, 2):
        one = replace(layer, drop_fsync=number)
        recording = recording_of(one)
        assert run(one, ATOMIC + f"put('a{number}', 'bytes')").returncode == 0
        assert count(one)["fsync"] == 2
        lost.append(contents(recording.replay(tmp_path / f"after-{number}")).get(f"a{number}"))
    assert lost == ["", None]  # of the file: no bytes; of the folder: no name


@pytest.mark.parametrize(
    ("kind", "error", "left"),
    [
        ("open", errno.ENOSPC, []),
        ("write", errno.ENOSPC, [".b"]),
        ("fsync", errno.EIO, [".b"]),
        ("rename", errno.EIO, [".b"]),
    ],
)
def test_the_nth_call_fails_once_or_from_then_on(
    layer: Layer, run: Run, kind: str, error: int, left: list[str]
) -> None:
    program = (
        ATOMIC
        + """
import sys
for name in "abcd":
    try:
        put(name, "bytes")
    except OSError as failure:
        print(name, failure.errno)
"""
    )
    number = 3 if kind == "fsync" else 2
    failing = replace(layer, log=None, fail=Fail(kind, number, error))
    done = run(failing, program)
    assert done.stdout.split("\n") == [f"b {error}", ""], done.stderr
    assert sorted(contents(layer.root)) == sorted(["a", "c", "d", *left])
    lasting = replace(failing, fail=Fail(kind, number, error, lasting=True))
    assert run(lasting, program).stdout.split("\n") == [*(f"{name} {error}" for name in "bcd"), ""]


@pytest.mark.parametrize("kind", ["fsync", "rename", "commit"])
def test_a_kill_comes_right_before_or_right_after(layer: Layer, run: Run, kind: str) -> None:
    if kind == "commit":
        for after, rows in ((False, 0), (True, 1)):
            (layer.root / "a.db").unlink(missing_ok=True)
            done = run(replace(layer, log=None, kill=Kill("commit", 3, after=after)), DATABASE, "WAL", "FULL")
            assert done.returncode == -signal.SIGKILL
            assert _rows(layer.root) == rows  # the commits before: the file, the table
        return
    seen = []
    for after in (False, True):
        for path in layer.root.iterdir():
            path.unlink()
        done = run(replace(layer, log=None, kill=Kill(kind, 1, after=after)), ATOMIC + "put('a', 'bytes')")
        assert done.returncode == -signal.SIGKILL
        seen.append(sorted(contents(layer.root)))
    assert seen == ([[".a"], [".a"]] if kind == "fsync" else [[".a"], ["a"]])


def test_only_some_paths_are_counted_and_nothing_elsewhere(layer: Layer, run: Run, tmp_path: Path) -> None:
    program = "import os, sys\nfor name in sys.argv[1:]:\n os.write(os.open(name, os.O_CREAT | os.O_WRONLY), b'x')"
    names = ("a.log", "b.txt", str(tmp_path / "elsewhere"))
    assert run(layer, program, *names).returncode == 0
    assert (count(layer)["open"], count(layer)["write"]) == (2, 2)
    some = replace(layer, only="*.txt", fail=Fail("write", 1))
    done = run(some, program, *names)
    assert "No space left" in done.stderr
    assert count(some)["write"] == 1
    assert (tmp_path / "elsewhere").exists()


def test_a_layer_that_no_program_ran_with_has_no_counts(layer: Layer) -> None:
    environment(layer)
    with pytest.raises(ValueError, match="No program ran"):
        count(layer)


def _rows(folder: Path) -> int:
    """The rows of the database in a folder, -1 if it has none; SQLite repairs what it finds."""
    if not (folder / "a.db").exists():
        return 0
    with closing(sqlite3.connect(folder / "a.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 't'").fetchone():
            return 0
        return int(connection.execute("SELECT count(*) FROM t").fetchone()[0])
