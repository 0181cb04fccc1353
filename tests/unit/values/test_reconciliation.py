"""Which side is right, for all pairs of statuses."""

from __future__ import annotations

import itertools

import pytest

from deriva_ml_prefect.exceptions import DerivaMLStateInconsistency
from deriva_ml_prefect.values.reconciliation import Winner, reconcile
from deriva_ml_prefect.values.status import ExecutionStatus, is_legal

S = ExecutionStatus


@pytest.mark.parametrize("unsent", [False, True])
@pytest.mark.parametrize("status", S)
def test_equal_sides_need_nothing(status: ExecutionStatus, unsent: bool) -> None:
    assert reconcile("1-A", status, status, unsent=unsent) is Winner.neither


@pytest.mark.parametrize(
    ("journal", "catalog"),
    [
        (S.Created, S.Aborted),
        (S.Running, S.Aborted),
        (S.Stopped, S.Aborted),
        (S.Failed, S.Aborted),
        (S.Running, S.Failed),
        (S.Pending_Upload, S.Uploaded),
    ],
)
def test_catalog_is_right(journal: ExecutionStatus, catalog: ExecutionStatus) -> None:
    assert reconcile("1-A", journal, catalog, unsent=False) is Winner.catalog


@pytest.mark.parametrize(
    ("journal", "catalog"),
    [(S.Running, S.Created), (S.Stopped, S.Running), (S.Failed, S.Running), (S.Uploaded, S.Pending_Upload)],
)
@pytest.mark.parametrize("unsent", [False, True])
def test_journal_is_ahead(journal: ExecutionStatus, catalog: ExecutionStatus, unsent: bool) -> None:
    assert reconcile("1-A", journal, catalog, unsent=unsent) is Winner.journal


def test_unsent_retry_of_an_upload_wins_over_the_failure_before() -> None:
    assert reconcile("1-A", S.Pending_Upload, S.Failed, unsent=True) is Winner.journal
    assert reconcile("1-A", S.Pending_Upload, S.Failed, unsent=False) is Winner.catalog


@pytest.mark.parametrize(
    ("journal", "catalog"), [(S.Created, S.Uploaded), (S.Stopped, S.Failed), (S.Running, S.Uploaded)]
)
def test_contradiction_is_named(journal: ExecutionStatus, catalog: ExecutionStatus) -> None:
    with pytest.raises(DerivaMLStateInconsistency, match=f"1-A is {journal} in the local journal and {catalog}"):
        reconcile("1-A", journal, catalog, unsent=False)


def test_every_pair_has_an_answer_and_the_journal_never_forces_an_illegal_edge() -> None:
    for journal, catalog, unsent in itertools.product(S, S, (False, True)):
        try:
            winner = reconcile("1-A", journal, catalog, unsent=unsent)
        except DerivaMLStateInconsistency:
            continue
        if winner is Winner.journal:
            assert is_legal(catalog, journal)


def test_a_run_that_the_catalog_heard_nothing_of_is_many_edges_ahead() -> None:
    ahead = reconcile("1-A", S.Pending_Upload, S.Created, unsent=True, next_step=S.Running)
    assert ahead is Winner.journal
    with pytest.raises(DerivaMLStateInconsistency):
        reconcile("1-A", S.Pending_Upload, S.Created, unsent=True, next_step=S.Stopped)


def test_a_person_who_aborted_a_run_is_not_overruled_by_its_unsent_steps() -> None:
    assert reconcile("1-A", S.Running, S.Aborted, unsent=True, next_step=S.Running) is Winner.catalog
