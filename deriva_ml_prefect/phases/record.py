"""Metadata files of an execution: its configuration, its surroundings, its flow run, and the record of the run."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from deriva_ml_prefect.catalog.assets import asset_table
from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.catalog.objects import download_object
from deriva_ml_prefect.catalog.rows import get_rows
from deriva_ml_prefect.catalog.urls import equals, table_name
from deriva_ml_prefect.config.settings import load_settings
from deriva_ml_prefect.journal import executions, inputs
from deriva_ml_prefect.journal.files import StagedFile, read_file
from deriva_ml_prefect.phases.checkpoint import continued_from
from deriva_ml_prefect.phases.context import Context, entry_of, journal_of
from deriva_ml_prefect.phases.scrubbing import scrubber
from deriva_ml_prefect.phases.seal import seal_file
from deriva_ml_prefect.phases.send import UploadOptions, for_own_files
from deriva_ml_prefect.phases.stage import Registration, write_output
from deriva_ml_prefect.phases.upload import upload_files
from deriva_ml_prefect.provenance.environment import environment_snapshot
from deriva_ml_prefect.provenance.lockfile import find_lockfile
from deriva_ml_prefect.provenance.uncommitted import uncommitted_code
from deriva_ml_prefect.values.flow_runs import link_name as link_name
from deriva_ml_prefect.values.liveness import promise_of_signs
from deriva_ml_prefect.values.names import ExecMetadataType, MLAsset
from deriva_ml_prefect.values.rid import RID
from deriva_ml_prefect.values.run_record import run_record_name
from deriva_ml_prefect.values.status import Outcome

UNCOMMITTED = "uncommitted.diff"
"""Name of the file that keeps what no commit has."""


@dataclass(frozen=True)
class MetadataFile:
    name: str
    asset_type: ExecMetadataType
    description: str
    content: bytes


def upload_metadata(context: Context) -> None:
    """Upload what is known when an execution begins, while it is Created. Done again, it sends only what is missing."""
    journal = journal_of(context)
    waiting: list[StagedFile] = []
    for item in _beginning(context):
        known = read_file(journal, context.rid, f"{MLAsset.execution_metadata}/{item.name}")
        if known is None or (known.status != "uploaded" and not known.path.exists()):
            known = _register(context, item)
        if known.status != "uploaded":
            waiting.append(seal_file(context, known))
    upload_files(context, waiting, for_own_files(UploadOptions()))


def register_document(context: Context, source: Path, name: str, asset_type: str, description: str) -> StagedFile:
    """Register a copy of a text that another program wrote of the run, e.g. a configuration: without its secrets."""
    content = source.read_bytes()
    text = content.decode("utf-8", "replace")
    clean = scrubber(context.home).text(text)
    registration = Registration(MLAsset.execution_metadata, name, asset_types=[asset_type], description=description)
    return write_output(context, registration, content if clean == text else clean.encode())


def _register(context: Context, item: MetadataFile) -> StagedFile:
    registration = Registration(
        MLAsset.execution_metadata, item.name, asset_types=[item.asset_type], description=item.description
    )
    return write_output(context, registration, item.content)


def _beginning(context: Context) -> list[MetadataFile]:
    entry = entry_of(context)
    workflow = entry.configuration.get("workflow") or {}
    git_root = workflow.get("git_root")
    began = datetime.fromisoformat(entry.created_at).strftime("%Y%m%d_%H%M%S")
    files = [
        MetadataFile(
            "configuration.json",
            ExecMetadataType.deriva_config,
            "Configuration of the execution",
            _json(dict(entry.configuration)),
        ),
        MetadataFile(
            f"environment_snapshot_{began}.txt",
            ExecMetadataType.runtime_env,
            # equal files share one row: this one holds the variable that the promise comes from
            f"Machine, interpreter and packages of the run. {promise_of_signs(load_settings().heartbeat)}".strip(),
            _json(environment_snapshot(scrubber(context.home))),
        ),
    ]
    if context.flow_run_id:
        link = {"flow_run_id": context.flow_run_id, "execution_rid": context.rid, "attempt": context.attempt}
        files.append(
            MetadataFile(
                link_name(context.flow_run_id),
                ExecMetadataType.execution_config,
                "The flow run that this execution belongs to",
                _json(link),
            )
        )
    uncommitted = uncommitted_code(git_root, workflow.get("url"), scrubber(context.home))
    if uncommitted is not None:
        files.append(
            MetadataFile(
                UNCOMMITTED,
                ExecMetadataType.execution_config,
                "Code that ran and is in no commit, as a diff against the last one",
                uncommitted.encode(),
            )
        )
    lock = find_lockfile(git_root)
    if lock is not None:
        files.append(
            MetadataFile(
                lock.name,
                ExecMetadataType.execution_config,
                "Locked dependencies",
                scrubber(context.home).text(lock.read_text(encoding="utf-8", errors="replace")).encode(),
            )
        )
    return files


def write_run_record(context: Context, *, seconds: dict[str, float]) -> StagedFile:
    """Register `deriva-ml-run-<RID>.json`: times, status history, attempts, outcome, flow run and durations."""
    entry = entry_of(context)
    journal = journal_of(context)
    history = executions.status_history(journal, context.rid)
    read = inputs.list_inputs(journal, context.rid)
    record = {
        "format": "deriva-ml-run",
        "format_version": 1,
        "execution_rid": context.rid,
        "outcome": entry.outcome.value,
        "error": entry.error if entry.outcome is not Outcome.completed else None,
        "created": entry.created_at,
        "started": entry.started_at,
        "stopped": entry.stopped_at,
        "durations_seconds": seconds,
        "attempt": entry.attempt,
        "supersedes": entry.supersedes,
        "continued_from": continued_from(context),
        "flow_run_id": context.flow_run_id,
        "status_history": [{"status": s.status.value, "detail": s.detail, "at": s.at} for s in history],
        "inputs": [{"kind": i.kind, "rid": i.rid, **_portable(dict(i.facts))} for i in read],
    }
    item = MetadataFile(
        run_record_name(context.rid), ExecMetadataType.execution_config, "Record of the run", _json(record)
    )
    return _register(context, item)


def has_completed(catalog: Catalog, rid: RID) -> bool:
    """Whether the record that an uploaded execution has of itself says that its code came to its end; so does none."""
    table = asset_table(catalog, MLAsset.execution_metadata)
    found = get_rows(
        catalog,
        f"entity/{table_name(table.schema, table.name)}/{equals('Filename', run_record_name(rid))}?limit=1",
    )
    if not found:
        return True
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "record.json"
        download_object(catalog, str(found[0]["URL"]), path, md5_hex=found[0]["MD5"], durable=False)
        outcome = json.loads(path.read_text(encoding="utf-8")).get("outcome")
    return bool(outcome == Outcome.completed)


def _portable(facts: dict[str, Any]) -> dict[str, Any]:
    """Facts about an input without what concerns this machine alone."""
    return {name: value for name, value in facts.items() if name != "path"}


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True, default=str).encode() + b"\n"
