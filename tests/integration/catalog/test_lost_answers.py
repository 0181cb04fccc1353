"""Requests whose answer is lost after the server has done its work: every effect is there once."""

from __future__ import annotations

import os
import socketserver
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from deriva_ml_prefect.catalog import assets, datasets, documents, executions, features, objects, vocabulary, workflows
from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.catalog.rows import (
    get_rows,
    insert_missing_rows,
    insert_rows,
    lease_rids,
    new_token,
    swap_column,
    update_rows,
)
from deriva_ml_prefect.catalog.tables import create_tables
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.exceptions import DerivaMLOfflineError
from deriva_ml_prefect.transfer.client import HttpClient
from deriva_ml_prefect.transfer.hashing import hash_file
from deriva_ml_prefect.values.objects import object_path
from deriva_ml_prefect.values.status import ExecutionStatus as S

HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive"}


class _Forward(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _forward(self) -> None:
        state: Lossy = self.server.state  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if state.instead:
            self.send_response_only(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(state.instead)))
            self.end_headers()
            self.wfile.write(state.instead)
            return
        there = HTTPConnection(state.host, timeout=20)
        there.request(self.command, self.path, body or None, {**self.headers, "Host": state.host})
        answer = there.getresponse()
        content = answer.read()
        there.close()
        if state.loses(self.command, self.path):
            self.close_connection = True
            return
        self._give(answer, content)

    def _give(self, answer: HTTPResponse, content: bytes) -> None:
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in HOP_BY_HOP | {"content-length"}:
                self.send_header(name, value)
        self.send_header("Content-Length", answer.getheader("Content-Length") or str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _forward  # noqa: N815 - http.server's names

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


class Lossy:
    """A proxy that passes everything on and loses the answer to the first sending of each changing request."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.lost: set[tuple[str, str]] = set()
        self.active = False
        self.instead = b""
        """What it answers to everything by itself."""

    def loses(self, method: str, path: str) -> bool:
        if not self.active or method in ("GET", "HEAD") or (method, path) in self.lost:
            return False
        self.lost.add((method, path))
        return True


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


@pytest.fixture
def lossy(catalog: Catalog) -> Iterator[tuple[Catalog, Lossy]]:
    state = Lossy(urlsplit(catalog.base_url).netloc)
    with _Server(("127.0.0.1", 0), _Forward) as listening:
        listening.state = state  # type: ignore[attr-defined]
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        url = f"http://127.0.0.1:{listening.server_address[1]}"
        client = HttpClient(url, credential=catalog.client.credential, timeout=20, retries=3, sleep=lambda _: None)
        yield (
            Catalog(catalog.address, client=client, base_url=url, settings=catalog.settings),
            state,
        )
        client.close()
        listening.shutdown()
        thread.join()


def lose_answers(pair: tuple[Catalog, Lossy], act: Callable[[Catalog], Any]) -> Any:
    """The result of `act`, each of whose changing requests is answered only at its second sending."""
    catalog, state = pair
    state.lost.clear()
    state.active = True
    try:
        result = act(catalog)
    finally:
        state.active = False
    assert state.lost
    return result


def count(catalog: Catalog, table: str) -> int:
    return len(get_rows(catalog, f"entity/{table}"))


def test_rows_with_leased_rids(lossy: tuple[Catalog, Lossy]) -> None:
    catalog, _ = lossy
    before = {t: count(catalog, f"deriva-ml:{t}") for t in ("Workflow", "Execution", "Dataset", "Dataset_Version")}
    tokens = [new_token() for _ in range(4)]
    work, run, data, version = lose_answers(lossy, lambda c: lease_rids(c, tokens))
    code = Workflow(name="w", workflow_type=["Training", "Testing"], url="u:1", checksum="1")
    lose_answers(lossy, lambda c: workflows.insert_workflow(c, work, code))
    assert workflows.read_workflow(catalog, work).workflow_types == ("Testing", "Training")
    record = lose_answers(lossy, lambda c: executions.insert_execution(c, run, workflow_rid=work, description="d"))
    assert record.rid == run
    made = lose_answers(
        lossy, lambda c: datasets.create_dataset(c, data, version_rid=version, types=["Training"], description="d")
    )
    assert made == datasets.resolve_version(catalog, data)
    assert {t: count(catalog, f"deriva-ml:{t}") - n for t, n in before.items()} == dict.fromkeys(before, 1)


def test_swap_knows_its_own_write(lossy: tuple[Catalog, Lossy]) -> None:
    catalog, _ = lossy
    (run,) = lease_rids(catalog, [new_token()])
    executions.insert_execution(catalog, run, workflow_rid=None, description="d")
    assert lose_answers(lossy, lambda c: executions.swap_status(c, run, S.Created, S.Running, "mine"))
    assert not lose_answers(lossy, lambda c: executions.swap_status(c, run, S.Created, S.Running, "another's"))
    record = executions.read_execution(catalog, run)
    assert record is not None
    assert record.status_detail == "mine"


def test_bytes_assets_and_features(lossy: tuple[Catalog, Lossy], tmp_path: Path) -> None:
    catalog, _ = lossy
    create_tables(catalog, [documents.table_document("demo", "Subject", columns=[documents.column("Name", "text")])])
    table = assets.create_asset_table(catalog, "Image")
    feature = features.create_feature(catalog, "Subject", "Size", metadata=[documents.column("Value", "float8")])
    (run,) = lease_rids(catalog, [new_token()])
    executions.insert_execution(catalog, run, workflow_rid=None, description="d")
    subjects = [row["RID"] for row in insert_rows(catalog, ("demo", "Subject"), [{"Name": "s"}] * 5)]
    rows = []
    for name, size in (("small.bin", 100), ("large.bin", 5 << 16)):
        path = tmp_path / name
        path.write_bytes(os.urandom(size))
        facts = hash_file(path)
        where = object_path("Image", facts.md5_hex, name)

        def put(c: Catalog, path: Path = path, where: str = where, facts: Any = facts) -> str:
            return objects.upload_object(c, path, where, facts, chunk_size=1 << 16)

        url = lose_answers(lossy, put)
        assert len(catalog.client.request("GET", f"{where};versions").json()) == 1
        rows.append({"URL": url, "Filename": name, "Length": size, "MD5": facts.md5_hex})
    rids = lose_answers(lossy, lambda c: assets.insert_asset_rows(c, table, rows))
    assert len(rids) == 2
    lose_answers(lossy, lambda c: assets.insert_asset_types(c, table, [(rid, "Image") for rid in rids.values()]))
    lose_answers(lossy, lambda c: assets.link_assets(c, table, run, rids.values()))
    values = [{"Execution": run, "Subject": rid, "Value": 0.1 * i} for i, rid in enumerate(subjects)]
    assert lose_answers(lossy, lambda c: features.insert_feature_rows(c, feature, values)) == 5
    assert [
        count(catalog, f"demo:{t}") for t in ("Image", "Image_Asset_Type", "Image_Execution", "Execution_Subject_Size")
    ] == [2, 2, 2, 5]
    lose_answers(lossy, lambda c: vocabulary.add_term(c, "Asset_Type", "Photo"))
    assert vocabulary.lookup_term(catalog, "Asset_Type", "Photo")


@pytest.mark.parametrize("body", [b'{"error": "log in"}', b'["a", "b"]', b"7", b"null", b'"rows"'])
def test_json_that_is_no_rows_is_no_success(lossy: tuple[Catalog, Lossy], body: bytes) -> None:
    """As from what stands in between: a value that is taken as there would be lost."""
    catalog, state = lossy
    ref = ("public", "ERMrest_Group")
    state.instead = body
    for act in (
        lambda: insert_missing_rows(catalog, ref, [{"ID": "a"}, {"ID": "b"}][: len(body) // 9 or 1]),
        lambda: insert_rows(catalog, ref, [{"ID": "a"}], repeatable=True),
        lambda: get_rows(catalog, "entity/public:ERMrest_Group"),
        lambda: update_rows(catalog, ref, [{"RID": "1-ABC", "ID": "a"}]),
        lambda: swap_column(catalog, ref, "1-ABC", "ID", expected="a", target="b"),
    ):
        with pytest.raises(DerivaMLOfflineError, match="are no rows"):
            act()


def test_what_has_no_identity_is_not_sent_twice(lossy: tuple[Catalog, Lossy]) -> None:
    catalog, _ = lossy
    create_tables(catalog, [documents.table_document("demo", "Subject", columns=[documents.column("Name", "text")])])
    with pytest.raises(DerivaMLOfflineError):
        lose_answers(lossy, lambda c: insert_rows(c, ("demo", "Subject"), [{"Name": "s"}]))
    assert count(catalog, "demo:Subject") == 1


def test_an_asset_table_without_a_key_gets_each_row_once(lossy: tuple[Catalog, Lossy]) -> None:
    """As one of a lab that was made by hand: nothing there refuses a row that is sent again."""
    catalog, _ = lossy
    table = assets.create_asset_table(catalog, "Scan")
    keys = f"/ermrest/catalog/{catalog.address.catalog_id}/schema/demo/table/Scan/key"
    catalog.client.request("DELETE", f"{keys}/URL", expect=(204,))
    catalog.refresh()
    table = assets.asset_table(catalog, "Scan")
    rows = [
        {"URL": f"/hatrac/Scan/{n}:V", "Filename": f"{n}", "Length": 1, "MD5": "0" * 32, "Description": None}
        for n in range(3)
    ]
    for some in (rows[:2], rows):
        with pytest.raises(DerivaMLOfflineError):
            lose_answers(lossy, lambda c, some=some: assets.insert_asset_rows(c, table, some))
        # as an upload repeats what failed in passing
        assert len(assets.insert_asset_rows(catalog, table, some)) == len(some)
        assert count(catalog, "demo:Scan") == len(some)
