"""Names of deriva-ml that deriva-ml-prefect has nothing for: they can be imported, and say so when they are used."""

from __future__ import annotations

from typing import Any, NoReturn

from deriva_ml_prefect.exceptions import DerivaMLNotProvided

INSTEAD = {
    "AssetRIDConfig": "Write deriva_ml.asset.aux_classes.AssetSpecConfig(rid=...).",
    "FileUploadState": "The uploaded files are what upload_execution_outputs() returns; it raises DerivaMLUploadError.",
    "ForeignKeyDefinition": "Give a dict as deriva-py's ForeignKey.define() makes it.",
    "KeyDefinition": "Give a dict as deriva-py's Key.define() makes it.",
    "MLTable": "Write the table's name as a text.",
    "Status": "Its statuses are ExecutionStatus, of deriva_ml.execution.state_store.",
    "TableDefinition": "Give a dict as deriva-py's Table.define() makes it.",
    "UploadState": "The uploaded files are what upload_execution_outputs() returns; it raises DerivaMLUploadError.",
    "VocabularyTerm": "Terms come from ml.add_term(), ml.lookup_term() and ml.list_vocabulary_terms().",
    "create_or_retarget_ml_catalog": (
        "Call create_ml_catalog(hostname, project, alias); retarget an alias with deriva-py's ErmrestAlias."
    ),
    "reset_ml_schema": "Make a new catalog with create_ml_catalog(hostname, project).",
    "run_notebook": "In the notebook, open `with ml.create_execution(config) as exe:` and upload after it.",
    "set_catalog_provenance": "Set annotation tag:deriva-ml.org,2025:catalog-provenance with deriva-py.",
    "split_dataset": "Choose the RIDs, then exe.create_dataset() and dataset.add_dataset_members() for each part.",
    "subsample": "Choose the RIDs, then exe.create_dataset() and dataset.add_dataset_members() for each part.",
}
"""Name → what to do instead."""


class Absent:
    """Stands for a function or class of deriva-ml; using it raises DerivaMLNotProvided, which says what to do."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._instead = INSTEAD[name]

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        self._refuse()

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise DerivaMLNotProvided(f"deriva-ml-prefect does not provide deriva-ml's {self._name}. {self._instead}")

    def __repr__(self) -> str:
        return f"<{self._name} of deriva-ml, not provided by deriva-ml-prefect>"
