"""Files that stay where they are: a row of table File says where, how long and with which checksum, without bytes."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote, urlsplit

from deriva_ml_prefect.catalog.assets import asset_table, insert_asset_types, link_assets, place_asset_rows
from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.catalog.rows import get_rows, insert_rows
from deriva_ml_prefect.catalog.schema import ml_table
from deriva_ml_prefect.catalog.urls import equals, table_name
from deriva_ml_prefect.exceptions import DerivaMLCatalogConflict, DerivaMLNotFoundError, DerivaMLValidationError
from deriva_ml_prefect.transfer.hashing import hash_file
from deriva_ml_prefect.values.names import MLAsset
from deriva_ml_prefect.values.records import AssetTable
from deriva_ml_prefect.values.rid import RID, check_rid

logger = logging.getLogger(__name__)

FileTypes = Sequence[str] | Callable[[Path], Sequence[str]]


@dataclass(frozen=True)
class FileSpec:
    """A file to be told of: `url` names it, as `tag://<host>,<date>:file://<absolute path>` where it is a local one."""

    url: str
    md5: str
    length: int
    """Bytes."""
    description: str = ""
    file_types: tuple[str, ...] = ()
    """Terms of Asset_Type; `File` is always added."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "file_types", tuple(self.file_types))

    @property
    def path(self) -> PurePosixPath:
        """Path of the file on the host that has it."""
        _, local, rest = self.url.partition(":file://")
        return PurePosixPath(unquote(rest if local else urlsplit(self.url).path))

    @classmethod
    def create_filespecs(
        cls, path: str | Path, description: str = "", file_types: FileTypes | None = None
    ) -> Iterator[FileSpec]:
        """A spec for one file, or for each file below a folder, sorted; every file is read once for its checksum.

        `file_types` are the types of all, or a function that gives those of a path. Links to folders are not followed.
        """
        root = Path(path).absolute()
        if not root.exists():
            raise DerivaMLNotFoundError(f"There is no file or folder {root}.")
        types = file_types if callable(file_types) else (lambda _: file_types or ())
        for each in [root] if root.is_file() else sorted(found for found in root.rglob("*") if found.is_file()):
            facts = hash_file(each)
            yield cls(local_url(each), facts.md5_hex, facts.length, description, tuple(types(each)))


def local_url(path: Path, *, on: datetime | None = None) -> str:
    """The tag URL of a file of this host; nobody can fetch it, but it names the file for good."""
    day = (on or datetime.now(UTC)).date().isoformat()
    return f"tag://{socket.gethostname()},{day}:file://{quote(str(path.absolute()))}"


@dataclass(frozen=True)
class Folder:
    """A folder to become a dataset: the files that lie in it, and the folders in it."""

    path: str
    """Relative to the root; the root's own is its name."""
    files: tuple[FileSpec, ...]
    folders: tuple[Folder, ...]

    def deepest_first(self) -> Iterator[Folder]:
        """This folder and all below it, every folder after those in it."""
        for folder in self.folders:
            yield from folder.deepest_first()
        yield self


def plan_folders(specs: Iterable[FileSpec], *, root_name: str | None = None) -> Folder:
    """The folders of the files, from the deepest one that has them all; DerivaMLValidationError for no files."""
    by_folder: dict[PurePosixPath, list[FileSpec]] = {}
    for spec in specs:
        by_folder.setdefault(spec.path.parent, []).append(spec)
    if not by_folder:
        raise DerivaMLValidationError(
            "add_files() was given no files. Make specs with FileSpec.create_filespecs(path)."
        )
    root = next(iter(by_folder))
    while not all(folder == root or root in folder.parents for folder in by_folder):
        root = root.parent
    every = {root, *by_folder}
    for folder in by_folder:
        every |= {parent for parent in folder.parents if root in parent.parents}
    return _folder(root, root_name or root.name or "/", sorted(every), by_folder, root)


def _folder(
    path: PurePosixPath,
    shown: str,
    every: list[PurePosixPath],
    files: Mapping[PurePosixPath, list[FileSpec]],
    root: PurePosixPath,
) -> Folder:
    inner = tuple(
        _folder(each, str(each.relative_to(root)), every, files, root) for each in every if each.parent == path != each
    )
    return Folder(shown, tuple(files.get(path, ())), inner)


def file_table(catalog: Catalog) -> AssetTable:
    """Table File of the ML schema."""
    return asset_table(catalog, (catalog.address.ml_schema, MLAsset.file))


def insert_files(catalog: Catalog, specs: Sequence[FileSpec], execution_rid: RID) -> dict[str, RID]:
    """RIDs by URL of a row a file, with its types, as outputs of the execution. Repeatable.

    `Filename` stays empty: there are no bytes in the object store. The URL is the place of the file and the day, so a
    file that is told of twice in a day has one row; when it says something else, that is a warning.
    """
    table = file_table(catalog)
    rows = [
        {"URL": s.url, "MD5": s.md5, "Length": s.length, "Description": s.description or None, "Filename": None}
        for s in specs
    ]
    placed = place_asset_rows(catalog, table, rows)
    rids = dict(placed.rids)
    for url, names in placed.otherwise.items():
        logger.warning(
            "File %s was told of already today, as %s, with another %s; the row stays as it is. Correct it there if "
            "the new one is right.",
            *(url, rids[url], ", ".join(names)),
        )
    insert_asset_types(
        catalog, table, [(rids[s.url], term) for s in specs for term in dict.fromkeys([*s.file_types, MLAsset.file])]
    )
    link_assets(catalog, table, execution_rid, rids.values())
    return rids


def write_directory(catalog: Catalog, dataset_rid: RID, path: str) -> None:
    """Say which folder a dataset stands for, where the catalog's generation can hold that. Repeatable."""
    if not catalog.dialect.directory_datasets:
        return
    row = {"Dataset": check_rid(dataset_rid), "Path": path}
    ref = ml_table(catalog, "Directory_Dataset").ref
    insert_rows(catalog, ref, [row], skip_conflicts=True, repeatable=True)
    if (held := read_directory(catalog, dataset_rid)) != path:
        raise DerivaMLCatalogConflict(f"Dataset {dataset_rid} stands for folder {held!r} already, not {path!r}.")


def read_directory(catalog: Catalog, dataset_rid: RID) -> str | None:
    """The folder that a dataset stands for, relative to the root that was read in; None if it stands for none."""
    if not catalog.dialect.directory_datasets:
        return None
    ref = ml_table(catalog, "Directory_Dataset").ref
    rows = get_rows(catalog, f"entity/{table_name(*ref)}/{equals('Dataset', check_rid(dataset_rid))}")
    return str(rows[0]["Path"]) if rows else None
