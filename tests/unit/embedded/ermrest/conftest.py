"""The small model of these tests, and a database with a few rows of it."""

from __future__ import annotations

import importlib.util
import sqlite3
from pathlib import Path
from types import ModuleType

import pytest

from deriva_ml_prefect.embedded.ermrest.model import Model


def load_small_model() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ermrest_small_model", Path(__file__).with_name("small_model.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


small = load_small_model()


@pytest.fixture
def model() -> Model:
    return small.make_model()


@pytest.fixture
def rows(model: Model) -> sqlite3.Connection:
    """Subjects ann, bob and cyd; studies A and B of ann, C of bob, D of nobody; images of A (two) and of none."""
    connection = small.make_database(model)
    tables = model.schemas["S"].tables
    for rid, number, name, tags, weight in (
        ("2-1", 1, "ann", '["x", "y z"]', 50.5),
        ("2-2", 2, "bob", "[]", 70.0),
        ("2-3", 3, 'cyd, "q"', None, float("inf")),
    ):
        small.add_row(connection, tables["Subject"], rid, id=number, name=name, tags=tags, weight=weight)
    for rid, key, subject, owner in (
        ("3-1", "A", 1, 2),
        ("3-2", "B", 1, None),
        ("3-3", "C", 2, 2),
        ("3-4", "D", None, 3),
    ):
        small.add_row(connection, tables["Study"], rid, id=key, subject=subject, owner=owner)
    for rid, number, study, note in (("4-1", 10, "A", '{"a": 1}'), ("4-2", 11, "A", None), ("4-3", 12, None, "null")):
        small.add_row(connection, tables["Image"], rid, id=number, study=study, note=note)
    return connection
