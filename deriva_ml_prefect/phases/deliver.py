"""The one loop that records effects, sends them, keeps their receipts and repeats what failed in passing."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from deriva_ml_prefect.exceptions import (
    DerivaMLCredentialExpired,
    DerivaMLDataError,
    DerivaMLException,
    DerivaMLNotFoundError,
    DerivaMLOfflineError,
)
from deriva_ml_prefect.journal import effects as journal_effects
from deriva_ml_prefect.journal import ownership
from deriva_ml_prefect.journal.effects import Planned
from deriva_ml_prefect.journal.store import Journal
from deriva_ml_prefect.phases.context import Context, catalog_of, journal_of
from deriva_ml_prefect.phases.send import Seals, UploadOptions, seals_of, send
from deriva_ml_prefect.phases.tell import Teller, amount_of
from deriva_ml_prefect.transfer.parallel import WIDEST, Outcome, run_parallel
from deriva_ml_prefect.transfer.retry import LONGEST_RETRY_AFTER
from deriva_ml_prefect.transfer.width import Width
from deriva_ml_prefect.values.effects import Effect, Failure, Order, Receipt, Report
from deriva_ml_prefect.values.rid import RID

FAULTS_IN_A_ROW = 12
"""After so many passing faults and no success the server is left alone until the next try."""
OWNER_SECONDS = 0.05
"""So long nobody looks again whether this process is still the owner, before it sends bytes."""
RECEIPTS_AT_ONCE = 256
RECEIPT_SECONDS = 0.25
"""Receipts of bytes may wait so long to be stored together: without one, the bytes are found in the store."""
LARGE = 1 << 20
"""Bytes from which a receipt is stored at once."""
FIRST_OF_BYTES = 1
FIRST_OF_ROWS = 2
"""How many at once at first: while the server inserts rows, the next ones are read and written out here."""
WORK_OF_A_REQUEST = 65_536
"""Bytes that take about as long as the request around them."""


@dataclass
class Course:
    """What deliveries have in common that are parts of one upload: who is told, and how many at once have paid."""

    teller: Teller
    width: Width | None = None


def deliver(
    context: Context, effects: Sequence[Effect], options: UploadOptions, course: Course | None = None
) -> Report:
    """Send the effects that have no receipt. Partial failure is in the report; nothing is raised for it.

    The intent of all of them is durable before the first is sent, each receipt before this returns.
    """
    planned = journal_effects.plan_effects(journal_of(context), context.rid, effects)
    if course is not None:
        return _deliver(context, planned, options, course)
    pending = [item.effect for item in planned if not item.receipt]
    done = sum(item.effect.size for item in planned if item.receipt)
    with Teller(context.rid, options, amount_of(pending, done=done)) as teller:
        return _deliver(context, planned, options, Course(teller))


def _deliver(context: Context, planned: Sequence[Planned], options: UploadOptions, course: Course) -> Report:
    receipts = [item.receipt for item in planned if item.receipt]
    pending = [item for item in planned if not item.receipt]
    failures: list[Failure] = []
    passing: dict[str, Failure] = {}
    for attempt in range(options.max_retries + 1):
        if attempt:
            pending = _pause_and_look(context, pending, attempt, passing, options, course.teller)
        delivered, failures_now = _Pass(context, options, course).send_all(pending)
        receipts += delivered
        failures += [failure for failure in failures_now if not failure.transient]
        passing = {failure.key: failure for failure in failures_now if failure.transient}
        pending = [item for item in pending if item.effect.key in passing]
        if not pending:
            break
    return Report(tuple(receipts), (*failures, *passing.values()))


def _pause_and_look(
    context: Context,
    pending: Sequence[Planned],
    attempt: int,
    passing: dict[str, Failure],
    options: UploadOptions,
    teller: Teller,
) -> list[Planned]:
    """Wait as long as the caller chose, or the server asked for; then what the journal knows of the effects."""
    asked = min(max(failure.retry_after for failure in passing.values()), LONGEST_RETRY_AFTER)
    delay = max(options.retry_delay * 2 ** (attempt - 1), asked)
    teller.repeat(len(pending), delay)
    time.sleep(delay)
    # an upload job that was begun is taken up again
    known = (journal_effects.read_effect(journal_of(context), context.rid, item.effect.key) for item in pending)
    return [item for item in known if item is not None]


def _is_bytes(item: Planned) -> bool:
    return item.effect.order is Order.bytes


class _HeldBack(Exception):
    """The effect was not sent, because others showed that it cannot succeed now."""

    def __init__(self, cause: DerivaMLException) -> None:
        super().__init__(f"not sent, since {cause}")
        self.cause = cause


class _Pass:
    """Every effect sent once, many side by side; repeating is the caller's."""

    def __init__(self, context: Context, options: UploadOptions, course: Course) -> None:
        self.context = context
        self.options = options
        self.course = course
        self.teller = course.teller
        self.client = catalog_of(context).client
        self.receipts = _Receipts(journal_of(context), context.rid)
        self.faults_in_a_row = 0
        self.held_back: DerivaMLException | None = None
        self.seals: Seals = {}
        self.looked_at = -math.inf

    def send_all(self, pending: Sequence[Planned]) -> tuple[list[Receipt], list[Failure]]:
        self.seals = seals_of(self.context, pending)
        try:
            outcomes = run_parallel(
                pending,
                self.send_one,
                width=self._width(pending),
                overloads=lambda: self.client.overloads,
                work=lambda item: 1 + item.effect.size / WORK_OF_A_REQUEST,
            )
        finally:
            self.receipts.store()
        delivered = [outcome.result for outcome in outcomes if outcome.result is not None]
        failed = [_failure(outcome) for outcome in outcomes if outcome.result is None]
        reasons = {failure.key: failure.reason for failure in failed}
        journal_effects.mark_failed(journal_of(self.context), self.context.rid, reasons)
        return delivered, failed

    def _width(self, pending: Sequence[Planned]) -> Width:
        if self.course.width is None:
            first = FIRST_OF_BYTES if any(_is_bytes(item) for item in pending) else FIRST_OF_ROWS
            self.course.width = Width(WIDEST, time.monotonic(), first=first)
        return self.course.width

    def send_one(self, item: Planned) -> Receipt:
        if self.held_back is not None:
            raise _HeldBack(self.held_back)
        try:
            # repeating is this room's, with the pauses that the caller chose
            with self.client.single_tries():
                self.look_at_owner(item)
                receipt = send(self.context, item, self.options, self.teller.told(item), self.seals)
        except DerivaMLException as error:
            self.note_fault(error)
            raise
        self.faults_in_a_row = 0
        self.receipts.add(receipt, at_once=not _is_bytes(item) or item.effect.size >= LARGE)
        self.teller.finished(item)
        return receipt

    def look_at_owner(self, item: Planned) -> None:
        """Raise DerivaMLOwnershipError where another process has taken over.

        Before each effect that changes rows; bytes do no harm, and of them many are sent in the time of one look.
        """
        at = time.monotonic()
        if not _is_bytes(item) or at - self.looked_at >= OWNER_SECONDS:
            ownership.check_not_taken_over(journal_of(self.context), self.context.folder, self.context.rid)
            self.looked_at = at

    def note_fault(self, error: DerivaMLException) -> None:
        """Hold the rest back where it would only be refused in the same way."""
        if isinstance(error, DerivaMLCredentialExpired):
            self.held_back = error
        elif isinstance(error, DerivaMLOfflineError):
            self.faults_in_a_row += 1
            if self.faults_in_a_row >= FAULTS_IN_A_ROW:
                self.held_back = error


def _failure(outcome: Outcome[Planned, Receipt]) -> Failure:
    """What became of an effect that was not delivered; an error that is nobody's to expect is raised."""
    error = outcome.error
    if not isinstance(error, (DerivaMLException, OSError, _HeldBack)):
        raise error if error is not None else RuntimeError("an effect ended without a receipt and without an error")
    cause = error.cause if isinstance(error, _HeldBack) else error
    return Failure(
        outcome.job.effect.key,
        str(error) if isinstance(error, _HeldBack) else f"{type(error).__name__}: {error}",
        transient=isinstance(cause, DerivaMLOfflineError),
        retry_after=cause.retry_after if isinstance(cause, DerivaMLOfflineError) else 0.0,
        held_back=isinstance(error, _HeldBack),
        of_values=isinstance(cause, DerivaMLDataError) and not isinstance(cause, DerivaMLNotFoundError),
        credential_expired=isinstance(cause, DerivaMLCredentialExpired),
    )


class _Receipts:
    """Receipts on their way to the journal: those of small files together, since each commit waits for the disk."""

    def __init__(self, journal: Journal, rid: RID, clock: Callable[[], float] = time.monotonic) -> None:
        self.journal = journal
        self.rid = rid
        self.clock = clock
        self.lock = threading.Lock()
        self.waiting: list[Receipt] = []
        self.stored_at = clock()

    def add(self, receipt: Receipt, *, at_once: bool) -> None:
        with self.lock:
            self.waiting.append(receipt)
            due = at_once or len(self.waiting) >= RECEIPTS_AT_ONCE or self.clock() - self.stored_at >= RECEIPT_SECONDS
        if due:
            self.store()

    def store(self) -> None:
        """All that wait, durable on return."""
        with self.lock:
            waiting, self.waiting = self.waiting, []
            self.stored_at = self.clock()
        if not waiting:
            return
        try:
            journal_effects.mark_delivered(self.journal, self.rid, waiting)
        except BaseException:
            # others' receipts are among them: what they prove stays true, and is stored with the next ones
            with self.lock:
                self.waiting = waiting + self.waiting
            raise
