"""Telling how far a delivery is: to the caller's function, and to whoever looks on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from types import TracebackType

from deriva_ml_prefect.journal.effects import Planned
from deriva_ml_prefect.phases.send import Told, UploadOptions
from deriva_ml_prefect.values.progress import UploadProgress

logger = logging.getLogger(__name__)


class Teller:
    """Counts what has gone. Used from many threads; what it tells is told by one at a time."""

    def __init__(self, options: UploadOptions, pending: Sequence[Planned], *, done: int) -> None:
        self.callback = options.progress
        self.chunk_size = options.chunk_size
        self.total_files = sum(1 for item in pending if item.effect.payload["kind"] == "bytes")
        self.total = done + sum(item.effect.size for item in pending)
        self.completed = done
        self.files = 0
        self.sent: dict[str, int] = {}
        self.lock = threading.Lock()

    def __enter__(self) -> Teller:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def told(self, item: Planned) -> Told:
        """The function that is told how many bytes of an effect have gone since it was told last."""
        with self.lock:
            # what an earlier try sent is told again by this one
            self.completed -= self.sent.pop(item.effect.key, 0)
        phase = "uploading_chunks" if item.effect.size > self.chunk_size else "uploading"

        def count(size: int) -> None:
            with self.lock:
                self.completed += size
                self.sent[item.effect.key] = self.sent.get(item.effect.key, 0) + size
                self._tell(item, phase, self.files + 1)

        return count

    def finished(self, item: Planned) -> None:
        """An effect has arrived."""
        if item.effect.payload["kind"] != "bytes":
            return
        with self.lock:
            # bytes that were there already count as sent
            self.completed += item.effect.size - self.sent.get(item.effect.key, 0)
            self.sent[item.effect.key] = item.effect.size
            self.files += 1
            self._tell(item, "uploading", self.files)

    def repeat(self, count: int, delay: float) -> None:
        """Some are to be sent again."""
        logger.warning("%d of the uploads failed in passing; they are sent again in %.0f s.", count, delay)
        with self.lock:
            self._say(UploadProgress(phase="retrying", message=f"Sending {count} again in {delay:.0f} s"))

    def _tell(self, item: Planned, phase: str, number: int) -> None:
        payload = item.effect.payload
        message = f"Uploading file {min(number, self.total_files)} of {self.total_files}"
        self._say(
            UploadProgress(file_path=payload["path"], file_name=payload["file_name"], phase=phase, message=message)
        )

    def _say(self, said: UploadProgress) -> None:
        if self.callback:
            percent = min(100.0 * self.completed / self.total, 100.0) if self.total else 100.0
            self.callback(
                UploadProgress(
                    said.file_path, said.file_name, self.completed, self.total, percent, said.phase, said.message
                )
            )
