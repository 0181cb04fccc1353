"""Datasets, versions and members, now and at a snapshot."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deriva_ml_prefect.catalog import datasets, documents, executions
from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.catalog.rows import get_rows, insert_rows, lease_rids, new_token, update_rows
from deriva_ml_prefect.catalog.tables import create_tables
from deriva_ml_prefect.exceptions import (
    DerivaMLCatalogConflict,
    DerivaMLCycleError,
    DerivaMLDatasetNotFound,
    DerivaMLTableTypeError,
)
from deriva_ml_prefect.values.version import DatasetVersion, VersionPart


@pytest.fixture(scope="module")
def subjects(shared: Catalog) -> list[str]:
    tables = [
        documents.table_document("demo", name, columns=[documents.column("Name", "text")])
        for name in ("Subject", "Eye")
    ]
    create_tables(shared, tables)
    datasets.add_element_type(shared, "Subject")
    return [row["RID"] for row in insert_rows(shared, ("demo", "Subject"), [{"Name": f"s{i}"} for i in range(30)])]


def new_dataset(catalog: Catalog, **further: object) -> str:
    rid, version_rid = lease_rids(catalog, [new_token(), new_token()])
    datasets.create_dataset(catalog, rid, version_rid=version_rid, **further)
    return rid


def raise_minor(catalog: Catalog, rid: str) -> None:
    (version_rid,) = lease_rids(catalog, [new_token()])
    current = datasets.resolve_version(catalog, rid).version
    datasets.add_version(catalog, rid, version_rid, version=current.raised(VersionPart.minor))


def test_the_association_is_as_recorded(shared: Catalog, subjects: list[str]) -> None:
    table = shared.model["schemas"]["demo"]["tables"]["Dataset_Subject"]
    assert [c["name"] for c in table["column_definitions"]][5:] == ["Dataset", "Subject"]
    assert {k["names"][0][1] for k in table["keys"]} >= {"Dataset_Subject_assoc_key"}
    assert {t.name for t in datasets.element_types(shared)} >= {"Subject", "Dataset"}
    assert datasets.add_element_type(shared, "Subject").name == "Dataset_Subject"
    with pytest.raises(DerivaMLTableTypeError):
        datasets.add_element_type(shared, "Workflow")


def test_create_again_changes_nothing(shared: Catalog, subjects: list[str]) -> None:
    rid, version_rid, execution = lease_rids(shared, [new_token() for _ in range(3)])
    executions.insert_execution(shared, execution, workflow_rid=None, description="maker")
    first = datasets.create_dataset(
        shared, rid, version_rid=version_rid, types=["Training", "Labeled"], description="d", execution_rid=execution
    )
    second = datasets.create_dataset(
        shared, rid, version_rid=version_rid, types=["Training", "Labeled"], description="d", execution_rid=execution
    )
    assert first == second
    assert first.snapshot
    assert first.execution_rid == execution
    record = datasets.read_dataset(shared, rid)
    assert record.dataset_types == ("Labeled", "Training")
    assert record.current_version == DatasetVersion(0, 1, 0)
    assert record in datasets.list_datasets(shared)
    # the snapshot holds the dataset with its current version
    (then,) = get_rows(shared, f"entity/deriva-ml:Dataset/RID={rid}", snapshot=first.snapshot)
    assert then["Version"] == version_rid


def test_members_at_a_version_and_now(shared: Catalog, subjects: list[str]) -> None:
    rid = new_dataset(shared, description="grows")
    assert datasets.add_members(shared, rid, {"Subject": subjects[:10]}) == 10
    raise_minor(shared, rid)
    assert datasets.add_members(shared, rid, {"Subject": subjects[5:20]}) == 10
    raise_minor(shared, rid)
    update_rows(shared, ("demo", "Subject"), [{"RID": subjects[0], "Name": "renamed"}])
    versions = datasets.read_versions(shared, rid)
    assert [str(v.version) for v in versions] == ["0.1.0", "0.2.0", "0.3.0"]
    counts = [len(datasets.list_members(shared, rid, snapshot=v.snapshot)["Subject"]) for v in versions]
    assert counts == [0, 10, 20]
    old = {
        row["RID"]: row["Name"] for row in datasets.list_members(shared, rid, snapshot=versions[1].snapshot)["Subject"]
    }
    assert old[subjects[0]] == "s0"
    datasets.remove_members(shared, rid, {"Subject": subjects[:19]})
    datasets.remove_members(shared, rid, {"Subject": subjects[:19]})
    assert [row["RID"] for row in datasets.list_members(shared, rid)["Subject"]] == [subjects[19]]


def test_members_of_a_table_younger_than_the_snapshot(catalog: Catalog) -> None:
    rid = new_dataset(catalog)
    create_tables(catalog, [documents.table_document("demo", "Late", columns=[documents.column("Name", "text")])])
    datasets.add_element_type(catalog, "Late")
    snapshot = datasets.resolve_version(catalog, rid).snapshot
    assert datasets.list_members(catalog, rid, snapshot=snapshot)["Late"] == []


def test_nested_datasets(shared: Catalog, subjects: list[str]) -> None:
    top, middle, low = (new_dataset(shared, description=name) for name in ("top", "middle", "low"))
    datasets.add_members(shared, top, {"Dataset": [middle]})
    datasets.add_members(shared, middle, {"Dataset": [low], "Subject": subjects[:2]})
    datasets.add_members(shared, low, {"Subject": subjects[1:4]})
    assert datasets.list_descendants(shared, top) == [middle, low]
    assert datasets.list_children(shared, top) == [middle]
    assert datasets.list_parents(shared, low) == [middle]
    members = datasets.list_members(shared, top, recurse=True)
    assert [row["RID"] for row in members["Subject"]] == sorted(subjects[:4], key=subjects.index)
    assert {row["RID"] for row in members["Dataset"]} == {middle, low}
    for inner in (top, middle, low):
        with pytest.raises(DerivaMLCycleError):
            datasets.add_members(shared, low, {"Dataset": [inner]})


def test_members_that_cannot_be(shared: Catalog, subjects: list[str]) -> None:
    rid = new_dataset(shared)
    with pytest.raises(DerivaMLTableTypeError, match="add_dataset_element_type"):
        datasets.add_members(shared, rid, {"Eye": []})
    with pytest.raises(DerivaMLCatalogConflict):
        datasets.add_members(shared, rid, {"Subject": [rid]})


def test_versions_that_are_not_there(shared: Catalog, subjects: list[str]) -> None:
    rid = new_dataset(shared)
    assert datasets.resolve_version(shared, rid, "0.1.0") == datasets.resolve_version(shared, rid)
    with pytest.raises(DerivaMLDatasetNotFound, match=r"It has: 0\.1\.0"):
        datasets.resolve_version(shared, rid, "9.0.0")
    with pytest.raises(DerivaMLDatasetNotFound):
        datasets.resolve_version(shared, subjects[0])


def test_one_version_number_twice_is_a_conflict(shared: Catalog, subjects: list[str]) -> None:
    rid = new_dataset(shared)
    one, two = lease_rids(shared, [new_token(), new_token()])
    version = DatasetVersion(1)
    made = datasets.add_version(shared, rid, one, version=version)
    assert datasets.add_version(shared, rid, one, version=version) == made
    with pytest.raises(DerivaMLCatalogConflict):
        datasets.add_version(shared, rid, two, version=version)
    assert datasets.resolve_version(shared, rid) == made


def test_a_development_version_is_not_the_current_one(shared: Catalog, subjects: list[str]) -> None:
    rid = new_dataset(shared)
    insert_rows(shared, ("deriva-ml", "Dataset_Version"), [{"Dataset": rid, "Version": "0.1.0.post1.dev1"}])
    versions = datasets.read_versions(shared, rid)
    assert [v.snapshot is None for v in versions] == [False, True]
    assert datasets.resolve_version(shared, rid) == versions[0]


def test_deleted_datasets_are_not_listed(shared: Catalog, subjects: list[str]) -> None:
    rid = new_dataset(shared)
    before = datasets.read_dataset(shared, rid)
    datasets.mark_deleted(shared, rid)
    assert rid not in [d.rid for d in datasets.list_datasets(shared)]
    assert replace(before, deleted=True) in datasets.list_datasets(shared, deleted=True)
