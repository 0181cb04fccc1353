"""Everything that a person meets: a Prefect server with its pages, a worker, a catalog, blocks and a deployment."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import end_embedded
from tests.prefect_process import PrefectServer, output_of, prefect_process, wait_until, worker_process

ROOT = Path(__file__).parents[4]
POOL = "browser"
DEPLOYMENT = "train-network/browser"

SET_UP = """
import json
from deriva_ml_prefect import DerivaML, ExecutionConfiguration, Workflow
from deriva_ml_prefect.blocks import DerivaCatalog, DerivaCredentials
from deriva_ml_prefect.ml.creation import create_ml_catalog

ml = DerivaML("embedded", create_ml_catalog("embedded", "lab", "lab").catalog_id)
ml.add_term("Dataset_Type", "Training", "To train on", exists_ok=True)
workflow = ml.create_workflow("Load images", "Training", "Makes the dataset")
with ml.create_execution(ExecutionConfiguration(workflow=workflow, description="Load the images")) as execution:
    dataset = execution.create_dataset(["Training"], description="500 images of digits", version="1.0.0")
execution.upload_execution_outputs()
for block in (DerivaCredentials, DerivaCatalog, ExecutionConfiguration):
    block.register_type_and_schema()
DerivaCatalog(hostname="embedded", catalog_id=ml.catalog_id).save("lab")
ExecutionConfiguration(
    datasets=[{"rid": dataset.dataset_rid, "description": "To learn from"}],
    workflow=Workflow(name="train-network", workflow_type=["Training"]),
    description="Train on the digits",
).save("train-digits")
print(json.dumps({"catalog": ml.catalog_id, "dataset": dataset.dataset_rid}))
"""


@dataclass(frozen=True)
class Stage:
    server: PrefectServer
    deriva_home: Path
    folder: Path
    """Where the flow's file lies, and where the worker works."""
    catalog_id: str
    dataset: str

    @property
    def environment(self) -> dict[str, str]:
        """Variables of everything that runs here."""
        return {**self.server.environment, **deriva_variables(self.deriva_home, self.folder)}

    def python(self, code: str) -> Any:
        """What a program prints as JSON in its last line."""
        return json.loads(output_of([sys.executable, "-c", code], self.environment, self.folder).splitlines()[-1])

    def prefect(self, *arguments: str) -> str:
        """What a command of Prefect prints."""
        return output_of(["prefect", *arguments], self.environment, self.folder)

    def trainings(self) -> list[str]:
        """RIDs of the executions whose code has run, in order."""
        path = self.folder / "counter"
        return path.read_text().split() if path.exists() else []

    def deployment_id(self) -> str:
        (found,) = self.server.ask("/deployments/filter", {"deployments": {"name": {"any_": ["browser"]}}})
        return str(found["id"])

    def run_deployment(self, **parameters: Any) -> dict[str, Any]:
        """Run the deployment, and give the flow run when it has ended."""
        run = self.server.ask(f"/deployments/{self.deployment_id()}/create_flow_run", {"parameters": parameters})
        return self.await_end(run["id"])

    def await_end(self, run_id: str, *, after: int = -1) -> dict[str, Any]:
        """The flow run when it has ended, having started more often than `after`."""

        def ended() -> dict[str, Any] | None:
            run: dict[str, Any] = self.server.ask(f"/flow_runs/{run_id}")
            final = run["state"]["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
            return run if final and run["run_count"] > after else None

        found: dict[str, Any] = wait_until(ended, f"the end of flow run {run_id}")
        return found

    def artifacts(self, run_id: str) -> dict[str, dict[str, Any]]:
        """Artifacts of a flow run that has ended, when the last of them is there: they follow its end."""

        def all_there() -> dict[str, dict[str, Any]] | None:
            shown = self.server.artifacts(run_id)
            return shown if "files" in shown else None

        found: dict[str, dict[str, Any]] = wait_until(all_there, f"the artifacts of flow run {run_id}")
        return found

    def execution(self, rid: str) -> dict[str, Any]:
        """What the catalog says of an execution, and where its files are staged."""
        found: dict[str, Any] = self.python(
            "import json; from deriva_ml_prefect import DerivaML\n"
            f"s = DerivaML('embedded', {self.catalog_id!r}).summarize_execution({rid!r})\n"
            "print(json.dumps({'status': str(s.execution.status), 'detail': s.execution.status_detail,"
            " 'files': [a.filename for a in s.output_assets], 'folder': s.local.folder,"
            " 'description': s.execution.description, 'datasets': [d.rid for d in s.input_datasets]}))"
        )
        return found


def _commit(folder: Path) -> None:
    """The flow's file is in a repository, as that of a lab."""
    (folder / ".gitignore").write_text("counter\n__pycache__/\n")
    who = ["-c", "user.name=Lab", "-c", "user.email=lab@example.org"]
    for command in (
        ["init", "--quiet"],
        ["remote", "add", "origin", "https://example.org/lab/network.git"],
        ["add", "--all"],
        [*who, "commit", "--quiet", "--message", "A network"],
    ):
        subprocess.run(["git", *command], cwd=folder, check=True, timeout=60)


def deriva_variables(home: Path, folder: Path) -> dict[str, str]:
    return {
        "DERIVA_ML_HOME": str(home),
        "DERIVA_ML_ALLOW_DIRTY": "true",
        "UI_CATALOG": "embedded/lab",
        "UI_COUNTER": str(folder / "counter"),
        "PYTHONPATH": str(ROOT),
    }


def _limit_of_trainings() -> list[str]:
    """The limit that prefect.yaml sets for a training, as options of `prefect deploy`."""
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    (limit,) = [each["concurrency_limit"] for each in deployments if each["entrypoint"].endswith(":train_digits")]
    return ["--concurrency-limit", str(limit["limit"]), "--collision-strategy", limit["collision_strategy"]]


@contextlib.contextmanager
def whole_stage(folder: Path) -> Iterator[Stage]:
    """Bring everything up in an empty folder, and end it after the block."""
    home, work = folder / "deriva", folder / "work"
    work.mkdir(parents=True)
    shutil.copy(Path(__file__).parent / "digits_flow.py", work / "train_network.py")
    _commit(work)
    for name in ("DERIVA_ML_HOST", "DERIVA_ML_CATALOG"):
        os.environ.pop(name, None)
    try:
        settings = {"PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false", "PREFECT_API_LOG_RETRYABLE_ERRORS": "true"}
        with prefect_process(folder / "prefect", **settings) as server:
            stage = Stage(server, home, work, "lab", "")
            made = stage.python(SET_UP)
            stage = Stage(server, home, work, made["catalog"], made["dataset"])
            stage.prefect("work-pool", "create", POOL, "--type", "process")
            deploy = ("--no-prompt", "deploy", "train_network.py:train", "-n", "browser", "-p", POOL)
            stage.prefect(*deploy, *_limit_of_trainings())
            with worker_process(server, POOL, work, **deriva_variables(home, work)):
                yield stage
    finally:
        end_embedded(home)
