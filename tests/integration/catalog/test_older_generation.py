"""The life of an execution in a catalog that has the schema of deriva-ml 1.17.10."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from deriva_ml_prefect.catalog import assets, datasets, documents, executions, features, vocabulary, workflows
from deriva_ml_prefect.catalog.connection import Catalog, connect_server, open_catalog
from deriva_ml_prefect.catalog.creation.description import schema_documents
from deriva_ml_prefect.catalog.rows import get_rows, insert_rows, lease_rids, new_token
from deriva_ml_prefect.catalog.tables import create_tables
from deriva_ml_prefect.config.settings import Settings
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.exceptions import (
    DerivaMLCatalogConflict,
    DerivaMLInvalidTerm,
    DerivaMLSchemaError,
    DerivaMLWorkflowError,
)
from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.status import ExecutionStatus as S


def without(table: dict[str, Any], *columns: str, references: bool = True) -> None:
    """Leave out foreign keys from these columns, and the columns too where `references` is not all."""
    table["foreign_keys"] = [
        f for f in table["foreign_keys"] if f["foreign_key_columns"][0]["column_name"] not in columns
    ]
    if references:
        table["column_definitions"] = [c for c in table["column_definitions"] if c["name"] not in columns]


def older_schema() -> dict[str, Any]:
    document = copy.deepcopy(schema_documents("demo"))
    tables = document["schemas"]["deriva-ml"]["tables"]
    for name in ("Execution_Status", "Workflow_Workflow_Type", "Execution_Execution", "Directory_Dataset"):
        del tables[name]
    without(tables["Execution"], "Status", references=False)
    without(tables["Execution"], "Execution_Duration", "Download_Duration", "Upload_Duration")
    without(tables["Dataset_Version"], "Minid_Spec_Hash")
    without(tables["Dataset_Execution"], "Dataset_Version")
    for column in tables["Workflow"]["column_definitions"]:
        if column["name"] == "Workflow_Type":
            column["nullok"] = False
    return document


@pytest.fixture(scope="module")
def older(settings: Settings) -> Catalog:
    client = connect_server("embedded", settings)
    number = client.request("POST", "/ermrest/catalog", expect=(201,)).json()["id"]
    client.close()
    catalog = open_catalog(Address("embedded", number), settings=settings)
    catalog.client.request("POST", catalog.path("schema"), json=older_schema(), expect=(201,))
    for table, terms in {
        "Workflow_Type": ["Training"],
        "Asset_Type": ["File"],
        "Asset_Role": ["Input", "Output"],
        "Dataset_Type": ["File"],
    }.items():
        for term in terms:
            vocabulary.add_term(catalog, ("deriva-ml", table), term)
    return catalog


@pytest.fixture
def execution(older: Catalog) -> str:
    (rid,) = lease_rids(older, [new_token()])
    return executions.insert_execution(older, rid, workflow_rid=None, description=f"run {rid}").rid


def test_workflows_have_one_type(older: Catalog) -> None:
    one, two = lease_rids(older, [new_token(), new_token()])
    code = Workflow(name="w", workflow_type=["Training"], url="u:1", checksum="1")
    workflows.insert_workflow(older, one, code)
    found = workflows.find_workflow(older, url=None, checksum="1")
    assert found is not None
    assert (found.rid, found.workflow_types) == (one, ("Training",))
    with pytest.raises(DerivaMLWorkflowError, match="type"):
        workflows.insert_workflow(older, two, Workflow(name="w", url="u:2", checksum="2"))


def test_the_whole_life_is_told_in_the_older_words(older: Catalog, execution: str) -> None:
    stored = []
    steps = [S.Created, S.Running, S.Stopped, S.Pending_Upload, S.Failed, S.Pending_Upload, S.Uploaded]
    for target in steps[1:]:
        record = executions.read_execution(older, execution)
        assert record is not None
        assert executions.swap_status(older, execution, record.stored_status, target, f"now {target}")
        after = executions.read_execution(older, execution)
        assert after is not None
        assert (after.status, after.status_detail) == (target, f"now {target}")
        assert execution in [r.rid for r in executions.list_executions(older, status=target)]
        stored.append(after.stored_status)
    assert stored == ["Running", "Completed", "Running", "Failed", "Running", "Completed"]
    durations = {"execution": "0.0H 0.0min 1.0sec", "upload": "x"}
    assert executions.swap_status(older, execution, stored[-1], S.Uploaded, "there", durations=durations)
    last = executions.read_execution(older, execution)
    assert last is not None
    assert last.durations == {"execution": "0.0H 0.0min 1.0sec"}


def test_what_the_older_schema_cannot_hold(older: Catalog, execution: str) -> None:
    with pytest.raises(DerivaMLSchemaError, match="Execution_Execution"):
        executions.link_nested(older, execution, execution)
    assert executions.list_nested(older, execution) == []


def test_datasets_assets_and_features(older: Catalog, execution: str) -> None:
    subject = documents.table_document(
        "demo", "Subject", columns=[documents.column("Name", "text", nullok=False)], keys=[documents.key(["Name"])]
    )
    by_name = documents.association(
        "demo",
        [
            documents.Target("deriva-ml", "Dataset", "RID", "ermrest_rid"),
            documents.Target("demo", "Subject", "Name"),
        ],
    )
    create_tables(older, [subject, by_name])
    rids = [row["RID"] for row in insert_rows(older, ("demo", "Subject"), [{"Name": "one"}, {"Name": "two"}])]
    dataset, version = lease_rids(older, [new_token(), new_token()])
    made = datasets.create_dataset(older, dataset, version_rid=version, types=["File"], execution_rid=execution)
    assert datasets.add_members(older, dataset, {"Subject": rids}) == 2
    assert [row["RID"] for row in datasets.list_members(older, dataset)["Subject"]] == rids
    assert [row["Subject"] for row in get_rows(older, "entity/demo:Dataset_Subject@sort(Subject)")] == ["one", "two"]
    executions.link_input_datasets(older, execution, [(dataset, made.rid)])
    assert executions.list_input_datasets(older, execution) == [(dataset, None)]
    table = assets.create_asset_table(older, "Image")
    row = {"URL": "/hatrac/Image/1.a:1", "Filename": "a", "Length": 1, "MD5": "1" * 32}
    stored = assets.insert_asset_rows(older, table, [row])
    assets.link_assets(older, table, execution, stored.values())
    assert [a.filename for a in assets.list_assets(older, table, execution_rid=execution)] == ["a"]
    feature = features.create_feature(older, "Subject", "Size", metadata=[documents.column("Value", "int4")])
    values = [{"Execution": execution, "Subject": rid, "Value": 1} for rid in rids]
    assert features.insert_feature_rows(older, feature, values) == 2


def test_terms_that_the_older_release_did_not_have(older: Catalog) -> None:
    assert "Deriva_Config" not in {term.name for term in vocabulary.list_terms(older, "Asset_Type")}
    table = assets.asset_table(older, "Execution_Metadata")
    row = {"URL": "/hatrac/Execution_Metadata/1.c:1", "Filename": "c", "Length": 1, "MD5": "1" * 32}
    (rid,) = assets.insert_asset_rows(older, table, [row]).values()
    assets.insert_asset_types(older, table, [(rid, "Deriva_Config")])
    (found,) = assets.list_assets(older, table)
    assert found.asset_types == ("Deriva_Config",)
    with pytest.raises(DerivaMLCatalogConflict):
        assets.insert_asset_types(older, table, [(rid, "No_Such_Type")])
    assert vocabulary.require_terms(older, "Asset_Type", ["Metrics_File"])["Metrics_File"].description
    with pytest.raises(DerivaMLInvalidTerm):
        vocabulary.require_terms(older, "Asset_Type", ["No_Such_Type"])
