"""Killed at any boundary of create_execution: no second workflow, no execution that cannot be resumed or aborted."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.journal.executions import list_executions
from deriva_ml_prefect.journal.store import open_journal
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.phases.abort import abort
from deriva_ml_prefect.phases.begin import Request, begin_execution
from deriva_ml_prefect.phases.context import entry_of
from deriva_ml_prefect.values.status import ExecutionStatus

Fork = Callable[[Callable[[], None]], Any]
S = ExecutionStatus
MOST = 400
"""More boundaries than a beginning has."""
STEP = int(os.environ.get("DERIVA_ML_FAULT_STEP", "7"))
"""Every how many boundaries a child dies; 1 tries all of them, in some minutes."""


def fresh(workflow: Workflow, name: str) -> Workflow:
    """Another piece of code: its row is not there yet."""
    digest = name.encode().hex().ljust(40, "0")[:40]
    return workflow.model_copy(update={"checksum": digest, "url": f"https://example.org/{name}.py"})


def in_catalog(ml: DerivaML, description: str) -> list[str]:
    return [record.rid for record in ml.find_executions() if record.description == description]


def metadata_names(ml: DerivaML, exe: Execution) -> list[str]:
    return sorted(str(asset.filename) for asset in ml.summarize_execution(exe.execution_rid).output_assets)


def test_every_boundary(ml: DerivaML, workflow: Workflow, fork: Fork, boundary: Any) -> None:
    wanted: list[str] = []
    for number in range(STEP, MOST, STEP):
        name = f"begin-{number}"
        code = fresh(workflow, name)
        spec = ExecutionSpec(workflow=code, description=name)

        def child(number: int = number, spec: ExecutionSpec = spec) -> None:
            boundary(number).install()
            ml.create_execution(spec)

        status = fork(child).wait()
        assert status in (0, 99), f"boundary {number}"
        orphans = in_catalog(ml, name)
        assert len(orphans) <= 1, f"boundary {number}"
        known = {entry.rid for entry in list_executions(open_journal(ml.working_dir)) if entry.description == name}
        assert set(orphans) <= known, f"boundary {number}: the journal does not know {orphans}"
        for rid in known:
            resumed = ml.resume_execution(rid)
            assert resumed.status is S.Created
            with resumed:
                pass
            resumed.upload_execution_outputs(retry_delay=0)
            known_files = metadata_names(ml, resumed)
            # the tests' own code may have changes that are not committed
            names = [text.split("_2")[0] for text in known_files if text != "uncommitted.diff"]
            wanted = wanted or ["configuration.json", f"deriva-ml-run-{rid}.json", "environment_snapshot"]
            assert [n for n in names if not n.startswith("deriva-ml-run")] == [
                n for n in wanted if not n.startswith("deriva-ml-run")
            ], f"boundary {number}"
        later = ml.create_execution(ExecutionSpec(workflow=fresh(workflow, name), description=f"{name} later"))
        rows = [row for row in ml.find_workflows() if row.checksum == code.checksum]
        assert len(rows) == 1, f"boundary {number}"
        assert rows[0].workflow_types == ("Training",), f"boundary {number}"
        assert later.workflow_rid == rows[0].rid
        later.abort()
        if status == 0:
            assert number > 20
            return
    raise AssertionError("the beginning never ended")


def test_every_boundary_of_a_flow_run(ml: DerivaML, workflow: Workflow, fork: Fork, boundary: Any) -> None:
    """The flow run begins again and works on the one execution that it began."""
    for number in range(STEP, MOST, 2 * STEP):
        name = f"flow-{number}"
        request = Request(
            ml.address, ExecutionSpec(workflow=fresh(workflow, name), description=name), flow_run_id=f"run-{number}"
        )

        def child(number: int = number, request: Request = request) -> None:
            boundary(number).install()
            begin_execution(request)

        status = fork(child).wait()
        assert status in (0, 99), f"boundary {number}"
        context = begin_execution(request)
        assert in_catalog(ml, name) == [context.rid], f"boundary {number}"
        # whether there are uncommitted changes is the working tree's matter
        names = [name for name in metadata_names(ml, Execution(ml, context)) if name != "uncommitted.diff"]
        assert len(names) == 3, f"boundary {number}: {names}"
        assert entry_of(context).status is S.Created
        assert len([row for row in ml.find_workflows() if row.url == f"https://example.org/{name}.py"]) == 1
        abort(ml.address, context.rid)
        if status == 0:
            return
    raise AssertionError("the beginning never ended")
