"""Save the block documents of a lab's DERIVA: a catalog, and who flows are to it.

    python blocks/lab.py NAME --host HOST --catalog NUMBER --refresh-token     (asks for it, or reads it from a pipe)
    python blocks/lab.py NAME --host HOST --catalog NUMBER --credential-file PATH

Run it against the Prefect server that `PREFECT_API_URL` names. Flows then find the catalog as
`deriva_execution(catalog="NAME")`. Running it again replaces the documents. A token stands in no argument and no file:
Prefect keeps it encrypted, and shows it to nobody.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Sequence

from deriva_ml_prefect import DerivaML, exceptions
from deriva_ml_prefect.blocks import DerivaCatalog, DerivaCredentials, ExecutionConfiguration


def save_blocks(name: str, catalog: DerivaCatalog) -> None:
    """Register the block types, and save the catalog and its credential under a name, if the catalog answers to it."""
    credential = catalog.credential if catalog.credentials else None
    DerivaML(catalog.hostname, catalog.catalog_id, credential=credential).find_executions(limit=1)
    for block in (DerivaCredentials, DerivaCatalog, ExecutionConfiguration):
        block.register_type_and_schema()
    if catalog.credentials is not None:
        catalog.credentials.save(name, overwrite=True)
        loaded = DerivaCredentials.load(name)
        assert isinstance(loaded, DerivaCredentials)
        # the catalog refers to that document: a token that is changed there counts here
        catalog = catalog.model_copy(update={"credentials": loaded})
    catalog.save(name, overwrite=True)


def ask(what: str) -> str:
    """A secret from the terminal, not shown, or the first line of a pipe."""
    return getpass.getpass(f"{what}: ") if sys.stdin.isatty() else sys.stdin.readline().strip()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Save the blocks of a catalog and of who flows are to it.")
    parser.add_argument("name", help="of both documents: small letters, digits, dashes")
    parser.add_argument("--host", required=True, help="of the DERIVA")
    parser.add_argument("--catalog", required=True, help="its number or alias")
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--bearer-token", action="store_true", help="ask for a token that the DERIVA accepts")
    who.add_argument("--refresh-token", action="store_true", help="ask for a token that access tokens are fetched for")
    who.add_argument("--credential-file", metavar="PATH", help="of deriva-py, on the machines that run flows")
    options = parser.parse_args(arguments)
    credentials = None
    if options.bearer_token:
        credentials = DerivaCredentials(bearer_token=ask("Bearer token"))
    elif options.refresh_token:
        credentials = DerivaCredentials(refresh_token=ask("Refresh token"))
    elif options.credential_file:
        credentials = DerivaCredentials(credential_file=options.credential_file)
    try:
        save_blocks(
            options.name, DerivaCatalog(hostname=options.host, catalog_id=options.catalog, credentials=credentials)
        )
    except exceptions.DerivaMLException as e:
        print(f"Nothing was saved. {type(e).__name__}: {e}", file=sys.stderr)  # noqa: T201
        return 1
    saved = f"deriva-catalog/{options.name}"
    print(f"Saved {saved}." if credentials is None else f"Saved deriva-credentials/{options.name} and {saved}.")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
