"""A model small enough for a test: fits a line through the origin."""

from __future__ import annotations

import json
from typing import Any


def fit_line(
    slope: float = 1.0,
    epochs: int = 2,
    fail: bool = False,
    label: str = "",
    password: str = "",
    show: bool = False,
    ml_instance: Any = None,
    execution: Any = None,
) -> None:
    """Write one metric an epoch and a model file; `label` and `password` are only there to be configured and shown."""
    if show:
        print(f"the label has {len(label)} characters")
        print(f"the label is {label!r}" if len(label) < 20 else "")
    if fail:
        raise ValueError("the line is not straight")
    with execution.metrics_file().open("a") as stream:
        for epoch in range(epochs):
            stream.write(json.dumps({"epoch": epoch, "slope": slope}) + "\n")
    execution.asset_file_path("Execution_Asset", "line.txt", asset_types="Model_File").write_text(str(slope))
