"""Everything of an execution is read back: each kind of damage is one difference that names it, and nothing else is."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.catalog.rows import delete_rows, get_rows, insert_rows, update_rows
from deriva_ml_prefect.exceptions import DerivaMLNotFoundError, DerivaMLOfflineError, DerivaMLValidationError
from deriva_ml_prefect.journal import effects
from deriva_ml_prefect.journal.store import Journal
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.progress.meter import BYTES, Meter
from deriva_ml_prefect.questions.verification import feature_values, report, stored_objects
from deriva_ml_prefect.questions.verification.report import Against, Verification
from deriva_ml_prefect.questions.verification.verify import verify_execution
from deriva_ml_prefect.values.effects import Receipt
from deriva_ml_prefect.values.rid import RID


def said(found: Verification) -> list[tuple[str, Any, Any]]:
    return [(item.what, item.expected, item.found) for item in found.differences]


def image(catalog: Catalog, exe: Execution, number: int = 1) -> dict[str, Any]:
    """Row of one image of the execution."""
    found = get_rows(catalog, f"entity/lab:Image_Execution/Execution={exe.execution_rid}/lab:Image/Camera=C{number}")
    return found[0]


def content_file(home: Path, content: bytes) -> Path:
    """The file in which the embedded DERIVA keeps these bytes."""
    folder = home / "embedded"
    for path in folder.rglob("objects/??/*"):
        if path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content:
            return path
    raise AssertionError("no such content")


def test_what_is_as_it_was_sent_is_the_same(ml: DerivaML, uploaded: Execution) -> None:
    found = ml.verify_execution(uploaded.execution_rid)
    assert said(found) == []
    assert found.same
    assert found.against is Against.receipts
    assert found.checked["feature values"] == 41
    # three images, a mask, the metrics, configuration, environment and record of the run
    assert found.checked["asset rows"] == found.checked["objects"] == 8
    assert found.checked["bytes"] > 100
    assert found.checked["links to assets"] == 8
    assert found.checked["execution row"] == found.checked["record of the run"] == 1


def test_dataset_and_inputs_are_the_same(ml: DerivaML, stage: Callable[..., Execution], dataset: str) -> None:
    first = stage()
    given = first.upload_execution_outputs()["Image"][0].asset_rid
    exe = stage(datasets=[dataset], assets=[given])
    exe.upload_execution_outputs()
    found = ml.verify_execution(exe.execution_rid)
    assert said(found) == []
    assert found.checked["datasets"] == 1


@pytest.mark.parametrize(
    ("column", "value"),
    [("Camera", "other"), ("Camera", None), ("Exposure", 7), ("Description", "x"), ("Filename", "y")],
)
def test_changed_column_of_an_asset(
    ml: DerivaML, catalog: Catalog, uploaded: Execution, column: str, value: object
) -> None:
    row = image(catalog, uploaded)
    update_rows(catalog, ("lab", "Image"), [{"RID": row["RID"], column: value}])
    found = ml.verify_execution(uploaded.execution_rid)
    assert said(found) == [(column, row[column], value)]
    (difference,) = found.differences
    assert row["RID"] in difference.subject
    assert row["Filename"] in difference.subject


def test_row_that_tells_of_other_bytes(ml: DerivaML, catalog: Catalog, uploaded: Execution) -> None:
    row = image(catalog, uploaded)
    update_rows(catalog, ("lab", "Image"), [{"RID": row["RID"], "MD5": "0" * 32, "Length": 1}])
    found = ml.verify_execution(uploaded.execution_rid)
    # the object is what the receipt says, the row is not
    assert said(found) == [("Length", row["Length"], 1), ("MD5", row["MD5"], "0" * 32)]


def test_deleted_asset_row(ml: DerivaML, catalog: Catalog, uploaded: Execution) -> None:
    rid = image(catalog, uploaded)["RID"]
    delete_rows(catalog, f"lab:Image_Execution/Image={rid}")
    delete_rows(catalog, f"lab:Image_Asset_Type/Image={rid}")
    delete_rows(catalog, f"lab:Image/RID={rid}")
    found = ml.verify_execution(uploaded.execution_rid)
    assert said(found) == [
        ("row", "a row of lab:Image", None),
        ("types", ["Derived", "Image"], []),
        ("role in the execution", "Output", None),
    ]


def test_object_with_a_flipped_bit(
    ml: DerivaML, catalog: Catalog, uploaded: Execution, home: Path, tmp_path: Path
) -> None:
    content = f"{tmp_path.name} 1".encode() * 1000
    path = content_file(home, content)
    path.chmod(0o600)
    path.write_bytes(content[:-1] + b"!")
    found = ml.verify_execution(uploaded.execution_rid)
    assert [what for what, _, _ in said(found)] == ["MD5 of the object"]
    # the store keeps the MD5 that it was given: only reading the bytes tells
    assert ml.verify_execution(uploaded.execution_rid, content=False).same


def test_object_that_was_cut(
    ml: DerivaML, catalog: Catalog, uploaded: Execution, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a body that ends too early is asked for again, each time after a longer pause
    monkeypatch.setattr(catalog.client, "retries", 1)
    content = f"{tmp_path.name} 2".encode() * 1000
    path = content_file(home, content)
    path.chmod(0o600)
    path.write_bytes(content[:100])
    found = ml.verify_execution(uploaded.execution_rid)
    assert not found.same
    assert all(f"{tmp_path.name}-2.png" in item.subject for item in (*found.differences, *found.unchecked))


@pytest.mark.parametrize("content", [True, False])
def test_object_that_was_deleted(ml: DerivaML, catalog: Catalog, uploaded: Execution, content: bool) -> None:
    url = image(catalog, uploaded)["URL"]
    catalog.client.request("DELETE", url, expect=(204,))
    found = ml.verify_execution(uploaded.execution_rid, content=content)
    assert said(found) == [("object", url, None)]


def test_types(ml: DerivaML, catalog: Catalog, uploaded: Execution) -> None:
    less, more = image(catalog, uploaded, 0)["RID"], image(catalog, uploaded, 1)["RID"]
    delete_rows(catalog, f"lab:Image_Asset_Type/Image={less}&Asset_Type=Derived")
    insert_rows(catalog, ("lab", "Image_Asset_Type"), [{"Image": more, "Asset_Type": "Model_File"}])
    found = ml.verify_execution(uploaded.execution_rid)
    assert sorted(said(found)) == [
        ("types", ["Derived", "Image"], ["Derived", "Image", "Model_File"]),
        ("types", ["Derived", "Image"], ["Image"]),
    ]


def test_type_that_another_execution_gave_the_same_file(
    ml: DerivaML, catalog: Catalog, stage: Callable[..., Execution]
) -> None:
    first, second = stage(), stage()
    first.upload_execution_outputs()
    second.upload_execution_outputs()
    shared = image(catalog, second)["RID"]
    assert image(catalog, first)["RID"] == shared
    insert_rows(catalog, ("lab", "Image_Asset_Type"), [{"Image": shared, "Asset_Type": "Model_File"}])
    assert ml.verify_execution(first.execution_rid).same


def test_role_and_links(ml: DerivaML, catalog: Catalog, uploaded: Execution, stage: Callable[..., Execution]) -> None:
    rid = uploaded.execution_rid
    changed, gone = image(catalog, uploaded, 0)["RID"], image(catalog, uploaded, 1)["RID"]
    (link,) = get_rows(catalog, f"entity/lab:Image_Execution/Image={changed}&Execution={rid}")
    update_rows(catalog, ("lab", "Image_Execution"), [{"RID": link["RID"], "Asset_Role": "Input"}])
    delete_rows(catalog, f"lab:Image_Execution/Image={gone}&Execution={rid}")
    scan = {"URL": f"/hatrac/x/{rid}", "Filename": "s", "Length": 1, "MD5": "0" * 32, "Site": "here"}
    (foreign,) = insert_rows(catalog, ("lab", "Scan"), [scan])
    insert_rows(
        catalog, ("lab", "Scan_Execution"), [{"Scan": foreign["RID"], "Execution": rid, "Asset_Role": "Output"}]
    )
    found = ml.verify_execution(rid)
    assert sorted(map(str, said(found))) == sorted(
        map(str, [("role in the execution", "Output", "Input"), ("role in the execution", "Output", None),
                  ("role in the execution", None, "Output")])
    )  # fmt: skip


def test_values_of_features(
    ml: DerivaML, catalog: Catalog, uploaded: Execution, subjects: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_values, "_AT_ONCE", 7)
    where = f"lab:Execution_Subject_Score/Execution={uploaded.execution_rid}"
    rows = {row["Subject"]: row for row in get_rows(catalog, f"entity/{where}")}
    update_rows(
        catalog, ("lab", "Execution_Subject_Score"), [{"RID": rows[subjects[3]]["RID"], "Score": 1.0000000000000002}]
    )
    delete_rows(catalog, f"lab:Execution_Subject_Score/RID={rows[subjects[11]]['RID']}")
    found = ml.verify_execution(uploaded.execution_rid)
    assert said(found) == [("Score", 1.0, 1.0000000000000002), ("value", {"Score": 11 / 3}, None)]
    assert subjects[11] in found.differences[1].subject


def test_value_that_nobody_staged(
    ml: DerivaML, catalog: Catalog, uploaded: Execution, subjects: tuple[str, ...]
) -> None:
    rid = uploaded.execution_rid
    insert_rows(
        catalog,
        ("lab", "Execution_Subject_Outline"),
        [{"Execution": rid, "Subject": subjects[5], "Feature_Name": "Outline",
          "Mask": get_rows(catalog, f"entity/lab:Mask_Execution/Execution={rid}")[0]["Mask"]}],
    )  # fmt: skip
    insert_rows(
        catalog,
        ("lab", "Execution_Subject_Diagnosis"),
        [{"Execution": rid, "Subject": subjects[5], "Feature_Name": "Diagnosis", "Grade": "Mild"}],
    )
    found = ml.verify_execution(rid)
    assert [what for what, _, _ in said(found)] == ["value", "values"]
    assert said(found)[1] == ("values", 0, 1)


def test_feature_that_names_another_asset(ml: DerivaML, catalog: Catalog, uploaded: Execution) -> None:
    rid = uploaded.execution_rid
    (row,) = get_rows(catalog, f"entity/lab:Execution_Subject_Outline/Execution={rid}")
    mask = {"URL": f"/hatrac/y/{rid}", "Filename": "m", "Length": 1, "MD5": "0" * 32}
    (other,) = insert_rows(catalog, ("lab", "Mask"), [mask])
    update_rows(catalog, ("lab", "Execution_Subject_Outline"), [{"RID": row["RID"], "Mask": other["RID"]}])
    assert said(ml.verify_execution(rid)) == [("Mask", row["Mask"], other["RID"])]
    # bags of these subjects are made by other tests
    update_rows(catalog, ("lab", "Execution_Subject_Outline"), [{"RID": row["RID"], "Mask": row["Mask"]}])


def test_row_of_the_execution(ml: DerivaML, catalog: Catalog, uploaded: Execution) -> None:
    rid = uploaded.execution_rid
    changed = {"Status": "Failed", "Description": "other", "Execution_Duration": "1.0H 0.0min 0.0sec"}
    (row,) = get_rows(catalog, f"entity/deriva-ml:Execution/RID={rid}")
    update_rows(catalog, ("deriva-ml", "Execution"), [{"RID": rid, **changed}])
    assert said(ml.verify_execution(rid)) == [
        ("Status", "Uploaded", "Failed"),
        ("Description", "Verified", "other"),
        ("execution duration", row["Execution_Duration"], "1.0H 0.0min 0.0sec"),
    ]


def test_link_to_a_dataset(ml: DerivaML, catalog: Catalog, stage: Callable[..., Execution], dataset: str) -> None:
    exe = stage(datasets=[dataset])
    exe.upload_execution_outputs()
    delete_rows(catalog, f"deriva-ml:Dataset_Execution/Execution={exe.execution_rid}")
    found = ml.verify_execution(exe.execution_rid)
    assert said(found) == [("link to the execution", "read by it", None)]


def test_what_is_staged_is_a_difference(ml: DerivaML, stage: Callable[..., Execution]) -> None:
    exe = stage()
    found = ml.verify_execution(exe.execution_rid)
    assert [what for what, _, _ in said(found)] == ["file"] * 5 + ["values staged and not in the catalog"] * 2
    exe.upload_execution_outputs()
    assert ml.verify_execution(exe.execution_rid).same


def test_file_registered_again_after_the_upload(ml: DerivaML, uploaded: Execution, tmp_path: Path) -> None:
    again = uploaded.asset_file_path("Image", f"{tmp_path.name}-0.png", metadata={"Camera": "again"})
    again.write_bytes(b"another picture")
    uploaded.upload_execution_outputs()
    found = ml.verify_execution(uploaded.execution_rid)
    assert said(found) == []
    # both pictures, and both records of the run, have receipts
    assert found.checked["objects"] == 10


def test_journal_that_says_otherwise(ml: DerivaML, uploaded: Execution) -> None:
    with closing(sqlite3.connect(uploaded.context.workspace / "journal.db")) as connection, connection:
        connection.execute("UPDATE execution_state__executions SET outcome = 'failed', workflow_rid = '1-ZZZZ'")
    assert [(what, expected) for what, expected, _ in said(ml.verify_execution(uploaded.execution_rid))] == [
        ("Workflow", "1-ZZZZ"),
        ("outcome", "failed"),
    ]


def test_without_a_journal_rows_are_compared_with_objects(
    ml: DerivaML, catalog: Catalog, uploaded: Execution, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "another machine"
    other.mkdir()
    (other / "embedded").symlink_to(home / "embedded")
    monkeypatch.setenv("DERIVA_ML_HOME", str(other))
    rid = uploaded.execution_rid
    found = ml.verify_execution(rid)
    assert found.same
    assert found.against is Against.itself
    assert "No journal of this machine" in found.notes[0]
    assert found.checked["objects"] == 8
    assert found.checked["values of Subject.Score (counted only)"] == 40
    row = image(catalog, uploaded)
    update_rows(catalog, ("lab", "Image"), [{"RID": row["RID"], "MD5": "0" * 32}])
    update_rows(catalog, ("deriva-ml", "Execution"), [{"RID": rid, "Upload_Duration": "1.0H 0.0min 0.0sec"}])
    assert {what for what, _, _ in said(ml.verify_execution(rid))} == {"MD5 of the object", "upload duration"}
    assert not (other / "workspaces").exists()


def test_execution_that_nobody_knows(ml: DerivaML) -> None:
    with pytest.raises(DerivaMLNotFoundError, match="no execution 1-ZZZZ, and no journal"):
        ml.verify_execution("1-ZZZZ")
    with pytest.raises(DerivaMLValidationError):
        ml.verify_execution("no rid")


def test_progress_is_shown(uploaded: Execution, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[str, Any]] = []

    @contextlib.contextmanager
    def record(what: str, **values: Any) -> Iterator[Meter]:
        meter = Meter(what, values["total"], values.get("unit", BYTES), values.get("items", 0))
        yield meter
        shown.append((what, meter.standing()))

    monkeypatch.setattr(stored_objects, "showing", record)
    monkeypatch.setattr(feature_values, "showing", record)
    verify_execution(uploaded.context.address, uploaded.execution_rid)
    verify_execution(uploaded.context.address, uploaded.execution_rid, content=False)
    assert [what for what, _ in shown] == [
        "Comparing values",
        "Reading objects",
        "Comparing values",
        "Asking for objects",
    ]
    for _, standing in shown:
        assert standing.done == standing.total > 0
    assert [standing.items for _, standing in shown] == [0, 8, 0, 8]


def test_many_differences_are_counted(
    ml: DerivaML, catalog: Catalog, uploaded: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "KEPT", 10)
    delete_rows(catalog, f"lab:Execution_Subject_Score/Execution={uploaded.execution_rid}")
    found = ml.verify_execution(uploaded.execution_rid)
    assert len(found.differences) == 10
    assert found.further == 30


def test_answer_is_json_able(ml: DerivaML, uploaded: Execution) -> None:
    from deriva_ml_prefect.pages.verification_page import render_verification, verification_document

    found = ml.verify_execution(uploaded.execution_rid)
    document = json.loads(json.dumps(verification_document(found)))
    assert document["same"] is True
    assert document["checked"]["objects"] == 8
    wrong = dataclasses.replace(
        found, differences=(report.Difference("Image/a\nb", "MD5", "x\ny", None),), further=2, unchecked=()
    )
    lines = list(render_verification(wrong))
    assert all("\n" not in line for line in lines)
    assert lines[-1].endswith("3 differences from its receipts in the journal.")


def test_durations_of_an_upload_that_was_broken_off_after_the_record(
    ml: DerivaML, stage: Callable[..., Execution], monkeypatch: pytest.MonkeyPatch
) -> None:
    exe = stage()

    def fail(*_: object) -> None:
        raise DerivaMLOfflineError("It is away.")

    with monkeypatch.context() as patch:
        patch.setattr("deriva_ml_prefect.phases.close.check_complete", fail)
        with pytest.raises(DerivaMLOfflineError):
            exe.upload_execution_outputs()
    exe.upload_execution_outputs()
    # row and record tell the same, on this machine and on others
    assert said(ml.verify_execution(exe.rid)) == []


def test_link_whose_receipt_was_lost_before_its_file_was_changed(
    ml: DerivaML, catalog: Catalog, stage: Callable[..., Execution], monkeypatch: pytest.MonkeyPatch
) -> None:
    exe = stage()
    keep = effects.mark_delivered

    def end(journal: Journal, rid: RID, receipts: list[Receipt]) -> None:
        if any(receipt.key.startswith("links/Image/") for receipt in receipts):
            raise KeyboardInterrupt
        keep(journal, rid, receipts)

    with monkeypatch.context() as patch:
        patch.setattr(effects, "mark_delivered", end)
        with pytest.raises(KeyboardInterrupt):
            exe.upload_execution_outputs()
    (changed,) = exe.context.staged.glob("Image/*-1.png")
    changed.write_bytes(changed.read_bytes()[::-1])
    exe.upload_execution_outputs()
    found = ml.verify_execution(exe.execution_rid)
    assert said(found) == []
    # what had been sent is an output of the execution, too
    rows = get_rows(catalog, f"entity/lab:Image_Execution/Execution={exe.execution_rid}/lab:Image/Camera=C1")
    assert len({row["MD5"] for row in rows}) == 2
