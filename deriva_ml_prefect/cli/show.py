"""`deriva-ml-prefect show`: what an execution ran, read and made."""

from __future__ import annotations

import argparse

from deriva_ml_prefect.cli.catalog_choice import add_execution, chosen_execution


def define(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command, and what it does."""
    add_execution(parser)
    parser.set_defaults(act=_show)


def _show(arguments: argparse.Namespace) -> int:
    from deriva_ml_prefect.pages.execution_page import render_execution
    from deriva_ml_prefect.phases.recover import note_lost_owner
    from deriva_ml_prefect.questions.execution_summary import summarize_execution

    address, rid = chosen_execution(arguments)
    note_lost_owner(address, rid)
    print(render_execution(summarize_execution(address, rid)), end="")
    return 0
