"""One run of the user's code: inputs on this machine, outputs registered, status told, everything uploaded."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from deriva_ml_prefect.bags.read import open_bag
from deriva_ml_prefect.catalog import assets, executions
from deriva_ml_prefect.catalog.files import FileSpec
from deriva_ml_prefect.config.asset import AssetSpec
from deriva_ml_prefect.config.dataset import DatasetSpec
from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.exceptions import DerivaMLReadOnlyError, DerivaMLValidationError
from deriva_ml_prefect.journal import features as journal_features
from deriva_ml_prefect.journal import files as journal_files
from deriva_ml_prefect.journal import inputs, ownership
from deriva_ml_prefect.journal.disk import make_folder
from deriva_ml_prefect.journal.files import StagedFile
from deriva_ml_prefect.ml.absent import OF_EXECUTION, KnowsAbsent
from deriva_ml_prefect.ml.asset_file import AssetFacts, AssetFilePath
from deriva_ml_prefect.ml.bag import DatasetBag
from deriva_ml_prefect.ml.current import use_execution
from deriva_ml_prefect.ml.dataset import Dataset
from deriva_ml_prefect.ml.feature import FeatureRecord, feature_of, plain_records
from deriva_ml_prefect.ml.metrics_log import log_metrics
from deriva_ml_prefect.phases import checkpoint, download, lifecycle, make_dataset, remind, run, stage
from deriva_ml_prefect.phases.add_files import add_files
from deriva_ml_prefect.phases.advance import advance
from deriva_ml_prefect.phases.close import check_complete
from deriva_ml_prefect.phases.context import Context, catalog_of, check_writable, entry_of, journal_of, writer_elsewhere
from deriva_ml_prefect.phases.send import CHUNK_SIZE, UploadOptions
from deriva_ml_prefect.values.feature_counts import told_counts
from deriva_ml_prefect.values.names import AssetRole, ExecMetadataType, MLAsset
from deriva_ml_prefect.values.objects import check_filename
from deriva_ml_prefect.values.progress import ProgressCallback
from deriva_ml_prefect.values.status import ExecutionStatus, check_transition

if TYPE_CHECKING:
    from deriva_ml_prefect.ml.deriva_ml import DerivaML

METRICS_FILE = "metrics.jsonl"
LOOK_SECONDS = 1.0
"""How often `log_metrics` looks whether it may still write."""


@dataclass(frozen=True)
class Staged:
    """What an execution has staged, for inspection before it is uploaded."""

    files: tuple[AssetFilePath, ...]
    features: Mapping[str, int]
    """`<Target>.<Feature>` → number of values that are not in the catalog yet; see `told_counts`."""


class Execution(KnowsAbsent):
    """A handle on one execution. `with` brings it to Running, and on to Stopped or Failed; it never uploads."""

    _instead = OF_EXECUTION

    def __init__(self, ml: DerivaML, context: Context) -> None:
        self.ml = ml
        self.context = context
        self._current: Any = None
        self._metrics: dict[tuple[int, str], Path] = {}
        self._looked = 0.0
        """Monotonic time at which `log_metrics` last saw that it may still write."""

    @property
    def execution_rid(self) -> str:
        """RID of the row in `deriva-ml:Execution`; `0000` in a dry run."""
        return self.context.rid

    rid = execution_rid

    @property
    def working_dir(self) -> Path:
        """Scratch folder of this execution. What is written here is not uploaded: use `asset_file_path`."""
        make_folder(self.context.work)
        return self.context.work

    def checkpoint_path(self, name: str) -> Path:
        """Where a checkpoint is, or is to be written; a retry that begins a new execution finds it under the same name.

        It is kept across attempts and uploads, and is not uploaded itself unless `asset_file_path` registers it.
        """
        return checkpoint.checkpoint_path(self.context, name)

    @property
    def read_only(self) -> bool:
        """Whether another process writes this execution: rank 0 of its training, or the parent of this fork."""
        return writer_elsewhere(self.context) is not None

    @property
    def configuration(self) -> ExecutionSpec:
        """The configuration that the execution was created with."""
        return ExecutionSpec.model_validate(entry_of(self.context).configuration)

    @property
    def datasets(self) -> list[DatasetSpec]:
        """The dataset specs of the configuration."""
        return self.configuration.datasets

    @property
    def workflow_rid(self) -> str | None:
        return entry_of(self.context).workflow_rid

    @property
    def status(self) -> ExecutionStatus:
        return entry_of(self.context).status

    @property
    def dry_run(self) -> bool:
        return self.context.dry_run

    @property
    def asset_paths(self) -> dict[str, list[AssetFilePath]]:
        """Downloaded input assets, by asset table."""
        found: dict[str, list[AssetFilePath]] = {}
        for item in inputs.list_inputs(journal_of(self.context), self.context.rid, "asset"):
            facts = AssetFacts(
                item.facts["asset_table"],
                item.facts["file_name"],
                tuple(item.facts.get("asset_types", ())),
                asset_rid=item.rid,
            )
            found.setdefault(facts.asset_table, []).append(AssetFilePath.of(Path(item.facts["path"]), facts))
        return found

    def download_dataset_bag(self, dataset: DatasetSpec | str) -> DatasetBag:
        """The bag of a dataset, from the cache where it is. A dataset of the configuration has its recorded version."""
        spec = DatasetSpec.from_shorthand(dataset) if isinstance(dataset, str) else dataset
        facts = download.fetch_dataset(self.context, spec)
        return DatasetBag(open_bag(facts.path))

    def download_asset(
        self,
        asset_rid: str,
        dest_dir: str | Path | None = None,
        update_catalog: bool = True,
        *,
        use_cache: bool = False,
    ) -> AssetFilePath:
        """Fetch one asset, verified; `update_catalog` links it to the execution as an input."""
        if update_catalog:
            check_writable(self.context)
        spec = AssetSpec(rid=asset_rid, cache=use_cache)
        catalog = catalog_of(self.context)
        record = assets.read_asset(catalog, spec.rid)
        folder = Path(dest_dir) if dest_dir else download.input_folder(self.context, record)
        path = download.fetch_asset(self.context, record, folder, cache=spec.cache, given=dest_dir is not None)
        if update_catalog and not self.context.dry_run:
            table = assets.asset_table(catalog, (record.schema, record.asset_table))
            assets.link_assets(catalog, table, self.context.rid, [record.rid], AssetRole.input)
        facts = AssetFacts(
            record.asset_table,
            path.name,
            record.asset_types,
            record.metadata,
            record.description or "",
            record.rid,
        )
        return AssetFilePath.of(path, facts)

    def asset_file_path(
        self,
        asset_name: str,
        file_name: str | Path,
        asset_types: Sequence[str] | str | None = None,
        copy_file: bool = False,
        rename_file: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        description: str = "",
        **columns: Any,
    ) -> AssetFilePath:
        """Register an output file and get the path to write it to.

        A name that does not exist is a new file: write it after the call. An existing file is linked into the staging
        folder, or copied with `copy_file`. Types default to the table's name; `metadata` and further keywords are
        metadata columns. The registration is durable when this returns.
        """
        if asset_types is None:
            types = None
        else:
            types = [str(asset_types)] if isinstance(asset_types, str) else [str(t) for t in asset_types]
        request = stage.Registration(
            str(asset_name),
            str(file_name),
            copy_file=copy_file,
            rename_file=rename_file,
            asset_types=types,
            description=description,
            metadata={**(metadata or {}), **columns},
        )
        return self._path(stage.register_file(self.context, request))

    def metrics_file(self, filename: str = METRICS_FILE) -> AssetFilePath:
        """The file for metrics, registered at first call; each name is a file of its own."""
        check_writable(self.context)
        known = journal_files.read_file(
            journal_of(self.context), self.context.rid, f"{MLAsset.execution_metadata}/{check_filename(filename)}"
        )
        if known is not None:
            return self._path(known)
        request = stage.Registration(
            MLAsset.execution_metadata, filename, asset_types=[ExecMetadataType.metrics_file], always_new=True
        )
        return self._path(stage.register_file(self.context, request))

    def log_metrics(self, values: Mapping[str, Any], step: int | None = None, *, filename: str = METRICS_FILE) -> None:
        """Append one record to the metrics file: in the file on return, on the disk within a second.

        Values are numbers (also of NumPy and torch), texts, truth values or None; one that is not finite is written as
        null beside a key `<name>_note`.
        """
        path = self._metrics.get((os.getpid(), filename))
        if path is not None and time.monotonic() > self._looked + LOOK_SECONDS:
            # not at each call, which takes microseconds: who was taken over from must not write into what is uploaded
            check_writable(self.context)
            self._looked = time.monotonic()
        if path is None:
            file = self.metrics_file(filename)
            if file.asset_rid is not None:
                raise DerivaMLReadOnlyError(
                    f"{filename} of execution {self.context.rid} is in the catalog already. "
                    "Log further metrics with another filename=."
                )
            path = self._metrics[os.getpid(), filename] = Path(file)
        log_metrics(path, values, step)

    def add_features(self, features: Iterable[FeatureRecord]) -> int:
        """Stage feature values, all of one feature; they are inserted at the upload. The number given."""
        given = iter(features)
        first = next(given, None)
        if first is None:
            raise ValueError("add_features() was given no records.")
        feature = feature_of(first)
        return stage.stage_features(self.context, feature.definition, plain_records(feature, chain([first], given)))

    def unstage_features(self, records: Iterable[FeatureRecord] | type[FeatureRecord]) -> int:
        """Drop staged values that are not in the catalog yet: those for the targets of the records, or all of a class.

        How many were dropped. It is the way out when the catalog refuses a value, e.g. one of a row that is not there.
        """
        if isinstance(records, type):
            return stage.unstage_features(self.context, records.feature.definition, None)
        given = list(records)
        if not given:
            return 0
        feature = feature_of(given[0])
        targets = [str(row[feature.definition.target_column]) for row in plain_records(feature, given)]
        return stage.unstage_features(self.context, feature.definition, targets)

    def staged(self) -> Staged:
        """What is staged, to be looked at before it is committed to the catalog."""
        journal = journal_of(self.context)
        files = journal_files.list_files(journal, self.context.rid, unsent=True)
        features = {
            item.name: sum(n for state, n in item.rows.items() if state != "Uploaded")
            for item in journal_features.summarize(journal, self.context.rid)
        }
        return Staged(tuple(self._path(file) for file in files), told_counts(features))

    def update_status(
        self, status: ExecutionStatus | str, message: str | None = None, *, error: str | None = None
    ) -> None:
        """Change the status, or give it a new message under the same status; the catalog shows it at once."""
        try:
            target = ExecutionStatus(status)
        except ValueError:
            raise DerivaMLValidationError(
                f"{status!r} is no status. The statuses are {', '.join(ExecutionStatus)}."
            ) from None
        if target is ExecutionStatus.Uploaded and self.status is ExecutionStatus.Pending_Upload:
            check_complete(self.context)
        advance(self.context, target, message if message is not None else error)
        if target in (ExecutionStatus.Uploaded, ExecutionStatus.Aborted):
            ownership.release(self.context.folder)

    def create_dataset(
        self,
        dataset_types: Sequence[str] | str | None = None,
        version: str | None = None,
        description: str = "",
    ) -> Dataset:
        """Make a dataset that this execution produces; types are terms of Dataset_Type, the version begins at 0.1.0."""
        check_writable(self.context)
        if self.context.dry_run:
            raise DerivaMLReadOnlyError("A dry run makes no datasets.")
        types = [dataset_types] if isinstance(dataset_types, str) else list(dataset_types or ())
        rid = make_dataset.make_dataset(
            self.context.address,
            types=types,
            version=version,
            description=description,
            execution_rid=self.context.rid,
        )
        return Dataset(self.context.address, rid, execution_rid=self.context.rid)

    def add_files(
        self,
        files: Iterable[FileSpec],
        dataset_types: Sequence[str] | str | None = None,
        description: str = "",
        *,
        root_name: str | None = None,
    ) -> Dataset:
        """Tell of files that stay where they are: a row a file, a dataset a folder, nested; the root's dataset.

        Specs come from `FileSpec.create_filespecs(path)`. Types are added to `File` and `Directory`.
        """
        check_writable(self.context)
        if self.context.dry_run:
            raise DerivaMLReadOnlyError("A dry run adds no files.")
        types = [dataset_types] if isinstance(dataset_types, str) else list(dataset_types or ())
        rid = add_files(self.context, files, dataset_types=types, root_name=root_name, description=description)
        return Dataset(self.context.address, rid, execution_rid=self.context.rid)

    def add_nested_execution(self, nested: Execution | str, sequence: int | None = None) -> None:
        """Say that another execution is part of this one; `sequence` is its place, None for parallel ones."""
        check_writable(self.context)
        rid = nested.execution_rid if isinstance(nested, Execution) else nested
        executions.link_nested(catalog_of(self.context), self.context.rid, rid, sequence=sequence)

    def execution_start(self) -> None:
        """Begin the run without a `with` block: status Running."""
        run.start(self.context)

    def execution_stop(self) -> None:
        """End the run without a `with` block: status Stopped; InvalidTransitionError unless it runs."""
        check_writable(self.context)
        check_transition(self.status, ExecutionStatus.Stopped, subject=f"Execution {self.context.rid}")
        run.finish(self.context)
        remind.expect_upload(self.context)

    def abort(self, reason: str = "aborted by the user") -> None:
        """Give the execution up: status Aborted, for good."""
        check_writable(self.context)
        advance(self.context, ExecutionStatus.Aborted, reason)
        ownership.release(self.context.folder)

    def upload_execution_outputs(
        self,
        clean_folder: bool | None = None,
        progress_callback: ProgressCallback | None = None,
        *,
        max_retries: int = 3,
        retry_delay: float = 5.0,
        timeout: tuple[float, float] | None = None,
        chunk_size: int | None = None,
    ) -> dict[str, list[AssetFilePath]]:
        """Upload every registered file, insert the staged feature values, and end as Uploaded.

        Returns the uploaded files by asset table. On error the execution is Failed and everything stays staged: call
        it again. Times are seconds, sizes bytes; `clean_folder=False` keeps the staged files on disk.
        """
        options = UploadOptions(
            timeout=timeout or (600, 600),
            chunk_size=CHUNK_SIZE if chunk_size is None else chunk_size,
            max_retries=max_retries,
            retry_delay=retry_delay,
            progress=progress_callback,
            keep_staged=clean_folder is False,
        )
        journal = journal_of(self.context)
        waiting = set(journal_files.unsent_keys(journal, self.context.rid))
        lifecycle.deliver_outputs(self.context, options)
        self._metrics.clear()
        uploaded: dict[str, list[AssetFilePath]] = {}
        for file in chain.from_iterable(journal_files.pages(journal, self.context.rid) if waiting else ()):
            if file.key in waiting and file.status == "uploaded":
                uploaded.setdefault(file.asset_table, []).append(self._path(file))
        return uploaded

    def __getstate__(self) -> dict[str, Any]:
        """In another process, as a worker of a data loader, it is a handle that reads: this process writes."""
        here = f"process {os.getpid()} on {socket.gethostname()}, which handed it over"
        return {"ml": self.ml, "context": self.context, "writer": self.context.writer or here}

    def __setstate__(self, state: dict[str, Any]) -> None:
        context: Context = state["context"]
        if not ownership.owns(context.folder):
            context = replace(context, writer=state["writer"])
        self.__init__(state["ml"], context)  # type: ignore[misc]

    def __enter__(self) -> Execution:
        if not self.read_only:
            run.start(self.context)
        self._current = use_execution(self)
        self._current.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._current.__exit__(None, None, None)
        if self.read_only:
            return
        remind.expect_upload(self.context)
        if error is None or (isinstance(error, SystemExit) and error.code in (0, None)):
            run.finish(self.context)
        else:
            run.fail(self.context, error)

    def __repr__(self) -> str:
        return f"Execution({self.context.rid} in {self.context.address})"

    def _path(self, file: StagedFile) -> AssetFilePath:
        # of an upload of very many files all paths are returned: they keep no more than they need
        describe = partial(stage.describe_file, self.context, file.key)
        unregister = partial(stage.unregister_file, self.context, file.key)

        facts = AssetFacts(
            file.asset_table, file.file_name, file.asset_types, file.metadata, file.description, file.rid
        )
        return AssetFilePath.of(file.path, facts, describe, unregister)
