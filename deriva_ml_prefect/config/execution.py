"""What an execution is asked to do: the fields of `ExecutionConfiguration`, declared once for all its forms.

The public class is a Prefect block (`deriva_ml_prefect.blocks`) built on this model; inside, phases take this one.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Self

from pydantic import ConfigDict, Field, field_validator

from deriva_ml_prefect.config.asset import AssetSpec
from deriva_ml_prefect.config.dataset import DatasetSpec
from deriva_ml_prefect.config.spec import Spec
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.exceptions import DerivaMLConfigurationError, DerivaMLValidationError
from deriva_ml_prefect.values.columns import check_text
from deriva_ml_prefect.values.strict_json import read_strictly


def current_argv() -> list[str]:
    """The command line of this process."""
    return list(sys.argv)


class ExecutionSpec(Spec):
    """The inputs and the description of one execution. Every field has a default: what is missing is asked later."""

    model_config = ConfigDict(extra="forbid")

    datasets: list[DatasetSpec] = Field(
        default_factory=list, description="Datasets to download: objects with rid and version, or RID@VERSION."
    )
    assets: list[AssetSpec | str] = Field(
        default_factory=list, description="Assets to download: objects with rid and cache, or RIDs."
    )
    workflow: Workflow | None = Field(
        default=None, title="Workflow", description="The code that runs; may come from the call instead."
    )
    description: str = Field(default="", description="What this run is about, in Markdown.")
    argv: list[str] = Field(default_factory=current_argv, title="Command Line", description="Kept for the record.")
    config_choices: dict[str, str] = Field(
        default_factory=dict,
        title="Configuration Choices",
        description="Hydra group → chosen name, when run by deriva-ml-run.",
    )

    @field_validator("datasets", mode="before")
    @classmethod
    def _datasets(cls, value: Any) -> Any:
        """Bare `RID` and `RID@VERSION` strings stand for specs."""
        if value is None:
            return []
        if isinstance(value, (list, tuple)):
            return [DatasetSpec.from_shorthand(item) if isinstance(item, str) else item for item in value]
        return value

    @field_validator("assets", mode="before")
    @classmethod
    def _assets(cls, value: Any) -> Any:
        """Bare RID strings become AssetSpec."""
        if value is None:
            return []
        if isinstance(value, (list, tuple)):
            return [AssetSpec(rid=item) if isinstance(item, str) else item for item in value]
        return value

    @field_validator("description")
    @classmethod
    def _text(cls, value: str) -> str:
        return check_text(value, "description")

    @field_validator("argv")
    @classmethod
    def _readable(cls, value: list[str]) -> list[str]:
        """Arguments that are no valid text (bytes of a file name) are kept as they can be shown."""
        return [text.encode("utf-8", "backslashreplace").decode() for text in value]

    @field_validator("config_choices")
    @classmethod
    def _texts(cls, value: dict[str, str]) -> dict[str, str]:
        for group, chosen in value.items():
            check_text(group, "a group of config_choices")
            check_text(chosen, f"config_choices.{group}")
        return value

    @classmethod
    def load_configuration(cls, path: str | Path) -> Self:
        """The configuration of a JSON file, such as the `configuration.json` of an execution."""
        try:
            return cls(**read_strictly(Path(path).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as e:
            if isinstance(e, DerivaMLValidationError):
                raise
            raise DerivaMLConfigurationError(f"{path} cannot be read as the JSON of a configuration: {e}.") from e

    def asset_specs(self) -> list[AssetSpec]:
        """`assets` with the type that the validator gives them."""
        return [AssetSpec(rid=item) if isinstance(item, str) else item for item in self.assets]
