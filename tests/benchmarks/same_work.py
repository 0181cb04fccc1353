"""The same work done by deriva-ml or by this package, in a process of its own; both have the names that it uses.

`python same_work.py PACKAGE ACT HOST CATALOG COUNT FILE`, where PACKAGE is `deriva_ml` or `deriva_ml_prefect`. It says
`begin` and `end` around the work, each time waits for a line, and at last says how many seconds the work took.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

TABLE = "Compared_File"
Act = Callable[[Any, int, str], None]


def open_ml(package: str, host: str, catalog: str) -> tuple[Any, Callable[[str], Any]]:
    """The catalog, and a function that creates an execution of that description in it."""
    if package == "deriva_ml":
        from deriva_ml import DerivaML
        from deriva_ml.execution.execution_configuration import ExecutionConfiguration

        ml = DerivaML(host, catalog, "bench", working_dir="work", cache_dir="cache", use_minid=False)

        def create(description: str) -> Any:
            workflow = ml.create_workflow("Compared", "Training", description="The same work")
            return ml.create_execution(ExecutionConfiguration(workflow=workflow, description=description))

        return ml, create
    from deriva_ml_prefect import DerivaML

    ml = DerivaML(host, catalog)

    def create_ours(description: str) -> Any:
        return ml.create_execution(workflow=ml.create_workflow("Compared", "Training"), description=description)

    return ml, create_ours


def small_files(execution: Any, count: int, unique: str) -> None:
    for number in range(count):
        path = execution.asset_file_path(TABLE, f"{unique}-{number}.bin")
        path.write_bytes(f"{unique} {number} ".encode().ljust(4096, b"-"))


def large_file(execution: Any, count: int, unique: str) -> None:
    """`count` is MiB."""
    piece = unique.encode().ljust(1 << 20, b"-")
    with execution.asset_file_path(TABLE, f"{unique}.bin").open("wb") as out:
        for _ in range(count):
            out.write(piece)


def nothing(execution: Any, count: int, unique: str) -> None:
    """An empty execution."""


def features(ml: Any) -> Act:
    record = ml.feature_record_class("Compared", "Score")
    rows = ml.pathBuilder().schemas["bench"].tables["Compared"] if callable(ml.pathBuilder) else None
    table = rows if rows is not None else ml.pathBuilder.schemas["bench"].tables["Compared"]
    targets = [row["RID"] for row in table.entities().fetch()]

    def act(execution: Any, count: int, unique: str) -> None:
        execution.add_features([record(Compared=rid, Score=n / 7) for n, rid in enumerate(targets[:count])])

    return act


@contextmanager
def told() -> Iterator[None]:
    """Lets the other side count the requests of what is inside, and says how long it took."""
    print("begin", flush=True)
    sys.stdin.readline()
    began = time.perf_counter()
    yield
    spent = time.perf_counter() - began
    print("end", flush=True)
    sys.stdin.readline()
    print(spent, flush=True)


def main() -> None:
    package, name, host, catalog, count, unique = sys.argv[1:]
    ml, create = open_ml(package, host, catalog)
    acts: dict[str, Act] = {"files": small_files, "large": large_file, "empty": nothing}
    act = features(ml) if name == "features" else acts[name]
    with told():
        execution = create(f"{name} {unique}")
        with execution.execute() if hasattr(execution, "execute") else execution as running:
            act(running, int(count), unique)
        execution.upload_execution_outputs()


if __name__ == "__main__":
    main()
