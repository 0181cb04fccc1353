"""`python -m tests.faults`: kill and fail at every boundary of a run, and see that a resume makes it whole."""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import FrameType

_INSIDE = "FAULTS_LAYER"
"""Set in the environment once this program runs above the layer of file calls."""


def main() -> int:
    from tests.faults.schedule import GROUPS, KINDS

    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--schedules", type=int, default=3000, metavar="N", help="how many (3000)")
    parser.add_argument("--seed", type=int, default=20261124, metavar="S", help="what they are drawn from (20261124)")
    parser.add_argument(
        "--only", metavar="KIND", help=f"only those with such a trouble: {', '.join(GROUPS)}, or a kind"
    )
    parser.add_argument("--part", metavar="K/N", help="the K-th of N parts of these schedules, for shorter runs")
    parser.add_argument("--rollback", action="store_true", help="with journals as they are on a network file system")
    parser.add_argument("--repeat", metavar="SCHEDULE", help="one schedule, as a failure shows it; see schedule.py")
    parser.add_argument("--plant", metavar="BUG", help="plant a bug in the processes under test (see --prove --list)")
    parser.add_argument("--workers", type=int, default=4, metavar="W", help="processes that conduct schedules (4)")
    parser.add_argument("--minutes", type=float, metavar="M", help="begin no schedule after so many minutes")
    parser.add_argument("--sample", action="store_true", help="a fixed sample that has each kind of trouble once")
    parser.add_argument("--prove", action="store_true", help="only show that the planted bugs are caught")
    parser.add_argument("--no-prove", action="store_true", help="do not begin with the planted bugs")
    parser.add_argument("--list", action="store_true", help="show the planted bugs, and exit")
    parser.add_argument("--thousand", action="store_true", help="1,000 files, killed ten times and resumed by command")
    parser.add_argument("--large", action="store_true", help="a sparse file of over 5 GB, killed, resumed and verified")
    asked = parser.parse_args()
    if asked.only and asked.only not in (*GROUPS, *KINDS):
        parser.error(f"--only {asked.only}: no such trouble; there are {', '.join((*GROUPS, *KINDS))}")
    if asked.part and not re.fullmatch(r"[1-9]\d*/[1-9]\d*", asked.part):
        parser.error(f"--part {asked.part}: it looks like 2/5, the second of five parts")
    if not os.environ.get(_INSIDE):
        return _above_the_layer()
    from tests.faults.campaign import run

    return run(asked, Path(os.environ[_INSIDE]))


def _above_the_layer() -> int:
    """Start this program again with the layer of file calls below it, and a home folder of its own."""
    from tests.faults.shim import build

    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        root = Path(folder).resolve()
        (root / "home").mkdir()
        inside = {
            _INSIDE: str(root),
            "LD_PRELOAD": str(build(root)),
            "HOME": str(root / "home"),
            "DERIVA_ML_HOME": str(root / "nowhere"),
            "DERIVA_ML_ALLOW_DIRTY": "true",
            "PYTHONHASHSEED": "0",
        }
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DERIVA_ML_")}
        child = subprocess.Popen([sys.executable, "-m", "tests.faults", *sys.argv[1:]], env={**environment, **inside})

        def pass_on(number: int, frame: FrameType | None) -> None:  # the child ends its own processes
            child.send_signal(number)

        signal.signal(signal.SIGTERM, pass_on)
        while True:
            try:
                return child.wait()
            except KeyboardInterrupt:
                # the child got it too, and ends its own processes
                continue


if __name__ == "__main__":
    sys.exit(main())
