"""An execution without files of its own, created to Uploaded: its time, and the requests of a cold process."""

from __future__ import annotations

import itertools
from contextlib import ExitStack

from tests.benchmarks.comparison import Comparison, timed
from tests.benchmarks.counting import Counted, counting_proxy
from tests.benchmarks.world import World

METADATA = "Execution_Metadata"


def compare(world: World, stack: ExitStack) -> list[Comparison]:
    from deriva_ml_prefect.ml.deriva_ml import DerivaML

    numbers = itertools.count()
    ml = world.ml

    def empty(ml: DerivaML) -> None:
        workflow = ml.create_workflow("Empty", "Training")
        # each its own configuration, as real ones have: one that is in the object store already is not sent
        with ml.create_execution(workflow=workflow, description=f"Empty {next(numbers)}") as execution:
            pass
        execution.upload_execution_outputs()

    def cold() -> None:
        ml.refresh_schema()
        empty(ml)

    def counted() -> Counted:
        with counting_proxy(world.client.connection.port) as passed:
            host = f"127.0.0.1:{passed.port}"
            empty(DerivaML(host, ml.catalog_id, credential={"bearer-token": world.client.token}))
        return passed

    return [
        Comparison("an empty execution, created to Uploaded, without Prefect", timed(cold), None, 1.0),
        Comparison(
            "its ERMrest requests beside its metadata files",
            lambda: counted().of("ermrest", without=METADATA),
            None,
            12,
            "requests",
            rounds=2,
        ),
        Comparison(
            "all its requests",
            lambda: len(counted().requests),
            None,
            60 / 5,
            "requests",
            rounds=2,
            in_the_way="see LEAST_REQUESTS in tests/benchmarks/deriva_ml.py.",
        ),
    ]
