"""Which row an execution's workflow is: that of the code that it names, whatever became of the object since."""

from __future__ import annotations

from typing import Any

import pytest

from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.workflow import Workflow
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
