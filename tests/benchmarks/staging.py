"""Staging on this machine, of feature values and of files; and the values on their way to the catalog."""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.comparison import Comparison, timed
from tests.benchmarks.processes import run_program
from tests.benchmarks.world import JSON, World

if TYPE_CHECKING:
    from deriva_ml_prefect.config.workflow import Workflow
    from deriva_ml_prefect.ml.execution import Execution
    from deriva_ml_prefect.ml.feature import FeatureRecord

ROWS = 100_000
FEWER = 10_000
FILES = 100_000
THOUSAND = 1_000
AT_ONCE = 10_000
"""Rows of one bare request, as many as one of ours has."""


def compare(world: World, stack: ExitStack) -> list[Comparison]:
    values = Values(world)
    fewer = world.of(FEWER)

    def counted(name: str, work: Any, aim: float, unit: str) -> Comparison:
        return Comparison(name, work, None, aim, unit, rounds=1, warm_up=False)

    return [
        Comparison("stage 100,000 feature values", partial(values.stage, values.rows), None, 1.0, rounds=5),
        counted("memory over that, beyond the values themselves", values.memory, 50, "MB"),
        Comparison(
            "flush 100,000 feature values / a POST and a GET of them as CSV",
            partial(values.flush, values.rows),
            partial(values.bare, values.rows),
            1.25,
            rounds=5,
        ),
        Comparison(
            "flush 10,000 feature values / the same of these, and the upload of an execution that has none",
            partial(values.flush, fewer),
            lambda: values.bare(fewer) + values.flush(0),
            1.25,
            rounds=5,
        ),
        _registering(world, values.workflow),
    ]


def _registering(world: World, workflow: Workflow) -> Comparison:
    """A thousand more files of an execution that has 100,000, in turn with a thousand of a new one in a new journal.

    Side by side, since the machine may be busier at one end of the minutes in between than at the other. None of the
    files is ever written.
    """
    world.ml.create_asset("Registered", comment="Files that are never written")
    count, part = world.of(FILES), world.of(THOUSAND)
    homes = [world.folder / "home", world.folder / "new-home"]
    homes[1].mkdir()
    (homes[1] / "embedded").symlink_to(world.folder / "data")
    begun: dict[Path, Execution] = {}
    numbers = itertools.count()

    def register(home: Path, files: int) -> float:
        before = os.environ["DERIVA_ML_HOME"]
        os.environ["DERIVA_ML_HOME"] = str(home)
        try:
            if home not in begun:
                begun[home] = world.ml.create_execution(workflow=workflow, description="Register")
                begun[home].execution_start()
            began = time.perf_counter()
            for _ in range(files):
                begun[home].asset_file_path("Registered", f"file-{next(numbers)}.bin")
            return time.perf_counter() - began
        finally:
            os.environ["DERIVA_ML_HOME"] = before

    def more() -> float:
        if homes[0] not in begun:
            register(homes[0], count)
        return register(homes[0], part)

    def fewer() -> float:
        return register(homes[1], part)

    name = "register a thousand files more, after 100,000 / after none"
    return Comparison(name, more, fewer, 1.2, rounds=5)


class Values:
    """A feature of many rows, and values of it that differ each time."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rows = world.of(ROWS)
        self.numbers = itertools.count()
        ml = world.ml
        self.targets = self._make_targets()
        score: Any = {"name": "Score", "type": {"typename": "float8"}, "nullok": True}
        note: Any = {"name": "Note", "type": {"typename": "text"}, "nullok": True}
        ml.create_feature("Sample", "Score", metadata=[score, note])
        self.record = ml.feature_record_class("Sample", "Score")
        self.workflow = ml.create_workflow("Stage", "Training")

    def _make_targets(self) -> list[str]:
        """RIDs of rows that values are given to."""
        from deriva.core.ermrest_model import Column, Table, builtin_types

        ml = self.world.ml
        columns = [Column.define("Name", builtin_types.text, nullok=False)]
        ml.model.schemas["bench"].create_table(Table.define("Sample", columns, comment="What is measured"))
        ml.refresh_schema()
        body = "Name\n" + "".join(f"sample-{n}\n" for n in range(self.rows))
        self.world.client.ask(
            "POST",
            f"/ermrest/catalog/{ml.catalog_id}/entity/bench:Sample",
            body.encode(),
            content_type="text/csv",
            accept=JSON,
        )
        path = f"/ermrest/catalog/{ml.catalog_id}/attribute/bench:Sample/RID?limit=none"
        return [row["RID"] for row in json.loads(self.world.client.ask("GET", path, accept=JSON))]

    def records(self, count: int) -> list[FeatureRecord]:
        shift = next(self.numbers)
        return [
            self.record(Sample=rid, Score=(number + shift) / 7, Note=f"measured {number}")
            for number, rid in enumerate(self.targets[:count])
        ]

    def _staged(self, count: int) -> tuple[Execution, float]:
        records = self.records(count)
        with self.world.ml.create_execution(workflow=self.workflow, description="Stage") as execution:
            spent = timed(lambda: execution.add_features(records))() if records else 0.0
        return execution, spent

    def stage(self, count: int) -> float:
        return self._staged(count)[1]

    def flush(self, count: int) -> float:
        """Seconds of the whole upload of an execution whose only outputs are these values."""
        execution, _ = self._staged(count)
        return timed(execution.upload_execution_outputs)()

    def bare(self, count: int) -> float:
        """The same rows of the same table as CSV, of another execution, and read back."""
        with self.world.ml.create_execution(workflow=self.workflow, description="Bare") as execution:
            pass
        rid = execution.execution_rid
        head = "Execution,Sample,Feature_Name,Score,Note\n"
        lines = [
            f'"{rid}","{target}","Score",{number / 7!r},"measured {number}"\n'
            for number, target in enumerate(self.targets[:count])
        ]
        bodies = [head + "".join(lines[start : start + AT_ONCE]) for start in range(0, count, AT_ONCE)]
        table = f"/ermrest/catalog/{self.world.ml.catalog_id}/entity/bench:Execution_Sample_Score"

        def work() -> None:
            for body in bodies:
                self.world.client.ask("POST", table, body.encode(), content_type="text/csv", accept="text/csv")
            self.world.client.ask("GET", f"{table}/Execution={rid}?limit=none", accept="text/csv")

        return timed(work)()

    def memory(self) -> float:
        """Megabytes by which a process grows that stages the values out of a list that it has already."""
        arguments = [self.world.ml.catalog_id, str(self.rows)]
        told = run_program([sys.executable, "-c", _MEMORY, *arguments])
        return float(told.split()[-1]) / 1024


_MEMORY = """
import re, sys
from pathlib import Path
from deriva_ml_prefect import DerivaML

def kilobytes(name):
    return int(re.search(rf"^{name}:\\s+(\\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)[1])

ml = DerivaML("embedded", sys.argv[1])
record = ml.feature_record_class("Sample", "Score")
targets = [row["RID"] for row in ml.pathBuilder().schemas["bench"].tables["Sample"].entities().fetch()]
with ml.create_execution(workflow=ml.create_workflow("Stage", "Training"), description="Memory") as execution:
    execution.add_features([record(Sample=targets[0], Score=0.5, Note="one")])
    records = [record(Sample=rid, Score=0.25, Note="measured") for rid in targets[1:int(sys.argv[2])]]
    Path("/proc/self/clear_refs").write_text("5")
    before = kilobytes("VmRSS")
    execution.add_features(records)
print(kilobytes("VmHWM") - before)
"""
