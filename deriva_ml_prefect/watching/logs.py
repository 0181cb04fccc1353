"""Lines of the user's own loggers, brought to the flow run: `logging.getLogger(__name__)` is enough.

Entry point: `forward_logs`. Loggers below the package of the flow's function are meant, and this package's own. Others
are named by Prefect's setting `PREFECT_LOGGING_EXTRA_LOGGERS`, as for any flow.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from prefect.context import FlowRunContext, TaskRunContext
from prefect.logging.handlers import APILogHandler
from prefect.settings import PREFECT_LOGGING_LEVEL

from deriva_ml_prefect.phases.scrubbing import LogScrubber

OWN = __name__.partition(".")[0]

_lock = threading.Lock()
_forwarding: list[str] = []
"""Flow runs of this process that forward lines at this time."""


class RunLogHandler(APILogHandler):
    """Sends a line to the run around it; one from a thread without a run, to the only run that there is, if it is."""

    chose_level = False
    """Whether the logger's level was set for it."""

    def emit(self, record: logging.LogRecord) -> None:
        if FlowRunContext.get() is None and TaskRunContext.get() is None:
            if len(_forwarding) != 1:
                return
            record.flow_run_id = _forwarding[0]
        super().emit(record)


class _UntoldEnd(logging.Filter):
    """Leaves out that a temporary server is stopped, which comes after everything that a script has to say."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("Stopping temporary server")


_untold_end = _UntoldEnd()


@contextmanager
def forward_logs(function: Callable[..., Any], flow_run_id: str) -> Iterator[None]:
    """Inside, lines of the loggers of the function's package reach Prefect."""
    # adding the same filter again changes nothing
    logging.getLogger("prefect").addFilter(_untold_end)
    user = logging.getLogger((getattr(function, "__module__", None) or OWN).partition(".")[0])
    with _lock:
        _forwarding.append(flow_run_id)
        _attach(logging.getLogger(OWN))
        _attach(user)
        _let_through(user)
    try:
        yield
    finally:
        with _lock:
            _forwarding.remove(flow_run_id)
            if not _forwarding:
                _detach(logging.getLogger(OWN))
                _detach(user)


def _attach(logger: logging.Logger) -> None:
    """One handler, unless Prefect's own settings send the lines of this logger already."""
    above: logging.Logger | None = logger
    while above is not None:
        if any(isinstance(handler, APILogHandler) for handler in above.handlers):
            return
        above = above.parent if above.propagate else None
    handler = RunLogHandler()
    handler.addFilter(LogScrubber())
    logger.addHandler(handler)


def _let_through(logger: logging.Logger) -> None:
    """A logger for which nobody has chosen a level gets that of Prefect's own, or its lines would end at the root's."""
    if logger.level == logging.NOTSET and not logger.isEnabledFor(logging.INFO):
        for handler in logger.handlers:
            if isinstance(handler, RunLogHandler):
                handler.chose_level = True
                logger.setLevel(PREFECT_LOGGING_LEVEL.value())


def _detach(logger: logging.Logger) -> None:
    for handler in [handler for handler in logger.handlers if isinstance(handler, RunLogHandler)]:
        logger.removeHandler(handler)
        if isinstance(handler, RunLogHandler) and handler.chose_level:
            logger.setLevel(logging.NOTSET)
