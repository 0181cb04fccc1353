"""Executions, files, features, effects, inputs and flow runs in the journal."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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


def test_features(journal: Journal) -> None:
    rows = [(f"1-S{i}", {"Subject": f"1-S{i}", "Score": i / 3}) for i in range(5)]
    features.add_features(journal, "1-A", rows, feature_table="lab.T", feature_name="Score", target_table="Subject")
    first = features.unsent_rows(journal, "1-A", "lab.T", after=0, limit=2)
    assert [row.record["Score"] for row in first] == [0, 1 / 3]
    ends = (first[0].stage_id, first[1].stage_id)
    features.mark_uploaded(journal, "1-A", "lab.T", *ends)
    features.mark_failed(journal, "1-A", "lab.T", ends[0], ends[1] + 1, "refused")
    (summary,) = features.summarize(journal, "1-A")
    assert summary.rows == {"Uploaded": 2, "Failed": 1, "Pending": 2}
    assert features.count_unsent(journal, "1-A") == 3
    assert [row.record for row in features.rows_between(journal, "1-A", "lab.T", *ends)] == [r for _, r in rows[:2]]


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
