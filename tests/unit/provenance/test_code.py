"""Which code runs, asked of real Git repositories."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deriva_ml_prefect.exceptions import DerivaMLWorkflowError
from deriva_ml_prefect.provenance.caller import calling_file, code_file
from deriva_ml_prefect.provenance.code import code_of, code_of_function, find_code
from deriva_ml_prefect.provenance.git import blob_checksum, code_of_file, text_checksum
from deriva_ml_prefect.provenance.lockfile import find_lockfile
from deriva_ml_prefect.provenance.notebook import notebook_checksum


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    return subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    root = tmp_path / "repo"
    (root / "src").mkdir(parents=True)
    (root / "src" / "train.py").write_text("print('train')\n")
    (root / "uv.lock").write_text("version = 1\n")
    git(root, "init", "-q")
    git(root, "remote", "add", "origin", "https://alice:ghp_token@git.example.org/lab/repo.git")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "first")
    git(root, "tag", "v1.2.0")
    return root.resolve()


def test_a_committed_file(repo: Path) -> None:
    facts = code_of_file(repo / "src" / "train.py")
    head = git(repo, "rev-parse", "HEAD")
    assert facts.url == f"https://git.example.org/lab/repo/blob/{head}/src/train.py"
    assert facts.checksum == git(repo, "hash-object", "src/train.py") == blob_checksum(repo / "src" / "train.py")
    assert (facts.version, facts.dirty, facts.committed, facts.commit) == ("1.2.0", False, True, head)
    assert facts.git_root == str(repo)
    assert find_lockfile(facts.git_root) == repo / "uv.lock"


def test_changes_make_it_dirty_and_results_do_not(repo: Path) -> None:
    (repo / "outputs").mkdir()
    (repo / "outputs" / "log.txt").write_text("x")
    (repo / "data").mkdir()
    (repo / "data" / "x.csv").write_text("x")
    assert not code_of(repo / "src" / "train.py", environ={"DERIVA_ML_DIRTY_CHECK_IGNORE": "data:other"}).dirty
    facts = code_of_file(repo / "src" / "train.py")
    assert facts.dirty
    assert facts.committed
    assert facts.changes == ("?? data/x.csv",)
    (repo / "src" / "train.py").write_text("print('other')\n")
    changed = code_of_file(repo / "src" / "train.py")
    assert not changed.committed
    assert changed.checksum != facts.checksum


def test_the_commit_is_the_last_that_touched_the_file_and_the_version_counts_on(repo: Path) -> None:
    first = git(repo, "rev-parse", "HEAD")
    (repo / "README.md").write_text("x")
    git(repo, "add", ".")
    git(repo, "commit", "-q", "-m", "second")
    facts = code_of_file(repo / "src" / "train.py")
    assert facts.commit == first
    assert facts.version == f"1.2.1.dev1+g{git(repo, 'rev-parse', '--short', 'HEAD')}"


def test_a_new_file_has_no_commit(repo: Path) -> None:
    (repo / "new.py").write_text("x = 1\n")
    facts = code_of_file(repo / "new.py")
    assert facts.url == "https://git.example.org/lab/repo/blob//new.py"
    assert not facts.committed


def test_no_remote_and_no_repository(repo: Path, tmp_path: Path) -> None:
    git(repo, "remote", "remove", "origin")
    assert code_of_file(repo / "src" / "train.py").url.startswith("file:///")
    lonely = tmp_path / "lonely script.py"
    lonely.write_text("print('train')\n")
    facts = code_of_file(lonely)
    assert facts.url == lonely.as_uri()
    assert facts.checksum == text_checksum("print('train')\n")
    assert (facts.committed, facts.git_root) == (False, None)
    with pytest.raises(DerivaMLWorkflowError, match="does not exist"):
        code_of_file(tmp_path / "gone.py")


def test_ssh_remotes_are_not_rewritten(repo: Path) -> None:
    git(repo, "remote", "set-url", "origin", "git@github.com:lab/repo.git")
    assert code_of_file(repo / "src" / "train.py").url.startswith("git@github.com:lab/repo/blob/")


class _Callable:
    def __call__(self) -> None: ...


@pytest.mark.parametrize("kind", ["function", "partial", "wrapped", "method", "class", "instance"])
def test_the_file_of_a_function(kind: str) -> None:
    def plain() -> None: ...

    @functools.wraps(plain)
    def wrapper() -> None: ...

    forms = {"function": plain, "partial": functools.partial(functools.partial(plain)), "wrapped": wrapper,
             "method": _Callable().__call__, "class": _Callable, "instance": _Callable()}  # fmt: skip
    assert code_file(forms[kind]) == Path(__file__).resolve()


def test_code_without_a_file() -> None:
    scope: dict[str, object] = {}
    exec("def made(): pass", scope)
    for target in (scope["made"], len):
        with pytest.raises(DerivaMLWorkflowError, match="not read from a file"):
            code_file(target)


def test_the_calling_file_is_the_outermost_that_is_no_tool() -> None:
    assert calling_file() == Path(__file__).resolve()
    assert find_code(environ={}).path_in_repo in (None, "tests/unit/provenance/test_code.py")


@pytest.mark.parametrize("way", ["script", "module", "-c", "stdin"])
def test_the_calling_file_of_a_process(tmp_path: Path, way: str) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("")
    (tmp_path / "lib_part.py").write_text(
        "from deriva_ml_prefect.provenance.code import find_code\ndef run(): print(find_code(environ={}).url)\n"
    )
    code = "import sys; sys.path.insert(0, '.')\nimport lib_part\nlib_part.run()\n"
    (tmp_path / "pack" / "train.py").write_text(code)
    asked = {"script": ["pack/train.py"], "module": ["-m", "pack.train"], "-c": ["-c", code], "stdin": ["-"]}[way]
    done = subprocess.run(
        [sys.executable, *asked], cwd=tmp_path, input=code, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    expected = "pack/train.py" if way in ("script", "module") else "lib_part.py"
    assert done.stdout.strip().endswith(expected)


def test_an_interactive_session_is_repl(tmp_path: Path) -> None:
    code = (
        "from deriva_ml_prefect.provenance.code import find_code; f = find_code(environ={}); print(f.url, f.checksum)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["REPL", "1"]


def test_images_runners_and_given_urls_come_first() -> None:
    image = {"DERIVA_MCP_IN_DOCKER": "true", "DERIVA_MCP_VERSION": "2.0", "DERIVA_MCP_GIT_COMMIT": "abc"}
    assert find_code(environ=image).url.endswith("/commit/abc")
    named = find_code(environ=image | {"DERIVA_MCP_IMAGE_NAME": "reg/img", "DERIVA_MCP_IMAGE_DIGEST": "sha256:1"})
    assert (named.url, named.checksum, named.version) == ("reg/img@sha256:1", "sha256:1", "2.0")
    with pytest.raises(DerivaMLWorkflowError, match="cannot be identified"):
        find_code(environ={"DERIVA_MCP_IN_DOCKER": "true"})
    runner = {"DERIVA_ML_WORKFLOW_URL": "https://x/blob/1/n.ipynb", "DERIVA_ML_WORKFLOW_CHECKSUM": "77"}
    facts = find_code(environ=runner, url="https://other")
    assert (facts.url, facts.checksum, facts.is_notebook) == ("https://x/blob/1/n.ipynb", "77", True)
    assert find_code(environ={}, url="https://other", checksum="9").checksum == "9"


def test_running_a_notebook_does_not_change_its_checksum(tmp_path: Path) -> None:
    cell = {
        "cell_type": "code",
        "id": "a1",
        "metadata": {},
        "source": ["1 + 1"],
        "outputs": [],
        "execution_count": None,
    }
    notebook = {"cells": [cell], "metadata": {"kernelspec": {"name": "python3"}}, "nbformat": 4, "nbformat_minor": 5}
    path = tmp_path / "n.ipynb"
    path.write_text(json.dumps(notebook))
    before = notebook_checksum(path)
    ran = cell | {"outputs": [{"output_type": "stream", "text": ["2"]}], "execution_count": 3,
                  "metadata": {"execution": {"iopub.status.idle": "now"}}}  # fmt: skip
    path.write_text(json.dumps(notebook | {"cells": [ran]}))
    assert notebook_checksum(path) == before == code_of(path, environ={}).checksum
    path.write_text(json.dumps(notebook | {"cells": [cell | {"source": ["1 + 2"]}]}))
    assert notebook_checksum(path) != before
    path.write_text("{")
    with pytest.raises(DerivaMLWorkflowError, match="cannot be read as a notebook"):
        notebook_checksum(path)


def test_git_variables_of_the_surroundings_do_not_mislead(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "GIT_DIR", "/nowhere")
    assert code_of_function(test_a_committed_file).checksum == blob_checksum(Path(__file__))
    assert code_of_file(repo / "src" / "train.py").git_root == str(repo)
