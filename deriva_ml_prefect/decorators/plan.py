"""What a decorated function is to be recorded as."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeGuard

from prefect.flows import Flow

from deriva_ml_prefect.blocks import DerivaCatalog
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.own_process import OwnProcess
from deriva_ml_prefect.phases.send import UploadOptions
from deriva_ml_prefect.values.address import Address

MARK = "records_executions"
"""Attribute of the functions of decorated flows; it stays when the flow is copied or sent elsewhere."""


@dataclass(frozen=True)
class Plan:
    """What one decorated function is to be recorded as."""

    function: Callable[..., Any]
    catalog: str | Address | DerivaCatalog | None
    workflow_name: str
    workflow_type: tuple[str, ...]
    description: str
    ml_class: type[DerivaML]
    code: Flow[..., Any]
    """The user's function as the subflow of a run."""
    upload: UploadOptions
    own_process: OwnProcess | None = None
    """Where it runs, if not in the process of the flow."""


def is_recorded(flow: Any) -> TypeGuard[Flow[..., Any]]:
    """Whether each run of a flow is an execution."""
    return isinstance(flow, Flow) and bool(getattr(flow.fn, MARK, False))
