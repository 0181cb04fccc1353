"""One large file into the catalog by an execution, against curl, which sends it in as many PUTs as the server asks for.

The server takes at most 128 MiB in a PUT.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from deriva_ml_prefect.values.progress import UploadProgress
from tests.benchmarks.comparison import Comparison, timed
from tests.benchmarks.counting import Counted, counting_proxy
from tests.benchmarks.processes import run_program
from tests.benchmarks.uploads import TABLE, Files, through
from tests.benchmarks.world import World

if TYPE_CHECKING:
    from deriva_ml_prefect.ml.execution import Execution

LARGE = 2 << 30
LARGEST_PUT = 100 << 20
CHUNKS = 20
PIECE = 1 << 20
SECONDS = 600


class Stopped(OSError):
    """The upload is broken off here."""


def compare(world: World, stack: ExitStack) -> list[Comparison]:
    one = LargeFile(world, Files(world), max(world.of(LARGE), CHUNKS * PIECE))
    shown = f"a file of {one.size / PIECE:.0f} MiB"

    def counted(name: str, work: Callable[[], float], aim: float, unit: str) -> Comparison:
        return Comparison(name, work, None, aim, unit, rounds=1, warm_up=False)

    return [
        Comparison(f"upload {shown}, hash known / curl -T", one.upload, one.curl, 1.2, rounds=3, warm_up=False),
        Comparison(
            f"hash and upload {shown} / md5sum and curl -T",
            one.hash_and_upload,
            one.hash_and_curl,
            1.15,
            rounds=3,
            warm_up=False,
        ),
        Comparison(
            "resume its upload at 90 % / a tenth of its time",
            one.resume,
            lambda: one.upload() / 10,
            1.3,
            rounds=3,
            warm_up=False,
        ),
        counted("chunks that the resumed upload sends again", one.sent_again, 0, "chunks"),
        counted(f"memory while {shown} is hashed and uploaded, above rest", one.memory, 150, "MB"),
    ]


@dataclass
class LargeFile:
    world: World
    files: Files
    size: int

    @property
    def path(self) -> Path:
        return self.world.folder / "large.bin"

    @cached_property
    def content(self) -> bytes:
        return Random(7).randbytes(PIECE)

    def write(self) -> None:
        """Make it anew, with bytes that were never uploaded."""
        with self.path.open("wb") as out:
            out.write(self.files.content(PIECE))
            for _ in range(self.size // PIECE - 1):
                out.write(self.content)

    def register(self, execution: Execution) -> None:
        execution.asset_file_path(TABLE, str(self.path))

    def upload(self) -> float:
        """Seconds; the file was hashed when its execution ended."""
        self.write()
        return timed(self.files.execution(self.register).upload_execution_outputs)()

    def hash_and_upload(self) -> float:
        """Seconds from the end of the user's code, when it is hashed."""
        self.write()
        execution = self.world.ml.create_execution(workflow=self.files.workflow, description="Large")
        execution.execution_start()
        self.register(execution)

        def rest() -> None:
            execution.execution_stop()
            execution.upload_execution_outputs()

        return timed(rest)()

    @cached_property
    def _curl(self) -> list[str]:
        configuration = self.world.folder / "curl.conf"
        configuration.touch(mode=0o600)
        # not on the command line, where everybody on the machine can read it
        configuration.write_text(f'header = "Authorization: Bearer {self.world.client.token}"\n')
        return ["--silent", "--fail", "--config", str(configuration), "--output", "/dev/null"]

    def _parts(self) -> list[Path]:
        """The file in pieces that one PUT can carry."""
        parts = []
        with self.path.open("rb") as whole:
            while content := whole.read(LARGEST_PUT):
                parts.append(self.path.with_name(f"large-{len(parts)}.bin"))
                parts[-1].write_bytes(content)
        return parts

    def _put(self, parts: list[Path]) -> None:
        """With curl, over one connection."""
        folder = f"http://127.0.0.1:{self.world.client.connection.port}/hatrac/bare/large-{next(self.files.numbers)}"
        command = ["curl"]
        for number, part in enumerate(parts):
            command += ["--next"] * bool(number) + self._curl
            command += ["--upload-file", str(part), f"{folder}/{number}?parents=true"]
        subprocess.run(command, check=True, timeout=SECONDS)

    def curl(self) -> float:
        self.write()
        parts = self._parts()
        return timed(lambda: self._put(parts))()

    def hash_and_curl(self) -> float:
        self.write()
        parts = self._parts()

        def work() -> None:
            subprocess.run(["md5sum", self.path], check=True, stdout=subprocess.DEVNULL, timeout=SECONDS)
            self._put(parts)

        return timed(work)()

    def _stop_at_nine_tenths(self, execution: Execution) -> None:
        """Break its upload off when nine tenths of the chunks are there."""

        def tell(progress: UploadProgress) -> None:
            if progress.bytes_completed >= 0.9 * self.size:
                raise Stopped("broken off at nine tenths")

        try:
            execution.upload_execution_outputs(progress_callback=tell, chunk_size=self.size // CHUNKS, max_retries=0)
        except Exception as error:
            if "broken off at nine tenths" not in str(error):
                raise
        else:
            raise RuntimeError("the upload was not broken off")

    def resume(self) -> float:
        """Seconds that the rest takes."""
        self.write()
        execution = self.files.execution(self.register)
        self._stop_at_nine_tenths(execution)
        return timed(lambda: execution.upload_execution_outputs(chunk_size=self.size // CHUNKS))()

    def sent_again(self) -> float:
        self.write()
        with counting_proxy(self.world.client.connection.port) as passed:
            execution = self.files.execution(self.register, through(self.world, passed.port))
            self._stop_at_nine_tenths(execution)
            execution.upload_execution_outputs(chunk_size=self.size // CHUNKS)
            return len(_chunks(passed)) - len(set(_chunks(passed)))

    def memory(self) -> float:
        """Megabytes by which a process grows that does nothing else, over its size after a small file of the kind."""
        self.write()
        small = self.world.folder / "small.bin"
        small.write_bytes(self.files.content())
        told = run_program([sys.executable, "-c", _MEMORY, self.world.ml.catalog_id, str(small), str(self.path)])
        return float(told.split()[-1]) / 1024


def _chunks(passed: Counted) -> list[str]:
    """PUTs of chunks, by job and number."""
    return [asked for asked in passed.requests if asked.startswith("PUT ") and ";upload/" in asked]


_MEMORY = f"""
import re, sys
from pathlib import Path
from deriva_ml_prefect import DerivaML

def kilobytes(name):
    return int(re.search(rf"^{{name}}:\\s+(\\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)[1])

def upload(path):
    with ml.create_execution(workflow=ml.create_workflow("Upload", "Training"), description="Memory") as execution:
        execution.asset_file_path("{TABLE}", path)
    execution.upload_execution_outputs()

ml = DerivaML("embedded", sys.argv[1])
upload(sys.argv[2])
Path("/proc/self/clear_refs").write_text("5")
before = kilobytes("VmRSS")
upload(sys.argv[3])
print(kilobytes("VmHWM") - before)
"""
