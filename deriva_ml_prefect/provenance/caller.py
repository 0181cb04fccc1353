"""Whose code is running: the file of a function, or the outermost file on the stack that is nobody's tool."""

from __future__ import annotations

import functools
import inspect
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from deriva_ml_prefect.exceptions import DerivaMLWorkflowError

_TOOLS = frozenset({
    "deriva_ml_prefect", "deriva_ml", "prefect", "hydra", "hydra_zen", "hydra_plugins", "omegaconf", "pydantic",
    "papermill", "IPython", "ipykernel", "ipykernel_launcher", "traitlets", "tornado", "jupyter_client", "jupyter_core",
    "nbclient", "pytest", "_pytest", "pluggy", "xdist", "execnet", "coverage", "pdb", "bdb", "pydevd", "_pydevd_bundle",
    "debugpy", "runpy", "click", "typer", "anyio", "uvicorn", "dask", "distributed", "ray", "joblib", "loky",
    "cloudpickle", "line_profiler",
})  # fmt: skip
"""Packages that start other people's code."""

_STDLIB = tuple({str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "platstdlib")})


def calling_file(frame: FrameType | None = None) -> Path | None:
    """File of the outermost frame that is no tool's and not of the standard library, else of `__main__`.

    None where code has no file: an interactive session, `python -c`, standard input.
    """
    start = frame if frame is not None else inspect.currentframe()
    found = [file for each in _outwards(start) if (file := _users_file(each))]
    if found:
        return found[-1]
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    for candidate in (main, sys.argv[0] if sys.argv else None):
        if candidate and Path(candidate).is_file() and not _is_tool_path(Path(candidate)):
            return Path(candidate).resolve()
    return None


def code_file(function: Any) -> Path:
    """File in which a function, partial, bound method, class, callable object or decorated function is written.

    Raises DerivaMLWorkflowError for code that has no file.
    """
    target = function
    while True:
        if isinstance(target, functools.partial):
            target = target.func
        elif hasattr(target, "__wrapped__"):
            target = target.__wrapped__
        elif inspect.ismethod(target):
            target = target.__func__
        elif not (inspect.isfunction(target) or inspect.isclass(target) or inspect.isbuiltin(target)):
            inner = getattr(target, "fn", None) or getattr(target, "func", None)
            target = inner if callable(inner) else type(target)
        else:
            break
    try:
        name = target.__code__.co_filename if inspect.isfunction(target) else inspect.getfile(target)
    except (TypeError, OSError):
        name = ""
    file = Path(name)
    if not name or name.startswith("<") or not file.is_file():
        raise DerivaMLWorkflowError(
            f"{getattr(target, '__qualname__', target)!r} was not read from a file, so its version cannot be recorded. "
            "Move it into a module, or give the workflow's url and checksum."
        )
    return file.resolve()


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _users_file(frame: FrameType) -> Path | None:
    name = frame.f_code.co_filename
    module = str(frame.f_globals.get("__name__", ""))
    if name.startswith("<") or module.partition(".")[0] in _TOOLS:
        return None
    file = Path(name)
    return file.resolve() if file.is_file() and not _is_tool_path(file) else None


def _is_tool_path(file: Path) -> bool:
    """Whether a file is a console script of an environment, of the standard library, or of a tool's package."""
    resolved = file.resolve()
    scripts = {Path(sysconfig.get_path("scripts")).resolve(), Path(sys.prefix).resolve() / "bin"}
    if resolved.parent in scripts or "/.venv/bin/" in str(file):
        return True
    parts = resolved.parts
    for folder in ("site-packages", "dist-packages"):
        if folder in parts:
            after = parts[parts.index(folder) + 1 :]
            return bool(after) and Path(after[0]).stem in _TOOLS
    return str(resolved).startswith(tuple(f"{folder}/" for folder in _STDLIB))
