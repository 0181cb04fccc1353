"""What create_ml_catalog makes, read back from the server."""

from __future__ import annotations

from typing import Any

import pytest

from deriva_ml_prefect.catalog.connection import Catalog, open_catalog
from deriva_ml_prefect.catalog.creation.create import add_sentinels, create_ml_catalog
from deriva_ml_prefect.catalog.creation.description import description
from deriva_ml_prefect.catalog.rows import get_rows, snaptime
from deriva_ml_prefect.catalog.schema import default_schema, domain_schemas
from deriva_ml_prefect.catalog.session import who_am_i
from deriva_ml_prefect.catalog.vocabulary import list_terms
from deriva_ml_prefect.config.settings import Settings
from deriva_ml_prefect.exceptions import DerivaMLValidationError


def columns_of(document: dict[str, Any]) -> list[tuple[str, str, bool, Any]]:
    return [
        (c["name"], c["type"]["typename"], c["nullok"], c["default"])
        for c in document["column_definitions"]
        if c["name"] not in ("RID", "RCT", "RMT", "RCB", "RMB")
    ]


def test_every_table_reads_back_as_described(shared: Catalog) -> None:
    for schema, tables in description()["schemas"].items():
        made = shared.model["schemas"][schema]["tables"]
        assert set(made) == {table["name"] for table in tables}
        for table in tables:
            wanted = [
                (
                    c["name"],
                    c["type"],
                    c.get("nullok", True),
                    c["default"].replace("<project>", "demo") if "default" in c else None,
                )
                for c in table["columns"]
            ]
            assert columns_of(made[table["name"]]) == wanted, table["name"]


def test_client_made_constraint_names_are_kept(shared: Catalog) -> None:
    tables = shared.model["schemas"]["deriva-ml"]["tables"]
    names = {k["names"][0][1] for k in tables["Execution_Metadata_Execution"]["keys"]}
    assert names == {"Execution_Metadata_Execution_RID_key", "Execution_Metadata_Execution_assoc_key"}
    fkeys = {f["names"][0][1] for f in tables["Dataset"]["foreign_keys"]}
    assert fkeys == {"Dataset_Version_fkey", "Dataset_RCB_fkey", "Dataset_RMB_fkey"}


def test_dialect_has_everything(shared: Catalog) -> None:
    dialect = shared.dialect
    assert dialect.status_enforced
    assert dialect.workflow_type_table
    assert dialect.workflow_type_column
    assert not dialect.workflow_type_required
    assert set(dialect.durations) == {"execution", "download", "upload"}
    assert dialect.single_duration
    assert dialect.nested_executions
    assert dialect.dataset_execution_version


def test_terms_and_their_identifiers(shared: Catalog) -> None:
    terms = {term.name: term for term in list_terms(shared, "Execution_Status")}
    assert {"Created", "Uploaded", "Initializing", "Pending", "Completed"} <= set(terms)
    created = terms["Created"]
    assert created.id == f"demo:{created.rid}"
    assert created.uri == f"/id/{created.rid}"
    types = {term.name: term for term in list_terms(shared, "Workflow_Type")}
    assert types["Training"].id.startswith("deriva-ml:")


def test_sentinels_once(shared: Catalog) -> None:
    before = get_rows(shared, "entity/deriva-ml:Workflow")
    add_sentinels(shared)
    after = get_rows(shared, "entity/deriva-ml:Workflow")
    assert len(after) == len(before) == 1
    (execution,) = get_rows(shared, "entity/deriva-ml:Execution")
    assert execution["Workflow"] == after[0]["RID"]
    assert after[0]["Workflow_Type"] == "Unknown"  # older releases cannot list a workflow that has no type
    assert execution["Status"] == "Aborted"
    (file,) = get_rows(shared, "entity/deriva-ml:File")
    assert file["Length"] == 0


def test_domain_schema_is_the_project(shared: Catalog) -> None:
    assert domain_schemas(shared) == ("demo",)
    assert default_schema(shared) == "demo"


def test_alias_opens_the_same_catalog(settings: Settings) -> None:
    address = create_ml_catalog("embedded", "demo", catalog_alias="by-name", settings=settings)
    assert address.catalog_id == "by-name"
    assert snaptime(open_catalog(address, settings=settings))


@pytest.mark.parametrize("name", ["", "9lives", "a b", "public", "WWW", "deriva-ml", "x" * 41, "a/b"])
def test_bad_project_names_are_refused_before_anything_is_made(settings: Settings, name: str) -> None:
    with pytest.raises(DerivaMLValidationError):
        create_ml_catalog("embedded", name, settings=settings)


def test_who_am_i(shared: Catalog) -> None:
    assert who_am_i(shared).id
