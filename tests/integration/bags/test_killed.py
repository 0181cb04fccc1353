"""A download of a bag that is killed, or after which the power is lost: the next one ends with a bag that is whole, and
holds nothing else.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from deriva_ml_prefect.bags.download import download_bag
from deriva_ml_prefect.bags.verify import verify_bag
from deriva_ml_prefect.catalog.connection import open_catalog
from tests.faults.shim import Layer, begin, build, environment

_KILLED = """
import os, pickle, signal, sys
from pathlib import Path
from deriva_ml_prefect.bags.download import download_bag
from deriva_ml_prefect.catalog.connection import open_catalog

address, settings, record = pickle.load(sys.stdin.buffer)
given = Path.replace

def replace(self, target):
    if self.name.endswith(".part"):
        os.kill(os.getpid(), signal.SIGKILL)
    return given(self, target)

Path.replace = replace
download_bag(open_catalog(address, settings=settings), record)
"""


def test_a_kill_between_the_bytes_of_a_file_and_its_name_leaves_nothing_in_the_bag(study, lab) -> None:
    asked = pickle.dumps((study.catalog.address, lab, study.record))
    killed = subprocess.run([sys.executable, "-c", _KILLED], input=asked, check=False)
    assert killed.returncode == -signal.SIGKILL
    catalog = open_catalog(study.catalog.address, settings=lab)
    made = download_bag(catalog, study.record)
    verify_bag(made.path)


_DOWNLOAD = """
import pickle, sys
from deriva_ml_prefect.bags.download import download_bag
from deriva_ml_prefect.catalog.connection import open_catalog

address, settings, record = pickle.load(sys.stdin.buffer)
download_bag(open_catalog(address, settings=settings), record, materialize=sys.argv[1] == "True")
"""


class NamesFirst(Random):
    """Chooses as file systems do that allot room late: all names got to the disk, and no bytes that were not synced."""

    def randint(self, a: int, b: int) -> int:
        return b

    def random(self) -> float:
        return 1.0


@pytest.mark.parametrize("keep", [None, NamesFirst(), Random(1)], ids=["strict", "names first", "by chance"])
@pytest.mark.parametrize("materialize", [False, True])
def test_a_loss_of_power_after_the_download(study, lab, tmp_path: Path, materialize: bool, keep: Random | None) -> None:
    lab.cache.mkdir()
    layer = Layer(build(tmp_path), lab.cache, tmp_path / "state", tmp_path / "log")
    recording = begin(lab.cache, layer.log)
    asked = pickle.dumps((study.catalog.address, lab, study.record))
    command = [sys.executable, "-c", _DOWNLOAD, str(materialize)]
    subprocess.run(command, env={**os.environ, **environment(layer)}, input=asked, check=True)
    after = recording.replay(tmp_path / "after", keep=keep)
    lab.cache.rename(tmp_path / "before")
    after.rename(lab.cache)
    again = download_bag(open_catalog(study.catalog.address, settings=lab), study.record, materialize=materialize)
    assert verify_bag(again.path, complete=materialize) > 10
    assert again.files == 51
