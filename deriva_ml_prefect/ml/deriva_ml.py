"""One DerivaML catalog: its vocabularies, asset tables, features, workflows, datasets and executions."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeVar

from deriva_ml_prefect.bags.download import download_bag
from deriva_ml_prefect.bags.read import open_bag
from deriva_ml_prefect.catalog import (
    assets,
    dataset_members,
    datasets,
    feature_rows,
    features,
    rows,
    schema,
    vocabulary,
    workflows,
)
from deriva_ml_prefect.catalog.connection import Catalog, Given, catalog_for, keep_catalog, open_catalog
from deriva_ml_prefect.config.asset import AssetSpec
from deriva_ml_prefect.config.column import ColumnDefinition
from deriva_ml_prefect.config.dataset import DatasetSpec
from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.settings import load_settings
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.exceptions import DerivaMLException, DerivaMLNotFoundError, DerivaMLValidationError
from deriva_ml_prefect.ml.absent import OF_DERIVA_ML, KnowsAbsent
from deriva_ml_prefect.ml.bag import DatasetBag
from deriva_ml_prefect.ml.dataset import Dataset
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.ml.feature import Feature, FeatureRecord
from deriva_ml_prefect.ml.recorded_execution import Asset, RecordedExecution, lookup
from deriva_ml_prefect.ml.table_arguments import column_document, column_or_table, table_name
from deriva_ml_prefect.ml.workflow import RecordedWorkflow
from deriva_ml_prefect.phases import begin, download, recover
from deriva_ml_prefect.phases.begin import Request
from deriva_ml_prefect.phases.heartbeat import given_back
from deriva_ml_prefect.phases.note_rid import note_rid
from deriva_ml_prefect.phases.preflight import look_ahead
from deriva_ml_prefect.phases.recover import Interrupted
from deriva_ml_prefect.phases.scrubbing import clean_prose
from deriva_ml_prefect.provenance.code import find_code
from deriva_ml_prefect.provenance.git import CodeFacts
from deriva_ml_prefect.questions.execution_summary import ExecutionSummary, summarize_execution
from deriva_ml_prefect.questions.find_executions import find_executions, workflow_executions
from deriva_ml_prefect.questions.frames import to_dataframe
from deriva_ml_prefect.questions.metrics import Metrics, read_metrics, require_complete
from deriva_ml_prefect.questions.select_values import Selector
from deriva_ml_prefect.questions.verification.report import Verification
from deriva_ml_prefect.questions.verification.verify import verify_execution
from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.names import ML_SCHEMA, MLVocab
from deriva_ml_prefect.values.preflight import Preflight
from deriva_ml_prefect.values.records import Term
from deriva_ml_prefect.values.rid import DRY_RUN_RID
from deriva_ml_prefect.values.status import ExecutionStatus

if TYPE_CHECKING:
    import pandas

Handle = TypeVar("Handle", bound="DerivaML")

logger = logging.getLogger(__name__)


class Connecting(Protocol):
    """A configuration that knows how to make a handle: DerivaMLConfig."""

    def connect(self, ml_class: type[Handle], /) -> Handle: ...


class DerivaML(KnowsAbsent):
    """A connection to one catalog. Making it sends nothing; labs subclass it with methods of their own.

    `hostname` is `embedded`, a host name or `host:port`; `catalog_id` a number or an alias. `domain_schemas` defaults
    to every schema that is not the system's; `working_dir` and `cache_dir` are kept for callers of deriva-ml, and the
    place of everything on disk is `DERIVA_ML_HOME`. A `credential` stays in memory; deriva-py's own is the default.
    A function that gives the credential is asked again when the server refuses it.
    """

    _instead = OF_DERIVA_ML

    def __init__(
        self,
        hostname: str,
        catalog_id: str | int,
        domain_schemas: str | Iterable[str] | None = None,
        default_schema: str | None = None,
        project_name: str | None = None,
        cache_dir: str | Path | None = None,
        working_dir: str | Path | None = None,
        hydra_runtime_output_dir: str | Path | None = None,
        ml_schema: str = ML_SCHEMA,
        logging_level: int = logging.WARNING,
        deriva_logging_level: int = logging.WARNING,
        credential: Given | None = None,
        use_minid: bool | None = None,
        check_auth: bool = True,
        clean_execution_dir: bool = True,
        *,
        domain_schema: str | None = None,
    ) -> None:
        named = domain_schemas if domain_schemas is not None else domain_schema
        schemas = (named,) if isinstance(named, str) else tuple(sorted(named or ()))
        self.address = Address(hostname, str(catalog_id), ml_schema, schemas, default_schema, project_name)
        self.cache_dir = Path(cache_dir) if cache_dir else None
        self.requested_working_dir = Path(working_dir) if working_dir else None
        self.hydra_runtime_output_dir = Path(hydra_runtime_output_dir) if hydra_runtime_output_dir else None
        self.use_minid = bool(use_minid)
        self.check_auth = check_auth
        self.clean_execution_dir = clean_execution_dir
        self._credential = credential or None
        logging.getLogger("deriva_ml_prefect").setLevel(logging_level)
        logging.getLogger("deriva").setLevel(deriva_logging_level)

    @classmethod
    def instantiate(cls, config: Connecting) -> Self:
        """The handle that a DerivaMLConfig describes."""
        return config.connect(cls)

    @property
    def _catalog(self) -> Catalog:
        if self._credential is not None:
            keep_catalog(open_catalog(self.address, credential=self._credential))
            # the process keeps the handle from now on
            self._credential = None
        return catalog_for(self.address)

    @property
    def host_name(self) -> str:
        return self.address.hostname

    hostname = host_name

    @property
    def catalog_id(self) -> str:
        return self.address.catalog_id

    @property
    def ml_schema(self) -> str:
        return self.address.ml_schema

    @property
    def domain_schemas(self) -> tuple[str, ...]:
        """Schemas of the lab's own tables."""
        return schema.domain_schemas(self._catalog)

    @property
    def default_schema(self) -> str:
        """Where new tables are made."""
        return schema.default_schema(self._catalog)

    @property
    def domain_schema(self) -> str:
        """deriva-ml's name for the default schema."""
        return self.default_schema

    @property
    def project_name(self) -> str:
        return self.address.project_name or self.default_schema

    @property
    def working_dir(self) -> Path:
        """Folder of this catalog's journal and executions, below `DERIVA_ML_HOME`."""
        return load_settings().workspace(self.address)

    @property
    def catalog(self) -> Any:
        """deriva-py's ErmrestCatalog of this catalog."""
        return self._catalog.deriva

    @property
    def model(self) -> Any:
        """deriva-py's Model of the catalog, as it is now, with `is_vocabulary(table)` and `is_asset(table)` beside."""
        model = self.catalog.getCatalogModel()
        for name in ("is_vocabulary", "is_asset"):
            setattr(model, name, partial(self._is_of_kind, getattr(schema, name)))
        return model

    def _is_of_kind(self, test: Callable[[schema.Table], bool], table: Any) -> bool:
        return test(schema.find_table(self._catalog, table_name(table)))

    def pathBuilder(self) -> Any:  # noqa: N802 (deriva-ml's name)
        """deriva-py's datapath builder."""
        return self.catalog.getPathBuilder()

    def refresh_schema(self) -> None:
        """Read the schema anew at the next question."""
        self._catalog.refresh()

    def cite(self, rid: str | Mapping[str, Any], current: bool = False) -> str:
        """Address of a row for a citation: as it is in this moment, or with `current` as it will be.

        `rid` may be a row. A RID that no row has is DerivaMLNotFoundError; that of a dry run is only named.
        """
        wanted = rid if isinstance(rid, str) else str(rid["RID"])
        if wanted == DRY_RUN_RID:
            return f"dry-run (rid={wanted})"
        assets.locate_rid(self._catalog, wanted)
        base = f"{self._catalog.base_url}/id/{self.catalog_id}/{wanted}"
        return base if current else f"{base}@{rows.snaptime(self._catalog)}"

    # vocabularies

    def create_vocabulary(self, vocab_name: str, comment: str = "", schema: str | None = None) -> Any:
        """Make a vocabulary table; deriva-py's Table."""
        table = vocabulary.create_vocabulary(self._catalog, vocab_name, clean_prose(comment), schema=schema)
        return self.model.schemas[table.schema].tables[table.name]

    def add_term(
        self,
        table: str,
        term_name: str,
        description: str,
        synonyms: Sequence[str] | None = None,
        exists_ok: bool = True,
    ) -> Term:
        """Add a term to a vocabulary; with `exists_ok` one that is there is returned."""
        return vocabulary.add_term(
            self._catalog, str(table), term_name, clean_prose(description), list(synonyms or ()), exists_ok=exists_ok
        )

    def lookup_term(self, table: str, term_name: str) -> Term:
        """The term of that name or synonym."""
        return vocabulary.lookup_term(self._catalog, str(table), term_name)

    def list_vocabulary_terms(self, table: str) -> list[Term]:
        return vocabulary.list_terms(self._catalog, str(table))

    # assets

    def create_asset(
        self,
        asset_name: str,
        column_defs: Iterable[ColumnDefinition | Mapping[str, Any]] | None = None,
        fkey_defs: Iterable[Mapping[str, Any]] | None = None,
        referenced_tables: Iterable[Any] | None = None,
        comment: str = "",
        schema: str | None = None,
    ) -> Any:
        """Make an asset table with its associations and its term of Asset_Type; deriva-py's Table."""
        table = assets.create_asset_table(
            self._catalog,
            asset_name,
            column_defs=[column_document(column) for column in column_defs or ()],
            fkeys=list(fkey_defs or ()),
            referenced_tables=[table_name(table) for table in referenced_tables or ()],
            comment=clean_prose(comment),
            schema=schema,
        )
        return self.model.schemas[table.schema].tables[table.name]

    def list_assets(self, asset_table: Any) -> list[Asset]:
        """All assets of a table, the oldest first."""
        table = assets.asset_table(self._catalog, table_name(asset_table))
        return [Asset(self.address, record) for record in assets.list_assets(self._catalog, table)]

    def lookup_asset(self, rid: str) -> Asset:
        """The asset of that RID, whatever table it is in."""
        return Asset(self.address, assets.read_asset(self._catalog, rid))

    # features

    def create_feature(
        self,
        target_table: Any,
        feature_name: str,
        terms: Sequence[Any] | None = None,
        assets: Sequence[Any] | None = None,
        metadata: Sequence[Any] | None = None,
        optional: Sequence[str] | None = None,
        comment: str = "",
    ) -> type[FeatureRecord]:
        """Define a feature of a table by terms, assets and further columns; the class of its records."""
        definition = features.create_feature(
            self._catalog,
            table_name(target_table),
            feature_name,
            terms=[table_name(table) for table in terms or ()],
            assets=[table_name(table) for table in assets or ()],
            metadata=[column_or_table(item) for item in metadata or ()],
            optional=list(optional or ()),
            comment=clean_prose(comment),
        )
        return Feature(definition).feature_record_class()

    def lookup_feature(self, table: Any, feature_name: str) -> Feature:
        """The feature of that name of a table."""
        return Feature(features.lookup_feature(self._catalog, table_name(table), feature_name))

    def feature_record_class(self, table: Any, feature_name: str) -> type[FeatureRecord]:
        return self.lookup_feature(table, feature_name).feature_record_class()

    def find_features(self, table: Any = None) -> list[Feature]:
        """Features of a table, or of all tables."""
        name = table_name(table) if table is not None else None
        return [Feature(definition) for definition in features.find_features(self._catalog, name)]

    def feature_values(
        self,
        table: Any,
        feature_name: str,
        selector: Selector[FeatureRecord] | None = None,
        materialize_limit: int | None = None,
        execution_rids: Sequence[str] | None = None,
        *,
        execution_rid: str | None = None,
    ) -> list[FeatureRecord]:
        """Values of a feature, as records: all, those of some executions, or with a selector one for each target row.

        Selectors are methods of FeatureRecord, or any function of the values for one row. More values than
        `materialize_limit` are DerivaMLMaterializeLimitExceeded.
        """
        feature = self.lookup_feature(table, feature_name)
        found = feature_rows.read_feature_rows(
            self._catalog,
            feature.definition,
            execution_rid=execution_rid,
            execution_rids=execution_rids,
            most=materialize_limit,
        )
        return feature.select(found, selector)

    def feature_values_as_dataframe(self, table: Any, feature_name: str, *args: Any, **kwargs: Any) -> pandas.DataFrame:
        """What `feature_values` gives, with its arguments, as a pandas data frame. Needs the extra `pandas`."""
        feature = self.lookup_feature(table, feature_name)
        return feature.as_dataframe(self.feature_values(table, feature_name, *args, **kwargs))

    def add_features(self, *_: Any, **__: Any) -> None:
        """Retired: feature values are written by an execution."""
        raise DerivaMLException(
            "ml.add_features() has been retired: a feature value needs the execution that made it. Call "
            "exe.add_features(records) inside `with ml.create_execution(config) as exe:`, then "
            "exe.upload_execution_outputs()."
        )

    # workflows

    def create_workflow(
        self, name: str, workflow_type: str | Sequence[str], description: str = "", *, function: Any = None
    ) -> Workflow:
        """Describe the code that runs: its address and checksum come from the calling file, or that of `function`.

        Types must be terms of Workflow_Type, by name or synonym. The row is made with the execution that uses it.
        Uncommitted changes are warned of, unless `DERIVA_ML_ALLOW_DIRTY` is true.
        """
        given = [workflow_type] if isinstance(workflow_type, str) else list(workflow_type)
        names = vocabulary.own_names(self._catalog, MLVocab.workflow_type, given)
        types = list(dict.fromkeys(names[term] for term in given))
        return _identify(Workflow(name=name, workflow_type=types, description=description), function)

    def add_workflow(self, workflow: Workflow) -> str:
        """Record a workflow; one with the same checksum, or without one the same URL, is used again. Its RID."""
        workflow.rid = begin.ensure_workflow(self.address, _identify(workflow))
        return workflow.rid

    def lookup_workflow(self, rid: str) -> RecordedWorkflow:
        """The workflow of that RID; its description and type can be set."""
        return RecordedWorkflow(self.address, workflows.read_workflow(self._catalog, rid))

    def lookup_workflow_by_url(self, url_or_checksum: str) -> RecordedWorkflow:
        """The oldest workflow with that URL or checksum."""
        found = workflows.find_workflow(self._catalog, url=url_or_checksum, checksum=None)
        if found is None:
            raise DerivaMLNotFoundError(
                f"Catalog {self.address} has no workflow with URL or checksum {url_or_checksum}."
            )
        return RecordedWorkflow(self.address, found)

    def find_workflows(self) -> list[RecordedWorkflow]:
        """All workflows, the oldest first."""
        return [RecordedWorkflow(self.address, record) for record in workflows.list_workflows(self._catalog)]

    def list_workflow_executions(self, workflow: str) -> list[str]:
        """RIDs of the executions of a workflow (RID, URL or checksum), or of all workflows of a type."""
        self._catalog  # noqa: B018 (as in create_execution)
        return workflow_executions(self.address, workflow)

    # executions

    def create_execution(
        self,
        configuration: ExecutionSpec | None = None,
        *,
        datasets: Sequence[DatasetSpec | str] | None = None,
        assets: Sequence[AssetSpec | str] | None = None,
        workflow: Workflow | str | None = None,
        description: str | None = None,
        dry_run: bool = False,
        continues: str | None = None,
    ) -> Execution:
        """Insert an execution with status Created and download its inputs.

        Give a configuration, or its parts as keywords; `workflow` goes with both and may be a workflow's URL or
        checksum. A dry run downloads the inputs and writes nothing to the catalog.
        `continues` is the RID of an execution of this machine whose code failed or was killed: the new one supersedes
        it and finds its checkpoints.
        """
        parts = {"datasets": datasets, "assets": assets, "description": description}
        given: dict[str, Any] = {name: value for name, value in parts.items() if value is not None}
        if configuration is not None and given:
            raise TypeError(f"create_execution() takes a configuration or {', '.join(given)}, not both.")
        self._catalog  # noqa: B018 (a credential given here is kept for the phases)
        spec = _as_spec(configuration) if configuration is not None else ExecutionSpec(**given)
        runs = self._workflow_of(workflow) or spec.workflow
        request = Request(
            self.address,
            spec,
            None if runs is None else _identify(runs),
            dry_run=dry_run,
            continues=continues,
        )
        context = begin.begin_execution(request)
        with given_back(context):
            note_rid(context, output_dir=self.hydra_runtime_output_dir)
            return Execution(self, download.download_inputs(context))

    def preflight(
        self, configuration: ExecutionSpec | None = None, *, workflow: Workflow | str | None = None
    ) -> Preflight:
        """Look at everything that a run of the configuration needs, without writing or downloading: `ok`, or why not.

        Login, schema, rights, terms, inputs with what of them would be downloaded, and the disk.
        """
        self._catalog  # noqa: B018 (as in create_execution)
        spec = _as_spec(configuration) if configuration is not None else ExecutionSpec()
        return look_ahead(self.address, spec, self._workflow_of(workflow))

    def _workflow_of(self, workflow: Workflow | str | None) -> Workflow | None:
        if not isinstance(workflow, str):
            return workflow
        record = self.lookup_workflow_by_url(workflow)
        return Workflow(
            name=record.name or "",
            workflow_type=list(record.workflow_types),
            url=record.url,
            checksum=record.checksum,
            version=record.version,
            rid=record.rid,
        )

    def resume_execution(self, execution_rid: str) -> Execution:
        """Take over an execution that was staged on this machine, to upload or to add to it."""
        self._catalog  # noqa: B018 (as in create_execution)
        return Execution(self, recover.reopen(self.address, execution_rid))

    def find_interrupted(self) -> list[Interrupted]:
        """Executions of this machine whose process is gone and whose outputs are not uploaded, newest first.

        The catalog is told of those that it still shows as running. `resume_execution` takes one over.
        """
        self._catalog  # noqa: B018 (as in create_execution)
        return recover.note_interrupted(self.address)

    def lookup_execution(self, execution_rid: str) -> RecordedExecution:
        """An execution as the catalog tells of it."""
        self._catalog  # noqa: B018 (as in create_execution)
        return lookup(self.address, execution_rid)

    def find_executions(
        self,
        workflow: Workflow | RecordedWorkflow | str | None = None,
        workflow_type: str | None = None,
        status: ExecutionStatus | str | None = None,
        since: datetime | str | None = None,
        limit: int | None = None,
    ) -> list[RecordedExecution]:
        """Executions that fit all that is given, the newest first.

        `workflow` is a workflow or its RID, URL or checksum; `since` a time, in local time if it names no zone.
        """
        self._catalog  # noqa: B018 (as in create_execution)
        named = workflow if workflow is None or isinstance(workflow, str) else workflow.rid or workflow.checksum or ""
        found = find_executions(
            self.address, workflow=named, workflow_type=workflow_type, status=status, since=since, limit=limit
        )
        return [RecordedExecution(self.address, record) for record in found]

    def read_metrics(
        self, executions: Iterable[RecordedExecution | Execution | str], *, filename: str | None = None
    ) -> Metrics:
        """The rows of the metrics files of many executions, and what could not be read."""
        self._catalog  # noqa: B018 (as in create_execution)
        rids = [each if isinstance(each, str) else each.execution_rid for each in executions]
        return read_metrics(self.address, rids, filename=filename)

    def metrics_as_dataframe(
        self,
        executions: Iterable[RecordedExecution | Execution | str],
        *,
        filename: str | None = None,
        errors: Literal["raise", "skip"] = "raise",
    ) -> pandas.DataFrame:
        """The metrics of many executions as one data frame: `execution_rid` and the keys. Needs the extra `pandas`.

        Files that cannot be read are DerivaMLDataError, which names the runs, or with `errors="skip"` left out.
        """
        metrics = self.read_metrics(executions, filename=filename)
        if errors != "skip":
            require_complete(metrics)
        return to_dataframe(metrics.rows, metrics.columns)

    def summarize_execution(self, execution_rid: str) -> ExecutionSummary:
        """What an execution read and made, as the catalog tells it, and what this machine knows of it besides."""
        return summarize_execution(self.address, execution_rid)

    def verify_execution(self, execution_rid: str, *, content: bool = True) -> Verification:
        """Read every object and row of an execution back, and compare them with their receipts.

        `content=False` takes the store's word for the MD5 of objects. Without a journal on this machine, rows are
        compared with objects. `same` of the answer says whether all is well; differences are listed in it.
        """
        self._catalog  # noqa: B018 (as in create_execution)
        return verify_execution(self.address, execution_rid, content=content)

    # datasets

    def add_dataset_element_type(self, element: Any) -> Any:
        """Let rows of a table be members of datasets; deriva-py's Table of the association."""
        table = dataset_members.add_element_type(self._catalog, table_name(element))
        return self.model.schemas[table.schema].tables[table.name]

    def list_dataset_element_types(self) -> list[str]:
        """Names of the tables whose rows may be members."""
        return [table.name for table in dataset_members.element_types(self._catalog)]

    def lookup_dataset(self, dataset_rid: str) -> Dataset:
        return Dataset(self.address, datasets.read_dataset(self._catalog, dataset_rid).rid)

    def find_datasets(self, deleted: bool = False, sort: bool = False) -> list[Dataset]:
        """Datasets, the oldest first; with `sort` the newest."""
        records = datasets.list_datasets(self._catalog, deleted=deleted)
        return [Dataset(self.address, record.rid) for record in (reversed(records) if sort else records)]

    def download_dataset_bag(self, dataset: DatasetSpec) -> DatasetBag:
        """The bag of a dataset, outside of any execution."""
        record = datasets.resolve_version(self._catalog, dataset.rid, dataset.version)
        facts = download_bag(
            self._catalog,
            record,
            materialize=dataset.materialize,
            exclude_tables=dataset.exclude_tables or (),
            concurrency=dataset.fetch_concurrency,
        )
        return DatasetBag(open_bag(facts.path))

    def __getstate__(self) -> dict[str, Any]:
        """Another process looks up the credential itself: none is ever pickled."""
        return {**vars(self), "_credential": None}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.host_name!r}, {self.catalog_id!r})"


def _identify(workflow: Workflow, function: Any = None) -> Workflow:
    """The workflow with the address and checksum of the code that runs, unless it says itself which code it is."""
    if workflow.url or workflow.checksum or workflow.rid:
        return workflow
    facts = find_code(function=function)
    allow = load_settings().allow_dirty or workflow.allow_dirty
    if not allow and not os.environ.get("DERIVA_ML_DRY_RUN") and (facts.dirty or not facts.committed):
        _warn_dirty(facts)
    workflow.url, workflow.checksum, workflow.version = facts.url, facts.checksum, facts.version
    workflow.is_notebook, workflow.git_root, workflow.allow_dirty = facts.is_notebook, facts.git_root, allow
    return workflow


def _as_spec(configuration: Any) -> ExecutionSpec:
    """The fields of a configuration, checked as they are at this moment: its lists may have been added to."""
    if not isinstance(configuration, ExecutionSpec):
        raise DerivaMLValidationError(
            f"create_execution() was given {type(configuration).__name__}. Give an ExecutionConfiguration, or parts "
            "as keywords (datasets=, assets=, workflow=, description=)."
        )
    return ExecutionSpec(**{name: getattr(configuration, name) for name in ExecutionSpec.model_fields})


def _warn_dirty(facts: CodeFacts) -> None:
    if facts.dirty:
        shown = ", ".join(line[3:] for line in facts.changes[:3])
        more = " and others" if len(facts.changes) > 3 else ""
        logger.warning(
            "The working tree has uncommitted changes (%s%s): the recorded address may not lead to the code that runs. "
            "Commit before running.",
            shown,
            more,
        )
    else:
        logger.warning(
            "The code that runs is in no commit that others can reach (%s): its checksum is recorded, its address is "
            "not one that others can open. Keep it in a Git repository with a remote.",
            facts.url,
        )
