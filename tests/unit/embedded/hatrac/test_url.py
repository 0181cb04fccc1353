from __future__ import annotations

import pytest

from deriva_ml_prefect.embedded.errors import BadRequest, NotFound
from deriva_ml_prefect.embedded.hatrac.url import Target, parent_of, parse_target, url_of, wants_parents


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/hatrac", Target("/")),
        ("/hatrac/", Target("/")),
        ("/hatrac/a/b/", Target("/a/b")),
        ("/hatrac/a%3Bb%3Ac", Target("/a%3Bb%3Ac")),
        ("/hatrac/a:V1", Target("/a", "V1")),
        ("/hatrac/a:V1;metadata/content-type", Target("/a", "V1", "metadata", ("content-type",))),
        ("/hatrac/;acl", Target("/", None, "acl")),
        ("/hatrac/a;acl/", Target("/a", None, "acl")),
        ("/hatrac/a;acl/owner/https%3A%2F%2Fx%2Fy", Target("/a", None, "acl", ("owner", "https://x/y"))),
        ("/hatrac/a;upload/J/0", Target("/a", None, "upload", ("J", "0"))),
    ],
)
def test_targets(path: str, target: Target) -> None:
    assert parse_target(path) == target


@pytest.mark.parametrize(
    "path", ["/hatrac/a b", "/hatrac/a//b", "/hatrac/..", "/hatrac/./a", "/hatrac/a%2", "/hatrac/a+b"]
)
def test_names_that_cannot_be(path: str) -> None:
    with pytest.raises(BadRequest):
        parse_target(path)


@pytest.mark.parametrize(
    "path",
    [
        "/hatrac/a;bogus",
        "/hatrac/a;;versions",
        "/hatrac/a/;versions",
        "/hatrac/a:V:W",
        "/hatrac/a:V;versions",
        "/hatrac/a:",
        "/hatrac/:V",
        "/hatrac/a;versions/x",
        "/hatrac/a;acl/b/c/d",
        "/hatrac/a;acl//b",
        "/hatrac/a;upload/a/b/c",
    ],
)
def test_resources_that_are_not(path: str) -> None:
    with pytest.raises(NotFound):
        parse_target(path)


def test_paths_back_and_up() -> None:
    assert url_of("/") == "/hatrac/"
    assert url_of("/a%20b", "V") == "/hatrac/a%20b:V"
    assert (parent_of("/a"), parent_of("/a/b")) == ("/", "/a")


@pytest.mark.parametrize(
    ("query", "wanted"), [("parents=true", True), ("cid=x&Parents=TRUE", True), ("cid=x;parents=true", True)]
)
def test_parents(query: str, wanted: bool) -> None:
    assert wants_parents(query) is wanted
    assert wants_parents("parents=false") is False
    assert wants_parents("") is False
