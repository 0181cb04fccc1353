"""The catalog that the chapter writes of: its tables, terms, datasets and RIDs, beside the shared lab."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect.catalog import datasets
from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.catalog.dataset_members import add_members
from deriva_ml_prefect.catalog.objects import upload_object
from deriva_ml_prefect.catalog.rows import insert_rows, lease_rids, new_token
from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.journal.store import close_journals
from deriva_ml_prefect.ml.creation import create_ml_catalog
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.transfer.hashing import hash_file
from deriva_ml_prefect.values.objects import object_path
from deriva_ml_prefect.values.version import DatasetVersion

SUBJECT = "1-SBJ"


@pytest.fixture(scope="session")
def eye_catalog(lab: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Id of the chapter's catalog: datasets 1-ABC and 1-DEF, asset 2-GHI, images 1-IMG1 and 1-IMG2."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DERIVA_ML_HOME", str(lab.home))
        catalog_id = str(create_ml_catalog("embedded", "eye").catalog_id)
        _fill(DerivaML("embedded", catalog_id), tmp_path_factory.mktemp("eye-files"))
        close_journals()
    return catalog_id


def _fill(ml: DerivaML, folder: Path) -> None:
    from deriva.core.ermrest_model import Column, ForeignKey, Table, builtin_types

    name = Column.define("Name", builtin_types.text)
    ml.model.schemas["eye"].create_table(Table.define("Subject", [name], comment="Persons"))
    ml.refresh_schema()
    columns: list[Any] = [
        {"name": name, "type": {"typename": kind}, "nullok": True, "default": None, "comment": None}
        for name, kind in (("Subject", "text"), ("Acquisition_Date", "date"), ("Acquisition_Time", "text"))
    ]
    subject = ForeignKey.define(["Subject"], "eye", "Subject", ["RID"])
    ml.create_asset("Image", columns, fkey_defs=[subject], comment="Pictures of eyes")
    ml.create_asset("Model", comment="Trained models")
    for term in ("Segmentation_Mask", "Derived"):
        ml.add_term("Asset_Type", term, term)
    ml.create_vocabulary("Glaucoma_Grade", "How bad it is")
    for term in ("Mild", "Severe"):
        ml.add_term("Glaucoma_Grade", term, term)
    ml.create_feature("Image", "Glaucoma_Grade", terms=["Glaucoma_Grade"])
    ml.add_dataset_element_type("Image")
    catalog = ml._catalog
    insert_rows(catalog, ("eye", "Subject"), [{"RID": SUBJECT, "Name": "A"}], nondefaults=["RID"])
    for rid in ("1-IMG1", "1-IMG2"):
        _asset(catalog, "Image", rid, folder)
    _asset(catalog, "Model", "2-GHI", folder)
    for rid, version, kinds in (("1-ABC", "1.0.0", ["Training"]), ("1-DEF", "2.1.0", ["Testing"])):
        first, last = lease_rids(catalog, [new_token(), new_token()])
        datasets.create_dataset(catalog, rid, version_rid=first, types=kinds, description=rid)
        add_members(catalog, rid, {"Image": ["1-IMG1", "1-IMG2"]})
        datasets.add_version(catalog, rid, last, version=DatasetVersion.parse(version))


def _asset(catalog: Catalog, table: str, rid: str, folder: Path) -> None:
    file = folder / f"{rid}.bin"
    file.write_bytes(rid.encode() * 100)
    facts = hash_file(file)
    url = upload_object(catalog, file, object_path(table, facts.md5_hex, file.name), facts)
    row = {"RID": rid, "URL": url, "Filename": file.name, "Length": facts.length, "MD5": facts.md5_hex}
    assert base64.b64decode(facts.md5_base64) == hashlib.md5(file.read_bytes()).digest()
    insert_rows(catalog, ("eye", table), [row], nondefaults=["RID"])


@pytest.fixture
def eye(eye_catalog: str, home: Path) -> DerivaML:
    """The chapter's catalog, opened with a home of the test's own."""
    return DerivaML("embedded", eye_catalog)


@pytest.fixture
def workflow(ml: DerivaML) -> Workflow:
    return ml.create_workflow("Statements", "Training", "Runs of the tests")


@pytest.fixture
def begin(ml: DerivaML, workflow: Workflow) -> Callable[..., Execution]:
    """Create an execution in the lab; keywords go to its configuration."""

    def create(**values: Any) -> Execution:
        return ml.create_execution(ExecutionSpec(workflow=workflow, **values))

    return create
