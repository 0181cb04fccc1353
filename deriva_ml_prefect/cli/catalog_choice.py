"""Which catalog a command means: the one named, the environment's, or the one whose workspace knows the execution."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deriva_ml_prefect.values.address import Address


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add `--host` and `--catalog`."""
    parser.add_argument("--host", metavar="HOST", help="host of the catalog; embedded: the embedded DERIVA")
    parser.add_argument("--catalog", metavar="CATALOG", help="number or alias of the catalog")


def add_execution(parser: argparse.ArgumentParser) -> None:
    """Add the argument RID and the options that say which catalog it is in."""
    parser.add_argument("rid", metavar="RID", help="RID of the execution, or id of its Prefect flow run")
    add_options(parser)


def chosen_execution(arguments: argparse.Namespace) -> tuple[Address, str]:
    """Catalog and RID of the execution that is meant; DerivaMLValidationError for what is neither RID nor flow run."""
    from deriva_ml_prefect.questions.flow_runs import latest_execution
    from deriva_ml_prefect.values.flow_runs import flow_run_in, link_name
    from deriva_ml_prefect.values.rid import check_rid

    if flow_run_in(link_name(arguments.rid)) is None:
        check_rid(arguments.rid)
    address = choose_address(arguments.host, arguments.catalog, rid=arguments.rid)
    return address, latest_execution(address, arguments.rid)


def choose_address(host: str | None, catalog: str | None, *, rid: str) -> Address:
    """The catalog that holds execution `rid`.

    First what is named, completed by `DERIVA_ML_HOST` and `DERIVA_ML_CATALOG`; if that leaves it open, the workspace
    below `DERIVA_ML_HOME` that knows the execution. DerivaMLConfigurationError when none does, or several do.
    """
    from deriva_ml_prefect.config.settings import load_settings
    from deriva_ml_prefect.exceptions import DerivaMLConfigurationError
    from deriva_ml_prefect.values.address import Address

    settings = load_settings()
    hostname, catalog_id = host or settings.hostname, catalog or settings.catalog_id
    if hostname and catalog_id:
        return Address(hostname, catalog_id)
    # pulls in the journal and the catalog client
    from deriva_ml_prefect.questions.workspaces import find_workspaces

    known = [
        address
        for address in find_workspaces(rid)
        if address.hostname == (host or address.hostname) and address.catalog_id == (catalog or address.catalog_id)
    ]
    if not known:
        raise DerivaMLConfigurationError(
            f"No workspace in {settings.home} knows execution {rid}. Name its catalog with --host and --catalog, "
            "or with DERIVA_ML_HOST and DERIVA_ML_CATALOG."
        )
    if len({str(address) for address in known}) > 1:
        listed = ", ".join(sorted({str(address) for address in known}))
        raise DerivaMLConfigurationError(f"Execution {rid} is known in {listed}. Say which with --host and --catalog.")
    return known[0]
