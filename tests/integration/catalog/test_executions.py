"""Vocabularies, workflows and executions, written, repeated and read back."""

from __future__ import annotations

from itertools import pairwise

import pytest

from deriva_ml_prefect.catalog import executions, vocabulary, workflows
from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.catalog.rows import get_rows, insert_rows, lease_rids, new_token, update_rows
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.exceptions import (
    DerivaMLCatalogConflict,
    DerivaMLInvalidTerm,
    DerivaMLNotFoundError,
    DerivaMLTableNotFound,
    DerivaMLTableTypeError,
    DerivaMLValidationError,
)
from deriva_ml_prefect.values.status import ExecutionStatus as S


def lease(catalog: Catalog, count: int = 1) -> list[str]:
    return lease_rids(catalog, [new_token() for _ in range(count)])


@pytest.fixture(scope="module")
def workflow(shared: Catalog) -> str:
    (rid,) = lease(shared)
    code = Workflow(name="Train", workflow_type=["Training", "Testing"], url="https://x.org/a.py", checksum="a" * 40)
    return workflows.insert_workflow(shared, rid, code).rid


@pytest.fixture
def execution(shared: Catalog, workflow: str) -> str:
    (rid,) = lease(shared)
    return executions.insert_execution(shared, rid, workflow_rid=workflow, description="a run").rid


def test_vocabulary_terms_and_synonyms(shared: Catalog) -> None:
    table = vocabulary.create_vocabulary(shared, "Grade", "How bad")
    term = vocabulary.add_term(shared, "Grade", "Mild", "a little", ["light", "slight, so to say"])
    assert term.id == f"demo:{term.rid}"
    assert vocabulary.lookup_term(shared, "Grade", "light") == term
    assert vocabulary.lookup_term(shared, table, "slight, so to say") == term
    assert vocabulary.add_term(shared, "Grade", "Mild", "again") == term
    with pytest.raises(DerivaMLValidationError):
        vocabulary.add_term(shared, "Grade", "Mild", "again", exists_ok=False)
    assert [t.name for t in vocabulary.list_terms(shared, "Grade")] == ["Mild"]
    with pytest.raises(DerivaMLInvalidTerm, match=r"Did you mean Mild.*It has: Mild"):
        vocabulary.lookup_term(shared, "Grade", "Midl")
    with pytest.raises(DerivaMLCatalogConflict):
        vocabulary.create_vocabulary(shared, "Grade")


def test_required_terms_cost_one_request_and_none_for_none(shared: Catalog) -> None:
    assert shared.model
    before = shared.client.requests
    assert set(vocabulary.require_terms(shared, "Asset_Type", ["Model_File", "File"])) == {"Model_File", "File"}
    assert shared.client.requests == before + 1
    assert vocabulary.require_terms(shared, "Asset_Type", []) == {}
    assert shared.client.requests == before + 1


def test_tables_that_are_not_there_or_of_another_kind(shared: Catalog) -> None:
    with pytest.raises(DerivaMLTableNotFound, match="Execution"):
        vocabulary.list_terms(shared, "Executoin")
    with pytest.raises(DerivaMLTableTypeError):
        vocabulary.list_terms(shared, "Execution")


@pytest.mark.parametrize(
    ("url", "checksum"), [(None, "a" * 40), ("https://x.org/other", "a" * 40), ("https://x.org/a.py", None)]
)
def test_workflow_is_found_by_checksum_or_url(shared: Catalog, workflow: str, url: str | None, checksum: str) -> None:
    found = workflows.find_workflow(shared, url=url, checksum=checksum)
    assert found is not None
    assert found.rid == workflow
    assert found.workflow_types == ("Testing", "Training")


def test_workflow_unknown(shared: Catalog, workflow: str) -> None:
    assert workflows.find_workflow(shared, url="https://x.org/b.py", checksum="b" * 40) is None
    assert workflows.find_workflow(shared, url=None, checksum=None) is None
    with pytest.raises(DerivaMLNotFoundError):
        workflows.read_workflow(shared, "ZZZZ")
    assert workflows.read_workflow(shared, workflow).name == "Train"


def test_workflow_without_types_is_listed_once(shared: Catalog) -> None:
    (rid,) = lease(shared)
    workflows.insert_workflow(shared, rid, Workflow(name="plain", url="u:1", checksum="1"))
    assert [w.workflow_types for w in workflows.list_workflows(shared) if w.rid == rid] == [()]


def test_type_that_an_older_release_wrote(shared: Catalog) -> None:
    row = {"Name": "old", "URL": "u:old", "Workflow_Type": "Analysis"}
    (made,) = insert_rows(shared, ("deriva-ml", "Workflow"), [row])
    assert workflows.read_workflow(shared, made["RID"]).workflow_types == ("Analysis",)


def test_both_forms_of_the_type_are_written(shared: Catalog, workflow: str) -> None:
    (row,) = get_rows(shared, f"entity/deriva-ml:Workflow/RID={workflow}")
    assert row["Workflow_Type"] == "Training"


def test_insert_execution_again_gives_the_row_as_it_is_by_now(shared: Catalog, workflow: str, execution: str) -> None:
    assert executions.swap_status(shared, execution, S.Created, S.Running, "go")
    record = executions.insert_execution(shared, execution, workflow_rid=workflow, description="a run")
    assert record.status is S.Running
    with pytest.raises(DerivaMLCatalogConflict, match="Description"):
        executions.insert_execution(shared, execution, workflow_rid=workflow, description="another run")


def test_status_is_compared_and_swapped(shared: Catalog, execution: str) -> None:
    record = executions.read_execution(shared, execution)
    assert record is not None
    assert (record.status, record.stored_status, record.status_detail) == (S.Created, "Created", None)
    assert executions.swap_status(shared, execution, record.stored_status, S.Running, "started")
    assert not executions.swap_status(shared, execution, S.Created, S.Aborted, "too late")
    durations = {"execution": "0.0H 1.0min 2.3456sec", "upload": "0.0H 0.0min 1.0sec"}
    assert executions.swap_status(shared, execution, S.Running, S.Stopped, "done", durations=durations)
    after = executions.read_execution(shared, execution)
    assert after is not None
    assert (after.status, after.status_detail, dict(after.durations)) == (S.Stopped, "done", durations)
    (row,) = get_rows(shared, f"entity/deriva-ml:Execution/RID={execution}")
    assert row["Duration"] == row["Execution_Duration"] == durations["execution"]
    executions.write_detail(shared, execution, "only words")
    assert executions.swap_status(
        shared, execution, S.Stopped, S.Stopped, "only words", durations={"download": "x", "unknown": "y"}
    )
    last = executions.read_execution(shared, execution)
    assert last is not None
    assert last.status_detail == "only words"
    assert last.durations["download"] == "x"


def test_old_statuses_are_read(shared: Catalog, execution: str) -> None:
    for text, detail, status in [("Pending", None, S.Created), ("Completed", "", S.Stopped), (None, None, S.Created)]:
        update_rows(shared, ("deriva-ml", "Execution"), [{"RID": execution, "Status": text, "Status_Detail": detail}])
        record = executions.read_execution(shared, execution)
        assert record is not None
        assert record.status is status
        assert execution in [r.rid for r in executions.list_executions(shared, status=status)]


def test_list_executions_newest_first(shared: Catalog, workflow: str) -> None:
    made = []
    for rid in lease(shared, 3):
        executions.insert_execution(shared, rid, workflow_rid=workflow, description=f"run {rid}")
        made.append(rid)
    listed = [record.rid for record in executions.list_executions(shared, workflow_rids=[workflow], limit=3)]
    assert listed == made[::-1]
    assert executions.read_execution(shared, "ZZZZ-ZZZZ") is None
    assert {r.rid for r in executions.read_executions(shared, made)} == set(made)


def test_nesting(shared: Catalog, workflow: str) -> None:
    parent, *children = lease(shared, 3)
    for rid in (parent, *children):
        executions.insert_execution(shared, rid, workflow_rid=workflow, description="n")
    for number, child in enumerate(children):
        executions.link_nested(shared, parent, child, sequence=number)
        executions.link_nested(shared, parent, child, sequence=number)
    assert executions.list_nested(shared, parent) == [(children[0], 0), (children[1], 1)]
    assert executions.list_nested(shared, children[1], parents=True) == [(parent, 1)]


def test_requests_of_an_execution_without_files(again: Catalog, workflow: str) -> None:
    before = again.client.requests
    found = workflows.find_workflow(again, url=None, checksum="a" * 40)
    assert found is not None
    (rid,) = lease(again)
    executions.insert_execution(again, rid, workflow_rid=found.rid, description="counted")
    statuses = [S.Created, S.Running, S.Stopped, S.Pending_Upload, S.Uploaded]
    for old, new in pairwise(statuses):
        assert executions.swap_status(again, rid, old, new, None)
    assert again.client.requests - before <= 8
