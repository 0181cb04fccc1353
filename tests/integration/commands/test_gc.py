"""`deriva-ml-prefect gc`: only what is verified in the catalog, nothing of the living, and safe to be killed in."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect.catalog.rows import update_rows
from deriva_ml_prefect.config.asset import AssetSpec
from deriva_ml_prefect.config.dataset import DatasetSpec
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.journal import ownership
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.phases import collect, collect_cache
from deriva_ml_prefect.phases.collect import find_garbage
from deriva_ml_prefect.phases.collect_cache import delete_cached, find_cached
from deriva_ml_prefect.questions.still_in_catalog import StillInCatalog
from deriva_ml_prefect.values.garbage import Garbage, Kept, Kind
from deriva_ml_prefect.values.status import ExecutionStatus
from tests.integration.commands.conftest import Call

Run = Callable[..., Execution]
LONG_AGO = 1_000_000_000.0


@pytest.fixture
def kept_staged(ml: DerivaML, workflow: Workflow, tmp_path: Path) -> Callable[..., Execution]:
    """An Uploaded execution whose staged files, checkpoint and scratch file are still on this machine."""

    def make(**values: Any) -> Execution:
        with ml.create_execution(workflow=workflow, **values) as exe:
            exe.asset_file_path("Image", f"{tmp_path.name}.png").write_bytes(exe.rid.encode() * 1000)
            exe.checkpoint_path("last.pt").write_bytes(b"c" * 500)
            (exe.working_dir / "scratch.txt").write_text("scratch")
        exe.upload_execution_outputs(clean_folder=False)
        return exe

    return make


def gc(call: Call, *arguments: str) -> dict[str, Any]:
    done = call("gc", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def of(document: dict[str, Any], exe: Execution) -> dict[str, dict[str, Any]]:
    """Garbage of an execution by kind."""
    return {item["kind"]: item for item in document["garbage"] if item["rid"] == exe.rid}


def test_it_lists_and_deletes_only_on_request(call: Call, kept_staged: Run) -> None:
    exe = kept_staged()
    listed = of(gc(call), exe)
    assert listed.keys() == {"staged", "checkpoints"}
    assert listed["staged"]["bytes"] > len(exe.rid) * 1000
    assert exe.context.staged.is_dir()
    text = call("gc").stdout
    assert f"executions/{exe.rid}/staged" in text
    assert "--delete does it" in text
    deleted = of(gc(call, "--delete"), exe)
    assert deleted.keys() == {"staged", "checkpoints"}
    assert not exe.context.staged.exists()
    assert not exe.context.checkpoints.exists()
    assert (exe.context.work / "scratch.txt").read_text() == "scratch"
    assert of(gc(call), exe) == {}
    # journal and receipts stay
    assert exe.ml.verify_execution(exe.rid).same


def test_scratch_files_go_when_somebody_says_so(call: Call, kept_staged: Run) -> None:
    exe = kept_staged()
    assert of(gc(call, "--work"), exe).keys() == {"staged", "checkpoints", "work"}
    asked = call("gc", "--work", "--delete")
    assert asked.returncode == 1
    assert "are in no catalog. Delete them? Nobody can be asked" in asked.stderr
    assert exe.context.staged.is_dir()
    gc(call, "--work", "--delete", "--yes")
    assert not exe.context.work.exists()


def test_what_is_not_verified_stays(call: Call, kept_staged: Run, ml: DerivaML) -> None:
    exe = kept_staged()
    asset = next(iter(ml.lookup_execution(exe.rid).list_assets("Output")), None)
    assert asset is not None
    catalog = ml._catalog
    catalog.client.request("DELETE", asset.url, expect=(204,))
    done = call("gc", "--delete")
    assert done.returncode == 1
    assert f"deriva-ml-prefect verify {exe.rid}" in done.stdout
    assert exe.context.staged.is_dir()
    assert exe.context.checkpoints.is_dir()


def test_changed_row_keeps_the_files(call: Call, kept_staged: Run, ml: DerivaML) -> None:
    exe = kept_staged()
    update_rows(ml._catalog, ("deriva-ml", "Execution"), [{"RID": exe.rid, "Status": "Failed"}])
    assert of(gc(call), exe) == {}
    call("gc", "--delete")
    assert exe.context.staged.is_dir()


def test_staged_files_that_nobody_registered_stay(call: Call, kept_staged: Run) -> None:
    exe = kept_staged()
    stray = exe.context.staged / "Image" / "weights.bin.index"
    stray.write_text("in no catalog")
    assert of(gc(call), exe).keys() == {"checkpoints"}
    kept = [item["why"] for item in gc(call, "--delete")["kept"] if item["rid"] == exe.rid]
    assert any(
        "1 file in it, never registered, dropped or changed since, are in no catalog: 'Image/weights.bin.index'" in why
        for why in kept
    )
    assert stray.read_text() == "in no catalog"
    asked = call("gc", "--work", "--delete")
    assert asked.returncode == 1
    assert stray.exists()
    gc(call, "--work", "--delete", "--yes")
    assert not exe.context.staged.exists()


def test_files_that_were_dropped_stay_and_are_named(call: Call, ml: DerivaML, workflow: Workflow) -> None:
    """The bytes may be the only ones: who dropped the registration has not said that they may go."""
    with ml.create_execution(workflow=workflow) as exe:
        exe.asset_file_path("Image", f"{exe.rid}.png").write_text(exe.rid)
        dropped = exe.asset_file_path("Image", "dropped.png")
        dropped.write_text("perhaps the only copy")
        dropped.unregister()
    exe.upload_execution_outputs()
    assert of(gc(call, "--delete"), exe) == {}
    kept = [item["why"] for item in gc(call)["kept"] if item["rid"] == exe.rid]
    assert any("dropped" in why and "'Image/dropped.png'" in why and "--work deletes them" in why for why in kept)
    assert dropped.read_text() == "perhaps the only copy"
    gc(call, "--work", "--delete", "--yes")
    assert not dropped.exists()


def test_one_that_never_ran_is_led_to_what_can_be_done(call: Call, ml: DerivaML, workflow: Workflow) -> None:
    exe = ml.create_execution(workflow=workflow)
    ownership.release(exe.context.folder)
    (why,) = {item["why"] for item in gc(call)["kept"] if item["rid"] == exe.rid}
    assert why == f"it is Created, and its code never ran: deriva-ml-prefect abort {exe.rid} gives it up"
    refused = call("resume", exe.rid)
    assert refused.returncode == 1
    assert f"deriva-ml-prefect abort {exe.rid}" in refused.stderr
    assert call("abort", exe.rid, "--yes").returncode == 0
    gc(call, "--delete", "--aborted", "--yes")
    assert not exe.context.staged.exists()


def test_staged_files_that_were_written_to_after_the_upload_stay(call: Call, kept_staged: Run, tmp_path: Path) -> None:
    exe = kept_staged()
    path = exe.context.staged / "Image" / f"{tmp_path.name}.png"
    path.chmod(0o644)
    with path.open("ab") as file:
        file.write(b"more, in no catalog")
    assert of(gc(call, "--delete"), exe).keys() == {"checkpoints"}
    assert path.read_bytes().endswith(b"more, in no catalog")


def test_file_that_nobody_registered_and_that_comes_in_between_stays(kept_staged: Run) -> None:
    exe = kept_staged()
    found = [item for item in find_garbage().garbage if item.rid == exe.rid and item.kind is Kind.staged]
    (exe.context.staged / "late.txt").write_text("in no catalog")
    (kept,) = collect.collect(found, lambda _: None, delete_cached)
    assert isinstance(kept, Kept)
    assert (exe.context.staged / "late.txt").exists()


def test_a_workspace_that_cannot_be_read_stays_and_holds_up_no_other(call: Call, kept_staged: Run, home: Path) -> None:
    exe = kept_staged()
    damaged = home / "workspaces" / "a.example.org" / "1"
    staged = damaged / "executions" / "1-A" / "staged" / "Image" / "only.png"
    staged.parent.mkdir(parents=True)
    staged.write_text("nowhere else")
    (damaged / "journal.db").write_text("no journal" * 500)
    document = gc(call, "--delete")
    assert of(document, exe).keys() == {"staged", "checkpoints"}
    (kept,) = [item for item in document["kept"] if item["path"] == str(damaged)]
    assert "is damaged" in kept["why"]
    assert staged.read_text() == "nowhere else"


def test_nothing_of_an_unfinished_or_living_one(call: Call, run: Run, kept_staged: Run, ml: DerivaML) -> None:
    staged = run(upload=False)
    staged.checkpoint_path("last.pt").write_text("x")
    added = kept_staged()
    added.asset_file_path("Image", f"{added.rid}-more.png").write_text("more")
    for alive in (True, False):
        if not alive:
            ownership.release(staged.context.folder)
            ownership.release(added.context.folder)
        document = gc(call, "--delete", "--work", "--aborted", "--yes")
        assert document["garbage"] == []
        reasons = {item["why"] for item in document["kept"]}
        if not alive:
            assert f"it is Stopped and not in the catalog: deriva-ml-prefect resume {staged.rid}" in reasons
            assert f"1 outputs of it are not in the catalog: deriva-ml-prefect resume {added.rid}" in reasons
    assert staged.context.staged.is_dir()
    assert added.context.staged.is_dir()
    assert staged.context.checkpoints.is_dir()


def test_files_of_an_aborted_one_go_after_a_question(call: Call, run: Run, ml: DerivaML) -> None:
    exe = run(upload=False)
    exe.abort()
    document = gc(call)
    assert of(document, exe) == {}
    assert any("--aborted deletes them" in item["why"] for item in document["kept"])
    asked = call("gc", "--aborted", "--delete")
    assert asked.returncode == 1
    assert exe.context.staged.is_dir()
    gc(call, "--aborted", "--delete", "--yes")
    assert not exe.context.staged.exists()


def test_checkpoints_of_code_that_failed_stay(call: Call, ml: DerivaML, workflow: Workflow) -> None:
    exe = ml.create_execution(workflow=workflow)

    def break_off() -> None:
        with exe:
            exe.checkpoint_path("last.pt").write_text("x")
            raise RuntimeError("of the code")

    with pytest.raises(RuntimeError):
        break_off()
    exe.upload_execution_outputs()
    assert exe.status is ExecutionStatus.Uploaded
    document = gc(call, "--delete")
    assert of(document, exe) == {}
    assert any("may be continued" in item["why"] for item in document["kept"])
    assert (exe.context.checkpoints / "last.pt").exists()


def test_one_that_is_taken_up_in_between_stays(ml: DerivaML, kept_staged: Run) -> None:
    exe = kept_staged()
    found = [item for item in find_garbage().garbage if item.rid == exe.rid]
    assert {item.kind for item in found} == {Kind.staged, Kind.checkpoints}
    path = exe.asset_file_path("Image", f"{exe.rid}-later.png")
    path.write_text("later")
    told = list(collect.collect(found, lambda _: None, delete_cached))
    assert all(isinstance(item, Kept) for item in told)
    assert path.read_text() == "later"


def test_a_process_that_owns_it_is_not_disturbed(
    ml: DerivaML, kept_staged: Run, fork: Callable[..., Any], tmp_path: Path
) -> None:
    exe = kept_staged()
    found = [item for item in find_garbage().garbage if item.rid == exe.rid]
    ready = tmp_path / "ready"

    def own() -> None:
        ml.resume_execution(exe.rid)
        ready.touch()
        time.sleep(60)

    child = fork(own)
    while not ready.exists():
        time.sleep(0.01)
    told = list(collect.collect(found, lambda _: None, delete_cached))
    assert [type(item) for item in told] == [Kept, Kept]
    assert "owned by process" in told[0].why
    child.kill()
    assert exe.context.staged.is_dir()
    told = list(collect.collect(found, lambda _: None, delete_cached))
    assert [type(item) for item in told] == [Garbage, Garbage]


def test_a_kill_in_the_middle_is_finished_by_the_next(
    call: Call, ml: DerivaML, kept_staged: Run, fork: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    exe = kept_staged()
    found = [item for item in find_garbage().garbage if item.rid == exe.rid and item.kind is Kind.staged]

    def die() -> None:
        monkeypatch.setattr(collect.shutil, "rmtree", lambda path: os._exit(7))
        list(collect.collect(found, lambda _: None, delete_cached))

    assert fork(die).wait() == 7
    assert not exe.context.staged.exists()
    left = exe.context.folder / "staged.being-deleted"
    assert left.is_dir()
    assert of(gc(call), exe)["leftover"]["path"] == str(left)
    gc(call, "--delete")
    assert not left.exists()


def test_a_catalog_that_is_away_keeps_everything(kept_staged: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    exe = kept_staged()
    from deriva_ml_prefect.exceptions import DerivaMLOfflineError
    from deriva_ml_prefect.transfer.client import HttpClient

    asked = []

    def refuse(self: object, *arguments: object, **_: object) -> None:
        asked.append(arguments)
        raise DerivaMLOfflineError("It is away. Repeat.")

    monkeypatch.setattr(HttpClient, "request", refuse)
    catalog = StillInCatalog()
    reasons = [catalog.why_not(item) for item in find_garbage().garbage if item.rid == exe.rid]
    assert reasons == ["its catalog could not be asked: It is away. Repeat."] * 2
    assert len(asked) == 1


@pytest.fixture
def dataset(ml: DerivaML, subjects: tuple[str, ...], workflow: Workflow) -> str:
    with ml.create_execution(workflow=workflow) as exe:
        made = exe.create_dataset(description="Two subjects")
        ml.add_dataset_element_type("Subject")
        made.add_dataset_members({"Subject": list(subjects[20:22])})
    exe.upload_execution_outputs()
    return made.dataset_rid


def age(*entries: Path) -> None:
    for entry in entries:
        os.utime(entry, (LONG_AGO, LONG_AGO))


def cached(home: Path, kind: str) -> list[Path]:
    return sorted(path for path in (home / "cache" / kind).glob("*") if path.is_dir())


def test_cache_by_age_and_size(
    call: Call, ml: DerivaML, home: Path, run: Run, workflow: Workflow, dataset: str
) -> None:
    asset = run().ml.list_assets("Image")[-1].asset_rid
    exe = ml.create_execution(
        workflow=workflow, datasets=[DatasetSpec(rid=dataset)], assets=[AssetSpec(rid=asset, cache=True)]
    )
    (bag,), (file,) = cached(home, "bags"), cached(home, "assets")
    assert gc(call, "--cache-older-than", "0", "--cache-over", "0")["garbage"] == []
    age(bag, file)
    # the execution is alive and reads them
    assert gc(call, "--cache-older-than", "1")["garbage"] == []
    with exe:
        pass
    exe.upload_execution_outputs()
    (link,) = gc(call, "--delete")["garbage"]
    assert (link["kind"], link["rid"]) == ("inputs", exe.rid)
    kinds = {item["kind"]: item for item in gc(call, "--cache-older-than", "1")["garbage"]}
    assert kinds.keys() == {"bag", "asset"}
    assert {item["kind"] for item in gc(call, "--cache-over", str(kinds["bag"]["bytes"]))["garbage"]} <= {
        "bag",
        "asset",
    }
    assert len(gc(call, "--cache-over", "1TB")["garbage"]) == 0
    gc(call, "--cache-older-than", "1", "--delete")
    assert cached(home, "bags") == cached(home, "assets") == []
    # it is there again for whoever needs it
    ml.create_execution(workflow=workflow, datasets=[dataset], assets=[AssetSpec(rid=asset, cache=True)])
    assert len(cached(home, "bags")) == len(cached(home, "assets")) == 1


def test_use_makes_an_entry_young_again(ml: DerivaML, home: Path, workflow: Workflow, dataset: str) -> None:
    ml.download_dataset_bag(DatasetSpec(rid=dataset))
    (bag,) = cached(home, "bags")
    age(bag)
    (item,) = find_cached(older_than=86400)
    ml.download_dataset_bag(DatasetSpec(rid=dataset))
    assert delete_cached(item) == "it was used meanwhile"
    assert bag.is_dir()
    assert find_cached(older_than=86400) == []


def test_bag_that_the_catalog_has_no_more_stays(ml: DerivaML, home: Path, dataset: str) -> None:
    ml.download_dataset_bag(DatasetSpec(rid=dataset))
    (bag,) = cached(home, "bags")
    age(bag)
    info = next(bag.glob("Dataset_*")) / "bag-info.txt"
    info.write_text(info.read_text().replace(dataset, "1-ZZZZ"))
    age(bag)
    (item,) = find_cached(over=0)
    assert "has no dataset 1-ZZZZ at snapshot" in str(StillInCatalog().why_not(item))


def test_what_killed_processes_left_in_the_cache(call: Call, home: Path) -> None:
    torn = home / "cache" / "bags" / ".1-ABC_X_123.0123456789abcdef"
    (torn / "Dataset_1-ABC").mkdir(parents=True)
    (torn / "Dataset_1-ABC" / "file").write_bytes(b"x" * 100)
    part = home / "cache" / "assets" / "1-AB_0" / ".0123.part"
    part.parent.mkdir(parents=True)
    part.write_text("half")
    fresh = part.with_name(".4567.part")
    fresh.write_text("half")
    os.utime(part, (LONG_AGO, LONG_AGO))
    with (home / "cache" / "bags" / "1-ABC_X_123.lock").open("w") as lock:
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX)
        assert [item["path"] for item in gc(call)["garbage"]] == [str(part)]
    assert {item["path"] for item in gc(call, "--delete")["garbage"]} == {str(torn), str(part)}
    assert not torn.exists()
    assert not part.exists()
    assert fresh.exists()


def test_what_goes_while_it_is_looked_at_is_passed_over(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that a download just finished, and an entry that another gc just deleted."""
    entry = home / "cache" / "assets" / "1-AB_0"
    entry.mkdir(parents=True)
    part = entry / ".0123.part"
    part.write_text("half")
    glob = Path.glob

    def globbed(folder: Path, pattern: str) -> list[Path]:
        found = list(glob(folder, pattern))
        if part in found:
            part.rename(entry / "whole")
        return found

    monkeypatch.setattr(Path, "glob", globbed)
    assert find_cached() == []
    assert not part.exists()

    def measured(folder: Path) -> tuple[int, int]:
        shutil.rmtree(folder)
        return 0, 0

    monkeypatch.setattr("deriva_ml_prefect.phases.collect_cache.size_of", measured)
    assert find_cached(over=0) == []
    assert not entry.exists()


def test_two_that_delete_the_same_at_once_do_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        (tmp_path / "x" / name).mkdir(parents=True)
        (tmp_path / "x" / name / "file").write_text("x")
    unlink, rename = os.unlink, Path.rename

    def second(*values: Any, **named: Any) -> None:
        unlink(*values, **named)
        unlink(*values, **named)

    monkeypatch.setattr(os, "unlink", second)
    collect.remove(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "y").mkdir()

    def too_late(path: Path, to: Path) -> Path:
        rename(path, tmp_path / "z")
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", too_late)
    collect.remove(tmp_path / "y")
    collect.remove(tmp_path / "gone.being-deleted")


def test_folders_that_end_while_they_are_looked_at_are_passed_over(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of a dry run that ends, or of an upload that tidies up."""
    folder = home / "dry-runs" / "1"
    folder.mkdir(parents=True)
    monkeypatch.setattr(collect, "DRY_RUNS", "dry-runs")
    monkeypatch.setattr(collect.ownership, "owner_of", lambda _: folder.rmdir())
    assert [item for item in find_garbage().garbage if item.path == folder] == []
    assert not folder.exists()


def test_wrong_usage(call: Call) -> None:
    for arguments in (["--cache-older-than", "-1"], ["--cache-over", "many"], ["--cache-older-than", "nan"]):
        assert call("gc", *arguments).returncode == 2, arguments


def test_empty_home(call: Call, tmp_path: Path) -> None:
    done = call("gc", "--delete", home=tmp_path / "new")
    assert done.returncode == 0
    assert "Deleted: 0 files, 0 bytes." in done.stdout
    shutil.rmtree(tmp_path / "new", ignore_errors=True)
    assert collect_cache.cache_size()[1] >= 0
