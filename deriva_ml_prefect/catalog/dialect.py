"""Which generation of the deriva-ml schema a catalog has, found feature by feature, and what statuses look like in it.

Releases added these features at different times, so mixtures exist and no version number tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deriva_ml_prefect.catalog.schema import Schema
from deriva_ml_prefect.exceptions import DerivaMLSchemaError, DerivaMLStateInconsistency
from deriva_ml_prefect.values.status import ExecutionStatus

_DURATIONS = {"execution": "Execution_Duration", "download": "Download_Duration", "upload": "Upload_Duration"}
_S = ExecutionStatus
_OLD_TO_NEW = {"Initializing": _S.Created, "Pending": _S.Created}
_OLD_END = "successfully end the execution"
"""What deriva-ml 1.17 says, in lower case, once outputs are uploaded."""
_NEW_TO_OLD = {
    _S.Created: "Created",
    _S.Running: "Running",
    _S.Stopped: "Completed",
    _S.Failed: "Failed",
    _S.Pending_Upload: "Running",
    _S.Uploaded: "Completed",
    _S.Aborted: "Aborted",
}


@dataclass(frozen=True)
class Dialect:
    """What this catalog's ML schema has."""

    ml_schema: str
    status_enforced: bool
    """Execution.Status refers to the vocabulary Execution_Status: the seven statuses are stored as they are."""
    workflow_type_table: bool
    """Workflow_Workflow_Type: any number of types."""
    workflow_type_column: bool
    """Workflow.Workflow_Type: one type."""
    workflow_type_required: bool
    """That column is not null."""
    durations: Mapping[str, str]
    """Columns of Execution by phase (`execution`, `download`, `upload`); those that there are."""
    single_duration: bool
    """Column Duration of the older generation."""
    nested_executions: bool
    directory_datasets: bool
    dataset_execution_version: bool
    """Dataset_Execution says which version was consumed."""
    minid_spec_hash: bool


def detect_dialect(schema: Schema, ml_schema: str) -> Dialect:
    """The dialect of a catalog; DerivaMLSchemaError if it has no ML schema at all."""
    execution = schema.tables.get((ml_schema, "Execution"))
    workflow = schema.tables.get((ml_schema, "Workflow"))
    if execution is None or workflow is None:
        raise DerivaMLSchemaError(
            f"The catalog has no schema {ml_schema} with tables Execution and Workflow. "
            "Create one with create_ml_catalog, or name its schema with ml_schema=."
        )

    def has(table: str, column: str | None = None) -> bool:
        found = schema.tables.get((ml_schema, table))
        return found is not None and (column is None or column in found.columns)

    return Dialect(
        ml_schema=ml_schema,
        status_enforced=any(
            fkey.columns == ("Status",) and fkey.target == (ml_schema, "Execution_Status")
            for fkey in execution.foreign_keys
        ),
        workflow_type_table=has("Workflow_Workflow_Type"),
        workflow_type_column="Workflow_Type" in workflow.columns,
        workflow_type_required="Workflow_Type" in workflow.columns and not workflow.nullok("Workflow_Type"),
        durations={phase: name for phase, name in _DURATIONS.items() if name in execution.columns},
        single_duration="Duration" in execution.columns,
        nested_executions=has("Execution_Execution"),
        directory_datasets=has("Directory_Dataset"),
        dataset_execution_version=has("Dataset_Execution", "Dataset_Version"),
        minid_spec_hash=has("Dataset_Version", "Minid_Spec_Hash"),
    )


def write_status(dialect: Dialect, status: ExecutionStatus) -> str:
    """What the column Status is to hold."""
    return str(status) if dialect.status_enforced else _NEW_TO_OLD[status]


def write_detail(dialect: Dialect, status: ExecutionStatus, detail: str | None) -> str | None:
    """What the column Status_Detail is to hold: where the status itself loses something, the exact one comes first."""
    if write_status(dialect, status) == status:
        return detail
    return f"{status}: {detail}" if detail else str(status)


def read_status(dialect: Dialect, text: str | None, detail: str | None = None) -> ExecutionStatus:
    """The status that a row means, whoever wrote it; an unknown text is DerivaMLStateInconsistency.

    `Completed` of older releases says whether it was before or after the upload only in its detail.
    """
    if not dialect.status_enforced and (exact := _exact_status(text, detail)):
        return exact
    if text is None or text == "":
        return _S.Created
    if text in _S.__members__:
        return _S(text)
    if text in _OLD_TO_NEW:
        return _OLD_TO_NEW[text]
    if text == "Completed":
        said = (detail or "").lower()
        return _S.Uploaded if "upload" in said or said.startswith(_OLD_END) else _S.Stopped
    raise DerivaMLStateInconsistency(
        f"Execution status {text!r} is unknown. Known are {', '.join(_S)} and deriva-ml's older Initializing, Pending "
        "and Completed. Correct the row, or leave this execution out."
    )


def read_detail(dialect: Dialect, text: str | None, detail: str | None) -> str | None:
    """The message alone, without the exact status that `write_detail` may have put before it."""
    exact = None if dialect.status_enforced else _exact_status(text, detail)
    if exact is None or detail is None:
        return detail
    return detail[len(exact) :].removeprefix(":").strip() or None


def stored_texts(dialect: Dialect, status: ExecutionStatus) -> tuple[str, ...]:
    """Every text in the column Status that may mean `status`; the empty one stands for null."""
    texts = {write_status(dialect, status), str(status)}
    texts |= {old for old, new in _OLD_TO_NEW.items() if new is status}
    if status in (_S.Stopped, _S.Uploaded):
        texts.add("Completed")
    if status is _S.Created:
        texts.add("")
    return tuple(sorted(texts))


def _exact_status(text: str | None, detail: str | None) -> ExecutionStatus | None:
    word = (detail or "").partition(":")[0].strip()
    if word in _S.__members__ and _NEW_TO_OLD[_S(word)] == text and word != text:
        return _S(word)
    return None
