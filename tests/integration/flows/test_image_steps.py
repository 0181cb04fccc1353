"""The image of `flows/docker/`: linted, and its steps done one by one in a clean environment. It is not built here."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.conftest import end_embedded

ROOT = Path(__file__).parents[3]
DOCKERFILE = ROOT / "flows" / "docker" / "Dockerfile"
COMMIT, SOURCE = "0123456789abcdef0123456789abcdef01234567", "https://example.org/lab/flows"

# one epoch of the training, as a worker would load it, and what the catalog says of its code
PROGRAM = """
import json, shutil, sys
sys.path.insert(0, "flows")
from prefect.flows import load_flow_from_entrypoint
from load_digits import load_dataset, open_catalog
from deriva_ml_prefect import ExecutionConfiguration

assert shutil.which("git") is None
ml = open_catalog()
spec = load_dataset(ml)
flow = load_flow_from_entrypoint("flows/train_digits.py:train_digits")
rid = flow.fn(epochs=1, configuration=ExecutionConfiguration(datasets=[spec]))
summary = ml.summarize_execution(rid)
print(json.dumps({"status": str(summary.execution.status), "code": summary.workflow.url}))
"""


def test_dockerfile_is_without_findings() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    if not hadolint.exists():
        pytest.skip("hadolint has no binary for this machine")
    done = subprocess.run([str(hadolint), str(DOCKERFILE)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


def test_the_linter_finds_something_in_a_bad_file(tmp_path: Path) -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    if not hadolint.exists():
        pytest.skip("hadolint has no binary for this machine")
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM python\nRUN cd /tmp && pip install prefect\n")
    assert subprocess.run([str(hadolint), str(bad)], capture_output=True, timeout=60, check=False).returncode == 1


@dataclass
class Image:
    """Stands for the image: a folder as its root, and a fresh environment as its Python."""

    root: Path
    python: Path
    variables: dict[str, str] = field(default_factory=dict)
    folder: Path = Path("/")
    done: list[str] = field(default_factory=list)

    def inside(self, path: str) -> Path:
        return self.root / (self.folder / path).relative_to("/")

    def expand(self, text: str) -> str:
        return re.sub(r"\$\{?(\w+)\}?", lambda found: self.variables[found[1]], text)

    def run(self, command: str, seconds: int = 600) -> str:
        """A command as the image would run it: its variables, its folder, and no program but those of its Python."""
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=self.inside("."),
            env={**self.variables, "PATH": str(self.python), "HOME": str(self.root / "home/runner")},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return done.stdout


def steps() -> list[tuple[str, str]]:
    """Instructions of the Dockerfile and what follows each, continued lines joined."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.M).replace("\\\n", " ")
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in text.splitlines() if line)]


def do(image: Image, word: str, rest: str) -> None:
    """One step. Making the account and its folder is the builder's: here the folder is made, and belongs to us."""
    image.done.append(word)
    match word:
        case "FROM" | "USER" | "VOLUME":
            return
        case "ARG":
            image.variables[rest] = {"COMMIT": COMMIT, "SOURCE": SOURCE}[rest]
        case "ENV":
            image.variables.update((name, image.expand(value)) for name, value in re.findall(r"(\w+)=(\S+)", rest))
        case "WORKDIR":
            image.folder = Path(rest)
            image.inside(".").mkdir(parents=True)
        case "COPY":
            *sources, target = rest.split()
            for source in sources:
                if (ROOT / source).is_dir():
                    ignored = shutil.ignore_patterns("__pycache__")
                    shutil.copytree(ROOT / source, image.inside(target), ignore=ignored)
                else:
                    shutil.copy(ROOT / source, image.inside(target))
        case "RUN" if rest.startswith("useradd"):
            (image.root / "home/runner").mkdir(parents=True)
        case "RUN" if rest.startswith("install -d"):
            (image.root / image.variables["DERIVA_ML_HOME"].lstrip("/")).mkdir()
        case "RUN":
            image.run(rest)
        case _:
            pytest.fail(f"no test knows how to do {word} {rest}")


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Image]:
    venv.create(tmp_path / "python", with_pip=True)
    root = tmp_path / "root"
    root.mkdir()
    yield Image(root, tmp_path / "python" / "bin")
    end_embedded(root / "home/runner/.deriva-ml-prefect")


@pytest.mark.slow
@pytest.mark.workers
def test_steps_make_an_environment_that_trains_without_git(image: Image) -> None:
    for word, rest in steps():
        do(image, word, rest)
    assert image.done.count("RUN") == 4
    home = image.variables["DERIVA_ML_HOME"]
    image.variables["DERIVA_ML_HOME"] = str(image.root / home.lstrip("/"))
    (image.inside(".") / "program.py").write_text(PROGRAM)
    told = json.loads(image.run("python program.py", 300).splitlines()[-1])
    assert told == {"status": "Uploaded", "code": f"{SOURCE}/commit/{COMMIT}"}
    # what was staged and recorded lies where the volume is
    assert list((image.root / home.lstrip("/")).glob("workspaces/*/*/journal.db"))


def test_a_build_without_the_commit_ends(tmp_path: Path) -> None:
    (check,) = [rest for word, rest in steps() if word == "RUN" and "COMMIT" in rest]
    for given in ({}, {"COMMIT": COMMIT}, {"SOURCE": SOURCE}):
        done = subprocess.run(["/bin/sh", "-c", check], env=given, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "--build-arg" in done.stderr
