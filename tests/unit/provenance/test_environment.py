"""What is recorded of the surroundings, and what never is."""

from __future__ import annotations

import json

from deriva_ml_prefect.provenance.environment import allowed_variables, environment_snapshot, installed_packages
from deriva_ml_prefect.provenance.scrub import make_scrubber

KEY = b"k" * 32


def test_only_listed_variables_are_recorded_and_they_are_scrubbed() -> None:
    environ = {
        "PATH": "/usr/bin",
        "MY_PLAIN": "left-out",
        "AWS_SECRET_ACCESS_KEY": "opensesame1",
        "SLURM_JOB_ID": "42",
        "SLURM_JWT": "opensesame2",
        "DERIVA_ML_TOKEN": "opensesame3",
        "CUDA_VISIBLE_DEVICES": "0,1",
        "CONDA_CHANNEL_ALIAS": "https://bob:opensesame4@conda.example",
        "PYTHONPATH": "/opt/opensesame1/lib",
    }
    snapshot = environment_snapshot(
        make_scrubber(KEY, environ), environ=environ, argv=["train.py", "opensesame1", "--password", "opensesame5"]
    )
    text = json.dumps(snapshot)
    assert "opensesame" not in text
    assert "left-out" not in text
    assert snapshot["os"]["environ"]["SLURM_JOB_ID"] == "42"
    assert snapshot["os"]["environ"]["PATH"] == "/usr/bin"
    assert snapshot["sys"]["argv"][0] == "train.py"
    assert set(snapshot) == {"imports", "os", "sys", "sys_path", "site", "platform", "gpu"}


def test_packages_are_named_with_their_versions() -> None:
    packages = installed_packages()
    assert packages["pytest"]
    assert list(packages) == sorted(packages, key=str.lower)
    assert allowed_variables({"HOME": "/root", "TZ": "UTC"}) == {"TZ": "UTC"}
