"""Progress of long work, as a program reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class UploadProgress:
    """Where an upload stands. Fields and meaning are deriva-ml's; bytes are bytes, percent is 0 to 100."""

    file_path: str = ""
    file_name: str = ""
    bytes_completed: int = 0
    """Bytes of all files that have been delivered so far."""
    bytes_total: int = 0
    percent_complete: float = 0.0
    phase: str = ""
    """`uploading`, `uploading_chunks`, `retrying` or `done`."""
    message: str = ""
    """For a person, e.g. `Uploading file 3 of 12`."""


ProgressCallback = Callable[[UploadProgress], None]
