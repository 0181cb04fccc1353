"""`deriva-ml-prefect show`: what an execution ran, read and made."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from deriva_ml_prefect.cli.catalog_choice import add_execution, chosen_execution

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_parser(commands: Subparsers) -> None:
    text = "show what an execution ran, read and made"
    parser = commands.add_parser("show", help=text, description=text)
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
