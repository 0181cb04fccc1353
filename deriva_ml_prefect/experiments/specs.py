"""The connection, datasets and assets of an experiment, as configurations."""

from __future__ import annotations

from typing import Any

from hydra_zen import hydrated_dataclass
from pydantic import BaseModel, ConfigDict, Field

from deriva_ml_prefect.config.asset import AssetSpec
from deriva_ml_prefect.config.dataset import DatasetSpec
from deriva_ml_prefect.ml.deriva_ml import Handle
from deriva_ml_prefect.values.names import ML_SCHEMA


class DerivaMLConfig(BaseModel):
    """Which catalog an experiment runs against: the arguments of `DerivaML`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hostname: str = Field(description="embedded, a host name, or host:port")
    catalog_id: str | int = Field(description="Number or alias of the catalog")
    domain_schemas: list[str] | None = None
    default_schema: str | None = None
    project_name: str | None = None
    cache_dir: str | None = None
    working_dir: str | None = None
    hydra_runtime_output_dir: str | None = None
    ml_schema: str = ML_SCHEMA
    logging_level: int = 30
    deriva_logging_level: int = 30
    use_minid: bool | None = None
    check_auth: bool = True
    clean_execution_dir: bool = True

    def connect(self, ml_class: type[Handle]) -> Handle:
        """A handle for the catalog; no request is sent."""
        values: dict[str, Any] = {name: getattr(self, name) for name in type(self).model_fields}
        return ml_class(**values)


@hydrated_dataclass(DatasetSpec)
class DatasetSpecConfig:
    """Configuration of a DatasetSpec."""

    rid: str
    version: str | None = None
    materialize: bool = True
    description: str = ""
    exclude_tables: list[str] | None = None
    timeout: list[int] | None = None
    fetch_concurrency: int = 8


@hydrated_dataclass(AssetSpec)
class AssetSpecConfig:
    """Configuration of an AssetSpec."""

    rid: str
    cache: bool = False
    asset_role: str = "Input"
