"""What `deriva-ml-prefect embedded …` does: one function a command, of its arguments, that returns the exit status.

The data folder is `embedded/` in the home folder (`DERIVA_ML_HOME`).
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
from collections.abc import Mapping
from pathlib import Path

from deriva_ml_prefect.cli.embedded import PROGRAM, Act
from deriva_ml_prefect.embedded import server
from deriva_ml_prefect.embedded.authn import OWNER, add_token, client_id, read_tokens
from deriva_ml_prefect.embedded.state import Running, ServerError


def data_folder() -> Path:
    """Where the embedded DERIVA of this user keeps everything. Reads two variables only: this command must be quick."""
    home = os.environ.get("DERIVA_ML_HOME")
    return (Path(home).expanduser() if home else Path.home() / ".deriva-ml-prefect") / "embedded"


def _start(_: argparse.Namespace) -> int:
    running = server.keep(data_folder())
    print(f"The embedded DERIVA runs at {running.url} (process {running.pid}), data in {running.data}.")
    print(f"It runs until `{PROGRAM} stop`. Its token: `{PROGRAM} token`.")
    _tell_repairs(running)
    return 0


def _stop(_: argparse.Namespace) -> int:
    stopped = server.stop(data_folder())
    if stopped is None:
        print(f"No embedded DERIVA runs on {data_folder()}.")
    else:
        print(f"Stopped (process {stopped.pid}). Its data stay in {stopped.data}; `{PROGRAM} start` serves them again.")
    return 0


def _status(_: argparse.Namespace) -> int:
    running = server.find(data_folder())
    if running is None:
        print(f"Not running. Data folder: {data_folder()}. Start it with `{PROGRAM} start`.")
        return 1
    until = "until stopped" if running.stays else "until nobody has used it for half an hour"
    print(f"Running at {running.url} (process {running.pid}) since {running.started}, {until}. Data: {running.data}.")
    _tell_repairs(running)
    return 0


def _tell_repairs(running: Running) -> None:
    if running.repaired:
        print("The server before it was killed. What was put in order then:")
    for sentence in running.repaired:
        print(f"- {sentence}")


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
    running = server.find(data_folder())
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


ACTS: Mapping[str, Act] = {
    "start": _start,
    "stop": _stop,
    "check": _check,
    "status": _status,
    "url": _url,
    "backup": _backup,
    "restore": _restore,
    "token": _token,
    "add": _add,
}
