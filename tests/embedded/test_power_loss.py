"""The whole server, and a loss of power after each answer: what was answered is there, and the folder is in order.

A layer below the server's file calls records them. Of each moment the data folder is rebuilt as the disk would have it
then, strictly (only what was fsynced) and with a random part of the rest, and a server is started on it.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import httpx
import pytest
from deriva.core.ermrest_model import Column, Table, builtin_types

from deriva_ml_prefect.embedded.authn import read_tokens
from deriva_ml_prefect.embedded.check import check_folder
from tests.faults.shim import Layer, Recording, begin, build, environment

ROUNDS = 8
SAMPLE = "/ermrest/catalog/1/entity/S:Sample"


@dataclass(frozen=True)
class Promise:
    """What had been answered at a mark of the recording."""

    mark: int
    rows: int
    objects: dict[str, str] = field(default_factory=dict)
    """Versioned path → MD5."""


@contextmanager
def served(data: Path, log: Path, variables: dict[str, str] | None = None) -> Iterator[httpx.Client]:
    """A server on a data folder, into which this process writes nothing; ended by SIGKILL."""
    command = [sys.executable, "-m", "deriva_ml_prefect.embedded", "--data", str(data), "--idle-minutes", "5"]
    with log.open("ab") as stderr:
        process = subprocess.Popen(command, env={**os.environ, **(variables or {})}, stdout=stderr, stderr=stderr)
    try:
        deadline = time.monotonic() + 20
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            state = data / "server.json"
            if state.exists() and (known := json.loads(state.read_text()))["pid"] == process.pid:
                break
            time.sleep(0.02)
        headers = {"authorization": f"Bearer {read_tokens(data)['owner']}"}
        with httpx.Client(base_url=known["url"], headers=headers, timeout=30) as client:
            yield client
    finally:
        process.kill()
        process.wait(timeout=20)


def live(client: httpx.Client, recording: Recording) -> list[Promise]:
    """Some writes of each kind; after each answer, what has been promised by then."""
    promises: list[Promise] = []
    objects: dict[str, str] = {}
    rows = 0

    def promised(answer: httpx.Response) -> httpx.Response:
        answer.raise_for_status()
        promises.append(Promise(recording.mark(), rows, dict(objects)))
        return answer

    client.post("/ermrest/catalog").raise_for_status()
    table = Table.define("Sample", [Column.define("Name", builtin_types.text, nullok=False)])
    client.post("/ermrest/catalog/1/schema/S").raise_for_status()
    promised(client.post("/ermrest/catalog/1/schema/S/table", json=table))
    promised(client.put("/hatrac/store", headers={"content-type": "application/x-hatrac-namespace"}))
    for number in range(ROUNDS):
        body = [{"Name": f"row {number}.{line} " + "x" * 200} for line in range(40)]
        answer = client.post(SAMPLE, json=body)
        rows += len(body)
        promised(answer)
        content = bytes([number]) * (20_000 * (number + 1))
        answer = client.put(f"/hatrac/store/object_{number % 3}", content=content)
        objects[answer.text.strip()] = hashlib.md5(content, usedforsecurity=False).hexdigest()
        promised(answer)
    return promises


def lost(client: httpx.Client, promise: Promise) -> list[str]:
    """What was promised and is not there."""
    found = []
    answer = client.get("/ermrest/catalog/1/aggregate/S:Sample/n:=cnt(RID)")
    if answer.status_code != 200 or answer.json()[0]["n"] < promise.rows:
        found.append(f"{promise.rows} rows were promised; the answer is {answer.status_code} {answer.text[:80]}")
    for path, md5 in promise.objects.items():
        answer = client.get(path)
        there = hashlib.md5(answer.content, usedforsecurity=False).hexdigest()
        if answer.status_code != 200 or there != md5:
            found.append(f"{path} is {answer.status_code} with MD5 {there}")
    return found


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("shim"))


def recorded(tmp_path: Path, library: Path, *, drop_fsync: int | None = None) -> tuple[Recording, list[Promise]]:
    data = tmp_path / "data"
    data.mkdir()
    layer = Layer(library, data, tmp_path / "state", tmp_path / "log", drop_fsync=drop_fsync)
    recording = begin(data, tmp_path / "log")
    with served(data, tmp_path / "stderr", environment(layer)) as client:
        promises = live(client, recording)
    return recording, promises


@pytest.mark.slow
def test_what_was_answered_survives_a_loss_of_power(tmp_path: Path, library: Path) -> None:
    recording, promises = recorded(tmp_path, library)
    assert len(promises) == 2 * ROUNDS + 2
    for number, promise in enumerate(promises):
        # strictly at one moment, with luck at the next
        keep = Random(number) if number % 2 else None
        folder = recording.replay(tmp_path / f"after-{number}", upto=promise.mark, keep=keep)
        with served(folder, tmp_path / "stderr") as client:
            assert lost(client, promise) == [], number
        report = check_folder(folder)
        assert report.differences == (), number


@pytest.mark.slow
def test_a_server_that_did_not_fsync_would_be_caught(tmp_path: Path, library: Path) -> None:
    recording, promises = recorded(tmp_path, library, drop_fsync=0)
    folder = recording.replay(tmp_path / "after", upto=promises[-1].mark)
    with served(folder, tmp_path / "stderr") as client:
        found = lost(client, promises[-1])
    assert len(found) == 1 + ROUNDS
