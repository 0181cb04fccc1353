"""All catalogs of one data folder: made, opened when first asked for, found by id or alias, deleted."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import orjson

from deriva_ml_prefect.embedded.authn import OWNER, client_id
from deriva_ml_prefect.embedded.database import Connection, Database, open_database
from deriva_ml_prefect.embedded.ermrest.acl import Access, catalog_right, refusal, roles_of
from deriva_ml_prefect.embedded.ermrest.catalogs import Catalog, insert_client_row
from deriva_ml_prefect.embedded.ermrest.clock import next_moment
from deriva_ml_prefect.embedded.ermrest.functions import FUNCTIONS
from deriva_ml_prefect.embedded.ermrest.model import Json
from deriva_ml_prefect.embedded.ermrest.public_schema import make_first_model
from deriva_ml_prefect.embedded.errors import BadRequest, Conflict, NotFound
from deriva_ml_prefect.embedded.http import Client
from deriva_ml_prefect.embedded.layout import REGISTRY, catalog_path
from deriva_ml_prefect.embedded.repair import Tell, tell_log


@dataclass(frozen=True)
class Order:
    """What a client asks of a new catalog or alias."""

    id: str | None
    owner: list[str]
    metadata: dict[str, Json]
    annotations: dict[str, Json]


@dataclass
class Registry:
    """Made by `open_registry`; shared by all threads."""

    folder: Path
    database: Database
    opened: dict[int, Catalog] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


def open_registry(folder: Path, tell: Tell = tell_log) -> Registry:
    """Open or begin the registry of a data folder, removing files of catalogs that a kill left half made or deleted."""
    (folder / "catalogs").mkdir(parents=True, exist_ok=True)
    registry = Registry(folder, open_database(folder / REGISTRY, read_sql("registry.sql")))
    with registry.database.read() as connection:
        alive = {row[0] for row in connection.execute("SELECT serial FROM catalog WHERE deleted IS NULL")}
    for serial in {path.name.partition(".")[0] for path in (folder / "catalogs").glob("*.db*")}:
        if serial.isdigit() and int(serial) not in alive:
            remove_file(file_of(registry, int(serial)))
            tell(f"removed the file of catalog {serial}: it was deleted, or never answered, when the server ended")
    return registry


def read_sql(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def file_of(registry: Registry, serial: int) -> Path:
    return catalog_path(registry.folder, serial)


def remove_file(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def read_order(document: Json, client: Client) -> Order:
    """A client's document for a new catalog or alias.

    Raises BadRequest for wrong types, Conflict when the client would not own what it makes.
    """
    document = {} if document is None else document
    if not isinstance(document, Mapping):
        raise BadRequest("The document of a new catalog must be a JSON object.")
    wanted = document.get("id")
    if wanted is not None and (not isinstance(wanted, str) or not wanted):
        raise BadRequest("The id of a new catalog must be a text.")
    owner = read_owner(document.get("owner"), client)
    annotations = document.get("annotations")
    annotations = {} if annotations is None else annotations
    if not isinstance(annotations, Mapping):
        raise BadRequest("The annotations of a new catalog must be a JSON object.")
    metadata: dict[str, Json] = {}
    for name in ("name", "description", "clone_source", "alias_target"):
        value = document.get(name)
        if value is not None and not isinstance(value, str):
            raise BadRequest(f"The field {name} must be a text.")
        if value is not None:
            metadata[name] = value
    persistent = document.get("is_persistent", True)
    if not isinstance(persistent, bool):
        raise BadRequest("The field is_persistent must be true or false.")
    return Order(wanted, owner, {**metadata, "is_persistent": persistent}, dict(annotations))


def read_owner(value: Json, client: Client) -> list[str]:
    if value is None:
        return [client.id]
    if not isinstance(value, list) or not all(isinstance(role, str) for role in value):
        raise BadRequest("The owner must be a list of roles.")
    if roles_of(client).isdisjoint(value):
        raise Conflict("The owner of a new catalog must include yourself.")
    return list(value)


def require_creator(client: Client | None) -> Client:
    """Only the person who runs the server makes catalogs and aliases."""
    if client is None or client.id != client_id(OWNER):
        raise refusal(client, "create access on the server")
    return client


def create_catalog(registry: Registry, order: Order, client: Client) -> Catalog:
    """Make a catalog with its schema `public`, and open it.

    Raises Conflict when its id is taken.
    """
    with registry.database.write() as connection:
        serial, identity = reserve(connection, order, is_alias=False)
        path = file_of(registry, serial)
        remove_file(path)
        database = open_database(path, read_sql("catalog.sql"), FUNCTIONS)
        try:
            with database.write() as content:
                now = next_moment(content)
                model = make_first_model(content, order.owner, order.annotations, now)
                insert_client_row(content, model, client, now)
        except BaseException:
            database.close()
            remove_file(path)
            raise
    with registry.lock:  # a request that was very quick may have opened it
        return registry.opened.setdefault(serial, Catalog(identity, database, dict(order.metadata)))


def reserve(connection: Connection, order: Order, *, is_alias: bool) -> tuple[int, str]:
    """Enter a catalog or alias; without an id it gets the next serial that no other has as its id."""
    if order.id is not None and connection.execute("SELECT 1 FROM catalog WHERE id = ?", (order.id,)).fetchone():
        raise Conflict(f"Catalog id {order.id} is taken.")
    last = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'catalog'").fetchone()
    serial = (last[0] if last else 0) + 1
    while order.id is None and connection.execute("SELECT 1 FROM catalog WHERE id = ?", (str(serial),)).fetchone():
        serial += 1
    identity = order.id if order.id is not None else str(serial)
    connection.execute(
        "INSERT INTO catalog (serial, id, is_alias, owner, metadata, created) VALUES (?, ?, ?, ?, ?, ?)",
        (
            serial,
            identity,
            int(is_alias),
            orjson.dumps(order.owner).decode(),
            orjson.dumps(order.metadata).decode(),
            datetime.now(UTC).isoformat(),
        ),
    )
    return serial, identity


def find_entry(connection: Connection, identity: str) -> tuple[int, bool, list[str], dict[str, Any]]:
    """(serial, whether an alias, owner, metadata) of a catalog or alias.

    Raises NotFound.
    """
    row = connection.execute(
        "SELECT serial, is_alias, owner, metadata FROM catalog WHERE id = ? AND deleted IS NULL", (identity,)
    ).fetchone()
    if row is None:
        raise NotFound(f"There is no catalog {identity}.")
    return row[0], bool(row[1]), orjson.loads(row[2]), orjson.loads(row[3])


def find_catalog(registry: Registry, identity: str) -> Catalog:
    """The catalog of that id, or that the alias of that id stands for.

    Raises NotFound.
    """
    with registry.database.read() as connection:
        serial, is_alias, _, metadata = find_entry(connection, identity)
        if is_alias:
            target = metadata.get("alias_target")
            if target is None:
                raise NotFound(f"Alias {identity} stands for no catalog.")
            identity = target
            serial, is_alias, _, metadata = find_entry(connection, target)
            if is_alias:
                raise NotFound(f"Alias {target} cannot stand behind another alias.")
    with registry.lock:
        catalog = registry.opened.get(serial)
        if catalog is None:
            with registry.database.read() as connection:  # it may have been deleted since
                find_entry(connection, identity)
            path = file_of(registry, serial)
            database = open_database(path, read_sql("catalog.sql"), FUNCTIONS, must_exist=True)
            catalog = registry.opened[serial] = Catalog(identity, database, metadata)
        return catalog


def delete_catalog(registry: Registry, identity: str, client: Client | None) -> None:
    """Delete a catalog for good; its id is not given out again.

    Raises NotFound, and Forbidden (or Unauthorized) for all but its owners.
    """
    catalog = find_catalog(registry, identity)
    with catalog.database.read() as connection:
        model = catalog.model(connection)
    if not catalog_right(Access(model, roles_of(client)), "owner"):
        raise refusal(client, f"owner access on catalog {identity}")
    with registry.database.write() as connection:
        serial, *_ = find_entry(connection, catalog.id)
        connection.execute("UPDATE catalog SET deleted = ? WHERE serial = ?", (datetime.now(UTC).isoformat(), serial))
    with registry.lock:
        registry.opened.pop(serial, None)
    catalog.database.close()
    remove_file(file_of(registry, serial))
