"""Executions read back: what they are, read, made, and are parts of; and found by what is known of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deriva_ml_prefect.config.asset import AssetSpec
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.exceptions import (
    DerivaMLInvalidTerm,
    DerivaMLNotFoundError,
    DerivaMLRidsNotFound,
    DerivaMLValidationError,
)
from deriva_ml_prefect.ml.dataset import Dataset
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.values.status import ExecutionStatus

Run = Callable[..., Execution]


def write(exe: Execution, name: str, text: str, table: str = "Image") -> None:
    exe.asset_file_path(table, name, asset_types=["Derived"], description="a picture").write_text(text)


def test_inputs_and_outputs(ml: DerivaML, run: Run, subjects: tuple[str, ...], tmp_path: Path) -> None:
    ml.add_dataset_element_type("Subject")
    made: list[str] = []

    def first(exe: Execution) -> None:
        dataset = exe.create_dataset("Training", description="some")
        dataset.add_dataset_members({"Subject": list(subjects[:2])})
        made.append(dataset.dataset_rid)
        write(exe, "in.png", f"{exe.execution_rid}")

    producer = run(first, description="makes")
    (image,) = ml.lookup_execution(producer.execution_rid).output_assets
    assert (image.asset_table, image.filename, image.asset_types) == ("Image", "in.png", ["Derived"])
    assert (image.description, image.metadata) == ("a picture", {"Camera": None, "Exposure": None})

    reader = run(description="reads", datasets=[made[0]], assets=[AssetSpec(rid=image.asset_rid)])
    record = ml.lookup_execution(reader.execution_rid)
    assert (record.status, record.description) == (ExecutionStatus.Uploaded, "reads")
    assert record.workflow is not None
    assert record.workflow.name == "Reading back"
    ((dataset),) = record.input_datasets
    assert (dataset.rid, dataset.version) == (made[0], "0.2.0")
    assert [each.dataset_rid for each in record.list_input_datasets()] == made
    assert [asset.asset_rid for asset in record.input_assets] == [image.asset_rid]
    assert record.output_assets == []
    assert "configuration.json" in {asset.filename for asset in record.metadata}
    assert {asset.asset_table for asset in record.list_assets("Output")} == {"Execution_Metadata"}

    again = ml.lookup_asset(image.asset_rid)
    assert [each.rid for each in again.list_executions()] == [producer.rid, reader.rid]
    assert [each.rid for each in again.list_executions(asset_role="Output")] == [producer.rid]
    fetched = again.download(tmp_path / "there")
    assert fetched.read_text() == producer.execution_rid
    assert fetched.asset_rid == image.asset_rid
    assert image.asset_rid in {asset.asset_rid for asset in ml.list_assets("Image")}


def test_no_such_execution(ml: DerivaML, subjects: tuple[str, ...]) -> None:
    with pytest.raises(DerivaMLNotFoundError, match=f"has no execution {subjects[0]}"):
        ml.lookup_execution(subjects[0])


def test_find(ml: DerivaML, run: Run) -> None:
    began = datetime.now(UTC) - timedelta(seconds=1)
    other = Workflow(name="Other", workflow_type=["Prediction"], url=f"https://example.org/{began}", checksum="f" * 40)
    ml.add_workflow(other)
    assert other.rid is not None
    one = run(description="one", workflow=other).execution_rid
    two = run(description="two", workflow=other).execution_rid
    open_one = ml.create_execution(workflow=other, description="three").execution_rid

    def rids(**filters: object) -> list[str]:
        return [record.execution_rid for record in ml.find_executions(**filters)]  # type: ignore[arg-type]

    for named in (other, other.rid, other.url, other.checksum, ml.lookup_workflow(other.rid)):
        assert rids(workflow=named) == [open_one, two, one]
    assert rids(workflow=other, status="Uploaded") == [two, one]
    assert rids(workflow=other, status=ExecutionStatus.Created) == [open_one]
    assert rids(workflow=other, limit=2) == [open_one, two]
    assert rids(workflow=other, workflow_type="Prediction") == [open_one, two, one]
    assert rids(workflow=other, workflow_type="Training") == []
    assert rids(workflow="nothing of that name") == []
    assert rids(since=began, workflow_type="Prediction") == [open_one, two, one]
    assert rids(workflow=other, since=datetime.now() + timedelta(hours=1)) == []
    moment = ml.lookup_execution(two).created
    assert rids(workflow=other, since=moment) == [open_one, two]
    assert ml.list_workflow_executions(other.rid) == [open_one, two, one]
    assert set(ml.list_workflow_executions("Prediction")) >= {one, two, open_one}
    with pytest.raises(DerivaMLValidationError, match="is no status"):
        ml.find_executions(status="Done")
    with pytest.raises(DerivaMLValidationError, match="is no time"):
        ml.find_executions(since="yesterday")
    with pytest.raises(DerivaMLInvalidTerm):
        ml.find_executions(workflow_type="Trainning")


def test_nesting(ml: DerivaML, run: Run) -> None:
    parts = [run(description=f"part {i}") for i in range(3)]

    def put(exe: Execution) -> None:
        exe.add_nested_execution(parts[1], sequence=1)
        exe.add_nested_execution(parts[0], sequence=0)

    sweep = ml.lookup_execution(run(put).execution_rid)
    parts[0].add_nested_execution(parts[2].execution_rid)
    assert [each.rid for each in sweep.list_execution_children()] == [parts[0].rid, parts[1].rid]
    assert [each.rid for each in sweep.list_execution_children(recurse=True)] == [part.rid for part in parts]
    deepest = ml.lookup_execution(parts[2].rid)
    assert [each.rid for each in deepest.list_execution_parents()] == [parts[0].rid]
    assert [each.rid for each in deepest.list_execution_parents(recurse=True)] == [parts[0].rid, sweep.rid]
    assert (sweep.is_parent(), sweep.is_nested()) == (True, False)
    assert (deepest.is_parent(), deepest.is_nested()) == (False, True)


def test_cite(ml: DerivaML, subjects: tuple[str, ...]) -> None:
    base = f"/id/{ml.catalog_id}/{subjects[0]}"
    assert ml.cite(subjects[0], current=True).endswith(base)
    assert f"{base}@" in ml.cite({"RID": subjects[0], "Name": "S0"})
    assert ml.cite("0000") == "dry-run (rid=0000)"
    with pytest.raises(DerivaMLNotFoundError):
        ml.cite("ZZZZ-ZZZZ")


def test_workflows_write_through(ml: DerivaML, run: Run) -> None:
    workflow = Workflow(name="W", workflow_type=["Training"], url="https://example.org/through", checksum="e" * 40)
    rid = ml.add_workflow(workflow)
    handle = ml.lookup_workflow_by_url("https://example.org/through")
    assert (handle.rid, handle.workflow_type, handle.checksum) == (rid, ["Training"], "e" * 40)
    handle.description = "other words"
    handle.workflow_type = ["Prediction", "Analysis"]
    again = ml.lookup_workflow(rid)
    assert again.description == handle.description == "other words"
    assert sorted(again.workflow_type) == sorted(handle.workflow_type) == ["Analysis", "Prediction"]
    again.workflow_type = "Testing"
    assert [each.workflow_type for each in ml.find_workflows() if each.rid == rid] == [["Testing"]]
    with pytest.raises(DerivaMLInvalidTerm):
        again.workflow_type = "Nonsense"
    assert ml.lookup_workflow(rid).workflow_type == ["Testing"]


def test_members_of_a_dataset_by_table_or_by_rid(ml: DerivaML, run: Run, subjects: tuple[str, ...]) -> None:
    made: list[Dataset] = []

    def body(exe: Execution) -> None:
        made.append(exe.create_dataset("Training", description="inner"))
        made.append(exe.create_dataset("Training", description="outer"))

    ml.add_dataset_element_type("Subject")
    ml.add_dataset_element_type("Image")
    exe = run(body)
    inner, outer = made
    inner.add_dataset_members([subjects[5], subjects[6], subjects[5]], validate=False)
    outer.add_dataset_members([inner.dataset_rid, subjects[7]], True, "by RID", exe.execution_rid)
    assert [row["RID"] for row in outer.list_dataset_members()["Dataset"]] == [inner.dataset_rid]
    assert [row["RID"] for row in outer.list_dataset_members()["Subject"]] == [subjects[7]]
    everything = outer.list_dataset_members(recurse=True)
    assert {row["RID"] for row in everything["Subject"]} == set(subjects[5:8])
    assert outer.dataset_history()[-1].description == "by RID"
    assert outer.dataset_history()[-1].execution_rid == exe.execution_rid
    before = outer.current_version
    with pytest.raises(DerivaMLRidsNotFound, match="9-ZZZZ: no rows of a table whose rows may be members"):
        outer.add_dataset_members([subjects[8], "9-ZZZZ"])
    with pytest.raises(DerivaMLRidsNotFound):
        outer.add_dataset_members([exe.execution_rid])
    assert outer.current_version == before
    assert [row["RID"] for row in outer.list_dataset_members()["Subject"]] == [subjects[7]]
    with pytest.raises(DerivaMLValidationError, match="No members"):
        outer.add_dataset_members([])


def test_a_file_of_the_users_is_not_replaced_by_a_download(ml: DerivaML, run: Run, tmp_path: Path) -> None:
    exe = run(lambda exe: write(exe, "mine.png", f"{exe.execution_rid}"), description="makes")
    (image,) = ml.lookup_execution(exe.execution_rid).output_assets
    (tmp_path / "mine.png").write_text("my own")
    with pytest.raises(DerivaMLValidationError, match=f"is there and is not asset {image.rid}"):
        image.download(tmp_path)
    assert (tmp_path / "mine.png").read_text() == "my own"
    for _ in range(2):
        assert image.download(tmp_path / "free").read_text() == exe.execution_rid
