"""Bytes in the object store of the catalog's own host."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.exceptions import DerivaMLValidationError
from deriva_ml_prefect.transfer.client import Timeout
from deriva_ml_prefect.transfer.download import get_file, read_through
from deriva_ml_prefect.transfer.hashing import FileFacts
from deriva_ml_prefect.transfer.upload import CHUNK_SIZE, StoredObject, put_file, stored_object

Progress = Callable[[int], None]


def upload_object(
    catalog: Catalog,
    path: Path,
    object_path: str,
    facts: FileFacts,
    *,
    content_type: str = "application/octet-stream",
    disposition: str | None = None,
    chunk_size: int = CHUNK_SIZE,
    timeout: Timeout | None = None,
    progress: Progress | None = None,
    job: str | None = None,
    on_job: Callable[[str], None] | None = None,
) -> str:
    """Store the bytes of `path` as `object_path`; returns the versioned path, which goes into an asset's row as URL.

    See `transfer.upload.put_file` for `job` and `on_job`, which let another process go on with a large file.
    """
    return put_file(
        catalog.client,
        path,
        object_path,
        facts,
        content_type=content_type,
        disposition=disposition,
        chunk_size=chunk_size,
        timeout=timeout,
        progress=progress,
        job=job,
        on_job=on_job,
    )


def download_object(
    catalog: Catalog,
    url: str,
    dest: Path,
    *,
    md5_hex: str | None = None,
    length: int | None = None,
    progress: Progress | None = None,
    durable: bool = True,
) -> int:
    """Fetch the object of an asset's URL into `dest`, verified; returns its length in bytes."""
    return get_file(
        catalog.client,
        object_path_of(catalog, url),
        dest,
        md5_hex=md5_hex,
        length=length,
        progress=progress,
        durable=durable,
    )


def read_object(catalog: Catalog, url: str, *, progress: Progress | None = None) -> tuple[int, str]:
    """Length and MD5 of the bytes behind an asset's URL, read from the store and not kept."""
    return read_through(catalog.client, object_path_of(catalog, url), progress=progress)


def object_facts(catalog: Catalog, url: str) -> StoredObject | None:
    """Length and MD5 of the object behind an asset's URL, as the store knows them; None if it is not there."""
    return stored_object(catalog.client, object_path_of(catalog, url))


def object_path_of(catalog: Catalog, url: str) -> str:
    """The path below `/hatrac/` that `url` names; an address of another host or kind is refused."""
    parts = urlsplit(url)
    own = urlsplit(catalog.base_url).netloc
    path = parts.path if not parts.netloc or parts.netloc in (own, catalog.address.hostname) else ""
    if not path.startswith("/hatrac/") or parts.query or parts.fragment or not path.isascii():
        raise DerivaMLValidationError(
            f"{url[:200]!r} is not an object of {catalog.address.hostname}: only paths below /hatrac/ can be fetched "
            "with the catalog's credential. Fetch it by other means."
        )
    # a server may decode the dots before it resolves them
    if any(segment in ("", ".", "..") for segment in (*path.split("/")[1:], *re.split(r"[/\\]", unquote(path))[1:])):
        raise DerivaMLValidationError(f"{url[:200]!r} leaves its folder. Correct the URL of the asset.")
    return path
