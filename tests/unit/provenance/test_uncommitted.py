"""What no commit has: said truthfully in every kind of working tree, and soon, however large that is."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from deriva_ml_prefect.provenance import uncommitted
from deriva_ml_prefect.provenance.git import UNKNOWN, code_of_file
from deriva_ml_prefect.provenance.scrub import make_scrubber

SCRUBBER = make_scrubber(b"k" * 32, {})
SECONDS = 5.0
"""Of processors. What is read of a tree is bounded; a machine that has much else to do counts up to twice as many."""


def git(folder: Path, *arguments: str) -> None:
    options = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "protocol.file.allow=always")
    subprocess.run(["git", *options, *arguments], cwd=folder, check=True, capture_output=True)


def make_repo(folder: Path) -> Path:
    folder.mkdir()
    git(folder, "init", "-q")
    git(folder, "remote", "add", "origin", "https://git.example.org/lab/code.git")
    (folder / "train.py").write_text("x = 1\n")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return folder.resolve()


def look(file: Path) -> str | None:
    """The document for a file that runs, made in bounded time: that of processors, since others may use them too."""
    began = sum(os.times()[:4])
    facts = code_of_file(file)
    document = uncommitted.uncommitted_code(facts.git_root, facts.url, SCRUBBER)
    assert sum(os.times()[:4]) - began < SECONDS
    return document


def test_clean_tree_has_no_document(tmp_path: Path) -> None:
    assert look(make_repo(tmp_path / "repo") / "train.py") is None


def test_ten_thousand_untracked_files(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo")
    for number in range(10_000):
        folder = repo / f"d{number % 100}"
        folder.mkdir(exist_ok=True)
        (folder / f"{number}.txt").touch()
    document = look(repo / "train.py")
    assert document is not None
    assert "# ?? d0/0.txt\n" in document
    assert "# and 9800 more\n" in document


def test_large_tracked_file_is_named_and_not_read(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo")
    weights = repo / "weights [1].bin"
    weights.write_bytes(b"\0" * 1000)
    git(repo, "add", ".")
    git(repo, "commit", "-q", "-m", "weights")
    with weights.open("wb") as stream:
        stream.truncate(4_000_000_000)
    (repo / "train.py").write_text("x = 2\n")
    document = look(repo / "train.py")
    assert document is not None
    assert "# left out, 4000000000 bytes: weights [1].bin\n" in document
    assert "+x = 2\n" in document


def test_binary_file_is_named(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo")
    (repo / "table.bin").write_bytes(b"\0\1")
    git(repo, "add", ".")
    git(repo, "commit", "-q", "-m", "table")
    (repo / "table.bin").write_bytes(b"\0\2\3")
    document = look(repo / "train.py")
    assert document is not None
    assert "Binary files a/table.bin and b/table.bin differ" in document


def test_detached_worktree(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo")
    git(repo, "worktree", "add", "--detach", str(tmp_path / "other"))
    (tmp_path / "other" / "train.py").write_text("x = 3\n")
    document = look(tmp_path / "other" / "train.py")
    assert document is not None
    assert "+x = 3\n" in document
    assert look(repo / "train.py") is None


def test_changes_inside_a_submodule(tmp_path: Path) -> None:
    inner, repo = make_repo(tmp_path / "inner"), make_repo(tmp_path / "repo")
    git(repo, "submodule", "add", str(inner), "lib")
    git(repo, "commit", "-q", "-m", "lib")
    assert look(repo / "train.py") is None
    (repo / "lib" / "train.py").write_text("x = 77\n")
    document = look(repo / "train.py")
    assert document is not None
    assert "# M lib/train.py\n" in document.replace("#  M", "# M")
    assert "+x = 77\n" in document
    document = look(repo / "lib" / "train.py")
    assert document is not None
    assert "+x = 77\n" in document


def test_odd_names_are_one_line_each(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo")
    (repo / 'a"b\n# c.py').touch()
    git(repo, "mv", "train.py", "run.py")
    facts = code_of_file(repo / "run.py")
    assert not facts.committed
    assert set(facts.changes) == {"R  run.py", '?? a"b\n# c.py'}
    document = look(repo / "run.py")
    assert document is not None
    assert '# ?? a"b\\n# c.py\n' in document


def test_script_without_a_repository(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("z = 1\n")
    document = look(tmp_path / "a.py")
    assert document is not None
    assert "not in a Git repository" in document
    assert "+z = 1\n" in document


def test_git_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = make_repo(tmp_path / "repo")
    monkeypatch.setenv("PATH", str(tmp_path))
    facts = code_of_file(repo / "train.py")
    assert not facts.committed
    document = look(repo / "train.py")
    assert document is not None
    assert "Git is not installed" in document


def test_git_that_hangs_does_not_make_the_tree_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = make_repo(tmp_path / "repo")
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text(
        "#!/bin/sh\n"
        'case "$*" in *status*) exit 128;; *diff*) echo "+half"; exec sleep 60;; esac\n'
        'PATH="$REAL_PATH" exec git "$@"\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("REAL_PATH", os.environ["PATH"])
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(uncommitted, "SECONDS", 0.3)
    facts = code_of_file(repo / "train.py")
    assert (facts.dirty, facts.committed, facts.changes) == (True, False, (f"?! {UNKNOWN}",))
    document = look(repo / "train.py")
    assert document is not None
    assert "not known" in document
    assert "the diff is not whole" in document


def test_long_diff_is_cut_between_lines(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo")
    for number in range(300):
        (repo / f"m{number}.py").write_text("a\n" * 2000)
    git(repo, "add", ".")
    git(repo, "commit", "-q", "-m", "many")
    for number in range(300):
        (repo / f"m{number}.py").write_text("password = 'hunter2hunter2'\n" * 2000)
    document = look(repo / "train.py")
    assert document is not None
    assert document.endswith(f"# cut here: the diff has more than {uncommitted.LIMIT} bytes\n")
    assert "hunter2" not in document
