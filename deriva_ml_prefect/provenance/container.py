"""Code that runs as a published image: what the image says of itself through `DERIVA_MCP_*` variables.

DERIVA_MCP_IN_DOCKER      true: the rules below hold
DERIVA_MCP_VERSION        version of the code
DERIVA_MCP_IMAGE_NAME     name of the image, with DERIVA_MCP_IMAGE_DIGEST its content
DERIVA_MCP_GIT_COMMIT     commit that the image was built from, for images without digest
DERIVA_MCP_SOURCE         address of the source, to which the commit belongs
"""

from __future__ import annotations

from collections.abc import Mapping

from deriva_ml_prefect.exceptions import DerivaMLWorkflowError
from deriva_ml_prefect.provenance.git import CodeFacts

_DEFAULT_SOURCE = "https://github.com/informatics-isi-edu/deriva-mcp"


def code_of_container(environ: Mapping[str, str]) -> CodeFacts | None:
    """Facts of the image, or None when the process does not run in one that describes itself."""
    if environ.get("DERIVA_MCP_IN_DOCKER", "").strip().lower() != "true":
        return None
    digest, commit = environ.get("DERIVA_MCP_IMAGE_DIGEST", ""), environ.get("DERIVA_MCP_GIT_COMMIT", "")
    if digest and environ.get("DERIVA_MCP_IMAGE_NAME"):
        url = f"{environ['DERIVA_MCP_IMAGE_NAME']}@{digest}"
    elif commit:
        url = f"{environ.get('DERIVA_MCP_SOURCE') or _DEFAULT_SOURCE}/commit/{commit}"
    else:
        raise DerivaMLWorkflowError(
            "DERIVA_MCP_IN_DOCKER is true, but the image says neither DERIVA_MCP_IMAGE_NAME with "
            "DERIVA_MCP_IMAGE_DIGEST nor DERIVA_MCP_GIT_COMMIT, so its code cannot be identified. Set one of them."
        )
    return CodeFacts(url, digest or commit, version=environ.get("DERIVA_MCP_VERSION") or None, commit=commit or None)
