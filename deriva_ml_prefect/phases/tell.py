"""Telling how far a delivery is: to the caller's function, and to whoever looks on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType

from deriva_ml_prefect.journal.effects import Planned
from deriva_ml_prefect.phases.send import Told, UploadOptions
from deriva_ml_prefect.progress.meter import ROWS, Meter, showing
from deriva_ml_prefect.values.effects import Effect, Order
from deriva_ml_prefect.values.progress import UploadProgress
from deriva_ml_prefect.values.rid import RID

logger = logging.getLogger(__name__)

_ROWS_UNDER = {"asset_rows": "rows", "asset_types": "rows", "asset_links": "assets"}
"""Where the payload of a kind has its list of rows."""


@dataclass(frozen=True)
class Amount:
    """How much is to be delivered."""

    files: int = 0
    bytes: int = 0
    """Of all files, with those that were delivered before."""
    done: int = 0
    """Bytes that were delivered before."""
    rows: int = 0
    features: bool = False
    """Whether the rows are values of features."""


def amount_of(pending: Iterable[Effect], *, done: int = 0) -> Amount:
    """The amount of effects; `done` bytes were delivered before."""
    files = size = rows = 0
    features = False
    for effect in pending:
        files += effect.payload["kind"] == "bytes"
        size += effect.size
        rows += _rows_of(effect)
        features = features or effect.order is Order.feature_rows
    return Amount(files, done + size, done, rows, features)


class Teller:
    """Counts what has gone. Used from many threads; what it tells is told by one at a time.

    A context, within which a person is shown it as well.
    """

    def __init__(self, rid: RID, options: UploadOptions, amount: Amount) -> None:
        self.rid = rid
        self.amount = amount
        self.meter: Meter | None = None
        self.callback = options.progress
        self.chunk_size = options.chunk_size
        self.total_files = amount.files
        self.total = amount.bytes
        self.completed = amount.done
        self.files = 0
        self.sent: dict[str, int] = {}
        self.lock = threading.Lock()

    def __enter__(self) -> Teller:
        if self.total_files:
            self._showing = showing(f"Uploading {self.rid}", total=self.total, items=self.total_files)
        else:
            what = "Inserting values" if self.amount.features else "Recording files"
            self._showing = showing(f"{what} {self.rid}", total=self.amount.rows, unit=ROWS)
        self.meter = self._showing.__enter__()
        if self.total_files:
            self.meter.start_at(self.completed)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._showing.__exit__(kind, error, traceback)

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
            if self.meter is not None:
                self.meter.advance(_rows_of(item.effect))
            return
        with self.lock:
            # bytes that were there already count as sent
            self.completed += item.effect.size - self.sent.pop(item.effect.key, 0)
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
        if self.meter is not None and self.total_files:
            self.meter.reach(self.completed, self.files)
        if self.callback:
            percent = min(100.0 * self.completed / self.total, 100.0) if self.total else 100.0
            self.callback(
                UploadProgress(
                    said.file_path, said.file_name, self.completed, self.total, percent, said.phase, said.message
                )
            )


def _rows_of(effect: Effect) -> int:
    """Rows that an effect brings into the catalog."""
    payload = effect.payload
    if payload["kind"] == "feature_rows":
        return int(payload.get("rows", 0))
    under = _ROWS_UNDER.get(payload["kind"])
    return len(payload[under]) if under else 0
