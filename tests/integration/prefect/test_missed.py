"""Where many others use a Prefect server, it is asked for the runs of this machine alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.states import Completed, Running

from deriva_ml_prefect.journal import flow_runs
from deriva_ml_prefect.journal.store import close_journals, open_journal
from deriva_ml_prefect.outage import missed

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server")]


@flow(name="of-somebody")
def somebodys() -> None: ...


@pytest.fixture
def client() -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client


@pytest.mark.parametrize("page", [2, 200])
def test_runs_of_this_machine_that_are_running(
    client: SyncPrefectClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    made: list[UUID] = []
    try:
        for state in [Running()] * 6 + [Completed()]:
            # a state of its own each: Prefect keeps it under its id
            made.append(client.create_flow_run(somebodys, state=type(state)(type=state.type)).id)
        journal = open_journal(tmp_path)
        for run_id in (made[0], made[1], made[2], made[6]):
            flow_runs.bind_flow_run(journal, str(run_id), 1, f"1-{str(run_id)[:4]}")
        monkeypatch.setattr(missed, "_PAGE", page)
        found = {run.id for run in missed._running(client, journal)}
        assert found & set(made) == set(made[:3] if page == 2 else made[:6])
    finally:
        close_journals()
        for run_id in made:
            client.delete_flow_run(run_id)
