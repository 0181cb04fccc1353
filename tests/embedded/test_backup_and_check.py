"""A copy made while the server works is whole; what is damaged is found and named."""

from __future__ import annotations

import io
import sqlite3
import stat
import tarfile
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from deriva.core.ermrest_model import Column, ForeignKey, Key, Table, builtin_types

from deriva_ml_prefect.embedded.backup import back_up, restore
from deriva_ml_prefect.embedded.check import check_folder
from deriva_ml_prefect.embedded.state import ServerError


def fill(client: Any) -> str:
    """A catalog with tables S:A and S:B, rows, history, and objects; returns its path."""
    catalog = "/ermrest/catalog/" + str(client.post("/ermrest/catalog").json()["id"])
    client.post(f"{catalog}/schema/S")
    for name in ("A", "B"):
        fkeys = [ForeignKey.define(["other"], "S", "A", ["name"])] if name == "B" else []
        columns = [Column.define("name", builtin_types.text, nullok=False), Column.define("other", builtin_types.text)]
        table = Table.define(name, columns, [Key.define(["name"])], fkeys)
        assert client.post(f"{catalog}/schema/S/table", json=table).status_code == 201
    assert client.post(f"{catalog}/entity/S:A", json=[{"name": f"a{i}"} for i in range(50)]).status_code == 200
    assert client.post(f"{catalog}/entity/S:B", json=[{"name": "b", "other": "a1"}]).status_code == 200
    for text in ("x", "y"):
        put = client.put(f"{catalog}/attributegroup/S:B/name;other", json=[{"name": "b", "other": "a2"}])
        assert put.status_code == 200
        assert client.put("/hatrac/o", content=text.encode() * 1000).status_code == 201
    client.post("/hatrac/job;upload", json={"chunk-length": 3, "content-length": 5})
    return catalog


@pytest.mark.parametrize("name", ["copy", "copy.tar", "copy.tar.gz"])
def test_a_copy_of_a_working_server_is_whole(own_server: Any, tmp_path: Path, name: str) -> None:
    done = threading.Event()
    with own_server.client() as client:
        catalog = fill(client)

        def work() -> None:
            number = 0
            with own_server.client() as worker:
                while not done.is_set():
                    number += 1
                    url = worker.put(f"/hatrac/w{number}", content=b"w" * number).text.strip()
                    worker.post(f"{catalog}/entity/S:A", json=[{"name": f"w{number}", "other": url}])
                    if number % 3 == 0:
                        worker.delete(f"/hatrac/w{number - 1}")

        worker = threading.Thread(target=work)
        worker.start()
        try:
            back_up(own_server.data, tmp_path / name)
        finally:
            done.set()
            worker.join()
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) & 0o077 == 0
    restore(tmp_path / name, tmp_path / "restored")
    report = check_folder(tmp_path / "restored")
    assert report.differences == ()
    assert report.rows > 50
    assert report.objects >= 2
    assert check_folder(own_server.data).differences == ()
    with closing(sqlite3.connect(tmp_path / "restored" / "hatrac.db")) as connection:
        assert connection.execute("SELECT count(*) FROM job").fetchone() == (1,)
    with pytest.raises(ServerError, match="not empty"):
        restore(tmp_path / name, tmp_path / "restored")
    with pytest.raises(ServerError, match="exists"):
        back_up(own_server.data, tmp_path / name)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_what_is_no_backup(tmp_path: Path) -> None:
    (tmp_path / "file.tar").write_text("nothing")
    for source in (tmp_path / "file.tar", tmp_path / "none"):
        with pytest.raises(ServerError, match="cannot be restored"):
            restore(source, tmp_path / "new")
    with pytest.raises(ServerError, match="nothing to back up"):
        back_up(tmp_path, tmp_path / "copy")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "harm", ["cut to half", "cut by one byte", "without its checksum", "one byte changed", "nothing"]
)
def test_damaged_archive_is_restored_not_at_all(harm: str, own_server: Any, tmp_path: Path) -> None:
    back_up(own_server.data, tmp_path / "copy.tgz")
    whole = (tmp_path / "copy.tgz").read_bytes()
    middle = len(whole) // 2
    harmed = {
        "cut to half": whole[:middle],
        "cut by one byte": whole[:-1],
        "without its checksum": whole[:-8],
        "one byte changed": whole[:-6] + bytes([whole[-6] ^ 1]) + whole[-5:],
        "nothing": b"",
    }[harm]
    (tmp_path / "harmed.tgz").write_bytes(harmed)
    with pytest.raises(ServerError, match="cannot be restored"):
        restore(tmp_path / "harmed.tgz", tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "data") == ["copy.tgz", "harmed.tgz"]
    restore(tmp_path / "copy.tgz", tmp_path / "new")


MEMBERS = {
    "above": {"name": "../evil"},
    "above after a while": {"name": "a/../../evil"},
    "link out": {"name": "l", "type": tarfile.SYMTYPE, "linkname": "../.."},
    "absolute link": {"name": "l", "type": tarfile.SYMTYPE, "linkname": "/etc/passwd"},
    "hard link out": {"name": "l", "type": tarfile.LNKTYPE, "linkname": "../../etc/passwd"},
    "device": {"name": "d", "type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3},
    "FIFO": {"name": "f", "type": tarfile.FIFOTYPE},
    "name of 300 bytes": {"name": "n" * 300},
    "folder in place of the tokens": {"name": "tokens.json", "type": tarfile.DIRTYPE},
}


@pytest.mark.parametrize("facts", MEMBERS.values(), ids=MEMBERS)
def test_members_that_leave_the_folder(facts: dict[str, Any], tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "made.tgz", "w:gz") as archive:
        if facts["name"] != "tokens.json":
            archive.addfile(tarfile.TarInfo("tokens.json"), io.BytesIO(b""))
        member = tarfile.TarInfo(facts["name"])
        for name, value in facts.items():
            setattr(member, name, value)
        archive.addfile(member)
    (tmp_path / "in").mkdir()
    with pytest.raises(ServerError):
        restore(tmp_path / "made.tgz", tmp_path / "in" / "new")
    assert list((tmp_path / "in").iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "made.tgz"]


def one_object(data: Path) -> Path:
    with closing(sqlite3.connect(data / "hatrac.db")) as connection:
        (content,) = connection.execute("SELECT content FROM version ORDER BY id").fetchone()
    return data / "objects" / str(content)[:2] / str(content)


def one_job(data: Path) -> Path:
    with closing(sqlite3.connect(data / "hatrac.db")) as connection:
        (job,) = connection.execute("SELECT job FROM job").fetchone()
    return data / "objects" / str(job)[:2] / str(job)


def flip(file: Path, position: int) -> None:
    content = bytearray(file.read_bytes())
    content[position] ^= 0x10
    file.write_bytes(content)


def in_tables(*statements: str) -> Callable[[Path], None]:
    """Change a catalog's file; `A` and `B` stand for the SQLite tables."""

    def act(data: Path) -> None:
        import orjson

        with closing(sqlite3.connect(data / "catalogs" / "1.db")) as connection:
            parts = connection.execute("SELECT document FROM model_part WHERE kind = 'table' AND until IS NULL")
            tables = {part["name"]: part for part in (orjson.loads(row[0]) for row in parts)}
            for statement in statements:
                for name in ("A", "B"):
                    part = tables[name]
                    columns = {column["name"]: column["physical"] for column in part["columns"]}
                    for column, physical in columns.items():
                        statement = statement.replace(f"{name}.{column}", physical)
                    statement = statement.replace(f"{{{name}}}", part["physical"])
                    statement = statement.replace(f"{{h{name}}}", part["history"])
                    key = next(key for key in part["keys"] if key["columns"] == ["name"])
                    statement = statement.replace(f"{{key{name}}}", f'"key {key["rid"]}"')
                connection.execute(statement)
            connection.commit()

    return act


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: one_object(data).unlink(), "cannot be read"),
        (lambda data: one_object(data).write_bytes(b"x"), "has 1 bytes, not 1000"),
        (lambda data: one_object(data).write_bytes(b"z" * 1000), "the MD5"),
        (lambda data: (data / "catalogs" / "1.db").unlink(), "is missing"),
        (in_tables("DELETE FROM {A} WHERE A.name = 'a2'"), "refer by other to nothing in S:A"),
        (in_tables("DROP INDEX {keyA}", "UPDATE {A} SET A.name = 'a1' WHERE A.name = 'a9'"), "more than once"),
        (in_tables("UPDATE {A} SET A.name = NULL WHERE A.name = 'a9'"), "no value in name"),
        (in_tables("UPDATE {hB} SET until_ = B.RMT"), "end before they began"),
        (in_tables("UPDATE {hB} SET until_ = '2999-01-01T00:00:00+00:00'"), "overlap"),
        (in_tables("UPDATE {A} SET A.RMT = '2999-01-01T00:00:00+00:00'"), "later than the catalog's clock"),
        (in_tables("UPDATE catalog_state SET micros = 1"), "its clock stands at"),
        (
            in_tables("DELETE FROM {hB} WHERE rowid = (SELECT min(rowid) FROM {hB})"),
            "of 1 versions of rows that ended at",
        ),
        (lambda data: flip(one_object(data), 500), "the MD5"),
        (lambda data: one_job(data).unlink(), "of 5 bytes is missing"),
        (lambda data: one_job(data).write_bytes(b"abc"), "of 5 bytes has 3"),
        (lambda data: (data / "registry.db").write_bytes(b"no database" * 1000), "the list of catalogs"),
        (lambda data: (data / "hatrac.db").write_bytes(b"no database" * 1000), "the file of their names"),
        (lambda data: (data / "catalogs" / "1.db").write_bytes(b"no database" * 1000), "cannot be read"),
        (lambda data: flip(data / "catalogs" / "1.db", 4096 * 3 + 5), "catalog 1"),
    ],
    ids=[
        "object",
        "length",
        "bytes",
        "catalog",
        "reference",
        "key",
        "null",
        "interval",
        "overlap",
        "future",
        "clock",
        "history",
        "byte",
        "job",
        "job-length",
        "registry",
        "names",
        "file",
        "page",
    ],
)
def test_damage_is_found(filled: Path, tmp_path: Path, damage: Callable[[Path], None], words: str) -> None:
    restore(filled, tmp_path / "data")
    assert check_folder(tmp_path / "data").differences == ()
    damage(tmp_path / "data")
    assert any(words in difference for difference in check_folder(tmp_path / "data").differences)


@pytest.fixture(scope="module")
def filled(embedded_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of a server that `fill` has filled."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("embedded_conftest", Path(__file__).with_name("conftest.py"))
    assert spec is not None
    assert spec.loader is not None
    servers = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["embedded_conftest"] = servers
    spec.loader.exec_module(servers)
    folder = tmp_path_factory.mktemp("filled")
    server = servers.start_server(folder / "data")
    try:
        with server.client() as client:
            fill(client)
    finally:
        servers.end_server(server)
    back_up(folder / "data", folder / "copy")
    return folder / "copy"
