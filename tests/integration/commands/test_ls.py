"""`deriva-ml-prefect ls`: of this machine without asking anybody, of a catalog with what this machine knows besides."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect.catalog.rows import update_rows
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.journal import ownership
from deriva_ml_prefect.journal.store import FILE_NAME
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.pages.execution_list import columns, cut
from tests.integration.commands.conftest import Call

Run = Callable[..., Execution]


def listed(call: Call, *arguments: str, **variables: Any) -> list[dict[str, Any]]:
    done = call("ls", "--json", *arguments, **variables)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_what_this_machine_knows(call: Call, run: Run, ml: DerivaML, subjects: tuple[str, ...]) -> None:
    first = run(description="the first")
    second = run(upload=False, description="the second")
    score = ml.feature_record_class("Subject", "Score")
    second.add_features([score(Subject=rid, Score=1.0) for rid in subjects[:7]])
    one, other = listed(call)
    assert (one["execution_rid"], other["execution_rid"]) == (second.execution_rid, first.execution_rid)
    assert one["status"] == "Stopped"
    assert one["outcome"] == "completed"
    assert one["process"] == "alive"
    assert one["staged"] == {"files": 1, "bytes": len(second.execution_rid) * 100, "features": 7}
    assert one["workflow"].startswith("Commands ")
    assert one["started"] is not None
    assert (other["status"], other["process"], other["staged"]["files"]) == ("Uploaded", "settled", 0)
    lines = call("ls").stdout.splitlines()
    assert lines[0].split() == ["RID", "STATUS", "OUTCOME", "PROCESS", "STARTED", "STAGED", "WORKFLOW", "DESCRIPTION"]
    assert "1 file (" in lines[1]
    assert "7 values" in lines[1]
    assert lines[1].endswith("the second")
    assert len(lines) == 3


@pytest.mark.parametrize("lost", ["gone", "empty"])
def test_staged_files_without_their_journal_are_named(call: Call, run: Run, ml: DerivaML, lost: str) -> None:
    kept, done = run(upload=False), run()
    journal = kept.context.workspace / FILE_NAME
    for path in journal.parent.glob(f"{FILE_NAME}*"):
        path.unlink()
    if lost == "empty":
        journal.touch()
    told = call("ls")
    assert (told.returncode, told.stdout) == (0, "")
    assert "There are no executions." in told.stderr
    assert f"{kept.context.folder} holds staged files of an execution that its journal does not know" in told.stderr
    assert done.execution_rid not in told.stderr
    assert list(kept.context.staged.rglob("*.*"))


def test_filters(call: Call, run: Run, workflow: Workflow) -> None:
    first = run(description="a")
    second = run(upload=False, description="b")
    third = run(upload=False, description="c")
    assert [item["execution_rid"] for item in listed(call, "--limit", "2")] == [third.rid, second.rid]
    assert [item["execution_rid"] for item in listed(call, "--status", "uploaded")] == [first.rid]
    assert len(listed(call, "--status", "Uploaded", "--status", "Stopped")) == 3
    assert listed(call, "--interrupted") == []
    ownership.release(second.context.folder)
    assert [item["execution_rid"] for item in listed(call, "--interrupted")] == [second.rid]
    for name in (workflow.name, workflow.url, second.workflow_rid):
        assert len(listed(call, "--workflow", str(name))) == 3
    assert listed(call, "--workflow", "another") == []
    assert listed(call, "--host", "www.example.org") == []
    done = call("ls", "--workflow", "another")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "There is no such execution.\n"


def test_a_catalog_is_asked_when_one_is_named(
    call: Call, run: Run, ml: DerivaML, tmp_path: Path, home: Path, workflow: Workflow
) -> None:
    exe = run(description="here")
    waiting = run(upload=False, description="waits")
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "embedded").symlink_to(home / "embedded")
    assert listed(call, home=other) == []
    named = ("--host", "embedded", "--catalog", ml.catalog_id, "--workflow", workflow.name)
    elsewhere = {item["execution_rid"]: item for item in listed(call, *named, home=other)}
    assert elsewhere.keys() == {exe.rid, waiting.rid}
    assert elsewhere[exe.rid]["outcome"] == "completed"
    assert elsewhere[exe.rid]["started"] is not None
    assert elsewhere[waiting.rid]["outcome"] is None
    assert not elsewhere[exe.rid]["on_this_machine"]
    here = {item["execution_rid"]: item for item in listed(call, *named)}
    assert here[waiting.rid]["staged"]["files"] == 1
    assert here[waiting.rid]["process"] == "alive"
    assert here[exe.rid]["on_this_machine"]
    limited = listed(call, *named, "--limit", "1")
    assert [item["execution_rid"] for item in limited] == [waiting.rid]
    assert [item["execution_rid"] for item in listed(call, *named, "--status", "Uploaded")] == [exe.rid]
    variables = {"DERIVA_ML_HOST": "embedded", "DERIVA_ML_CATALOG": ml.catalog_id}
    assert len(listed(call, home=other, **variables)) >= 2
    assert listed(call, "--local", home=other, **variables) == []


def test_a_text_of_the_catalog_cannot_steer_the_terminal(call: Call, run: Run, ml: DerivaML) -> None:
    exe = run()
    row = {"RID": exe.rid, "Description": "\x1b[31mred\nline\u202e\u2028two"}
    update_rows(ml._catalog, ("deriva-ml", "Execution"), [row])
    done = call("ls", "--host", "embedded", "--catalog", ml.catalog_id, "--limit", "1")
    assert len(done.stdout.splitlines()) == 2
    assert done.stdout.splitlines()[1].endswith("[31mred line two")
    assert "\x1b" not in done.stdout


def test_nothing_there(call: Call, tmp_path: Path) -> None:
    done = call("ls", home=tmp_path / "new")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "There are no executions.\n")
    assert not (tmp_path / "new").exists()
    assert listed(call, home=tmp_path / "new") == []


def test_wrong_usage(call: Call) -> None:
    done = call("ls", "--status", "Done")
    assert done.returncode == 1
    assert "'Done' is no status of an execution. Use one of Created" in done.stderr
    for text in ("0", "-3", "many"):
        assert call("ls", f"--limit={text}").returncode == 2


def test_catalog_that_is_not_there(call: Call, ml: DerivaML) -> None:
    done = call("ls", "--host", "embedded", "--catalog", "4711")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    refused = call("ls", "--host", "localhost:1", "--catalog", "1", DERIVA_ML_RETRIES="0")
    assert refused.returncode == 1
    assert "check that the server runs" in refused.stderr


def test_a_broken_workspace_does_not_hide_the_others(call: Call, run: Run, home: Path) -> None:
    exe = run()
    broken = home / "workspaces" / "lab.example.org" / "1"
    broken.mkdir(parents=True)
    (broken / "journal.db").write_bytes(b"this is no journal" * 100)
    done = call("ls")
    assert done.returncode == 1
    assert exe.rid in done.stdout
    assert f"{broken} could not be read" in done.stderr


def on_terminal(width: int, home: Path, *arguments: str) -> list[str]:
    """What the command shows on a terminal of that width."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, width))
    command = [sys.executable, "-m", "deriva_ml_prefect.cli.main", *arguments]
    env = {**os.environ, "DERIVA_ML_HOME": str(home)}
    process = subprocess.Popen(command, env=env, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    text = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:
            break
        if not piece:
            break
        text += piece
    os.close(ours)
    assert process.wait(60) == 0
    return text.decode().replace("\r", "").splitlines()


@pytest.mark.parametrize("width", [20, 80, 200])
def test_lines_are_as_wide_as_the_terminal(run: Run, home: Path, width: int) -> None:
    run(description="a long description of what was tried " * 5 + "顔" * 30)
    lines = on_terminal(width, home, "ls")
    assert len(lines) == 2
    assert columns(lines[1]) in (width - 1, width)
    assert lines[1].endswith("…")


def test_whoever_reads_may_stop_reading(run: Run, home: Path) -> None:
    run(description="x" * 1000)
    command = f"set -o pipefail; {sys.executable} -m deriva_ml_prefect.cli.main ls | head -c 1"
    env = {**os.environ, "DERIVA_ML_HOME": str(home)}
    done = subprocess.run(["bash", "-c", command], env=env, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("R", "")


def test_wide_and_combining_characters_are_counted() -> None:
    assert columns("顔e\u0301") == 3
    assert cut("顔顔顔", 4) == "顔…"
    assert cut("abc", 3) == "abc"
    assert cut("abcd", 3) == "ab…"
    assert cut("abc", 0) == ""
