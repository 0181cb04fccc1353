"""Tracebacks of failed runs that show the user's code, and not the way to it.

An error of the user's code passes a subflow, a task and a flow, and Prefect logs it at each of them with every frame of
its own. Entry points: `mark_as_users` for such an error and `is_users`, `shorten_tracebacks` for what Prefect logs, and
`leading_to_the_users` for an error that leaves the flow.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from types import TracebackType

from deriva_ml_prefect.exceptions import DerivaMLException

_WAY = (__name__.partition(".")[0], "prefect", "contextlib", "asyncio", "threading", "concurrent")
"""Packages whose frames lead to the user's code."""
_MARK = "_is_of_users_code"


def mark_as_users(error: BaseException) -> None:
    """Have the error known as one of the user's code from now on."""
    # an error that takes no attributes, whatever it raises then, is shown in full
    with suppress(Exception):
        setattr(error, _MARK, True)


def is_users(error: BaseException) -> bool:
    """Whether the error has come out of the user's code."""
    return getattr(error, _MARK, False) is True


def leading_to_the_users(error: BaseException) -> BaseException:
    """The error without the frames between here and the user's code; whole, if it is none of that code."""
    found = users_part(error.__traceback__)
    return error if found is None else error.with_traceback(found)


def users_part(traceback: TracebackType | None) -> TracebackType | None:
    """The traceback from the first frame of the user's code on; None if there is no such frame."""
    while traceback is not None:
        module = str(traceback.tb_frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] not in _WAY:
            return traceback
        traceback = traceback.tb_next
    return None


class _Shortened(logging.Filter):
    """Takes the way to the user's code out of records about its errors; errors of this package say all in words."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        if error is not None and (isinstance(error, DerivaMLException) or is_users(error)):
            found = users_part(error.__traceback__)
            record.exc_info = (type(error), error, found) if found is not None else None
        return True


_shortened = _Shortened()


def shorten_tracebacks() -> None:
    """Have Prefect's records about flows and tasks shortened in this process. Doing it again changes nothing."""
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).addFilter(_shortened)
