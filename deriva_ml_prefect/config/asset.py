"""Which single asset an execution reads."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field, field_validator, model_validator

from deriva_ml_prefect.config.spec import Spec
from deriva_ml_prefect.values.rid import check_rid


class AssetSpec(Spec):
    """One asset among the inputs of an execution. A bare RID string is accepted wherever a spec is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rid: str = Field(title="RID", description="RID of the asset.")
    cache: bool = Field(default=False, description="Keep the file by its MD5 and use it again in later executions.")
    asset_role: str = Field(default="Input", description="Role of the asset in the execution.")

    @model_validator(mode="before")
    @classmethod
    def _bare_rid(cls, value: Any) -> Any:
        return {"rid": value} if isinstance(value, str) else value

    @field_validator("rid")
    @classmethod
    def _rid(cls, value: str) -> str:
        return check_rid(value, "Asset RID")
