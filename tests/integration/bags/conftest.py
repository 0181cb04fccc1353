"""An embedded DERIVA with a catalog that holds a small study, spoken to over real HTTP."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deriva_ml_prefect.catalog import assets, datasets, executions, features, vocabulary, workflows
from deriva_ml_prefect.catalog.connection import Catalog, open_catalog
from deriva_ml_prefect.catalog.creation.create import create_ml_catalog
from deriva_ml_prefect.catalog.dataset_members import add_element_type, add_members
from deriva_ml_prefect.catalog.documents import Target, column, key, reference, table_document
from deriva_ml_prefect.catalog.embedded_server import find_running
from deriva_ml_prefect.catalog.objects import upload_object
from deriva_ml_prefect.catalog.rows import insert_rows, lease_rids, new_token
from deriva_ml_prefect.catalog.tables import create_tables
from deriva_ml_prefect.config.settings import Settings
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.transfer.hashing import hash_file
from deriva_ml_prefect.values.names import ExecMetadataType, MLVocab
from deriva_ml_prefect.values.objects import content_disposition, object_path
from deriva_ml_prefect.values.records import DatasetVersionRecord, FeatureDefinition
from deriva_ml_prefect.values.status import ExecutionStatus
from deriva_ml_prefect.values.version import DatasetVersion

IMAGES = 50


@dataclass(frozen=True)
class Study:
    """What the catalog holds: a dataset of 50 images in two nested datasets, labelled by an execution."""

    settings: Settings
    catalog: Catalog
    record: DatasetVersionRecord
    nested: tuple[str, str]
    execution: str
    images: dict[str, bytes]
    """RID → bytes."""
    names: dict[str, str]
    """RID → file name."""
    feature: FeatureDefinition
    labels: dict[str, str]
    """Image RID → grade."""

    def again(self) -> Catalog:
        """The catalog as another process opens it, with a counter of its own."""
        return open_catalog(self.catalog.address, settings=self.settings)


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    home = tmp_path_factory.mktemp("bags-home")
    command = [sys.executable, "-m", "deriva_ml_prefect.embedded", "--data", str(home / "embedded")]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            if find_running(home / "embedded"):
                break
            try:
                server.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
            raise RuntimeError("the embedded DERIVA did not start")
        yield Settings(home=home, timeout=30, retries=2)
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture
def lab(settings: Settings, tmp_path: Path) -> Settings:
    """The same server, seen from a machine with an empty cache."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "embedded").symlink_to(settings.embedded)
    return Settings(home=tmp_path / "home", timeout=settings.timeout, retries=settings.retries)


@pytest.fixture(scope="session")
def study(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("files")
    catalog = open_catalog(create_ml_catalog("embedded", "demo", settings=settings), settings=settings)
    subjects = _subjects(catalog)
    execution = _execution(catalog)
    images, names = _images(catalog, folder, execution, subjects)
    vocabulary.create_vocabulary(catalog, "Grade", "How ill")
    for grade in ("Mild", "Severe", "Unused, with comma"):
        vocabulary.add_term(catalog, "Grade", grade, f"It is {grade}", synonyms=[grade.lower(), 'a "quoted", one'])
    feature = features.create_feature(
        catalog, "Image", "Diagnosis", terms=["Grade"], metadata=[column("Confidence", "float4")]
    )
    labels = {rid: ("Mild", "Severe")[i % 2] for i, rid in enumerate(images)}
    features.insert_feature_rows(
        catalog,
        feature,
        [{"Execution": execution, "Image": rid, "Grade": g, "Confidence": 0.25} for rid, g in labels.items()],
    )
    _metrics(catalog, folder, execution)
    add_element_type(catalog, "Image")
    rids = list(images)
    parent, first, second = (_dataset(catalog, kind, execution) for kind in ("Complete", "Training", "Testing"))
    add_members(catalog, first.dataset_rid, {"Image": rids[:30]})
    add_members(catalog, second.dataset_rid, {"Image": rids[30:]})
    add_members(catalog, parent.dataset_rid, {"Dataset": [first.dataset_rid, second.dataset_rid], "Image": rids[:3]})
    version_rid = lease_rids(catalog, [new_token()])[0]
    record = datasets.add_version(
        catalog, parent.dataset_rid, version_rid, version=DatasetVersion(1), execution_rid=execution
    )
    return Study(
        settings, catalog, record, (first.dataset_rid, second.dataset_rid), execution, images, names, feature, labels
    )


def _dataset(catalog: Catalog, kind: str, execution: str) -> DatasetVersionRecord:
    rid, version_rid = lease_rids(catalog, [new_token(), new_token()])
    return datasets.create_dataset(
        catalog, rid, version_rid=version_rid, types=[kind], description=f"{kind} set", execution_rid=execution
    )


def _subjects(catalog: Catalog) -> list[str]:
    """Plain rows with values that CSV could lose, of which each names another one."""
    peer, fkey = reference("Subject", "Peer", Target("demo", "Subject", "RID"), nullok=True)
    columns = [column("Name", "text", nullok=False), column("Age", "int4"), column("Note", "markdown"),
               column("Well", "boolean"), column("Tags", "text[]"), column("Facts", "jsonb"), peer]  # fmt: skip
    create_tables(
        catalog, [table_document("demo", "Subject", columns=columns, keys=[key(["Name"])], foreign_keys=[fkey])]
    )
    empty = {"Peer": None}
    rows = [
        {"Name": "S,1", "Age": 7, "Note": 'line one\nline "two"', "Well": True, "Tags": ["a b", 'q"x', ""], **empty},
        {"Name": "S2", "Age": None, "Note": "", "Well": False, "Tags": [], "Facts": {"k": [1, None, "ü"]}, **empty},
        {"Name": "NULL", "Age": 0, "Note": None, "Well": None, "Tags": ["NULL", "{}"], **empty},
    ]
    first = [row["RID"] for row in insert_rows(catalog, ("demo", "Subject"), rows)]
    last = insert_rows(catalog, ("demo", "Subject"), [{"Name": "S4", "Peer": first[1], "Tags": None}])
    return [first[0], last[0]["RID"]]


def _execution(catalog: Catalog) -> str:
    workflow, execution = lease_rids(catalog, [new_token(), new_token()])
    described = Workflow(name="Label", workflow_type=["Analysis"], url="https://git.example/x", checksum="1")
    workflows.insert_workflow(catalog, workflow, described)
    executions.insert_execution(
        catalog, execution, workflow_rid=workflow, description="labels", status=ExecutionStatus.Uploaded
    )
    return execution


def _images(
    catalog: Catalog, folder: Path, execution: str, subjects: list[str]
) -> tuple[dict[str, bytes], dict[str, str]]:
    table = assets.create_asset_table(catalog, "Image", referenced_tables=["Subject"])
    rows: list[dict[str, object]] = []
    contents: dict[str, tuple[str, bytes]] = {}
    special = ["-dash%0A name.png", "naïve 😀.png", "same.png", "same.png", "no ending", "a;b?c#d&e.png"]
    for i in range(IMAGES):
        name = special[i] if i < len(special) else f"scan_{i:02d}.png"
        data = b"" if i == 49 else f"image {i}".encode() * (i + 1)
        rows.append({**_stored(catalog, folder, "Image", name, data), "Subject": subjects[i % 2]})
        contents[str(rows[-1]["URL"])] = (name, data)
    rids = assets.insert_asset_rows(catalog, table, rows)
    assets.insert_asset_types(catalog, table, [(rid, "Image") for rid in rids.values()])
    assets.link_assets(catalog, table, execution, rids.values())
    return (
        {rid: contents[url][1] for url, rid in rids.items()},
        {rid: contents[url][0] for url, rid in rids.items()},
    )


def _metrics(catalog: Catalog, folder: Path, execution: str) -> None:
    vocabulary.require_terms(catalog, MLVocab.asset_type, [ExecMetadataType.metrics_file])
    table = assets.asset_table(catalog, "Execution_Metadata")
    kinds = {"metrics.jsonl": ExecMetadataType.metrics_file, "uv.lock": ExecMetadataType.execution_config}
    for name, kind in kinds.items():
        row = _stored(catalog, folder, "Execution_Metadata", name, b'{"epoch": 1, "loss": 0.5}\n')
        rids = assets.insert_asset_rows(catalog, table, [row])
        assets.insert_asset_types(catalog, table, [(rid, kind) for rid in rids.values()])
        assets.link_assets(catalog, table, execution, rids.values())


def _stored(catalog: Catalog, folder: Path, table: str, name: str, data: bytes) -> dict[str, object]:
    file = folder / name
    file.write_bytes(data)
    facts = hash_file(file)
    path = object_path(table, facts.md5_hex, name)
    url = upload_object(catalog, file, path, facts, disposition=content_disposition(name))
    return {"URL": url, "Filename": name, "Length": facts.length, "MD5": facts.md5_hex}
