"""Try several learning rates: one execution for the sweep, and nested in it one for each training.

A few run at a time. `dask` names the scheduler of a cluster whose workers run them: each needs this folder, and
`DERIVA_ML_HOME` on a file system that they share. A training whose worker dies is begun again on another one; when the
sweep itself is run again, trainings that came to their end are not repeated.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from load_digits import find_digits
from train_digits import CATALOG, accuracy_in_catalog, train_digits

from deriva_ml_prefect import DerivaML, Execution, ExecutionConfiguration, deriva_execution, exceptions, run_nested

RATES = [0.001, 0.003, 0.01, 0.03]


@deriva_execution(catalog=CATALOG, workflow_type="Training", name="sweep-digits")
def sweep_digits(
    execution: Execution,
    ml_instance: DerivaML,
    learning_rates: list[float] = RATES,
    epochs: int = 5,
    at_once: int = 2,
    dask: str = "",
) -> dict[str, Any]:
    """Train once for each learning rate on the digits of the configuration; the best run.

    Args:
        learning_rates: Sizes of a step.
        epochs: Passes over the training images, in each training.
        at_once: How many trainings run at the same time.
        dask: Address of a Dask scheduler, such as tcp://host:8786; empty for threads of this process.
    """
    if not execution.datasets:
        raise exceptions.DerivaMLConfigurationError(
            "sweep-digits has nothing to train on: name a dataset in the field datasets of the configuration."
        )
    runs = run_nested(
        train_digits,
        [{"learning_rate": rate, "epochs": epochs} for rate in learning_rates],
        configuration=execution.configuration,
        max_at_once=at_once,
        task_runner=_cluster(dask) if dask else None,
    )
    found = []
    for run in runs:
        if run.execution_rid:
            accuracy = accuracy_in_catalog(ml_instance, run.execution_rid)
            found.append({"learning_rate": run.parameters["learning_rate"], "accuracy": accuracy})
            execution.log_metrics({**found[-1], "execution": run.execution_rid}, step=run.sequence)
    draw(execution, found)
    return max(found, key=lambda one: one["accuracy"], default={})


def _cluster(address: str) -> Any:
    from prefect_dask.task_runners import DaskTaskRunner

    return DaskTaskRunner(address=address)


def draw(execution: Execution, found: Sequence[dict[str, Any]]) -> None:
    """Accuracy over learning rate, as a picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    picture = execution.asset_file_path("Figure", "learning_rates.png", description=f"{len(found)} trainings")
    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    axes.semilogx([one["learning_rate"] for one in found], [one["accuracy"] for one in found], marker="o")
    axes.set(xlabel="learning rate", ylabel="accuracy on held-out digits", title=f"Execution {execution.execution_rid}")
    axes.grid(visible=True, alpha=0.3)
    figure.savefig(picture, dpi=120)
    pyplot.close(figure)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Try several learning rates on the digits.")
    parser.add_argument("rates", nargs="*", type=float, default=RATES, help="learning rates (0.001 0.003 0.01 0.03)")
    parser.add_argument("--epochs", type=int, default=5, help="passes over the training images (5)")
    parser.add_argument("--at-once", type=int, default=2, help="trainings at the same time (2)")
    parser.add_argument("--dask", default="", metavar="ADDRESS", help="scheduler of a Dask cluster (threads here)")
    options = parser.parse_args(arguments)
    try:
        configuration = ExecutionConfiguration(datasets=find_digits(), description=f"Sweep over {options.rates}")
        best = sweep_digits(
            configuration=configuration,
            learning_rates=options.rates,
            epochs=options.epochs,
            at_once=options.at_once,
            dask=options.dask,
        )
    except exceptions.DerivaMLException as e:
        print(f"{type(e).__name__}: {e}", file=sys.stderr)
        return 1
    print(f"Best learning rate {best['learning_rate']}: accuracy {best['accuracy']:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
