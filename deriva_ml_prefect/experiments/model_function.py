"""What `run_model` calls: a function of a model, with its parameters bound by a configuration."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution


@runtime_checkable
class DerivaMLModel(Protocol):
    """Keywords of its own, and the connection and the execution, which are filled in when it runs.

    A check with `isinstance` sees only that it can be called.
    """

    def __call__(
        self, *args: Any, ml_instance: DerivaML | None = None, execution: Execution | None = None, **kwargs: Any
    ) -> Any: ...
