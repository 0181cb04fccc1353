"""Which code runs, by the first rule that fits.

1. The process runs in an image that describes itself (`container`).
2. A runner has named the notebook that it started (`notebook`).
3. `url` was given: it and `checksum` are taken as they are.
4. A function was given: the file that it is written in.
5. This process is a notebook's kernel: the notebook.
6. The outermost file on the stack that is nobody's tool (`caller`).
7. None: an interactive session, URL `REPL`, checksum `1`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from deriva_ml_prefect.provenance.caller import calling_file, code_file
from deriva_ml_prefect.provenance.container import code_of_container
from deriva_ml_prefect.provenance.git import CodeFacts, code_of_file
from deriva_ml_prefect.provenance.notebook import code_of_runner, notebook_checksum, running_notebook


def find_code(
    *,
    function: Callable[..., Any] | None = None,
    url: str | None = None,
    checksum: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> CodeFacts:
    """Facts of the code that runs. `DERIVA_ML_DIRTY_CHECK_IGNORE` (`:`-list) names folders that may change freely."""
    env = os.environ if environ is None else environ
    told = code_of_container(env) or code_of_runner(env)
    if told is not None:
        return told
    if url:
        return CodeFacts(url, checksum or "")
    file = code_file(function) if function is not None else running_notebook(env) or calling_file()
    if file is None:
        return CodeFacts("REPL", "1", committed=False)
    return code_of(file, environ=env)


def code_of_function(function: Callable[..., Any], *, environ: Mapping[str, str] | None = None) -> CodeFacts:
    """Facts of the file in which `function` is written."""
    return code_of(code_file(function), environ=os.environ if environ is None else environ)


def code_of(file: Path, *, environ: Mapping[str, str]) -> CodeFacts:
    """Facts of a script or notebook; a notebook's checksum ignores its outputs."""
    checksum = notebook_checksum(file) if file.suffix == ".ipynb" else None
    ignore = [folder for folder in environ.get("DERIVA_ML_DIRTY_CHECK_IGNORE", "").split(":") if folder]
    return code_of_file(file, checksum=checksum, ignore=ignore)
