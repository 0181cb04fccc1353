"""The schema `public` that every catalog begins with: clients, groups and RID leases."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from deriva_ml_prefect.embedded.ermrest.acl import CATALOG_ACLS
from deriva_ml_prefect.embedded.ermrest.clock import Moment
from deriva_ml_prefect.embedded.ermrest.definition import create_schema, create_table
from deriva_ml_prefect.embedded.ermrest.draft import Draft, put_table
from deriva_ml_prefect.embedded.ermrest.model import Json, Model
from deriva_ml_prefect.embedded.ermrest.model_store import assemble_model, save_model
from deriva_ml_prefect.embedded.http import Client

INDEXING: Final[Mapping[str, Json]] = {
    "tag:isrd.isi.edu,2018:indexing-preferences": {"trgm": True, "btree": True, "gin_array": True}
}
SYSTEM_COLUMNS: Final[list[Json]] = [
    {"name": name, "type": {"typename": f"ermrest_{name.lower()}"}, "nullok": name in ("RCB", "RMB")}
    for name in ("RID", "RCT", "RMT", "RCB", "RMB")
]
LOCKED: Final[dict[str, list[str]]] = {"delete": [], "insert": [], "select": [], "update": [], "enumerate": []}
LEASE_ACLS: Final[dict[str, list[str]]] = {"delete": [], "select": [], "update": [], "enumerate": ["*"]}
LESSEE_ACCESS: Final[Mapping[str, Json]] = {
    "types": ["select", "update", "delete"],
    "scope_acl": ["*"],
    "projection": ["RCB"],
    "projection_type": "acl",
}


def make_first_model(
    connection: sqlite3.Connection, owner: list[str], annotations: Mapping[str, Json], now: Moment
) -> Model:
    """Fill a new catalog's file with the schema `public`; returns the model as saved."""
    empty = assemble_model(0, {}, {}, {})
    acls = {name: list(owner) if name == "owner" else [] for name in CATALOG_ACLS}
    founder = Client(owner[0] if owner else "*", "", frozenset(owner))
    draft = Draft(connection, replace(empty, annotations={**INDEXING, **annotations}, acls=acls), founder)
    create_schema(draft, {"schema_name": "public", "comment": "standard public schema"})
    make_table(draft, "ERMrest_Client", ["ID!", "Display_Name", "Full_Name", "Email", "Client_Object!jsonb"], ["ID"])
    make_table(draft, "ERMrest_Group", ["ID!", "URL", "Display_Name", "Description"], ["ID"])
    make_table(draft, "ERMrest_RID_Lease", ["ID"], ["RCB", "ID"])
    lease = draft.table(("public", "ERMrest_RID_Lease"))
    put_table(
        draft,
        replace(lease, acls=dict(LEASE_ACLS), acl_bindings={"lessee_access": dict(LESSEE_ACCESS)}),
        instead_of=lease.full_name,
    )
    return save_model(connection, empty, draft.model, now)


def make_table(draft: Draft, name: str, columns: list[str], key: list[str]) -> None:
    """Columns are written `Name`, `Name!` (not null) or `Name!type`."""
    definitions = []
    for column in columns:
        column_name, bang, kind = column.partition("!")
        definitions.append({"name": column_name, "type": {"typename": kind or "text"}, "nullok": not bang})
    create_table(
        draft,
        {
            "schema_name": "public",
            "table_name": name,
            "column_definitions": SYSTEM_COLUMNS + definitions,
            "keys": [
                {"unique_columns": ["RID"], "names": [["public", f"{name}_pkey"]]},
                {"unique_columns": key, "names": [["public", f"{name}_{'_'.join(key)}_key"]]},
            ],
            "acls": dict(LOCKED),
        },
    )
