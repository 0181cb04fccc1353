"""Create a catalog whole: schemas with one request, terms with one for each vocabulary, and the sentinel rows."""

from __future__ import annotations

import re
from collections.abc import Mapping

from deriva_ml_prefect.catalog.connection import Catalog, connect_server
from deriva_ml_prefect.catalog.creation.description import description, schema_documents
from deriva_ml_prefect.catalog.rows import get_rows, insert_rows
from deriva_ml_prefect.catalog.urls import equals, table_name
from deriva_ml_prefect.config.settings import Settings, load_settings
from deriva_ml_prefect.exceptions import DerivaMLException, DerivaMLValidationError
from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.names import ML_SCHEMA

_PROJECT = re.compile(r"[A-Za-z][-_A-Za-z0-9]*")
_TAKEN = frozenset({"public", "www", "deriva-ml", "_ermrest"})


def create_ml_catalog(
    hostname: str,
    project_name: str,
    *,
    catalog_alias: str | None = None,
    settings: Settings | None = None,
    credential: Mapping[str, str] | None = None,
) -> Address:
    """A new catalog on the host, with the schema of DerivaML and an empty domain schema named after the project.

    Gives its address, by alias if one is asked for. If anything fails on the way, the catalog is deleted again.
    """
    check_project_name(project_name)
    chosen = settings or load_settings()
    client = connect_server(hostname, chosen, credential)
    catalog_id = client.request("POST", "/ermrest/catalog", expect=(201,), want_json=True).json()["id"]
    address = Address(hostname, str(catalog_id))
    catalog = Catalog(address, client=client, base_url=client.base_url, settings=chosen)
    try:
        fill_catalog(catalog, project_name)
        if catalog_alias:
            body = {"id": catalog_alias, "alias_target": str(catalog_id)}
            client.request("POST", "/ermrest/alias", json=body, expect=(201,))
    except DerivaMLException:
        # half a catalog would be taken for a whole one; that it cannot be deleted must not hide the reason
        client.request("DELETE", catalog.path("").rstrip("/"), expect=(204, 401, 403, 404, 409))
        raise
    finally:
        client.close()
    return Address(hostname, catalog_alias or str(catalog_id))


def check_project_name(name: str) -> None:
    """A project's name becomes a schema's name and the prefix of CURIEs."""
    if not _PROJECT.fullmatch(name) or len(name) > 40:
        raise DerivaMLValidationError(
            f"Project name {name[:60]!r} cannot be used: begin with a letter, go on with letters, digits, - and _, "
            "at most 40 in all."
        )
    if name.lower() in _TAKEN:
        raise DerivaMLValidationError(f"Project name {name!r} is the name of a schema of the system. Choose another.")


def fill_catalog(catalog: Catalog, project_name: str) -> None:
    """Schemas, terms and sentinel rows, in an empty catalog."""
    catalog.client.request("POST", catalog.path("schema"), json=schema_documents(project_name), expect=(201,))
    catalog.refresh()
    for vocabulary, terms in description()["terms"].items():
        insert_rows(
            catalog,
            (ML_SCHEMA, vocabulary),
            [{"Name": name, "Description": meaning} for name, meaning in terms],
            skip_conflicts=True,
            defaults=("ID", "URI"),
            repeatable=True,
        )
    add_sentinels(catalog)


def add_sentinels(catalog: Catalog) -> None:
    """The three rows that stand for unknown provenance, each looked up first and inserted where it is absent."""
    rows = description()["sentinels"]
    workflow = _row_or_insert(catalog, "Workflow", "URL", rows["Workflow"])
    _row_or_insert(catalog, "File", "URL", rows["File"])
    _row_or_insert(catalog, "Execution", "Description", {**rows["Execution"], "Workflow": workflow})


def _row_or_insert(catalog: Catalog, table: str, column: str, row: Mapping[str, object]) -> str:
    path = f"entity/{table_name(ML_SCHEMA, table)}/{equals(column, row[column])}"
    found = get_rows(catalog, path) or insert_rows(catalog, (ML_SCHEMA, table), [row])
    return str(found[0]["RID"])
