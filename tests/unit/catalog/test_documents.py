"""Table documents, against the shapes that deriva-ml's own code makes."""

from __future__ import annotations

from typing import Any

import pytest

from deriva_ml_prefect.catalog import documents
from deriva_ml_prefect.catalog.creation.description import schema_documents
from deriva_ml_prefect.catalog.documents import Target
from deriva_ml_prefect.exceptions import DerivaMLValidationError

IMAGE = Target("dom", "Image", "RID", "ermrest_rid")
EXECUTION = Target("deriva-ml", "Execution", "RID", "ermrest_rid")
FEATURE_NAME = Target("deriva-ml", "Feature_Name", "Name")
GRADE = Target("dom", "Grade", "Name")


def columns(document: dict[str, Any]) -> list[tuple[str, str, bool, Any]]:
    return [(c["name"], c["type"]["typename"], c["nullok"], c["default"]) for c in document["column_definitions"]]


def test_system_columns_come_first() -> None:
    document = documents.table_document("dom", "T", columns=[])
    assert columns(document) == [
        ("RID", "ermrest_rid", False, None),
        ("RCT", "ermrest_rct", False, None),
        ("RMT", "ermrest_rmt", False, None),
        ("RCB", "ermrest_rcb", True, None),
        ("RMB", "ermrest_rmb", True, None),
    ]
    assert document["column_definitions"][0]["annotations"] == {"tag:misd.isi.edu,2015:display": {"name": "Record ID"}}
    assert document["keys"] == [{"unique_columns": ["RID"], "names": []}]
    assert [f["names"] for f in document["foreign_keys"]] == [
        [["placeholder", "T_RCB_fkey"]],
        [["placeholder", "T_RMB_fkey"]],
    ]


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("text", {"typename": "text"}),
        ("text[]", {"typename": "text[]", "is_array": True, "base_type": {"typename": "text"}}),
        ("markdown", {"typename": "markdown", "is_domain": True, "base_type": {"typename": "text"}}),
        ("ermrest_rct", {"typename": "ermrest_rct", "is_domain": True, "base_type": {"typename": "timestamptz"}}),
    ],
)
def test_types(name: str, document: dict[str, Any]) -> None:
    assert documents.type_document(name) == document


def test_unknown_type() -> None:
    with pytest.raises(DerivaMLValidationError, match="varchar"):
        documents.type_document("varchar")


def test_vocabulary() -> None:
    document = documents.vocabulary("dom", "Grade", curie_prefix="proj")
    assert columns(document)[5:] == [
        ("ID", "ermrest_curie", False, "proj:{RID}"),
        ("URI", "ermrest_uri", False, "/id/{RID}"),
        ("Name", "text", False, None),
        ("Description", "markdown", False, None),
        ("Synonyms", "text[]", True, None),
    ]
    assert [k["unique_columns"] for k in document["keys"]] == [["RID"], ["ID"], ["URI"], ["Name"]]
    assert all(k["names"] == [] for k in document["keys"])


def test_asset() -> None:
    document = documents.asset("dom", "Image", references=[Target("dom", "Subject", "RID", "ermrest_rid")])
    assert columns(document)[5:] == [
        ("URL", "text", False, None),
        ("Filename", "text", True, None),
        ("Description", "markdown", True, None),
        ("Length", "int8", False, None),
        ("MD5", "text", False, None),
        ("Subject", "text", False, None),
    ]
    assert document["column_definitions"][5]["annotations"] == {
        "tag:isrd.isi.edu,2017:asset": {
            "filename_column": "Filename",
            "byte_count_column": "Length",
            "md5": "MD5",
            "url_pattern": "/hatrac/{{$catalog.id}}/dom/Image/{{{MD5}}}.{{#encode}}{{{Filename}}}{{/encode}}",
            "display": {"*": {"file_preview": {"content_type_mapping": {"application/octet-stream": "text"}}}},
        }
    }


def test_feature() -> None:
    document = documents.association(
        "dom",
        [EXECUTION, IMAGE, FEATURE_NAME],
        name="Execution_Image_Plain",
        references=[(GRADE, False), (GRADE, True)],
        columns=[documents.column("Score", "float4")],
        defaults={"Feature_Name": "Plain"},
    )
    assert columns(document)[5:] == [
        ("Execution", "text", False, None),
        ("Image", "text", False, None),
        ("Feature_Name", "text", False, "Plain"),
        ("Grade", "text", False, None),
        ("Grade2", "text", True, None),
        ("Score", "float4", True, None),
    ]
    assert document["keys"][1] == {
        "unique_columns": ["Execution", "Image", "Feature_Name"],
        "names": [["placeholder", "Execution_Image_Plain_assoc_key"]],
    }
    grade = document["foreign_keys"][-1]
    assert grade["names"] == [["placeholder", "Execution_Image_Plain_Grade2_fkey"]]
    assert (grade["on_update"], grade["on_delete"]) == ("CASCADE", "CASCADE")
    assert grade["referenced_columns"] == [{"schema_name": "dom", "table_name": "Grade", "column_name": "Name"}]


def test_default_name_of_an_association_follows_the_naming_rule() -> None:
    long = Target("dom", "A" * 50, "RID", "ermrest_rid")
    document = documents.association("dom", [long, long])
    assert len(document["table_name"]) <= 63
    assert columns(document)[5:] == [("A" * 50, "text", False, None), ("A" * 50 + "2", "text", False, None)]


def test_the_description_agrees_with_the_builders() -> None:
    made = schema_documents("proj")["schemas"]["deriva-ml"]["tables"]
    assert made["Dataset_Type"] == documents.vocabulary("deriva-ml", "Dataset_Type", curie_prefix="proj")
    role = Target("deriva-ml", "Asset_Role", "Name")
    links = documents.association(
        "deriva-ml", [Target("deriva-ml", "File", "RID", "ermrest_rid"), EXECUTION], references=[(role, False)]
    )
    assert made["File_Execution"] == links
    file = documents.asset("deriva-ml", "File")
    assert columns(made["File"]) == columns(file)
    assert made["File"]["column_definitions"][5]["annotations"] == file["column_definitions"][5]["annotations"]
    assert made["Workflow_Type"]["column_definitions"][5]["default"] == "deriva-ml:{RID}"
