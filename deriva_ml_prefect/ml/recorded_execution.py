"""An execution as the catalog tells of it, whoever ran it: status, inputs, outputs, and what it is a part of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deriva_ml_prefect.bags.layout import safe_name
from deriva_ml_prefect.catalog import assets, executions, workflows
from deriva_ml_prefect.catalog.connection import catalog_for
from deriva_ml_prefect.catalog.objects import download_object
from deriva_ml_prefect.exceptions import DerivaMLNotFoundError
from deriva_ml_prefect.ml.asset_file import AssetFacts, AssetFilePath
from deriva_ml_prefect.ml.dataset import Dataset
from deriva_ml_prefect.ml.workflow import RecordedWorkflow
from deriva_ml_prefect.phases.download import check_is
from deriva_ml_prefect.questions.inputs_and_outputs import InputDataset, execution_assets, input_datasets
from deriva_ml_prefect.questions.liveness import with_liveness
from deriva_ml_prefect.questions.nesting import nested_executions
from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.liveness import Liveness
from deriva_ml_prefect.values.names import AssetRole, MLAsset
from deriva_ml_prefect.values.records import AssetRecord, ExecutionRecord
from deriva_ml_prefect.values.status import ExecutionStatus


class RecordedExecution:
    """A handle on one row of Execution, as it was when it was read; what it is linked to is asked for anew each time.

    It reads only. `ml.resume_execution(rid)` gives one that can be added to and uploaded, on the machine that ran it.
    """

    def __init__(self, address: Address, record: ExecutionRecord) -> None:
        self.address = address
        self.record = record

    @property
    def execution_rid(self) -> str:
        return self.record.rid

    rid = execution_rid

    @property
    def status(self) -> ExecutionStatus:
        return self.record.status

    @property
    def stored_status(self) -> str | None:
        """What the row holds to the letter; older releases write other words."""
        return self.record.stored_status

    @property
    def status_detail(self) -> str | None:
        return self.record.status_detail

    @property
    def description(self) -> str | None:
        return self.record.description

    @property
    def created(self) -> str:
        """RCT, ISO 8601."""
        return self.record.created

    @property
    def modified(self) -> str:
        """RMT: the last change, heartbeats included."""
        return self.record.modified

    @property
    def liveness(self) -> Liveness | None:
        """Whether its process was at work when this was read: alive, silent, dead or settled."""
        return self.record.liveness

    @property
    def last_sign_of_life(self) -> str | None:
        """When its process was last known to be at work, ISO 8601."""
        return self.record.last_sign_of_life

    @property
    def durations(self) -> Mapping[str, str]:
        """By phase: `execution`, `download`, `upload`."""
        return self.record.durations

    @property
    def workflow_rid(self) -> str | None:
        return self.record.workflow_rid

    @property
    def workflow(self) -> RecordedWorkflow | None:
        """The code that ran."""
        if self.workflow_rid is None:
            return None
        return RecordedWorkflow(self.address, workflows.read_workflow(catalog_for(self.address), self.workflow_rid))

    @property
    def input_datasets(self) -> tuple[InputDataset, ...]:
        """The datasets that were read, with their versions."""
        return input_datasets(catalog_for(self.address), self.rid)

    def list_input_datasets(self) -> list[Dataset]:
        """The datasets that were read, as handles."""
        return [Dataset(self.address, dataset.rid) for dataset in self.input_datasets]

    def list_assets(self, asset_role: str | None = None) -> list[Asset]:
        """The assets that were read and made, or those of one role (`Input`, `Output`)."""
        records = execution_assets(catalog_for(self.address), self.rid, asset_role)
        return [Asset(self.address, record) for record in records]

    @property
    def input_assets(self) -> list[Asset]:
        return self.list_assets(AssetRole.input)

    @property
    def output_assets(self) -> list[Asset]:
        """The assets that were made, without the execution's metadata files."""
        return [
            asset for asset in self.list_assets(AssetRole.output) if asset.asset_table != MLAsset.execution_metadata
        ]

    @property
    def metadata(self) -> list[Asset]:
        """The metadata files: configuration, environment, metrics, run record."""
        catalog = catalog_for(self.address)
        table = assets.asset_table(catalog, (self.address.ml_schema, MLAsset.execution_metadata))
        records = assets.list_assets(catalog, table, execution_rid=self.rid, role=AssetRole.output)
        return [Asset(self.address, record) for record in records]

    def list_execution_children(self, recurse: bool = False) -> list[RecordedExecution]:
        """The executions that are parts of this one, in their order; `recurse` adds the parts of those."""
        return [RecordedExecution(self.address, r) for r in nested_executions(self.address, self.rid, recurse=recurse)]

    def list_execution_parents(self, recurse: bool = False) -> list[RecordedExecution]:
        """The executions that this one is a part of; `recurse` adds what those are parts of."""
        records = nested_executions(self.address, self.rid, parents=True, recurse=recurse)
        return [RecordedExecution(self.address, record) for record in records]

    def is_nested(self) -> bool:
        """Whether it is a part of another execution."""
        return bool(executions.list_nested(catalog_for(self.address), self.rid, parents=True))

    def is_parent(self) -> bool:
        """Whether other executions are parts of it."""
        return bool(executions.list_nested(catalog_for(self.address), self.rid))

    def __repr__(self) -> str:
        return f"RecordedExecution({self.rid}, {self.status} in {self.address})"


class Asset:
    """A handle on one row of an asset table, as it was when it was read."""

    def __init__(self, address: Address, record: AssetRecord) -> None:
        self.address = address
        self.record = record

    @property
    def asset_rid(self) -> str:
        return self.record.rid

    rid = asset_rid

    @property
    def asset_table(self) -> str:
        """Name of the asset table, without schema."""
        return self.record.asset_table

    @property
    def filename(self) -> str | None:
        return self.record.filename

    @property
    def url(self) -> str:
        return self.record.url

    @property
    def length(self) -> int:
        """Bytes."""
        return self.record.length

    @property
    def md5(self) -> str:
        return self.record.md5

    @property
    def description(self) -> str | None:
        return self.record.description

    @property
    def asset_types(self) -> list[str]:
        """Terms of Asset_Type."""
        return list(self.record.asset_types)

    @property
    def metadata(self) -> dict[str, Any]:
        """Metadata columns and their values."""
        return dict(self.record.metadata)

    def list_executions(self, asset_role: str | None = None) -> list[RecordedExecution]:
        """The executions that made or read the file, or those of one role (`Output` made it, `Input` read it)."""
        catalog = catalog_for(self.address)
        table = assets.asset_table(catalog, (self.record.schema, self.record.asset_table))
        links = assets.list_asset_executions(catalog, table, self.rid, role=asset_role)
        records = {r.rid: r for r in executions.read_executions(catalog, [rid for rid, _ in links])}
        return [RecordedExecution(self.address, records[rid]) for rid, _ in links]

    def download(self, dest_dir: str | Path) -> AssetFilePath:
        """Fetch the file into a folder, verified, without linking it to any execution.

        One that is there already is used if it is the asset; another of that name is DerivaMLValidationError.
        """
        record = self.record
        # a row of the catalog may hold any text as a name
        name = safe_name(record.filename or record.rid)
        path = Path(dest_dir) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink() or path.exists():
            check_is(record, path)
        else:
            download_object(catalog_for(self.address), record.url, path, md5_hex=record.md5, length=record.length)
        facts = AssetFacts(
            record.asset_table, name, record.asset_types, record.metadata, record.description or "", record.rid
        )
        return AssetFilePath.of(path, facts)

    def __repr__(self) -> str:
        return f"Asset({self.asset_table} {self.rid}, {self.filename!r} in {self.address})"


def lookup(address: Address, execution_rid: str) -> RecordedExecution:
    """The execution of that RID; DerivaMLNotFoundError if there is none."""
    record = executions.read_execution(catalog_for(address), execution_rid)
    if record is None:
        raise DerivaMLNotFoundError(f"Catalog {address} has no execution {execution_rid}.")
    (record,) = with_liveness(address, [record])
    return RecordedExecution(address, record)
