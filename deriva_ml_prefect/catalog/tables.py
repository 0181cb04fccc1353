"""Making tables in a catalog from documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.catalog.schema import Table


def create_tables(catalog: Catalog, tables: Sequence[dict[str, Any]]) -> list[Table]:
    """Make all the tables with one request, or none of them; DerivaMLCatalogConflict if one is there already."""
    catalog.client.request("POST", catalog.path("schema"), json=list(tables), expect=(201,))
    catalog.refresh()
    return [catalog.schema.tables[table["schema_name"], table["table_name"]] for table in tables]


def create_schema(catalog: Catalog, name: str) -> None:
    """Make an empty schema; one of that name is a conflict."""
    document = {"schemas": {name: {"schema_name": name, "tables": {}}}}
    catalog.client.request("POST", catalog.path("schema"), json=document, expect=(201,))
    catalog.refresh()
