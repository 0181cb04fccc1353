"""Signature and docstring of a recorded flow: the function's, less what is filled in, and what is added."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from deriva_ml_prefect.blocks import ExecutionConfiguration
from deriva_ml_prefect.exceptions import DerivaMLConfigurationError

INJECTED = ("execution", "ml_instance")
"""Parameters of the user's function that are filled in."""
ADDED = ("configuration", "dry_run")
"""Parameters that the flow has beside the user's."""
_ADDED_ARGUMENTS = (
    "configuration: What the execution reads and why: datasets, assets, workflow, description.",
    "dry_run: Run the code, and record nothing in the catalog.",
)
"""What the flow's form says of them."""


def check_function(fn: Callable[..., Any]) -> None:
    if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        raise DerivaMLConfigurationError(
            f"{fn.__qualname__} is a generator: an execution ends when its function returns, so it must return."
        )
    taken = [name for name in ADDED if name in inspect.signature(fn).parameters]
    if taken:
        raise DerivaMLConfigurationError(
            f"{fn.__qualname__} has a parameter named {' and '.join(taken)}, which @deriva_execution adds itself. "
            "Rename it; the configuration is execution.configuration, and execution.dry_run tells a dry run."
        )


def own_signature(fn: Callable[..., Any]) -> inspect.Signature:
    """The function's signature without what is filled in, annotations resolved where their names exist."""
    signature = inspect.signature(fn)
    names = getattr(inspect.unwrap(fn), "__globals__", {})
    kept = [
        parameter.replace(annotation=_resolved(parameter.annotation, names))
        for parameter in signature.parameters.values()
        if parameter.name not in INJECTED
    ]
    return signature.replace(parameters=kept, return_annotation=_resolved(signature.return_annotation, names))


def _resolved(annotation: Any, names: Mapping[str, Any]) -> Any:
    if not isinstance(annotation, str):
        return annotation
    holder = type("Holder", (), {"__annotations__": {"it": annotation}})
    try:
        return inspect.get_annotations(holder, globals=dict(names), eval_str=True)["it"]
    except NameError:
        return annotation


def shown_signature(fn: Callable[..., Any]) -> inspect.Signature:
    """The signature of the flow: the function's own and what is added, by keyword, before any `**kwargs`."""
    own = own_signature(fn)
    kind = inspect.Parameter.KEYWORD_ONLY
    added = [
        inspect.Parameter("configuration", kind, default=None, annotation=ExecutionConfiguration | None),
        inspect.Parameter("dry_run", kind, default=False, annotation=bool),
    ]
    listed = list(own.parameters.values())
    rest = [listed.pop()] if listed and listed[-1].kind is inspect.Parameter.VAR_KEYWORD else []
    return own.replace(parameters=[*listed, *added, *rest])


def shown_docstring(fn: Callable[..., Any]) -> str:
    """The function's docstring with the added parameters in its section `Args`, from which Prefect makes the form."""
    said = inspect.getdoc(fn) or f"{fn.__name__}."
    before, section, rest = said.partition("\nArgs:\n")
    indent = rest[: len(rest) - len(rest.lstrip(" "))] or "    "
    added = "".join(f"{indent}{line}\n" for line in _ADDED_ARGUMENTS)
    return f"{before}\nArgs:\n{added}{rest}" if section else f"{said}\n\nArgs:\n{added}"


def show_as(wrapper: Callable[..., Any], signature: inspect.Signature) -> Callable[..., Any]:
    wrapper.__signature__ = signature  # type: ignore[attr-defined]
    parameters = signature.parameters.values()
    wrapper.__annotations__ = {p.name: p.annotation for p in parameters if p.annotation is not inspect.Parameter.empty}
    if signature.return_annotation is not inspect.Signature.empty:
        wrapper.__annotations__["return"] = signature.return_annotation
    return wrapper
