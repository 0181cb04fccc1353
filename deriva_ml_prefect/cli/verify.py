"""`deriva-ml-prefect verify`: read an execution back and compare it with what was delivered."""

from __future__ import annotations

import argparse

from deriva_ml_prefect.cli.catalog_choice import add_execution, chosen_execution
from deriva_ml_prefect.cli.told import emit, tell_error

SAME, DIFFERS, UNKNOWN = 0, 1, 2


def define(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command, and what it does."""
    parser.description = (
        f"{parser.description}. On a machine whose journal does not know the execution, its rows are compared with the "
        "objects. Nothing is changed."
    )
    parser.epilog = "Exit status: 0, all is the same; 1, something differs (a line each); 2, it could not be checked."
    add_execution(parser)
    parser.add_argument(
        "--no-content",
        action="store_true",
        help="do not read the bytes of objects: ask the store for their length and MD5 (for gigabytes)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document, for programs")
    parser.set_defaults(act=_verify)


def _verify(arguments: argparse.Namespace) -> int:
    from deriva_ml_prefect.exceptions import DerivaMLException
    from deriva_ml_prefect.pages.verification_page import render_verification, verification_document
    from deriva_ml_prefect.questions.verification.verify import verify_execution

    try:
        address, rid = chosen_execution(arguments)
        found = verify_execution(address, rid, content=not arguments.no_content)
    except DerivaMLException as e:
        tell_error(e)
        return UNKNOWN
    if arguments.json:
        import json

        emit([json.dumps(verification_document(found), indent=1, default=str)])
    else:
        emit(render_verification(found))
    if found.differences or found.further:
        return DIFFERS
    return UNKNOWN if found.unchecked else SAME
