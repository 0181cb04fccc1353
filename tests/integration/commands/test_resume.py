"""`deriva-ml-prefect resume`: of a run whose code was killed, with and without the file that it was about to write."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.journal import ownership
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from tests.integration.commands.conftest import Call


def images(ml: DerivaML, rid: str) -> list[str | None]:
    return [asset.filename for asset in ml.lookup_execution(rid).output_assets if asset.asset_table == "Image"]


def test_files_that_killed_code_did_not_write_are_named_and_can_be_dropped(
    call: Call, ml: DerivaML, workflow: Workflow, fork: Callable[..., Any], tmp_path: Path
) -> None:
    told = tmp_path / "told"
    source = tmp_path / "gone.png"

    def die() -> None:
        with ml.create_execution(workflow=workflow) as exe:
            told.write_text(exe.rid)
            exe.asset_file_path("Image", "written.png").write_bytes(exe.rid.encode())
            source.write_bytes(b"gone of " + exe.rid.encode())
            exe.asset_file_path("Image", source)
            source.unlink()
            exe.asset_file_path("Image", "unwritten.png")
            os._exit(9)

    assert fork(die).wait() == 9
    rid = told.read_text()
    refused = call("resume", rid)
    assert refused.returncode == 1
    assert "2 registered files of it cannot be uploaded" in refused.stderr
    assert "--drop-missing goes without" in refused.stderr
    assert "Image/unwritten.png" in refused.stderr
    done = call("resume", rid, "--drop-missing")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "Dropped Image/gone.png: it is not on the disk.",
        "Dropped Image/unwritten.png: it is not on the disk.",
        f"Execution {rid} is Uploaded.",
        "Its code did not come to its end (killed): the last file that it wrote may be incomplete.",
    ]
    assert images(ml, rid) == ["written.png"]
    assert ml.verify_execution(rid).same
    assert call("resume", rid).stdout == f"Execution {rid} is Uploaded: nothing left.\n"


def test_files_that_were_deleted_after_they_were_written_are_told_as_that(
    call: Call, run: Callable[..., Execution], tmp_path: Path
) -> None:
    exe = run(upload=False)
    ownership.release(exe.context.folder)
    exe.context.folder.rename(tmp_path / "deleted")
    refused = call("resume", exe.rid)
    assert refused.returncode == 1
    assert f"Image/{tmp_path.name}.png: it was written, and is not on the disk any more" in refused.stderr
    assert "never written" not in refused.stderr


def test_nothing_that_is_there_is_dropped(
    call: Call, run: Callable[..., Execution], ml: DerivaML, tmp_path: Path
) -> None:
    exe = run(upload=False)
    ownership.release(exe.context.folder)
    done = call("resume", exe.rid, "--drop-missing")
    assert done.stdout == f"Execution {exe.rid} is Uploaded.\n", done.stderr
    assert images(ml, exe.rid) == [f"{tmp_path.name}.png"]
