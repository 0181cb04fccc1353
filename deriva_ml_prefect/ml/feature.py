"""Features as a scientist holds them: a definition, and a class of records with one field a column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, create_model

from deriva_ml_prefect.values.records import FeatureColumn, FeatureDefinition

_PYTHON_TYPES: dict[str, Any] = {
    "int2": int,
    "int4": int,
    "int8": int,
    "float4": float,
    "float8": float,
    "boolean": bool,
    "json": Any,
    "jsonb": Any,
}


class FeatureRecord(BaseModel):
    """One value of a feature for one target row. `Feature.feature_record_class()` makes the classes."""

    model_config = ConfigDict(extra="forbid")

    feature: ClassVar[Feature]

    Execution: str | None = None
    Feature_Name: str = ""
    RCT: str | None = None
    """Time of creation of the row; only on records that were read."""

    if TYPE_CHECKING:
        # the fields beyond these are the columns of the feature, known when the class is made
        def __init__(self, **values: Any) -> None: ...
        def __getattr__(self, name: str) -> Any: ...

    @classmethod
    def feature_columns(cls) -> list[FeatureColumn]:
        """Columns that hold a value."""
        return list(cls.feature.definition.columns)


class Feature:
    """A feature of a table: what is said of each row, by whom."""

    def __init__(self, definition: FeatureDefinition) -> None:
        self.definition = definition

    @property
    def feature_name(self) -> str:
        return self.definition.name

    @property
    def target_table(self) -> str:
        return self.definition.target_table

    @property
    def feature_table(self) -> str:
        """Name of the table that holds the values."""
        return self.definition.table

    @property
    def term_columns(self) -> list[str]:
        return [column.name for column in self.definition.columns if column.kind == "term"]

    @property
    def asset_columns(self) -> list[str]:
        return [column.name for column in self.definition.columns if column.kind == "asset"]

    @property
    def value_columns(self) -> list[str]:
        return [column.name for column in self.definition.columns if column.kind == "value"]

    def feature_record_class(self) -> type[FeatureRecord]:
        """The class of this feature's records: the target's column is required, every other may be left out."""
        return self._record_class

    def records(self, rows: Iterable[Mapping[str, Any]]) -> list[FeatureRecord]:
        """Rows of the feature's table as records; columns that are no fields are left out."""
        made = self.feature_record_class()
        known = set(made.model_fields)
        return [made(**{name: value for name, value in row.items() if name in known}) for row in rows]

    @cached_property
    def _record_class(self) -> type[FeatureRecord]:
        definition = self.definition
        fields: dict[str, Any] = {definition.target_column: (str, ...)}
        for column in definition.columns:
            kind: Any = str | Path if column.kind == "asset" else _PYTHON_TYPES.get(column.typename, str)
            fields[column.name] = (kind | None if kind is not Any else Any, Field(default=None))
        fields["Feature_Name"] = (str, Field(default=definition.name))
        made: type[FeatureRecord] = create_model(
            f"{definition.target_table}Feature{definition.name}", __base__=FeatureRecord, **fields
        )
        made.feature = self
        return made

    def __repr__(self) -> str:
        return f"Feature({self.target_table}.{self.feature_name})"
