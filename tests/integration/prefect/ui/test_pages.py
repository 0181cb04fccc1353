"""Prefect's pages in a real browser: forms filled in, a failed run retried by a click, and what is shown of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.prefect.ui.stage import Stage
from tests.prefect_process import wait_until

browser = pytest.importorskip("tests.integration.prefect.ui.browser", reason="playwright is not installed (extra dev)")

pytestmark = [
    pytest.mark.prefect,
    pytest.mark.slow,
    pytest.mark.skipif(browser.CHROMIUM is None, reason="there is no chromium: run `make system`"),
]


@pytest.fixture
def person(stage: Stage) -> Iterator[Any]:
    with browser.open_page() as page:
        yield browser.Person(stage, page)


def document(stage: Stage, name: str) -> dict[str, Any]:
    found: dict[str, Any] = stage.server.ask(
        f"/block_types/slug/deriva-ml-execution-configuration/block_documents/name/{name}"
    )
    return found


def test_retry_by_a_click_finishes_what_failed_in_the_upload(stage: Stage, person: Any) -> None:
    before = stage.trainings()
    failed = stage.run_deployment(write_report=False)
    assert failed["state"]["type"] == "FAILED"
    (rid,) = stage.trainings()[len(before) :]
    told = stage.execution(rid)
    assert told["status"] == "Failed"
    assert "report.txt" in told["detail"]

    # what was wrong is put right where the error said, and somebody clicks
    (Path(told["folder"]) / "staged" / "Execution_Asset" / "report.txt").write_text("written afterwards\n")
    person.retry(failed["id"])
    again = stage.await_end(failed["id"], after=failed["run_count"])
    assert again["state"]["type"] == "COMPLETED", again["state"]
    assert again["run_count"] == failed["run_count"] + 1
    told = stage.execution(rid)
    assert told["status"] == "Uploaded"
    assert {"weights.bin", "report.txt", "metrics.jsonl"} <= set(told["files"])
    assert stage.trainings() == [*before, rid]

    page = person.page
    page.reload()
    page.get_by_text("Completed").first.wait_for()
    page.get_by_text(f"execution:{rid}").wait_for()


def test_a_configuration_filled_in_by_hand_runs(stage: Stage, person: Any) -> None:
    person.fill_in_configuration("by-hand", dataset=stage.dataset, description="Filled in by hand")
    saved = document(stage, "by-hand")
    assert saved["data"]["datasets"][0]["rid"] == stage.dataset
    assert saved["data"]["workflow"]["workflow_type"] == ["Training"]
    person.edit_description(saved["id"], "Changed by hand")
    assert document(stage, "by-hand")["data"]["description"] == "Changed by hand"

    before, known = stage.trainings(), {run["id"] for run in stage.server.flow_runs()}
    person.run_with("by-hand", epochs=3)
    started = wait_until(
        lambda: [
            run for run in stage.server.flow_runs() if run["id"] not in known and run["parent_task_run_id"] is None
        ],
        "the run of the form",
    )
    run = stage.await_end(started[0]["id"])
    assert run["state"]["type"] == "COMPLETED", run["state"]
    assert run["parameters"]["epochs"] == 3
    (rid,) = stage.trainings()[len(before) :]
    told = stage.execution(rid)
    assert (told["description"], told["datasets"], told["status"]) == ("Changed by hand", [stage.dataset], "Uploaded")


def test_the_metrics_are_drawn(stage: Stage, person: Any) -> None:
    run = stage.run_deployment(epochs=5)
    shown = stage.artifacts(run["id"])
    for pages in ("/v2", ""):
        see_metrics(stage, person.page, pages, shown)


def see_metrics(stage: Stage, page: Any, pages: str, shown: dict[str, dict[str, Any]]) -> None:
    """The artifacts of the last training, on the new pages or the old."""
    page.goto(f"{stage.server.url}{pages}/artifacts/artifact/{shown['metrics']['id']}")
    picture = page.get_by_alt_text("loss, accuracy over step")
    picture.wait_for()
    deadline = time.monotonic() + 20
    while not (drawn := picture.evaluate("it => it.complete ? [it.naturalWidth, it.naturalHeight] : null")):
        assert time.monotonic() < deadline
    assert drawn == [720, 520]
    page.get_by_role("cell", name="val_accuracy").wait_for()
    page.goto(f"{stage.server.url}{pages}/artifacts/artifact/{shown['execution']['id']}")
    page.get_by_role("link", name=f"{stage.trainings()[-1]} in embedded/lab").first.wait_for()
    page.get_by_role("cell", name="weights.bin").wait_for()
