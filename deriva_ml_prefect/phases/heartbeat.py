"""Own an execution and give signs of life of it, so that others can tell a long run from a dead one.

One thread of the process does that for all executions that it owns: each minute it moves RMT of the row in the catalog
and the time of the owner's note on disk. A sign changes nothing else, so it never hides what was written.
A catalog that is away gets the next sign. What ends the process ends the thread; a forked child has none.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deriva_ml_prefect.catalog import executions as catalog_executions
from deriva_ml_prefect.config.settings import load_settings
from deriva_ml_prefect.exceptions import DerivaMLOfflineError, DerivaMLOwnershipError
from deriva_ml_prefect.journal import executions, ownership
from deriva_ml_prefect.journal.executions import Entry
from deriva_ml_prefect.phases.context import Context, catalog_of, journal_of
from deriva_ml_prefect.values.liveness import LAST_SIGN
from deriva_ml_prefect.values.status import SETTLED

logger = logging.getLogger(__name__)


@dataclass
class _Pulse:
    context: Context
    seconds: float
    due: float
    """Monotonic time of the next sign."""
    stored: str | None = None
    """What the catalog's row held at the last sign, if it is to get signs."""
    told: str | None = None
    """The trouble that was logged last, so that it is logged once."""


_pulses: dict[Path, _Pulse] = {}
_changed = threading.Condition(threading.Lock())
_thread: threading.Thread | None = None


def _before_fork() -> None:
    # the thread may be reading the journal: a fork waits for the end of that
    _changed.acquire()


def _in_parent() -> None:
    _changed.release()


def _in_child() -> None:
    global _changed, _thread
    _pulses.clear()
    _changed = threading.Condition(threading.Lock())
    _thread = None


os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)


def hold(context: Context) -> str:
    """Be the owner of an execution, and give signs of life of it until it is released; the owner's token.

    Raises DerivaMLOwnershipError naming the owner when another process has it. Where the owner has lent it, the token
    is the owner's, who gives the signs.
    """
    if context.lent:
        return ownership.read_owner(journal_of(context), context.rid) or ""
    seconds = 0.0 if context.dry_run else load_settings().heartbeat
    token = ownership.take(journal_of(context), context.folder, context.rid, heartbeat=seconds)
    if seconds:
        _start(context, seconds)
    return token


def hold_to_look(context: Context, entry: Entry) -> None:
    """The same for who found that an execution has no owner: its own last sign of life is remembered.

    What this process writes would look like one. `entry` was read before.
    """
    sign = entry.facts.get(LAST_SIGN) or max(ownership.last_sign(context.folder) or "", entry.last_activity)
    hold(context)
    with given_back(context):
        executions.merge_facts(journal_of(context), context.rid, {LAST_SIGN: sign})


def hold_again(context: Context) -> None:
    """The same for who goes on with an execution."""
    hold(context)
    forget_last_sign(context)


def forget_last_sign(context: Context) -> None:
    """Whoever holds an execution is at work on it: the last sign of its former process does not count any more."""
    journal = journal_of(context)
    entry = executions.read_execution(journal, context.rid)
    if entry is not None and entry.facts.get(LAST_SIGN):
        executions.merge_facts(journal, context.rid, {LAST_SIGN: None})


@contextmanager
def given_back(context: Context, *, when: bool = True) -> Iterator[None]:
    """An execution that cannot be gone on with is nobody's again: it must not look alive, nor be kept from others."""
    try:
        yield
    except BaseException:
        if when:
            ownership.release(context.folder)
        raise


def _start(context: Context, seconds: float) -> None:
    global _thread
    # looked at without the lock: the thread may wait for the journal, which the caller may hold
    if context.folder in _pulses:
        return
    with _changed:
        _pulses[context.folder] = _Pulse(context, seconds, time.monotonic() + seconds)
        if _thread is None:
            _thread = threading.Thread(target=_beat_on, name="deriva-ml heartbeat", daemon=True)
            _thread.start()
        _changed.notify()


def _beat_on() -> None:
    """Give the signs that are due, one after the other, until nothing is owned any more."""
    global _thread
    while True:
        with _changed:
            _drop_released()
            if not _pulses:
                _thread = None
                return
            pulse = min(_pulses.values(), key=lambda pulse: pulse.due)
            wait = pulse.due - time.monotonic()
            if wait > 0:
                _changed.wait(wait)
                continue
            pulse.due = time.monotonic() + pulse.seconds
            trouble = _try_local(pulse)
        if pulse.stored is not None:
            trouble = _try_catalog(pulse.context, pulse.stored) or trouble
        if trouble is not None and trouble != pulse.told:
            logger.warning("Execution %s gives no sign of life %s", pulse.context.rid, trouble)
        pulse.told = trouble


def _drop_released() -> None:
    for folder in [folder for folder in _pulses if not ownership.owns(folder)]:
        del _pulses[folder]


def _try_local(pulse: _Pulse) -> str | None:
    """Give the sign on this machine, and see what the catalog's row holds; what is wrong, if anything is.

    Where journal or folder are gone, or cannot be read, the catalog is told that the process lives, as before.
    """
    context = pulse.context
    try:
        journal = journal_of(context)
        ownership.check_not_taken_over(journal, context.folder, context.rid)
        ownership.touch(context.folder)
        entry = executions.read_execution(journal, context.rid)
    except DerivaMLOwnershipError as e:
        pulse.stored = None
        return f"any more: {type(e).__name__}: {e}"
    # an error in this thread would end the signs of all other executions; it is logged instead
    except Exception as e:  # noqa: BLE001
        return f"on this machine: {type(e).__name__}: {e}"
    waits = entry is not None and entry.registered and entry.status not in SETTLED
    pulse.stored = entry.catalog_status if entry is not None and waits else None
    return None


def _try_catalog(context: Context, stored: str) -> str | None:
    """Move RMT; what is wrong, if anything is."""
    try:
        catalog = catalog_of(context)
        with catalog.client.single_tries():
            if catalog_executions.give_sign(catalog, context.rid, stored):
                return None
        entry = executions.read_execution(journal_of(context), context.rid)
    except DerivaMLOfflineError as e:
        logger.debug("No sign of life of execution %s: %s", context.rid, e)
        return None
    # as in _try_local
    except Exception as e:  # noqa: BLE001
        return f"in the catalog: {type(e).__name__}: {e}"
    if entry is None or entry.catalog_status != stored:
        # the status was advanced by this process meanwhile, which is a sign too
        return None
    return (
        f"in the catalog: its row in {context.address} is gone, or somebody else has changed its status from {stored}"
    )
