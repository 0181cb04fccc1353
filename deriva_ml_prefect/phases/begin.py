"""A new execution in journal and catalog, or the one that a flow run has begun already.

The order keeps a crash at any point recoverable: RIDs are leased under tokens that the journal has, the journal knows
the execution and its flow run before the catalog's row is sent, and sending the row again finds it.
"""

from __future__ import annotations

import dataclasses
import logging
import uuid
from dataclasses import dataclass
from typing import Any

from deriva_ml_prefect.catalog import assets, datasets, executions, rows, vocabulary, workflows
from deriva_ml_prefect.catalog.connection import Catalog, catalog_for
from deriva_ml_prefect.catalog.urls import equals, table_name
from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.settings import Settings, load_settings
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.exceptions import (
    DerivaMLAttemptError,
    DerivaMLNotFoundError,
    DerivaMLValidationError,
    DerivaMLWorkflowError,
)
from deriva_ml_prefect.journal import executions as journal_executions
from deriva_ml_prefect.journal import flow_runs, inputs, ownership
from deriva_ml_prefect.journal.store import Journal, open_journal
from deriva_ml_prefect.phases.checkpoint import take_over_checkpoints
from deriva_ml_prefect.phases.context import Context
from deriva_ml_prefect.phases.door import door_of
from deriva_ml_prefect.phases.download import version_facts
from deriva_ml_prefect.phases.dry_folder import make_dry_folder
from deriva_ml_prefect.phases.heartbeat import given_back, hold, hold_again
from deriva_ml_prefect.phases.interrupt import go_on
from deriva_ml_prefect.phases.launch import (
    announce,
    find_launch,
    join_forked,
    join_launch,
    join_started,
    next_note,
    takes_no_part,
)
from deriva_ml_prefect.phases.lease import lease_rids
from deriva_ml_prefect.phases.preflight import check_start, look_ahead, require_ready
from deriva_ml_prefect.phases.record import has_completed, link_name, upload_metadata
from deriva_ml_prefect.phases.run import needs_user_code
from deriva_ml_prefect.phases.scrubbing import clean_prose, scrubber
from deriva_ml_prefect.phases.supersede import leave_behind, take_unfinished, tell_of_unfinished
from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.names import MLAsset, MLVocab
from deriva_ml_prefect.values.preflight import Preflight, Verdict
from deriva_ml_prefect.values.records import DatasetVersionRecord, ExecutionRecord, WorkflowRecord
from deriva_ml_prefect.values.rid import DRY_RUN_RID, RID, check_rid
from deriva_ml_prefect.values.status import ExecutionStatus, Outcome

logger = logging.getLogger(__name__)
_ahead = logging.getLogger(f"{__name__}.ahead")
"""Whoever asks for a dry run wants to read what it found, whatever level the package's lines are wanted from."""
_ahead.setLevel(logging.INFO)


@dataclass(frozen=True)
class Request:
    """One execution, as asked for."""

    address: Address
    spec: ExecutionSpec
    workflow: Workflow | None = None
    """Wins over the one in `spec`."""
    dry_run: bool = False
    flow_run_id: str | None = None
    attempt: int = 1
    """How often the flow run has been started, this time included."""
    within: tuple[RID, int | None] | None = None
    """The execution that this one is a part of, and its place among the parts (None: no order)."""
    continues: RID | None = None
    """An execution of this workspace whose code did not finish: the new one gets its checkpoints and supersedes it."""


def begin_execution(request: Request) -> Context:
    """Insert an Execution with status Created and its metadata files; or find the one that the flow run works on.

    Everything that can be wrong with the request is an error before anything is written. A process that was forked,
    or started with multiprocessing, by the owner of a running execution, or is another rank of its training, begins
    none: it takes part in that one.
    """
    if request.continues is not None:
        check_rid(request.continues, "continues")
    settings = load_settings()
    workspace = settings.workspace(request.address)
    nowhere = Context("", request.address, settings.home, workspace, dry_run=request.dry_run)
    if not takes_no_part():
        joined = join_forked(nowhere)
        if joined is None and not (request.flow_run_id or request.within):
            joined = join_started(nowhere)
        if joined is not None:
            return joined
    launch = find_launch()
    if launch is None:
        return _begin(request, settings)
    note = next_note(workspace, launch)
    if not launch.writes:
        return join_launch(nowhere, launch, note)
    context = _begin(request, settings)
    announce(context, note, runs_code=needs_user_code(context))
    return context


def _begin(request: Request, settings: Settings) -> Context:
    workspace = settings.workspace(request.address)
    if request.dry_run:
        return _begin_dry(request, settings)
    journal = open_journal(workspace)
    context = _take_up(request, settings, journal) if request.flow_run_id else None
    supersedes = None
    if context is not None:
        entry = journal_executions.read_execution(journal, context.rid)
        assert entry is not None
        if entry.status is ExecutionStatus.Aborted:
            ownership.release(context.folder)
            raise DerivaMLAttemptError(
                f"Execution {context.rid} of flow run {request.flow_run_id} was given up ({entry.status_detail}), so "
                f"it cannot be taken up again. Its files are in {context.folder}. To run the code again, start a new "
                "flow run."
            )
        if entry.user_code != "started":
            with given_back(context):
                go_on(context)
                complete_beginning(context)
                if request.within and list(request.within) != entry.facts.get("within"):
                    # what it was a part of has been begun anew
                    _link_to_parent(context, *request.within)
            return context
        supersedes = context
        logger.info("Execution %s did not finish; a new one begins.", context.rid)
    elif request.continues is not None:
        nowhere = Context("", request.address, settings.home, journal.workspace)
        supersedes = take_unfinished(nowhere, journal, request.continues)
    try:
        if supersedes is not None and request.continues is not None:
            _complete_unless_begun(supersedes, journal)
        return _begin_new(request, settings, journal, supersedes)
    except BaseException:
        if supersedes is not None:
            # what keeps the new execution from beginning must not keep others from the old one
            ownership.release(supersedes.folder)
        raise


def _complete_unless_begun(old: Context, journal: Journal) -> None:
    """An execution that died while it began may not have the checkpoints yet that it is to hand on."""
    entry = journal_executions.read_execution(journal, old.rid)
    if entry is not None and entry.status is ExecutionStatus.Created:
        complete_beginning(old)


def _workflow(request: Request) -> Workflow:
    workflow = request.workflow or request.spec.workflow
    if workflow is None:
        raise DerivaMLWorkflowError(
            "No workflow: an execution needs to know which code it runs. Pass workflow= to create_execution(), or set "
            "it in the ExecutionConfiguration; ml.create_workflow(name, workflow_type) makes one."
        )
    return workflow


def _take_up(request: Request, settings: Settings, journal: Journal) -> Context | None:
    """The last execution of the flow run, in this workspace; None when there is none anywhere."""
    assert request.flow_run_id is not None
    rids = flow_runs.executions_of(journal, request.flow_run_id)
    if rids:
        context = Context(
            rids[-1],
            request.address,
            settings.home,
            journal.workspace,
            # the catalog ties it to the run that began it, which may be an earlier call
            flow_run_id=flow_runs.flow_run_of(journal, rids[-1]),
            attempt=len(rids),
        )
        hold_again(context)
        return context
    return _find_elsewhere(request, settings, journal) if request.attempt > 1 else None


def _find_elsewhere(request: Request, settings: Settings, journal: Journal) -> Context | None:
    """What a flow run that began elsewhere has done, as far as the catalog knows it.

    One that is Uploaded has nothing left to do, unless its code had not come to its end: then there is nothing to
    lose, and a new execution begins. Anything else is DerivaMLAttemptError: what it staged is not on this machine, and
    its code must not silently run a second time.
    """
    catalog = catalog_for(request.address)
    name = link_name(str(request.flow_run_id))
    table = assets.asset_table(catalog, MLAsset.execution_metadata)
    found = rows.get_rows(
        catalog,
        f"entity/{table_name(table.schema, table.name)}/{equals('Filename', name)}/"
        f"{table_name(table.execution_schema, table.execution_table)}",
    )
    if not found:
        return None
    rid = str(max(found, key=lambda row: str(row["RCT"]))[table.execution_execution_column])
    record = executions.read_execution(catalog, rid)
    if record is not None and record.status is ExecutionStatus.Uploaded:
        return _note_finished(request, settings, journal, record) if has_completed(catalog, rid) else None
    stands = f"{record.status} ({record.status_detail or 'no message'})" if record else "not in the catalog any more"
    raise DerivaMLAttemptError(
        f"Flow run {request.flow_run_id} has begun execution {rid} already, which is {stands}. The journal in "
        f"{journal.workspace} does not know it: what it staged is on the machine, or in the container, that ran it, "
        f"and is lost if that is gone. Where it is, `deriva-ml-prefect resume {rid}` uploads it; a DERIVA_ML_HOME on "
        "a volume that the workers share lets any of them do that. To run the code again, start a new flow run."
    )


def _note_finished(request: Request, settings: Settings, journal: Journal, record: ExecutionRecord) -> Context:
    """Let this journal know an execution that another machine has finished."""
    logger.info("Execution %s was finished on another machine; nothing of it is left to do.", record.rid)
    assert request.flow_run_id is not None
    with journal.transaction():
        journal_executions.add_execution(
            journal,
            record.rid,
            address=request.address.as_dict(),
            workflow_rid=record.workflow_rid,
            description=record.description or "",
            configuration={},
        )
        journal_executions.mark_registered(journal, record.rid, record.stored_status)
        journal_executions.adopt_status(journal, record.rid, record.status, record.status_detail, record.stored_status)
        journal_executions.mark_user_code(journal, record.rid, "finished", Outcome.completed)
        journal_executions.merge_facts(journal, record.rid, {"begun": True, "elsewhere": True})
        flow_runs.bind_flow_run(journal, request.flow_run_id, 1, record.rid)
    return Context(record.rid, request.address, settings.home, journal.workspace, flow_run_id=request.flow_run_id)


def _begin_new(request: Request, settings: Settings, journal: Journal, supersedes: Context | None) -> Context:
    catalog = catalog_for(request.address)
    workflow = _workflow(request)
    described = _without_secrets(workflow, settings)
    known = _row_that_is_named(catalog, described) or _known_workflow(catalog, described)
    workflow_rid = known.rid if known else None
    versions = _resolve(catalog, request)
    for asset in request.spec.asset_specs():
        assets.read_asset(catalog, asset.rid)

    check_start(catalog, with_datasets=bool(request.spec.datasets))
    attempt = _attempt(request, journal, supersedes)
    purpose = f"execution {request.flow_run_id}/{attempt}" if request.flow_run_id else f"execution {uuid.uuid4()}"
    workflow_purpose = _workflow_purpose(described)
    rids = lease_rids(catalog, journal, [purpose, *([] if workflow_rid else [workflow_purpose])])
    if known is not None:
        _complete_workflow(catalog, known, described)
    if workflow_rid is None:
        workflow_rid = workflows.insert_workflow(catalog, rids[1], described).rid
        flow_runs.drop_lease(journal, workflow_purpose)
    workflow.rid = workflow_rid
    if supersedes is None and not request.flow_run_id:
        tell_of_unfinished(journal, workflow_rid)

    context = Context(
        rids[0],
        request.address,
        settings.home,
        journal.workspace,
        flow_run_id=request.flow_run_id,
        attempt=attempt,
    )
    with journal.transaction():
        spec = request.spec.model_copy(update={"workflow": described.model_copy(update={"rid": workflow_rid})})
        journal_executions.add_execution(
            journal,
            context.rid,
            address=request.address.as_dict(),
            workflow_rid=workflow_rid,
            description=clean_prose(request.spec.description),
            configuration=_recorded(spec, settings),
            attempt=attempt,
            supersedes=supersedes.rid if supersedes else None,
        )
        _note_versions(journal, context.rid, versions)
        within = request.within or _parent_of(journal, supersedes)
        if within:
            journal_executions.merge_facts(journal, context.rid, {"within": list(within)})
        if request.flow_run_id:
            flow_runs.bind_flow_run(journal, request.flow_run_id, attempt, context.rid)
        flow_runs.drop_lease(journal, purpose)
    hold(context)
    with given_back(context):
        return complete_beginning(context)


def _attempt(request: Request, journal: Journal, supersedes: Context | None) -> int:
    if request.flow_run_id:
        return len(flow_runs.executions_of(journal, request.flow_run_id)) + 1
    return supersedes.attempt + 1 if supersedes else 1


def _parent_of(journal: Journal, supersedes: Context | None) -> list[Any] | None:
    """The execution that the superseded one was a part of, and its place there: its successor takes it."""
    entry = journal_executions.read_execution(journal, supersedes.rid) if supersedes else None
    return entry.facts.get("within") if entry else None


def ensure_workflow(address: Address, workflow: Workflow) -> RID:
    """RID of the workflow's row: the one with the same checksum (without one, the same URL), or a new one."""
    workflow = _without_secrets(workflow, load_settings())
    catalog = catalog_for(address)
    known = _row_that_is_named(catalog, workflow) or _known_workflow(catalog, workflow)
    if known is not None:
        _complete_workflow(catalog, known, workflow)
        return known.rid
    journal = open_journal(load_settings().workspace(address))
    purpose = _workflow_purpose(workflow)
    (rid,) = lease_rids(catalog, journal, [purpose])
    workflows.insert_workflow(catalog, rid, workflow)
    flow_runs.drop_lease(journal, purpose)
    return rid


def _without_secrets(workflow: Workflow, settings: Settings) -> Workflow:
    """The workflow as it is recorded: addresses that were found, or given, may hold a credential, as may sentences."""
    clean = scrubber(settings.home)
    found = {"url": workflow.url, "version": workflow.version, "checksum": workflow.checksum}
    said = {"name": clean.prose(workflow.name), "description": clean.prose(workflow.description)}
    return workflow.model_copy(update=said | {name: clean.text(text) if text else text for name, text in found.items()})


def _row_that_is_named(catalog: Catalog, workflow: Workflow) -> WorkflowRecord | None:
    """The row that a workflow names by its RID, if this catalog has it and it is this code.

    A RID says nothing in another catalog, where another row may have it.
    """
    if workflow.rid is None:
        return None
    try:
        row = workflows.read_workflow(catalog, workflow.rid)
    except DerivaMLNotFoundError:
        if workflow.url or workflow.checksum:
            return None
        raise
    mine = (workflow.checksum, row.checksum) if workflow.checksum else (workflow.url, row.url)
    return row if mine[0] is None or mine[0] == mine[1] else None


def _known_workflow(catalog: Catalog, workflow: Workflow) -> WorkflowRecord | None:
    """The row of this code, if there is one; DerivaMLInvalidTerm when it is to get types that are no terms."""
    known = workflows.find_workflow(catalog, url=workflow.url, checksum=workflow.checksum)
    if known is None or not known.workflow_types:
        vocabulary.require_terms(catalog, MLVocab.workflow_type, workflow.workflow_type)
    return known


def _complete_workflow(catalog: Catalog, known: WorkflowRecord, workflow: Workflow) -> None:
    """Give a row its types if whoever inserted it died before that."""
    if not (known.workflow_types and known.types_linked):
        types = vocabulary.term_names(catalog, MLVocab.workflow_type, workflow.workflow_type)
        workflows.add_workflow_types(catalog, known.rid, types)


def _workflow_purpose(workflow: Workflow) -> str:
    return f"workflow {workflow.url} {workflow.checksum}"


def _recorded(spec: ExecutionSpec, settings: Settings) -> dict[str, Any]:
    """The configuration as it is kept: the fields of the spec, whatever form of it was given, without secrets.

    What an author wrote to be read is taken as prose: the descriptions, and the workflow's name.
    """
    fields = spec.model_dump(mode="json", include=set(ExecutionSpec.model_fields))
    clean = scrubber(settings.home)
    kept = clean.mapping(fields) | {"argv": clean.argv(spec.argv), "description": clean.prose(spec.description)}
    for kept_dataset, dataset in zip(kept["datasets"], spec.datasets, strict=True):
        kept_dataset["description"] = clean.prose(dataset.description)
    if spec.workflow is not None:
        said = {"name": clean.prose(spec.workflow.name), "description": clean.prose(spec.workflow.description)}
        kept["workflow"] |= said
    return kept


def _resolve(catalog: Catalog, request: Request) -> list[DatasetVersionRecord]:
    """The versions that the execution reads; a dataset in two versions is DerivaMLValidationError."""
    versions = [datasets.resolve_version(catalog, spec.rid, spec.version) for spec in request.spec.datasets]
    read: dict[RID, DatasetVersionRecord] = {}
    for version in versions:
        first = read.setdefault(version.dataset_rid, version)
        if first.version != version.version:
            raise DerivaMLValidationError(
                f"Dataset {version.dataset_rid} is given in versions {first.version} and {version.version}, and the "
                "catalog records one version of a dataset for an execution. Leave one out, or run one execution for "
                "each version. Nothing was written."
            )
    return versions


def _note_versions(journal: Journal, rid: RID, versions: list[DatasetVersionRecord]) -> None:
    for version in versions:
        inputs.note_input(journal, rid, "dataset", version.dataset_rid, version_facts(version))


def complete_beginning(context: Context) -> Context:
    """Whatever of the beginning is still missing in the catalog: the row, the input links, the metadata files.

    The execution whose code this one runs again is closed here too, so that a crash in between leaves none running.
    """
    journal = open_journal(context.workspace)
    entry = journal_executions.read_execution(journal, context.rid)
    assert entry is not None
    if entry.facts.get("begun"):
        return context
    if not entry.registered:
        record = executions.insert_execution(
            catalog_for(context.address),
            context.rid,
            workflow_rid=entry.workflow_rid,
            description=entry.description,
            status=ExecutionStatus.Created,
            detail=None,
        )
        journal_executions.mark_registered(journal, context.rid, record.stored_status)
    read = inputs.list_inputs(journal, context.rid, "dataset")
    if read:
        door_of(context).link_datasets([(item.rid, item.facts.get("version_rid")) for item in read])
    if entry.facts.get("within"):
        parent, sequence = entry.facts["within"]
        _link_to_parent(context, parent, sequence)
    upload_metadata(context)
    if entry.supersedes:
        take_over_checkpoints(context, entry.supersedes)
        leave_behind(dataclasses.replace(context, rid=entry.supersedes), journal, context.rid)
    journal_executions.merge_facts(journal, context.rid, {"begun": True})
    return context


def _link_to_parent(context: Context, parent: RID, sequence: int | None) -> None:
    catalog = catalog_for(context.address)
    if catalog.dialect.nested_executions:
        executions.link_nested(catalog, parent, context.rid, sequence=sequence)
    else:
        logger.warning(
            "Catalog %s has no nested executions, so it is not recorded there that %s is a part of %s.",
            context.address,
            context.rid,
            parent,
        )


def _tell_ahead(request: Request, workflow: Workflow) -> Preflight:
    """A dry run says, in the log, what a run would need, and everything that would stop one."""
    report = look_ahead(request.address, request.spec, workflow)
    for check in report.checks:
        level = logging.INFO if check.verdict is Verdict.good else logging.WARNING
        _ahead.log(level, "Preflight, %s: %s", check.name, check.text)
    return report


def _begin_dry(request: Request, settings: Settings) -> Context:
    """A dry run: inputs are resolved and downloaded, nothing is written to the catalog, the journal is thrown away."""
    catalog = catalog_for(request.address)
    workflow = _workflow(request)
    report = _tell_ahead(request, workflow)
    vocabulary.require_terms(catalog, MLVocab.workflow_type, workflow.workflow_type)
    versions = _resolve(catalog, request)
    require_ready(report)
    workspace = make_dry_folder(settings.home)
    journal = open_journal(workspace)
    journal_executions.add_execution(
        journal,
        DRY_RUN_RID,
        address=request.address.as_dict(),
        workflow_rid=None,
        description=clean_prose(request.spec.description),
        configuration=_recorded(request.spec, settings),
    )
    _note_versions(journal, DRY_RUN_RID, versions)
    context = Context(
        DRY_RUN_RID, request.address, settings.home, workspace, dry_run=True, flow_run_id=request.flow_run_id
    )
    hold(context)
    return context
