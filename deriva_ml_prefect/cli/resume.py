"""`deriva-ml-prefect resume`: finish what an execution staged and did not upload."""

from __future__ import annotations

import argparse
import sys

from deriva_ml_prefect.cli.catalog_choice import add_execution, chosen_execution


def define(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command, and what it does."""
    add_execution(parser)
    parser.add_argument(
        "--drop-missing",
        action="store_true",
        help="upload without registered files that are not on the disk, and name each",
    )
    parser.set_defaults(act=_resume)


def _resume(arguments: argparse.Namespace) -> int:
    import logging

    from deriva_ml_prefect.exceptions import DerivaMLUploadError
    from deriva_ml_prefect.phases.context import entry_of
    from deriva_ml_prefect.phases.lifecycle import deliver_outputs
    from deriva_ml_prefect.phases.missing import drop_missing, find_missing
    from deriva_ml_prefect.phases.recover import resume
    from deriva_ml_prefect.values.sizes import format_count
    from deriva_ml_prefect.values.status import Outcome

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    address, rid = chosen_execution(arguments)
    context = resume(address, rid)
    for key in drop_missing(context) if arguments.drop_missing else ():
        print(f"Dropped {key}: it is not on the disk.")
    try:
        delivered = deliver_outputs(context)
    except DerivaMLUploadError:
        if missing := find_missing(context):
            few = f"{format_count(len(missing), 'registered file')} of it cannot be uploaded, not being on the disk"
            print(f"{few}: --drop-missing goes without. A run that has to have them is run anew.", file=sys.stderr)
        raise
    entry = entry_of(context)
    left = "" if delivered else ": nothing left"
    print(f"Execution {context.rid} is {entry.status}{left}.")
    if delivered and entry.outcome in (Outcome.failed, Outcome.killed):
        print(f"Its code did not come to its end ({entry.outcome}): the last file that it wrote may be incomplete.")
    return 0
