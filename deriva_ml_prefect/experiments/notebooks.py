"""What a notebook takes as parameters, read without running it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deriva_ml_prefect.exceptions import DerivaMLConfigurationError

logger = logging.getLogger(__name__)
TAG = "parameters"


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
    """Parameters of a notebook, in the order of its `parameters` cell; empty when it has no such cell.

    Nothing of the notebook is executed. Of several such cells the first counts, and a warning says so.
    """
    if path.suffix != ".ipynb" or not path.is_file():
        raise DerivaMLConfigurationError(f"{path} is not a notebook: give the path of an .ipynb file.")
    # papermill takes most of a second to import
    import papermill

    try:
        tagged = sum(_is_tagged(cell) for cell in papermill.iorw.load_notebook_node(str(path)).cells)
        found = papermill.inspect_notebook(str(path))
    # papermill and nbformat have no common error for a file that is no notebook; the reason goes on
    except Exception as e:
        raise DerivaMLConfigurationError(f"{path} cannot be read as a notebook: {type(e).__name__}: {e}") from e
    if tagged > 1:
        logger.warning(
            "%s has %d cells tagged `%s`: the first one counts. Put all parameters into it.", path, tagged, TAG
        )
    return [
        NotebookParameter(item["name"], item["inferred_type_name"], item["default"], item["help"])
        for item in found.values()
    ]


def _is_tagged(cell: Mapping[str, Any]) -> bool:
    return TAG in (cell.get("metadata") or {}).get("tags", [])


def check_names(path: Path, parameters: Sequence[NotebookParameter], given: Mapping[str, Any]) -> None:
    """Raise DerivaMLConfigurationError when a value is given for what is no parameter of the notebook."""
    known = [parameter.name for parameter in parameters]
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise DerivaMLConfigurationError(
            f"{path} has no parameter {', '.join(unknown)}. Its parameters: {', '.join(known) or 'none'}."
        )
