"""Models as deriva-py builds, configures, alters and drops them; each change is read back from a fresh model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
import requests
from deriva.core import ErmrestCatalog, urlquote
from deriva.core.ermrest_model import (
    ArrayType,
    Column,
    DomainType,
    ForeignKey,
    Key,
    Model,
    Schema,
    Table,
    UpdateMappings,
    builtin_types,
)

from .study import build_study

TAG = "tag:tour,2026:mark"
VISIBLE = "tag:isrd.isi.edu,2016:visible-columns"


def study(catalog: ErmrestCatalog) -> Any:
    """The schema `study`, read anew."""
    return catalog.getCatalogModel().schemas["study"]


def test_every_builtin_type_is_stored(catalog: ErmrestCatalog) -> None:
    schema = catalog.getCatalogModel().create_schema(Schema.define("types"))
    names = [name for name in list(builtin_types.keys()) if not name.startswith("ermrest_r")]
    schema.create_table(Table.define("Every", [Column.define(f"c {name}", builtin_types[name]) for name in names]))
    table = catalog.getCatalogModel().schemas["types"].tables["Every"]
    for name in names:
        kept, meant = table.columns[f"c {name}"].type, builtin_types[name]
        assert kept.prejson() == meant.prejson(), name
        assert isinstance(kept, DomainType) == isinstance(meant, DomainType)
        assert isinstance(kept, ArrayType) == isinstance(meant, ArrayType)
    rid = table.columns["RID"].type
    assert rid.prejson() == {
        "typename": "ermrest_rid", "is_domain": True, "base_type": {"typename": "text"}
    }  # fmt: skip


def test_a_schema_from_first_to_last(catalog: ErmrestCatalog) -> None:
    model = catalog.getCatalogModel()
    made = model.create_schema(
        Schema.define("ä b", comment="first", acls={"select": ["*"]}, annotations={TAG: {"n": 1}})
    )
    assert (made.name, made.comment, made.annotations) == ("ä b", "first", {TAG: {"n": 1}})
    assert made.acls["select"] == ["*"]
    with pytest.raises(ValueError, match="already exists"):
        model.create_schema(Schema.define("ä b"))
    made.alter(schema_name="new name", comment="second", acls={}, annotations={})
    fresh = catalog.getCatalogModel().schemas["new name"]
    assert (fresh.comment, fresh.annotations, dict(fresh.acls)) == ("second", {}, {})
    assert "ä b" not in catalog.getCatalogModel().schemas
    www = model.create_schema(Schema.define_www("wiki"))
    assert set(www.tables) == {"Page", "File"}
    fresh.create_table(Table.define("Inside"))
    with pytest.raises(requests.HTTPError) as full:
        catalog.getCatalogModel().schemas["new name"].drop()
    assert full.value.response.status_code == 409
    catalog.getCatalogModel().schemas["new name"].drop(cascade=True)
    assert "new name" not in catalog.getCatalogModel().schemas


def test_definitions_that_deriva_writes(catalog: ErmrestCatalog) -> None:
    model = catalog.getCatalogModel()
    schema = model.create_schema(Schema.define("kinds"))
    vocabulary = schema.create_table(Table.define_vocabulary("Colour", "KINDS:{RID}", comment="names of colours"))
    assert {"ID", "URI", "Name", "Description", "Synonyms"} <= {column.name for column in vocabulary.columns}
    asset = schema.create_table(Table.define_asset("kinds", "Image", column_defs=[("Colour", vocabulary)]))
    assert asset.columns["MD5"].nullok is False
    assert asset.columns["URL"].annotations
    assert asset.fkey_by_column_map({asset.columns["Colour"]: vocabulary.columns["Name"]})
    page = schema.create_table(Table.define_page("Page"))
    assert page.columns["Content"].type.typename == "markdown"
    pair = schema.create_table(
        Table.define_association([asset, vocabulary], [Column.define("Why", builtin_types.text)])
    )
    assert pair.is_association(pure=False) == 2
    assert not pair.is_association()
    assert [found.table.name for found in asset.find_associations(pure=False)] == [pair.name]
    columns, fkey = page.create_reference(("Cover", True, asset))
    assert [column.name for column in columns] == ["Cover"]
    assert fkey.pk_table.name == "Image"
    terms = catalog.getPathBuilder().kinds.Colour.insert(
        [{"Name": "red", "Description": "warm", "Synonyms": ["rouge", 'r,e"d']}], defaults={"ID", "URI"}
    )
    assert terms[0]["ID"] == f"KINDS:{terms[0]['RID']}"
    assert terms[0]["URI"] == f"/id/{terms[0]['RID']}"
    assert terms[0]["Synonyms"] == ["rouge", 'r,e"d']


def test_a_table_altered_and_dropped(catalog: ErmrestCatalog) -> None:
    build_study(catalog)
    other = catalog.getCatalogModel().create_schema(Schema.define("other"))
    table = study(catalog).tables["Tag"]
    rows = catalog.get("/entity/study:Tag@sort(RID)").json()
    table.alter(
        schema_name=other.name,
        table_name="Label",
        comment="moved",
        acls={"select": ["*"]},
        acl_bindings={"own": {"types": ["update"], "projection": ["RCB"], "projection_type": "acl"}},
        annotations={TAG: None},
        update_mappings=UpdateMappings.deferred,
    )
    fresh = catalog.getCatalogModel().schemas["other"].tables["Label"]
    assert (fresh.comment, fresh.annotations, dict(fresh.acls)) == ("moved", {TAG: None}, {"select": ["*"]})
    assert fresh.acl_bindings["own"]["projection"] == ["RCB"]
    assert catalog.get("/entity/other:Label@sort(RID)").json() == rows
    (reference,) = study(catalog).tables["Sample_Tag"].fkeys_by_columns(["Tag"])
    assert (reference.pk_table.schema.name, reference.pk_table.name) == ("other", "Label")
    with pytest.raises(requests.HTTPError) as used:
        fresh.drop()
    assert used.value.response.status_code == 409
    fresh.drop(cascade=True)
    assert "Label" not in catalog.getCatalogModel().schemas["other"].tables
    assert [
        f.pk_table.name for f in study(catalog).tables["Sample_Tag"].foreign_keys if f.pk_table.name == "Label"
    ] == []


def test_a_column_altered_and_dropped(catalog: ErmrestCatalog) -> None:
    build_study(catalog)
    table = study(catalog).tables["Subject"]
    made = table.create_column(
        Column.define("Height", builtin_types.int4, default=170, comment="cm", annotations={TAG: 1})
    )
    assert (made.default, made.comment, made.annotations) == (170, "cm", {TAG: 1})
    inserted = catalog.getPathBuilder().study.Subject.insert([{"Name": "tall"}], defaults={"Height"})
    assert inserted[0]["Height"] == 170
    catalog.put("/attributegroup/study:Subject/Name;Height", json=[{"Name": f"S{n}", "Height": 0} for n in range(4)])
    made.alter(
        name="Tall",
        type=builtin_types.text,
        nullok=False,
        default="?",
        comment=None,
        acls={"select": ["*"]},
        acl_bindings={"none": False},
        annotations={},
    )
    fresh = study(catalog).tables["Subject"].columns["Tall"]
    assert (fresh.type.typename, fresh.nullok, fresh.default, fresh.comment) == ("text", False, "?", None)
    assert dict(fresh.acls) == {"select": ["*"]}
    assert dict(fresh.acl_bindings) == {"none": False}
    assert catalog.get("/entity/study:Subject/Name=tall").json()[0]["Tall"] == "170"
    fresh.drop()
    assert "Tall" not in {c.name for c in study(catalog).tables["Subject"].columns}
    with pytest.raises(requests.HTTPError) as referenced:
        study(catalog).tables["Subject"].columns["Name"].drop()
    assert referenced.value.response.status_code == 409
    study(catalog).tables["Subject"].columns["Name"].drop(cascade=True)
    left = study(catalog).tables
    assert "Name" not in {c.name for c in left["Subject"].columns}
    assert not [f for f in left["Sample"].foreign_keys if f.pk_table.name == "Subject"]


def test_keys(catalog: ErmrestCatalog) -> None:
    build_study(catalog)
    table = study(catalog).tables["Sample"]
    made = table.create_key(Key.define(["Name", "Count"], constraint_name="pair", comment="both", annotations={TAG: 2}))
    assert (made.constraint_name, made.comment, made.annotations) == ("pair", "both", {TAG: 2})
    made.alter(constraint_name="couple", comment="two", annotations={})
    fresh = study(catalog).tables["Sample"].key_by_columns(["Count", "Name"])
    assert (fresh.constraint_name, fresh.comment, fresh.annotations) == ("couple", "two", {})
    with pytest.raises(requests.HTTPError) as repeated:
        table.create_key(Key.define(["Count"]))
    assert repeated.value.response.status_code == 409
    fresh.drop()
    assert study(catalog).tables["Sample"].key_by_columns(["Count", "Name"], raise_nomatch=False) is None


def test_foreign_keys(catalog: ErmrestCatalog) -> None:
    build_study(catalog)
    model = catalog.getCatalogModel()
    old = model.fkey(("study", "Sample_Subject_fkey"))
    old.drop()
    table = study(catalog).tables["Sample"]
    made = table.create_fkey(
        ForeignKey.define(
            ["Subject"],
            "study",
            "Subject",
            ["Name"],
            on_update="CASCADE",
            on_delete="SET NULL",
            comment="whose",
            acls={"insert": ["*"], "update": ["*"]},
            annotations={TAG: "x"},
            constraint_name="whose_fkey",
        )
    )
    assert (made.on_update, made.on_delete, made.comment) == ("CASCADE", "SET NULL", "whose")
    catalog.put("/attributegroup/study:Subject/old:=Name;new:=Name", json=[{"old": "S0", "new": "first"}])
    assert catalog.get("/aggregate/study:Sample/Subject=first/n:=cnt(*)").json() == [{"n": 4}]
    catalog.delete("/entity/study:Subject/Name=first")
    assert catalog.get("/aggregate/study:Sample/Subject::null::/n:=cnt(*)").json() == [{"n": 8}]
    made.alter(
        constraint_name="owner_fkey",
        on_update="NO ACTION",
        on_delete="CASCADE",
        comment=None,
        acls={"insert": ["*"], "update": []},
        acl_bindings={"mine": {"types": ["insert"], "projection": ["RCB"], "projection_type": "acl"}},
        annotations={},
    )
    fresh = catalog.getCatalogModel().fkey(("study", "owner_fkey"))
    assert (fresh.on_update, fresh.on_delete, fresh.comment) == ("NO ACTION", "CASCADE", None)
    assert dict(fresh.acls) == {"insert": ["*"], "update": []}
    assert set(fresh.acl_bindings) == {"mine"}
    subject = fresh.pk_table
    assert fresh.table.fkey_by_column_map({fresh.table.columns["Subject"]: subject.columns["Name"]}) is fresh
    assert {f.name for f in subject.referenced_by} >= {fresh.name}


def test_the_whole_model_is_applied_at_once(catalog: ErmrestCatalog) -> None:
    build_study(catalog)
    model = catalog.getCatalogModel()
    model.annotations[TAG] = {"catalog": True}
    model.acls["enumerate"] = ["*"]
    schema = model.schemas["study"]
    schema.comment = "applied"
    schema.acls["select"] = ["*"]
    table = schema.tables["Sample"]
    table.comment = "rows"
    table.visible_columns = {"*": ["Name", ["study", "Sample_Subject_fkey"]]}
    table.annotations[TAG] = ["é", None, 1.5]
    table.columns["Weight"].comment = "grams"
    table.columns["Weight"].column_display = {"*": {"markdown_pattern": "**{{{Weight}}}**"}}
    table.keys[0].annotations[TAG] = 1
    table.foreign_keys[0].annotations[TAG] = 2
    table.foreign_keys[0].comment = "a reference"
    table.foreign_keys[0].acls["update"] = []
    table.immutable = True
    model.apply()
    fresh = catalog.getCatalogModel()
    assert fresh.annotations[TAG] == {"catalog": True}
    assert fresh.acls["enumerate"] == ["*"]
    again = fresh.schemas["study"]
    assert (again.comment, again.acls["select"]) == ("applied", ["*"])
    sample = again.tables["Sample"]
    assert (sample.comment, sample.annotations[TAG], sample.immutable) == ("rows", ["é", None, 1.5], True)
    assert sample.annotations[VISIBLE] == {"*": ["Name", ["study", "Sample_Subject_fkey"]]}
    assert sample.columns["Weight"].comment == "grams"
    assert sample.keys[0].annotations[TAG] == 1
    assert sample.foreign_keys[0].annotations[TAG] == 2
    assert dict(sample.foreign_keys[0].acls)["update"] == []
    before = catalog.latest_snapshot().snaptime
    fresh.apply()
    assert catalog.latest_snapshot().snaptime == before, "an equal model changes nothing"
    fresh.clear(clear_comment=True)
    fresh.acls["owner"] = model.acls["owner"]
    fresh.apply()
    bare = catalog.getCatalogModel()
    assert bare.annotations == {}
    assert bare.schemas["study"].tables["Sample"].annotations == {}
    assert bare.schemas["study"].tables["Sample"].columns["Weight"].comment is None


def test_names_that_are_changed_are_changed_in_annotations(catalog: ErmrestCatalog) -> None:
    build_study(catalog)
    model = catalog.getCatalogModel()
    model.schemas["study"].tables["Sample"].visible_columns = {"*": ["Name", ["study", "Sample_Subject_fkey"]]}
    model.apply()
    model.fkey(("study", "Sample_Subject_fkey")).alter(
        constraint_name="renamed_fkey", update_mappings=UpdateMappings.immediate
    )
    assert study(catalog).tables["Sample"].visible_columns == {"*": ["Name", ["study", "renamed_fkey"]]}


def test_a_model_from_a_file(catalog: ErmrestCatalog, tmp_path: Path) -> None:
    build_study(catalog)
    path = tmp_path / "model.json"
    path.write_bytes(orjson.dumps(catalog.getCatalogSchema()))
    read = Model.fromfile(catalog, str(path))
    assert read.table("study", "Sample").column_definitions["Name"].nullok is False
    assert read.column("study", "Sample", "Name").name == "Name"
    assert read.prejson()["schemas"]["study"]["tables"].keys() == study(catalog).tables.keys()
    assert "CREATE TABLE" in read.table("study", "Sample").sqlite3_ddl()


def test_the_baseline_configuration(catalog: ErmrestCatalog) -> None:
    build_study(catalog)
    model = catalog.getCatalogModel()
    model.configure_baseline_catalog(headTitle="Tour", publicSchemaDisplayName="Users")
    fresh = catalog.getCatalogModel()
    assert fresh.chaise_config["headTitle"] == "Tour"
    assert fresh.display == {"name_style": {"underline_space": True}}
    assert fresh.schemas["public"].display == {"name": "User Info"}
    assert fresh.schemas["public"].tables["ERMrest_Client"].visible_columns
    assert set(fresh.schemas["WWW"].tables) == {"Page", "File"}


def test_parts_by_path(catalog: ErmrestCatalog) -> None:
    build_study(catalog)
    base = "/schema/study/table/Sample"
    catalog.put(f"{base}/comment", data="told", headers={"content-type": "text/plain"})
    assert catalog.get(f"{base}/comment").text.strip() == "told"
    catalog.delete(f"{base}/comment")
    catalog.put(f"{base}/annotation/{urlquote(TAG)}", json={"a": []})
    assert catalog.get(f"{base}/annotation").json() == {TAG: {"a": []}}
    catalog.delete(f"{base}/annotation/{urlquote(TAG)}")
    catalog.put(f"{base}/acl/select", json=["*"])
    assert catalog.get(f"{base}/acl").json() == {"select": ["*"]}
    catalog.delete(f"{base}/acl/select")
    assert len(catalog.get(f"{base}/key").json()) == 2
    assert catalog.get(f"{base}/key/Name").json()["unique_columns"] == ["Name"]
    assert len(catalog.get(f"{base}/foreignkey/Subject/reference/study:Subject/Name").json()) == 1
    assert catalog.get(f"{base}/column/Name").json()["name"] == "Name"
