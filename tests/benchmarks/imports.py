"""What it costs to import the package: with deriva-py's import as the limit, and Prefect's where Prefect is used."""

from __future__ import annotations

from contextlib import ExitStack

from tests.benchmarks.comparison import Comparison
from tests.benchmarks.processes import loaded, python
from tests.benchmarks.world import World

OURS = "import deriva_ml_prefect; deriva_ml_prefect.DerivaML"
THEIRS = "import deriva.core"


def compare(world: World, stack: ExitStack) -> list[Comparison]:
    return [
        Comparison("import deriva_ml_prefect and DerivaML / python with deriva-py", python(OURS), python(THEIRS), 1.5),
        Comparison(
            "Prefect imported by that",
            lambda: loaded(OURS, ["prefect"]),
            None,
            0,
            "packages",
            rounds=1,
            warm_up=False,
        ),
        Comparison(
            "first ExecutionConfiguration / import prefect",
            python("from deriva_ml_prefect import ExecutionConfiguration; ExecutionConfiguration()"),
            python("import prefect"),
            1.1,
        ),
    ]
