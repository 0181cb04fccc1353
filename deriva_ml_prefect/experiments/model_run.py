"""One configured run: everything instantiated, the model called inside an execution, its outputs uploaded."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.exceptions import DerivaMLConfigurationError
from deriva_ml_prefect.experiments.specs import DerivaMLConfig
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.pages.preflight_page import render_preflight
from deriva_ml_prefect.phases.preflight import require_ready
from deriva_ml_prefect.phases.record import register_document
from deriva_ml_prefect.phases.scrubbing import scrubber
from deriva_ml_prefect.phases.send import UploadOptions
from deriva_ml_prefect.values.names import ExecMetadataType

logger = logging.getLogger("deriva-ml-run")
"""Not the package's own logger, whose level the connection sets: whoever ran a model wants to know its execution."""

_LONGEST_STEM = 100
"""Characters of the folder's name in the names of Hydra's files."""

_as_flow: ContextVar[bool] = ContextVar("deriva_ml_prefect_as_flow", default=False)


_only_ahead: ContextVar[bool] = ContextVar("deriva_ml_prefect_only_ahead", default=False)


@contextmanager
def only_ahead(wanted: bool) -> Iterator[None]:
    """Inside, `run_model` looks whether the run would succeed, says so, and runs nothing; or it runs."""
    token = _only_ahead.set(wanted)
    try:
        yield
    finally:
        _only_ahead.reset(token)


@contextmanager
def as_flow(wanted: bool) -> Iterator[None]:
    """Inside, `run_model` runs as a Prefect flow, or does not."""
    token = _as_flow.set(wanted)
    try:
        yield
    finally:
        _as_flow.reset(token)


def has_prefect_api() -> bool:
    """Whether the environment or Prefect's profile names an API: then a run belongs there."""
    if os.environ.get("PREFECT_API_URL"):
        return True
    home = Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()
    if not (home / "profiles.toml").exists():
        return False
    # a second of import, paid only by those who have set Prefect up
    from prefect.settings import PREFECT_API_URL

    return bool(PREFECT_API_URL.value())


def run_model(
    deriva_ml: DerivaMLConfig,
    datasets: list[Any] | None,
    assets: list[Any] | None,
    description: str,
    workflow: Workflow | None,
    model_config: Callable[..., Any] | None,
    dry_run: bool = False,
    ml_class: type[DerivaML] | None = None,
    upload_timeout: float = 600,
    upload_chunk_size: int = 50_000_000,
    script_config: Callable[..., Any] | None = None,
) -> Any:
    """Run a model as one execution and upload what it made. What the model returned.

    `model_config` is the model with its parameters bound (`zen_partial`), called with `ml_instance` and `execution`;
    `script_config`, if given, is called in its place. A dry run downloads the inputs and skips the model; a script is
    called with `execution=None`. Times are seconds, sizes bytes.
    """
    code = script_config or model_config
    if code is None:
        raise DerivaMLConfigurationError("Nothing is configured to run: choose a model_config or a script_config.")
    # refused now, not when the model has run
    UploadOptions(timeout=(upload_timeout, upload_timeout), chunk_size=upload_chunk_size)
    ml = _connect(deriva_ml, ml_class or DerivaML)
    spec = ExecutionSpec(
        datasets=list(datasets or ()),
        assets=list(assets or ()),
        description=description,
        config_choices=_choices(),
    )
    described = _workflow(ml, workflow, code)

    if _only_ahead.get():
        return _tell_ahead(ml, spec, described)

    def act(ml_instance: DerivaML, execution: Execution) -> Any:
        if execution.dry_run:
            logger.info("Dry run: the inputs are here; the model is not run.")
            return code(ml_instance=ml_instance, execution=None) if script_config else None
        _register_hydra_files(execution)
        return code(ml_instance=ml_instance, execution=execution)

    if _as_flow.get():
        upload = {"upload_timeout": upload_timeout, "upload_chunk_size": upload_chunk_size}
        return _run_as_flow(ml, spec, described, act, dry_run=dry_run, upload=upload)
    execution = ml.create_execution(spec, workflow=described, dry_run=dry_run)
    with execution:
        result = act(ml, execution)
    execution.upload_execution_outputs(
        timeout=(upload_timeout, upload_timeout), chunk_size=upload_chunk_size, clean_folder=None
    )
    _tell(execution)
    return result


def _tell_ahead(ml: DerivaML, spec: ExecutionSpec, workflow: Workflow) -> None:
    report = ml.preflight(spec, workflow=workflow)
    sys.stdout.write("\n".join(render_preflight(report)) + "\n")
    require_ready(report)


def _connect(config: Any, ml_class: type[DerivaML]) -> DerivaML:
    if isinstance(config, DerivaML):
        return config
    if not isinstance(config, DerivaMLConfig):
        raise DerivaMLConfigurationError(
            f"deriva_ml is configured as {type(config).__name__}; store DerivaMLConfig with hostname and catalog_id."
        )
    return config.connect(ml_class)


def _workflow(ml: DerivaML, given: Workflow | None, code: Callable[..., Any]) -> Workflow:
    """The configured workflow, completed by the file of the model."""
    if given is None:
        raise DerivaMLConfigurationError("No workflow is configured: store one in group workflow as default_workflow.")
    if given.url or given.rid:
        return given
    return ml.create_workflow(given.name, given.workflow_type, given.description, function=code)


def _run_as_flow(
    ml: DerivaML,
    spec: ExecutionSpec,
    workflow: Workflow,
    act: Callable[..., Any],
    *,
    dry_run: bool,
    upload: Mapping[str, Any],
) -> Any:
    # a second of import, paid only by runs that belong to Prefect
    from deriva_ml_prefect.blocks import ExecutionConfiguration
    from deriva_ml_prefect.decorators import deriva_execution

    begun: list[Execution] = []

    def run_configured(execution: Execution, ml_instance: DerivaML) -> Any:
        begun.append(execution)
        return act(ml_instance, execution)

    name = re.sub(r"[^a-z0-9]+", "-", workflow.name.lower()).strip("-") or "model"
    recorded = deriva_execution(catalog=ml.address, ml_class=type(ml), name=name, **upload)(run_configured)
    fields = {key: getattr(spec, key) for key in ExecutionSpec.model_fields}
    configuration = ExecutionConfiguration(**{**fields, "workflow": workflow})
    result = recorded(configuration=configuration, dry_run=dry_run)
    for execution in begun:
        _tell(execution)
    return result


def _tell(execution: Execution) -> None:
    logger.info("Execution %s in %s is %s.", execution.execution_rid, execution.ml.address, execution.status)


def _hydra() -> Any:
    """Hydra's own configuration of this run, or None outside of Hydra."""
    from hydra.core.hydra_config import HydraConfig

    return HydraConfig.get() if HydraConfig.initialized() else None


def _choices() -> dict[str, str]:
    hydra = _hydra()
    if hydra is None:
        return {}
    chosen = hydra.runtime.choices.items()
    return {str(group): str(name) for group, name in chosen if name is not None and not str(group).startswith("hydra/")}


def _register_hydra_files(execution: Execution) -> None:
    """Hydra's record of the configuration joins the execution's metadata, without secrets."""
    hydra = _hydra()
    if hydra is None or not hydra.output_subdir:
        return
    folder = Path(hydra.runtime.output_dir)
    # the folder may be named after the overrides, secrets among them, and as long as a name can be
    clean = scrubber(execution.context.home)
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(map(clean.text, folder.parts[-2:])))
    if len(stem) > _LONGEST_STEM:
        stem = f"{stem[:_LONGEST_STEM]}-{hashlib.sha256(stem.encode()).hexdigest()[:12]}"
    for file in sorted((folder / hydra.output_subdir).glob("*.yaml")):
        register_document(
            execution.context,
            file,
            f"hydra-{stem}-{file.name}",
            ExecMetadataType.hydra_config.value,
            f"Hydra's {file.stem} of the run",
        )
