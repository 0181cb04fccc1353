"""The one loop that records effects, sends them, keeps their receipts and repeats what failed in passing."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

from deriva_ml_prefect.exceptions import DerivaMLException, DerivaMLOfflineError
from deriva_ml_prefect.journal import effects as journal_effects
from deriva_ml_prefect.journal.effects import Planned
from deriva_ml_prefect.phases.context import Context, catalog_of, journal_of
from deriva_ml_prefect.phases.send import Told, UploadOptions, send
from deriva_ml_prefect.transfer.parallel import run_parallel
from deriva_ml_prefect.transfer.retry import LONGEST_RETRY_AFTER
from deriva_ml_prefect.values.effects import Effect, Failure, Receipt, Report
from deriva_ml_prefect.values.progress import UploadProgress

logger = logging.getLogger(__name__)

MAX_WIDTH = 16
"""Effects under way at once, at most; how many pay is found by measuring."""


def deliver(context: Context, effects: Sequence[Effect], options: UploadOptions) -> Report:
    """Send the effects that have no receipt. Partial failure is in the report; nothing is raised for it.

    The intent of all of them is durable before the first is sent, each receipt before the next phase begins.
    """
    journal = journal_of(context)
    planned = journal_effects.plan_effects(journal, context.rid, effects)
    receipts = [item.receipt for item in planned if item.receipt]
    pending = [item for item in planned if not item.receipt]
    progress = _Progress(options, pending, done=sum(item.effect.size for item in planned if item.receipt))
    failures: list[Failure] = []
    asked = 0.0
    for attempt in range(options.max_retries + 1):
        if attempt:
            delay = max(options.retry_delay * 2 ** (attempt - 1), asked)
            progress.repeat(len(pending), delay)
            time.sleep(delay)
            # an upload job that was begun is taken up again
            known = (journal_effects.read_effect(journal, context.rid, item.effect.key) for item in pending)
            pending = [item for item in known if item is not None]
        delivered, failures_now = _send_all(context, pending, options, progress)
        receipts += delivered
        failures += [failure for failure in failures_now if not failure.transient]
        passing = {failure.key: failure for failure in failures_now if failure.transient}
        pending = [item for item in pending if item.effect.key in passing]
        asked = min(max((failure.retry_after for failure in passing.values()), default=0.0), LONGEST_RETRY_AFTER)
        if not pending:
            return Report(tuple(receipts), tuple(failures))
    return Report(tuple(receipts), (*failures, *passing.values()))


def _send_all(
    context: Context, pending: Sequence[Planned], options: UploadOptions, progress: _Progress
) -> tuple[list[Receipt], list[Failure]]:
    journal = journal_of(context)
    client = catalog_of(context).client

    def one(item: Planned) -> Receipt:
        # repeating is this loop's, with the pauses that the caller chose
        with client.single_tries():
            receipt = send(context, item, options, progress.told(item))
        journal_effects.mark_delivered(journal, context.rid, [receipt])
        progress.finished(item)
        return receipt

    delivered: list[Receipt] = []
    failed: list[Failure] = []
    for outcome in run_parallel(pending, one, width_limit=MAX_WIDTH, overloads=lambda: client.overloads):
        if outcome.error is None and outcome.result is not None:
            delivered.append(outcome.result)
            continue
        error = outcome.error
        if not isinstance(error, (DerivaMLException, OSError)):
            raise error if error is not None else RuntimeError("an effect ended without a receipt and without an error")
        reason = f"{type(error).__name__}: {error}"
        key = outcome.job.effect.key
        journal_effects.mark_failed(journal, context.rid, key, reason)
        transient = isinstance(error, DerivaMLOfflineError)
        pause = error.retry_after if isinstance(error, DerivaMLOfflineError) else 0.0
        failed.append(Failure(key, reason, transient=transient, retry_after=pause))
    return delivered, failed


class _Progress:
    """Counts what has gone, and tells the caller."""

    def __init__(self, options: UploadOptions, pending: Sequence[Planned], *, done: int) -> None:
        self.callback = options.progress
        self.chunk_size = options.chunk_size
        self.total_files = sum(1 for item in pending if item.effect.payload["kind"] == "bytes")
        self.total = done + sum(item.effect.size for item in pending)
        self.completed = done
        self.files = 0
        self.sent: dict[str, int] = {}
        self.lock = threading.Lock()

    def told(self, item: Planned) -> Told:
        with self.lock:
            # what an earlier try sent is told again by this one
            self.completed -= self.sent.pop(item.effect.key, 0)

        def count(size: int) -> None:
            with self.lock:
                self.completed += size
                self.sent[item.effect.key] = self.sent.get(item.effect.key, 0) + size
                self._tell(
                    item, "uploading_chunks" if item.effect.size > self.chunk_size else "uploading", self.files + 1
                )

        return count

    def finished(self, item: Planned) -> None:
        if item.effect.payload["kind"] != "bytes":
            return
        with self.lock:
            # bytes that were there already count as sent
            self.completed += item.effect.size - self.sent.get(item.effect.key, 0)
            self.sent[item.effect.key] = item.effect.size
            self.files += 1
            self._tell(item, "uploading", self.files)

    def repeat(self, count: int, delay: float) -> None:
        logger.warning("%d of the uploads failed in passing; they are sent again in %.0f s.", count, delay)
        if self.callback:
            percent = 100.0 * self.completed / self.total if self.total else 0.0
            message = f"Sending {count} again in {delay:.0f} s"
            self.callback(UploadProgress("", "", self.completed, self.total, percent, "retrying", message))

    def _tell(self, item: Planned, phase: str, number: int) -> None:
        if not self.callback:
            return
        payload = item.effect.payload
        percent = 100.0 * self.completed / self.total if self.total else 100.0
        message = f"Uploading file {min(number, self.total_files)} of {self.total_files}"
        self.callback(
            UploadProgress(
                payload["path"], payload["file_name"], self.completed, self.total, min(percent, 100.0), phase, message
            )
        )
