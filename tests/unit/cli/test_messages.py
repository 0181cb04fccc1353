"""What a message tells the user to call is there: every command, option and method that the package's texts name."""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import deriva_ml_prefect
from deriva_ml_prefect.cli import main, notebook, run
from deriva_ml_prefect.ml.asset_file import AssetFilePath
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution

PACKAGE = Path(deriva_ml_prefect.__file__).parent
COMMAND = re.compile(r"\bderiva-ml-(prefect|run-notebook|run)((?: --?[a-z][a-z-]*| [a-z][a-z-]+)*)")
METHOD = re.compile(r"\b(ml|exe|path)\.([a-z]\w*)\(")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
HOLDERS = {"ml": DerivaML, "exe": Execution, "path": AssetFilePath}
PROSE = {"does", "has", "runs"}
"""Words that follow the name of the package in a sentence about the package."""


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """The texts of a module but for its docstrings; what is filled in becomes X."""
    tree = ast.parse(path.read_text())
    documented = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield node.lineno, "".join(str(p.value) if isinstance(p, ast.Constant) else "X" for p in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented | inside:
            yield node.lineno, node.value


def said() -> list[tuple[str, str]]:
    """(place, text) of every text of the package that names a command or a method."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for line, text in texts(path):
            if COMMAND.search(text) or METHOD.search(text):
                found.append((f"{path.relative_to(PACKAGE)}:{line}", text))
    return found


def parsers() -> dict[str, argparse.ArgumentParser]:
    """Every command with its subcommands, by its words."""
    found = {"deriva-ml-run": run.build_parser(), "deriva-ml-run-notebook": notebook.build_parser()}
    waiting = {"deriva-ml-prefect": main.build_parser(*main.COMMANDS)}
    while waiting:
        words, parser = waiting.popitem()
        found[words] = parser
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                waiting |= {f"{words} {name}": inner for name, inner in action.choices.items()}
    return found


PARSERS = parsers()


def test_there_are_texts_to_look_at() -> None:
    assert sum(1 for _, text in said() if "deriva-ml-prefect resume" in text) > 5
    assert sum(1 for _, text in said() if METHOD.search(text)) > 10


def wrong_words(text: str) -> list[str]:
    """Commands and options that a text names and that do not exist."""
    wrong = []
    for match in COMMAND.finditer(text):
        program = f"deriva-ml-{match[1]}"
        words = match[2].split()
        if not words or words[0] in PROSE:
            continue
        command = program
        for word in words:
            if word.startswith("-"):
                options = PARSERS[command]._option_string_actions
                wrong += [] if word in options else [f"{command} {word}"]
            elif f"{command} {word}" in PARSERS:
                command = f"{command} {word}"
            elif command in ("deriva-ml-prefect", "deriva-ml-prefect embedded"):
                wrong.append(f"{command} {word}")
                break
            else:
                break
    return wrong


def test_every_command_that_a_message_names_exists() -> None:
    assert [(place, wrong) for place, text in said() if (wrong := wrong_words(text))] == []


def test_every_method_that_a_message_names_exists() -> None:
    missing = [
        (place, f"{holder}.{name}")
        for place, text in said()
        for holder, name in METHOD.findall(text)
        if not hasattr(HOLDERS[holder], name)
    ]
    assert missing == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("do it with `deriva-ml-prefect rerun X`", ["deriva-ml-prefect rerun"]),
        ("do it with `deriva-ml-prefect gc --cache`", ["deriva-ml-prefect gc --cache"]),
        ("do it with `deriva-ml-prefect embedded begin`", ["deriva-ml-prefect embedded begin"]),
        ("`deriva-ml-prefect resume X --host X --catalog X`", []),
        ("deriva-ml-run --prefix", ["deriva-ml-run --prefix"]),
        ("deriva-ml-prefect does not provide it", []),
    ],
)
def test_wrong_words_are_found(text: str, wrong: list[str]) -> None:
    assert wrong_words(text) == wrong
