"""`deriva-ml-prefect embedded …`: start, stop and find the embedded DERIVA, and get a token for it.

`define` adds the subcommands; the parsed arguments then carry `act`, a function of them that returns the exit status.
What they do is in `embedded_acts`, which imports a server and is loaded when one of them is called.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

PROGRAM = "deriva-ml-prefect embedded"
Act = Callable[[argparse.Namespace], int]


def define(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands."""
    commands = parser.add_subparsers(dest="embedded_command", required=True, metavar="COMMAND")
    for name, text in (
        ("start", "start it, and let it run until it is stopped"),
        ("stop", "stop it; everything is kept"),
        ("check", "compare rows, keys, history and objects with what they should be; exit status 1 if not so"),
        ("status", "say whether it runs and where its data are; exit status 1 if it does not run"),
    ):
        commands.add_parser(name, help=text, description=text).set_defaults(act=_act(name))
    _add_url(commands)
    text = "copy everything into a new folder or archive (.tar, .tar.gz, .tgz), while it runs or not"
    saving = commands.add_parser("backup", help=text, description=text)
    saving.add_argument("target", type=Path, help="a folder or archive that does not exist yet")
    saving.set_defaults(act=_act("backup"))
    text = "make the data folder, which must be empty, from a backup"
    restoring = commands.add_parser("restore", help=text, description=text)
    restoring.add_argument("source", type=Path, help="folder or archive that `backup` has made")
    restoring.set_defaults(act=_act("restore"))
    text = "print the owner's token, or make one for another identity"
    token = commands.add_parser("token", help=text, description=text)
    token.set_defaults(act=_act("token"))
    adding = token.add_subparsers(dest="token_command", metavar="add").add_parser(
        "add", help="make (or renew) the token of an identity that has no rights of its own"
    )
    adding.add_argument("name", help="name of the identity: letters, digits, '.', '_' and '-'")
    adding.set_defaults(act=_act("add"))


def _add_url(commands: Subparsers) -> None:
    text = "print its base URL"
    url = commands.add_parser(
        "url",
        help=text,
        description=f"{text}. A program that insists on HTTPS has to be told to trust this server's own certificate "
        f'authority: export REQUESTS_CA_BUNDLE="$({PROGRAM} url --ca-file)" (then https URLs of other sites are not '
        "trusted in that shell).",
    )
    kind = url.add_mutually_exclusive_group()
    kind.add_argument("--https", action="store_true", help="the URL of the port that speaks HTTPS")
    kind.add_argument(
        "--login",
        action="store_true",
        help="a URL that logs a browser in; it works once, within a minute",
    )
    kind.add_argument(
        "--ca-file",
        action="store_true",
        help="the file with the certificate of its authority, for REQUESTS_CA_BUNDLE (deriva-py, bdbag), "
        "SSL_CERT_FILE or curl --cacert",
    )
    url.set_defaults(act=_act("url"))


def _act(name: str) -> Act:
    """The act of that name, loaded when it is called: it imports a server. What stopped it is told on stderr."""

    def run(arguments: argparse.Namespace) -> int:
        from deriva_ml_prefect.cli import embedded_acts
        from deriva_ml_prefect.embedded.state import ServerError

        try:
            return embedded_acts.ACTS[name](arguments)
        except (ServerError, ValueError, OSError) as error:
            print(error, file=sys.stderr)
            return 1

    return run
