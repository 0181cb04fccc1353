"""`deriva-ml-prefect resume`: finish what an execution staged and did not upload."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from deriva_ml_prefect.cli.catalog_choice import add_execution, chosen_execution

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_parser(commands: Subparsers) -> None:
    text = "finish what an execution staged and did not upload; the code is not run again"
    parser = commands.add_parser("resume", help=text, description=text)
    add_execution(parser)
    parser.set_defaults(act=_resume)


def _resume(arguments: argparse.Namespace) -> int:
    import logging

    from deriva_ml_prefect.phases.context import entry_of
    from deriva_ml_prefect.phases.lifecycle import deliver_outputs
    from deriva_ml_prefect.phases.recover import resume

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    address, rid = chosen_execution(arguments)
    context = resume(address, rid)
    delivered = deliver_outputs(context)
    status = entry_of(context).status
    print(
        f"Execution {context.rid} is {status}." if delivered else f"Execution {context.rid} is {status}: nothing left."
    )
    return 0
