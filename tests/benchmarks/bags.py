"""A dataset's bag of 5,000 files: downloaded and verified against aria2c with checksums, and once more from the cache.

Without aria2c (Debian package aria2, `make system`) the limit is the same downloads through httpx with 32 threads, and
the row says so.

No folder is deleted between the rounds: for minutes after many files were deleted, ext4 looks through their inodes for
each file that is made (measured: 8,000 files and folders in 2.4 s instead of 0.2), and a bag makes four for each file.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx

from tests.benchmarks.comparison import Comparison, timed
from tests.benchmarks.world import JSON, World

FILES = 5_000
SIZE = 4 * 1024
AT_ONCE = 32
SECONDS = 600


def compare(world: World, stack: ExitStack) -> list[Comparison]:
    from deriva_ml_prefect.config.dataset import DatasetSpec

    files = make_files(world, world.of(FILES))
    spec = DatasetSpec(rid=make_dataset(world, files))
    cache = world.folder / "home" / "cache"
    earlier = itertools.count()

    def download() -> float:
        spent = timed(lambda: world.ml.download_dataset_bag(spec))()
        (bag,) = cache.glob("bags/*/Dataset_*")
        got = sum(1 for _ in (bag / "data" / "assets").rglob("*") if _.is_file())
        if got < len(files):
            raise RuntimeError(f"The bag has {got} files instead of {len(files)}.")
        return spent

    def from_nothing() -> float:
        if cache.exists():
            cache.rename(world.folder / f"cache-{next(earlier)}")
        # a bag is on the disk when it is there; what others left to be written is not its own
        os.sync()
        return download()

    def again() -> float:
        if not cache.exists():
            download()
        return timed(lambda: world.ml.download_dataset_bag(spec))()

    name, limit = _with_aria2(world, files) if shutil.which("aria2c") else _with_httpx(world, files, stack)
    return [
        Comparison(f"download and verify a bag of 5,000 files / {name}", from_nothing, limit, 1.2, rounds=5),
        Comparison("the same bag from the cache", again, None, 1.0, rounds=5),
    ]


def make_files(world: World, count: int) -> dict[str, str]:
    """Put so many objects into the object store: path → MD5 in hexadecimal."""
    found = {}
    for number in range(count):
        content = f"file {number} ".encode().ljust(SIZE, b"-")
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        path = f"/hatrac/Bagged/{md5}.file-{number}.txt"
        world.client.ask("PUT", f"{path}?parents=true", content, content_type="text/plain")
        found[path] = md5
    return found


def make_dataset(world: World, files: dict[str, str]) -> str:
    """RID of a dataset whose members are rows for these objects."""
    ml = world.ml
    ml.create_asset("Bagged", comment="Files of a bag")
    ml.add_dataset_element_type("Bagged")
    ml.add_term("Dataset_Type", "Bagged", "A dataset to be downloaded")
    rows = [
        {"URL": path, "Filename": path.rpartition(".file-")[2], "Length": SIZE, "MD5": md5}
        for path, md5 in files.items()
    ]
    path = f"/ermrest/catalog/{ml.catalog_id}/entity/bench:Bagged"
    stored = json.loads(world.client.ask("POST", path, json.dumps(rows).encode(), content_type=JSON))
    workflow = ml.create_workflow("Collect", "Training")
    with ml.create_execution(workflow=workflow, description="Collect") as execution:
        dataset = execution.create_dataset(["Bagged"], description="Many files")
        dataset.add_dataset_members({"Bagged": [row["RID"] for row in stored]})
    execution.upload_execution_outputs()
    return str(dataset.dataset_rid)


def _with_aria2(world: World, files: dict[str, str]) -> tuple[str, Callable[[], float]]:
    targets = _new_folders(world.folder / "aria2")
    listed = world.folder / "aria2.txt"
    listed.write_text(
        "".join(
            f"http://127.0.0.1:{world.client.connection.port}{path}\n  out={number}\n  checksum=md5={md5}\n"
            for number, (path, md5) in enumerate(files.items())
        )
    )
    configuration = world.folder / "aria2.conf"
    configuration.touch(mode=0o600)
    # not on the command line, where everybody on the machine can read it
    configuration.write_text(f"header=Authorization: Bearer {world.client.token}\n")
    command = ["aria2c", f"--conf-path={configuration}", f"--input-file={listed}", f"-j{AT_ONCE}"]
    command += ["--check-integrity=true", "--quiet=true", "--enable-dht=false", "--file-allocation=none"]

    def fetch() -> float:
        target = next(targets)
        spent = timed(lambda: subprocess.run([*command, f"--dir={target}"], check=True, timeout=SECONDS))()
        _require(target, len(files))
        return spent

    return "aria2c -j32 with checksums", fetch


def _with_httpx(world: World, files: dict[str, str], stack: ExitStack) -> tuple[str, Callable[[], float]]:
    targets = _new_folders(world.folder / "httpx")
    client = stack.enter_context(
        httpx.Client(
            base_url=f"http://127.0.0.1:{world.client.connection.port}",
            headers={"Authorization": f"Bearer {world.client.token}"},
        )
    )

    def one(target: Path, number: int, path: str, md5: str) -> None:
        content = client.get(path).raise_for_status().content
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
            raise RuntimeError(f"{path} did not arrive as promised.")
        (target / str(number)).write_bytes(content)

    def fetch() -> float:
        target = next(targets)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            spent = timed(
                lambda: list(pool.map(one, itertools.repeat(target), itertools.count(), files, files.values()))
            )()
        _require(target, len(files))
        return spent

    return "httpx with 32 threads and MD5 (aria2c is not installed)", fetch


def _new_folders(base: Path) -> Iterator[Path]:
    """One empty folder after the other, `base-0` and so on."""
    for number in itertools.count():
        folder = base.with_name(f"{base.name}-{number}")
        folder.mkdir()
        yield folder


def _require(folder: Path, count: int) -> None:
    got = sum(1 for _ in folder.iterdir())
    if got != count:
        raise RuntimeError(f"{folder.name} fetched {got} files instead of {count}.")
