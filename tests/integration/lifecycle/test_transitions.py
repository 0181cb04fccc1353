"""Every pair of statuses, legal and illegal, through update_status: in the journal and in the catalog."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from deriva_ml_prefect.catalog import executions as catalog_executions
from deriva_ml_prefect.exceptions import DerivaMLOwnershipError, DerivaMLUploadError, InvalidTransitionError
from deriva_ml_prefect.journal.executions import status_history
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.phases.context import catalog_of, entry_of, journal_of
from deriva_ml_prefect.values.status import TRANSITIONS, ExecutionStatus

Begin = Callable[..., Execution]
S = ExecutionStatus

WAYS = {
    S.Created: (),
    S.Running: (S.Running,),
    S.Stopped: (S.Running, S.Stopped),
    S.Failed: (S.Running, S.Failed),
    S.Pending_Upload: (S.Running, S.Stopped, S.Pending_Upload),
    S.Uploaded: (S.Running, S.Stopped, S.Pending_Upload, S.Uploaded),
    S.Aborted: (S.Aborted,),
}
"""A shortest way from Created to each status."""


def bring(exe: Execution, status: ExecutionStatus) -> None:
    for step in WAYS[status]:
        exe.update_status(step, f"on the way to {status}")


def both(ml: DerivaML, exe: Execution) -> tuple[ExecutionStatus, ExecutionStatus]:
    """The status in the journal and in the catalog."""
    return entry_of(exe.context).status, ml.lookup_execution(exe.execution_rid).status


@pytest.mark.spec(
    "status.enforced",
    "status.no-others",
    "status.no-Stopped-Failed",
    "status.no-Created-Stopped",
    "status.no-Uploaded-Failed",
    "progress.same-status",
    "edge.Created-Running",
    "edge.Running-Stopped",
    "edge.Running-Failed",
    "edge.Running-Pending_Upload",
    "edge.Stopped-Pending_Upload",
    "edge.Pending_Upload-Uploaded",
    "edge.Pending_Upload-Failed",
    "edge.Failed-Pending_Upload",
    "edge.Uploaded-Pending_Upload",
    "edge.Created-Aborted",
    "edge.Running-Aborted",
    "edge.Stopped-Aborted",
    "edge.Failed-Aborted",
)
@pytest.mark.parametrize("source", S)
def test_every_pair(ml: DerivaML, begin: Begin, source: ExecutionStatus) -> None:
    for target in S:
        exe = begin()
        bring(exe, source)
        assert both(ml, exe) == (source, source)
        before = status_history(journal_of(exe.context), exe.execution_rid)
        if (source, target) in TRANSITIONS or source is target:
            exe.update_status(target, "the message")
            assert both(ml, exe) == (target, target)
            assert ml.lookup_execution(exe.execution_rid).status_detail == "the message"
            assert entry_of(exe.context).catalog_status == target
            continue
        detail = ml.lookup_execution(exe.execution_rid).status_detail
        with pytest.raises(InvalidTransitionError, match=f"is {source} and cannot become {target}"):
            exe.update_status(target, "never seen")
        assert both(ml, exe) == (source, source)
        assert ml.lookup_execution(exe.execution_rid).status_detail == detail
        assert status_history(journal_of(exe.context), exe.execution_rid) == before


def test_the_ways_use_legal_edges() -> None:
    for way in WAYS.values():
        assert all(edge in TRANSITIONS for edge in itertools.pairwise((S.Created, *way)))


@pytest.mark.spec("status.by-hand")
def test_uploaded_is_refused_while_something_waits(ml: DerivaML, begin: Begin) -> None:
    with begin() as exe:
        exe.asset_file_path("Image", "waits.png").write_bytes(b"waits")
    exe.update_status(S.Pending_Upload)
    with pytest.raises(DerivaMLUploadError, match="1 file without"):
        exe.update_status(S.Uploaded)
    assert both(ml, exe) == (S.Pending_Upload, S.Pending_Upload)


def test_status_written_by_somebody_else_is_never_overwritten(ml: DerivaML, begin: Begin) -> None:
    exe = begin()
    exe.update_status(S.Running)
    catalog = catalog_of(exe.context)
    assert catalog_executions.swap_status(catalog, exe.execution_rid, S.Running, S.Aborted, "by an administrator")
    with pytest.raises(DerivaMLOwnershipError, match="by an administrator"):
        exe.update_status(S.Running, "Epoch 2")
    assert both(ml, exe) == (S.Aborted, S.Aborted)
    with pytest.raises(InvalidTransitionError):
        exe.update_status(S.Stopped)


def test_deleted_row_is_named(ml: DerivaML, begin: Begin) -> None:
    exe = begin()
    exe.update_status(S.Running)
    schema = ml.pathBuilder().schemas["deriva-ml"]
    for table, column in (("Execution_Metadata_Execution", "Execution"), ("Execution", "RID")):
        path = schema.tables[table]
        path.filter(path.column_definitions[column] == exe.execution_rid).delete()
    with pytest.raises(DerivaMLOwnershipError, match="deleted its row"):
        exe.update_status(S.Stopped)
