"""Uploading: once, again, in addition, and after its receipts are lost; what the record of the run says."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from deriva_ml_prefect.exceptions import DerivaMLValidationError
from deriva_ml_prefect.journal.executions import status_history
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.phases.context import journal_of
from deriva_ml_prefect.values.progress import UploadProgress
from deriva_ml_prefect.values.status import ExecutionStatus

Begin = Callable[..., Execution]
RowsOf = Callable[[Execution], dict[str, list[dict[str, Any]]]]
S = ExecutionStatus


def names(ml: DerivaML, exe: Execution) -> list[str]:
    return sorted(str(asset.filename) for asset in ml.summarize_execution(exe.execution_rid).output_assets)


def steps(exe: Execution) -> list[ExecutionStatus]:
    return [step.status for step in status_history(journal_of(exe.context), exe.execution_rid)]


def run_with_everything(ml: DerivaML, subjects: tuple[str, ...], begin: Begin) -> Execution:
    outline, score = (ml.feature_record_class("Subject", name) for name in ("Outline", "Score"))
    with begin() as exe:
        for i in range(4):
            exe.asset_file_path("Image", f"{i}.png", metadata={"Exposure": i}).write_bytes(b"%d" % i * 1000)
        mask = exe.asset_file_path("Mask", "m.png", asset_types=["Mask", "Derived"])
        mask.write_bytes(b"mask")
        exe.metrics_file().write_text("{}\n")
        exe.add_features([outline(Subject=rid, Mask=mask) for rid in subjects[:3]])
        exe.add_features([score(Subject=rid, Score=i / 7) for i, rid in enumerate(subjects)])
    return exe


@pytest.mark.spec("upload.progress")
def test_chunks_and_progress(ml: DerivaML, begin: Begin) -> None:
    seen: list[UploadProgress] = []
    with begin() as exe:
        exe.asset_file_path("Image", "large.png").write_bytes(b"0123456789" * 1000)
        exe.asset_file_path("Image", "even.png").write_bytes(b"x" * 4096)
        exe.asset_file_path("Image", "odd.png").write_bytes(b"x" * 4097)
    exe.upload_execution_outputs(chunk_size=2048, progress_callback=seen.append)
    assert {"even.png", "large.png", "odd.png"} <= set(names(ml, exe))
    assert max(item.bytes_completed for item in seen) <= max(item.bytes_total for item in seen)
    assert {item.phase for item in seen} <= {"uploading", "uploading_chunks"}
    assert any(item.percent_complete == 100.0 for item in seen)
    assert all(0 <= item.percent_complete <= 100 for item in seen)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"chunk_size": value} for value in (0, "50 MB", 1.5)),
        *({"max_retries": value} for value in (-1, 1.5, None)),
        *({"retry_delay": value} for value in (-1.0, float("nan"), "5")),
        *({"timeout": value} for value in ((0, 1), 5, (5,), ("1", "2"), (1, float("inf")))),
    ],
)
def test_parameters_that_cannot_be_are_refused(begin: Begin, wrong: dict[str, Any]) -> None:
    with begin() as exe:
        pass
    with pytest.raises(DerivaMLValidationError, match=next(iter(wrong))):
        exe.upload_execution_outputs(**wrong)
    assert exe.status is S.Stopped


@pytest.mark.spec("status.no-op")
def test_second_upload_without_anything_new_sends_nothing(ml: DerivaML, begin: Begin, rows_of: RowsOf) -> None:
    with begin() as exe:
        exe.asset_file_path("Image", "once.png").write_bytes(b"once")
    exe.upload_execution_outputs()
    before = rows_of(exe)
    client = ml._catalog.client
    requests = client.requests
    assert exe.upload_execution_outputs() == {}
    assert client.requests == requests
    assert rows_of(exe) == before


@pytest.mark.spec("status.additive", "crash.more-outputs", "edge.Uploaded-Pending_Upload")
def test_additive_upload(ml: DerivaML, begin: Begin) -> None:
    with begin() as exe:
        exe.asset_file_path("Image", "first.png").write_bytes(b"first")
    exe.upload_execution_outputs()
    again = ml.resume_execution(exe.execution_rid)
    assert again.status is S.Uploaded
    again.asset_file_path("Execution_Metadata", "job.log").write_bytes(b"log")
    uploaded = again.upload_execution_outputs()
    assert [path.file_name for path in uploaded["Execution_Metadata"]] == ["job.log"]
    assert {"first.png", "job.log"} <= set(names(ml, exe))
    assert steps(exe)[-4:] == [S.Pending_Upload, S.Uploaded, S.Pending_Upload, S.Uploaded]


def test_delivering_again_without_receipts_changes_nothing(
    ml: DerivaML, subjects: tuple[str, ...], begin: Begin, rows_of: RowsOf
) -> None:
    """As if every answer had been lost after the catalog had done the write."""
    exe = run_with_everything(ml, subjects, begin)
    exe.upload_execution_outputs(clean_folder=False)
    before = rows_of(exe)
    assert {table: len(rows) for table, rows in before.items()} == {
        "Execution": 1,
        "Execution_Metadata": 4,
        "Execution_Metadata_Execution": 4,
        "Execution_Metadata_Asset_Type": 4,
        "Image": 4,
        "Image_Execution": 4,
        "Image_Asset_Type": 4,
        "Mask": 1,
        "Mask_Execution": 1,
        "Mask_Asset_Type": 2,
        "Execution_Subject_Outline": 3,
        "Execution_Subject_Score": 40,
    }
    journal = journal_of(exe.context)
    with journal.transaction():
        where = "WHERE execution_rid = ?"
        rid = (exe.execution_rid,)
        journal.connection.execute(f"DELETE FROM execution_state__effects {where}", rid)
        journal.connection.execute(
            f"UPDATE execution_state__assets SET status = 'pending', rid = NULL, url = NULL {where}", rid
        )
        journal.connection.execute("UPDATE execution_state__feature_batches SET status = 'Pending'")
        journal.connection.execute("UPDATE execution_state__executions SET uploaded_at = NULL WHERE rid = ?", rid)
    exe.upload_execution_outputs(clean_folder=False)
    assert rows_of(exe) == before


def test_record_of_the_run(ml: DerivaML, subjects: tuple[str, ...], begin: Begin) -> None:
    exe = run_with_everything(ml, subjects, begin)
    exe.upload_execution_outputs()
    summary = ml.summarize_execution(exe.execution_rid)
    record = summary.run_record
    assert record is not None
    assert record["execution_rid"] == exe.execution_rid
    assert record["outcome"] == "completed"
    assert record["error"] is None
    assert [step["status"] for step in record["status_history"]] == ["Created", "Running", "Stopped", "Pending_Upload"]
    assert set(record["durations_seconds"]) == {"execution", "upload"}
    for text in summary.execution.durations.values():
        assert re.fullmatch(r"[\d.]+H [\d.]+min [\d.]+sec", text)
    assert summary.features == {"Subject.Outline": 3, "Subject.Score": 40}
    assert summary.local is not None
    assert summary.local.effects.keys() == {"delivered"}
    assert (summary.local.files_waiting, summary.local.features_waiting) == (0, 0)


def test_failed_run_is_uploaded_and_stays_a_failed_run(ml: DerivaML, begin: Begin) -> None:
    exe = begin()
    with pytest.raises(RuntimeError, match="out of memory"), exe:  # noqa: PT012 (the code under test is a block)
        exe.asset_file_path("Image", "partial.png").write_bytes(b"partial")
        raise RuntimeError("out of memory")
    exe.upload_execution_outputs()
    summary = ml.summarize_execution(exe.execution_rid)
    assert summary.execution.status is S.Uploaded
    assert summary.outcome == "failed"
    assert summary.run_record is not None
    assert summary.run_record["error"] == "RuntimeError: out of memory"
    assert "partial.png" in names(ml, exe)


def test_staged_files_are_removed_only_when_all_is_uploaded(begin: Begin) -> None:
    with begin() as exe:
        exe.asset_file_path("Image", "kept.png").write_bytes(b"kept")
    exe.upload_execution_outputs(clean_folder=False)
    assert (exe.context.staged / "Image" / "kept.png").exists()
    with begin() as other:
        path = other.asset_file_path("Image", "gone.png")
        path.write_bytes(b"gone")
    other.upload_execution_outputs()
    assert not path.exists()
