"""Which rows a dataset takes with it, where there are more of them than one path can name."""

from __future__ import annotations

from pathlib import Path

import pytest

from deriva_ml_prefect.bags import read
from deriva_ml_prefect.bags.export import export_dataset
from deriva_ml_prefect.catalog import datasets
from deriva_ml_prefect.catalog.connection import Catalog, open_catalog
from deriva_ml_prefect.catalog.creation.create import create_ml_catalog
from deriva_ml_prefect.catalog.dataset_members import add_element_type, add_members
from deriva_ml_prefect.catalog.documents import Target, column, reference, table_document
from deriva_ml_prefect.catalog.rows import get_rows, insert_rows, lease_rids, new_token
from deriva_ml_prefect.catalog.tables import create_tables
from deriva_ml_prefect.config.settings import Settings
from deriva_ml_prefect.values.version import VersionPart

SAMPLES = 1000


@pytest.fixture(scope="module")
def catalog(settings: Settings) -> Catalog:
    made = open_catalog(create_ml_catalog("embedded", "demo", settings=settings), settings=settings)
    site, donor = "Site", "Donor of, samples"
    at_site = reference(donor, "Site", Target("demo", site, "RID"), nullok=True)
    of_donor = reference("Sample", "Donor", Target("demo", donor, "RID"))
    follows = reference("Sample", "Follows", Target("demo", "Sample", "RID"), nullok=True)
    create_tables(
        made,
        [
            table_document("demo", site, columns=[column("Name", "text")]),
            table_document("demo", donor, columns=[at_site[0]], foreign_keys=[at_site[1]]),
            table_document("demo", "Sample", columns=[of_donor[0], follows[0]], foreign_keys=[of_donor[1], follows[1]]),
            table_document("demo", "Elsewhere", columns=[column("Name", "text")]),
        ],
    )
    sites = [row["RID"] for row in insert_rows(made, ("demo", site), [{"Name": "a"}, {"Name": "b"}])]
    donors = insert_rows(made, ("demo", donor), [{"Site": sites[0]} for _ in range(SAMPLES + 50)])
    samples = insert_rows(made, ("demo", "Sample"), [{"Donor": row["RID"]} for row in donors])
    insert_rows(made, ("demo", "Sample"), [{"Donor": donors[0]["RID"], "Follows": samples[-1]["RID"]}])
    return made


def test_joins_bring_what_many_rows_refer_to(catalog: Catalog, tmp_path: Path) -> None:
    add_element_type(catalog, "Sample")
    samples = get_rows(catalog, "entity/demo:Sample@sort(RID)")
    chain = next(row for row in samples if row["Follows"])
    chosen = [row["RID"] for row in samples[:SAMPLES]] + [chain["RID"]]
    rid, version = lease_rids(catalog, [new_token(), new_token()])
    record = datasets.create_dataset(catalog, rid, version_rid=version)
    add_members(catalog, rid, {"Sample": chosen})
    version = lease_rids(catalog, [new_token()])[0]
    record = datasets.add_version(catalog, rid, version, version=record.version.raised(VersionPart.minor))
    before = catalog.client.requests
    bag = read.open_bag(export_dataset(catalog, record, tmp_path / "bag"))
    tables = read.list_tables(bag)
    assert catalog.client.requests - before <= len(tables) + 8
    here = {row["RID"] for row in read.table_rows(bag, "Sample")}
    assert here == {*chosen, chain["Follows"]}, "a row that a member refers to comes along, though it is no member"
    assert {row["RID"] for row in read.members(bag)["Sample"]} == set(chosen)
    donors = {row["RID"] for row in read.table_rows(bag, "Donor of, samples")}
    assert donors == {row["Donor"] for row in samples if row["RID"] in here}
    assert [row["Name"] for row in read.table_rows(bag, "Site")] == ["a"]
    assert "Elsewhere" not in tables
