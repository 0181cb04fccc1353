"""The name of the file that an execution uploads about itself."""

from __future__ import annotations

from deriva_ml_prefect.values.rid import RID


def run_record_name(rid: RID) -> str:
    """Name of the `Execution_Metadata` file with times, status history, attempts and outcome of an execution."""
    return f"deriva-ml-run-{rid}.json"
