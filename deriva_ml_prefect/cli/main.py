"""`deriva-ml-prefect`: look at an execution, finish one that was broken off, and the embedded DERIVA."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from deriva_ml_prefect.cli.catalog_choice import add_options, choose_address
from deriva_ml_prefect.cli.told import told

DESCRIPTION = "Look at an execution, finish one that was broken off, and the embedded DERIVA."


def build_parser(command: str | None = None) -> argparse.ArgumentParser:
    """The parser of the command; what is parsed carries `act`, a function of it that returns the exit status.

    `embedded` gets its own commands only when it is the one that was called: they import a server.
    """
    parser = argparse.ArgumentParser(prog="deriva-ml-prefect", description=DESCRIPTION)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, act, text in (
        ("show", _show, "show what an execution ran, read and made"),
        ("resume", _resume, "finish what an execution staged and did not upload; the code is not run again"),
    ):
        added = commands.add_parser(name, help=text, description=text)
        added.add_argument("rid", metavar="RID", help="RID of the execution, or id of its Prefect flow run")
        add_options(added)
        added.set_defaults(act=act)
    if command == "embedded":
        from deriva_ml_prefect.cli import embedded

        embedded.add_parser(commands)
    else:
        commands.add_parser("embedded", help="the embedded DERIVA: start, stop, status, url, token")
    return parser


def _show(arguments: argparse.Namespace) -> int:
    from deriva_ml_prefect.pages.execution_page import render_execution
    from deriva_ml_prefect.phases.recover import note_lost_owner
    from deriva_ml_prefect.questions.execution_summary import summarize_execution
    from deriva_ml_prefect.questions.flow_runs import latest_execution

    address = choose_address(arguments.host, arguments.catalog, rid=arguments.rid)
    rid = latest_execution(address, arguments.rid)
    note_lost_owner(address, rid)
    print(render_execution(summarize_execution(address, rid)), end="")
    return 0


def _resume(arguments: argparse.Namespace) -> int:
    import logging

    from deriva_ml_prefect.phases.context import entry_of
    from deriva_ml_prefect.phases.lifecycle import deliver_outputs
    from deriva_ml_prefect.phases.recover import resume
    from deriva_ml_prefect.questions.flow_runs import latest_execution

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    address = choose_address(arguments.host, arguments.catalog, rid=arguments.rid)
    context = resume(address, latest_execution(address, arguments.rid))
    delivered = deliver_outputs(context)
    status = entry_of(context).status
    print(
        f"Execution {context.rid} is {status}." if delivered else f"Execution {context.rid} is {status}: nothing left."
    )
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    given = sys.argv[1:] if argv is None else list(argv)
    arguments = build_parser(given[0] if given else None).parse_args(given)
    return told(lambda: int(arguments.act(arguments)))


if __name__ == "__main__":
    sys.exit(main())
