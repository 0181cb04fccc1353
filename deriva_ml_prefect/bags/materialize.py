"""Fetches the files that a bag names, each verified before it gets its name, and only from where it is safe to fetch.

The catalog's credential goes to the catalog's own host and nowhere else: other `https` hosts are asked without one, and
no other kind of address is followed at all. Redirects are not followed.
"""

from __future__ import annotations

import stat
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from deriva_ml_prefect.bags.layout import Folders
from deriva_ml_prefect.bags.manifest import PayloadFile, read_fetch
from deriva_ml_prefect.bags.verify import file_md5
from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.catalog.objects import object_path_of
from deriva_ml_prefect.exceptions import DerivaMLDataError, DerivaMLValidationError
from deriva_ml_prefect.progress.meter import showing
from deriva_ml_prefect.transfer.client import HttpClient
from deriva_ml_prefect.transfer.download import TORN, get_file
from deriva_ml_prefect.transfer.parallel import run_parallel

Progress = Callable[[int, int], None]
"""Told (files done, files to fetch) after each file."""

_LISTED = 5
_READ_ONLY = 0o444


def materialize_bag(
    catalog: Catalog, bag: Path, *, concurrency: int = 8, progress: Progress | None = None
) -> list[PayloadFile]:
    """Fetch every file that is missing or damaged; returns the entries fetched.

    All entries are checked before the first byte travels. If some cannot be fetched the others still are, and then one
    error names them: of their own class if there is one, else DerivaMLDataError. What a killed process left half
    fetched is removed, so nobody else may be at work on the bag.
    """
    entries = read_fetch(bag)
    folders = Folders(bag, f"{bag.name}/fetch.txt")
    for entry in entries:
        folders.check(entry.path)
        _check_source(catalog, entry)
    missing = [entry for entry in entries if not _is_there(bag, entry)]
    _make_folders(bag, {entry.path.rpartition("/")[0] for entry in missing}, {entry.path for entry in entries})
    done = 0
    counting = threading.Lock()

    def fetch(entry: PayloadFile) -> None:
        nonlocal done
        _fetch(catalog, bag, entry, meter.advance)
        meter.advance(0, items=1)
        with counting:
            done += 1
            if progress is not None:
                progress(done, len(missing))

    size = sum(entry.length for entry in missing)
    with showing(f"Downloading {bag.name}", total=size, items=len(missing)) as meter:
        outcomes = run_parallel(missing, fetch, width_limit=concurrency, overloads=lambda: catalog.client.overloads)
    failed = [(outcome.job, outcome.error) for outcome in outcomes if outcome.error is not None]
    if len(failed) == 1:
        raise failed[0][1]
    if failed:
        shown = "; ".join(f"{entry.path}: {error}" for entry, error in failed[:_LISTED])
        kinds = {type(error) for _, error in failed}
        kind = kinds.pop() if len(kinds) == 1 else DerivaMLDataError
        chosen = kind if issubclass(kind, DerivaMLDataError) else DerivaMLDataError
        raise chosen(
            f"{len(failed)} of {len(missing)} files of {bag.name} could not be fetched: {shown}. The others are kept: "
            "repeat the download."
        ) from failed[0][1]
    return missing


def _make_folders(bag: Path, folders: Iterable[str], listed: Collection[str]) -> None:
    """Make the folders of files; in those that are there, files half fetched are removed: no manifest lists them."""
    for folder in sorted(folders):
        try:
            (bag / folder).mkdir(parents=True)
        except (FileExistsError, NotADirectoryError):
            # where no folder can be, its files are told to be missing one by one
            for left in (bag / folder).glob(TORN):
                if f"{folder}/{left.name}" not in listed:
                    left.unlink()


def _check_source(catalog: Catalog, entry: PayloadFile) -> None:
    parts = urlsplit(entry.url or "")
    if parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc:
        raise DerivaMLValidationError(
            f"{entry.path} is to be fetched from {(entry.url or '')[:200]!r}: only http and https addresses without "
            "credentials are fetched. The bag is damaged or was made to do harm; nothing of it was fetched."
        )
    if _is_own(catalog, entry):
        object_path_of(catalog, entry.url or "")
    elif parts.scheme != "https":
        raise DerivaMLValidationError(
            f"{entry.path} is to be fetched from {(entry.url or '')[:200]!r}, which is not the catalog's own host and "
            "not https. Nothing of the bag was fetched."
        )


def _is_own(catalog: Catalog, entry: PayloadFile) -> bool:
    netloc = urlsplit(entry.url or "").netloc
    return netloc in (urlsplit(catalog.base_url).netloc, catalog.address.hostname)


def _is_there(bag: Path, entry: PayloadFile) -> bool:
    file = bag / entry.path
    try:
        status = file.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    if not stat.S_ISREG(status.st_mode) or status.st_size != entry.length:
        return False
    return file_md5(file) == entry.md5_hex


def _fetch(catalog: Catalog, bag: Path, entry: PayloadFile, told: Callable[[int], None]) -> None:
    with _source_of(catalog, entry) as (client, path):
        try:
            get_file(
                client,
                path,
                bag / entry.path,
                md5_hex=entry.md5_hex,
                length=entry.length,
                progress=told,
                durable=False,
                mode=_READ_ONLY,
            )
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as e:
            raise DerivaMLDataError(
                f"{bag / entry.path} cannot be written: {e.strerror}. What is in its way is not of the bag: remove it, "
                "and repeat the download."
            ) from e


@contextmanager
def _source_of(catalog: Catalog, entry: PayloadFile) -> Iterator[tuple[HttpClient, str]]:
    """Who is asked for a file, and for which path: the catalog's own host with the credential, others without one."""
    url = entry.url or ""
    if _is_own(catalog, entry):
        yield catalog.client, object_path_of(catalog, url)
        return
    parts = urlsplit(url)
    foreign = HttpClient(f"https://{parts.netloc}", timeout=catalog.settings.timeout, retries=catalog.settings.retries)
    try:
        yield foreign, parts.path + (f"?{parts.query}" if parts.query else "")
    finally:
        foreign.close()
