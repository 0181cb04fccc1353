"""Which executions belong to a flow run: asked of the catalog, so that it needs no Prefect server."""

from __future__ import annotations

from deriva_ml_prefect.catalog import assets, rows
from deriva_ml_prefect.catalog.connection import catalog_for
from deriva_ml_prefect.catalog.urls import equals, table_name
from deriva_ml_prefect.exceptions import DerivaMLNotFoundError
from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.flow_runs import flow_run_in, link_name
from deriva_ml_prefect.values.names import MLAsset
from deriva_ml_prefect.values.rid import RID


def executions_of_flow_run(address: Address, flow_run_id: str) -> list[RID]:
    """RIDs of the executions of a flow run, the first attempt first; usually one, more after retries of failed code."""
    catalog = catalog_for(address)
    table = assets.asset_table(catalog, MLAsset.execution_metadata)
    linked = rows.get_rows(
        catalog,
        f"entity/{table_name(table.schema, table.name)}/{equals('Filename', link_name(flow_run_id))}/"
        f"{table_name(table.execution_schema, table.execution_table)}",
    )
    ordered = sorted(linked, key=lambda row: str(row["RCT"]))
    return list(dict.fromkeys(str(row[table.execution_execution_column]) for row in ordered))


def latest_execution(address: Address, named: str) -> RID:
    """The execution that a RID or the id of a flow run names; of several, the last.

    Raises DerivaMLNotFoundError when the catalog has none of the flow run.
    """
    if flow_run_in(link_name(named)) is None:
        return named
    found = executions_of_flow_run(address, named)
    if not found:
        raise DerivaMLNotFoundError(
            f"Catalog {address} has no execution of flow run {named}. Check the id, and the catalog with --host and "
            "--catalog."
        )
    return found[-1]
