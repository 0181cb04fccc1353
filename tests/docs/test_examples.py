"""Every Python example of a document runs as it stands, and every shell line is a command that there is."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "compat/README.md", *(ROOT / "docs").glob("*.md")]
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FIRST_LINE = re.compile(r"# (?P<name>\w+\.py)(?:, exit status (?P<status>\d+))?$")
BIN = Path(sys.executable).parent
SECONDS = 120


@dataclass(frozen=True)
class Example:
    name: str
    text: str
    status: int
    """Exit status that the document says it has."""

    @property
    def serves(self) -> bool:
        """Whether it goes on until it is stopped."""
        return ".serve(" in self.text


def blocks(document: Path, *languages: str) -> list[str]:
    return [body for language, body in FENCE.findall(document.read_text()) if language in languages]


def examples(document: Path) -> list[Example]:
    found = []
    for number, text in enumerate(blocks(document, "python", "py")):
        first = FIRST_LINE.match(text.partition("\n")[0])
        name = first["name"] if first else f"example_{number}.py"
        found.append(Example(name, text, int(first["status"] or 0) if first else 0))
    return found


def shell_lines(document: Path) -> list[list[str]]:
    lines = [line for body in blocks(document, "sh", "bash", "shell", "console") for line in body.splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.strip()]


WITH_PYTHON = [document for document in DOCUMENTS if examples(document)]
WITH_SHELL = [document for document in DOCUMENTS if shell_lines(document)]


def named(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


@dataclass(frozen=True)
class Reader:
    """Somebody who saves the examples of one document in a folder and runs them there."""

    folder: Path
    home: Path
    environment: dict[str, str]

    def run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )


@pytest.fixture
def reader(tmp_path: Path, prefect_api: dict[str, str]) -> Iterator[Reader]:
    folder, home = tmp_path / "saved", tmp_path / "home"
    folder.mkdir()
    environment = {
        **{name: value for name, value in prefect_api.items() if name not in ("DERIVA_ML_HOST", "DERIVA_ML_CATALOG")},
        "DERIVA_ML_HOME": str(home),
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "compat"),
    }
    yield Reader(folder, home, environment)
    state = home / "embedded" / "server.json"
    if state.exists():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(json.loads(state.read_text())["pid"]), signal.SIGTERM)


@contextlib.contextmanager
def serving(reader: Reader, example: Example) -> Iterator[None]:
    """The example's process, until the block ends."""
    log = (reader.folder / f"{example.name}.log").open("w")
    process = subprocess.Popen(
        [sys.executable, example.name],
        cwd=reader.folder,
        env=reader.environment,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield
        assert process.poll() is None, (reader.folder / f"{example.name}.log").read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


def prefect_lines(document: Path) -> list[list[str]]:
    return [words for words in shell_lines(document) if words[0] == "prefect"]


def start_run(reader: Reader, command: list[str]) -> None:
    """Start a run of a deployment that is just being made, and wait until the run has ended well."""
    deadline = time.monotonic() + SECONDS
    while True:
        done = reader.run([*command, "--watch", "--watch-interval", "1"])
        if done.returncode == 0:
            return
        missing = "not found" in (done.stdout + done.stderr).lower()
        assert missing, done.stdout + done.stderr
        assert time.monotonic() < deadline, "the deployment did not come into being"
        time.sleep(1)


def uploaded_executions(reader: Reader) -> list[str]:
    """RIDs that are Uploaded, in the catalogs of this reader's workspaces, the newest first."""
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from deriva_ml_prefect import DerivaML\n"
        "for folder in Path(sys.argv[1]).glob('workspaces/embedded/*'):\n"
        "    for execution in DerivaML('embedded', folder.name).find_executions():\n"
        "        if execution.status == 'Uploaded':\n"
        "            print(execution.rid)\n"
    )
    done = reader.run([sys.executable, "-c", program, str(reader.home)])
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.prefect
@pytest.mark.slow
@pytest.mark.parametrize("document", WITH_PYTHON, ids=named)
def test_examples_run_in_order_and_show_finds_their_executions(document: Path, reader: Reader) -> None:
    for example in examples(document):
        (reader.folder / example.name).write_text(example.text)
        if example.serves:
            with serving(reader, example):
                for command in prefect_lines(document):
                    before = len(uploaded_executions(reader))
                    start_run(reader, command)
                    assert len(uploaded_executions(reader)) == before + 1
            continue
        done = reader.run([sys.executable, example.name])
        assert done.returncode == example.status, f"{example.name}\n{done.stdout}\n{done.stderr}"

    for words in shell_lines(document):
        if words[0] == "deriva-ml-prefect" and "RID" in words:
            rid = uploaded_executions(reader)[0]
            done = reader.run([str(BIN / words[0]), *(rid if word == "RID" else word for word in words[1:])])
            assert done.returncode == 0, done.stderr
            assert rid in done.stdout
            assert "Uploaded" in done.stdout


@pytest.mark.prefect
@pytest.mark.slow
def test_readme_says_truly_where_things_lie(reader: Reader) -> None:
    """The paths of README's table are there after its examples, with one that runs on a dataset."""
    said = re.findall(r"^\| `([\w./<>-]+)` \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert len(said) >= 6
    quickstart = ROOT / "docs/quickstart.md"
    for example in examples(quickstart):
        (reader.folder / example.name).write_text(example.text)
        # a staged file is there until it is uploaded: look while a killed execution waits
        if example.name == "pick_up.py":
            break
        done = reader.run([sys.executable, example.name])
        assert done.returncode == example.status, done.stderr
    for path in said:
        assert list(reader.home.glob(re.sub(r"<\w+>", "*", path).rstrip("/"))), path
    secret = reader.home / "embedded" / "tokens.json"
    assert secret.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("document", WITH_SHELL, ids=named)
def test_shell_lines_are_commands_that_there_are(document: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    for words in shell_lines(document):
        match words:
            case ["make", target]:
                assert target in targets, words
            case ["deriva-ml-prefect", "show" | "resume", "RID"]:
                done = subprocess.run(
                    [str(BIN / words[0]), words[1], "--help"], capture_output=True, timeout=SECONDS, check=False
                )
                assert done.returncode == 0
            case ["prefect", "deployment", "run", name]:
                flow, _, deployment = name.partition("/")
                code = "\n".join(example.text for example in examples(document))
                assert f'name="{deployment}"' in code
                assert f"def {flow.replace('-', '_')}(" in code
            case _:
                pytest.fail(f"{named(document)} shows {words}, which no test knows how to check.")


def test_readme_shows_the_two_commands() -> None:
    commands = shell_lines(ROOT / "README.md")
    assert commands[:2] == [["make", "quickstart"], ["make", "test"]]


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if not target.startswith("https://"):
            assert (document.parent / target.partition("#")[0]).exists(), target
