"""Where schedules happen: one embedded DERIVA for all, and for each worker a lane with a home, a catalog, a proxy."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from deriva_ml_prefect.catalog.connection import Catalog, open_catalog
from deriva_ml_prefect.config.settings import Settings
from deriva_ml_prefect.embedded.authn import read_tokens
from deriva_ml_prefect.ml.creation import create_ml_catalog
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.values.address import Address
from tests.faults.proxy import Proxy, start_proxy

SUBJECTS = 100
SCHEDULES_A_CATALOG = 40
"""A catalog is left for a fresh one after so many schedules, so that none grows large."""
START_SECONDS = 30.0
TAG_LENGTH = 20


@dataclass
class Server:
    """The embedded DERIVA of the campaign."""

    port: int
    token: str
    process: subprocess.Popen[bytes]

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(timeout=20)


@contextmanager
def serve(root: Path) -> Iterator[Server]:
    """An embedded DERIVA below `root`, in a session of its own so that Ctrl-C does not reach it."""
    data = root / "server"
    data.mkdir()
    command = [sys.executable, "-m", "deriva_ml_prefect.embedded", "--data", str(data), "--idle-minutes", "120"]
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    with (root / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, env=environment)
    try:
        yield _ready(data, process)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=20)


def _ready(data: Path, process: subprocess.Popen[bytes]) -> Server:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            state = json.loads((data / "server.json").read_text())
            if state["pid"] == process.pid:
                return Server(int(urlsplit(state["url"]).port or 0), read_tokens(data)["owner"], process)
        except FileNotFoundError:
            pass
        time.sleep(0.02)
    raise RuntimeError(f"The embedded DERIVA in {data} did not start.")


@dataclass
class Lane:
    """One worker's own: nobody else writes its catalog or its home."""

    folder: Path
    server: Server
    proxy: Proxy
    catalog_id: str = ""
    subjects: tuple[str, ...] = ()
    used: int = 0
    tag: str = ""
    began: str = ""
    """When the present schedule began, as the catalog writes times."""
    _opened: dict[str, Catalog] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def inputs(self) -> Path:
        """Files that the user's code has before it runs."""
        return self.folder / "inputs"

    @property
    def notes(self) -> Path:
        """What the program under test did, a line each, appended."""
        return self.folder / "notes.txt"

    @property
    def said(self) -> Path:
        """What the processes under test wrote to their standard output and error."""
        return self.folder / "said.txt"

    @property
    def address(self) -> Address:
        """The catalog through the proxy."""
        return Address(f"127.0.0.1:{self.proxy.port}", self.catalog_id)

    @property
    def workspace(self) -> Path:
        return Settings(home=self.home).workspace(self.address)

    @property
    def catalog(self) -> Catalog:
        """The catalog past the proxy, for looking on."""
        if self.catalog_id not in self._opened:
            self._opened = {self.catalog_id: self._open()}
        return self._opened[self.catalog_id]

    def _open(self) -> Catalog:
        settings = Settings(home=self.folder / "onlooker")
        credential = {"bearer-token": self.server.token}
        return open_catalog(Address(self.server.host, self.catalog_id), settings=settings, credential=credential)

    def reset(self, tag: str) -> None:
        """An empty home and new inputs, whose content no other schedule has."""
        if not self.catalog_id or self.used >= SCHEDULES_A_CATALOG:
            self.catalog_id, self.subjects = make_catalog(self.server)
            self.used = 0
        self.used += 1
        # of one length, so that the files of all schedules are as long as those of the faultless run
        self.tag = tag.ljust(TAG_LENGTH, ".")
        self.began = datetime.now(UTC).isoformat(timespec="microseconds")
        self.proxy.order()
        for folder in (self.home, self.inputs):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        self.notes.write_bytes(b"")
        self.said.write_bytes(b"")


def make_catalog(server: Server) -> tuple[str, tuple[str, ...]]:
    """A catalog with tables Subject, Image and Mask, features Score and Outline; its id, and RIDs of its subjects."""
    from deriva.core.ermrest_model import Column, Table, builtin_types

    credential = {"bearer-token": server.token}
    made = create_ml_catalog(server.host, "lab", credential=credential)
    ml = DerivaML(server.host, str(made.catalog_id), credential=credential)
    columns = [Column.define("Name", builtin_types.text, nullok=False)]
    ml.model.schemas["lab"].create_table(Table.define("Subject", columns, comment="Persons"))
    ml.refresh_schema()
    ml.create_asset("Image", [_column("Camera", "text")], comment="Pictures")
    ml.create_asset("Mask", comment="Masks of pictures")
    ml.create_feature("Subject", "Score", metadata=[_column("Score", "float8")])
    ml.create_feature("Subject", "Outline", assets=["Mask"])
    table = ml.pathBuilder().schemas["lab"].tables["Subject"]
    rows = table.insert([{"Name": f"S{i}"} for i in range(SUBJECTS)])
    return str(made.catalog_id), tuple(row["RID"] for row in rows)


def _column(name: str, typename: str) -> dict[str, Any]:
    return {"name": name, "type": {"typename": typename}, "nullok": True, "default": None, "comment": None}


@contextmanager
def lanes(root: Path, server: Server, count: int) -> Iterator[list[Lane]]:
    """Lanes with their proxies, and the credential file that the programs under test find in their home."""
    found = []
    try:
        for number in range(count):
            folder = root / f"lane-{number}"
            folder.mkdir()
            found.append(Lane(folder, server, start_proxy(("127.0.0.1", server.port))))
        credentials = {f"127.0.0.1:{lane.proxy.port}": {"bearer-token": server.token} for lane in found}
        credentials[server.host] = {"bearer-token": server.token}
        path = Path(os.environ["HOME"]) / ".deriva" / "credential.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(credentials))
        yield found
    finally:
        for lane in found:
            lane.proxy.end()
