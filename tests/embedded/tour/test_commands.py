"""The commands that deriva-py installs, run as a user would, over HTTPS with our own certificate authority.

What they cannot do is deriva-py's own: `deriva-catalog-cli post` fails before it asks, `get -o` deletes what it wrote,
`deriva-annotation-rollback` fails on any model with keys, `deriva-sitemap-cli` on a table that others refer to, and
`deriva-restore-cli` on a backup in which `public:ERMrest_Group` has no row.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from deriva.core import ErmrestCatalog

from .study import build_study

COMMANDS = Path(sys.executable).parent
DISPLAY = "tag:misd.isi.edu,2015:display"
Run = Callable[..., str]


@pytest.fixture
def https_host(embedded_server: Any) -> str:
    state = json.loads((embedded_server.data / "server.json").read_text())
    return str(state["https_url"]).removeprefix("https://")


@pytest.fixture
def run(embedded_server: Any, https_host: str, tmp_path: Path) -> Run:
    """Run a command in an empty folder, logged in as the owner; gives its output, and fails where it fails."""
    home = tmp_path / "home"
    (home / ".deriva").mkdir(parents=True)
    (home / ".deriva" / "credential.json").write_text(json.dumps({https_host: {"bearer-token": embedded_server.token}}))
    state = json.loads((embedded_server.data / "server.json").read_text())
    environment = {**os.environ, "HOME": str(home), "REQUESTS_CA_BUNDLE": state["ca_file"]}

    def run_command(command: str, *arguments: str) -> str:
        ended = subprocess.run(
            [COMMANDS / command, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ended.returncode == 0, f"{ended.stdout[-2000:]}\n{ended.stderr[-2000:]}"
        return ended.stdout + ended.stderr

    return run_command


@pytest.fixture
def number(catalog: ErmrestCatalog) -> str:
    """Id of a catalog with the study of the tour in it."""
    build_study(catalog)
    return str(catalog.catalog_id)


def test_a_policy_like_that_of_deriva_ml_is_applied(
    run: Run, https_host: str, catalog: ErmrestCatalog, number: str, tmp_path: Path
) -> None:
    """Its owners are a group that nobody here is in, and the local administrator."""
    policy = {
        "groups": {
            "lab": ["https://auth.globus.org/3938e0d0-ed35-11e5-8641-22000ab4b42b"],
            "admins": ["lab", "local"],
            "local": ["admin"],
            "public": ["*"],
            "nobody": [],
        },
        "acl_definitions": {
            "open": {"owner": "admins", "select": "lab", "enumerate": "public", "insert": "lab"},
            "read_only": {"select": "admins", "enumerate": "public", "insert": "nobody", "update": "nobody"},
            "curated": {"insert": "lab", "update": "lab"},
        },
        "acl_bindings": {
            "own_rows": {"types": ["update", "delete"], "projection": ["RCB"], "projection_type": "acl"},
            "own_subject": {"types": ["insert", "update"], "projection": ["Code"], "projection_type": "acl"},
        },
        "catalog_acl": {"acl": "open"},
        "schema_acls": [{"schema": "public", "acl": "read_only"}],
        "table_acls": [{"schema_pattern": "^(?!public$).+$", "table_pattern": ".*", "acl_bindings": ["own_rows"]}],
        "group_list_table": {"schema": "public", "table": "groups"},
    }
    (tmp_path / "policy.json").write_text(json.dumps(policy))
    for _ in range(2):  # the second time, the group table is there
        run("deriva-acl-config", "--host", https_host, "--config-file", "policy.json", number)
    model = catalog.getCatalogModel()
    assert "admin" in model.acls["owner"]
    assert model.schemas["public"].acls["insert"] == []
    assert all("own_rows" in table.acl_bindings for table in model.schemas["study"].tables.values())
    rows = catalog.getPathBuilder().schemas["public"].tables["groups"].entities().fetch()
    assert {row["name"] for row in rows} == set(policy["groups"])


def test_catalogs_are_made_copied_named_and_deleted(run: Run, https_host: str, number: str) -> None:
    def command(*arguments: str) -> str:
        return run("deriva-catalog-cli", "--host", https_host, *arguments)

    assert "True" in command("exists", number)
    copied = command("clone", number).rsplit(":", 1)[1].strip().split()[0]
    assert json.loads(command("get", copied, "/aggregate/public:ERMrest_Client/n:=cnt(*)"))[0]["n"] >= 1
    command("create-alias", "--id", "cli-alias", "-t", copied)
    assert json.loads(command("get-alias", "cli-alias"))["alias_target"] == copied
    command("delete-alias", "cli-alias")
    command("drop", copied)
    assert "False" in command("exists", copied)


def test_objects_come_and_go(run: Run, https_host: str, tmp_path: Path) -> None:
    def command(*arguments: str) -> str:
        return run("deriva-hatrac-cli", "--host", https_host, *arguments)

    (tmp_path / "there.txt").write_text("content\n")
    command("mkdir", "-p", "/hatrac/cli/deep")
    command("put", "there.txt", "/hatrac/cli/deep/object.txt")
    assert "/hatrac/cli/deep/object.txt" in command("ls", "/hatrac/cli/deep")
    command("setacl", "/hatrac/cli", "subtree-read", "*")
    assert "*" in command("getacl", "/hatrac/cli")
    command("rename", "/hatrac/cli/deep/object.txt", "/hatrac/cli/other.txt")
    command("get", "/hatrac/cli/other.txt", "back.txt")
    assert (tmp_path / "back.txt").read_text() == "content\n"
    command("del", "/hatrac/cli/other.txt")
    command("rmdir", "/hatrac/cli")


def test_annotations_are_set_and_dumped(
    run: Run, https_host: str, catalog: ErmrestCatalog, number: str, tmp_path: Path
) -> None:
    schema, table = "study", "Sample"
    document = {
        "known_attributes": {"managed": [DISPLAY], "ignore_all_unmanaged": True},
        "catalog_annotations": [{"uri": DISPLAY, "value": {"name_style": {"underline_space": True}}}],
        "schema_annotations": [{"schema": schema, "uri": DISPLAY, "value": {"name": "A study"}}],
        "table_annotations": [{"schema": schema, "table": table, "uri": DISPLAY, "value": {"name": "Its table"}}],
        "column_annotations": [],
        "foreign_key_annotations": [],
    }
    (tmp_path / "annotations.json").write_text(json.dumps(document))
    run("deriva-annotation-config", "--host", https_host, "--config-file", "annotations.json", number)
    model = catalog.getCatalogModel()
    assert model.annotations[DISPLAY] == {"name_style": {"underline_space": True}}
    assert model.schemas[schema].tables[table].annotations[DISPLAY] == {"name": "Its table"}
    assert "Its table" in run(
        "deriva-annotation-dump", "--host", https_host, "--config-file", "annotations.json", number
    )
    run("deriva-annotation-validate", "-a", DISPLAY, https_host, number)


def test_data_are_downloaded_exported_backed_up_and_restored(
    run: Run, https_host: str, catalog: ErmrestCatalog, number: str, tmp_path: Path
) -> None:
    public = catalog.getPathBuilder().schemas["public"]
    public.tables["ERMrest_Group"].insert([{"ID": "a group"}])
    query = {"query_path": "/entity/public:ERMrest_Client?limit=none", "output_path": "clients"}
    wanted = {
        "bag": {"bag_name": "some", "bag_archiver": "zip", "bag_algorithms": ["md5"]},
        "catalog": {
            "host": f"https://{https_host}",
            "catalog_id": number,
            "query_processors": [
                {"processor": kind, "processor_params": query} for kind in ("csv", "json", "json-stream")
            ],
        },
    }
    (tmp_path / "wanted.json").write_text(json.dumps(wanted))
    (tmp_path / "exported").mkdir()
    run("deriva-download-cli", "--catalog", number, https_host, "wanted.json", "downloaded")
    run("deriva-export-cli", "--output-dir", "exported", https_host, "wanted.json")
    for folder in ("downloaded", "exported"):
        names = ZipFile(tmp_path / folder / "some.zip").namelist()
        assert {"some/data/clients.csv", "some/data/clients.json"} <= set(names)
    run("deriva-backup-cli", "--catalog", number, https_host, "kept")
    said = run("deriva-restore-cli", https_host, str(tmp_path / "kept" / "kept"))
    restored = said.partition("target catalog with ID: ")[2].split()[0]
    other = catalog.deriva_server.connect_ermrest(restored)
    theirs, ours = other.getCatalogModel().schemas, catalog.getCatalogModel().schemas
    assert {name: set(theirs[name].tables) for name in theirs} == {name: set(ours[name].tables) for name in ours}
    for schema in ours:
        for table in ours[schema].tables:
            if schema != "public":
                path = f"/aggregate/{schema}:{table}/n:=cnt(*)"
                assert other.get(path).json() == catalog.get(path).json()
    other.delete_ermrest_catalog(really=True)


def test_a_sitemap_of_a_public_table(run: Run, https_host: str, catalog: ErmrestCatalog, number: str) -> None:
    for name in ("enumerate", "select"):
        catalog.put(f"/acl/{name}", json=["*"])
    (row,) = catalog.get("/entity/study:Sample_Tag@sort(RID)?limit=1").json()
    said = run("deriva-sitemap-cli", https_host, "--catalog", number, "-s", "study", "-t", "Sample_Tag")
    assert f"/chaise/record/?{number}/study:Sample_Tag/RID={row['RID']}" in said
