"""The scrubber of this installation: what is written down goes through it, so that no secret is."""

from __future__ import annotations

import logging
import os
import secrets
import uuid
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from deriva_ml_prefect.config.settings import load_settings
from deriva_ml_prefect.exceptions import DerivaMLExecutionError
from deriva_ml_prefect.journal.disk import make_folder, naming_disk_errors, sync
from deriva_ml_prefect.provenance.scrub import LEAST_KEY, Scrubber, make_scrubber, parts_of_name
from deriva_ml_prefect.values.columns import spelled_out
from deriva_ml_prefect.values.errors import error_text, has_text

logger = logging.getLogger(__name__)

KEY_FILE = "scrub.key"
_shown: set[str] = set()
"""Parts of the names that `show_files` was given in this process."""


@naming_disk_errors()
def scrubber(home: Path) -> Scrubber:
    """The scrubber of this installation; its key is made at first use and kept in the home folder, mode 0600."""
    path = home / KEY_FILE
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        key = b""
    if len(key) < LEAST_KEY:
        key = _make_key(path)
    return _made(key, tuple(os.environ.items()))


def _make_key(path: Path) -> bytes:
    """The new key, or that of who was first; one that is too short was torn by a loss of power, and none was made with
    it."""
    make_folder(path.parent)
    fresh = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(secrets.token_bytes(32))
            stream.flush()
            os.fsync(stream.fileno())
        try:
            # a link fails if another process was first, and then its key is the one
            os.link(fresh, path)
        except FileExistsError:
            if path.stat().st_size < LEAST_KEY:
                fresh.replace(path)
        sync(path.parent)
        return path.read_bytes()
    finally:
        fresh.unlink(missing_ok=True)


@lru_cache(maxsize=2)
def _made(key: bytes, environment: tuple[tuple[str, str], ...]) -> Scrubber:
    """Kept, since each log line asks for it; anew when the environment, of whose secrets it knows, has changed."""
    return make_scrubber(key, dict(environment), shown=_shown)


def show_files(keys: Iterable[str]) -> None:
    """Let what this process tells from now on name these registered files, whatever their names look like.

    A name may be a UUID or drawn at random, and who reads that a file failed must know which. It is no secret: the
    catalog has it too. One that holds the mark of a service, or a secret that is known, is still not told.
    """
    _shown.update(part for key in keys for part in parts_of_name(key.partition("/")[2]))


def clean_prose(text: str) -> str:
    """A description, or another sentence for people, without secrets."""
    return scrubber(load_settings().home).prose(text) if text else text


@lru_cache(maxsize=1024)
def clean_value(name: str, text: str) -> str:
    """A text that stands under a name, without secrets; remembered, since a loop says the same again and again."""
    return str(scrubber(load_settings().home).value(name, text))


def clean_error(error: BaseException) -> BaseException:
    """The error without secrets in its text, for whoever keeps texts of errors: the same one, where that can be done.

    What no store can keep, such as the bytes of a file name that is no text, is escaped: the end of a flow run could
    not be told otherwise. The texts in its arguments are changed, and those of its causes. An error that makes its text
    of something else, or cannot make one, is replaced by a DerivaMLExecutionError that names its type.
    """
    clean = {id(error): _clean_one(error)}
    # no recursion: there may be more of them than Python calls functions within each other
    waiting = [error]
    while waiting:
        each = waiting.pop()
        for name, linked in _linked(each):
            if id(linked) not in clean:
                clean[id(linked)] = _clean_one(linked)
                waiting.append(linked)
            if name and clean[id(linked)] is not linked:
                # classes of errors that refuse changes refuse this one, too
                object.__setattr__(each, name, clean[id(linked)])
    return clean[id(error)]


def _linked(error: BaseException) -> list[tuple[str, BaseException]]:
    """The errors that are shown with one, by the name of the attribute; those of a group have none."""
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    found = [("", each) for each in inner]
    if error.__cause__ is not None:
        found.append(("__cause__", error.__cause__))
    elif error.__context__ is not None and not error.__suppress_context__:
        found.append(("__context__", error.__context__))
    return found


def _clean_one(error: BaseException) -> BaseException:
    try:
        _clean_in_place(error)
    # any code of the error's class may run there; what its text says then decides
    except Exception as e:  # noqa: BLE001
        logger.debug("An error of type %s could not be changed: %s", type(error).__name__, error_text(e))
    told = error_text(error)
    if has_text(error) and (_clean(told) == told or not isinstance(error, Exception)):
        return error
    replaced = DerivaMLExecutionError(f"{type(error).__name__}: {_clean(told)}")
    return replaced.with_traceback(error.__traceback__)


def _clean_in_place(error: BaseException) -> None:
    if _clean(error_text(error)) != error_text(error):
        new = tuple(_clean(item) if isinstance(item, str) else item for item in error.args)
        object.__setattr__(error, "args", new)
    if isinstance(error, SystemExit) and isinstance(error.code, str):
        error.code = _clean(error.code)
    notes = getattr(error, "__notes__", None)
    if notes:
        error.__notes__ = [_clean(note) if isinstance(note, str) else note for note in notes]


def _clean(text: str) -> str:
    return spelled_out(scrubber(load_settings().home).text(text))


def scrub_logs(*loggers: str) -> None:
    """Let the handlers of these loggers keep nothing secret. Doing it again changes nothing."""
    for name in loggers:
        for handler in logging.getLogger(name).handlers:
            if not any(isinstance(each, LogScrubber) for each in handler.filters):
                handler.addFilter(LogScrubber())


class LogScrubber(logging.Filter):
    """Takes secrets out of a log record, its traceback included, before a handler keeps it.

    What no store can keep is escaped: Prefect would lose the lines that it sends together with such a one.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        told = record.getMessage()
        record.msg, record.args = _clean(told), None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text, record.exc_info = _clean(record.exc_text), None
        return True
