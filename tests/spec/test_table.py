"""The table of the chapter's statements is complete and current, and would say so if it were not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def test_every_statement_is_shown_and_the_table_is_current() -> None:
    done = run_python("-m", "tests.spec.table", "--check")
    assert done.returncode == 0, done.stderr


def test_what_is_not_shown_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "tests"
    folder.mkdir()
    (folder / "test_some.py").write_text(
        "import pytest\n\n"
        '@pytest.mark.spec("run.rid", "no.such")\ndef test_one() -> None: ...\n\n'
        '@pytest.mark.skip\n@pytest.mark.spec("run.enter")\ndef test_skipped() -> None: ...\n\n'
        '@pytest.mark.spec("run.exit")\ndef no_test() -> None: ...\n'
    )
    program = (
        "from pathlib import Path\nfrom tests.spec.table import find_shown, problems\n"
        f"shown = find_shown(Path({str(folder)!r}))\nprint(shown)\nprint(*problems(shown), sep='\\n')"
    )
    done = run_python("-c", program)
    first, *sentences = done.stdout.splitlines()
    assert first == "{'run.rid': ['tests/test_some.py::test_one'], 'no.such': ['tests/test_some.py::test_one']}"
    assert "tests/test_some.py::test_one shows no.such, which is no statement." in sentences
    assert "run.enter is shown by no test." in sentences
    assert "run.exit is shown by no test." in sentences
    assert "run.rid is shown by no test." not in sentences
    assert not [sentence for sentence in sentences if sentence.startswith("cli.")]
