"""A download of a bag that is killed: the next one ends with a bag that is whole, and holds nothing else."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys

from deriva_ml_prefect.bags.download import download_bag
from deriva_ml_prefect.bags.verify import verify_bag
from deriva_ml_prefect.catalog.connection import open_catalog

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
