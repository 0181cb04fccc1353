"""ETags, If-Match and If-None-Match."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deriva_ml_prefect.embedded.ermrest.clock import Moment
from deriva_ml_prefect.embedded.ermrest.preconditions import entity_tag, holds
from deriva_ml_prefect.embedded.http import Client, Request

NOW, BEFORE = Moment(2_000_000), Moment(1_000_000)


class NoBody:
    length: int | None = 0

    def chunks(self) -> Iterator[bytes]:
        return iter(())

    def read(self, limit: int) -> bytes:
        return b""


def make_request(method: str = "GET", who: str = "me", **headers: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(method, "/", "", named, NoBody(), Client(who, who, frozenset({who, "*"})))


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_lists_and_stars(method: str) -> None:
    mine = entity_tag(make_request(), NOW)
    for match, expected in ((mine, True), (f'"a", {mine}', True), ("*", True), ('"a"', False), ("", False)):
        assert holds(make_request(method, if_match=match), NOW) is expected, match
        assert holds(make_request(method, if_none_match=match), NOW) is not expected, match


def test_without_conditions_all_holds() -> None:
    assert holds(make_request(), NOW)


def test_tag_of_an_earlier_revision_or_another_client_or_form_does_not_match() -> None:
    assert holds(make_request(if_none_match=entity_tag(make_request(), BEFORE)), NOW)
    assert holds(make_request(if_none_match=entity_tag(make_request(who="you"), NOW)), NOW)
    assert holds(make_request(if_none_match=entity_tag(make_request(accept="text/csv"), NOW)), NOW)


def test_writer_may_name_the_revision_in_whatever_form_it_was_read() -> None:
    assert holds(make_request("PUT", if_match=entity_tag(make_request(accept="text/csv"), NOW)), NOW)
    assert not holds(make_request("PUT", if_match=entity_tag(make_request(who="you"), NOW)), NOW)
