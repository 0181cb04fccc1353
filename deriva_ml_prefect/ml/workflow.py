"""A workflow of the catalog: which code, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from deriva_ml_prefect.catalog import vocabulary, workflows
from deriva_ml_prefect.catalog.connection import catalog_for
from deriva_ml_prefect.phases.scrubbing import clean_prose
from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.names import MLVocab
from deriva_ml_prefect.values.records import WorkflowRecord


class RecordedWorkflow:
    """A handle on one row of Workflow, as it was when it was read. Setting description or type writes to the row."""

    def __init__(self, address: Address, record: WorkflowRecord) -> None:
        self.address = address
        self.record = record

    @property
    def workflow_rid(self) -> str:
        return self.record.rid

    rid = workflow_rid

    @property
    def name(self) -> str | None:
        return self.record.name

    @property
    def url(self) -> str | None:
        """Where the code is, at the commit that ran."""
        return self.record.url

    @property
    def checksum(self) -> str | None:
        """Git object id of the file that ran."""
        return self.record.checksum

    @property
    def version(self) -> str | None:
        return self.record.version

    @property
    def description(self) -> str | None:
        return self.record.description

    @description.setter
    def description(self, text: str) -> None:
        clean = clean_prose(text)
        workflows.write_description(catalog_for(self.address), self.rid, clean)
        self.record = replace(self.record, description=clean)

    @property
    def workflow_type(self) -> list[str]:
        """Terms of Workflow_Type. A single one may be set as a text."""
        return list(self.record.workflow_types)

    @workflow_type.setter
    def workflow_type(self, types: str | Sequence[str]) -> None:
        given = [types] if isinstance(types, str) else list(types)
        catalog = catalog_for(self.address)
        names = tuple(vocabulary.term_names(catalog, MLVocab.workflow_type, given))
        workflows.replace_workflow_types(catalog, self.rid, names)
        self.record = replace(self.record, workflow_types=names)

    @property
    def workflow_types(self) -> tuple[str, ...]:
        return self.record.workflow_types

    def __repr__(self) -> str:
        return f"RecordedWorkflow({self.rid}, {self.name!r} in {self.address})"
