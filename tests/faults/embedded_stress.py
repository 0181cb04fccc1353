"""Four writers and four readers against an embedded DERIVA that is killed again and again; then a comparison.

    python -m tests.faults.embedded_stress [--seconds 60] [--every 5] [--seed N] [--planted FAULT]

Every write has values of its own, and every answer is remembered. A write without an answer (the server died) may
have happened or not, but only whole. At the end everything is read back; the exit status is 1 after any failure. With
`--planted` the server has a fault, which has to be found.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from deriva.core.ermrest_model import Column, Key, Table, builtin_types

from deriva_ml_prefect.embedded.authn import read_tokens
from deriva_ml_prefect.embedded.check import check_folder
from tests.faults.embedded_planted import FAULTS

ROOT = Path(__file__).parents[2]
WRITERS = READERS = 4
COUNTERS = 3
START_SECONDS = 30.0
KEPT_SNAPSHOTS = 40


@dataclass
class Server:
    """The server process on a data folder, which may be killed and started again."""

    data: Path
    planted: str | None = None
    process: subprocess.Popen[bytes] | None = None
    urls: set[str] = field(default_factory=set)

    def start(self) -> str:
        """Start it and wait until it is ready; returns its URL."""
        module = ["tests.faults.embedded_planted", self.planted] if self.planted else ["deriva_ml_prefect.embedded"]
        command = [sys.executable, "-m", *module, "--data", str(self.data), "--idle-minutes", "0"]
        with (self.data / "stderr.txt").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            path = self.data / "server.json"
            state = json.loads(path.read_text()) if path.exists() else {}
            if state.get("pid") == self.process.pid:
                self.urls.add(state["url"])
                return str(state["url"])
            time.sleep(0.02)
        raise RuntimeError(f"the server did not start: {self.log()[-2000:]}")

    def end(self, number: int) -> int:
        """Send it a signal; returns its exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=30)

    def log(self) -> str:
        return (self.data / "stderr.txt").read_text(errors="replace")


@dataclass
class Memory:
    """What was sent and what was answered. Each key is written by one writer; readers only look."""

    batches: dict[str, int] = field(default_factory=dict)
    """Every batch that was sent, with its number of rows."""
    kept_batches: set[str] = field(default_factory=set)
    loose: set[str] = field(default_factory=set)
    """Names of rows in the table without a key."""
    kept_loose: set[str] = field(default_factory=set)
    gone_loose: set[str] = field(default_factory=set)
    unsure_loose: set[str] = field(default_factory=set)
    """Rows whose deletion had no answer."""
    sent_counts: dict[str, int] = field(default_factory=dict)
    kept_counts: dict[str, int] = field(default_factory=dict)
    objects: dict[str, str] = field(default_factory=dict)
    """Every object that was sent, with the MD5 of its bytes."""
    kept_objects: dict[str, str] = field(default_factory=dict)
    """Path of each answered object, with the URL of its version."""
    snapshots: dict[str, str] = field(default_factory=dict)
    """URL of a table at a snapshot, with the MD5 of the answer."""
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, what: str) -> None:
        with self.lock:
            self.counts[what] += 1

    def fail(self, said: str) -> None:
        with self.lock:
            self.failures.append(said)

    def expect(self, holds: bool, said: str) -> None:
        if not holds:
            self.fail(said)


@dataclass
class Stress:
    """What the workers share."""

    url: str
    token: str
    catalog: str
    memory: Memory
    up: threading.Event
    done: threading.Event

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"authorization": f"Bearer {self.token}"}, timeout=30)

    def ask(self, client: httpx.Client, method: str, path: str, allowed: set[int], **values: Any) -> int:
        return self.answer(client, method, path, allowed, **values).status_code

    def answer(self, client: httpx.Client, method: str, path: str, allowed: set[int], **values: Any) -> httpx.Response:
        """The answer; a status that is not allowed is a failure. httpx.TransportError: there was none."""
        answer = client.request(method, path, **values)
        if answer.status_code not in allowed:
            self.memory.fail(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
        return answer


@dataclass
class Writer:
    """Writes values that nobody else writes."""

    number: int
    stress: Stress
    client: httpx.Client
    random: random.Random
    step: int = 0

    def work(self) -> None:
        acts = (self.post_batch, self.post_loose, self.delete_loose, self.set_counter, self.put_object, self.upload)
        while not self.stress.done.is_set():
            self.step += 1
            act = self.random.choices(acts, (4, 4, 2, 4, 4, 1))[0]
            try:
                act(f"w{self.number}-{self.step}")
            except httpx.TransportError:
                self.stress.memory.count("writes cut off")
                self.await_server()

    def await_server(self) -> None:
        time.sleep(0.05)
        self.stress.up.wait(START_SECONDS)

    def post_batch(self, name: str) -> None:
        """Rows under a key, sent again without an answer: the second time they may be there (409), but all of them."""
        memory, size = self.stress.memory, self.random.randint(1, 20)
        rows = [{"name": f"{name}-{i}", "batch": name, "text": "t" * self.random.randint(0, 500)} for i in range(size)]
        memory.batches[name] = size
        allowed = {200}
        for _ in range(5):
            try:
                status = self.stress.ask(
                    self.client, "POST", f"{self.stress.catalog}/entity/S:Batch", allowed, json=rows
                )
            except httpx.TransportError:
                memory.count("writes cut off")
                allowed = {200, 409}
                self.await_server()
                continue
            if status in allowed:
                memory.kept_batches.add(name)
                memory.count("batches of rows")
            return

    def post_loose(self, name: str) -> None:
        memory = self.stress.memory
        memory.loose.add(name)
        path = f"{self.stress.catalog}/entity/S:Loose"
        if self.stress.ask(self.client, "POST", path, {200}, json=[{"name": name}]) == 200:
            memory.kept_loose.add(name)
            memory.count("rows without a key")

    def delete_loose(self, name: str) -> None:
        memory, mine = self.stress.memory, f"w{self.number}-"
        names = sorted(n for n in memory.kept_loose - memory.unsure_loose if n.startswith(mine))
        if not names:
            return
        name = self.random.choice(names)
        memory.unsure_loose.add(name)
        if self.stress.ask(self.client, "DELETE", f"{self.stress.catalog}/entity/S:Loose/name={name}", {204}) == 204:
            memory.gone_loose.add(name)
            memory.count("deletions")

    def set_counter(self, name: str) -> None:
        memory = self.stress.memory
        name = f"w{self.number}-{self.random.randrange(COUNTERS)}"
        value = memory.sent_counts[name] = memory.sent_counts[name] + 1
        path = f"{self.stress.catalog}/attributegroup/S:Counter/name;number"
        if self.stress.ask(self.client, "PUT", path, {200}, json=[{"name": name, "number": value}]) == 200:
            memory.kept_counts[name] = value
            memory.count("updates")

    def put_object(self, name: str) -> None:
        content = self.random.randbytes(self.random.choice((0, 10, 5_000, 300_000)))
        path = f"/hatrac/{name}"
        self.stress.memory.objects[path] = hashlib.md5(content).hexdigest()
        answer = self.stress.answer(self.client, "PUT", path, {201}, content=content)
        if answer.status_code == 201:
            self.stress.memory.kept_objects[path] = answer.text.strip()
            self.stress.memory.count("objects")

    def upload(self, name: str) -> None:
        """An object in chunks; what had no answer is sent again, as a client that resumes does."""
        content, length = self.random.randbytes(self.random.randint(1, 400_000)), 100_000
        path, memory = f"/hatrac/{name}", self.stress.memory
        memory.objects[path] = hashlib.md5(content).hexdigest()
        order = {"chunk-length": length, "content-length": len(content)}
        job = self.stress.answer(self.client, "POST", f"{path};upload", {201}, json=order).text.strip()
        for position in range(-(-len(content) // length)):
            piece = content[position * length : (position + 1) * length]
            self.again(lambda at=position, sent=piece: self.put_chunk(f"{job}/{at}", sent))  # type: ignore[misc]
        version = f"{path}:{job.rpartition('/')[2]}"
        sent = 0

        def finalise() -> None:
            nonlocal sent
            sent += 1
            answer = self.stress.answer(self.client, "POST", job, {201} if sent == 1 else {201, 404})
            if answer.status_code == 404:  # the finalising that had no answer was done
                answer = self.stress.answer(self.client, "GET", version, {200})
            if answer.is_success:
                memory.kept_objects[path] = version
                memory.count("objects in chunks")

        self.again(finalise)

    def put_chunk(self, path: str, content: bytes) -> None:
        headers = {"content-type": "application/octet-stream"}
        self.stress.ask(self.client, "PUT", path, {204}, content=content, headers=headers)

    def again(self, act: Callable[[], None]) -> None:
        for _ in range(5):
            try:
                return act()
            except httpx.TransportError:
                self.stress.memory.count("writes cut off")
                self.await_server()
        raise httpx.TransportError("there was no answer five times")


@dataclass
class Reader:
    """Reads what has been answered, and finds it."""

    stress: Stress
    client: httpx.Client
    random: random.Random

    def work(self) -> None:
        acts = (self.read_batch, self.read_counter, self.read_object, self.read_snapshot)
        while not self.stress.done.is_set():
            try:
                self.random.choice(acts)()
                self.stress.memory.count("reads")
                time.sleep(0.005)
            except httpx.TransportError:
                self.stress.memory.count("reads cut off")
                time.sleep(0.05)
                self.stress.up.wait(START_SECONDS)

    def read_batch(self) -> None:
        memory = self.stress.memory
        name = self.random.choice([*memory.batches.copy()] or ["none"])
        kept = name in memory.kept_batches
        path = f"{self.stress.catalog}/entity/S:Batch/batch={name}"
        found = len(self.stress.answer(self.client, "GET", path, {200}).json())
        size = memory.batches.get(name, 0)
        memory.expect(found == size or (found == 0 and not kept), f"batch {name}: {found} rows of {size} while working")

    def read_counter(self) -> None:
        memory = self.stress.memory
        name = self.random.choice([*memory.kept_counts])
        least = memory.kept_counts[name]
        path = f"{self.stress.catalog}/entity/S:Counter/name={name}"
        found = self.stress.answer(self.client, "GET", path, {200}).json()[0]["number"]
        memory.expect(least <= found <= memory.sent_counts[name], f"counter {name}: {found} after {least} was answered")

    def read_object(self) -> None:
        memory = self.stress.memory
        kept = memory.kept_objects.copy()
        if kept:
            path = self.random.choice([*kept])
            content = self.stress.answer(self.client, "GET", kept[path], {200}).content
            memory.expect(hashlib.md5(content).hexdigest() == memory.objects[path], f"object {path}: other bytes")

    def read_snapshot(self) -> None:
        memory = self.stress.memory
        now = self.stress.answer(self.client, "GET", self.stress.catalog, {200}).json()["snaptime"]
        path = f"{self.stress.catalog}@{now}/entity/S:Counter@sort(name)"
        content = self.stress.answer(self.client, "GET", path, {200}).content
        with memory.lock:
            if len(memory.snapshots) < KEPT_SNAPSHOTS or self.random.random() < 0.05:
                memory.snapshots[path] = hashlib.md5(content).hexdigest()


def make_catalog(client: httpx.Client, memory: Memory) -> str:
    """A catalog with the three tables; returns its path."""
    catalog = f"/ermrest/catalog/{client.post('/ermrest/catalog').raise_for_status().json()['id']}"
    client.post(f"{catalog}/schema/S").raise_for_status()
    text, name = builtin_types.text, Column.define("name", builtin_types.text, nullok=False)
    tables = (
        Table.define(
            "Batch", [name, Column.define("batch", text), Column.define("text", text)], [Key.define(["name"])]
        ),
        Table.define("Loose", [name]),
        Table.define("Counter", [name, Column.define("number", builtin_types.int8)], [Key.define(["name"])]),
    )
    for table in tables:
        client.post(f"{catalog}/schema/S/table", json=table).raise_for_status()
    memory.sent_counts.update({f"w{w}-{i}": 0 for w in range(WRITERS) for i in range(COUNTERS)})
    memory.kept_counts.update(memory.sent_counts)
    rows = [{"name": name, "number": 0} for name in memory.sent_counts]
    client.post(f"{catalog}/entity/S:Counter", json=rows).raise_for_status()
    return catalog


def compare_rows(client: httpx.Client, catalog: str, memory: Memory) -> None:
    """Everything answered is there, once; what had no answer is there whole or not at all."""

    def rows(table: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = client.get(f"{catalog}/entity/S:{table}").raise_for_status().json()
        rids = Counter(row["RID"] for row in found)
        memory.expect(len(rids) == len(found), f"{table}: a RID is there twice")
        twice = [name for name, count in Counter(row["name"] for row in found).items() if count > 1]
        memory.expect(not twice, f"{table}: there twice: {twice[:5]}")
        return found

    sizes = Counter(row["batch"] for row in rows("Batch"))
    for name, size in memory.batches.items():
        there = sizes.pop(name, 0)
        memory.expect(
            there == size or (there == 0 and name not in memory.kept_batches), f"batch {name}: {there}/{size}"
        )
    memory.expect(not sizes, f"batches that nobody sent: {[*sizes][:5]}")
    loose = {row["name"] for row in rows("Loose")}
    for said, names in (
        ("lost", memory.kept_loose - memory.unsure_loose - loose),
        ("deleted, but there", memory.gone_loose & loose),
        ("never sent", loose - memory.loose),
    ):
        memory.expect(not names, f"Loose: {said}: {sorted(names)[:5]}")
    for row in rows("Counter"):
        least, most = memory.kept_counts[row["name"]], memory.sent_counts[row["name"]]
        memory.expect(least <= row["number"] <= most, f"counter {row['name']}: {row['number']}, not {least} to {most}")


def compare_objects(client: httpx.Client, memory: Memory) -> None:
    """Each answered object has its one version with its bytes; one without an answer has its own bytes or none."""
    for path, md5 in memory.objects.items():
        url = memory.kept_objects.get(path)
        answer = client.get(url or path)
        if url is None and answer.status_code in (404, 409):  # 409: claimed by an upload job, without content yet
            continue
        sum_ = hashlib.md5(answer.content).hexdigest()
        memory.expect(answer.status_code == 200 and sum_ == md5, f"object {path}: {answer.status_code}, MD5 {sum_}")
        versions = client.get(f"{path};versions").json()
        memory.expect(len(versions) == 1 and versions == [url or versions[0]], f"object {path}: versions {versions}")


def compare_snapshots(client: httpx.Client, memory: Memory) -> None:
    for path, md5 in memory.snapshots.items():
        answer = client.get(path)
        same = answer.status_code == 200 and hashlib.md5(answer.content).hexdigest() == md5
        memory.expect(same, f"{path}: another answer than before ({answer.status_code})")


def run(data: Path, seconds: float, every: float, seed: int, planted: str | None = None) -> Memory:
    """Do all of it on an empty data folder; what went wrong is in the memory's `failures`."""
    server, memory = Server(data, planted), Memory()
    url = server.start()
    try:
        stress = Stress(url, read_tokens(data)["owner"], "", memory, threading.Event(), threading.Event())
        with stress.client() as client:
            stress.catalog = make_catalog(client, memory)
        stress.up.set()
        kill_while_they_work(server, stress, seconds, every, seed)
        with stress.client() as client:
            compare_rows(client, stress.catalog, memory)
            compare_objects(client, memory)
            compare_snapshots(client, memory)
        memory.expect(server.end(signal.SIGTERM) == 0, "the server did not stop in order")
    finally:
        if server.process is not None and server.process.poll() is None:
            server.end(signal.SIGKILL)
    memory.expect(server.urls == {url}, f"the server's address changed: {sorted(server.urls)}")
    told = server.log().count("did not stop in order")
    memory.expect(told == memory.counts["kills"], f"{told} of {memory.counts['kills']} kills were noticed at the start")
    report = check_folder(data)
    memory.failures += report.differences
    memory.counts.update({"rows checked": report.rows, "objects checked": report.objects})
    memory.expect(report.objects >= len(memory.kept_objects), f"the check saw only {report.objects} objects")
    return memory


def kill_while_they_work(server: Server, stress: Stress, seconds: float, every: float, seed: int) -> None:
    """Let the workers work; kill the server again and again, the last time at the very end, and start it again."""
    chance = random.Random(seed)
    clients = [stress.client() for _ in range(WRITERS + READERS)]
    workers: list[Writer | Reader] = [Writer(i, stress, clients[i], random.Random(seed + i)) for i in range(WRITERS)]
    workers += [Reader(stress, client, random.Random(seed - i)) for i, client in enumerate(clients[WRITERS:], 1)]
    threads = [threading.Thread(target=watched, args=(worker, stress.memory)) for worker in workers]
    for thread in threads:
        thread.start()
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            time.sleep(min(every + chance.uniform(-0.2, 0.2), max(end - time.monotonic(), 0.2)))
            assert server.process is not None
            stress.memory.expect(server.process.poll() is None, "the server ended by itself")
            stress.up.clear()
            server.end(signal.SIGKILL)
            stress.memory.count("kills")
            server.start()
            stress.up.set()
    finally:
        stress.done.set()
        stress.up.set()
        for thread in threads:
            thread.join()
        for client in clients:
            client.close()


def watched(worker: Writer | Reader, memory: Memory) -> None:
    try:
        worker.work()
    except Exception as error:  # noqa: BLE001 - a worker that ends early is a failure of the run, whatever ended it
        memory.fail(f"{type(worker).__name__} ended early: {error!r}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill the embedded DERIVA while it is written and read.")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two kills")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--planted", choices=FAULTS, help="run a server that has this fault")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="embedded-stress-") as folder:
        memory = run(Path(folder), options.seconds, options.every, options.seed, options.planted)
    for what, count in sorted(memory.counts.items()):
        print(f"{count:8} {what}")
    for failure in memory.failures[:50]:
        print(f"FAILED {failure}")
    print(f"{len(memory.failures)} failures")
    return 1 if memory.failures else 0


if __name__ == "__main__":
    sys.exit(main())
