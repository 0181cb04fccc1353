"""What `deriva-ml-run` does: load a project's configurations, compose one with Hydra, and run it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import InstantiationException
from hydra_zen import instantiate, store
from omegaconf.errors import OmegaConfBaseException

from deriva_ml_prefect.exceptions import DerivaMLConfigurationError
from deriva_ml_prefect.experiments.loading import load_folder
from deriva_ml_prefect.experiments.model_run import as_flow, has_prefect_api, only_ahead
from deriva_ml_prefect.experiments.sweeps import list_multiruns, lookup_multirun

HYDRA_VERSION = "1.3"


@dataclass(frozen=True)
class Launch:
    """One call of `deriva-ml-run`."""

    config_dir: Path
    config_name: str
    overrides: tuple[str, ...] = ()
    hostname: str | None = None
    catalog_id: str | None = None
    multirun: bool = False
    use_prefect: bool = False
    """As a flow even where no Prefect API is configured."""
    only_ahead: bool = False
    """Look whether the run would succeed, and run nothing."""


def launch(request: Launch) -> None:
    """Compose and run. Of a sweep every job runs; the first error is raised when all have ended."""
    load_folder(request.config_dir)
    _check_name(request.config_name)
    overrides, multirun = expand_overrides(request.overrides, multirun=request.multirun)
    if request.hostname:
        overrides.append(f"deriva_ml.hostname={request.hostname}")
    if request.catalog_id:
        overrides.append(f"deriva_ml.catalog_id={request.catalog_id}")
    # Hydra lets every library talk at INFO; one line a request helps nobody
    logging.getLogger("httpx").setLevel(logging.WARNING)
    errors: list[BaseException] = []

    def run(config: Any) -> None:
        try:
            instantiate(config)
        # an error of the model's own code comes wrapped
        except OmegaConfBaseException as e:
            errors.append(
                DerivaMLConfigurationError(
                    f"The configuration cannot be resolved: {' '.join(str(e).split())}. Nothing was run; correct the "
                    "configuration or the override."
                )
            )
        # Hydra would show its own frames and end the process; the error is raised below, and a sweep goes on
        except Exception as e:  # noqa: BLE001
            errors.append(e.__cause__ if isinstance(e, InstantiationException) and e.__cause__ else e)

    # Hydra reads the command line itself
    arguments = [*overrides, *(["--multirun"] if multirun else [])]
    with _command_line(arguments), as_flow(request.use_prefect or has_prefect_api()), only_ahead(request.only_ahead):
        hydra.main(version_base=HYDRA_VERSION, config_path=None, config_name=request.config_name)(run)()
    if errors:
        raise errors[0]


def expand_overrides(overrides: Sequence[str], *, multirun: bool) -> tuple[list[str], bool]:
    """`+multirun=NAME` replaced by the overrides of that sweep, where none is given here; and whether to sweep."""
    named = [text.partition("=")[2] for text in overrides if text.startswith("+multirun=")]
    expanded: list[str] = []
    for name in named:
        sweep = lookup_multirun(name)
        expanded += sweep.overrides
        if sweep.description:
            expanded.append(f"description={_quoted(sweep.description)}")
    rest = [text for text in overrides if not text.startswith("+multirun=")]
    given = {text.partition("=")[0] for text in rest}
    return [text for text in expanded if text.partition("=")[0] not in given] + rest, multirun or bool(named)


def describe_configs(config_dir: Path) -> str:
    """Groups and names that a project's configurations offer, with their descriptions."""
    load_folder(config_dir)
    groups: dict[str, dict[str, str]] = {}
    for entry in store:
        if not str(entry["group"] or "").startswith("hydra"):
            node = entry["node"]
            text = getattr(node, "description", "")
            groups.setdefault(str(entry["group"] or ""), {})[str(entry["name"])] = text if isinstance(text, str) else ""
    lines = []
    for group in sorted(groups):
        lines.append(f"{group or 'top level (--config-name)'}:")
        lines += [_line(name, text) for name, text in sorted(groups[group].items())]
    if list_multiruns():
        lines.append("sweeps (+multirun=NAME):")
        lines += [_line(sweep.name, sweep.description) for sweep in list_multiruns()]
    return "\n".join(lines) + "\n"


def _line(name: str, text: str) -> str:
    first = text.strip().partition("\n")[0]
    return f"  {name}" + (f" - {first}" if first else "")


def _check_name(name: str) -> None:
    known = sorted(str(entry["name"]) for entry in store if not entry["group"])
    if name not in known:
        raise DerivaMLConfigurationError(
            f"No configuration is named {name!r}. Known: {', '.join(known) or 'none'}. Choose with --config-name."
        )


def _quoted(text: str) -> str:
    """Text of any length as one value of Hydra's override grammar."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


@contextmanager
def _command_line(arguments: list[str]) -> Iterator[None]:
    before = sys.argv
    sys.argv = [before[0], *arguments]
    try:
        yield
    finally:
        sys.argv = before
