"""What the documents say in tables and lists, held against the code."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from deriva_ml_prefect.catalog.dialect import Dialect, read_status, write_status
from deriva_ml_prefect.hooks import ENDINGS
from deriva_ml_prefect.values.status import TRANSITIONS, ExecutionStatus

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "deriva_ml_prefect"
STATES = (ROOT / "docs/state-machine.md").read_text()
MAP = (ROOT / "docs/code-map.md").read_text()
GLOSSARY = (ROOT / "docs/glossary.md").read_text()

OLDER: Any = Dialect("deriva-ml", False, False, True, True, {}, True, False, False, False, False)


def rows(text: str, heading: str) -> list[list[str]]:
    """Cells of the first table under a heading, without its two first lines."""
    section = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    assert len(table) > 2, heading
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def bare(cell: str) -> str:
    return cell.strip("`")


def test_every_edge_is_in_the_table_and_no_other() -> None:
    said = [(bare(row[0]), bare(row[1])) for row in rows(STATES, "Every edge, and who takes it")]
    assert len(said) == len(set(said))
    assert set(said) == {(str(source), str(target)) for source, target in TRANSITIONS}


def test_every_edge_names_files_and_functions_that_there_are() -> None:
    for row in rows(STATES, "Every edge, and who takes it"):
        for file, function in re.findall(r"`(\w+/\w+\.py)`(?: `(\w+)`)?", row[3]):
            source = (PACKAGE / file).read_text()
            assert not function or f"def {function}(" in source, row


def test_the_seven_statuses_are_described() -> None:
    assert [bare(row[0]) for row in rows(STATES, "The seven statuses")] == [str(status) for status in ExecutionStatus]


def test_statuses_of_older_catalogs() -> None:
    said = {bare(row[0]): bare(row[1]) for row in rows(STATES, "Catalogs of an older generation")}
    assert said == {str(status): write_status(OLDER, status) for status in ExecutionStatus}
    for text in ("Initializing", "Pending"):
        assert f"`{text}`" in STATES
        assert read_status(OLDER, text) is ExecutionStatus.Created


def test_the_hooks_that_are_named_are_the_hooks() -> None:
    section = STATES.partition("## What Prefect says, and what the execution says\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"`(on_\w+)`", section)) == set(ENDINGS)


def test_every_room_has_a_paragraph() -> None:
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    rooms = {room.strip() for layer in contract["layers"] for room in layer.split("|")} | {"embedded"}
    described = {re.sub(r"(\.py|/)$", "", name) for name in re.findall(r"^\*\*`([\w.]+/?)`\*\*", MAP, re.MULTILINE)}
    assert described == rooms
    order = [
        room
        for line in MAP.split("```text\n")[1].split("```")[0].split("\n\n")[:1]
        for room in re.findall(r"\w+", line)
    ]
    assert order == [room.strip() for layer in contract["layers"] for room in layer.split("|")]


def test_every_file_that_the_documents_name_is_there() -> None:
    for document in (MAP, STATES, GLOSSARY):
        for name in re.findall(r"`((?:\w+/)+(?:\w+\.\w+)?)`", document):
            assert (PACKAGE / name).exists() or (ROOT / name).exists() or list(PACKAGE.rglob(name)), name
    for paragraph in re.split(r"\n\n", MAP):
        room = re.search(r"\*\*`([\w/]+/)`\*\*", paragraph)
        if room:
            for name in re.findall(r"`(\w+\.(?:py|sql))`", paragraph):
                assert list((PACKAGE / room[1]).rglob(name)), f"{room[1]}: {name}"
