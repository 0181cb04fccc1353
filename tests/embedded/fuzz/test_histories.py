"""Histories: whatever is done later, a snapshot answers as it answered when it was the present."""

from __future__ import annotations

import itertools
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from .conftest import Wire, examples
from .tables import table_document, texts

NUMBERS = itertools.count()
NAMES = ["a", "b", "c d"]
steps = st.one_of(
    st.tuples(st.just("insert"), st.lists(texts.map(lambda text: text[:50]), min_size=1, max_size=3)),
    st.tuples(st.just("update"), texts.map(lambda text: text[:50])),
    st.tuples(st.just("delete"), st.integers(0, 3)),
    st.tuples(st.just("add column"), st.sampled_from(NAMES)),
    st.tuples(st.just("drop column"), st.sampled_from(NAMES)),
    st.tuples(st.just("rename column"), st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.tuples(st.just("retype"), st.sampled_from(NAMES), st.sampled_from(["text", "markdown", "json"])),
    st.tuples(st.just("rename table"), st.booleans()),
    st.tuples(st.just("comment"), texts.map(lambda text: text[:50])),
    st.tuples(st.just("drop table")),
)


class Past:
    """One table's life: does steps, and remembers what each moment answered."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.base = f"H{next(NUMBERS)}"
        self.name = self.base
        self.seen: dict[str, dict[str, Any]] = {}
        self._make()

    def _make(self) -> None:
        self.wire.json("POST", "/schema", [table_document(self.name, {"t": "text"})])

    @property
    def quoted(self) -> str:
        return self.name.replace(" ", "%20")

    def do(self, step: tuple[Any, ...]) -> None:
        """Do a step; one that makes no sense now is refused, and changes nothing."""
        kind, *rest = step
        table = f"/schema/S/table/{self.quoted}"
        if kind == "insert":
            self._send("POST", f"/entity/S:{self.quoted}", [{"t": text, "a": "1"} for text in rest[0]])
        elif kind == "update":
            rids = [row["RID"] for row in self.wire.json("GET", f"/attribute/S:{self.quoted}/RID")]
            self._send("PUT", f"/attributegroup/S:{self.quoted}/RID;t", [{"RID": rid, "t": rest[0]} for rid in rids])
        elif kind == "delete":
            rids = [row["RID"] for row in self.wire.json("GET", f"/attribute/S:{self.quoted}/RID@sort(RID)")]
            self._send("DELETE", f"/entity/S:{self.quoted}/RID={rids[rest[0]] if len(rids) > rest[0] else 'none'}")
        elif kind == "add column":
            self._send("POST", f"{table}/column", {"name": rest[0], "type": {"typename": "text"}, "default": "7"})
        elif kind == "drop column":
            self._send("DELETE", f"{table}/column/{rest[0].replace(' ', '%20')}")
        elif kind == "rename column":
            self._send("PUT", f"{table}/column/{rest[0].replace(' ', '%20')}", {"name": rest[1]})
        elif kind == "retype":
            self._send("PUT", f"{table}/column/{rest[0].replace(' ', '%20')}", {"type": {"typename": rest[1]}})
        elif kind == "rename table":
            new = f"{self.base} x" if rest[0] else self.base
            if self._send("PUT", table, {"table_name": new}) < 300:
                self.name = new
        elif kind == "comment":
            self._send("PUT", table, {"comment": rest[0]})
        else:
            self._send("DELETE", table)
            self._make()
        self.remember()

    def _send(self, method: str, path: str, document: Any = None) -> int:
        body = None if document is None else json.dumps(document).encode()
        return self.wire.healthy(method, self.wire.catalog + path, body, content_type="application/json")[0]

    def remember(self) -> None:
        snapshot = self.wire.json("GET", "")["snaptime"]
        answers = {path: self._answer("", path) for path in self._paths()}
        if snapshot in self.seen:
            assert self.seen[snapshot] == answers, "what changes has a moment of its own"
        self.seen[snapshot] = answers

    def _paths(self) -> list[str]:
        return [
            f"/entity/S:{self.quoted}@sort(RID)",
            f"/attribute/S:{self.quoted}/t=any(a,%27)/RID,t@sort(RID)",
            f"/aggregate/S:{self.quoted}/n:=cnt(*),m:=max(t)",
            f"/schema/S/table/{self.quoted}",
        ]

    def _answer(self, at: str, path: str) -> Any:
        status, content = self.wire.ask("GET", self.wire.catalog + at + path)
        document = json.loads(content) if status == 200 else None
        return status, _without_rights(document)

    def check(self) -> None:
        for snapshot, answers in self.seen.items():
            for path, answer in answers.items():
                assert self._answer(f"@{snapshot}", path) == answer, (snapshot, path)


def _without_rights(document: Any) -> Any:
    """The document without rights and ACLs, which the past tells differently."""
    if isinstance(document, dict):
        return {k: _without_rights(v) for k, v in document.items() if k not in ("rights", "acls", "acl_bindings")}
    return [_without_rights(member) for member in document] if isinstance(document, list) else document


@examples(25)
@given(life=st.lists(steps, min_size=2, max_size=12))
def test_a_snapshot_never_changes(wire: Wire, life: list[tuple[Any, ...]]) -> None:
    past = Past(wire)
    past.remember()
    for step in life:
        past.do(step)
    past.check()
