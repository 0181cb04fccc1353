"""Replay the recorded corpus against an embedded DERIVA started for it, and print passed and failed for each group.

    python tests/embedded/conformance_report.py [--all] [--verbose] [--write-docs]

Without --all the files of `core.txt`. Exit status 1 if a required exchange of `core.txt` fails. --write-docs (with
--all) also sends one request for each operation of OPERATIONS and writes docs/embedded-conformance.md from the answers.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from types import ModuleType
from typing import Any

import httpx

HERE = Path(__file__).resolve().parent
CORPUS = HERE / "conformance"
DOCUMENT = HERE.parents[1] / "docs/embedded-conformance.md"

AREAS = {
    "accept": "formats of data answers: JSON, JSON lines, CSV, and how one is chosen",
    "acl": "access control lists of catalogs, models, namespaces and objects; bindings",
    "aggregate": "aggregate functions over a whole path",
    "attribute": "projections, output names, wildcards",
    "attributegroup": "grouping with aggregates; updates by key, compare and swap",
    "catalog": "catalogs: make, describe, delete",
    "checksum": "MD5 and SHA-256 of objects",
    "conditional": "preconditions on objects",
    "entity-csv": "rows in and out as CSV",
    "entity-json": "rows in and out as JSON: insert, read, delete, defaults",
    "entity-put": "rows inserted or updated by PUT",
    "errors": "mistakes of a client: statuses and their texts",
    "filters": "comparisons, null, patterns, junctions, lists of values",
    "joins": "paths over several tables: along foreign keys, explicit, outer",
    "metadata": "metadata of objects",
    "names": "escaped, reserved and unusual characters in object names",
    "namespace": "namespaces: make, list, delete",
    "object": "objects: put, head, get, overwrite, delete",
    "precondition": "ETags and preconditions on rows and models",
    "range": "parts of an object",
    "rename": "objects under another name",
    "rid": "row identifiers: own ones, leases, looking them up",
    "schema": "the model: schemas, tables, columns, keys, foreign keys, annotations, comments",
    "session": "who the client is; what the server offers",
    "snapshot": "reading the past, and forgetting it",
    "sort": "order, limits and pages",
    "types": "types of columns, their limits and texts",
    "upload": "uploads in chunks",
    "versions": "versions of an object",
    "vocabulary": "vocabularies: identifiers made from the row identifier, synonyms",
}
"""The protocol area of each group of the corpus, in words."""


@dataclass
class Outcome:
    """What a replay found."""

    passed: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    passed_core: Counter[str] = field(default_factory=Counter)
    required: Counter[str] = field(default_factory=Counter)
    """Exchanges of `core.txt`, passed or failed."""
    failed_core: int = 0
    complaints: list[str] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        """Count another replay in."""
        self.passed += other.passed
        self.failed += other.failed
        self.passed_core += other.passed_core
        self.required += other.required
        self.failed_core += other.failed_core
        self.complaints += other.complaints


@dataclass(frozen=True)
class Operation:
    """One request that shows whether an operation is done (2xx) or refused (501).

    `$names` in path, body and headers stand for what earlier operations kept.
    """

    what: str
    method: str
    path: str
    json: Any = None
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    keep: tuple[str | int, ...] = ()
    """A name, and where in the JSON answer its value stands; with nothing after the name, the answer's text."""


@dataclass(frozen=True)
class Finding:
    """What an operation answered; `refusal` is the sentence of a 501, empty for what is done."""

    operation: Operation
    status: int
    refusal: str


class Unexpected(Exception):
    """An operation was neither done nor refused by 501."""


TABLE = {
    "schema_name": "S",
    "table_name": "T",
    "column_definitions": [
        *(
            {"name": name, "type": {"typename": f"ermrest_{name.lower()}"}, "nullok": name in ("RCB", "RMB")}
            for name in ("RID", "RCT", "RMT", "RCB", "RMB")
        ),
        {"name": "Name", "type": {"typename": "text"}},
        {"name": "Size", "type": {"typename": "int8"}},
        {"name": "Of", "type": {"typename": "ermrest_rid"}},
    ],
    "keys": [{"unique_columns": ["RID"]}, {"unique_columns": ["Name"]}],
    "foreign_keys": [
        {
            "foreign_key_columns": [{"schema_name": "S", "table_name": "T", "column_name": "Of"}],
            "referenced_columns": [{"schema_name": "S", "table_name": "T", "column_name": "RID"}],
        }
    ],
}

N = "/ermrest/catalog/$catalog"
BAG = "/deriva/export/bdbag"
OBJECT = "/hatrac/report/o"
NAMESPACE = {"content-type": "application/x-hatrac-namespace"}
TEXT = {"content-type": "text/plain"}


def specification(**more: Any) -> dict[str, Any]:
    """A download specification of one table, and more members."""
    query = {"processor": "csv", "processor_params": {"query_path": "/entity/S:T", "output_path": "T"}}
    return {"catalog": {"catalog_id": "$catalog", "query_processors": [query]}, "bag": {"bag_name": "t"}} | more


OPERATIONS = (
    Operation("say who the client is", "GET", "/authn/session"),
    Operation("say what is offered", "GET", "/ermrest/"),
    Operation("make a catalog", "POST", "/ermrest/catalog", json={}, keep=("catalog", "id")),
    Operation("make an alias of a catalog", "POST", "/ermrest/alias", json={"alias_target": "$catalog"}),
    Operation("make a schema", "POST", f"{N}/schema/S"),
    Operation("make a table with keys and a foreign key", "POST", f"{N}/schema/S/table", json=TABLE),
    Operation("read the model", "GET", f"{N}/schema"),
    Operation("change a column", "PUT", f"{N}/schema/S/table/T/column/Size", json={"comment": "bytes"}),
    Operation("annotate a table", "PUT", f"{N}/schema/S/table/T/annotation/tag%3Areport", json={"a": 1}),
    Operation("set an access control list", "PUT", f"{N}/schema/S/acl/select", json=["*"]),
    Operation("set an ACL binding", "PUT", f"{N}/schema/S/table/T/acl_binding/no_row", json=False),
    Operation(
        "insert rows", "POST", f"{N}/entity/S:T", json=[{"Name": "a", "Size": 1}, {"Name": "b"}], keep=("rid", 0, "RID")
    ),
    Operation("insert or update rows", "PUT", f"{N}/entity/S:T", json=[{"Name": "a", "Size": 2}]),
    Operation("update rows by a key", "PUT", f"{N}/attributegroup/S:T/Name;Size", json=[{"Name": "a", "Size": 3}]),
    Operation("lease a row identifier", "POST", f"{N}/entity/public:ERMrest_RID_Lease", json=[{"ID": "lease"}]),
    Operation("describe a catalog", "GET", N, keep=("snapshot", "snaptime")),
    Operation("read rows as CSV", "GET", f"{N}/entity/S:T?accept=csv"),
    Operation("read the past", "GET", f"{N}@$snapshot/entity/S:T"),
    Operation("read along a foreign key", "GET", f"{N}/entity/A:=S:T/B:=(Of)"),
    Operation("read an outer join", "GET", f"{N}/attribute/A:=S:T/B:=left(Of)=(S:T:RID)/A:Name,of:=B:Name"),
    Operation("filter by a list of values", "GET", f"{N}/entity/S:T/Name=any(a,b)"),
    Operation("filter by a pattern", "GET", f"{N}/entity/S:T/Name::ciregexp::A"),
    Operation("filter by text search", "GET", f"{N}/entity/S:T/Name::ts::a"),
    Operation("sort and page", "GET", f"{N}/entity/S:T@sort(RID)@after($rid)?limit=1"),
    Operation("put numbers into bins", "GET", f"{N}/attribute/S:T/b:=bin(Size;4;0;8)"),
    Operation("group and aggregate", "GET", f"{N}/attributegroup/S:T/Name;n:=cnt(*)"),
    Operation("aggregate", "GET", f"{N}/aggregate/S:T/n:=cnt(*),largest:=max(Size)"),
    Operation("tell the rights of a row", "GET", f"{N}/attribute/S:T/r:=trs(RID)"),
    Operation("tell the rights of a row's columns", "GET", f"{N}/attribute/S:T/r:=tcrs(RID)"),
    Operation("find a row by its identifier", "GET", f"{N}/entity_rid/$rid"),
    Operation("search the whole catalog", "GET", f"{N}/textfacet/a"),
    Operation("read metadata of a catalog in the old form", "GET", f"{N}/meta"),
    Operation("set a password", "GET", f"{N}/password"),
    Operation("tell how far the past reaches", "GET", f"{N}/history/,"),
    Operation("forget the past", "DELETE", f"{N}/history/,$snapshot"),
    Operation("amend single elements of the past", "DELETE", f"{N}/history/,$snapshot/attribute/$rid"),
    Operation("empty a column", "DELETE", f"{N}/attribute/S:T/Name=a/Size"),
    Operation("delete rows", "DELETE", f"{N}/entity/S:T/Name=b"),
    Operation("make a namespace", "PUT", "/hatrac/report", headers=NAMESPACE),
    Operation("list a namespace", "GET", "/hatrac/report"),
    Operation("list a namespace in parts", "GET", "/hatrac/report", headers={"range": "bytes=0-1"}),
    Operation("put an object", "PUT", OBJECT, content=b"hello world", headers=TEXT, keep=("version",)),
    Operation("get one version of an object", "GET", "$version"),
    Operation("list the versions of an object", "GET", f"{OBJECT};versions"),
    Operation("get a part of an object", "GET", OBJECT, headers={"range": "bytes=0-3"}),
    Operation("get several parts at once", "GET", OBJECT, headers={"range": "bytes=0-1,4-5"}),
    Operation("get a part in another unit than bytes", "GET", OBJECT, headers={"range": "lines=0-1"}),
    Operation("set metadata of an object", "PUT", f"{OBJECT};metadata/content-type", content=b"text/csv", headers=TEXT),
    Operation("set an ACL of an object", "PUT", f"{OBJECT};acl/read", json=["*"]),
    Operation(
        "begin an upload", "POST", f"{OBJECT};upload", json={"chunk-length": 4, "content-length": 3}, keep=("job",)
    ),
    Operation("send a chunk", "PUT", "$job/0", content=b"abc", headers={"content-type": "application/octet-stream"}),
    Operation("end an upload", "POST", "$job"),
    Operation(
        "give an object another name",
        "POST",
        "/hatrac/report/p",
        json={"command": "rename_from", "source_name": "/report/o"},
    ),
    Operation("delete a namespace with all below it", "DELETE", "/hatrac/report"),
    Operation("export a bag", "POST", BAG, json=specification()),
    Operation("export single files", "POST", "/deriva/export/file", json=specification()),
    Operation(
        "transform an export (`transform_processors`)",
        "POST",
        BAG,
        json=specification(transform_processors=[{"processor": "cat"}]),
    ),
    Operation(
        "process an export further: cloud, identifiers (`post_processors`)",
        "POST",
        BAG,
        json=specification(post_processors=[{"processor": "cloud_upload"}]),
    ),
    Operation(
        "write Research Object metadata into a bag (`bag_ro`)",
        "POST",
        BAG,
        json=specification(bag={"bag_name": "t", "bag_ro": True}),
    ),
    Operation(
        "export empty folders (processor `dir`)",
        "POST",
        BAG,
        json=specification(catalog={"catalog_id": "$catalog", "query_processors": [{"processor": "dir"}]}),
    ),
    Operation("delete a catalog", "DELETE", N),
)
"""In the order in which they are sent: later ones need what earlier ones made."""

SHOWN = {"catalog": "N", "snapshot": "SNAPSHOT", "rid": "RID", "version": f"{OBJECT}:V", "job": f"{OBJECT};upload/JOB"}
"""What stands in the document for the values that a run keeps."""


def load(path: Path) -> ModuleType:
    """A module from a file that lies outside any package."""
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    return module


def core_files() -> list[str]:
    return (CORPUS / "core.txt").read_text(encoding="utf-8").split()


def files(*, everything: bool) -> list[Path]:
    """The corpus files, without those of quirks."""
    if everything:
        return sorted(path for path in CORPUS.glob("*.jsonl") if "-quirk-" not in path.name)
    return [CORPUS / name for name in core_files()]


def replay(url: str, token: str, token2: str, paths: list[Path]) -> Outcome:
    """Send every exchange of these files; count by group."""
    replayer = load(CORPUS / "replay.py")
    session = replayer.Session(url, token, token2, "cookie", 60.0)
    core, outcome = set(core_files()), Outcome()
    for path in paths:
        _, lines = replayer.read_corpus(path)
        groups = {line["id"]: line["group"] for line in lines}
        said: list[str] = []
        good, bad = replayer.run_file(session, path, lambda _: True, False, False, said.append)
        wrong = {name for name in groups if any(f" {name} " in line for line in said)}
        if good + bad != len(groups) or len(wrong) != bad:  # the file could not be played at all
            wrong = set(groups)
        for name, group in groups.items():
            (outcome.failed if name in wrong else outcome.passed)[group] += 1
            if path.name in core:
                outcome.required[group] += 1
                outcome.passed_core[group] += name not in wrong
        outcome.failed_core += len(wrong) if path.name in core else 0
        outcome.complaints += said
    return outcome


def fill(value: Any, kept: Mapping[str, str]) -> Any:
    """A path or a body with the kept values in the place of their names."""
    if isinstance(value, str):
        return Template(value).substitute(kept)
    if isinstance(value, dict):
        return {name: fill(member, kept) for name, member in value.items()}
    return [fill(member, kept) for member in value] if isinstance(value, list) else value


def probe(client: httpx.Client, operations: Iterable[Operation] = OPERATIONS) -> list[Finding]:
    """Send every operation. Raises Unexpected for an answer that is neither 2xx nor 501."""
    kept: dict[str, str] = {}
    findings = []
    for operation in operations:
        answer = client.request(
            operation.method,
            fill(operation.path, kept),
            headers=operation.headers,
            **({"content": operation.content} if operation.json is None else {"json": fill(operation.json, kept)}),
        )
        if not answer.is_success and answer.status_code != httpx.codes.NOT_IMPLEMENTED:
            raise Unexpected(f"{operation.what}: {answer.request.url} answers {answer.status_code}: {answer.text}")
        if operation.keep and answer.is_success:
            found: Any = answer.json() if operation.keep[1:] else answer.text.strip()
            for step in operation.keep[1:]:
                found = found[step]
            kept[str(operation.keep[0])] = found
        refusal = "" if answer.is_success else answer.text.strip().rpartition(" Detail: ")[2]
        findings.append(Finding(operation, answer.status_code, refusal))
    return findings


def document(outcome: Outcome, findings: list[Finding]) -> str:
    """The text of docs/embedded-conformance.md: nothing in it depends on the time or the machine."""
    quirks = sum(len(load(CORPUS / "replay.py").read_corpus(path)[1]) for path in CORPUS.glob("*-quirk-*.jsonl"))
    lines = [
        "# What the embedded DERIVA speaks",
        "",
        "Generated: `python tests/embedded/conformance_report.py --all --write-docs` starts an embedded DERIVA, sends",
        "it everything below and writes this file; `tests/embedded/test_conformance.py` fails when it is out of date.",
        "",
        "## Recorded exchanges",
        "",
        "Requests recorded together with the answers of a real ERMrest and Hatrac, replayed here: passed / of all.",
        "*Core* is what the clients cannot do without (`core.txt`; an empty cell: nothing of the group is core).",
        f"The {quirks} exchanges that record mistakes of those servers are not replayed.",
        "",
        "| group | area | core | all |",
        "|---|---|---:|---:|",
    ]
    for group in sorted(outcome.passed.keys() | outcome.failed.keys()):
        core = f"{outcome.passed_core[group]} / {outcome.required[group]}" if outcome.required[group] else ""
        whole = outcome.passed[group] + outcome.failed[group]
        lines.append(f"| {group} | {AREAS[group]} | {core} | {outcome.passed[group]} / {whole} |")
    core = f"{outcome.passed_core.total()} / {outcome.required.total()}"
    whole = outcome.passed.total() + outcome.failed.total()
    refused = sum(1 for finding in findings if finding.refusal)
    lines += [
        f"| **total** | | {core} | {outcome.passed.total()} / {whole} |",
        "",
        "## Operations",
        "",
        f"One request each, sent in this order: {len(findings) - refused} done (2xx), {refused} refused (501).",
        "That answers are right is shown by the exchanges above, and for exports by `tests/embedded/export`.",
        "Hatrac itself refuses the three kinds of ranges too.",
        "",
        "| operation | request | answer |",
        "|---|---|---|",
    ]
    for finding in findings:
        operation = finding.operation
        shown = fill(operation.path, SHOWN)
        shown += f" ({operation.headers['range']})" if "range" in operation.headers else ""
        said = f"refused, {finding.status}: {finding.refusal}" if finding.refusal else f"done, {finding.status}"
        lines.append(f"| {operation.what} | `{operation.method} {shown}` | {said} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--all", action="store_true", help="the whole corpus")
    parser.add_argument("--verbose", action="store_true", help="say what differs")
    parser.add_argument("--write-docs", action="store_true", help=f"write docs/{DOCUMENT.name}; needs --all")
    asked = parser.parse_args()
    if asked.write_docs and not asked.all:
        parser.error("--write-docs describes the whole corpus: add --all")
    servers = load(HERE / "conftest.py")
    with tempfile.TemporaryDirectory() as folder:
        server = servers.start_server(Path(folder) / "data")
        begun = time.monotonic()
        try:
            outcome = replay(server.url, server.token, server.token2, files(everything=asked.all))
            seconds = time.monotonic() - begun
            if asked.write_docs:
                with server.client() as client:
                    DOCUMENT.write_text(document(outcome, probe(client)), encoding="utf-8")
        finally:
            servers.end_server(server)
    if asked.verbose or outcome.failed_core:
        print("\n".join(outcome.complaints))
    print(f"{'group':<16}{'passed':>8}{'failed':>8}")
    for group in sorted(outcome.passed.keys() | outcome.failed.keys()):
        print(f"{group:<16}{outcome.passed[group]:>8}{outcome.failed[group]:>8}")
    print(f"{'total':<16}{outcome.passed.total():>8}{outcome.failed.total():>8}   in {seconds:.1f} s")
    return 1 if outcome.failed_core else 0


if __name__ == "__main__":
    sys.exit(main())
