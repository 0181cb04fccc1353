"""`@deriva_execution`: a function becomes a Prefect flow whose every run is recorded as an execution.

    @deriva_execution(catalog="embedded/1", workflow_type="Training")
    def train(epochs: int = 10, *, execution: Execution) -> float: ...

The parameters `execution` and `ml_instance`, if the function has them, are filled in and do not appear in the flow's
form; `configuration` and `dry_run` are added. The body runs as a subflow, inside the life cycle of `phases.lifecycle`
whose phases run as tasks; `current_execution()` works in it. Called without Prefect (`train.fn(...)`) the same life
cycle runs directly. What comes back is an ordinary `Flow`.

    flow        deriva_execution: the flow that is made of a function
    signature   what the flow shows of the function's parameters and docstring
    plan        Plan: what a decorated function is to be recorded as
    record      one run of the flow: the life cycle around the code
    earlier     the call that a run repeats, where Prefect gives that run a new id
    user_code   the function of the subflow, and how its errors are seen
    async_code  the coroutine of an async function, which a signal cancels
"""

from deriva_ml_prefect.decorators.async_code import settled
from deriva_ml_prefect.decorators.flow import deriva_execution
from deriva_ml_prefect.decorators.plan import is_recorded

__all__ = ["deriva_execution", "is_recorded", "settled"]
