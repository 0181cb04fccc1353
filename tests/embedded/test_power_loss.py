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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from deriva.core.ermrest_model import Column, Key, Table, builtin_types

from deriva_ml_prefect.embedded.authn import read_tokens
from deriva_ml_prefect.embedded.check import check_folder
from tests.faults.shim import Layer, Recording, begin, build, environment

ROUNDS = 4
CHANGES = 21
SAMPLE = "/ermrest/catalog/1/entity/S:Sample"


@dataclass(frozen=True)
class Promise:
    """What had been answered at a mark of the recording."""

    mark: int
    rows: int
    objects: dict[str, str] = field(default_factory=dict)
    """Versioned path → MD5."""
    facts: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Path → status and text of the answer to its GET."""


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
    facts: dict[str, tuple[int, str]] = {}
    rows = 0

    def promised(answer: httpx.Response) -> httpx.Response:
        answer.raise_for_status()
        promises.append(Promise(recording.mark(), rows, dict(objects), dict(facts)))
        return answer

    def changed(path: str, method: str, asked: str, **values: Any) -> httpx.Response:
        """Ask for a change whose result is what `path` answers from then on; what is known by now is read after it."""
        answer = client.request(method, asked, **values)
        answer.raise_for_status()
        mark = recording.mark()
        for known in {**facts, path: None}:
            found = client.get(known)
            facts[known] = (found.status_code, found.text)
        promises.append(Promise(mark, rows, dict(objects), dict(facts)))
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
    change_everything(client, changed)
    return promises


def change_everything(client: httpx.Client, changed: Callable[..., httpx.Response]) -> None:
    """One change of each other kind.

    The model, its annotations and ACLs, rows and their past, leases, catalogs, what Hatrac knows beside the bytes, and
    an upload in chunks.
    """
    catalog, plain = "/ermrest/catalog/1", {"content-type": "text/plain"}
    note = f"{catalog}/schema/S/annotation/note"
    changed(note, "PUT", note, json={"a": 1})
    changed(f"{catalog}/acl/select", "PUT", f"{catalog}/acl/select", json=["https://embedded.deriva/reader"])
    other = Table.define("Other", [Column.define("n", builtin_types.int4)], [Key.define(["n"])])
    changed(f"{catalog}/schema/S/table/Other", "POST", f"{catalog}/schema/S/table", json=other)
    column = {"name": "added", "type": {"typename": "text"}}
    changed(f"{catalog}/schema/S/table/Other", "POST", f"{catalog}/schema/S/table/Other/column", json=column)
    all_rows = f"{catalog}/attribute/S:Other/n,added@sort(n)"
    changed(all_rows, "POST", f"{catalog}/entity/S:Other", json=[{"n": 1}, {"n": 2}, {"n": 3}])
    snapshot = client.get(catalog).json()["snaptime"]
    past = all_rows.replace(catalog, f"{catalog}@{snapshot}")
    changed(past, "PUT", f"{catalog}/attributegroup/S:Other/n;added", json=[{"n": 1, "added": "later"}])
    changed(all_rows, "DELETE", f"{catalog}/entity/S:Other/n=2")
    changed(all_rows, "PUT", f"{catalog}/entity/S:Other", json=[{"n": 3, "added": "put"}, {"n": 4, "added": "new"}])
    leases = f"{catalog}/entity/public:ERMrest_RID_Lease"
    changed(leases, "POST", leases, json=[{"ID": "lease"}])
    changed("/ermrest/catalog/2/acl/owner", "POST", "/ermrest/catalog", json={"annotations": {"a": "b"}})
    changed("/ermrest/catalog/2", "DELETE", "/ermrest/catalog/2")
    changed("/ermrest/alias/named", "POST", "/ermrest/alias", json={"id": "named", "alias_target": "1"})
    about = "/hatrac/store/object_0;metadata/content-type"
    changed(about, "PUT", about, content=b"text/x-log", headers=plain)
    readers = "/hatrac/store;acl/subtree-read"
    changed(readers, "PUT", readers, json=["https://embedded.deriva/reader"])
    order = {"chunk-length": 3, "content-length": 5}
    jobs = "/hatrac/store/chunked;upload"
    job = changed(jobs, "POST", jobs, json=order).text.strip()
    for position, piece in enumerate((b"abc", b"de")):
        changed(job, "PUT", f"{job}/{position}", content=piece)
    changed("/hatrac/store/chunked", "POST", job)
    command = {"command": "rename_from", "source_name": "/store/chunked"}
    changed("/hatrac/store/renamed", "POST", "/hatrac/store/renamed", json=command)
    changed("/hatrac/store/extra", "PUT", "/hatrac/store/extra", content=b"x")
    changed("/hatrac/store/extra", "DELETE", "/hatrac/store/extra")


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
    for path, (status, text) in promise.facts.items():
        answer = client.get(path)
        if (answer.status_code, answer.text) != (status, text):
            found.append(f"{path} is {answer.status_code} {answer.text[:300]!r}, not {status} {text[:300]!r}")
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
    assert len(promises) == 2 * ROUNDS + 2 + CHANGES
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
    assert f"{promises[-1].rows} rows were promised" in found[0]
    assert sum("with MD5" in one for one in found) == ROUNDS
    assert len(found) > 1 + ROUNDS + 10
