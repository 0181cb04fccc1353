"""Tracebacks of failed runs: the user's frames alone."""

from __future__ import annotations

import logging
import traceback
from types import TracebackType
from typing import Any

import pytest

from deriva_ml_prefect.exceptions import DerivaMLUploadError
from deriva_ml_prefect.watching.tracebacks import mark_as_users, shorten_tracebacks, users_part


def through_a_library(error: Exception) -> None:
    """Raises the error below frames that lead to the user's code."""
    way = {"__name__": "prefect.flow_engine", "error": error}
    exec("def inner():\n    outer()\n", way)
    way["outer"] = lambda: user_code(error)
    way["inner"]()


def user_code(error: Exception) -> None:
    raise error


def names(part: TracebackType | None) -> list[str]:
    return [frame.name for frame in traceback.extract_tb(part)]


def caught(error: Exception) -> Exception:
    way: dict[str, object] = {"__name__": "prefect.flow_engine", "act": through_a_library, "error": error}
    exec("def begin():\n    try:\n        act(error)\n    except Exception as e:\n        return e\n", way)
    found = way["begin"]()  # type: ignore[operator]
    assert isinstance(found, Exception)
    return found


def test_the_way_to_the_users_code_is_left_out() -> None:
    error = caught(ValueError("wrong"))
    assert names(error.__traceback__)[0] == "begin"
    # what the user's code calls is shown whole, also where it goes through a library
    assert names(users_part(error.__traceback__)) == ["through_a_library", "inner", "<lambda>", "user_code"]


def test_a_traceback_without_such_code_has_no_part() -> None:
    way: dict[str, object] = {"__name__": "deriva_ml_prefect.phases.upload"}
    exec("def begin():\n    try:\n        1 / 0\n    except Exception as e:\n        return e\n", way)
    error = way["begin"]()  # type: ignore[operator]
    assert users_part(error.__traceback__) is None


class Keeping(logging.Handler):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append(record.exc_info)


def test_records_of_prefect_are_shortened(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_tracebacks()
    shorten_tracebacks()
    logger, handler = logging.getLogger("prefect.flow_runs"), Keeping()
    # without Prefect's own, which it has where a flow ran before, and which want records of a run
    monkeypatch.setattr(logger, "handlers", [handler])
    monkeypatch.setattr(logger, "propagate", False)
    of_users, of_library = caught(ValueError("wrong")), caught(ValueError("a bug"))
    mark_as_users(of_users)
    for error in (of_users, of_library, DerivaMLUploadError("one file was refused"), None):
        logger.error("failed", exc_info=error, extra={"send_to_api": False})
    first, second, *rest = handler.kept
    assert names(first[2]) == ["through_a_library", "inner", "<lambda>", "user_code"]
    assert second[2] is of_library.__traceback__
    assert rest == [None, None]
    assert len([f for f in logger.filters if type(f).__name__ == "_Shortened"]) == 1
