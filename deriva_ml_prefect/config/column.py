"""A column of a table to be made, as a person writes it."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from deriva_ml_prefect.config.spec import Spec
from deriva_ml_prefect.values.names import BuiltinTypes


class ColumnDefinition(Spec):
    """Name, type and constraints of one column; `default` is a JSON value."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, description="Name of the column.")
    type: BuiltinTypes = Field(description="ERMrest's type.")
    nullok: bool = Field(default=True, description="Whether it may be empty.")
    default: Any = Field(default=None, description="Value of rows that do not say one.")
    comment: str = Field(default="", description="What the column holds.")
