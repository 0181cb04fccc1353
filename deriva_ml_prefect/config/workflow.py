"""The code that an execution runs, as its author describes it and as provenance finds it."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field, field_validator

from deriva_ml_prefect.config.spec import Spec
from deriva_ml_prefect.values.columns import check_text


class Workflow(Spec):
    """Name, kind and identity of a piece of code; a row of `deriva-ml:Workflow` once an execution uses it.

    `url` and `checksum` say which code it is: the file's address at a commit, and `git hash-object` of the file.
    Both are empty until provenance fills them; values given explicitly are kept.
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    name: str = Field(default="", description="What the code does, in a few words.")
    workflow_type: list[str] = Field(default_factory=list, description="Terms of Workflow_Type, e.g. Training.")
    description: str = Field(default="", description="Markdown.")
    url: str | None = Field(default=None, description="Where the code is, at the commit that runs.")
    version: str | None = Field(default=None, description="Version of the code's project.")
    checksum: str | None = Field(default=None, description="Git object id of the file that runs.")
    rid: str | None = Field(default=None, description="RID of the row, when the catalog has one.")
    is_notebook: bool = Field(default=False, description="Whether the code is a Jupyter notebook.")
    git_root: str | None = Field(default=None, description="Top folder of the code's repository.")
    allow_dirty: bool = Field(default=False, description="Whether uncommitted changes pass without a warning.")

    @field_validator("workflow_type", mode="before")
    @classmethod
    def _one_type(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("name", "description", "url", "version", "checksum")
    @classmethod
    def _text(cls, value: str | None) -> str | None:
        return value if value is None else check_text(value, "a text of the workflow")

    @property
    def workflow_rid(self) -> str | None:
        """deriva-ml's other name for `rid`."""
        return self.rid
