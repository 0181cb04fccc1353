"""Take over the runs of this machine whose process is gone: the catalog is told, and what they had staged is uploaded.

A process that is killed cannot say so itself: its execution stays Running or Pending_Upload in the catalog. This flow
finds such executions where their workspace is. Each is marked truthfully; with `upload`, what it had staged is sent, so
that nothing that was computed is lost. Code that was killed is not run again: a retry of its flow run does that, as a
new execution. Prefect is told of the ends that it missed, too: of runs that it shows as Running, and that have no
process any more.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from prefect import flow, get_run_logger
from upload_staged import open_catalog, upload_execution

from deriva_ml_prefect import ExecutionStatus, exceptions, tell_missed_ends

UNFINISHED = (ExecutionStatus.Running, ExecutionStatus.Pending_Upload)
"""What the catalog says of a run whose process has died in its code, or in its upload."""
LOOK_AGAIN = 3.0
"""Seconds until the second look: whoever else looks at a dead run holds it while the catalog is told of it."""


@flow(name="take-over-runs")
def take_over_runs(catalog: str = "embedded/digits", upload: bool = True) -> dict[str, str]:
    """Look for runs whose process is gone and finish them; for each its status afterwards, by RID.

    Args:
        catalog: HOST/CATALOG.
        upload: Upload what they had staged. Otherwise the catalog is only told that their owner is gone.
    """
    logger = get_run_logger()
    ml = open_catalog(catalog)
    for run_id, state in tell_missed_ends(catalog).items():
        logger.warning("Prefect showed flow run %s as Running, and is told now that it is %s.", run_id, state)
    # the catalog is told of each of them by the look itself
    found = {run.rid: run for run in ml.find_interrupted()}
    time.sleep(LOOK_AGAIN)
    found |= {run.rid: run for run in ml.find_interrupted()}
    dead = [run for run in found.values() if run.status in UNFINISHED]
    for run in dead:
        logger.warning("Execution %s was %s; its last sign of life was at %s.", run.rid, run.status, run.last_activity)
    if upload:
        for run in dead:
            upload_execution(catalog, run.rid, return_state=True)
    after = {run.rid: str(ml.lookup_execution(run.rid).status) for run in dead}
    unfinished = [rid for rid, status in after.items() if upload and status != ExecutionStatus.Uploaded]
    if unfinished:
        raise RuntimeError(f"Still staged: {', '.join(unfinished)}. Their task runs say why.")
    return after


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Take over the runs of this machine whose process is gone.")
    parser.add_argument("catalog", nargs="?", default="embedded/digits", help="HOST/CATALOG (embedded/digits)")
    parser.add_argument("--only-tell", action="store_true", help="tell the catalog, and upload nothing")
    options = parser.parse_args(arguments)
    try:
        after = take_over_runs(options.catalog, upload=not options.only_tell)
    except (exceptions.DerivaMLException, RuntimeError) as e:
        print(f"{type(e).__name__}: {e}", file=sys.stderr)
        return 1
    for rid, status in after.items():
        print(f"{rid} {status}")
    if not after:
        print("No process is missing.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
