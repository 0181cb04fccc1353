"""Hatrac's front: which act answers which request."""

from __future__ import annotations

from pathlib import Path

from deriva_ml_prefect.embedded.authn import OWNER, client_id
from deriva_ml_prefect.embedded.database import open_database
from deriva_ml_prefect.embedded.errors import MethodNotAllowed
from deriva_ml_prefect.embedded.files import sync_folder
from deriva_ml_prefect.embedded.http import Request, Response
from deriva_ml_prefect.embedded.layout import HATRAC
from deriva_ml_prefect.embedded.repair import Tell, tell_log

from .acl import acl_resource
from .content import open_contents
from .context import Store
from .metadata import metadata_resource
from .namespaces import put_namespace
from .objects import delete_target, get_target, get_versions, put_object
from .rename import rename_from
from .store import count_jobs, find_name, forget_garbage, garbage, insert_name, mentioned_contents
from .uploads import upload_resource
from .url import ROOT, Target, parse_target

NAMESPACE_TYPE = "application/x-hatrac-namespace"
OPEN_MARK = ".open"


class HatracService:
    """Answers everything below /hatrac; `open_service` makes one."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __call__(self, request: Request) -> Response:
        target = parse_target(request.path)
        if target.resource is None:
            return self._named(request, target)
        if target.resource == "versions":
            if request.method not in ("GET", "HEAD"):
                raise MethodNotAllowed(f"{request.method} is not a method of ;versions.")
            return get_versions(self._store, request, target.name)
        act = {"metadata": metadata_resource, "acl": acl_resource, "upload": upload_resource}[target.resource]
        return act(self._store, request, target)

    def _named(self, request: Request, target: Target) -> Response:
        if request.method in ("GET", "HEAD"):
            return get_target(self._store, request, target)
        if request.method == "DELETE":
            return delete_target(self._store, request, target)
        if target.version is None and request.method == "PUT":
            kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
            put = put_namespace if kind == NAMESPACE_TYPE else put_object
            return put(self._store, request, target.name)
        if target.version is None and request.method == "POST":
            return rename_from(self._store, request, target.name)
        raise MethodNotAllowed(f"{request.method} is not a method of {request.path:.200}.")

    def close(self) -> None:
        """Note that the store was left in order."""
        self._store.database.close()
        self._store.contents.hashers.shutdown()
        (self._store.contents.folder / OPEN_MARK).unlink(missing_ok=True)


def open_service(folder: Path, tell: Tell = tell_log) -> HatracService:
    """Hatrac on a data folder: made at its first use, repaired after a kill, with the owner as owner of the root."""
    schema = Path(__file__).with_name("schema.sql").read_text(encoding="utf-8")
    database = open_database(folder / HATRAC, schema)
    contents = open_contents(folder / "objects")
    store = Store(database, contents)
    with database.write() as connection:
        if find_name(connection, ROOT) is None:
            insert_name(connection, ROOT, is_object=False, owner=(client_id(OWNER),))
    _repair(store, tell)
    (contents.folder / OPEN_MARK).touch()
    sync_folder(contents.folder)
    return HatracService(store)


def _repair(store: Store, tell: Tell) -> None:
    """Remove what a killed server left: half-written files, and files that no row mentions. Upload jobs stay."""
    contents = store.contents
    removed = {"that were being written, and never answered": contents.sweep_incoming(), "of deleted objects": 0}
    was_killed = (contents.folder / OPEN_MARK).exists()
    with store.database.write() as connection:
        deleted = garbage(connection)
        contents.remove(deleted)
        forget_garbage(connection, deleted)
        removed["of deleted objects"] = len(deleted)
        if was_killed:
            removed["that no object and no upload job has"] = contents.sweep(mentioned_contents(connection))
        waiting = count_jobs(connection)
    for words, count in removed.items():
        if count:
            tell(f"hatrac: removed {count} {'file' if count == 1 else 'files'} {words}")
    if was_killed and waiting:
        tell(f"hatrac: kept {waiting} unfinished upload {'job' if waiting == 1 else 'jobs'}, to be continued")
