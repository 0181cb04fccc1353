"""A catalog: its file, its model (cached), and the two ways to use it: read at a moment, write at the next."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from deriva_ml_prefect.embedded.database import Connection, Database
from deriva_ml_prefect.embedded.ermrest.acl import require_catalog, roles_of, visible_model
from deriva_ml_prefect.embedded.ermrest.clock import Moment, allocate_rids, clamp_moment, last_moment, next_moment
from deriva_ml_prefect.embedded.ermrest.model import Json, Model
from deriva_ml_prefect.embedded.ermrest.model_store import load_model, model_version_at
from deriva_ml_prefect.embedded.ermrest.preconditions import require_preconditions
from deriva_ml_prefect.embedded.errors import Conflict
from deriva_ml_prefect.embedded.http import Client, Request

CACHED_MODELS = 16
CACHED_VIEWS = 64


@dataclass(frozen=True)
class Reading:
    """One request's look at the catalog: everything in it belongs to the same moment, its ACLs too."""

    connection: Connection
    at: Moment | None
    """None when the present is read; else the revision that is read: rows valid then."""
    revision: Moment
    """The revision that is shown, for snaptime and ETag: `at`, or the last one."""
    model: Model
    visible: Model
    """The model without what the client may not see; names in requests are resolved against it."""


@dataclass(frozen=True)
class Writing:
    """One request's change of the catalog: a transaction with one moment, which is RCT and RMT of all its rows."""

    connection: Connection
    now: Moment
    model: Model
    visible: Model
    client: Client | None


@dataclass
class Catalog:
    """An open catalog. `registry.Registry` makes and keeps it; its methods may be called from any thread."""

    id: str
    database: Database
    metadata: dict[str, Json]
    """`is_persistent`, and `name`, `description`, `clone_source`, `alias_target` where they are set."""
    models: OrderedDict[tuple[int, int | None], Model] = field(default_factory=OrderedDict)
    views: OrderedDict[Any, Any] = field(default_factory=OrderedDict)
    """What is derived from a version of the model: for roles, or rendered."""
    known_clients: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def model(self, connection: Connection, at: Moment | None = None) -> Model:
        """The model now, or as it was then; each version is loaded once."""
        version = model_version_at(connection, at)
        amended = connection.execute("SELECT amended FROM catalog_state").fetchone()[0]
        key = (version, amended)
        with self.lock:
            if key in self.models:
                self.models.move_to_end(key)
                return self.models[key]
        model = load_model(connection, at)
        with self.lock:
            self.models[key] = model
            while len(self.models) > CACHED_MODELS:
                self.models.popitem(last=False)
        return model

    def remember(self, model: Model, amended: int | None) -> None:
        """Put a model whose change has just been committed into the cache."""
        with self.lock:
            self.models[model.version, amended] = model

    def view(self, model: Model, roles: frozenset[str]) -> Model:
        """The model as these roles may see it."""
        key = ("view", id(model), roles)
        with self.lock:
            if key in self.views and self.views[key][0] is model:
                return self.views[key][1]  # type: ignore[no-any-return]
        seen = visible_model(model, roles)
        self.keep(key, (model, seen))
        return seen

    def keep(self, key: Any, value: Any) -> None:
        """Put something derived from the model into the cache; the oldest entries go."""
        with self.lock:
            self.views[key] = value
            while len(self.views) > CACHED_VIEWS:
                self.views.popitem(last=False)

    @contextmanager
    def reading(self, request: Request, at: Moment | None = None) -> Iterator[Reading]:
        """Look at the catalog now, or as it was at `at`; may be held while the answer is streamed.

        Raises Conflict when `at` is before all history, Forbidden (or Unauthorized) when the client may not even
        enumerate the catalog.
        """
        with self.database.read() as connection:
            revision = last_moment(connection)
            if at is not None:
                clamped = clamp_moment(connection, at)
                if clamped is None:
                    require_catalog(self.model(connection), request.client, "enumerate")
                    raise Conflict(f"Snapshot {at.snaptime} is before the first revision of catalog {self.id}.")
                at = revision = clamped
            model = self.model(connection, at)
            require_catalog(model, request.client, "enumerate")
            yield Reading(connection, at, revision, model, self.view(model, roles_of(request.client)))

    @contextmanager
    def writing(self, request: Request, *, of_model: bool = False) -> Iterator[Writing]:
        """Change the catalog in one transaction, kept when the block ends and undone when it raises.

        With `of_model`, preconditions are about the last change of the model, else about the last change at all.

        Raises PreconditionFailed when If-Match or If-None-Match do not hold, Forbidden (or Unauthorized) when the
        client may not even enumerate the catalog.
        """
        with self.database.write() as connection:
            model = self.model(connection)
            require_catalog(model, request.client, "enumerate")
            require_preconditions(request, Moment(model.version) if of_model else last_moment(connection))
            now = next_moment(connection)
            if request.client is not None and not has_client_row(connection, model, request.client):
                insert_client_row(connection, model, request.client, now)
            yield Writing(connection, now, model, self.view(model, roles_of(request.client)), request.client)

    def welcome(self, client: Client) -> None:
        """Give a client that only reads its row in public:ERMrest_Client; one that writes gets it in `writing`."""
        if client.id in self.known_clients:
            return
        with self.database.read() as connection:
            known = has_client_row(connection, self.model(connection), client)
        if not known:
            with self.database.write() as connection:
                if not has_client_row(connection, self.model(connection), client):
                    insert_client_row(connection, self.model(connection), client, next_moment(connection))
        self.known_clients.add(client.id)


def has_client_row(connection: Connection, model: Model, client: Client) -> bool:
    public = model.schemas.get("public")
    table = public.tables.get("ERMrest_Client") if public else None
    if table is None or "ID" not in table.columns:
        return True
    found = connection.execute(
        f"SELECT 1 FROM {table.physical} WHERE {table.columns['ID'].physical} = ?", (client.id,)
    ).fetchone()
    return found is not None


def insert_client_row(connection: Connection, model: Model, client: Client, now: Moment) -> None:
    table = model.schemas["public"].tables["ERMrest_Client"]
    (rid,) = allocate_rids(connection, 1)
    described = {
        "id": client.id,
        "display_name": client.display_name,
        "full_name": client.full_name,
        "email": client.email,
    }
    values = {
        "RID": rid,
        "RCT": now.text,
        "RMT": now.text,
        "RCB": client.id,
        "RMB": client.id,
        "ID": client.id,
        "Display_Name": client.display_name,
        "Full_Name": client.full_name or None,
        "Email": client.email or None,
        "Client_Object": orjson.dumps(described, option=orjson.OPT_SORT_KEYS).decode(),
    }
    present = {table.columns[name].physical: value for name, value in values.items() if name in table.columns}
    connection.execute(
        f"INSERT INTO {table.physical} ({', '.join(present)}) VALUES ({', '.join('?' * len(present))})",
        tuple(present.values()),
    )
