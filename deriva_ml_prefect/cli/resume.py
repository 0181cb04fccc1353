"""`deriva-ml-prefect resume`: finish what an execution staged and did not upload."""

from __future__ import annotations

import argparse

from deriva_ml_prefect.cli.catalog_choice import add_execution, chosen_execution


def define(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command, and what it does."""
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
