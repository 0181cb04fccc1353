"""Train a classifier on real handwritten digits, with everything it reads and makes recorded in a DERIVA catalog.

Run it as a script: the first run makes a catalog in the embedded DERIVA and loads 500 digits of scikit-learn into it as
a versioned dataset; every run is one execution, from Created to Uploaded. Run it again: the same catalog, another
execution, the same workflow, and the dataset comes from the cache.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Sequence
from typing import Any

from load_digits import CATALOG as CATALOG_ID
from load_digits import HOST, load_dataset, open_catalog

from deriva_ml_prefect import (
    DerivaML,
    ExecAssetType,
    Execution,
    ExecutionConfiguration,
    deriva_execution,
    exceptions,
)

CATALOG = f"{HOST}/{CATALOG_ID}"
HELD_OUT = 5
"""Every fifth image is held out of the training."""


# the experiment


def train(
    execution: Execution,
    ml_instance: DerivaML,
    epochs: int = 15,
    learning_rate: float = 0.01,
    seed: int = 7,
    pause: float = 0.0,
) -> str:
    """Train a linear classifier on the dataset of the configuration; the RID of the execution.

    Args:
        epochs: Passes over the training images.
        learning_rate: Size of a step.
        seed: For the order of the images.
        pause: Seconds to wait after each epoch.
    """
    import numpy as np
    from sklearn.linear_model import SGDClassifier

    rid = execution.execution_rid
    print(f"Execution {rid} runs. Should it be broken off: deriva-ml-prefect resume {rid}", flush=True)
    pixels, labels, rids = read_images(execution)
    held_out = np.arange(len(rids)) % HELD_OUT == 0
    model = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=learning_rate, random_state=seed)
    order = np.random.default_rng(seed)
    for epoch in range(1, epochs + 1):
        shuffled = order.permutation(np.flatnonzero(~held_out))
        model.partial_fit(pixels[shuffled], labels[shuffled], classes=list("0123456789"))
        metrics = {
            "epoch": epoch,
            "train_accuracy": float(model.score(pixels[~held_out], labels[~held_out])),
            "accuracy": float(model.score(pixels[held_out], labels[held_out])),
        }
        with execution.metrics_file().open("a") as stream:
            stream.write(json.dumps(metrics) + "\n")
        execution.update_status("Running", f"Epoch {epoch}/{epochs} — accuracy={metrics['accuracy']:.3f}")
        time.sleep(pause)

    write_model(execution, model, pixels[held_out], labels[held_out])
    record = ml_instance.lookup_feature("Image", "Predicted").feature_record_class()
    guesses = model.predict(pixels)
    sure = model.predict_proba(pixels).max(axis=1)
    execution.add_features(
        [
            record(Image=image, Digit=str(guess), Confidence=float(p), Held_Out=bool(held))
            for image, guess, p, held in zip(rids, guesses, sure, held_out, strict=True)
        ]
    )
    return rid


train_digits = deriva_execution(catalog=CATALOG, workflow_type="Training", name="train-digits")(train)
"""The same function as a Prefect flow."""


def read_images(execution: Execution) -> tuple[Any, Any, list[str]]:
    """Pixels (n, 64) between 0 and 1, labels (n,) as text, and RIDs of the images of the configured datasets."""
    import numpy as np
    from PIL import Image

    pixels, labels, rids = [], [], []
    for spec in execution.datasets:
        bag = execution.download_dataset_bag(spec)
        label_of = {record.Image: record.Digit for record in bag.feature_values("Image", "Label")}
        for row in sorted(bag.list_dataset_members()["Image"], key=lambda row: str(row["RID"])):
            with Image.open(row["Filename"]) as image:
                pixels.append(np.asarray(image, dtype="float32").reshape(-1) / 255)
            labels.append(label_of[row["RID"]])
            rids.append(row["RID"])
    return np.stack(pixels), np.array(labels), rids


def write_model(execution: Execution, model: Any, pixels: Any, labels: Any) -> None:
    """The model file, and its confusion matrix on the held-out images as a picture."""
    import joblib
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from sklearn.metrics import ConfusionMatrixDisplay

    path = execution.asset_file_path("Model", "digits.joblib", asset_types=["Model", ExecAssetType.model_file])
    joblib.dump(model, path)
    picture = execution.asset_file_path("Figure", "confusion_matrix.png", description="Held-out images")
    figure, axes = pyplot.subplots(figsize=(6, 6), layout="constrained")
    ConfusionMatrixDisplay.from_estimator(model, pixels, labels, ax=axes, colorbar=False)
    axes.set_title(f"Execution {execution.execution_rid}, {len(labels)} held-out digits")
    figure.savefig(picture, dpi=120)
    pyplot.close(figure)


# the story


def accuracy_in_catalog(ml: DerivaML, rid: str) -> float:
    """Share of the held-out images whose guess is their label, from the feature values that the catalog has."""
    labels = {record.Image: record.Digit for record in ml.feature_values("Image", "Label")}
    held_out = [record for record in ml.feature_values("Image", "Predicted", execution_rid=rid) if record.Held_Out]
    return sum(1 for record in held_out if labels[record.Image] == record.Digit) / len(held_out)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Train on handwritten digits, recorded in the embedded DERIVA.")
    parser.add_argument("--epochs", type=int, default=15, help="passes over the training images (15)")
    parser.add_argument("--learning-rate", type=float, default=0.01, help="size of a step (0.01)")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds to wait after each epoch (0)")
    options = parser.parse_args(arguments)
    warnings.filterwarnings("ignore", category=FutureWarning)
    began = time.monotonic()
    try:
        ml = open_catalog()
        for broken in ml.find_interrupted():
            print(f"Execution {broken.rid} was broken off ({broken.status}): deriva-ml-prefect resume {broken.rid}")
        spec = load_dataset(ml)
        print(f"Dataset {spec.rid} version {spec.version} is in catalog {CATALOG}.", flush=True)
        configuration = ExecutionConfiguration(
            datasets=[spec], description=f"Train on digits, {options.epochs} epochs, rate {options.learning_rate}"
        )
        state: Any = train_digits(
            configuration=configuration,
            epochs=options.epochs,
            learning_rate=options.learning_rate,
            pause=options.pause,
            return_state=True,
        )
        rid = state.result()
    except exceptions.DerivaMLException as e:
        print(f"{type(e).__name__}: {e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "Interrupted. The catalog says so; what was staged is uploaded by the resume command above.",
            file=sys.stderr,
        )
        return 130
    summary = ml.summarize_execution(rid)
    print(
        f"\nExecution        {rid}, {summary.execution.status}\n"
        f"Prefect flow run {state.state_details.flow_run_id}\n"
        f"Workflow         {summary.workflow.rid if summary.workflow else ''}\n"
        f"Dataset          {spec.rid} version {spec.version}\n"
        f"In the catalog   {summary.rows_uploaded} rows, {len(summary.output_assets)} files, "
        f"{summary.bytes_uploaded} bytes\n"
        f"Accuracy         {accuracy_in_catalog(ml, rid):.3f} on held-out images, computed from the catalog\n"
        f"It took          {time.monotonic() - began:.1f} s\n\n"
        f"See it again:    deriva-ml-prefect show {rid}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
