"""The past: found down to the transaction, with the model as it was."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from deriva.core.ermrest_model import epoch_microseconds_to_snaptime, snaptime_to_epoch_microseconds

SYSTEM = ("RID", "RCT", "RMT", "RCB", "RMB")
MANY = 10_000


@dataclass
class Catalog:
    """A catalog of one test, and short ways to ask it."""

    client: httpx.Client
    path: str

    def get(self, path: str, at: str = "") -> Any:
        answer = self.client.get(f"{self.path}{'@' if at else ''}{at}{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def status(self, path: str, at: str) -> int:
        return self.client.get(f"{self.path}@{at}{path}").status_code

    def send(self, method: str, path: str, document: Any = None) -> str:
        """Change something; the snapshot that it made."""
        answer = self.client.request(method, self.path + path, json=document)
        assert answer.is_success, answer.text
        return str(self.get("")["snaptime"])


@pytest.fixture
def catalog(embedded_server: Any) -> Iterator[Catalog]:
    with embedded_server.client() as client:
        path = f"/ermrest/catalog/{client.post('/ermrest/catalog').json()['id']}"
        made = Catalog(client, path)
        made.send("POST", "/schema/S")
        made.send("POST", "/schema", [table("T")])
        yield made
        client.delete(path)


def table(name: str) -> dict[str, Any]:
    system = [{"name": n, "type": {"typename": f"ermrest_{n.lower()}"}, "nullok": n in ("RCB", "RMB")} for n in SYSTEM]
    columns = [
        {"name": "Name", "type": {"typename": "text"}, "nullok": False},
        {"name": "Value", "type": {"typename": "int4"}},
    ]
    return {
        "schema_name": "S",
        "table_name": name,
        "column_definitions": [*system, *columns],
        "keys": [{"unique_columns": ["RID"]}, {"unique_columns": ["Name"]}],
    }


def earlier(snapshot: str) -> str:
    """The snapshot a microsecond before."""
    return str(epoch_microseconds_to_snaptime(snaptime_to_epoch_microseconds(snapshot) - 1))


def test_every_transaction_is_a_moment(catalog: Catalog) -> None:
    moments = [catalog.send("POST", "/entity/S:T", [{"Name": f"n{n}", "Value": n}]) for n in range(20)]
    assert len(set(moments)) == 20
    for n, moment in enumerate(moments):
        names = [row["Name"] for row in catalog.get("/entity/S:T@sort(Value)", moment)]
        assert names == [f"n{k}" for k in range(n + 1)]
        assert len(catalog.get("/entity/S:T", earlier(moment))) == n
    (row,) = catalog.get("/entity/S:T/Name=n7")
    assert catalog.get("/entity/S:T/RMT::leq::" + row["RMT"].replace("+", "%2B").replace(":", "%3A"), moments[19])[-1]


def test_a_row_as_it_was_after_each_change(catalog: Catalog) -> None:
    moments = [catalog.send("POST", "/entity/S:T", [{"Name": "a", "Value": 0}])]
    for value in range(1, 6):
        moments.append(catalog.send("PUT", "/attributegroup/S:T/Name;Value", [{"Name": "a", "Value": value}]))
    moments.append(catalog.send("DELETE", "/entity/S:T/Name=a"))
    for value, moment in enumerate(moments[:6]):
        (row,) = catalog.get("/entity/S:T", moment)
        assert row["Value"] == value
        assert epoch_microseconds_to_snaptime(microseconds(row["RMT"])) == moment
        assert catalog.get("/aggregate/S:T/v:=max(Value)", moment) == [{"v": value}]
    assert catalog.get("/entity/S:T", moments[6]) == []
    assert catalog.get("/entity/S:T", earlier(moments[6]))[0]["Value"] == 5


def microseconds(text: str) -> int:
    from datetime import UTC, datetime, timedelta

    return (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def test_the_model_as_it_was(catalog: Catalog) -> None:
    base = "/schema/S/table/T"
    first = catalog.send("POST", "/entity/S:T", [{"Name": "a", "Value": 7}])
    renamed = catalog.send("PUT", f"{base}/column/Value", {"name": "Number"})
    retyped = catalog.send("PUT", f"{base}/column/Number", {"type": {"typename": "text"}})
    changed = catalog.send("PUT", "/attributegroup/S:T/Name;Number", [{"Name": "a", "Number": "many"}])
    added = catalog.send("POST", f"{base}/column", {"name": "Extra", "type": {"typename": "boolean"}, "default": True})
    moved = catalog.send("PUT", base, {"table_name": "U"})
    dropped_column = catalog.send("DELETE", "/schema/S/table/U/column/Number")
    dropped_table = catalog.send("DELETE", "/schema/S/table/U")

    def told(at: str, name: str) -> dict[str, str]:
        document = catalog.get(f"/schema/S/table/{name}", at)
        return {c["name"]: c["type"]["typename"] for c in document["column_definitions"][5:]}

    def row(at: str, name: str) -> dict[str, Any]:
        (found,) = catalog.get(f"/entity/S:{name}", at)
        return {key: value for key, value in found.items() if key not in SYSTEM}

    assert (told(first, "T"), row(first, "T")) == ({"Name": "text", "Value": "int4"}, {"Name": "a", "Value": 7})
    assert (told(renamed, "T"), row(renamed, "T")) == ({"Name": "text", "Number": "int4"}, {"Name": "a", "Number": 7})
    assert (told(retyped, "T"), row(retyped, "T")) == ({"Name": "text", "Number": "text"}, {"Name": "a", "Number": "7"})
    assert row(changed, "T") == {"Name": "a", "Number": "many"}
    assert told(added, "T")["Extra"] == "boolean"
    assert row(moved, "U") == row(added, "T")
    assert catalog.status("/schema/S/table/T", moved) == 404
    assert catalog.status("/entity/S:T", moved) == 409
    assert catalog.status("/entity/S:U", added) == 409
    assert "Number" not in row(dropped_column, "U")
    assert catalog.status("/entity/S:U", dropped_table) == 409
    assert row(earlier(dropped_table), "U") == row(dropped_column, "U")
    # the same name again is another table, with a past of its own
    again = catalog.send("POST", "/schema", [table("T")])
    assert catalog.get("/entity/S:T", again) == []
    assert row(first, "T") == {"Name": "a", "Value": 7}


def test_many_rows_are_read_as_they_were(catalog: Catalog) -> None:
    """All changed once, then half of them deleted. How long it takes is shown by `make bench`."""
    body = io.StringIO()
    csv.writer(body, lineterminator="\n").writerows([("Name", "Value"), *((f"sample {n}", n) for n in range(MANY))])
    answer = catalog.client.post(
        f"{catalog.path}/entity/S:T", content=body.getvalue(), headers={"content-type": "text/csv"}
    )
    assert answer.status_code == 200
    snapshot = catalog.get("")["snaptime"]
    rids = [row["RID"] for row in catalog.get("/attribute/S:T/RID")]
    past = f"{catalog.path}@{snapshot}/attribute/S:T/Name,Value@sort(Value)"
    meant = catalog.client.get(past).content
    assert len(json.loads(meant)) == MANY
    catalog.send("PUT", "/attributegroup/S:T/RID;Value", [{"RID": rid, "Value": -n} for n, rid in enumerate(rids)])
    catalog.send("DELETE", f"/entity/S:T/Value::lt::-{MANY // 2 - 1}")
    assert catalog.get("/aggregate/S:T/n:=cnt(*)") == [{"n": MANY // 2}]
    assert catalog.client.get(past).content == meant
