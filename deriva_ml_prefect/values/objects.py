"""How a file becomes an object of the object store: the rules about names, without any I/O."""

from __future__ import annotations

import hashlib
import json
import mimetypes
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from deriva_ml_prefect.exceptions import DerivaMLValidationError

MAX_NAME_BYTES = 255


def check_filename(name: str) -> str:
    """`name` itself if it can be carried exactly, else DerivaMLValidationError. UTF-8, 1 to 255 bytes, one segment."""
    problem = None
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise DerivaMLValidationError(
            f"File name {name!r} is not valid Unicode. Rename the file, or pass rename_file=."
        ) from None
    if not name:
        problem = "is empty"
    elif name in (".", ".."):
        problem = "is a folder's own name"
    elif "/" in name or "\\" in name:
        problem = "contains a path separator"
    elif any(ord(c) < 32 or ord(c) == 127 for c in name):
        problem = "contains a control character"
    elif size > MAX_NAME_BYTES:
        problem = f"is {size} bytes long, and at most {MAX_NAME_BYTES} are possible"
    if problem:
        raise DerivaMLValidationError(f"File name {name[:80]!r} {problem}. Rename the file, or pass rename_file=.")
    return name


def check_table_name(name: str) -> str:
    """`name` itself, unless no folder of the object store can have it: then DerivaMLValidationError."""
    if name in (".", ".."):
        raise DerivaMLValidationError(
            f"Asset table {name!r} has a folder's own name, so its files can have no place in the object store. Use a "
            "table of another name."
        )
    return name


def object_path(asset_table: str, md5_hex: str, filename: str) -> str:
    """Path of an asset's object below `/hatrac`, percent-encoded: `/hatrac/<Table>/<md5>.<file name>`.

    A slash in the name of a table is none of the path, nor for a server that decodes it first: `_` stands for it.
    """
    folder = re.sub(r"[/\\]", "_", asset_table)
    return f"/hatrac/{quote(folder, safe='')}/{md5_hex}.{quote(filename, safe='')}"


def object_path_apart(asset_table: str, md5_hex: str, filename: str, said: Mapping[str, Any]) -> str:
    """As `object_path`, for bytes whose first row says something else: `<md5>.<digest of what is said>.<file name>`.

    Equal sayings have equal paths, so the same thing said a third time finds the second row.
    """
    digest = hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:16]
    return object_path(asset_table, md5_hex, f"{digest}.{filename}")


def content_disposition(filename: str) -> str:
    """The header in the one form that Hatrac takes."""
    return f"filename*=UTF-8''{quote(filename, safe='')}"


def content_type(filename: str) -> str:
    """Media type by the file name's ending; unknown ones are octet streams."""
    return mimetypes.guess_type(filename, strict=False)[0] or "application/octet-stream"
