"""Holes that are known of deriva-ml's own retry: each is a test that the package has none of it."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from urllib3.exceptions import ProtocolError

from deriva_ml_prefect.catalog.rows import get_rows
from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.exceptions import DerivaMLException, DerivaMLOfflineError, DerivaMLUploadError
from deriva_ml_prefect.journal import ownership
from deriva_ml_prefect.journal.executions import list_executions
from deriva_ml_prefect.journal.files import list_files
from deriva_ml_prefect.journal.store import open_journal
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.transfer.client import HttpClient
from deriva_ml_prefect.values.status import ExecutionStatus

Fork = Callable[[Callable[[], None]], Any]
RowsOf = Callable[[Execution], dict[str, list[dict[str, Any]]]]
S = ExecutionStatus


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Any]:
    """While it lasts, requests of a method whose path holds a text go to a path that the server refuses."""

    @contextmanager
    def refusing(method: str, part: str) -> Iterator[list[str]]:
        met: list[str] = []
        send = HttpClient._send

        def spoilt(client: HttpClient, asked: str, path: str, *rest: Any, **values: Any) -> Any:
            if asked == method and part in path:
                met.append(path)
                path = "/ermrest/catalog/0/refused"
            return send(client, asked, path, *rest, **values)

        with monkeypatch.context() as patch:
            patch.setattr(HttpClient, "_send", spoilt)
            yield met
        assert met, f"no {method} of {part} was sent, so nothing was refused"

    return refusing


@pytest.fixture
def stopped(ml: DerivaML, workflow: Workflow, subjects: tuple[str, ...]) -> Execution:
    """An execution whose code has ended: two pictures, a mask, 40 scores and an outline."""
    outline, score = (ml.feature_record_class("Subject", name) for name in ("Outline", "Score"))
    with ml.create_execution(ExecutionSpec(workflow=workflow, description="known holes")) as exe:
        mask = exe.asset_file_path("Mask", "mask.png")
        mask.write_bytes(b"mask of " + exe.execution_rid.encode())
        for i in range(2):
            exe.asset_file_path("Image", f"{i}.png").write_bytes(f"{i} of {exe.execution_rid}".encode())
        exe.add_features([outline(Subject=subjects[0], Mask=mask)])
        exe.add_features([score(Subject=rid, Score=i / 3) for i, rid in enumerate(subjects)])
    return exe


def upload(exe: Execution) -> None:
    exe.upload_execution_outputs(retry_delay=0, max_retries=0)


def test_staged_features_of_a_failed_flush_are_sent_again(
    stopped: Execution, refuse: Any, rows_of: RowsOf, subjects: tuple[str, ...]
) -> None:
    with refuse("POST", "Execution_Subject_Score"), pytest.raises(DerivaMLUploadError):
        upload(stopped)
    assert stopped.status is S.Failed
    assert "Execution_Subject_Score" not in rows_of(stopped)
    assert stopped.staged().features == {"Subject.Score": len(subjects), "Subject.Outline": 0}
    upload(stopped)
    assert sorted(row["Subject"] for row in rows_of(stopped)["Execution_Subject_Score"]) == sorted(subjects)


def test_a_retry_from_failed_ends_as_uploaded(stopped: Execution, refuse: Any, rows_of: RowsOf) -> None:
    for part in ("lab:Image?", "lab:Image_Execution", "Execution_Subject_Outline"):
        with refuse("POST", part), pytest.raises(DerivaMLUploadError):
            upload(stopped)
        assert rows_of(stopped)["Execution"][0]["Status"] == "Failed"
    upload(stopped)
    assert rows_of(stopped)["Execution"][0]["Status"] == "Uploaded"


def test_features_added_after_uploaded_are_sent_though_no_file_waits(
    ml: DerivaML, workflow: Workflow, subjects: tuple[str, ...], rows_of: RowsOf
) -> None:
    score = ml.feature_record_class("Subject", "Score")
    with ml.create_execution(ExecutionSpec(workflow=workflow)) as exe:
        exe.asset_file_path("Image", "only.png").write_bytes(exe.execution_rid.encode())
    upload(exe)
    exe.add_features([score(Subject=subjects[3], Score=0.25)])
    assert not exe.staged().files
    upload(exe)
    assert [row["Score"] for row in rows_of(exe)["Execution_Subject_Score"]] == [0.25]
    assert rows_of(exe)["Execution"][0]["Status"] == "Uploaded"


@pytest.mark.parametrize("part", ["lab:Image_Execution", "lab:Image_Asset_Type", "Execution_Subject_Score"])
def test_rows_have_the_same_rid_however_often_their_answer_is_lost(
    stopped: Execution, rows_of: RowsOf, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """The rows are inserted, and the process believes that they are not; the next attempt finds those very rows."""
    send = HttpClient._send
    lost: list[list[str]] = []

    def losing(client: HttpClient, method: str, path: str, *rest: Any, **values: Any) -> Any:
        answer = send(client, method, path, *rest, **values)
        if method == "POST" and part in path and not lost:
            lost.append([row["RID"] for row in answer.json()])
            return send(client, "GET", "/ermrest/catalog/0/lost", {}, None, 1, None)
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(HttpClient, "_send", losing)
        with pytest.raises(DerivaMLUploadError):
            upload(stopped)
    (first,) = lost
    assert first
    upload(stopped)
    table = part.rpartition(":")[2]
    assert sorted(row["RID"] for row in rows_of(stopped)[table]) == sorted(first)


def test_an_entry_is_not_uploaded_while_its_file_is_missing(ml: DerivaML, workflow: Workflow, rows_of: RowsOf) -> None:
    with ml.create_execution(ExecutionSpec(workflow=workflow)) as exe:
        here = exe.asset_file_path("Image", "here.png")
        here.write_bytes(b"here " + exe.execution_rid.encode())
        missing = exe.asset_file_path("Image", "missing.png")
    with pytest.raises(DerivaMLException, match=r"missing\.png"):
        upload(exe)
    journal = open_journal(ml.working_dir)
    status = {file.file_name: file.status for file in list_files(journal, exe.execution_rid)}
    assert status["missing.png"] != "uploaded"
    assert rows_of(exe)["Execution"][0]["Status"] == "Failed"
    missing.write_bytes(b"late " + exe.execution_rid.encode())
    upload(exe)
    assert sorted(row["Filename"] for row in rows_of(exe)["Image"]) == ["here.png", "missing.png"]


def test_no_row_of_an_asset_is_there_before_its_bytes(stopped: Execution, refuse: Any, rows_of: RowsOf) -> None:
    contents = [f"{i} of {stopped.execution_rid}".encode() for i in range(2)]

    def rows() -> int:
        """Those that are linked to nothing count too."""
        sums = [hashlib.md5(content).hexdigest() for content in contents]
        return sum(len(get_rows(stopped.ml._catalog, f"entity/lab:Image/MD5={md5}")) for md5 in sums)

    with refuse("PUT", "/hatrac/Image/"), pytest.raises(DerivaMLUploadError):
        upload(stopped)
    assert rows() == 0
    upload(stopped)
    assert rows() == 2
    client = stopped.ml._catalog.client
    for row in rows_of(stopped)["Image"]:
        assert len(client.request("GET", row["URL"]).content) == row["Length"]


@pytest.mark.parametrize("name", ["a.b.txt", "README", ".hidden", "a..b", "model.tar.gz"])
def test_no_file_name_is_left_out(ml: DerivaML, workflow: Workflow, rows_of: RowsOf, name: str) -> None:
    with ml.create_execution(ExecutionSpec(workflow=workflow)) as exe:
        exe.asset_file_path("Image", name).write_bytes(exe.execution_rid.encode())
    upload(exe)
    assert [row["Filename"] for row in rows_of(exe)["Image"]] == [name]


@pytest.mark.parametrize("answered", [False, True])
def test_a_crash_around_the_catalogs_row_leaves_a_run_that_can_be_resumed(
    ml: DerivaML, workflow: Workflow, fork: Fork, rows_of: RowsOf, answered: bool
) -> None:
    """Killed when the execution's row is sent, or has been answered: the journal knows the run, and there is one."""
    description = f"crash around the row, answered {answered}"

    def child() -> None:
        send = HttpClient._send

        def dying(client: HttpClient, method: str, path: str, *rest: Any, **values: Any) -> Any:
            due = method == "POST" and "deriva-ml:Execution?" in path
            if due and not answered:
                os.kill(os.getpid(), signal.SIGKILL)
            answer = send(client, method, path, *rest, **values)
            if due:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        HttpClient._send = dying  # type: ignore[method-assign]
        ml.create_execution(ExecutionSpec(workflow=workflow, description=description))

    assert fork(child).wait() == -signal.SIGKILL
    (entry,) = list_executions(open_journal(ml.working_dir))
    rows = get_rows(ml._catalog, f"entity/deriva-ml:Execution/RID={entry.rid}")
    assert len(rows) == answered
    exe = ml.resume_execution(entry.rid)
    with exe:
        exe.asset_file_path("Image", "after.png").write_bytes(entry.rid.encode())
    upload(exe)
    assert rows_of(exe)["Execution"][0]["Status"] == "Uploaded"
    assert len([row for row in ml.find_executions() if row.description == description]) == 1


def test_a_run_that_the_catalog_heard_nothing_of_is_resumed(
    ml: DerivaML, workflow: Workflow, rows_of: RowsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server is gone from the creation on: the run goes on, its upload fails, and a resume makes it whole."""

    def gone(*_: Any, **__: Any) -> Any:
        raise ProtocolError("gone")

    exe = ml.create_execution(ExecutionSpec(workflow=workflow))
    path = exe.asset_file_path("Image", "kept.png")
    with monkeypatch.context() as patch:
        patch.setattr(HttpClient, "_send", gone)
        patch.setattr(ml._catalog.client, "retries", 0)
        with exe:
            path.write_bytes(exe.execution_rid.encode())
        with pytest.raises(DerivaMLOfflineError):
            upload(exe)
    ownership.release(exe.context.folder)
    assert rows_of(exe)["Execution"][0]["Status"] == "Created"
    again = ml.resume_execution(exe.execution_rid)
    upload(again)
    assert rows_of(again)["Execution"][0]["Status"] == "Uploaded"
    assert [row["Filename"] for row in rows_of(again)["Image"]] == ["kept.png"]


def test_a_live_owner_is_left_alone(stopped: Execution, ml: DerivaML, fork: Fork) -> None:
    """This process holds the execution; another that resumes it is told so."""
    ownership.take(open_journal(ml.working_dir), stopped.context.folder, stopped.execution_rid)

    def child() -> None:
        with pytest.raises(DerivaMLException, match="is owned by"):
            DerivaML("embedded", ml.catalog_id).resume_execution(stopped.execution_rid)

    assert fork(child).wait() == 0
