"""What one execution has read and made, as the journal of this machine tells it: no catalog is asked.

For telling others about an execution while it runs: asking the catalog each time would cost it requests.
"""

from __future__ import annotations

from pathlib import Path

from deriva_ml_prefect.catalog.connection import catalog_for
from deriva_ml_prefect.journal import executions, features, files, inputs
from deriva_ml_prefect.journal.executions import Entry
from deriva_ml_prefect.journal.files import StagedFile
from deriva_ml_prefect.journal.inputs import Input
from deriva_ml_prefect.journal.store import open_journal
from deriva_ml_prefect.questions.execution_summary import ExecutionSummary, local_state, row_address
from deriva_ml_prefect.questions.inputs_and_outputs import InputDataset
from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.feature_counts import told_counts
from deriva_ml_prefect.values.flow_runs import flow_run_in
from deriva_ml_prefect.values.names import MLAsset
from deriva_ml_prefect.values.records import AssetRecord, ExecutionRecord, WorkflowRecord
from deriva_ml_prefect.values.rid import RID


def summarize_locally(address: Address, workspace: Path, rid: RID) -> ExecutionSummary | None:
    """The execution as this machine knows it; None when its journal does not. A file that has no row has no RID."""
    journal = open_journal(workspace)
    entry = executions.read_execution(journal, rid)
    if entry is None:
        return None
    read = inputs.list_inputs(journal, rid)
    # what each is for in this execution; what the catalog says of a dataset is not known here
    purposes = {each["rid"]: each.get("description") for each in entry.configuration.get("datasets") or ()}
    made = sorted(files.list_files(journal, rid), key=lambda f: (f.asset_table == MLAsset.execution_metadata, f.key))
    return ExecutionSummary(
        address=address,
        url=row_address(catalog_for(address), rid),
        execution=_record(entry),
        workflow=_workflow(entry),
        input_datasets=tuple(
            InputDataset(item.rid, item.facts.get("version"), purposes.get(item.rid))
            for item in read
            if item.kind == "dataset"
        ),
        input_assets=tuple(_input_asset(item) for item in read if item.kind == "asset"),
        output_assets=tuple(_output_asset(file) for file in made),
        features=told_counts({item.name: sum(item.rows.values()) for item in features.summarize(journal, rid)}),
        run_record=None,
        local=local_state(workspace, rid),
        flow_runs=tuple(found for file in made if (found := flow_run_in(file.file_name))),
    )


def _record(entry: Entry) -> ExecutionRecord:
    return ExecutionRecord(
        entry.rid,
        entry.workflow_rid,
        entry.description,
        entry.status,
        entry.catalog_status,
        entry.status_detail,
        entry.created_at,
        entry.last_activity,
        {
            name: f"{float(entry.facts[f'{name}_seconds']):.1f} s"
            for name in ("download", "execution", "upload")
            if entry.facts.get(f"{name}_seconds") is not None
        },
    )


def _workflow(entry: Entry) -> WorkflowRecord | None:
    said = entry.configuration.get("workflow") or {}
    if entry.workflow_rid is None:
        return None
    return WorkflowRecord(
        entry.workflow_rid,
        said.get("name"),
        said.get("url"),
        said.get("checksum"),
        said.get("version"),
        said.get("description"),
        tuple(said.get("workflow_type") or ()),
    )


def _input_asset(item: Input) -> AssetRecord:
    facts = item.facts
    return AssetRecord(
        item.rid,
        str(facts.get("asset_table", "")),
        facts.get("file_name"),
        "",
        int(facts.get("length") or 0),
        str(facts.get("md5", "")),
        asset_types=tuple(facts.get("asset_types") or ()),
    )


def _output_asset(file: StagedFile) -> AssetRecord:
    return AssetRecord(
        file.rid or "",
        file.asset_table,
        file.file_name,
        file.url or "",
        file.length or 0,
        file.md5 or "",
        file.description,
        file.asset_types,
    )
