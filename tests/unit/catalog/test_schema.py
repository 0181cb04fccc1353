"""Lookups in schema documents of each generation, without a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect.catalog import assets, documents, features
from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.catalog.datasets import element_types
from deriva_ml_prefect.catalog.documents import Target
from deriva_ml_prefect.catalog.feature_rows import same_value
from deriva_ml_prefect.catalog.schema import (
    associations_of,
    default_schema,
    domain_schemas,
    find_table,
    is_asset,
    is_vocabulary,
)
from deriva_ml_prefect.config.settings import Settings
from deriva_ml_prefect.exceptions import DerivaMLConfigurationError, DerivaMLSchemaError, DerivaMLTableNotFound
from deriva_ml_prefect.transfer.client import HttpClient
from deriva_ml_prefect.values.address import Address


class Known(Catalog):
    """A catalog whose schema document is given: asking for it again gives the same."""

    def __init__(self, document: dict[str, Any], **address: Any) -> None:
        super().__init__(
            Address("nowhere.example", "1", **address),
            client=HttpClient("http://nowhere.invalid", retries=0),
            base_url="http://nowhere.invalid",
            settings=Settings(home=Path("/nowhere")),
        )
        self.document = document

    def _fetch_model(self) -> dict[str, Any]:
        return self.document


def add(document: dict[str, Any], *tables: dict[str, Any]) -> None:
    for table in tables:
        document["schemas"][table["schema_name"]]["tables"][table["table_name"]] = table


EXECUTION = Target("deriva-ml", "Execution", "RID", "ermrest_rid")
FEATURE_NAME = Target("deriva-ml", "Feature_Name", "Name")
DATASET = Target("deriva-ml", "Dataset", "RID", "ermrest_rid")
NAMED = Target("demo", "Named", "Name")


def named_table() -> dict[str, Any]:
    return documents.table_document(
        "demo", "Named", columns=[documents.column("Name", "text", nullok=False)], keys=[documents.key(["Name"])]
    )


def test_bare_names_are_looked_up_in_order(both: dict[str, Any]) -> None:
    catalog = Known(both)
    assert find_table(catalog, "File").schema == "deriva-ml"
    assert find_table(catalog, "Page").schema == "WWW"
    assert find_table(catalog, ("WWW", "File")).schema == "WWW"
    assert find_table(catalog, "WWW:File").schema == "WWW"
    add(both, documents.table_document("demo", "File", columns=[]))
    assert find_table(Known(both), "File").schema == "demo"
    with pytest.raises(DerivaMLTableNotFound, match="Did you mean Dataset"):
        find_table(catalog, "Datset")
    with pytest.raises(DerivaMLTableNotFound):
        find_table(catalog, "ERMrest_Client")


def test_domain_schemas(both: dict[str, Any]) -> None:
    assert domain_schemas(Known(both)) == ("demo",)
    both["schemas"]["another"] = {"schema_name": "another", "tables": {}}
    assert domain_schemas(Known(both)) == ("another", "demo")
    assert domain_schemas(Known(both, domain_schemas=("demo",))) == ("demo",)
    with pytest.raises(DerivaMLConfigurationError, match="another, demo"):
        default_schema(Known(both))
    assert default_schema(Known(both, default_schema="another")) == "another"


def test_kinds_of_tables(both: dict[str, Any]) -> None:
    catalog = Known(both)
    assert {t.name for t in catalog.schema.tables.values() if is_vocabulary(t)} == {
        "Feature_Name",
        "Asset_Type",
        "Asset_Role",
        "Execution_Status",
        "Workflow_Type",
        "Dataset_Type",
    }
    assert {t.qualified for t in catalog.schema.tables.values() if is_asset(t)} == {
        "WWW:File",
        "deriva-ml:File",
        "deriva-ml:Execution_Metadata",
        "deriva-ml:Execution_Asset",
    }


def test_associations_by_structure(both: dict[str, Any]) -> None:
    catalog = Known(both)
    found = {
        (a.table.name, a.right.target_table, a.extra) for a in associations_of(catalog, find_table(catalog, "File"))
    }
    assert found == {
        ("File_Asset_Type", "Asset_Type", ()),
        ("File_Execution", "Execution", ("Asset_Role",)),
        ("Dataset_File", "Dataset", ()),
    }


def test_asset_tables_of_the_older_generation(older: dict[str, Any]) -> None:
    table = assets.asset_table(Known(older), "Execution_Asset")
    assert (table.type_table, table.execution_table, table.role_column) == (
        "Execution_Asset_Asset_Type",
        "Execution_Asset_Execution",
        "Asset_Role",
    )


def test_asset_associations_in_another_schema(both: dict[str, Any]) -> None:
    both["schemas"]["images"] = {"schema_name": "images", "tables": {}}
    own = Target("images", "Photo", "RID", "ermrest_rid")
    role = Target("deriva-ml", "Asset_Role", "Name")
    add(
        both,
        documents.asset("images", "Photo"),
        documents.association("demo", [Target("deriva-ml", "Asset_Type", "Name"), own], name="Kinds"),
        documents.association("demo", [EXECUTION, own], name="Used", references=[(role, False)]),
    )
    table = assets.asset_table(Known(both), "Photo")
    assert (table.type_schema, table.type_table, table.type_asset_column) == ("demo", "Kinds", "Photo")
    assert (table.execution_table, table.execution_asset_column) == ("Used", "Photo")


def test_an_asset_table_without_associations_is_named(both: dict[str, Any]) -> None:
    with pytest.raises(DerivaMLSchemaError, match="WWW:File"):
        assets.asset_table(Known(both), ("WWW", "File"))


def test_features_of_the_older_generation_refer_to_names(older: dict[str, Any]) -> None:
    add(
        older,
        named_table(),
        documents.association("demo", [EXECUTION, NAMED, FEATURE_NAME], name="X", defaults={"Feature_Name": "Old"}),
    )
    feature = features.lookup_feature(Known(older), "Named", "Old")
    assert (feature.target_column, feature.target_referenced_column) == ("Named", "Name")


@pytest.mark.parametrize("broken", ["no default", "not in key", "no key"])
def test_what_is_no_feature_table(both: dict[str, Any], broken: str) -> None:
    table = documents.association(
        "demo",
        [EXECUTION, NAMED, FEATURE_NAME],
        name="X",
        defaults={} if broken == "no default" else {"Feature_Name": "F"},
        columns=[documents.column("free", "text")],
    )
    if broken == "not in key":
        table["keys"][1]["unique_columns"] = ["Execution", "Named", "free"]
    if broken == "no key":
        del table["keys"][1]
    add(both, named_table(), table)
    assert features.find_features(Known(both), "Named") == []


def test_element_types(both: dict[str, Any], older: dict[str, Any]) -> None:
    for document in (both, older):
        add(document, named_table(), documents.association("demo", [DATASET, NAMED]))
        assert {t.name for t in element_types(Known(document))} == {"Named", "Dataset"}


@pytest.mark.parametrize(
    ("typename", "wanted", "stored", "same"),
    [
        ("float4", 0.123456789, 0.12345679, True),
        ("float8", 0.123456789, 0.12345679, False),
        ("float8", 1, 1.0, True),
        ("int4", "5", 5, True),
        ("int4", 5, 6, False),
        ("boolean", "t", True, True),
        ("boolean", 0, False, True),
        ("text", "", None, False),
        ("text", None, None, True),
        ("text", None, "", False),
        ("text", "a", "a ", False),
        ("date", "2026-01-02", "2026-01-02", True),
        ("timestamptz", "2026-01-02T03:00:00Z", "2026-01-02T04:00:00+01:00", True),
        ("timestamptz", "2026-01-02T03:00:00Z", "2026-01-02T03:00:01+00:00", False),
        ("timestamp", "2026-01-02", "2026-01-02T00:00:00", True),
        ("int4", "no number", 5, False),
    ],
)
def test_values_that_are_the_same(typename: str, wanted: object, stored: object, same: bool) -> None:
    assert same_value(typename, wanted, stored) is same
