"""Notebooks that are none, old ones, and such as would do something if they were run: read, or refused by name."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect.cli import notebook as command
from deriva_ml_prefect.exceptions import DerivaMLConfigurationError, DerivaMLWorkflowError
from deriva_ml_prefect.experiments.notebooks import inspect_notebook
from deriva_ml_prefect.provenance.notebook import notebook_checksum

PYTHON = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


def code(source: Any, *tags: str, **more: Any) -> dict[str, Any]:
    cell = {"cell_type": "code", "execution_count": None, "metadata": {"tags": list(tags)}, "outputs": []}
    return {**cell, "source": source, **more}


def book(*cells: Any, metadata: Any = PYTHON, **more: Any) -> dict[str, Any]:
    return {"cells": list(cells), "metadata": metadata, "nbformat": 4, "nbformat_minor": 4, **more}


def version_3(source: str, **ran: Any) -> dict[str, Any]:
    cell = {
        "cell_type": "code",
        "collapsed": False,
        "input": source,
        "language": "python",
        "metadata": {},
        "outputs": [],
    }
    sheet = {"cells": [{**cell, **ran}], "metadata": {}}
    return {"metadata": {"name": "old"}, "nbformat": 3, "nbformat_minor": 0, "worksheets": [sheet]}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Any], Path]:
    def to_file(content: Any) -> Path:
        path = tmp_path / "x.ipynb"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(json.dumps(content))
        return path

    return to_file


def names(path: Path) -> list[str]:
    return [parameter.name for parameter in inspect_notebook(path)]


READ: dict[str, tuple[Any, list[str]]] = {
    "no parameters cell": (book(code("epochs = 1")), []),
    "no cells": (book(), []),
    "parameters cell that assigns nothing": (book(code("import os", "parameters")), []),
    "two parameters cells": (book(code("a = 1", "parameters"), code("b = 2", "parameters")), ["a"]),
    "format 3": (version_3("a = 1"), []),
    "minor format of tomorrow": (book(code("a = 1", "parameters"), nbformat_minor=99), ["a"]),
    "kernel that is not there": (
        book(code("a = 1", "parameters"), metadata={"kernelspec": {"name": "no-such", "language": "python"}}),
        ["a"],
    ),
    "source in lines": (book(code(["a = 1\n", "b = 2"], "parameters")), ["a", "b"]),
    "input": (book(code("a = input('your password?')", "parameters"), code("input()")), ["a"]),
}


@pytest.mark.parametrize(("content", "found"), READ.values(), ids=READ)
def test_it_is_read_and_nothing_of_it_runs(content: Any, found: list[str], write: Callable[[Any], Path]) -> None:
    path = write(content)
    assert names(path) == found
    assert len(notebook_checksum(path)) == 40


def test_two_parameters_cells_are_told_of(write: Callable[[Any], Path], caplog: pytest.LogCaptureFixture) -> None:
    names(write(book(code("a = 1", "parameters"), code("b = 2", "parameters"))))
    assert "has 2 cells tagged `parameters`: the first one counts" in caplog.text


def test_running_an_old_one_does_not_change_its_checksum(write: Callable[[Any], Path]) -> None:
    before = notebook_checksum(write(version_3("a = 1")))
    ran = {"prompt_number": 7, "outputs": [{"output_type": "stream", "stream": "stdout", "text": "x"}]}
    assert notebook_checksum(write(version_3("a = 1", **ran))) == before
    assert notebook_checksum(write(version_3("a = 2"))) != before


REFUSED: dict[str, Any] = {
    "empty": b"",
    "no JSON": b"cells: []",
    "no UTF-8": b'{"cells": ["\xff"]}',
    "list": [1, 2],
    "number": 7,
    "cells of numbers": book(1, 2),
    "cells are a text": {**book(), "cells": "abc"},
    "metadata is a list": book(code("a = 1", "parameters"), metadata=[1]),
    "tags are a number": book({**code("a = 1"), "metadata": {"tags": 7}}),
    "nested a hundred thousand times": b"[" * 100_000 + b"]" * 100_000,
}


@pytest.mark.parametrize("content", REFUSED.values(), ids=REFUSED)
def test_what_is_no_notebook_is_refused_by_name(content: Any, write: Callable[[Any], Path]) -> None:
    path = write(content)
    with pytest.raises(DerivaMLConfigurationError, match=r"x\.ipynb cannot be read as a notebook"):
        inspect_notebook(path)


@pytest.mark.parametrize("content", [v for k, v in REFUSED.items() if k != "tags are a number"])
def test_what_is_no_notebook_has_no_checksum(content: Any, write: Callable[[Any], Path]) -> None:
    path = write(content)
    with pytest.raises(DerivaMLWorkflowError, match=r"x\.ipynb cannot be read as a notebook"):
        notebook_checksum(path)


def test_language_that_nobody_knows(write: Callable[[Any], Path]) -> None:
    path = write(book(code("a = 1", "parameters"), metadata={"kernelspec": {"name": "k", "language": "klingon"}}))
    with pytest.raises(DerivaMLConfigurationError, match="klingon"):
        inspect_notebook(path)


@pytest.mark.parametrize(
    "make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to(path)], ids=["FIFO", "folder", "loop"]
)
def test_what_is_no_file(make: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "x.ipynb"
    make(path)
    with pytest.raises(DerivaMLConfigurationError, match="is not a notebook"):
        inspect_notebook(path)


VALUES = {
    "single quotes": "it's",
    "both quotes": "'\"'''\"\"\"",
    "newlines": "a\nb\r\nc",
    "backslashes": "\\n\\",
    "braces": "{x} {{y}} ${z} %s",
    "code": "'); import os; os.system('touch pwned') #",
    "empty": "",
    "NUL and controls": "\x01\x1b[31m",
    "surrogate": "a\udcff",
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_values_of_parameters_are_shown_as_one_literal(
    value: str, write: Callable[[Any], Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    path = write(book(code("name = 'a'\nepochs = 1", "parameters")))
    assert command.main([str(path), "--inspect", "-p", "name", value]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"name = {value!r}"
    assert second == "epochs = 1"
    assert not (tmp_path / "pwned").exists()


def test_value_for_no_parameter(write: Callable[[Any], Path], capsys: pytest.CaptureFixture[str]) -> None:
    path = write(book(code("name = 'a'", "parameters")))
    assert command.main([str(path), "--inspect", "-p", "nmae", "b"]) == 1
    assert "has no parameter nmae. Its parameters: name." in capsys.readouterr().err
