"""The page of an execution: complete, and closed to what texts of the catalog bring along."""

from __future__ import annotations

from dataclasses import replace

from deriva_ml_prefect.pages.execution_page import render_execution
from deriva_ml_prefect.questions.execution_summary import ExecutionSummary, InputDataset
from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.records import AssetRecord, ExecutionRecord, WorkflowRecord
from deriva_ml_prefect.values.status import ExecutionStatus

HOSTILE = "<script>alert(1)</script> | a\n# heading\r& more"
ASSET = AssetRecord("1-F", "Image", "a.b.png", "/hatrac/x", 12, "0" * 32, asset_types=("Image", "Derived"))
SUMMARY = ExecutionSummary(
    address=Address("embedded", "1"),
    url="http://127.0.0.1:1/id/1/1-A",
    execution=ExecutionRecord(
        "1-A",
        "1-W",
        "a description",
        ExecutionStatus.Uploaded,
        "Uploaded",
        None,
        "2026-01-01",
        "2026-01-02",
        {"execution": "0.0H 0.0min 1.5sec"},
    ),
    workflow=WorkflowRecord("1-W", "Train", "https://example.org/train.py", "c0ffee", None, None, ("Training",)),
    input_datasets=(InputDataset("1-D", "1.0.0", "digits"),),
    input_assets=(),
    output_assets=(ASSET,),
    features={"Image.Digit": 500},
    run_record={"outcome": "completed"},
    local=None,
)


def test_everything_is_there() -> None:
    page = render_execution(SUMMARY)
    for text in ("1-A", "Uploaded", "completed", "Train", "c0ffee", "1-D", "1.0.0", "a.b.png", "Image, Derived", "500"):
        assert text in page
    assert "Execution took:** 0.0H 0.0min 1.5sec" in page
    assert "Assets read" not in page
    assert (SUMMARY.bytes_uploaded, SUMMARY.rows_uploaded, SUMMARY.outcome) == (12, 501, "completed")


def test_no_column_is_empty() -> None:
    assert "| RID | Version | Description |" in render_execution(SUMMARY)
    nameless = replace(SUMMARY, input_datasets=(InputDataset("1-D", "1.0.0", None), InputDataset("1-E", None, "")))
    assert "| RID | Version |\n" in render_execution(nameless)


def test_hostile_texts_stay_texts() -> None:
    workflow = WorkflowRecord("1-W", HOSTILE, HOSTILE, HOSTILE, None, None, (HOSTILE,))
    hostile = replace(
        SUMMARY,
        execution=replace(SUMMARY.execution, description=HOSTILE, status_detail=HOSTILE),
        workflow=workflow,
        input_datasets=(InputDataset("1-D", "1.0.0", HOSTILE),),
        output_assets=(replace(ASSET, filename=HOSTILE, asset_types=(HOSTILE,)),),
        features={HOSTILE: 1},
        run_record={"outcome": HOSTILE},
    )
    page = render_execution(hostile)
    assert "<script>" not in page
    assert "\n# heading" not in page
    assert "\r" not in page
    for line in page.splitlines():
        if line.startswith("| "):
            assert line.replace("\\|", "").count("|") in (3, 4, 5, 7)


def test_outcome_without_a_record() -> None:
    assert replace(SUMMARY, run_record=None).outcome == "unknown"
