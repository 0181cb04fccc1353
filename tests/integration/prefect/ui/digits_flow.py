"""A training for somebody to look at in Prefect's pages: it measures something, and may forget to write its report."""

from __future__ import annotations

import logging
import math
import os
import time
from pathlib import Path

from deriva_ml_prefect import Execution, deriva_execution

logger = logging.getLogger(__name__)


@deriva_execution(
    catalog=os.environ.get("UI_CATALOG", "embedded/1"), workflow_type="Training", name="train-network", log_prints=True
)
def train(execution: Execution, epochs: int = 12, learning_rate: float = 0.1, write_report: bool = True) -> str:
    """Train a small network on the images of the configuration.

    Args:
        epochs: Passes over the training images.
        learning_rate: Size of a step.
        write_report: Whether to write the report; without it the upload fails.
    """
    with Path(os.environ["UI_COUNTER"]).open("a") as stream:
        stream.write(f"{execution.execution_rid}\n")
    for epoch in range(1, epochs + 1):
        fallen = math.exp(-learning_rate * epoch * 2)
        execution.log_metrics(
            {
                "train_loss": 2.3 * fallen + 0.05,
                "val_loss": 2.3 * fallen + 0.2 + 0.01 * (epoch % 3),
                "train_accuracy": 0.98 - 0.8 * fallen,
                "val_accuracy": 0.93 - 0.8 * fallen + 0.01 * (epoch % 2),
            },
            step=epoch,
        )
        logger.info("Epoch %d of %d: loss %.3f", epoch, epochs, 2.3 * fallen)
        time.sleep(0.05)
    execution.asset_file_path("Execution_Asset", "weights.bin", description="The network").write_bytes(b"w" * 250_000)
    report = execution.asset_file_path("Execution_Asset", "report.txt", description="What came out")
    if write_report:
        report.write_text("fine\n")
    return execution.execution_rid
