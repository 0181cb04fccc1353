"""Rows of the catalog as frozen values, the same for every generation of the schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deriva_ml_prefect.values.liveness import Liveness
from deriva_ml_prefect.values.rid import RID
from deriva_ml_prefect.values.status import ExecutionStatus
from deriva_ml_prefect.values.version import DatasetVersion


@dataclass(frozen=True)
class ExecutionRecord:
    """A row of `deriva-ml:Execution`."""

    rid: RID
    workflow_rid: RID | None
    description: str | None
    status: ExecutionStatus
    """Translated from what the catalog's generation writes."""
    stored_status: str | None
    """Exactly what the row holds: a compare-and-swap must name it."""
    status_detail: str | None
    created: str
    """RCT, ISO 8601 with offset."""
    modified: str
    """RMT: the time of the last change, heartbeats included."""
    durations: Mapping[str, str] = field(default_factory=dict)
    """By phase (`execution`, `download`, `upload`), as deriva-ml writes them: `0.0H 1.0min 2.3456sec`."""
    liveness: Liveness | None = None
    """Whether its process is at work, where that was asked for (`questions.liveness`)."""
    last_sign_of_life: str | None = None
    """ISO 8601 with offset; given with `liveness`."""


@dataclass(frozen=True)
class WorkflowRecord:
    """A row of `deriva-ml:Workflow` with its types."""

    rid: RID
    name: str | None
    url: str | None
    checksum: str | None
    version: str | None
    description: str | None
    workflow_types: tuple[str, ...] = ()
    types_linked: bool = True
    """False when the row's own column alone names its type, and no row of the association does."""


@dataclass(frozen=True)
class DatasetVersionRecord:
    """A row of `deriva-ml:Dataset_Version`."""

    rid: RID
    dataset_rid: RID
    version: DatasetVersion
    snapshot: str | None
    """Catalog snapshot (`2PX-WS30-E58W`) that holds the dataset as it was; None for a development version."""
    description: str | None
    execution_rid: RID | None


@dataclass(frozen=True)
class DatasetRecord:
    """A row of `deriva-ml:Dataset` with its types and current version."""

    rid: RID
    description: str | None
    deleted: bool
    dataset_types: tuple[str, ...]
    current_version: DatasetVersion | None


@dataclass(frozen=True)
class Term:
    """A row of a vocabulary table."""

    rid: RID
    id: str
    uri: str
    name: str
    description: str | None
    synonyms: tuple[str, ...] = ()


@dataclass(frozen=True)
class AssetTable:
    """An asset table and the two associations that belong to it, found by structure."""

    schema: str
    name: str
    metadata: tuple[str, ...]
    """Columns beyond the system's and the five of every asset."""
    required_metadata: tuple[str, ...]
    """Those of them that are not null and have no default."""
    type_schema: str
    type_table: str
    """`<Asset>_Asset_Type`: (asset RID, term name)."""
    type_asset_column: str
    type_term_column: str
    execution_schema: str
    execution_table: str
    """`<Asset>_Execution`: (asset RID, execution RID, role)."""
    execution_asset_column: str
    execution_execution_column: str
    role_column: str
    metadata_types: Mapping[str, str] = field(default_factory=dict)
    """ERMrest's typename of each metadata column."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """What is meant when a metadata column that is not null is left out: ERMrest would write null."""

    @property
    def qualified(self) -> str:
        return f"{self.schema}:{self.name}"


@dataclass(frozen=True)
class AssetRecord:
    """A row of an asset table."""

    rid: RID
    asset_table: str
    filename: str | None
    url: str
    length: int
    md5: str
    description: str | None = None
    asset_types: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    schema: str = ""
    """Of the asset's table; empty where only the journal was asked."""


@dataclass(frozen=True)
class FeatureColumn:
    """A column of a feature table that holds a value."""

    name: str
    typename: str
    """ERMrest's typename of the column itself, e.g. `text`, `float4`."""
    kind: str
    """`term`, `asset` or `value`, by what its foreign key points to."""
    refers_to: tuple[str, str] | None
    """(schema, table) that a term or asset column points to."""
    referenced_column: str | None
    nullok: bool
    default: Any = None

    @property
    def holds_names(self) -> bool:
        """Whether its values are the names of terms."""
        return self.kind == "term" and (self.referenced_column or "").lower() == "name"


@dataclass(frozen=True)
class FeatureDefinition:
    """A feature as the catalog defines it: the table `Execution_<Target>_<Feature>` and its columns."""

    name: str
    schema: str
    table: str
    target_schema: str
    target_table: str
    target_column: str
    """Column of the feature table that holds the target row's key (its RID, or its Name in old catalogs)."""
    target_referenced_column: str
    execution_column: str
    feature_name_column: str
    columns: tuple[FeatureColumn, ...]

    @property
    def qualified(self) -> str:
        return f"{self.schema}:{self.table}"
