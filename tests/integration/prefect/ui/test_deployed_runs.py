"""What `prefect.yaml` promises of deployments, with a worker: limits that hold, parameters that are checked."""

from __future__ import annotations

import sys
import urllib.error
from itertools import pairwise
from typing import Any

import pytest

from tests.integration.prefect.ui.stage import POOL, Stage
from tests.prefect_process import background, wait_until

pytestmark = [pytest.mark.prefect, pytest.mark.slow]


@pytest.mark.workers
def test_runs_beyond_the_limit_wait(stage: Stage) -> None:
    known = len(stage.trainings())
    path = f"/deployments/{stage.deployment_id()}/create_flow_run"
    asked = [stage.server.ask(path, {"parameters": {"epochs": 40}})["id"] for _ in range(3)]
    runs = sorted((stage.await_end(run_id) for run_id in asked), key=lambda run: str(run["start_time"]))
    assert [run["state"]["type"] for run in runs] == ["COMPLETED"] * 3
    for earlier, later in pairwise(runs):
        assert earlier["end_time"] <= later["start_time"]
    assert len(stage.trainings()) == known + 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": "many"},
        {"configuration": {"dataset": ["1-ABCD"]}},
        {"configuration": {"datasets": [{"version": "1.0.0"}]}},
    ],
    ids=["kind", "key of the configuration", "RID missing"],
)
def test_wrong_parameters_are_refused_before_anything_runs(stage: Stage, wrong: dict[str, Any]) -> None:
    before = len(stage.server.flow_runs())
    with pytest.raises(urllib.error.HTTPError) as refused:
        stage.server.ask(f"/deployments/{stage.deployment_id()}/create_flow_run", {"parameters": wrong})
    assert refused.value.code == 409
    assert len(stage.server.flow_runs()) == before


def test_a_plain_dict_with_bare_rids_reaches_the_code(stage: Stage) -> None:
    known = len(stage.trainings())
    run = stage.run_deployment(configuration={"datasets": [stage.dataset], "description": "from a dict"}, epochs=1)
    assert run["state"]["type"] == "COMPLETED", run["state"]
    told = stage.execution(stage.trainings()[known])
    assert (told["datasets"], told["description"], told["status"]) == ([stage.dataset], "from a dict", "Uploaded")


def test_a_reference_reaches_the_code(stage: Stage) -> None:
    known = len(stage.trainings())
    saved = stage.server.ask("/block_types/slug/deriva-ml-execution-configuration/block_documents/name/train-digits")
    run = stage.run_deployment(configuration={"$ref": {"block_document_id": saved["id"]}}, epochs=1)
    assert run["state"]["type"] == "COMPLETED", run["state"]
    told = stage.execution(stage.trainings()[known])
    assert (told["datasets"], told["description"]) == ([stage.dataset], "Train on the digits")


def test_values_that_no_schema_can_know_end_the_run_with_the_fields_name(stage: Stage) -> None:
    known = len(stage.trainings())
    run = stage.run_deployment(configuration={"description": "*" * 10})
    assert run["state"]["type"] == "FAILED"
    assert "description is **********" in run["state"]["message"]
    assert len(stage.trainings()) == known


def run_of_deployment(stage: Stage, name: str) -> dict[str, Any]:
    """Run a deployment by its name when it is there, and give the flow run when it has ended."""
    (found,) = wait_until(
        lambda: stage.server.ask("/deployments/filter", {"deployments": {"name": {"any_": [name]}}}),
        f"the deployment {name}",
    )
    run = stage.server.ask(f"/deployments/{found['id']}/create_flow_run", {"parameters": {"epochs": 1}})
    return stage.await_end(run["id"])


FROM_SOURCE = """
import json
from prefect import flow

found = flow.from_source(source={folder!r}, entrypoint="train_network.py:train")
print(json.dumps(str(found.deploy(name="from-source", work_pool_name={pool!r}, print_next_steps=False))))
"""


def test_a_flow_from_a_source_is_deployed_and_runs(stage: Stage) -> None:
    known = len(stage.trainings())
    stage.python(FROM_SOURCE.format(folder=str(stage.folder), pool=POOL))
    run = run_of_deployment(stage, "from-source")
    assert run["state"]["type"] == "COMPLETED", run["state"]
    (rid,) = stage.trainings()[known:]
    assert stage.execution(rid)["status"] == "Uploaded"


def test_a_flow_that_is_served_runs(stage: Stage) -> None:
    known = len(stage.trainings())
    program = "from train_network import train; train.serve(name='served', print_starting_message=False)"
    log = stage.server.home / "served.log"
    with background([sys.executable, "-c", program], stage.environment, log, stage.folder):
        run = run_of_deployment(stage, "served")
    assert run["state"]["type"] == "COMPLETED", run["state"]
    (rid,) = stage.trainings()[known:]
    assert stage.execution(rid)["status"] == "Uploaded"
