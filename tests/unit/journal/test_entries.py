"""Executions, files, features, effects, inputs and flow runs in the journal."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deriva_ml_prefect.exceptions import DerivaMLValidationError
from deriva_ml_prefect.journal import effects, executions, features, files, flow_runs, inputs, manifest
from deriva_ml_prefect.journal.files import StagedFile
from deriva_ml_prefect.journal.store import Journal
from deriva_ml_prefect.values.effects import Effect, EffectState, Order, Receipt
from deriva_ml_prefect.values.status import ExecutionStatus

S = ExecutionStatus


def staged(name: str, description: str = "", **metadata: object) -> StagedFile:
    return StagedFile(
        f"Image/{name}", "lab", "Image", name, "new", Path("/staged") / name, None, ("Image",), metadata, description
    )


def test_status_and_history(journal: Journal) -> None:
    for status in (S.Running, S.Failed, S.Pending_Upload):
        executions.write_status(journal, "1-A", status, f"now {status}", owner=None)
    steps = executions.unsent_steps(journal, "1-A")
    assert [step.status for step in steps] == [S.Running, S.Failed, S.Pending_Upload]
    entry = executions.read_execution(journal, "1-A")
    assert entry is not None
    assert entry.error == "now Failed"
    assert entry.started_at is not None
    assert entry.stopped_at is not None
    executions.mark_sent(journal, "1-A", steps[1].number, "Failed")
    assert [step.status for step in executions.unsent_steps(journal, "1-A")] == [S.Pending_Upload]
    executions.adopt_status(journal, "1-A", S.Uploaded, None, "Uploaded")
    assert executions.unsent_steps(journal, "1-A") == []
    history = [step.status for step in executions.status_history(journal, "1-A")]
    assert history == [S.Created, S.Running, S.Failed, S.Pending_Upload, S.Uploaded]


def test_adding_an_execution_again_changes_nothing(journal: Journal) -> None:
    executions.write_status(journal, "1-A", S.Running, None, owner=None)
    executions.add_execution(journal, "1-A", address={}, workflow_rid=None, description="other", configuration={})
    entry = executions.read_execution(journal, "1-A")
    assert entry is not None
    assert (entry.description, entry.status) == ("a test", S.Running)
    assert len(executions.status_history(journal, "1-A")) == 2


def test_facts_are_merged(journal: Journal) -> None:
    executions.merge_facts(journal, "1-A", {"a": 1, "b": 2})
    executions.merge_facts(journal, "1-A", {"b": None, "c": 3})
    entry = executions.read_execution(journal, "1-A")
    assert entry is not None
    assert entry.facts == {"a": 1, "c": 3}


def test_superseding(journal: Journal) -> None:
    executions.add_execution(
        journal, "1-B", address={}, workflow_rid=None, description="", configuration={}, attempt=2, supersedes="1-A"
    )
    old, new = (executions.read_execution(journal, rid) for rid in ("1-A", "1-B"))
    assert old is not None
    assert new is not None
    assert (old.superseded_by, new.supersedes) == ("1-B", "1-A")
    assert executions.read_execution(journal, "1-C") is None


def test_registering_a_name_again_makes_it_pending(journal: Journal) -> None:
    files.add_file(journal, "1-A", staged("a.png"))
    files.mark_uploaded(journal, "1-A", {"Image/a.png": ("/hatrac/x", "1-F")})
    assert files.count_unsent(journal, "1-A") == 0
    files.mark_failed(journal, "1-A", {"Image/a.png": "too late"})
    stored = files.read_file(journal, "1-A", "Image/a.png")
    assert stored is not None
    assert (stored.status, stored.rid) == ("uploaded", "1-F")
    files.add_file(journal, "1-A", staged("a.png", "anew"))
    (again,) = files.list_files(journal, "1-A", unsent=True)
    assert (again.status, again.rid, again.description) == ("pending", None, "anew")


def stage(journal: Journal, values: dict[str, float], rid: str = "1-A") -> int:
    rows = [(target, json.dumps({"Subject": target, "Score": score})) for target, score in values.items()]
    return features.add_features(
        journal, rid, rows, feature_table="lab.T", feature_name="Score", target_table="Subject"
    )


def test_features(journal: Journal) -> None:
    assert stage(journal, {"1-S0": 0, "1-S1": 1 / 3}) == 2
    assert stage(journal, {"1-S2": 2 / 3}) == 1
    assert stage(journal, {"1-S3": 1, "1-S4": 4 / 3}) == 2
    assert stage(journal, {"1-S0": 7}, rid="1-B") == 1
    first, second, third = features.unsent_batches(journal, "1-A", "lab.T", most=2)
    assert [batch.rows for batch in (first, second, third)] == [2, 1, 2]
    (joined,) = features.unsent_batches(journal, "1-A", "lab.T")
    assert (joined.first, joined.last, joined.rows) == (first.first, third.last, 5)
    features.mark_uploaded(journal, "1-A", "lab.T", first.first, first.last)
    features.mark_failed(journal, "1-A", "lab.T", first.first, second.last, "refused")
    (summary,) = features.summarize(journal, "1-A")
    assert summary.rows == {"Uploaded": 2, "Failed": 1, "Pending": 2}
    assert features.count_unsent(journal, "1-A") == 3
    records = features.records_between(journal, "1-A", "lab.T", first.first, first.last)
    assert records == [{"Subject": "1-S0", "Score": 0}, {"Subject": "1-S1", "Score": 1 / 3}]
    seen = journal.connection.execute(
        "SELECT target, status, error FROM execution_state__feature_records WHERE execution_rid = '1-A' ORDER BY target"
    ).fetchall()
    assert [tuple(row) for row in seen] == [
        ("1-S0", "Uploaded", None),
        ("1-S1", "Uploaded", None),
        ("1-S2", "Failed", "refused"),
        ("1-S3", "Pending", None),
        ("1-S4", "Pending", None),
    ]


def test_a_value_is_staged_once_and_never_changed(journal: Journal) -> None:
    stage(journal, {"1-S0": 0.5, "1-S1": 0.25})
    assert stage(journal, {"1-S1": 0.25, "1-S2": 1}) == 1
    with pytest.raises(DerivaMLValidationError, match=r"Score of Subject 1-S0 is staged twice.*0\.5.*0\.75"):
        stage(journal, {"1-S3": 1, "1-S0": 0.75})
    assert features.count_unsent(journal, "1-A") == 3
    # in the same call too, and across batches of it
    with pytest.raises(DerivaMLValidationError, match="staged twice"):
        features.add_features(
            journal,
            "1-A",
            [("1-T", "[1]"), *((f"1-T{n}", "[1]") for n in range(features.BATCH_ROWS)), ("1-T", "[2]")],
            feature_table="lab.T",
            feature_name="Score",
            target_table="Subject",
        )
    assert features.count_unsent(journal, "1-A") == 3


def test_much_is_several_batches(journal: Journal) -> None:
    count = features.BATCH_ROWS + 1
    assert stage(journal, {f"1-S{n}": n for n in range(count)}) == count
    assert [batch.rows for batch in features.unsent_batches(journal, "1-A", "lab.T")] == [features.BATCH_ROWS, 1]


def test_effects_keep_their_receipt_while_their_payload_stays(journal: Journal) -> None:
    one, two = (Effect(f"bytes/{n}", Order.bytes, {"kind": "bytes", "n": n}, 10) for n in (1, 2))
    row = Effect("rows/Image/x", Order.asset_rows, {"kind": "asset_rows"})
    effects.plan_effects(journal, "1-A", [row, two, one])
    effects.note_progress(journal, "1-A", "bytes/1", {"job": "j"})
    effects.mark_delivered(journal, "1-A", [Receipt("bytes/1", {"url": "u"})])
    effects.mark_failed(journal, "1-A", {"bytes/1": "too late", "bytes/2": "refused"})
    assert [item.effect.key for item in effects.undelivered(journal, "1-A")] == ["bytes/2", "rows/Image/x"]
    assert effects.count_effects(journal, "1-A") == {
        EffectState.delivered: (1, 10),
        EffectState.failed: (1, 10),
        EffectState.planned: (1, 0),
    }
    (again,) = effects.plan_effects(journal, "1-A", [one])
    assert again.receipt == Receipt("bytes/1", {"url": "u"})
    (changed,) = effects.plan_effects(journal, "1-A", [Effect("bytes/1", Order.bytes, {"kind": "bytes", "n": 3}, 5)])
    assert (changed.receipt, changed.progress, changed.state) == (None, {}, EffectState.planned)
    effects.drop_undelivered_rows(journal, "1-A")
    assert [item.effect.key for item in effects.undelivered(journal, "1-A")] == ["bytes/1", "bytes/2"]


def test_inputs_and_flow_runs_and_leases(journal: Journal) -> None:
    inputs.note_input(journal, "1-A", "dataset", "1-D", {"version": "1.0.0"})
    inputs.note_input(journal, "1-A", "dataset", "1-D", {"path": "/x"})
    inputs.note_input(journal, "1-A", "asset", "1-F", {})
    (dataset,) = inputs.list_inputs(journal, "1-A", "dataset")
    assert dataset.facts == {"version": "1.0.0", "path": "/x"}
    assert len(inputs.list_inputs(journal, "1-A")) == 2
    flow_runs.bind_flow_run(journal, "run", 1, "1-A")
    flow_runs.bind_flow_run(journal, "run", 1, "1-OTHER")
    flow_runs.bind_flow_run(journal, "run", 2, "1-B")
    assert flow_runs.executions_of(journal, "run") == ["1-A", "1-B"]
    assert flow_runs.flow_run_of(journal, "1-B") == "run"
    assert flow_runs.flow_run_of(journal, "1-C") is None
    token, rid = flow_runs.lease_token(journal, "a purpose")
    assert rid is None
    flow_runs.note_lease(journal, token, "1-X")
    assert flow_runs.lease_token(journal, "a purpose") == (token, "1-X")
    flow_runs.drop_lease(journal, "a purpose")
    assert flow_runs.lease_token(journal, "a purpose")[0] != token


TEXT = st.text(alphabet=st.characters(blacklist_categories=("Cs",)), max_size=30)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries=st.dictionaries(TEXT, TEXT, max_size=6))
def test_manifest_appended_is_the_manifest_rewritten(tmp_path: Path, entries: dict[str, str]) -> None:
    listed = [staged(name, description, Camera=description) for name, description in entries.items()]
    manifest.rewrite(tmp_path, "1-A", [])
    assert manifest.read_manifest(tmp_path)["assets"] == {}
    for i, file in enumerate(listed):
        manifest.append_entry(tmp_path, "1-A", file)
        assert len(manifest.read_manifest(tmp_path)["assets"]) == i + 1
    appended = (tmp_path / manifest.FILE_NAME).read_bytes()
    manifest.rewrite(tmp_path, "1-A", listed)
    assert (tmp_path / manifest.FILE_NAME).read_bytes() == appended
    document = manifest.read_manifest(tmp_path)
    assert (document["version"], document["execution_rid"]) == (2, "1-A")
    manifest.settle(tmp_path, "1-A", [], len(listed))
    assert (tmp_path / manifest.FILE_NAME).read_bytes() == appended
    changed = [replace(file, description="changed") for file in listed]
    for file in changed:
        manifest.append_entry(tmp_path, "1-A", file)
    said = manifest.read_manifest(tmp_path)["assets"]
    assert {entry["description"] for entry in said.values()} == ({"changed"} if listed else set())
    manifest.settle(tmp_path, "1-A", changed, len(listed))
    text = (tmp_path / manifest.FILE_NAME).read_text()
    assert (json.loads(text)["assets"], text.count("\n")) == (said, len(listed) + 2)
    for file in listed[::2]:
        manifest.append_removal(tmp_path, file.key)
    kept = changed[1::2]
    assert list(manifest.read_manifest(tmp_path)["assets"]) == [file.key for file in kept]
    manifest.settle(tmp_path, "1-A", kept, len(kept))
    settled = (tmp_path / manifest.FILE_NAME).read_bytes()
    manifest.rewrite(tmp_path, "1-A", kept)
    assert (tmp_path / manifest.FILE_NAME).read_bytes() == settled


def test_manifest_of_a_file_that_comes_back(tmp_path: Path) -> None:
    file = staged("a.png")
    manifest.append_removal(tmp_path, file.key)
    assert not (tmp_path / manifest.FILE_NAME).exists()
    manifest.append_entry(tmp_path, "1-A", file)
    manifest.append_removal(tmp_path, file.key)
    assert manifest.read_manifest(tmp_path)["assets"] == {}
    manifest.append_entry(tmp_path, "1-A", replace(file, description="again"))
    assert manifest.read_manifest(tmp_path)["assets"][file.key]["description"] == "again"
    manifest.settle(tmp_path, "1-A", [file], 1)
    assert (tmp_path / manifest.FILE_NAME).read_text().count("\n") == 3


def test_manifest_that_threads_and_processes_write_together(
    tmp_path: Path, fork: Callable[[Callable[[], None]], Any]
) -> None:
    """A child that runs the user's code registers for its parent, and both have threads."""
    manifest.rewrite(tmp_path, "1-A", [])

    def register(who: str) -> None:
        for i in range(100):
            manifest.append_entry(tmp_path, "1-A", staged(f"{'x' * (i % 37)}{who}-{i}.png"))

    def register_in_threads(who: str) -> None:
        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(register, f"{who}{number}") for number in range(4)]:
                done.result(30)

    child = fork(lambda: register_in_threads("child"))
    register_in_threads("parent")
    assert child.wait() == 0
    assert len(manifest.read_manifest(tmp_path)["assets"]) == 800
    assert (tmp_path / manifest.FILE_NAME).read_text().count("\n") == 802


def test_rids_are_found_by_path_and_by_source(journal: Journal) -> None:
    made = {
        "a.png": staged("a.png"),
        "b.png": replace(staged("b.png"), source=Path("/data/b.png")),
        # its source is where another registered file lies: that path means the other
        "c.png": replace(staged("c.png"), source=Path("/staged/a.png")),
        "d.png": replace(staged("d.png"), source=Path("/data/b.png")),
        "waits.png": staged("waits.png"),
    }
    for file in made.values():
        files.add_file(journal, "1-A", file)
    rids = {f"Image/{name}.png": ("/hatrac/x", f"9-{name.upper()}") for name in "abcd"}
    files.mark_uploaded(journal, "1-A", rids)
    assert files.rids_by_path(journal, "1-A") == {
        "/staged/a.png": "9-A",
        "/staged/b.png": "9-B",
        "/staged/c.png": "9-C",
        "/staged/d.png": "9-D",
        "/data/b.png": "9-B",
    }


def test_a_process_forked_while_a_file_is_registered_keeps_nobody_from_the_manifest(
    tmp_path: Path, fork: Callable[[Callable[[], None]], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker of a DataLoader that outlives its killed parent has the parent's descriptors."""
    manifest.rewrite(tmp_path, "1-A", [])
    append = manifest._append
    writes, pids = threading.Event(), tmp_path / "pids"

    def slowly(document: int, line: str) -> None:
        writes.set()
        time.sleep(0.5)
        append(document, line)

    def killed() -> None:
        monkeypatch.setattr(manifest, "_append", slowly)
        threading.Thread(target=manifest.append_entry, args=(tmp_path, "1-A", staged("a.png")), daemon=True).start()
        assert writes.wait(10)
        worker = os.fork()
        if worker == 0:
            time.sleep(20)
            os._exit(0)
        pids.write_text(str(worker))
        os.kill(os.getpid(), signal.SIGKILL)

    assert fork(killed).wait() == -signal.SIGKILL
    worker = int(pids.read_text())
    try:
        descriptor = os.open(tmp_path / manifest.FILE_NAME, os.O_RDWR)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)
        manifest.append_entry(tmp_path, "1-A", staged("b.png"))
    finally:
        os.kill(worker, signal.SIGKILL)


def test_files_of_a_type_are_found_by_it_alone(journal: Journal) -> None:
    types = {
        "a.jsonl": ("Metrics_File",),
        "b.jsonl": ("Model", "Metrics_File"),
        "c.png": ("Not_a_Metrics_File",),
        "d": (),
    }
    for name, each in types.items():
        files.add_file(journal, "1-A", replace(staged(name), asset_types=each))
    assert files.paths_of_type(journal, "1-A", "Metrics_File") == [Path("/staged/a.jsonl"), Path("/staged/b.jsonl")]
    assert files.paths_of_type(journal, "1-B", "Metrics_File") == []
