"""Making a new catalog for a project."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deriva_ml_prefect.catalog.connection import open_catalog
from deriva_ml_prefect.catalog.creation import create


def create_ml_catalog(
    hostname: str,
    project_name: str,
    catalog_alias: str | None = None,
    *,
    credential: Mapping[str, str] | None = None,
) -> Any:
    """Make a catalog with the `deriva-ml` schema and an empty domain schema named after the project.

    `hostname` `embedded` means the embedded DERIVA, which is started if it does not run. Returns deriva-py's
    ErmrestCatalog, whose `catalog_id` goes to DerivaML. On failure nothing is left behind.
    """
    address = create.create_ml_catalog(hostname, project_name, catalog_alias=catalog_alias, credential=credential)
    return open_catalog(address, credential=credential).deriva
