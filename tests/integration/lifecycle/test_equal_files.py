"""Files of equal bytes and name from several executions: one asset while the same is said of them, else several."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from deriva_ml_prefect.catalog.rows import get_rows, update_rows
from deriva_ml_prefect.exceptions import DerivaMLOfflineError, DerivaMLUploadError
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.phases import deliver
from deriva_ml_prefect.values.status import ExecutionStatus

Begin = Callable[..., Execution]


@pytest.fixture
def content() -> bytes:
    """Bytes that no other test has uploaded."""
    return uuid.uuid4().bytes * 100


def upload(begin: Begin, content: bytes, name: str = "same.png", **said: Any) -> str:
    """RID of the asset that a new execution makes of these bytes."""
    with begin() as exe:
        exe.asset_file_path("Image", name, **said).write_bytes(content)
    (path,) = exe.upload_execution_outputs()["Image"]
    assert exe.status is ExecutionStatus.Uploaded
    return str(path.asset_rid)


def test_what_is_said_the_second_time_is_kept(ml: DerivaML, begin: Begin, content: bytes) -> None:
    said: list[dict[str, Any]] = [
        {"description": "raw", "Exposure": 1},
        {"description": "calibrated", "Exposure": 1},
        {"description": "raw", "Exposure": 2},
        {"description": "raw", "Exposure": 1, "Camera": "left"},
    ]
    made = [upload(begin, content, **each) for each in said]
    assert len(set(made)) == 4
    for rid, each in zip(made, said, strict=True):
        asset = ml.lookup_asset(rid)
        assert asset.description == each["description"]
        assert {"Exposure": each["Exposure"], "Camera": each.get("Camera")} == asset.metadata
        assert asset.filename == "same.png"
        assert len(asset.list_executions()) == 1
    # saying the same again finds the row that says it, and so does saying less
    assert [upload(begin, content, **each) for each in said] == made
    assert upload(begin, content) == made[0]
    rows = get_rows(ml._catalog, f"entity/lab:Image/RID={made[1]}")
    assert rows[0]["MD5"] == ml.lookup_asset(made[0]).md5


def test_types_are_added_to_the_shared_asset(ml: DerivaML, begin: Begin, content: bytes) -> None:
    first, second = (upload(begin, content, asset_types=[term]) for term in ("Image", "Derived"))
    assert first == second
    assert sorted(ml.lookup_asset(first).asset_types) == ["Derived", "Image"]


def test_bytes_apart_come_back_as_they_were(begin: Begin, content: bytes) -> None:
    upload(begin, content, description="one")
    second = upload(begin, content, description="two")
    reader = begin(assets=[second])
    (path,) = reader.asset_paths["Image"]
    assert (path.name, path.read_bytes()) == ("same.png", content)


def test_described_anew_after_it_was_uploaded(ml: DerivaML, begin: Begin, content: bytes) -> None:
    """The same execution registers the same file again and says more of it."""
    with begin() as exe:
        exe.asset_file_path("Image", "same.png").write_bytes(content)
    exe.upload_execution_outputs()
    exe.asset_file_path("Image", "same.png", description="looked at").write_bytes(content)
    (path,) = exe.upload_execution_outputs()["Image"]
    assert ml.lookup_asset(str(path.asset_rid)).description == "looked at"


def test_upload_that_fails_between_the_two_objects(
    ml: DerivaML, begin: Begin, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = upload(begin, content, description="one")
    original = deliver.send

    def send(context: Any, planned: Any, *rest: Any) -> Any:
        if planned.effect.key.startswith("apart/"):
            raise DerivaMLOfflineError("no answer")
        return original(context, planned, *rest)

    with begin() as exe:
        exe.asset_file_path("Image", "same.png", description="two").write_bytes(content)
        exe.asset_file_path("Image", "other.png").write_bytes(content)
    monkeypatch.setattr(deliver, "send", send)
    with pytest.raises(DerivaMLUploadError, match=r"same\.png"):
        exe.upload_execution_outputs(max_retries=0)
    monkeypatch.setattr(deliver, "send", original)
    (staged,) = exe.staged().files
    staged.set_description("one")
    (path,) = exe.upload_execution_outputs()["Image"]
    # nothing is planned any more for what is no longer said
    assert path.asset_rid == first
    assert exe.status is ExecutionStatus.Uploaded
    assert ml.lookup_asset(first).description == "one"


def test_row_that_somebody_changed_is_used_and_that_is_said(
    ml: DerivaML, begin: Begin, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    upload(begin, content, description="one")
    second = upload(begin, content, description="two")
    update_rows(ml._catalog, ("lab", "Image"), [{"RID": second, "Description": "corrected"}])
    with caplog.at_level(logging.WARNING, "deriva_ml_prefect"):
        assert upload(begin, content, description="two") == second
    assert [r for r in caplog.records if f"is asset {second}" in r.getMessage() and "Description" in r.getMessage()]
    assert ml.lookup_asset(second).description == "corrected"
