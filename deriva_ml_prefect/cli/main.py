"""`deriva-ml-prefect`: find, look at, verify and finish executions, tidy up after them, and the embedded DERIVA."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from deriva_ml_prefect.cli import abort, resume, show, verify
from deriva_ml_prefect.cli.told import told

DESCRIPTION = "Find, look at, verify and finish executions, tidy up after them, and the embedded DERIVA."


def build_parser(command: str | None = None) -> argparse.ArgumentParser:
    """The parser of the command; what is parsed carries `act`, a function of it that returns the exit status.

    `embedded` gets its own commands only when it is the one that was called: they import a server.
    """
    parser = argparse.ArgumentParser(prog="deriva-ml-prefect", description=DESCRIPTION)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for room in (show, verify, resume, abort):
        room.add_parser(commands)
    if command == "embedded":
        from deriva_ml_prefect.cli import embedded

        embedded.add_parser(commands)
    else:
        commands.add_parser("embedded", help="the embedded DERIVA: start, stop, status, url, token")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    given = sys.argv[1:] if argv is None else list(argv)
    arguments = build_parser(given[0] if given else None).parse_args(given)
    return told(lambda: int(arguments.act(arguments)))


if __name__ == "__main__":
    sys.exit(main())
