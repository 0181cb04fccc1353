"""Files into the catalog by an execution, against bare requests that carry the same bytes to the same server.

The upload is the whole of `upload_execution_outputs`: bytes, rows, checks, statuses. The limit sends bytes alone.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from tests.benchmarks.comparison import Comparison, Figure, timed
from tests.benchmarks.counting import counting_proxy, delaying_proxy
from tests.benchmarks.world import Client, World

if TYPE_CHECKING:
    from deriva_ml_prefect.ml.deriva_ml import DerivaML
    from deriva_ml_prefect.ml.execution import Execution

FILES = 1_000
MANY_FILES = 10_000
SIZE = 4 * 1024
RTT = 0.020
AT_ONCE = 32
TABLE = "Uploaded_File"


def compare(world: World, stack: ExitStack) -> list[Comparison]:
    files = Files(world)
    return [*_near(world, files), _far(world, files, stack), _again(world, files)]


class Files:
    """Executions with files that nobody has uploaded before, ready to be uploaded."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.numbers = itertools.count()
        ml = world.ml
        if TABLE not in {table.name for table in ml.model.schemas["bench"].tables.values()}:
            ml.create_asset(TABLE, comment="Files of the benchmark")
        self.workflow = ml.create_workflow("Upload", "Training")

    def content(self, size: int = SIZE) -> bytes:
        """Bytes that no other file has."""
        return f"file {next(self.numbers)} ".encode().ljust(size, b"-")

    def execution(self, write: Callable[[Execution], None], ml: DerivaML | None = None) -> Execution:
        """One that has ended, with the files that `write` made."""
        execution = (ml or self.world.ml).create_execution(workflow=self.workflow, description="Upload")
        with execution:
            write(execution)
        return execution

    def small(self, count: int, ml: DerivaML | None = None) -> Execution:
        def write(execution: Execution) -> None:
            for number in range(count):
                execution.asset_file_path(TABLE, f"file-{number}.bin").write_bytes(self.content())

        return self.execution(write, ml)


def put(client: Client, content: bytes) -> None:
    """One bare PUT of an object with its checksum."""
    md5 = hashlib.md5(content, usedforsecurity=False)
    client.ask(
        "PUT",
        f"/hatrac/bare/{md5.hexdigest()}?parents=true",
        content,
        content_type="application/octet-stream",
        content_md5=base64.b64encode(md5.digest()).decode(),
    )


def through(world: World, port: int) -> DerivaML:
    """The catalog, through a proxy."""
    from deriva_ml_prefect.ml.deriva_ml import DerivaML

    return DerivaML(f"127.0.0.1:{port}", world.ml.catalog_id, credential={"bearer-token": world.client.token})


def _ours(files: Files, count: int, ml: DerivaML | None = None) -> Figure:
    def figure() -> float:
        execution = files.small(count, ml)
        return timed(execution.upload_execution_outputs)()

    return figure


def _bare(world: World, files: Files, count: int) -> Figure:
    def figure() -> float:
        contents = [files.content() for _ in range(count)]

        def loop() -> None:
            for content in contents:
                put(world.client, content)

        return timed(loop)()

    return figure


def _near(world: World, files: Files) -> list[Comparison]:
    count = world.of(FILES)

    def requests() -> float:
        with counting_proxy(world.client.connection.port) as passed:
            execution = files.small(count, through(world, passed.port))
            passed.requests.clear()
            execution.upload_execution_outputs()
        return len(passed.requests) / count

    return [
        Comparison(
            "upload 1,000 files of 4 KiB / a bare loop of PUTs", _ours(files, count), _bare(world, files, count), 1.5
        ),
        Comparison("requests of that, a file", requests, None, 1.05, "requests", rounds=1, warm_up=False),
    ]


def _far(world: World, files: Files, stack: ExitStack) -> Comparison:
    """Each round trip takes 20 ms longer. The limit has 32 connections and nothing to do but to wait for them."""
    count = world.of(FILES)
    far = through(world, stack.enter_context(delaying_proxy(world.client.connection.port, RTT)))
    bare = _bare(world, files, count)
    return Comparison(
        "the same with 20 ms more a round trip / the larger of these PUTs without and count/32 round trips",
        _ours(files, count, far),
        lambda: max(bare(), -(-count // AT_ONCE) * RTT),
        2.0,
        rounds=5,
    )


def _again(world: World, files: Files) -> Comparison:
    count = world.of(MANY_FILES)

    def requests() -> float:
        """Of an upload that knows nothing of the catalog yet, when all is there; for 1,000 files."""
        with counting_proxy(world.client.connection.port) as passed:
            ml = through(world, passed.port)
            uploaded = files.small(count, ml)
            uploaded.upload_execution_outputs()
            ml.refresh_schema()
            passed.requests.clear()
            ml.resume_execution(uploaded.execution_rid).upload_execution_outputs()
        return len(passed.requests) * 1_000 / count

    return Comparison(
        "requests to upload 10,000 files again, for 1,000 files", requests, None, 3, "requests", rounds=1, warm_up=False
    )
