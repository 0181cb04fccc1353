"""The table of the chapter's statements and the tests that show them: `python -m tests.spec.table --write | --check`.

Markers are read from the source of the tests, so that nothing has to be imported or collected. A test that is always
skipped, or expected to fail, shows nothing.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.spec.statements import KINDS, SECTIONS, STATEMENTS, Statement

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs" / "spec-table.md"
HEAD = """# The chapter, statement by statement

Each row is one statement of the chapter on running an execution, with the tests that show it. Made from
`tests/spec/statements.py` and the markers `@pytest.mark.spec("id")` of the tests by
`python -m tests.spec.table --write`; `make check` fails when a row has no test or this file is out of date.
"""
VOID = {"skip", "xfail"}


def markers(decorators: list[ast.expr]) -> Iterator[tuple[str, list[str]]]:
    """Name and texts of each `pytest.mark` among decorators."""
    for decorator in decorators:
        call = decorator if isinstance(decorator, ast.Call) else None
        name = ast.unparse(call.func if call else decorator)
        if name.startswith("pytest.mark."):
            texts = [str(ast.literal_eval(arg)) for arg in call.args if isinstance(arg, ast.Constant)] if call else []
            yield name.removeprefix("pytest.mark."), texts


def find_shown(folder: Path = ROOT / "tests", *, marker: str = "spec") -> dict[str, list[str]]:
    """Statement → `file::test` of the tests that are marked with it, in order of their files."""
    shown: dict[str, list[str]] = {}
    for file in sorted(folder.rglob("test_*.py")):
        text = file.read_text()
        if f"mark.{marker}" not in text:
            continue
        for node in ast.parse(text).body:
            if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
                continue
            found = list(markers(node.decorator_list))
            if VOID & {name for name, _ in found}:
                continue
            for name, texts in found:
                for each in texts if name == marker else ():
                    shown.setdefault(each, []).append(f"{file.relative_to(folder.parent).as_posix()}::{node.name}")
    return shown


def problems(shown: dict[str, list[str]]) -> list[str]:
    """What is wrong with statements and markers, one sentence each."""
    listed = [statement for section in SECTIONS.values() for statement in section]
    found = [f"{s.id} is listed twice." for s in listed if sum(o.id == s.id for o in listed) > 1]
    found += [f"{s.id} has the unknown kind {s.kind}." for s in listed if s.kind not in KINDS]
    found += [f"{s.id} is shown by no test." for s in listed if s.id not in shown and s.later is None]
    found += [f"{s.id} may not be put off." for s in listed if s.later is not None and not s.id.startswith("cli.")]
    found += [f"{', '.join(tests)} shows {name}, which is no statement." for name, tests in shown.items()
              if name not in STATEMENTS]  # fmt: skip
    return found


def render(shown: dict[str, list[str]]) -> str:
    """The document."""
    parts = [HEAD]
    for section, statements in SECTIONS.items():
        parts.append(f"\n## {section}\n\n| id | kind | statement | shown by |\n|---|---|---|---|\n")
        parts += [_row(statement, shown.get(statement.id, [])) for statement in statements]
    return "".join(parts)


def _row(statement: Statement, tests: list[str]) -> str:
    proof = "<br>".join(f"`{test}`" for test in tests) or f"later: {statement.later}"
    return f"| {statement.id} | {statement.kind} | {statement.text.replace('|', chr(92) + '|')} | {proof} |\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="The table of the chapter's statements.")
    act = parser.add_mutually_exclusive_group(required=True)
    act.add_argument("--write", action="store_true", help="write docs/spec-table.md")
    act.add_argument("--check", action="store_true", help="fail unless each row has a test and the file is current")
    chosen = parser.parse_args()
    shown = find_shown()
    wrong = problems(shown)
    text = render(shown)
    if chosen.write:
        TABLE.write_text(text)
    elif not TABLE.exists() or TABLE.read_text() != text:
        wrong.append("docs/spec-table.md is out of date: run python -m tests.spec.table --write.")
    for sentence in wrong:
        print(sentence, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
