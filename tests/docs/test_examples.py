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
from functools import cache
from pathlib import Path

import pytest
import yaml

from deriva_ml_prefect import DerivaML, ExecutionStatus
from deriva_ml_prefect.journal.store import close_journals

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "compat/README.md", *(ROOT / "docs").glob("*.md")]
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FIRST_LINE = re.compile(r"# (?P<name>(?:\w+/)?\w+\.py)(?:, exit status (?P<status>\d+))?$")
BIN = Path(sys.executable).parent
SECONDS = 120


@dataclass(frozen=True)
class Example:
    name: str
    text: str
    status: int
    """Exit status that the document says it has."""

    @property
    def is_configuration(self) -> bool:
        """Whether a command reads it, and nobody runs it."""
        return "/" in self.name

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


def named(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


READ_HERE = {ROOT / "README.md", ROOT / "docs/quickstart.md"}
"""Documents whose examples have a test of their own."""
OTHERS = [document for document in DOCUMENTS if examples(document) and document not in READ_HERE]
WITH_SHELL = [document for document in DOCUMENTS if shell_lines(document)]


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

    def save(self, example: Example) -> None:
        path = self.folder / example.name
        path.parent.mkdir(exist_ok=True)
        path.write_text(example.text)

    def run_example(self, example: Example) -> None:
        self.save(example)
        if example.is_configuration:
            return
        done = self.run([sys.executable, example.name])
        assert done.returncode == example.status, f"{example.name}\n{done.stdout}\n{done.stderr}"

    @contextlib.contextmanager
    def serving(self, example: Example) -> Iterator[None]:
        """The example runs, and is ready, until the block ends."""
        self.save(example)
        log = self.folder / f"{example.name}.log"
        with log.open("w") as stream:
            process = subprocess.Popen(
                [sys.executable, "-u", example.name],
                cwd=self.folder,
                env=self.environment,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
        try:
            deadline = time.monotonic() + SECONDS
            while "being served" not in log.read_text():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)
            yield
            assert process.poll() is None, log.read_text()
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def uploaded(self) -> list[str]:
        """RIDs of the Uploaded executions in all catalogs that were worked in, the newest of each first."""
        folders = sorted((self.home / "workspaces" / "embedded").glob("*"))
        found = [record for folder in folders for record in DerivaML("embedded", folder.name).find_executions()]
        return [record.rid for record in found if record.status is ExecutionStatus.Uploaded]


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    folder, home = tmp_path / "saved", tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("DERIVA_ML_HOME", str(home))
    path = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT / "compat")}
    yield Reader(folder, home, {**os.environ, **path})
    close_journals()
    state = home / "embedded" / "server.json"
    if state.exists():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(json.loads(state.read_text())["pid"]), signal.SIGTERM)


def run_all(reader: Reader, document: Path) -> None:
    """All examples of a document in order; a deployment is started with the commands that the document shows."""
    for example in examples(document):
        if not example.serves:
            reader.run_example(example)
            continue
        with reader.serving(example):
            for command in [words for words in shell_lines(document) if words[:3] == ["prefect", "deployment", "run"]]:
                before = len(reader.uploaded())
                done = reader.run([*command, "--watch", "--watch-interval", "1"])
                assert done.returncode == 0, done.stdout + done.stderr
                assert len(reader.uploaded()) == before + 1


def run_commands(reader: Reader, document: Path) -> None:
    """The commands that a document shows for an execution, with the RID of the last one."""
    for words in shell_lines(document):
        if words[0] == "deriva-ml-prefect":
            rid = reader.uploaded()[0]
            done = reader.run([rid if word == "RID" else word for word in words])
            assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
            assert "RID" not in words or rid in done.stdout
            assert words[1] not in ("show", "resume") or "Uploaded" in done.stdout


@pytest.mark.prefect
@pytest.mark.slow
def test_readme_runs(reader: Reader, prefect_api: dict[str, str]) -> None:
    reader.environment.update(prefect_api)
    run_all(reader, ROOT / "README.md")
    run_commands(reader, ROOT / "README.md")


@pytest.mark.slow
def test_quickstart_runs_and_readme_says_truly_where_things_lie(reader: Reader) -> None:
    document = ROOT / "docs/quickstart.md"
    shown = examples(document)
    crash = [example.name for example in shown].index("crash.py")
    for example in shown[: crash + 1]:
        reader.run_example(example)
    # an execution waits to be picked up, so there is a staged file to be seen
    said = re.findall(r"^\| `([\w./<>-]+)` \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert len(said) == 6
    for path in said:
        assert list(reader.home.glob(re.sub(r"<\w+>", "*", path).rstrip("/"))), path
    assert (reader.home / "embedded" / "tokens.json").stat().st_mode & 0o777 == 0o600
    before = len(reader.uploaded())
    assert shown[crash + 1].name == "pick_up.py"
    reader.run_example(shown[crash + 1])
    assert len(reader.uploaded()) == before + 1
    for example in shown[crash + 2 :]:
        reader.run_example(example)
    commands = [words for words in shell_lines(document) if words[0] == "deriva-ml-run"]
    assert len(commands) == 3
    for words in commands:
        done = reader.run(words)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "--info" not in words or "frequent" in done.stdout
    # neither --info nor a dry run leaves an execution
    assert len(reader.uploaded()) == before + 2


@pytest.mark.prefect
@pytest.mark.parametrize("document", OTHERS, ids=named)
def test_other_documents_run(document: Path, reader: Reader, prefect_api: dict[str, str]) -> None:
    reader.environment.update(prefect_api)
    run_all(reader, document)
    if document == ROOT / "docs/how-to.md":
        run_commands(reader, document)


def deployed_names() -> set[str]:
    """FLOW/NAME of the deployments of prefect.yaml; a flow's name is its function's, with dashes."""
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    return {f"{d['entrypoint'].rpartition(':')[2].replace('_', '-')}/{d['name']}" for d in deployments}


@cache
def help_of(*command: str) -> str:
    """What a command prints when it is asked for its options; CalledProcessError if there is no such command."""
    asked = subprocess.run([*command, "--help"], capture_output=True, text=True, timeout=SECONDS, check=True)
    return asked.stdout


def assert_options(arguments: list[str], *command: str) -> None:
    shown = help_of(*command)
    assert all(word in shown for word in arguments if word.startswith("--")), command


@pytest.mark.parametrize("document", WITH_SHELL, ids=named)
def test_shell_lines_are_commands_that_there_are(document: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    for words in shell_lines(document):
        match words:
            case ["make", target]:
                assert target in targets, words
            case ["deriva-ml-prefect", command, *arguments]:
                assert_options(arguments, str(BIN / words[0]), command)
            case ["deriva-ml-run", *_]:
                # run with the examples of its document
                assert document == ROOT / "docs/quickstart.md"
            case ["python", script, *arguments] if script.startswith(("flows/", "blocks/")):
                assert_options(arguments, sys.executable, str(ROOT / script))
            case ["dask", "scheduler" | "worker" as command, *arguments]:
                assert_options(arguments, str(BIN / "dask"), command)
            case ["flows/bring_up.sh", *_]:
                assert os.access(ROOT / words[0], os.X_OK)
            case ["export", setting]:
                assert re.fullmatch(r"(PREFECT|DERIVA_ML)_[A-Z_]+=\S+", setting), words
            case ["prefect", "deployment", "run", name, *_] | ["prefect", "deployment", "schedule", "ls", name] if (
                document == ROOT / "docs/deployments.md"
            ):
                assert name in deployed_names()
            case ["prefect", "deployment", "run", name]:
                flow, _, deployment = name.partition("/")
                code = "\n".join(example.text for example in examples(document))
                assert f'name="{deployment}"' in code
                assert f"def {flow.replace('-', '_')}(" in code
            case ["prefect", "server" | "block" as group, command, *arguments]:
                assert_options(arguments, str(BIN / "prefect"), group, command)
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
