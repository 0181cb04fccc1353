"""Which dataset an execution reads, in which version, and how much of it."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field, field_validator

from deriva_ml_prefect.config.spec import Spec
from deriva_ml_prefect.exceptions import DerivaMLValidationError
from deriva_ml_prefect.values.rid import check_rid
from deriva_ml_prefect.values.version import DatasetVersion


class DatasetSpec(Spec):
    """One dataset among the inputs of an execution."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rid: str = Field(title="RID", description="RID of the dataset.")
    version: str | None = Field(default=None, description="Version to use, e.g. 2.1.0; empty: the current one.")
    materialize: bool = Field(default=True, description="Download the asset files; off: the tables only.")
    description: str = Field(default="", description="What the dataset is for, in this execution.")
    exclude_tables: list[str] | None = Field(default=None, description="Tables that the download leaves out.")
    timeout: list[int] | None = Field(default=None, description="[connect, read] in seconds, for this download.")
    fetch_concurrency: int = Field(default=8, ge=1, le=64, description="Asset files fetched at once, at most.")

    @field_validator("rid")
    @classmethod
    def _rid(cls, value: str) -> str:
        return check_rid(value, "Dataset RID")

    @field_validator("version", mode="before")
    @classmethod
    def _version(cls, value: Any) -> Any:
        """deriva-ml's other forms, [1, 0, 0] and {major, minor, patch}, as text."""
        if value is None or value == "":
            return None
        if isinstance(value, DatasetVersion):
            return str(value)
        if isinstance(value, dict) and set(value) <= {"major", "minor", "patch"}:
            value = [value.get(part, 0) for part in ("major", "minor", "patch")]
        if isinstance(value, (list, tuple)) and len(value) == 3:
            value = ".".join(str(part) for part in value)
        if isinstance(value, str):
            return str(DatasetVersion.parse(value))
        return value

    @classmethod
    def from_shorthand(cls, text: str) -> DatasetSpec:
        """`RID` or `RID@1.0.0` as a spec."""
        rid, _, version = text.strip().partition("@")
        if not rid:
            raise DerivaMLValidationError(
                f"{text!r} does not name a dataset. Write RID or RID@VERSION, e.g. 1-ABC@1.0.0."
            )
        return cls(rid=rid, version=version or None)
