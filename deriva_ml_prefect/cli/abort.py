"""`deriva-ml-prefect abort`: give an execution up, for good."""

from __future__ import annotations

import argparse
import sys

from deriva_ml_prefect.cli.catalog_choice import add_execution, chosen_execution


def define(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command, and what it does."""
    parser.description = (
        f"{parser.description}. For an execution of this machine whose process is gone; one that is being uploaded "
        "can only be resumed."
    )
    add_execution(parser)
    parser.add_argument("--reason", default="aborted by the user", help="what the row says (Status_Detail)")
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask, even if outputs are staged")
    parser.set_defaults(act=_abort)


def _abort(arguments: argparse.Namespace) -> int:
    from deriva_ml_prefect.cli.question import ask
    from deriva_ml_prefect.phases.abort import abort, look_before_abort

    address, rid = chosen_execution(arguments)
    before = look_before_abort(address, rid)
    if before.staged and not arguments.yes:
        question = (
            f"Execution {rid} is {before.status} and has {before.staged}, which will never be uploaded. Give it up?"
        )
        if not ask(question, otherwise="--yes", stream=sys.stderr):
            print(f"Execution {rid} stays {before.status}.")
            return 1
    context = abort(address, rid, arguments.reason)
    print(
        f"Execution {rid} is Aborted. Its files are in {context.folder}; `deriva-ml-prefect gc --aborted --delete` "
        "deletes them."
    )
    return 0
