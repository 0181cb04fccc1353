"""Metrics of a running training, one JSON line a call: in the file when the call returns, on the disk within a second.

A call costs one write to the system, so that a process that is killed loses nothing; a thread syncs the files that were
written to, twice a second and at the end of the process.
"""

from __future__ import annotations

import atexit
import json
import logging
import math
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deriva_ml_prefect.exceptions import DerivaMLExecutionError, DerivaMLReadOnlyError, DerivaMLValidationError
from deriva_ml_prefect.phases.scrubbing import clean_value

logger = logging.getLogger(__name__)

SYNC_SECONDS = 0.5
NOTE = "_note"
"""Ending of the key beside a number that JSON cannot hold: it says which (`NaN`, `Infinity`, `-Infinity`)."""

_logs: dict[str, _Log] = {}
_lock = threading.Lock()
_written = threading.Event()
_syncing = 0
"""Process whose syncing thread runs: a forked child has none."""


def log_metrics(path: Path, values: Mapping[str, Any], step: int | None = None) -> None:
    """Append one record to the file: `step`, if given, and the values.

    Values are numbers, texts, truth values or None, or what has one of these as `.item()` (NumPy, torch). A number
    that is not finite is written as null, with a key `<name>_note` that says which it was; a text without its secrets.
    Safe between threads, and between processes that write to one file.
    """
    try:
        line = json.dumps(_record(values, step), separators=(",", ":")) + "\n"
    except ValueError as e:
        # a whole number of thousands of digits
        raise DerivaMLValidationError(f"Metrics cannot be written: {e}. Give smaller numbers, or texts.") from None
    name = os.fspath(path)
    log = _logs.get(name)
    if log is None or log.pid != os.getpid():
        log = _open(name)
    log.append(line.encode())


class _Log:
    """An open metrics file."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.pid = os.getpid()
        self.descriptor = os.open(name, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self.unsynced = False
        self.torn = self._ends_within_a_line()

    def _ends_within_a_line(self) -> bool:
        size = os.fstat(self.descriptor).st_size
        return bool(size) and os.pread(self.descriptor, 1, size - 1) != b"\n"

    def append(self, line: bytes) -> None:
        if os.fstat(self.descriptor).st_nlink == 0:
            if _logs.pop(self.name, None) is self:
                os.close(self.descriptor)
            raise DerivaMLReadOnlyError(
                f"{self.name} has been uploaded, or was deleted, so nothing can be added to it. "
                "Log further metrics with another filename=."
            )
        data = left = b"\n" + line if self.torn else line
        try:
            while left:
                left = left[os.write(self.descriptor, left) :]
            self.torn = False
        except OSError as e:
            # only then: other threads look at it while this one writes
            self.torn = self.torn or len(left) < len(data)
            raise DerivaMLExecutionError(f"Metrics could not be written to {self.name}: {e.strerror}.") from e
        self.unsynced = True
        if not _written.is_set():
            _written.set()

    def sync(self) -> None:
        if self.unsynced and self.pid == os.getpid():
            self.unsynced = False
            os.fsync(self.descriptor)


def sync_all() -> None:
    """Bring everything that was logged to the disk now."""
    for log in list(_logs.values()):
        log.sync()


def close_log(path: Path) -> None:
    """Sync and close the file, if it is open here."""
    log = _logs.pop(os.fspath(path), None)
    if log is not None:
        log.sync()
        os.close(log.descriptor)


def _open(name: str) -> _Log:
    global _syncing
    with _lock:
        log = _logs.get(name)
        if log is None or log.pid != os.getpid():
            try:
                log = _logs[name] = _Log(name)
            except OSError as e:
                raise DerivaMLExecutionError(f"Metrics file {name} cannot be opened: {e.strerror}.") from e
        if _syncing != os.getpid():
            _syncing = os.getpid()
            threading.Thread(target=_keep_syncing, name="metrics-sync", daemon=True).start()
    return log


def _keep_syncing() -> None:
    while True:
        _written.wait()
        time.sleep(SYNC_SECONDS)
        _written.clear()
        try:
            sync_all()
        except OSError as e:
            # the lines are in the file, and there is no caller to raise this to
            logger.warning("Metrics could not be brought to the disk: %s.", e.strerror)


def _record(values: Mapping[str, Any], step: int | None) -> dict[str, Any]:
    record: dict[str, Any] = {} if step is None else {"step": _plain("step", step)}
    for name, value in values.items():
        if not isinstance(name, str):
            raise DerivaMLValidationError(f"Metric {name!r}: names are texts.")
        plain = _plain(name, value)
        if name == "step" and step is not None and plain != record["step"]:
            raise DerivaMLValidationError(f"Two steps were given: step={step} and {plain} among the values.")
        if isinstance(plain, float) and not math.isfinite(plain):
            record[name] = None
            record[name + NOTE] = "NaN" if plain != plain else "Infinity" if plain > 0 else "-Infinity"
        else:
            record[name] = clean_value(name, plain) if isinstance(plain, str) else plain
    return record


def _plain(name: str, value: Any) -> Any:
    if value is None or type(value) in (int, float, str, bool):
        return value
    item = getattr(value, "item", None)
    if callable(item):
        try:
            value = item()
        except (TypeError, ValueError, RuntimeError):
            raise DerivaMLValidationError(
                f"Metric {name!r} is {type(value).__name__} with more than one number. Give one number, e.g. its mean."
            ) from None
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    if hasattr(value, "__float__"):
        return float(value)
    raise DerivaMLValidationError(
        f"Metric {name!r} is {type(value).__name__}. Give a number, a text, True, False or None."
    )


atexit.register(sync_all)
