"""Which row an execution's workflow is: that of the code that it names, whatever became of the object since."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.exceptions import DerivaMLException
from deriva_ml_prefect.ml.deriva_ml import DerivaML

OTHER = {"checksum": "5" * 40, "url": "https://example.org/other-identity.py"}


@pytest.fixture
def registered(ml: DerivaML) -> Workflow:
    workflow = Workflow(
        name="Identity", workflow_type=["Training"], url="https://example.org/identity.py", checksum="4" * 40
    )
    ml.add_workflow(workflow)
    return workflow


def recorded(ml: DerivaML, workflow: Workflow) -> Any:
    """The row that an execution of this workflow gets."""
    exe = ml.create_execution(ExecutionSpec(workflow=workflow))
    found = ml.lookup_execution(exe.execution_rid).workflow
    assert found is not None
    assert found.rid == workflow.rid == exe.workflow_rid
    exe.abort()
    return found


@pytest.mark.parametrize("changed", [("checksum", "url"), ("checksum",)])
def test_a_copy_with_another_identity_is_another_workflow(
    ml: DerivaML, registered: Workflow, changed: tuple[str, ...]
) -> None:
    update = {name: OTHER[name] for name in changed}
    copy = registered.model_copy(update=update)
    row = recorded(ml, copy)
    assert row.rid != registered.rid
    assert row.checksum == OTHER["checksum"]
    # looked for by the object, before an execution has used it
    again = registered.model_copy(update=update)
    assert [run.workflow_rid for run in ml.find_executions(workflow=again)][:1] == [row.rid]


def test_a_url_alone_tells_code_without_a_checksum(ml: DerivaML) -> None:
    first = Workflow(name="U", workflow_type=["Training"], url="https://example.org/image@sha256:1")
    ml.add_workflow(first)
    second = first.model_copy(update={"url": "https://example.org/image@sha256:2"})
    row = recorded(ml, second)
    assert (row.rid != first.rid, row.url) == (True, "https://example.org/image@sha256:2")


def test_changed_after_it_was_looked_up(ml: DerivaML, registered: Workflow) -> None:
    before = registered.rid
    registered.checksum = OTHER["checksum"]
    assert registered.rid is None
    assert recorded(ml, registered).rid != before
    # nothing is forgotten by saying the same again
    rid = registered.rid
    registered.checksum = OTHER["checksum"]
    assert registered.rid == rid


def test_changed_behind_the_validators(ml: DerivaML, registered: Workflow) -> None:
    before = registered.rid
    registered.__dict__["checksum"] = "6" * 40
    assert recorded(ml, registered).rid != before
    registered.__dict__["checksum"] = "7" * 40
    assert ml.add_workflow(registered) not in (before, None)
    assert ml.lookup_workflow(str(registered.rid)).checksum == "7" * 40


def test_a_rid_of_another_row_does_not_win(ml: DerivaML, registered: Workflow) -> None:
    other = Workflow(name="O", workflow_type=["Training"], **OTHER)
    ml.add_workflow(other)
    confused = registered.model_copy(update={"rid": other.rid})
    assert recorded(ml, confused).checksum == "4" * 40


def test_a_rid_alone_names_the_row(ml: DerivaML, registered: Workflow) -> None:
    assert recorded(ml, Workflow(rid=registered.rid)).rid == registered.rid
    bare = Workflow(rid=registered.rid)
    assert ml.add_workflow(bare) == registered.rid


@pytest.mark.parametrize("how", ["execution", "configuration", "workflow"])
def test_workflow_that_says_not_which_code_it_is_gets_that_of_the_caller(ml: DerivaML, how: str) -> None:
    """As in deriva-ml, where making a `Workflow` looks for the code."""
    bare = Workflow(name="Bare", workflow_type="Training")
    if how == "workflow":
        row = ml.lookup_workflow(ml.add_workflow(bare))
    else:
        given = {"workflow": bare} if how == "execution" else {}
        spec = ExecutionSpec(workflow=None if given else bare)
        exe = ml.create_execution(spec, **given)
        row = recorded(ml, bare)
        exe.abort()
    # the outermost file that is nobody's tool is this one, or the one that runs the tests
    assert row.checksum
    assert row.url
    assert (bare.checksum, bare.rid) == (row.checksum, row.rid)
    assert bare.checksum == ml.create_workflow("Same", "Training").checksum


def test_runner_is_told_which_execution_was_begun(
    ml: DerivaML, workflow: Workflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "rid.json"
    monkeypatch.setenv("DERIVA_ML_SAVE_EXECUTION_RID", str(told))
    exe = ml.create_execution(ExecutionSpec(workflow=workflow))
    assert json.loads(told.read_text()) == {
        "hostname": "embedded",
        "catalog_id": ml.catalog_id,
        "workflow_rid": exe.workflow_rid,
        "execution_rid": exe.execution_rid,
        "hydra_runtime_output_dir": None,
    }
    ml.create_execution(ExecutionSpec(workflow=workflow), dry_run=True)
    assert json.loads(told.read_text())["execution_rid"] == "0000"


def test_configuration_of_an_execution_is_read_again(ml: DerivaML, workflow: Workflow, tmp_path: Path) -> None:
    exe = ml.create_execution(ExecutionSpec(workflow=workflow, description="first", config_choices={"model": "quick"}))
    (asset,) = [each for each in ml.lookup_execution(exe.rid).metadata if each.filename == "configuration.json"]
    read = ExecutionSpec.load_configuration(asset.download(tmp_path))
    assert (read.description, read.config_choices) == ("first", {"model": "quick"})
    assert read.workflow is not None
    assert read.workflow.rid == exe.workflow_rid
    assert ml.create_execution(read).workflow_rid == exe.workflow_rid
    for text in ("no json", "[1]", '{"nope": 1}'):
        (tmp_path / "wrong.json").write_text(text)
        with pytest.raises(DerivaMLException):
            ExecutionSpec.load_configuration(tmp_path / "wrong.json")


def test_names_of_deriva_ml_that_schema_scripts_rely_on(ml: DerivaML) -> None:
    model = ml.model
    assert model.is_vocabulary("Grade")
    assert not model.is_vocabulary(model.schemas["lab"].tables["Subject"])
    assert model.is_asset("Image")
    with pytest.raises(DerivaMLException, match="already exists"):
        ml.create_feature("Subject", "Score", metadata=[])
