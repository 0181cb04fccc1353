"""URLs of model elements."""

from __future__ import annotations

import pytest

from deriva_ml_prefect.embedded.ermrest.model_url import Target, parse_model_url
from deriva_ml_prefect.embedded.errors import BadRequest, NotFound


@pytest.mark.parametrize(
    ("raw", "target"),
    [
        ("schema", Target("schemas")),
        ("schema/", Target("schemas")),
        ("SCHEMA/table", Target("schema", "table")),
        ("schema/S/table", Target("tables", "S")),
        ("schema/S%2F1/table/T%20t/", Target("table", "S/1", "T t")),
        ("schema/S/table/T/column", Target("columns", "S", "T")),
        ("schema/S/table/T/column/a%2Cb", Target("column", "S", "T", ("a,b",))),
        ("schema/S/table/T/key/a,b%2C", Target("key", "S", "T", ("a", "b,"))),
        ("schema/S/table/T/foreignkey/a", Target("foreignkey", "S", "T", ("a",))),
        (
            "schema/S/table/T/foreignkey/a,b/reference/S2:T2/c,d/acl/insert",
            Target("foreignkey", "S", "T", ("a", "b"), ("S2", "T2"), ("c", "d"), "acl", "insert"),
        ),
        ("schema/S/table/T/foreignkey/a/reference/T2", Target("foreignkey", "S", "T", ("a",), (None, "T2"))),
        ("schema/S/annotation", Target("schema", "S", part="annotation")),
        ("schema/S/table/T/annotation/tag%3Ax", Target("table", "S", "T", part="annotation", key="tag:x")),
        ("annotation", Target("catalog", part="annotation")),
        ("acl/owner", Target("catalog", part="acl", key="owner")),
    ],
)
def test_what_a_url_names(raw: str, target: Target) -> None:
    assert parse_model_url(raw) == target


@pytest.mark.parametrize(
    "raw",
    ["schema/S//table", "schema/a:b", "schema/a,b", "schema/S/table/T/annotation/tag:x", "schema/%ff", "schema/%zz",
     "schema/S/table/T/key/a,,b", "schema/%00"],
)  # fmt: skip
def test_reserved_characters_must_be_encoded(raw: str) -> None:
    with pytest.raises(BadRequest):
        parse_model_url(raw)


@pytest.mark.parametrize("raw", ["schema/S/nothing", "schema/S/table/T/comment/x", "schema/S/table/T/annotation/a/b"])
def test_what_the_model_does_not_have(raw: str) -> None:
    with pytest.raises(NotFound):
        parse_model_url(raw)
