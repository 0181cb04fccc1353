"""The code that an execution runs, as its author describes it and as provenance finds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from pydantic import ConfigDict, Field, field_validator

from deriva_ml_prefect.config.spec import Spec
from deriva_ml_prefect.values.columns import check_text


class Workflow(Spec):
    """Name, kind and identity of a piece of code; a row of `deriva-ml:Workflow` once an execution uses it.

    `url` and `checksum` say which code it is: the file's address at a commit, and `git hash-object` of the file.
    Both are empty until provenance fills them; values given explicitly are kept. A workflow that gets another `url` or
    `checksum`, or a copy that does, is other code: it has no `rid` until it is recorded.
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    name: str = Field(default="", description="What the code does, in a few words.")
    workflow_type: list[str] = Field(
        default_factory=list, title="Workflow Types", description="Terms of Workflow_Type, e.g. Training."
    )
    description: str = Field(default="", description="What it does and how, in Markdown.")
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

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        copy = super().model_copy(update=update, deep=deep)
        if copy._identity() != self._identity() and "rid" not in (update or {}):
            copy.__dict__["rid"] = None
        return copy

    if not TYPE_CHECKING:
        # as in Spec

        def __setattr__(self, name: str, value: Any) -> None:
            before = self._identity()
            super().__setattr__(name, value)
            if self._identity() != before:
                self.__dict__["rid"] = None

    def _identity(self) -> tuple[str | None, str | None]:
        return (self.url, self.checksum)

    @property
    def workflow_rid(self) -> str | None:
        """deriva-ml's other name for `rid`."""
        return self.rid
