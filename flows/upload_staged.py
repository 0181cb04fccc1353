"""Upload what finished runs have staged on this machine: for every night, on the machine whose workspace it is.

A training may end at a time when the catalog cannot be reached, or its script may leave the upload for later. This flow
finds such executions and sends what they have staged. Their code is not run again, and of what was sent already nothing
is sent twice. Runs that a live process owns are left alone; runs that were killed are `take_over_runs.py`'s.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from prefect import flow, get_run_logger, task

from deriva_ml_prefect import DerivaML, exceptions


@task(task_run_name="upload {rid}", retries=2, retry_delay_seconds=60)
def upload_execution(catalog: str, rid: str) -> int:
    """Upload what one execution has staged; the number of files that are in the catalog because of it."""
    execution = open_catalog(catalog).resume_execution(rid)
    uploaded = execution.upload_execution_outputs()
    return sum(len(files) for files in uploaded.values())


@flow(name="upload-staged")
def upload_staged(catalog: str = "embedded/digits") -> list[str]:
    """Upload every finished execution of this machine that is not in the catalog yet; the RIDs of those that are now.

    Args:
        catalog: HOST/CATALOG. Only what was staged on this machine, below DERIVA_ML_HOME, can be uploaded from it.
    """
    logger = get_run_logger()
    waiting = [run.rid for run in open_catalog(catalog).find_interrupted() if run.user_code == "finished"]
    logger.info("%d finished executions of %s are not uploaded yet.", len(waiting), catalog)
    states = {rid: upload_execution(catalog, rid, return_state=True) for rid in waiting}
    failed = [rid for rid, state in states.items() if not state.is_completed()]
    if failed:
        # one that fails does not keep the others from being uploaded
        raise RuntimeError(f"Not uploaded, still staged: {', '.join(failed)}. Their task runs say why.")
    return waiting


def open_catalog(catalog: str) -> DerivaML:
    """The catalog that a text HOST/CATALOG names."""
    hostname, slash, catalog_id = catalog.rpartition("/")
    if not (hostname and slash and catalog_id):
        raise exceptions.DerivaMLConfigurationError(f"catalog is {catalog!r}; write HOST/CATALOG, as in embedded/1.")
    return DerivaML(hostname, catalog_id)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Upload what finished runs have staged on this machine.")
    parser.add_argument("catalog", nargs="?", default="embedded/digits", help="HOST/CATALOG (embedded/digits)")
    try:
        uploaded = upload_staged(parser.parse_args(arguments).catalog)
    except (exceptions.DerivaMLException, RuntimeError) as e:
        print(f"{type(e).__name__}: {e}", file=sys.stderr)
        return 1
    print(f"Uploaded: {', '.join(uploaded) or 'nothing was waiting'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
