"""Names of column types."""

from __future__ import annotations

from typing import Any

import pytest

from deriva_ml_prefect.embedded.ermrest.types_catalog import (
    BUILT_IN,
    DOMAINS,
    document_of_type,
    echo_of_type,
    resolve_type,
    storage_of_type,
    type_of_document,
)
from deriva_ml_prefect.embedded.errors import BadRequest, Conflict


@pytest.mark.parametrize("name", [*BUILT_IN, *DOMAINS])
def test_every_type_is_read_back_as_it_is_shown(name: str) -> None:
    kind = resolve_type(name)
    assert type_of_document(document_of_type(kind)) == kind
    if not name.startswith("serial"):
        array = resolve_type(f"{name}[]")
        assert type_of_document(document_of_type(array)) == array
        assert array.scalar == kind.scalar


@pytest.mark.parametrize("document", [{"typename": "nope"}, {"typename": "text[][]"}, {"typename": "serial4[]"}])
def test_unknown_types(document: Any) -> None:
    with pytest.raises(Conflict):
        type_of_document(document)


@pytest.mark.parametrize("document", [None, "text", {}, {"typename": 5}, {"is_array": True}])
def test_what_is_no_type_document(document: Any) -> None:
    with pytest.raises(BadRequest):
        type_of_document(document)


def test_echo_shows_a_domain_as_the_client_wrote_it() -> None:
    full = {"typename": "markdown", "is_domain": True, "base_type": {"typename": "text"}}
    assert echo_of_type(full) == full
    assert echo_of_type({"typename": "markdown"}) == {"typename": "markdown"}
    assert echo_of_type({"typename": "integer"}) == {"typename": "int4"}


def test_arrays_are_stored_as_text() -> None:
    assert storage_of_type(resolve_type("int4")) == "INTEGER"
    assert storage_of_type(resolve_type("int4[]")) == "TEXT"
