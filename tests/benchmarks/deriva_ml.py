"""deriva-ml 1.17.10, unmodified, doing the same work in the same catalog of the same server.

It lives in a virtual environment of its own, the one of `make compat`, which is made from the registry when there is
none; if that cannot be done, these rows say SKIPPED and why. Each works in a new process for each figure; the time
begins when the catalog has been opened.

What is compared is what a person with an embedded DERIVA waits for. Each package speaks to the server itself, with
nothing in between, in its own way: ours over HTTP on the loopback interface, as it does wherever it is given the host
`embedded`; deriva-ml, which knows nothing but https, at the port where the server speaks TLS. TLS is no large part of
it: the row of the large file, where it costs most, has another beside it that says what the bytes cost anybody who
sends them without. Requests are counted in runs of their own, which are not timed, of both packages through a proxy.

What is in the way of the aim for the large file is a row of its own: what the same bytes cost anybody who writes,
hashes and sends them here. A fifth of the requests can be had for many files alone, for the reason in LEAST_REQUESTS.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from deriva_ml_prefect.embedded.state import read_state
from tests.benchmarks.bags import make_files
from tests.benchmarks.comparison import Comparison, Skipped, timed
from tests.benchmarks.counting import Counted, counting_proxy
from tests.benchmarks.imports import OURS
from tests.benchmarks.large_files import LargeFile
from tests.benchmarks.processes import python
from tests.benchmarks.uploads import Files
from tests.benchmarks.world import JSON, World

COMPAT = Path(__file__).parent.parent / "compat"
PROGRAM = Path(__file__).with_name("same_work.py")
THEIRS = "deriva_ml"
PACKAGES = (THEIRS, "deriva_ml_prefect")
FILES = 1_000
LARGE_MIB = 512
ROWS = 10_000
SECONDS = 900
TEN_TIMES = 1 / 10
FOUR_TIMES = 1 / 4
A_FIFTH = 1 / 5
LEAST_REQUESTS = (
    "an execution that does nothing needs 18 requests, deriva-ml's 66: schema, login, workflow, lease and row; two "
    "metadata files while it is Created, and the record of the run at its end, each time with rows in three tables; "
    "four statuses. A large file adds its chunks."
)


def compare(world: World, stack: ExitStack) -> list[Comparison]:
    both = Both(world, _environment(), stack)
    both.prepare()
    rows: list[Comparison] = []
    for act, what, count, aim in (
        ("files", "an execution with 1,000 files of 4 KiB", world.of(FILES), TEN_TIMES),
        ("large", f"an execution with a file of {world.of(LARGE_MIB)} MiB", world.of(LARGE_MIB), FOUR_TIMES),
        ("features", "an execution with 10,000 feature values", world.of(ROWS), 1.0),
        ("empty", "an empty execution", 1, 1.0),
    ):
        once = {"rounds": 3 if act in ("empty", "files") else 1, "warm_up": False}
        work = [partial(both.seconds, package, act, count) for package in reversed(PACKAGES)]
        floor = "the next row but one says what the same work costs anybody here." if act in LEAST else ""
        rows.append(Comparison(f"{what} / deriva-ml 1.17.10", *work, aim, **once, in_the_way=floor))
        asked = [partial(both.requests, package, act, count) for package in reversed(PACKAGES)]
        name = f"requests of {what} / deriva-ml's"
        why = LEAST_REQUESTS if act == "empty" else "see the row of the empty execution."
        rows.append(Comparison(name, *asked, A_FIFTH, "requests", rounds=1, warm_up=False, in_the_way=why))
        if act in LEAST:
            # how near to the aim one can come with this disk and this server
            name, least = LEAST[act]
            figures = [partial(least, both, count), partial(both.took, THEIRS, act)]
            beyond = "so that the aim is out of reach on this machine."
            rows.append(Comparison(name, *figures, aim, **once, in_the_way=beyond))
    importing = Comparison(
        "import of DerivaML / deriva-ml's", python(OURS), python("from deriva_ml import DerivaML", both.python), 1.0
    )
    return [*rows, importing]


def _environment() -> Path:
    """Python of the environment with deriva-ml; Skipped if it cannot be made."""
    try:
        return Path(_compat().ensure_environment())
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        raise Skipped(f"there is no environment with deriva-ml: {error}") from error


def _compat() -> Any:
    """The program of `make compat`, whose files import each other by their bare names."""
    if str(COMPAT) not in sys.path:
        sys.path.append(str(COMPAT))
    return importlib.import_module("run_deriva_ml")


@dataclass(frozen=True)
class Way:
    """How a package gets to the server: the host it is given, and where it finds its login and keeps its files."""

    host: str
    home: Path
    data: Path
    """DERIVA_ML_HOME."""


@dataclass
class Both:
    """Runs either package, and remembers how long each piece of work took last."""

    world: World
    python: Path
    stack: ExitStack
    spent: dict[tuple[str, str], float] = field(default_factory=dict)
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    @cached_property
    def proxy(self) -> Counted:
        from deriva_ml_prefect.embedded.certificates import server_context

        tls = server_context(self.world.folder / "data")
        return self.stack.enter_context(counting_proxy(self.world.client.connection.port, tls))

    def prepare(self) -> None:
        """Tables in the catalog, logins, and a repository: deriva-ml wants to tell where its caller's code lies."""
        from deriva.core.ermrest_model import Column, Table, builtin_types

        ml = self.world.ml
        ml.create_asset("Compared_File", comment="Files of the same work")
        columns = [Column.define("Name", builtin_types.text, nullok=False)]
        ml.model.schemas["bench"].create_table(Table.define("Compared", columns, comment="What has a score"))
        ml.refresh_schema()
        score: Any = {"name": "Score", "type": {"typename": "float8"}, "nullok": True}
        ml.create_feature("Compared", "Score", metadata=[score])
        body = json.dumps([{"Name": f"sample-{n}"} for n in range(self.world.of(ROWS))]).encode()
        path = f"/ermrest/catalog/{ml.catalog_id}/entity/bench:Compared"
        self.world.client.ask("POST", path, body, content_type=JSON)
        # a new store makes a folder for most of its first objects, and they would be whoever's comes first
        make_files(self.world, self.world.of(2 * FILES))
        for way in (self.straight(THEIRS), self.counted(THEIRS)):
            _compat().write_credentials(way.home, way.host, self.world.client.token)
        _compat().make_repository(self.folder / "code")
        (self.folder / "code" / PROGRAM.name).write_bytes(PROGRAM.read_bytes())
        who = ["-c", "user.name=Benchmark", "-c", "user.email=benchmark@example.org"]
        for command in (["add", "."], [*who, "commit", "--quiet", "-m", "The same work"]):
            subprocess.run(["git", *command], cwd=self.folder / "code", check=True)

    @cached_property
    def folder(self) -> Path:
        made = self.world.folder / "deriva-ml"
        made.mkdir()
        return made

    def straight(self, package: str) -> Way:
        """The way that a user of it has to this server."""
        running = read_state(self.world.folder / "data")
        assert running is not None
        theirs = str(running.https_url).removeprefix("https://")
        host = theirs if package == THEIRS else "embedded"
        return Way(host, self.folder / "home", self.world.folder / "home")

    def counted(self, package: str) -> Way:
        """Through the proxy that counts requests, with TLS."""
        # this package takes `localhost` for a server without TLS
        host = f"{'localhost' if package == THEIRS else 'LOCALHOST'}:{self.proxy.port}"
        return Way(host, self.folder / "counted-home", self.folder / "counted-data")

    def seconds(self, package: str, act: str, count: int) -> float:
        """What the program says that the work took."""
        spent = self._run(self.straight(package), package, act, count)[0]
        self.spent[package, act] = spent
        return spent

    def requests(self, package: str, act: str, count: int) -> float:
        return self._run(self.counted(package), package, act, count)[1]

    def _run(self, way: Way, package: str, act: str, count: int) -> tuple[float, int]:
        """Seconds, and requests that passed the proxy meanwhile."""
        interpreter = self.python if package == THEIRS else Path(sys.executable)
        arguments = [package, act, way.host, self.world.ml.catalog_id, str(count), f"{act}-{next(self.numbers)}"]
        with subprocess.Popen(
            [interpreter, PROGRAM.name, *arguments],
            cwd=self.folder / "code",
            env=self._surroundings(interpreter, way),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(self.folder / "stderr.txt").open("wb"),
            text=True,
        ) as process:
            try:
                return self._listen(process, package, act)
            finally:
                process.kill()

    def _listen(self, process: subprocess.Popen[str], package: str, act: str) -> tuple[float, int]:
        assert process.stdin is not None
        assert process.stdout is not None
        passed = [0, 0]
        for line in process.stdout:
            said = line.strip()
            if said not in ("begin", "end"):
                try:
                    return float(said), passed[1] - passed[0]
                except ValueError:
                    continue
            passed[said == "end"] = len(self.proxy.requests)
            process.stdin.write("\n")
            process.stdin.flush()
        problem = (self.folder / "stderr.txt").read_text(errors="replace").strip()[-800:]
        raise RuntimeError(f"{package} did not finish {act}: {problem}")

    def _surroundings(self, interpreter: Path, way: Way) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DERIVA_", "PYTHON"))}
        return {
            **kept,
            "HOME": str(way.home),
            "REQUESTS_CA_BUNDLE": str(self.world.folder / "data" / "tls" / "ca.pem"),
            "DERIVA_ML_HOME": str(way.data),
            "DERIVA_ML_ALLOW_DIRTY": "true",
            "PATH": os.pathsep.join([str(interpreter.parent), os.environ.get("PATH", "")]),
        }

    def took(self, package: str, act: str) -> float:
        return self.spent[package, act]

    def least_of_large(self, mebibytes: int) -> float:
        """Seconds that the same bytes cost anybody: written to disk, hashed, and sent straight to the server."""
        one = LargeFile(self.world, Files(self.world), mebibytes << 20)
        return timed(one.write)() + one.hash_and_curl()


LEAST = {
    "large": ("to write that file, md5sum and curl -T without TLS / deriva-ml's", Both.least_of_large),
}
"""What the work costs anybody, by act: what it is, and seconds of so much of it."""
