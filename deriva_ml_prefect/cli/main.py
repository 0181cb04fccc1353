"""`deriva-ml-prefect`: find, look at, verify and finish executions, tidy up after them, and the embedded DERIVA."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence

from deriva_ml_prefect.cli.told import told

DESCRIPTION = "Find, look at, verify and finish executions, tidy up after them, and the embedded DERIVA."
COMMANDS: Mapping[str, str] = {
    "ls": "list executions: status, outcome, whether their process lives, and what is staged and not sent",
    "show": "show what an execution ran, read and made",
    "verify": "read every object and every row of an execution back, and compare them with their receipts",
    "resume": "finish what an execution staged and did not upload; the code is not run again",
    "abort": "give an execution up for good: its status becomes Aborted, its files stay until gc --aborted",
    "gc": "list what may be deleted on this machine, with sizes; --delete deletes it",
    "embedded": "the embedded DERIVA: start, stop, status, url, token, backup, restore, check",
    "completion": "print what a shell needs to complete the commands",
}


def build_parser(*called: str) -> argparse.ArgumentParser:
    """The parser of the command; what is parsed carries `act`, a function of it that returns the exit status.

    It knows the commands named in `called`; if none is, it lists all of them without their arguments.
    """
    parser = argparse.ArgumentParser(prog="deriva-ml-prefect", description=DESCRIPTION)
    # without prog, argparse would format the usage to find it out
    commands = parser.add_subparsers(prog=parser.prog, dest="command", required=True, metavar="COMMAND")
    named = [name for name in COMMANDS if name in called]
    for name in named or COMMANDS:
        added = commands.add_parser(name, help=COMMANDS[name], description=COMMANDS[name])
        if named:
            _definition(name)(added)
    return parser


def _definition(name: str) -> Callable[[argparse.ArgumentParser], None]:
    """What defines the arguments of a command, loaded now."""
    match name:
        case "ls":
            from deriva_ml_prefect.cli.ls import define
        case "show":
            from deriva_ml_prefect.cli.show import define
        case "verify":
            from deriva_ml_prefect.cli.verify import define
        case "resume":
            from deriva_ml_prefect.cli.resume import define
        case "abort":
            from deriva_ml_prefect.cli.abort import define
        case "gc":
            from deriva_ml_prefect.cli.gc import define
        case "embedded":
            from deriva_ml_prefect.cli.embedded import define
        case "completion":
            from deriva_ml_prefect.cli.completion import define
        case _:
            raise ValueError(name)
    return define


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    given = sys.argv[1:] if argv is None else list(argv)
    arguments = build_parser(*given[:1]).parse_args(given)
    return told(lambda: int(arguments.act(arguments)))


if __name__ == "__main__":
    sys.exit(main())
