"""`deriva-ml-prefect embedded …`: start, stop and find the embedded DERIVA, and get a token for it.

`add_parser` adds the command; the parsed arguments then carry `act`, a function of them that returns the exit status.
The data folder is `embedded/` in the home folder (`DERIVA_ML_HOME`).
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from deriva_ml_prefect.embedded.authn import OWNER, add_token, client_id, read_tokens
from deriva_ml_prefect.embedded.server import find, keep, stop
from deriva_ml_prefect.embedded.state import Running, ServerError

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

PROGRAM = "deriva-ml-prefect embedded"
Act = Callable[[argparse.Namespace], int]


def data_folder() -> Path:
    """Where the embedded DERIVA of this user keeps everything. Reads two variables only: this command must be quick."""
    home = os.environ.get("DERIVA_ML_HOME")
    return (Path(home).expanduser() if home else Path.home() / ".deriva-ml-prefect") / "embedded"


def add_parser(subparsers: Subparsers) -> argparse.ArgumentParser:
    """Add the command `embedded` with its subcommands."""
    parser = subparsers.add_parser("embedded", help="the embedded DERIVA: start, stop, url, token, backup, check")
    commands = parser.add_subparsers(dest="embedded_command", required=True, metavar="COMMAND")
    for name, act, text in (
        ("start", _start, "start it, and let it run until it is stopped"),
        ("stop", _stop, "stop it; everything is kept"),
        ("check", _check, "compare rows, keys, history and objects with what they should be; exit status 1 if not so"),
        ("status", _status, "say whether it runs and where its data are; exit status 1 if it does not run"),
    ):
        commands.add_parser(name, help=text, description=text).set_defaults(act=_told(act))
    _add_url(commands)
    text = "copy everything into a new folder or archive (.tar, .tar.gz, .tgz), while it runs or not"
    saving = commands.add_parser("backup", help=text, description=text)
    saving.add_argument("target", type=Path, help="a folder or archive that does not exist yet")
    saving.set_defaults(act=_told(_backup))
    text = "make the data folder, which must be empty, from a backup"
    restoring = commands.add_parser("restore", help=text, description=text)
    restoring.add_argument("source", type=Path, help="folder or archive that `backup` has made")
    restoring.set_defaults(act=_told(_restore))
    text = "print the owner's token, or make one for another identity"
    token = commands.add_parser("token", help=text, description=text)
    token.set_defaults(act=_told(_token))
    adding = token.add_subparsers(dest="token_command", metavar="add").add_parser(
        "add", help="make (or renew) the token of an identity that has no rights of its own"
    )
    adding.add_argument("name", help="name of the identity: letters, digits, '.', '_' and '-'")
    adding.set_defaults(act=_told(_add))
    return parser


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
    url.set_defaults(act=_told(_url))


def _told(act: Act) -> Act:
    """The same act, with what stopped it told on stderr."""

    def run(arguments: argparse.Namespace) -> int:
        try:
            return act(arguments)
        except (ServerError, ValueError, OSError) as error:
            print(error, file=sys.stderr)
            return 1

    return run


def _start(_: argparse.Namespace) -> int:
    running = keep(data_folder())
    print(f"The embedded DERIVA runs at {running.url} (process {running.pid}), data in {running.data}.")
    print(f"It runs until `{PROGRAM} stop`. Its token: `{PROGRAM} token`.")
    return 0


def _stop(_: argparse.Namespace) -> int:
    stopped = stop(data_folder())
    if stopped is None:
        print(f"No embedded DERIVA runs on {data_folder()}.")
    else:
        print(f"Stopped (process {stopped.pid}). Its data stay in {stopped.data}; `{PROGRAM} start` serves them again.")
    return 0


def _status(_: argparse.Namespace) -> int:
    running = find(data_folder())
    if running is None:
        print(f"Not running. Data folder: {data_folder()}. Start it with `{PROGRAM} start`.")
        return 1
    until = "until stopped" if running.stays else "until nobody has used it for half an hour"
    print(f"Running at {running.url} (process {running.pid}) since {running.started}, {until}. Data: {running.data}.")
    return 0


def _url(arguments: argparse.Namespace) -> int:
    running = _running()
    if arguments.login:
        print(running.url + login_path(running))
    elif arguments.https:
        print(running.https_url)
    else:
        print(running.ca_file if arguments.ca_file else running.url)
    return 0


def login_path(running: Running) -> str:
    """The path, with a new code in it, at which a browser gets in as the owner."""
    token = read_tokens(Path(running.data))[OWNER]
    connection = http.client.HTTPConnection(running.url.removeprefix("http://"), timeout=10)
    try:
        connection.request("POST", "/authn/code", headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 201:
            raise ServerError(f"{running.url} gave no code ({answer.status}): {content.decode(errors='replace')[:300]}")
        return str(json.loads(content)["path"])
    except http.client.HTTPException as error:
        raise ServerError(f"{running.url} did not answer as expected ({error!r}); look at its log.") from error
    finally:
        connection.close()


def _running() -> Running:
    running = find(data_folder())
    if running is None:
        raise ServerError(f"No embedded DERIVA runs on {data_folder()}. Start it with `{PROGRAM} start`.")
    return running


def _token(_: argparse.Namespace) -> int:
    token = read_tokens(data_folder()).get(OWNER)
    if token is None:
        raise ServerError(f"There is no token yet in {data_folder()}. It is made by `{PROGRAM} start`.")
    print(token)
    return 0


def _check(_: argparse.Namespace) -> int:
    from deriva_ml_prefect.embedded.check import check_folder

    report = check_folder(data_folder())
    for difference in report.differences:
        print(difference)
    print(
        f"{len(report.differences)} differences in {report.catalogs} catalogs ({report.rows} rows, "
        f"{report.former_rows} former ones) and {report.objects} objects of {data_folder()}."
    )
    return 1 if report.differences else 0


def _backup(arguments: argparse.Namespace) -> int:
    from deriva_ml_prefect.embedded.backup import back_up

    back_up(data_folder(), arguments.target.absolute())
    print(f"{arguments.target} holds a copy of {data_folder()}, tokens and keys among it: keep it private.")
    return 0


def _restore(arguments: argparse.Namespace) -> int:
    from deriva_ml_prefect.embedded.backup import restore

    restore(arguments.source.absolute(), data_folder())
    return _check(arguments)


def _add(arguments: argparse.Namespace) -> int:
    if OWNER not in read_tokens(data_folder()):
        raise ServerError(f"There is no embedded DERIVA yet in {data_folder()}. Make it with `{PROGRAM} start`.")
    token = add_token(data_folder(), arguments.name)
    print(f"{client_id(arguments.name)} has no rights until an access list names it. Its token:")
    print(token)
    return 0
