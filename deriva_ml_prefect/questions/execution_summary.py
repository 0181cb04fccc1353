"""What one execution read and made, as the catalog tells it, and what this machine knows of it besides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deriva_ml_prefect.catalog import executions, features, rows, workflows
from deriva_ml_prefect.catalog.connection import Catalog, catalog_for
from deriva_ml_prefect.catalog.urls import equals, quote, table_name
from deriva_ml_prefect.config.settings import load_settings
from deriva_ml_prefect.exceptions import DerivaMLNotFoundError
from deriva_ml_prefect.journal import effects, ownership
from deriva_ml_prefect.journal import executions as journal_executions
from deriva_ml_prefect.journal import features as journal_features
from deriva_ml_prefect.journal import files as journal_files
from deriva_ml_prefect.journal.store import FILE_NAME, open_journal
from deriva_ml_prefect.questions.inputs_and_outputs import InputDataset, execution_assets, input_datasets
from deriva_ml_prefect.questions.liveness import with_liveness
from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.feature_counts import told_counts
from deriva_ml_prefect.values.flow_runs import flow_run_in
from deriva_ml_prefect.values.names import AssetRole
from deriva_ml_prefect.values.records import AssetRecord, ExecutionRecord, WorkflowRecord
from deriva_ml_prefect.values.rid import RID, check_rid
from deriva_ml_prefect.values.run_record import run_record_name


@dataclass(frozen=True)
class LocalState:
    """What the workspace of this machine knows."""

    folder: str
    status: str
    outcome: str
    user_code: str
    owner_alive: bool
    files_waiting: int
    features_waiting: int
    superseded_by: RID | None
    effects: Mapping[str, int]
    """Planned writes by state."""


@dataclass(frozen=True)
class ExecutionSummary:
    address: Address
    url: str
    """Address of the row in a browser."""
    execution: ExecutionRecord
    workflow: WorkflowRecord | None
    input_datasets: tuple[InputDataset, ...]
    input_assets: tuple[AssetRecord, ...]
    output_assets: tuple[AssetRecord, ...]
    features: Mapping[str, int]
    """`<Target>.<Feature>` → rows of this execution."""
    run_record: Mapping[str, Any] | None
    """Content of `deriva-ml-run-<RID>.json`; None before the upload."""
    local: LocalState | None

    flow_runs: tuple[str, ...] = ()
    """Ids of the Prefect flow runs that it belongs to, as its files in the catalog name them."""

    @property
    def flow_run_id(self) -> str | None:
        """The flow run that it belongs to; None for an execution without Prefect."""
        return self.flow_runs[-1] if self.flow_runs else None

    def address_of(self, rid: RID) -> str:
        """Address of another row of this catalog in a browser."""
        return f"{self.url.rpartition('/')[0]}/{rid}"

    @property
    def bytes_uploaded(self) -> int:
        """Bytes of all output files."""
        return sum(asset.length for asset in self.output_assets)

    @property
    def rows_uploaded(self) -> int:
        """Rows of output assets and feature values."""
        return len(self.output_assets) + sum(self.features.values())

    @property
    def outcome(self) -> str:
        """What became of the user's code: completed, failed, killed or unknown."""
        if self.run_record:
            return str(self.run_record.get("outcome", "unknown"))
        return self.local.outcome if self.local else "unknown"


def summarize_execution(address: Address, rid: RID) -> ExecutionSummary:
    """Everything about one execution; DerivaMLNotFoundError when the catalog has no such row."""
    catalog = catalog_for(address)
    record = executions.read_execution(catalog, check_rid(rid, "Execution RID"))
    if record is None:
        raise DerivaMLNotFoundError(
            f"Catalog {address} has no execution {rid}. Check the RID, and the catalog with --host and --catalog."
        )
    (record,) = with_liveness(address, [record])
    outputs = execution_assets(catalog, rid, AssetRole.output)
    return ExecutionSummary(
        address=address,
        url=row_address(catalog, rid),
        execution=record,
        workflow=workflows.read_workflow(catalog, record.workflow_rid) if record.workflow_rid else None,
        input_datasets=input_datasets(catalog, rid),
        input_assets=execution_assets(catalog, rid, AssetRole.input),
        output_assets=outputs,
        features=_features(catalog, rid),
        run_record=_run_record(catalog, rid, outputs),
        local=local_state(load_settings().workspace(address), rid),
        flow_runs=tuple(found for asset in outputs if (found := flow_run_in(asset.filename or ""))),
    )


def row_address(catalog: Catalog, rid: RID) -> str:
    """Address of a row in a browser."""
    return f"{catalog.base_url}/id/{catalog.address.catalog_id}/{rid}"


def _features(catalog: Catalog, rid: RID) -> dict[str, int]:
    counts: dict[tuple[str, str], int] = {}
    for feature in features.find_features(catalog):
        path = f"{table_name(feature.schema, feature.table)}/{equals(feature.execution_column, rid)}"
        counted = rows.get_rows(catalog, f"aggregate/{path}/n:=cnt({quote('RID')})")
        if counted and counted[0]["n"]:
            counts[feature.schema, f"{feature.target_table}.{feature.name}"] = int(counted[0]["n"])
    return told_counts(counts)


def _run_record(catalog: Catalog, rid: RID, outputs: tuple[AssetRecord, ...]) -> dict[str, Any] | None:
    named = [asset for asset in outputs if asset.filename == run_record_name(rid)]
    if not named:
        return None
    # an additive upload writes a further record; the last one tells all
    path = named[-1].url
    content: dict[str, Any] = catalog.client.request("GET", path, want_json=False).json()
    return content


def local_state(workspace: Path, rid: RID) -> LocalState | None:
    """What the journal of a workspace knows of an execution; None without one."""
    if not (workspace / FILE_NAME).exists():
        return None
    journal = open_journal(workspace)
    entry = journal_executions.read_execution(journal, rid)
    if entry is None:
        return None
    folder = workspace / "executions" / rid
    owner = ownership.owner_of(folder)
    return LocalState(
        folder=str(folder),
        status=entry.status.value,
        outcome=entry.outcome.value,
        user_code=entry.user_code,
        owner_alive=bool(owner and owner.alive),
        files_waiting=journal_files.count_unsent(journal, rid),
        features_waiting=journal_features.count_unsent(journal, rid),
        superseded_by=entry.superseded_by,
        effects={state.value: count for state, (count, _) in effects.count_effects(journal, rid).items()},
    )
