"""The subjects that are measured, by name; a new one is a file beside this and a line here."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from tests.benchmarks import (
    bags,
    catalog_rows,
    commands,
    deriva_ml,
    executions,
    flow_runs,
    imports,
    large_files,
    memory,
    metrics,
    objects,
    staging,
    sweeps,
    uploads,
)
from tests.benchmarks.comparison import Comparison
from tests.benchmarks.world import World

SUBJECTS: dict[str, Callable[[World, ExitStack], list[Comparison]]] = {
    "rows": catalog_rows.compare,
    "objects": objects.compare,
    "memory": memory.compare,
    "bags": bags.compare,
    "executions": executions.compare,
    "flows": flow_runs.compare,
    "uploads": uploads.compare,
    "large": large_files.compare,
    "staging": staging.compare,
    "deriva-ml": deriva_ml.compare,
    "imports": imports.compare,
    "commands": commands.compare,
    "metrics": metrics.compare,
    # minutes of a Prefect server at work: whoever does not wait for them has all else by then
    "sweeps": sweeps.compare,
}
