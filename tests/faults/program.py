"""The run under test and its recovery, as a person would write them, with nothing but the public interface."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.journal.executions import Entry, list_executions
from deriva_ml_prefect.journal.store import FILE_NAME, open_journal
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.phases.context import entry_of
from deriva_ml_prefect.phases.lifecycle import deliver_outputs
from deriva_ml_prefect.phases.recover import resume
from deriva_ml_prefect.phases.send import UploadOptions
from deriva_ml_prefect.values.address import Address

CHUNK = 16_384
CHUNKS = 4
ITEMS = ("Image/left.png", "Image/right.png", "Mask/mask.png", "Execution_Metadata/metrics.jsonl", "Score", "Outline")
"""What the user's code registers and stages, in its order."""

Note = Callable[[str], None]


def content_of(item: str, tag: str) -> bytes:
    """The bytes of a file of the run; another tag has other bytes."""
    head = f"{item} of {tag}\n".encode()
    if item == "Image/right.png":
        return head.ljust(CHUNK * (CHUNKS - 1) + 1000, b"r")
    if item.endswith("metrics.jsonl"):
        return b'{"epoch": 1, "loss": 0.5}\n{"epoch": 2, "tag": "' + tag.encode() + b'"}\n'
    return head * 20


def prepare(inputs: Path, tag: str) -> None:
    """Files that are there before the run: one will be copied, one linked."""
    for item in ("Image/left.png", "Mask/mask.png"):
        (inputs / item.rpartition("/")[2]).write_bytes(content_of(item, tag))


def noter(path: Path) -> Note:
    """Append a line to a file, at once and whole."""

    def note(line: str) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(descriptor, f"{line}\n".encode())
        os.close(descriptor)

    return note


class OwnError(Exception):
    """The user's own code could not write: its error is nothing that the package could name."""


class Program:
    """One run, to be begun and taken up again by any number of processes, one after the other."""

    def __init__(self, address: Address, subjects: tuple[str, ...], inputs: Path, notes: Path, tag: str) -> None:
        self.address = address
        self.subjects = subjects
        self.inputs = inputs
        self.note = noter(notes)
        self.tag = tag
        self.timeout = (2.0, 10.0)
        self.mask = Path()

    def proceed(self, workspace: Path) -> None:
        """Begin the run, or go on with it: what a person does who finds that it has ended early."""
        entry = self.entry(workspace)
        if entry is None:
            ml = DerivaML(self.address.hostname, self.address.catalog_id)
            exe = ml.create_execution(ExecutionSpec(workflow=self.workflow(), description=self.tag))
            self.run(exe)
        elif entry.user_code == "idle":
            ml = DerivaML(self.address.hostname, self.address.catalog_id)
            self.run(ml.resume_execution(entry.rid))
        else:
            self.resume(entry.rid)

    def entry(self, workspace: Path) -> Entry | None:
        """What the journal knows of the run."""
        if not (workspace / FILE_NAME).exists():
            return None
        found = list_executions(open_journal(workspace))
        return found[0] if found else None

    def workflow(self) -> Workflow:
        digest = self.tag.encode().hex()[-40:].rjust(40, "0")
        url = f"https://example.org/{self.tag}.py"
        return Workflow(name="Faults", workflow_type=["Training"], url=url, checksum=digest)

    def run(self, exe: Execution) -> None:
        with exe:
            self.user_code(exe)
        chosen = self.options()
        exe.upload_execution_outputs(
            max_retries=chosen.max_retries,
            retry_delay=chosen.retry_delay,
            timeout=chosen.timeout,
            chunk_size=chosen.chunk_size,
            clean_folder=None,
        )

    def options(self) -> UploadOptions:
        """How outputs are sent in a test: small chunks, short pauses."""
        return UploadOptions(max_retries=2, retry_delay=0.02, timeout=self.timeout, chunk_size=CHUNK)

    def resume(self, rid: str) -> None:
        """As the command `deriva-ml-prefect resume RID` does, with pauses that suit a test."""
        context = resume(self.address, rid)
        deliver_outputs(context, self.options())
        self.note(f"resumed {entry_of(context).status}")

    def user_code(self, exe: Execution) -> None:
        """What the scientist wrote. `tried` and `done` tell what must be in the catalog in the end."""
        self.note("code")
        for item in ITEMS:
            self.note(f"tried {item}")
            self._register(exe, item)
            self.note(f"done {item}")
        self.note("code ended")

    def _register(self, exe: Execution, item: str) -> None:
        match item:
            case "Image/left.png":
                exe.asset_file_path(
                    "Image", self.inputs / "left.png", copy_file=True, metadata={"Camera": "A"}, description="left"
                )
            case "Image/right.png":
                self._write(exe.asset_file_path("Image", "right.png", description="of four chunks"), item)
            case "Mask/mask.png":
                self.mask = exe.asset_file_path("Mask", self.inputs / "mask.png")
            case "Execution_Metadata/metrics.jsonl":
                self._write(exe.metrics_file(), item)
            case "Score":
                record = exe.ml.feature_record_class("Subject", "Score")
                exe.add_features([record(Subject=rid, Score=i / 3) for i, rid in enumerate(self.subjects)])
            case "Outline":
                record = exe.ml.feature_record_class("Subject", "Outline")
                exe.add_features([record(Subject=rid, Mask=self.mask) for rid in self.subjects])

    def _write(self, path: Path, item: str) -> None:
        try:
            with path.open("ab") as stream:
                stream.write(content_of(item, self.tag))
        except OSError as e:
            raise OwnError(str(e)) from e


def write_missing(executions: Path, tag: str) -> list[str]:
    """Write the files that were registered by a process which died before it wrote them, as their author would."""
    written = []
    for item in ("Image/right.png", "Execution_Metadata/metrics.jsonl"):
        for folder in executions.glob("*/staged"):
            path = folder / item
            if path.parent.is_dir() and not path.exists():
                path.write_bytes(content_of(item, tag))
                written.append(item)
    return written
