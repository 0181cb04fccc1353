"""What can be known of the image without building it: its paths, and what an execution in it records."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

from tests.conftest import Lab

ROOT = Path(__file__).parents[3]
DOCKERFILE = ROOT / "flows" / "docker" / "Dockerfile"
DEPLOYMENTS = ROOT / "flows" / "docker" / "prefect.yaml"


def test_paths_of_the_image_and_of_its_deployments_agree() -> None:
    text = DOCKERFILE.read_text()
    copied = {source for line in re.findall(r"^COPY (.+)$", text, re.M) for source in line.split()[:-1]}
    assert all((ROOT / source).exists() for source in copied)
    (folder,) = re.findall(r"^WORKDIR (\S+)$", text, re.M)
    (volume,) = re.findall(r"^VOLUME (\S+)$", text, re.M)
    assert f"DERIVA_ML_HOME={volume}" in text
    document = yaml.safe_load(DEPLOYMENTS.read_text())
    (pull,) = document["pull"]
    assert pull["prefect.deployments.steps.set_working_directory"]["directory"] == folder
    for deployment in document["deployments"]:
        source, _, name = deployment["entrypoint"].rpartition(":")
        assert source.partition("/")[0] in copied
        assert re.search(rf"^(def|async def) {name}\(|^{name} = ", (ROOT / source).read_text(), re.M)
        mounted = [text.partition(":")[2] for text in deployment["work_pool"]["job_variables"]["volumes"]]
        assert mounted == [volume]


def test_an_execution_without_git_names_the_commit_of_its_image(lab: Lab, tmp_path: Path) -> None:
    (arguments,) = [re.findall(r"^ARG (\w+)$", DOCKERFILE.read_text(), re.M)]
    assert arguments == ["COMMIT", "SOURCE"]
    built_with = {"COMMIT": "0123456789abcdef0123456789abcdef01234567", "SOURCE": "https://example.org/lab/flows"}
    declared = dict(re.findall(r"(DERIVA_MCP_\w+)=(\S+)", DOCKERFILE.read_text()))
    variables = {name: built_with.get(value.lstrip("$"), value) for name, value in declared.items()}
    script = tmp_path / "script.py"
    script.write_text(
        "from deriva_ml_prefect import DerivaML\n"
        f"ml = DerivaML('embedded', {lab.catalog_id!r})\n"
        "print(ml.create_workflow('In an image', 'Analysis', 'No Git here').url)\n"
    )
    without_git = {
        **os.environ,
        **variables,
        "PATH": str(tmp_path),
        "PYTHONPATH": str(ROOT),
        "DERIVA_ML_HOME": str(lab.home),
    }
    done = subprocess.run(
        [sys.executable, str(script)], env=without_git, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip() == f"{built_with['SOURCE']}/commit/{built_with['COMMIT']}", done.stderr
