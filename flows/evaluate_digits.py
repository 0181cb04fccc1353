"""Evaluate a trained classifier on the digits: an execution of its own, which reads the model as an input.

Which model and which digits is the configuration's: `assets` names the model, `datasets` the digits. Without a model it
takes the newest in the catalog. What was measured is in the metrics file of the execution and in its Figure.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from load_digits import find_digits
from train_digits import CATALOG, read_images

from deriva_ml_prefect import AssetSpec, DerivaML, Execution, ExecutionConfiguration, deriva_execution, exceptions


@deriva_execution(catalog=CATALOG, workflow_type="Testing", name="evaluate-digits")
def evaluate_digits(execution: Execution, ml_instance: DerivaML, minimum_accuracy: float = 0.0) -> float:
    """Measure a model on the digits of the configuration; its accuracy, 0 to 1.

    Args:
        minimum_accuracy: Below this the execution fails; what was measured can still be uploaded.
    """
    import joblib
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from sklearn.metrics import ConfusionMatrixDisplay, accuracy_score

    if not execution.datasets:
        raise exceptions.DerivaMLConfigurationError(
            "evaluate-digits has nothing to measure on: name a dataset in the field datasets of the configuration."
        )
    given = execution.asset_paths.get("Model", [])
    model_path = given[0] if given else execution.download_asset(newest_model(ml_instance))
    model = joblib.load(model_path)
    pixels, labels, _ = read_images(execution)
    guesses = model.predict(pixels)
    accuracy = float(accuracy_score(labels, guesses))
    execution.log_metrics({"accuracy": accuracy, "images": len(labels)})
    picture = execution.asset_file_path("Figure", "evaluation.png", description=f"All {len(labels)} images")
    figure, axes = pyplot.subplots(figsize=(6, 6), layout="constrained")
    ConfusionMatrixDisplay.from_predictions(labels, guesses, ax=axes, colorbar=False)
    axes.set_title(f"Model {model_path.asset_rid}, accuracy {accuracy:.3f}")
    figure.savefig(picture, dpi=120)
    pyplot.close(figure)
    if accuracy < minimum_accuracy:
        raise RuntimeError(f"The accuracy is {accuracy:.3f}, below the minimum of {minimum_accuracy:.3f}.")
    return accuracy


def newest_model(ml: DerivaML) -> str:
    """RID of the model of the newest training that is in the catalog."""
    for training in ml.find_executions(workflow_type="Training", status="Uploaded"):
        for asset in training.output_assets:
            if asset.asset_table == "Model":
                return asset.asset_rid
    raise exceptions.DerivaMLNotFoundError(
        f"Catalog {CATALOG} has no model: train one first, for instance with `make quickstart`."
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Evaluate a trained classifier on the digits.")
    parser.add_argument("--model", metavar="RID", help="the model (the newest in the catalog)")
    parser.add_argument("--minimum-accuracy", type=float, default=0.0, help="fail below this, 0 to 1 (0)")
    options = parser.parse_args(arguments)
    configuration = ExecutionConfiguration(
        datasets=find_digits(),
        assets=[AssetSpec(rid=options.model)] if options.model else [],
        description="Evaluate a model on the digits",
    )
    try:
        accuracy = evaluate_digits(configuration=configuration, minimum_accuracy=options.minimum_accuracy)
    except exceptions.DerivaMLException as e:
        print(f"{type(e).__name__}: {e}", file=sys.stderr)
        return 1
    print(f"Accuracy {accuracy:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
