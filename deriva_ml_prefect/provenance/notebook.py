"""Which notebook runs, and the checksum of a notebook that its outputs do not change.

A runner names the notebook in `DERIVA_ML_WORKFLOW_URL`, `DERIVA_ML_WORKFLOW_CHECKSUM` and `DERIVA_ML_NOTEBOOK_PATH`.
Without a runner the kernel's own surroundings are asked: VS Code's variable, Jupyter's session name, and last the
sessions of the Jupyter servers on this machine.
"""

from __future__ import annotations

import json
import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from deriva_ml_prefect.exceptions import DerivaMLWorkflowError
from deriva_ml_prefect.provenance.git import CodeFacts, git_root, text_checksum

_VOLATILE_CELL_KEYS = ("ExecuteTime", "collapsed", "execution", "scrolled", "papermill", "heading_collapsed", "hidden")
_VOLATILE_KEYS = ("signature", "widgets", "papermill")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def code_of_runner(environ: Mapping[str, str]) -> CodeFacts | None:
    """What a runner said about the notebook that it started; None without one."""
    url = environ.get("DERIVA_ML_WORKFLOW_URL")
    if not url:
        return None
    path = environ.get("DERIVA_ML_NOTEBOOK_PATH")
    root = git_root(Path(path)) if path else None
    return CodeFacts(
        url, environ.get("DERIVA_ML_WORKFLOW_CHECKSUM", ""), git_root=str(root) if root else None, is_notebook=True
    )


def in_notebook() -> bool:
    """Whether this process is a Jupyter kernel."""
    return "ipykernel" in sys.modules and _shell() is not None


def running_notebook(environ: Mapping[str, str] | None = None) -> Path | None:
    """File of the notebook whose kernel this process is; None when it is no kernel, or nobody knows the file."""
    if not in_notebook():
        return None
    env = os.environ if environ is None else environ
    told = getattr(_shell(), "user_ns", {}).get("__vsc_ipynb_file__") or env.get("JPY_SESSION_NAME")
    if told and (file := Path(told)).suffix == ".ipynb" and file.is_file():
        return file.resolve()
    return next(_from_servers(), None)


def notebook_checksum(path: Path) -> str:
    """Git object id of the notebook without outputs, counters and volatile metadata: running it changes nothing."""
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        clean = json.dumps(stripped(notebook), indent=1, ensure_ascii=False, sort_keys=True) + "\n"
        return text_checksum(clean)
    # what is JSON and no notebook has something else where cells and metadata should be
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise DerivaMLWorkflowError(f"{path} cannot be read as a notebook: {type(error).__name__}: {error}.") from error


def stripped(notebook: Mapping[str, Any]) -> dict[str, Any]:
    """The notebook as written, without what running it leaves behind."""
    metadata = {k: v for k, v in dict(notebook.get("metadata") or {}).items() if k not in _VOLATILE_KEYS}
    clean = {**notebook, "metadata": metadata, "cells": [_stripped_cell(cell) for cell in notebook.get("cells") or []]}
    if "worksheets" in notebook:
        # formats before 4 have their cells in sheets
        clean["worksheets"] = [
            {**sheet, "cells": [_stripped_cell(cell) for cell in sheet.get("cells") or []]}
            for sheet in notebook["worksheets"]
        ]
    return clean


def _stripped_cell(cell: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {k: v for k, v in dict(cell.get("metadata") or {}).items() if k not in _VOLATILE_CELL_KEYS}
    clean = {k: v for k, v in cell.items() if k != "id"} | {"metadata": metadata}
    if cell.get("cell_type") == "code":
        clean |= {"outputs": [], "execution_count": None}
        clean.pop("prompt_number", None)
    return clean


def _shell() -> Any:
    """The interactive shell, when IPython has one: it is never imported here."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def _from_servers() -> Iterator[Path]:
    """Notebooks of this kernel in the sessions of the Jupyter servers that run on this machine."""
    match = re.search(r"kernel-([\w-]+)\.json", " ".join(sys.argv))
    if match is None:
        return
    try:
        from jupyter_core.paths import jupyter_runtime_dir  # only a kernel has it for certain
    except ImportError:
        return
    for described in Path(jupyter_runtime_dir()).glob("*server-*.json"):
        try:
            server = json.loads(described.read_text())
            address = urlsplit(server["url"])
            if address.scheme not in ("http", "https") or address.hostname not in _LOOPBACK:
                continue
            request = urllib.request.Request(
                f"{server['url']}api/sessions", headers={"Authorization": f"token {quote(server.get('token', ''))}"}
            )
            # straight to this machine: neither a proxy nor the target of a redirect is told the token
            with urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect).open(
                request, timeout=3
            ) as answer:
                sessions = json.load(answer)
            for session in sessions:
                file = Path(server.get("root_dir") or server.get("notebook_dir") or ".") / str(session.get("path", ""))
                if session.get("kernel", {}).get("id") == match.group(1) and file.is_file():
                    yield file.resolve()
        except (OSError, ValueError, KeyError, AttributeError, urllib.error.URLError):
            continue  # a server that has gone, or is another version: the next one may know
