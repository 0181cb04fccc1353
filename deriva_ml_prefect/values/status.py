"""The status of an execution: seven values and the edges between them, as data.

Source: the status diagram of the chapter on running an experiment; the values are the terms of
`deriva-ml:Execution_Status`. Writing the status a second time with another message is not an edge: only the
message changes.
"""

from __future__ import annotations

from enum import StrEnum

from deriva_ml_prefect.exceptions import InvalidTransitionError


class ExecutionStatus(StrEnum):
    """Where an execution stands, as the catalog's `Execution.Status` says it."""

    Created = "Created"
    Running = "Running"
    Stopped = "Stopped"
    Failed = "Failed"
    Pending_Upload = "Pending_Upload"
    Uploaded = "Uploaded"
    Aborted = "Aborted"


class Outcome(StrEnum):
    """What became of the user's code, whatever happened to the upload afterwards."""

    unknown = "unknown"
    completed = "completed"
    failed = "failed"
    killed = "killed"


_S = ExecutionStatus

TRANSITIONS: dict[tuple[ExecutionStatus, ExecutionStatus], str] = {
    (_S.Created, _S.Running): "the run begins",
    (_S.Running, _S.Stopped): "the run ended cleanly",
    (_S.Running, _S.Failed): "the run ended with an error",
    (_S.Running, _S.Pending_Upload): "recovery after a hard crash",
    (_S.Stopped, _S.Pending_Upload): "the upload begins",
    (_S.Pending_Upload, _S.Uploaded): "everything is in the catalog",
    (_S.Pending_Upload, _S.Failed): "the upload failed",
    (_S.Failed, _S.Pending_Upload): "the upload is tried again",
    (_S.Uploaded, _S.Pending_Upload): "an additive upload",
    (_S.Created, _S.Aborted): "abandoned",
    (_S.Running, _S.Aborted): "abandoned",
    (_S.Stopped, _S.Aborted): "abandoned",
    (_S.Failed, _S.Aborted): "abandoned",
}
"""Every legal edge and what it means; all others raise InvalidTransitionError."""

SETTLED = frozenset({_S.Uploaded, _S.Failed, _S.Aborted})
"""Statuses in which no process has to be at work for the execution to be as it says."""

TERMINAL = frozenset({_S.Aborted})
"""Statuses that nothing leaves. (Uploaded is an end too, but an additive upload may leave it.)"""


def is_legal(source: ExecutionStatus, target: ExecutionStatus) -> bool:
    """Whether `source` → `target` is an edge, or only a new message under the same status."""
    return source == target or (source, target) in TRANSITIONS


def successors(source: ExecutionStatus) -> tuple[ExecutionStatus, ...]:
    """Statuses that may follow `source`, in the order of the diagram."""
    return tuple(to for frm, to in TRANSITIONS if frm == source)


def check_transition(source: ExecutionStatus, target: ExecutionStatus, *, subject: str = "The execution") -> None:
    """Raise InvalidTransitionError unless `source` → `target` is legal."""
    if is_legal(source, target):
        return
    after = ", ".join(successors(source))
    way = f"From {source} it can go to {after}." if after else f"{source} is final."
    raise InvalidTransitionError(f"{subject} is {source} and cannot become {target}. {way}")
