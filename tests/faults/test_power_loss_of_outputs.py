"""A loss of power after the user's code has ended: what it made is on the disk, and a resume uploads it. What the disk
does not take is named.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from deriva_ml_prefect.journal.store import close_journals
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.values.status import ExecutionStatus
from tests.conftest import Lab
from tests.faults.shim import Fail, Layer, begin, build, environment

_PROGRAM = """
import os, sys
from pathlib import Path
from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.ml.deriva_ml import DerivaML

ml = DerivaML("embedded", sys.argv[1])
workflow = ml.create_workflow("Loss of power", "Training")
source = Path(sys.argv[2])
with ml.create_execution(ExecutionSpec(workflow=workflow)) as exe:
    rid = exe.execution_rid
    exe.asset_file_path("Image", "new.png").write_bytes(b"new " * 1000 + rid.encode())
    source.write_bytes(b"source " * 1000 + rid.encode())
    exe.asset_file_path("Image", source)
    exe.asset_file_path("Image", source, copy_file=True, rename_file="copy.png")
    exe.asset_file_path("Mask", source, copy_file=True, rename_file="mask.png")
    exe.log_metrics({"loss": 0.5}, step=1)
print(rid, flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_outputs_of_code_that_has_ended(
    seed: int | None, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "disk"
    home = disk / "home"
    (disk / "user").mkdir(parents=True)
    home.mkdir()
    (home / "embedded").symlink_to(lab.home / "embedded")
    layer = Layer(build(tmp_path), disk, tmp_path / "state", tmp_path / "log")
    recording = begin(disk, layer.log)
    command = [sys.executable, "-c", _PROGRAM, lab.catalog_id, str(disk / "user" / "source.png")]
    variables = {**os.environ, **environment(layer), "DERIVA_ML_HOME": str(home)}
    done = subprocess.run(command, env=variables, stdout=subprocess.PIPE, text=True, check=True)
    rid = done.stdout.split()[-1]
    after = recording.replay(tmp_path / "after", keep=Random(seed) if seed is not None else None)
    disk.rename(tmp_path / "before")
    after.rename(disk)
    monkeypatch.setenv("DERIVA_ML_HOME", str(home))
    exe = DerivaML("embedded", lab.catalog_id).resume_execution(rid)
    # the loss is played by new files, and a linked one must be the very file that was sealed
    assert (disk / "user" / "source.png").read_bytes() == b"source " * 1000 + rid.encode()
    (linked,) = [path for path in exe.staged().files if path.file_name == "source.png"]
    linked.unregister()
    exe.upload_execution_outputs()
    assert exe.status is ExecutionStatus.Uploaded
    lengths = {asset.filename: asset.length for asset in exe.ml.lookup_execution(rid).list_assets("Output")}
    whole = {"new.png": 4000 + len(rid), "copy.png": 7000 + len(rid), "mask.png": 7000 + len(rid)}
    whole |= {"metrics.jsonl": len('{"step":1,"loss":0.5}\n')}
    assert whole.items() <= lengths.items()
    close_journals()


_REFUSED = """
import sys
from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.exceptions import DerivaMLUploadError
from deriva_ml_prefect.ml.deriva_ml import DerivaML

ml = DerivaML("embedded", sys.argv[1])
with ml.create_execution(ExecutionSpec(workflow=ml.create_workflow("Loss of power", "Training"))) as exe:
    for name in ("good.png", "bad.png"):
        exe.asset_file_path("Image", name).write_bytes(f"{name} of {exe.execution_rid}".encode())
print(exe.execution_rid)
try:
    exe.upload_execution_outputs()
except DerivaMLUploadError as error:
    print(error)
"""


def test_a_file_that_the_disk_does_not_take_is_named_and_the_others_are_uploaded(
    lab: Lab, home: Path, tmp_path: Path
) -> None:
    fail = Fail("fsync", 1, errno.EIO, lasting=True)
    layer = Layer(build(tmp_path), home, tmp_path / "state", only="*/bad.png", fail=fail)
    variables = {**os.environ, **environment(layer)}
    command = [sys.executable, "-c", _REFUSED, lab.catalog_id]
    done = subprocess.run(command, env=variables, stdout=subprocess.PIPE, text=True, check=True)
    rid, told = done.stdout.splitlines()
    assert "1 file was not uploaded. Image/bad.png: the disk did not take" in told
    exe = DerivaML("embedded", lab.catalog_id).resume_execution(rid)
    assert [path.file_name for path in exe.staged().files] == ["bad.png"]
    exe.upload_execution_outputs()
    assert exe.status is ExecutionStatus.Uploaded
