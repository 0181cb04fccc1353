"""Twenty kinds of secret planted wherever a run could record them, and found nowhere: not in the home folder with
journal, manifests, catalog and objects, not in any log, and not in Prefect."""

from __future__ import annotations

import base64
import logging
import os
import secrets
import sqlite3
import string
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from deriva_ml_prefect.catalog.files import FileSpec
from deriva_ml_prefect.catalog.rows import get_rows
from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution

OWN_SECRETS = {"tokens.json", "scrub.key"}
HEXADECIMAL = "0123456789abcdef"
PLACES = ("environment", "argv", "choices", "diff", "url", "error", "message", "description", "log")


def drawn(length: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))


def planted(mark: str) -> dict[str, tuple[str, str]]:
    """Kind → (text that holds the secret, the secret). In the middle of each secret is the mark, or its upper case."""

    def marked(length: int) -> str:
        before = (length - len(mark)) // 2
        return drawn(before) + mark + drawn(length - before - len(mark))

    word = [f"{drawn(3)}{mark}7{drawn(2)}" for _ in range(6)]
    upper = string.ascii_uppercase + string.digits
    tokens = {
        "aws": "AKIA" + drawn(4, upper) + mark.upper() + drawn(4, upper),
        "github": "ghp_" + marked(36),
        "gitlab": "glpat-" + marked(20),
        "slack": "xoxb-" + marked(24),
        "stripe": "sk_live_" + marked(24),
        "openai": "sk-" + marked(40),
        "google": "AIza" + marked(35),
        "hugging face": "hf_" + marked(34),
        "npm": "npm_" + marked(36),
        "pypi": "pypi-" + marked(40),
        "prefect": "pnu_" + marked(36),
        "databricks": "dapi" + drawn(12, HEXADECIMAL) + mark + drawn(12, HEXADECIMAL),
        "jwt": f"eyJ{marked(20)}.eyJ{marked(30)}.{marked(40)}",
        "vault": "hvs." + marked(24),
    }
    found = {kind: (token, token) for kind, token in tokens.items()}
    return found | {
        "password": (f"password={word[0]}", word[0]),
        "database": (f"postgresql://user:{word[1]}@db.example.org/x", word[1]),
        "url": (f"https://user:{word[2]}@example.org/x", word[2]),
        "bearer": (f"Authorization: Bearer {word[3]}", word[3]),
        "cookie": (f"webauthn={word[4]}", word[4]),
        "named": (f"api_key: {word[5]}", word[5]),
    }


@dataclass(frozen=True)
class Planted:
    """Secrets of all kinds for each place, all with one mark, so that a file is read through a few times only."""

    mark: str
    places: Mapping[str, Mapping[str, tuple[str, str]]]

    def texts(self, place: str) -> list[str]:
        return [text for text, _ in self.places[place].values()]

    def lines(self, place: str) -> str:
        return "\n".join(self.texts(place))

    def forms(self) -> dict[bytes, str]:
        """Every spelling that a secret may have → what it is."""
        found = {}
        for place, kinds in self.places.items():
            for kind, (_, secret) in kinds.items():
                for form in spellings(secret):
                    found[form] = f"{kind} of {place}"
        return found

    def found_in(self, data: bytes) -> list[str]:
        """The secrets in some bytes; whose part it is cannot be said of one that is not whole."""
        marks = spellings(self.mark) | spellings(self.mark.upper())
        if not any(form in data for form in marks):
            return []
        return sorted({name for form, name in self.forms().items() if form in data}) or ["a part of one"]


def plant() -> Planted:
    mark = drawn(8, HEXADECIMAL)
    return Planted(mark, {place: planted(mark) for place in PLACES})


def spellings(secret: str) -> set[bytes]:
    """A secret as it is, for a URL, in hexadecimal, and in base64 wherever it stands in the text that is encoded."""
    raw = secret.encode()
    found = {raw, quote(secret, safe="").encode(), raw.hex().encode(), raw.hex().upper().encode()}
    for shift, foreign in enumerate((0, 2, 3)):
        whole = base64.b64encode(b"x" * shift + raw).rstrip(b"=")
        # the first and last characters also hold bits of what stands around it
        found.add(whole[foreign:-2])
    return found


@pytest.mark.parametrize("around", ["", "a", "ab", "abc"])
def test_a_secret_is_found_however_it_is_spelt(around: str) -> None:
    secret = plant()
    for place, kinds in secret.places.items():
        for kind, (_, value) in kinds.items():
            text = f"{around}{value}{around}"
            for form in (text, quote(text, safe=""), text.encode().hex(), base64.b64encode(text.encode()).decode()):
                assert secret.found_in(form.encode()) == [f"{kind} of {place}"]
    assert secret.found_in(f"{secret.mark} alone".encode()) == ["a part of one"]
    assert not secret.found_in(b"nothing")


def files_below(home: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(home, followlinks=True):
        for name in names:
            path = Path(folder) / name
            if name not in OWN_SECRETS and path.suffix not in (".pem", ".key") and path.is_file():
                yield path


class Everything(logging.Handler):
    """Keeps every record of every logger, as text."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.name} {self.format(record)}")


@pytest.fixture
def prefect_logging(prefect_server: str) -> None:
    """Prefect sets up its loggers when its main module is imported, and undoes what a test has done to them before."""
    import prefect.main  # noqa: F401 (for what the import does)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """All that is logged, from the lowest level, by our loggers, httpx, deriva-py, Prefect and all others."""
    handler = Everything()
    named = [logging.getLogger(name) for name in logging.root.manager.loggerDict]
    # those that tell nothing to the root tell it to the handler themselves
    apart = [logging.root, *(logger for logger in named if not logger.propagate)]
    for logger in (logging.root, *named):
        monkeypatch.setattr(logger, "disabled", False, raising=False)
    levels = [(logger, logger.level) for logger in (logging.root, *named)]
    for logger, _ in levels:
        logger.setLevel(logging.DEBUG)
    for logger in apart:
        logger.addHandler(handler)
    yield handler.lines
    for logger in apart:
        logger.removeHandler(handler)
    for logger, level in levels:
        logger.setLevel(level)


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Planted]:
    """A repository with uncommitted code, and surroundings, that are full of secrets."""
    secret = plant()
    for number, (text, value) in enumerate(secret.places["environment"].values()):
        monkeypatch.setenv(f"DERIVA_ML_NOTE_{number}", text)
        monkeypatch.setenv(f"SERVICE_{number}_TOKEN", value)
    monkeypatch.setattr("sys.argv", ["train.py", *secret.texts("argv")])
    code = tmp_path / "code" / "train.py"
    code.parent.mkdir()
    code.write_text("x = 1\n")
    remote = secret.places["url"]["url"][0]
    for command in (
        ["init", "-q"], ["remote", "add", "origin", remote], ["add", "."],
        ["-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-q", "-m", "first"],
    ):  # fmt: skip
        subprocess.run(["git", *command], cwd=code.parent, check=True)
    code.write_text("".join(f"# {text}\n" for text in secret.texts("diff")))
    monkeypatch.chdir(code.parent)
    return code, secret


def configuration(secret: Planted) -> dict[str, Any]:
    return {
        "description": f"A run with\n{secret.lines('description')}",
        "config_choices": {f"group{n}": text for n, text in enumerate(secret.texts("choices"))},
    }


def live(ml: DerivaML, exe: Execution, secret: Planted) -> None:
    """What the user's code does: it says, registers and makes things whose descriptions hold secrets."""
    said = secret.lines("description")
    exe.update_status("Running", secret.lines("message"))
    exe.asset_file_path("Image", f"{exe.rid}.png", description=said).write_bytes(b"image")
    exe.asset_file_path("Mask", f"{exe.rid}.png").write_bytes(b"mask")
    exe.log_metrics({"loss": 0.5, "note": secret.lines("message")}, step=1)
    for name, (_, value) in secret.places["message"].items():
        exe.log_metrics({f"{name}_token": value, "name": name})
    ml.add_term("Grade", f"Term {exe.rid}", said)
    ml.create_vocabulary(f"Words_{exe.rid.replace('-', '_')}", said)
    dataset = exe.create_dataset("Training", description=said)
    dataset.increment_dataset_version("minor", said)
    one = ml.working_dir / "one.txt"
    one.write_text("one")
    exe.add_files([*FileSpec.create_filespecs(one, said)], description=said)


def assert_nowhere(home: Path, log: list[str], secret: Planted) -> set[str]:
    """No secret in any file below the home folder, journal and objects included, nor in the log. Where digests are."""
    marked = set()
    for path in files_below(home):
        data = path.read_bytes()
        if b"<secret:hmac:" in data:
            marked.add("objects" if "objects" in path.parts else path.name)
        found = secret.found_in(data)
        assert not found, f"{path}: {found}"
    assert len(log) > 50
    for line in log:
        assert not (found := secret.found_in(line.encode())), f"log: {found}: {line.partition(' ')[0]}"
    return marked


@pytest.mark.parametrize("failing", [False, True])
def test_no_secret_of_a_script_is_written_down(
    ml: DerivaML, home: Path, log: list[str], script: tuple[Path, Planted], failing: bool,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    code, secret = script
    assert all(len(kinds) == 20 for kinds in secret.places.values())
    names: dict[str, Any] = {}
    exec(compile("def train(): ...", str(code), "exec"), names)
    said = secret.lines("description")
    workflow = ml.create_workflow("Secrets", "Training", said, function=names["train"])
    assert workflow.checksum is not None
    database = secret.places["url"]["database"][0]
    ml.add_workflow(Workflow(name=said, workflow_type=["Training"], url=database, checksum=drawn(40)))
    ml.lookup_workflow(ml.add_workflow(workflow)).description = said
    exe = ml.create_execution(ExecutionSpec(**configuration(secret)), workflow=workflow)
    if failing:
        with pytest.raises(RuntimeError), exe:  # noqa: PT012 (the code under test is a block)
            live(ml, exe, secret)
            raise RuntimeError(secret.lines("error"))
    else:
        with exe:
            live(ml, exe, secret)
    exe.upload_execution_outputs(clean_folder=False)
    again = ml.create_execution(ExecutionSpec(), workflow=workflow)
    again.abort(secret.lines("error"))
    marked = assert_nowhere(home, log, secret)
    # all is there, with digests in the place of secrets
    assert marked >= {"objects", "uncommitted.diff", "configuration.json", "asset-manifest.json"}
    assert marked & {"journal.db", "journal.db-wal"}
    told = capfd.readouterr()
    assert not secret.found_in((told.out + told.err).encode())
    (row,) = get_rows(ml._catalog, f"entity/deriva-ml:Execution/RID={exe.rid}")
    assert row["Description"].count("<secret:hmac:") == 20
    assert len(exe.configuration.config_choices) == 20


def test_values_of_tables_are_kept_as_they_are(ml: DerivaML, workflow: Workflow, subjects: tuple[str, ...]) -> None:
    """Metadata, feature values and file names are data: a changed one would be a wrong one."""
    value = "ghp_" + drawn(36)
    with ml.create_execution(ExecutionSpec(workflow=workflow)) as exe:
        exe.asset_file_path("Image", f"{value}.png", Camera=value).write_bytes(b"image")
    exe.upload_execution_outputs()
    (asset,) = [each for each in ml.lookup_execution(exe.rid).output_assets if each.asset_table == "Image"]
    assert (asset.filename, asset.metadata["Camera"]) == (f"{value}.png", value)


def prefect_data() -> bytes:
    """Everything that the Prefect server keeps: the pages of its database, and those not yet written back."""
    from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL, PREFECT_HOME

    url = str(PREFECT_API_DATABASE_CONNECTION_URL.value())
    file = Path(url.partition("///")[2])
    assert file.is_file()
    with sqlite3.connect(file) as connection:
        assert connection.execute("SELECT count(*) FROM flow_run").fetchone()[0] > 0
    found = [file, *file.parent.glob(f"{file.name}-*"), *files_below(Path(PREFECT_HOME.value()))]
    return b"".join(path.read_bytes() for path in found)


@pytest.mark.prefect
@pytest.mark.parametrize("failing", [False, True])
def test_no_secret_of_a_flow_is_written_down(
    ml: DerivaML, home: Path, prefect_logging: None, log: list[str], script: tuple[Path, Planted], failing: bool
) -> None:
    from prefect import get_run_logger
    from prefect.logging.handlers import APILogWorker
    from prefect.settings import (
        PREFECT_LOGGING_TO_API_ENABLED,
        PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW,
        temporary_settings,
    )

    from deriva_ml_prefect.blocks import ExecutionConfiguration
    from deriva_ml_prefect.decorators import deriva_execution

    _, secret = script

    def code(execution: Execution, ml_instance: DerivaML) -> int:
        get_run_logger().info("user's own: %s", secret.lines("log"))
        print(secret.lines("log"))
        live(ml_instance, execution, secret)
        if failing:
            try:
                raise KeyError(secret.lines("error"))
            except KeyError as e:
                raise RuntimeError(secret.lines("error")) from e
        return 1

    flow = deriva_execution(
        catalog=str(ml.address), workflow_type="Training", name=f"secret-{uuid.uuid4().hex[:8]}", log_prints=True,
        description=secret.lines("description"), persist_result=True,
    )(code)  # fmt: skip
    asked = ExecutionConfiguration(**configuration(secret))
    with temporary_settings({PREFECT_LOGGING_TO_API_ENABLED: True, PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW: "ignore"}):
        if failing:
            with pytest.raises(RuntimeError, match="<secret:hmac:"):
                flow(configuration=asked)
        else:
            assert flow(configuration=asked) == 1
        asked.save(f"asked-{uuid.uuid4().hex[:8]}")
        APILogWorker.drain_all(timeout=30)
    data = prefect_data()
    deadline = time.monotonic() + 30
    while b"user's own" not in data:
        assert time.monotonic() < deadline
        time.sleep(0.5)
        data = prefect_data()
    assert b"<secret:hmac:" in data
    assert not (found := secret.found_in(data)), f"Prefect: {found}"
    assert_nowhere(home, log, secret)
