"""The export service over the protocol: bags, files, refusals, and deriva-py's own client."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
import tarfile
import time
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest

TABLES = {
    "schemas": {
        "lab": {
            "schema_name": "lab",
            "tables": {
                "Picture": {
                    "schema_name": "lab",
                    "table_name": "Picture",
                    "column_definitions": [
                        {"name": name, "type": {"typename": typename}}
                        for name, typename in (
                            ("URL", "text"),
                            ("Filename", "text"),
                            ("Length", "int8"),
                            ("MD5", "text"),
                            ("Note", "markdown"),
                        )
                    ],
                    "keys": [{"unique_columns": ["RID"], "names": []}],
                    "foreign_keys": [],
                },
                "Nothing": {
                    "schema_name": "lab",
                    "table_name": "Nothing",
                    "column_definitions": [],
                    "keys": [{"unique_columns": ["RID"], "names": []}],
                    "foreign_keys": [],
                },
            },
        }
    }
}
SYSTEM = [
    {"name": name, "type": {"typename": f"ermrest_{name.lower()}"}, "nullok": name in ("RCB", "RMB")}
    for name in ("RID", "RCT", "RMT", "RCB", "RMB")
]


@pytest.fixture(scope="module")
def owner(embedded_server: Any) -> Any:
    with embedded_server.client() as client:
        yield client


@pytest.fixture(scope="module")
def catalog(owner: httpx.Client) -> str:
    """A catalog with three pictures in the object store, and one that lies elsewhere."""
    document = json.loads(json.dumps(TABLES))
    for table in document["schemas"]["lab"]["tables"].values():
        table["column_definitions"] = SYSTEM + table["column_definitions"]
    number = str(owner.post("/ermrest/catalog").json()["id"])
    made = owner.post(f"/ermrest/catalog/{number}/schema", json=document)
    assert made.status_code == 201, made.text
    rows = []
    for i in range(3):
        content = f"picture {i}".encode() * (i + 1)
        md5 = hashlib.md5(content)
        url = owner.put(
            f"/hatrac/pictures-{number}/p{i}?parents=true",
            content=content,
            headers={"content-md5": base64.b64encode(md5.digest()).decode()},
        ).text.strip()
        rows.append(
            {"URL": url, "Filename": f"p {i}.txt", "Length": len(content), "MD5": md5.hexdigest(), "Note": "a,b"}
        )
    rows.append({"URL": "http://elsewhere.invalid/x", "Filename": "x", "Length": 5, "MD5": "0" * 32})
    answer = owner.post(f"/ermrest/catalog/{number}/entity/lab:Picture", json=rows)
    assert answer.status_code == 200, answer.text
    return number


ROWS = {"processor": "csv", "processor_params": {"query_path": "/entity/lab:Picture", "output_path": "rows/Picture"}}
ENTRIES = "url:=URL,length:=Length,filename:=Filename,md5:=MD5,rid:=RID"
ASSETS = {
    "processor": "fetch",
    "processor_params": {"query_path": f"/attribute/lab:Picture/{ENTRIES}", "output_path": "asset/{rid}/Picture"},
}


def specification(catalog: str, *steps: dict[str, Any], **bag: Any) -> dict[str, Any]:
    options = {"bag_name": "B_{X}", "bag_algorithms": ["md5"], "bag_archiver": "zip", "bag_idempotent": True, **bag}
    return {"env": {"X": "1"}, "bag": options, "catalog": {"catalog_id": catalog, "query_processors": list(steps)}}


def export(client: httpx.Client, document: dict[str, Any], kind: str = "bdbag") -> httpx.Response:
    return client.post(f"/deriva/export/{kind}", json=document)


def get_bag(client: httpx.Client, document: dict[str, Any]) -> bytes:
    answer = export(client, document)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == answer.text
    return client.get(answer.text).content


def test_bag(owner: httpx.Client, catalog: str, tmp_path: Path) -> None:
    from bdbag import bdbag_api

    schema = {"processor": "json", "processor_params": {"query_path": "/schema", "output_path": "schema"}}
    empty = {"processor": "csv", "processor_params": {"query_path": "/entity/lab:Nothing", "output_path": "Nothing"}}
    answer = export(owner, specification(catalog, schema, ROWS, ASSETS, ASSETS, empty))
    assert answer.status_code == 201, answer.text
    url = answer.text
    assert "\n" not in url  # deriva-py takes what follows a line end for one more URL
    head = owner.head(url)
    assert head.headers["content-disposition"] == "filename*=UTF-8''B_1.zip"
    content = owner.get(url)
    assert head.headers["content-length"] == str(len(content.content))
    (tmp_path / "B_1.zip").write_bytes(content.content)
    bag = Path(bdbag_api.extract_bag(str(tmp_path / "B_1.zip"), str(tmp_path)))
    bdbag_api.validate_bag_structure(str(bag))
    names = {path.relative_to(bag).as_posix() for path in bag.rglob("*") if path.is_file()}
    assert {name for name in names if name.startswith("data/")} == {"data/schema.json", "data/rows/Picture.csv"}
    assert "lab" in json.loads((bag / "data/schema.json").read_text())["schemas"]
    rows = list(csv.DictReader(io.StringIO((bag / "data/rows/Picture.csv").read_text())))
    assert len(rows) == 4
    fetch = [line.split("\t") for line in (bag / "fetch.txt").read_text().splitlines()]
    wanted = {
        f"data/asset/{row['RID']}/Picture/{row['Filename']}": (
            row["URL"] if "//" in row["URL"] else str(owner.base_url).rstrip("/") + row["URL"],
            row["Length"],
        )
        for row in rows
    }
    assert {path: (address, length) for address, length, path in fetch} == wanted
    sums = dict(reversed(line.split("  ", 1)) for line in (bag / "manifest-md5.txt").read_text().splitlines())
    for path, md5 in sums.items():
        if (bag / path).exists():
            assert hashlib.md5((bag / path).read_bytes()).hexdigest() == md5
    assert sums.keys() == set(wanted) | {"data/schema.json", "data/rows/Picture.csv"}
    for address, length, path in fetch:
        if "elsewhere" not in address:
            (bag / path).parent.mkdir(parents=True)
            (bag / path).write_bytes(owner.get(address).content)
            assert (bag / path).stat().st_size == int(length)
            assert hashlib.md5((bag / path).read_bytes()).hexdigest() == sums[path]


def test_complete_bag_is_valid(owner: httpx.Client, catalog: str, tmp_path: Path) -> None:
    from bdbag import bdbag_api

    download = {
        "processor": "download",
        "processor_params": {
            "query_path": f"/attribute/lab:Picture/URL::regexp::hatrac/{ENTRIES}",
            "output_path": "files/{rid}",
        },
    }
    document = specification(catalog, ROWS, download, bag_algorithms=["md5", "sha256"], bag_archiver="tgz")
    (tmp_path / "B_1.tgz").write_bytes(get_bag(owner, document))
    bag = bdbag_api.extract_bag(str(tmp_path / "B_1.tgz"), str(tmp_path))
    bdbag_api.validate_bag(bag)
    assert sorted(path.name for path in Path(bag).glob("data/files/*/*")) == ["p 0.txt", "p 1.txt", "p 2.txt"]


def test_idempotent_bag_has_the_same_bytes(owner: httpx.Client, catalog: str) -> None:
    snapshot = owner.get(f"/ermrest/catalog/{catalog}").json()["snaptime"]
    document = specification(f"{catalog}@{snapshot}", ROWS, ASSETS)
    first = get_bag(owner, document)
    time.sleep(1.1)
    assert get_bag(owner, document) == first
    dated = get_bag(owner, specification(catalog, ROWS, bag_idempotent=False, bag_metadata={"Contact-Name": "N\nM"}))
    with zipfile.ZipFile(io.BytesIO(dated)) as archive:
        info = archive.read("B_1/bag-info.txt").decode()
    assert "Bagging-Date: " in info
    assert "Contact-Name: N M\n" in info


def test_snapshot_and_environment(owner: httpx.Client, catalog: str) -> None:
    snapshot = owner.get(f"/ermrest/catalog/{catalog}").json()["snaptime"]
    row = owner.post(
        f"/ermrest/catalog/{catalog}/entity/lab:Picture", json=[{"URL": "tag:late", "Filename": "{X} late"}]
    )
    rid = row.json()[0]["RID"]
    try:
        steps = [
            {"processor": "env", "processor_params": {"query_path": "/", "query_keys": ["snaptime"]}},
            {"processor": "env", "processor_params": {"query_path": "/entity/lab:Picture@sort(RID)?limit=1"}},
            {
                "processor": "json-stream",
                "processor_params": {
                    "query_path": "/entity/lab:Picture/Filename={Filename_urlencoded}",
                    "output_path": "{snaptime}/one",
                },
            },
        ]
        with zipfile.ZipFile(
            io.BytesIO(get_bag(owner, specification(f"{catalog}@{snapshot}", *steps, ROWS)))
        ) as archive:
            assert json.loads(archive.read(f"B_1/data/{snapshot}/one.json"))["Filename"] == "p 0.txt"
            assert b"tag:late" not in archive.read("B_1/data/rows/Picture.csv")
        with zipfile.ZipFile(io.BytesIO(get_bag(owner, specification(catalog, ROWS)))) as archive:
            assert b"tag:late" in archive.read("B_1/data/rows/Picture.csv")
    finally:
        owner.delete(f"/ermrest/catalog/{catalog}/entity/lab:Picture/RID={rid}")


def test_length_and_checksum_come_from_the_store(owner: httpx.Client, catalog: str) -> None:
    step = {
        "processor": "fetch",
        "processor_params": {
            "query_path": "/attribute/lab:Picture/Length::gt::6/url:=URL,rid:=RID",
            "output_path": "{rid}",
        },
    }
    with zipfile.ZipFile(io.BytesIO(get_bag(owner, specification(catalog, step)))) as archive:
        lines = [line.split("\t") for line in archive.read("B_1/fetch.txt").decode().splitlines()]
    assert sorted(int(length) for _, length, _ in lines) == [9, 18, 27]


def test_files(owner: httpx.Client, catalog: str) -> None:
    answer = export(owner, specification(catalog, ROWS), "file")
    assert answer.status_code == 201, answer.text
    (url,) = answer.text.split("\n")
    assert owner.head(url).headers["content-disposition"] == "filename*=UTF-8''Picture.csv"
    assert len(list(csv.DictReader(io.StringIO(owner.get(url).text)))) == 4
    assert export(owner, specification(catalog, ASSETS), "file").status_code == 404


@pytest.mark.parametrize("archiver", ["tar", "bz2", "xz"])
def test_other_archives(owner: httpx.Client, catalog: str, archiver: str) -> None:
    content = get_bag(owner, specification(catalog, ROWS, bag_archiver=archiver))
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        assert "B_1/data/rows/Picture.csv" in archive.getnames()


def test_only_who_asked_may_fetch(owner: httpx.Client, embedded_server: Any, catalog: str) -> None:
    url = export(owner, specification(catalog, ROWS)).text
    with embedded_server.client(embedded_server.token2) as second, embedded_server.client("") as nobody:
        assert second.get(url).status_code == 403
        assert nobody.get(url).status_code == 401
        assert export(nobody, specification(catalog, ROWS)).status_code == 401
        refused = export(second, specification(catalog, ROWS))  # the second identity may not read this catalog
        assert refused.status_code == 403
        assert "lab:Picture" in refused.text
    assert owner.get(url + "x").status_code == 404
    assert owner.get(url.rsplit("/", 1)[0] + "/..%2F..%2Fowner").status_code == 404
    assert owner.delete(url).status_code == 405
    assert owner.get("/deriva/export/bdbag").status_code == 405
    assert owner.get("/deriva/export/other").status_code == 404


def with_step(catalog: str, processor: str, **params: Any) -> dict[str, Any]:
    return specification(catalog, {"processor": processor, "processor_params": params})


@pytest.mark.parametrize(
    "host", ["example.org", "https://example.org", "http://127.0.0.1:1", "ftp://localhost", "a@b", 5]
)
def test_no_other_server_is_asked(owner: httpx.Client, catalog: str, host: Any) -> None:
    document = specification(catalog, ROWS)
    document["catalog"]["host"] = host
    answer = export(owner, document)
    assert answer.status_code == 400
    assert "its own catalogs only" in answer.text
    document["catalog"]["host"] = str(owner.base_url)
    assert export(owner, document).status_code == 201


def test_no_other_server_is_asked_for_an_object(owner: httpx.Client, catalog: str) -> None:
    foreign = "/attribute/lab:Picture/Filename=x/url:=URL,filename:=Filename"
    for processor in ("fetch", "download"):
        answer = export(owner, with_step(catalog, processor, query_path=foreign, output_path="d"))
        assert answer.status_code == 409
        assert "no object of this server" in answer.text


def test_refusals_leave_nothing_behind(owner: httpx.Client, embedded_server: Any, catalog: str) -> None:
    before = sorted(path.name for path in (embedded_server.data / "exports").iterdir())
    picture = "/entity/lab:Picture"
    cases = [
        ([], 400),
        ({}, 400),
        ({"catalog": {"catalog_id": catalog, "query_processors": []}}, 400),
        (with_step("99999", "csv", query_path=picture, output_path="x"), 404),
        (with_step(catalog, "csv", query_path="/entity/lab:Missing", output_path="x"), 409),
        (with_step(catalog, "csv", query_path="entity/lab:Picture", output_path="x"), 400),
        (with_step(catalog, "csv", query_path="/../../alias/1", output_path="x"), 404),
        (with_step(catalog, "csv", query_path="/entity/{Unset}", output_path="x"), 400),
        (with_step(catalog, "csv", query_path="/entity/{X.__class__}", output_path="x"), 400),
        (with_step(catalog, "csv", query_path=picture, output_path="../../out"), 409),
        (with_step(catalog, "csv", query_path=picture, output_path="/out"), 409),
        (with_step(catalog, "csv", query_path="/entity/lab:Nothing", output_path="x"), 409),
        (with_step(catalog, "env", query_path=picture, query_keys=["Missing"]), 409),
        (with_step(catalog, "shell", query_path=picture, output_path="x"), 400),
        (with_step(catalog, "dir", query_path=picture, output_path="x"), 501),
        ({**specification(catalog, ROWS), "post_processors": [{"processor": "cloud_upload"}]}, 501),
        ({**specification(catalog, ROWS), "transform_processors": [{"processor": "cat"}]}, 501),
        (specification(catalog, ROWS, bag_name="{missing}"), 400),
        (specification(catalog, ROWS, bag_archiver="rar"), 400),
        (specification(catalog, ROWS, bag_algorithms=["crc"]), 400),
        (specification(catalog, ROWS, bag_metadata={"a:b": "c"}), 400),
        (specification(catalog, {**ROWS, "processor_type": "os.path"}), 400),
        (
            with_step(
                catalog,
                "fetch",
                query_path=f"/attribute/lab:Picture/{ENTRIES}",
                output_path="x",
                output_filename="same",
            ),
            409,
        ),
    ]
    for document, status in cases:
        answer = owner.post("/deriva/export/bdbag", json=document)
        assert answer.status_code == status, (document, answer.text)
        assert len(answer.text.splitlines()) == 1
    assert sorted(path.name for path in (embedded_server.data / "exports").iterdir()) == before


def test_old_exports_go(owner: httpx.Client, embedded_server: Any, catalog: str) -> None:
    url = export(owner, specification(catalog, ROWS)).text
    folder = embedded_server.data / "exports" / url.rsplit("/", 1)[1]
    os.utime(folder, (1, 1))
    fresh = export(owner, specification(catalog, ROWS)).text
    assert not folder.exists()
    assert owner.get(url).status_code == 404
    assert owner.get(fresh).status_code == 200


def test_client_of_deriva_py(
    embedded_server: Any, catalog: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deriva.transfer.download.deriva_export import DerivaExport

    state = json.loads((embedded_server.data / "server.json").read_text())
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", state["ca_file"])
    document = specification(catalog, ROWS, ASSETS)
    document["env"] = {"X": "{name}"}
    document["catalog"]["host"] = state["https_url"]
    (tmp_path / "spec.json").write_text(json.dumps(document))
    arguments: dict[str, Any] = {
        "host": state["https_url"].removeprefix("https://"),
        "config_file": str(tmp_path / "spec.json"),
        "credential": {"bearer-token": embedded_server.token},
        "envars": {"name": "seven"},
        "output_dir": str(tmp_path),
    }
    assert DerivaExport(**arguments).export() == str(tmp_path / "B_seven.zip")
    with zipfile.ZipFile(tmp_path / "B_seven.zip") as archive:
        assert f"{state['https_url']}/hatrac/".encode() in archive.read("B_seven/fetch.txt")
    (url,) = DerivaExport(**arguments, defer_download=True).export()
    assert url.startswith(state["https_url"])
    assert DerivaExport(**arguments, defer_download=True, export_type="bdbag").retrieve_file(url)
