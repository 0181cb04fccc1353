"""The model through time: what is saved is loaded, now and at any moment before."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from importlib import resources

import pytest

from deriva_ml_prefect.embedded import ermrest
from deriva_ml_prefect.embedded.ermrest.clock import Moment, next_moment
from deriva_ml_prefect.embedded.ermrest.definition import add_column, create_schema
from deriva_ml_prefect.embedded.ermrest.draft import Draft
from deriva_ml_prefect.embedded.ermrest.model_store import load_model, model_version_at, save_model
from deriva_ml_prefect.embedded.ermrest.public_schema import make_first_model
from deriva_ml_prefect.embedded.http import Client

OWNER = Client("me", "me", frozenset({"me", "*"}))


@pytest.fixture
def connection() -> sqlite3.Connection:
    made = sqlite3.connect(":memory:", isolation_level=None)
    made.executescript(resources.files(ermrest).joinpath("catalog.sql").read_text(encoding="utf-8"))
    return made


def test_what_is_saved_is_loaded(connection: sqlite3.Connection) -> None:
    saved = make_first_model(connection, ["me"], {"tag:x": [1, {"y": None}]}, next_moment(connection))
    assert load_model(connection) == saved
    assert saved.annotations["tag:x"] == [1, {"y": None}]


def test_each_version_stays_as_it_was(connection: sqlite3.Connection) -> None:
    times = [next_moment(connection)]
    versions = [make_first_model(connection, ["me"], {}, times[0])]
    for change in ("schema", "column", "annotations"):
        draft = Draft(connection, versions[-1], OWNER)
        if change == "schema":
            create_schema(draft, {"schema_name": "S"})
        elif change == "column":
            add_column(draft, ("public", "ERMrest_Group"), {"name": "c", "type": {"typename": "int4"}})
        else:
            draft.model = replace(draft.model, annotations={"a": 1})
        times.append(next_moment(connection))
        versions.append(save_model(connection, versions[-1], draft.model, times[-1]))
    for moment, version in zip(times, versions, strict=True):
        assert load_model(connection, moment) == version
    assert load_model(connection, Moment(times[2].micros - 1)) == versions[1]
    assert model_version_at(connection, Moment(times[0].micros - 1)) == 0


def test_only_what_changed_is_written(connection: sqlite3.Connection) -> None:
    first = make_first_model(connection, ["me"], {}, next_moment(connection))
    draft = Draft(connection, first, OWNER)
    add_column(draft, ("public", "ERMrest_Group"), {"name": "c", "type": {"typename": "int4"}})
    now = next_moment(connection)
    save_model(connection, first, draft.model, now)
    written = connection.execute("SELECT kind, rid FROM model_part WHERE since = ?", (now.micros,)).fetchall()
    assert written == [("table", first.schemas["public"].tables["ERMrest_Group"].rid)]
