"""`deriva-ml-prefect ls`: executions of this machine, or of a catalog, and what is staged of them."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from deriva_ml_prefect.cli.catalog_choice import add_options
from deriva_ml_prefect.cli.told import FAILED, emit

if TYPE_CHECKING:
    from deriva_ml_prefect.questions.local_executions import ListedExecution, Wanted


def define(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command, and what it does."""
    parser.description = (
        f"{parser.description}. Without a catalog, those that this machine knows, in all catalogs, and no server is "
        "asked; with --host and --catalog (or DERIVA_ML_HOST and DERIVA_ML_CATALOG), all of that catalog."
    )
    add_options(parser)
    parser.add_argument("--local", action="store_true", help="ask no catalog, whatever the environment names")
    parser.add_argument(
        "--status", action="append", metavar="STATUS", default=[], help="only with this status; may be repeated"
    )
    parser.add_argument("--workflow", metavar="WORKFLOW", help="only of this workflow: its name, RID, URL or checksum")
    parser.add_argument(
        "--interrupted", action="store_true", help="only those whose process is gone before everything was uploaded"
    )
    parser.add_argument("--limit", "-n", type=_count, metavar="N", help="the newest N at most")
    parser.add_argument("--json", action="store_true", help="print one JSON document, for programs")
    parser.set_defaults(act=_list)


def _count(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 up")
    return int(text)


def _list(arguments: argparse.Namespace) -> int:
    items, status = _executions(arguments)
    if arguments.json:
        import json

        from deriva_ml_prefect.questions.local_executions import listed_document

        emit([json.dumps(listed_document(items), indent=1)])
    elif items:
        from deriva_ml_prefect.pages.execution_list import render_list

        width = os.get_terminal_size(sys.stdout.fileno()).columns if sys.stdout.isatty() else None
        emit(render_list(items, width=width))
    elif status == 0:
        print("There is no such execution." if _filtered(arguments) else "There are no executions.", file=sys.stderr)
    return status


def _executions(arguments: argparse.Namespace) -> tuple[list[ListedExecution], int]:
    from deriva_ml_prefect.config.settings import load_settings
    from deriva_ml_prefect.values.address import Address

    settings = load_settings()
    wanted = _wanted(arguments)
    host, catalog = arguments.host or settings.hostname, arguments.catalog or settings.catalog_id
    if host and catalog and not arguments.local:
        # pulls in the client of the catalog
        from deriva_ml_prefect.questions.catalog_executions import list_catalog_executions

        return list_catalog_executions(Address(host, catalog), wanted), 0
    from deriva_ml_prefect.questions.local_executions import list_local_executions

    found = list_local_executions(wanted, host=arguments.host, catalog=arguments.catalog)
    for workspace, reason in found.unread:
        print(f"{workspace} could not be read: {' '.join(reason.split())}", file=sys.stderr)
    for folder in found.forgotten:
        print(
            f"{folder} holds staged files of an execution that its journal does not know: it was lost, or is an older "
            "copy. Nothing deletes them. Register what matters with asset_file_path() in a new execution.",
            file=sys.stderr,
        )
    return list(found.executions), FAILED if found.unread else 0


def _wanted(arguments: argparse.Namespace) -> Wanted:
    from deriva_ml_prefect.exceptions import DerivaMLValidationError
    from deriva_ml_prefect.questions.local_executions import Wanted
    from deriva_ml_prefect.values.status import ExecutionStatus

    by_name = {status.lower(): status for status in ExecutionStatus}
    unknown = [name for name in arguments.status if name.lower() not in by_name]
    if unknown:
        raise DerivaMLValidationError(
            f"{unknown[0]!r} is no status of an execution. Use one of {', '.join(ExecutionStatus)}."
        )
    statuses = frozenset(by_name[name.lower()] for name in arguments.status) or None
    return Wanted(statuses, arguments.workflow, interrupted=arguments.interrupted, limit=arguments.limit)


def _filtered(arguments: argparse.Namespace) -> bool:
    return bool(arguments.status or arguments.workflow or arguments.interrupted)
