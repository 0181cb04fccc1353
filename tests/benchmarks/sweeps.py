"""A sweep of executions that do nothing: no status is lost, and requests grow as the number of its parts does."""

from __future__ import annotations

import functools
from contextlib import ExitStack

from tests.benchmarks.comparison import Comparison
from tests.benchmarks.counting import counting_proxy
from tests.benchmarks.flow_runs import prefect_server
from tests.benchmarks.world import World

SIZES = (50, 100, 200)
AT_ONCE = 2


def compare(world: World, stack: ExitStack) -> list[Comparison]:
    stack.enter_context(prefect_server(world))
    from deriva_ml_prefect import ExecutionStatus, deriva_execution, run_nested
    from deriva_ml_prefect.blocks import DerivaCatalog, DerivaCredentials

    ml = world.ml

    @functools.cache
    def swept(count: int) -> tuple[float, int]:
        """Requests a part, and how many of the parts did not come to Uploaded."""
        with counting_proxy(world.client.connection.port) as passed:
            catalog = DerivaCatalog(
                hostname=f"127.0.0.1:{passed.port}",
                catalog_id=str(ml.catalog_id),
                credentials=DerivaCredentials(bearer_token=world.client.token),
            )

            @deriva_execution(catalog=catalog, workflow_type="Training")
            def part(number: int) -> None:
                """The user's code, which does nothing."""

            @deriva_execution(catalog=catalog, workflow_type="Training")
            def whole() -> int:
                runs = run_nested(part, [{"number": n} for n in range(count)], max_at_once=AT_ONCE)
                return sum(1 for run in runs if run.status is not ExecutionStatus.Uploaded)

            lost = whole()
            # the signs of life and the model are asked for by the clock and by the process, not by the part
            asked = [request for request in passed.requests if not request.endswith("/schema")]
        return len(asked) / count, lost

    few, *more = (world.of(size) for size in SIZES)
    asked = [
        Comparison(
            f"requests a part, in a sweep of {many} / of {few}",
            lambda many=many: swept(many)[0],
            lambda: swept(few)[0],
            1.05,
            "requests",
            rounds=1,
            warm_up=False,
        )
        for many in more
    ]
    largest = more[-1]
    lost = Comparison(
        f"parts of a sweep of {largest} that are not Uploaded",
        lambda: float(swept(largest)[1]),
        None,
        0,
        "parts",
        rounds=1,
        warm_up=False,
    )
    return [*asked, lost]
