"""What a notebook takes as parameters, read without running it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deriva_ml_prefect.exceptions import DerivaMLConfigurationError


@dataclass(frozen=True)
class NotebookParameter:
    """A variable of the cell tagged `parameters`."""

    name: str
    type_name: str
    """As its annotation or type comment says; `None` where there is none."""
    default: str
    """Source text."""
    help: str


def inspect_notebook(path: Path) -> list[NotebookParameter]:
    """Parameters of a notebook, in the order of its `parameters` cell; empty when it has no such cell."""
    if path.suffix != ".ipynb" or not path.is_file():
        raise DerivaMLConfigurationError(f"{path} is not a notebook: give the path of an .ipynb file.")
    # papermill takes most of a second to import
    import papermill

    try:
        found = papermill.inspect_notebook(str(path))
    # papermill and nbformat have no common error for a file that is no notebook; the reason goes on
    except Exception as e:
        raise DerivaMLConfigurationError(f"{path} cannot be read as a notebook: {type(e).__name__}: {e}") from e
    return [
        NotebookParameter(item["name"], item["inferred_type_name"], item["default"], item["help"])
        for item in found.values()
    ]
