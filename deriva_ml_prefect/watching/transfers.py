"""How far the downloads and uploads of an execution are."""

from __future__ import annotations

from dataclasses import dataclass

from deriva_ml_prefect.journal import files, inputs
from deriva_ml_prefect.phases.context import Context, entry_of, journal_of
from deriva_ml_prefect.values.progress import UploadProgress
from deriva_ml_prefect.values.status import ExecutionStatus


@dataclass(frozen=True)
class Transfers:
    percent: float
    """0 to 100, of what is being transferred."""
    said: str
    """For a person."""


def read_transfers(context: Context, upload: UploadProgress | None, *, ended: bool) -> Transfers | None:
    """Where the transfers stand; None when there is nothing to tell.

    `upload` is what the upload has told last. `ended`: nothing further will be transferred now.
    """
    if ended:
        made = files.list_files(journal_of(context), context.rid)
        there = [file for file in made if file.status == "uploaded"]
        percent = 100.0 * len(there) / len(made) if made else 100.0
        size = format_size(sum(file.length or 0 for file in there))
        return Transfers(percent, f"{len(there)} of {len(made)} files are in the catalog, {size}")
    if upload is not None:
        sent = f"{format_size(upload.bytes_completed)} of {format_size(upload.bytes_total)}"
        return Transfers(upload.percent_complete, f"{upload.message or upload.phase}, {sent}")
    return _downloads(context)


def _downloads(context: Context) -> Transfers | None:
    entry = entry_of(context)
    asked = sum(len(entry.configuration.get(kind) or ()) for kind in ("datasets", "assets"))
    if not asked or entry.status is not ExecutionStatus.Created:
        return None
    # an input is noted with its version first, and with its place when it is on this machine
    here = [item for item in inputs.list_inputs(journal_of(context), context.rid) if "path" in item.facts]
    size = format_size(sum(int(item.facts.get("bytes") or item.facts.get("length") or 0) for item in here))
    return Transfers(100.0 * min(len(here), asked) / asked, f"{len(here)} of {asked} inputs are here, {size}")


def format_size(count: int) -> str:
    """A number of bytes for a person."""
    size = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
