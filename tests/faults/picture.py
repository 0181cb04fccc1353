"""What a catalog holds of one schedule, without times and RIDs, so that it can be compared with a faultless run."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.catalog.rows import Row, get_rows
from deriva_ml_prefect.catalog.urls import quote, table_name
from tests.faults.program import ITEMS, content_of
from tests.faults.world import Lane

ASSETS = ("Image", "Mask", "Execution_Metadata")
TABLES = {
    "Workflow": "deriva-ml",
    "Execution": "deriva-ml",
    "Workflow_Workflow_Type": "deriva-ml",
    "Execution_Metadata": "deriva-ml",
    "Execution_Metadata_Execution": "deriva-ml",
    "Execution_Metadata_Asset_Type": "deriva-ml",
    "Execution_Execution": "deriva-ml",
    "Dataset_Execution": "deriva-ml",
    "Image": "lab",
    "Image_Execution": "lab",
    "Image_Asset_Type": "lab",
    "Mask": "lab",
    "Mask_Execution": "lab",
    "Mask_Asset_Type": "lab",
    "Execution_Subject_Score": "lab",
    "Execution_Subject_Outline": "lab",
}
FEATURES = {"Score": "Execution_Subject_Score", "Outline": "Execution_Subject_Outline"}
_FLEETING = {
    "RID", "RCT", "RMT", "RCB", "RMB", "Status_Detail", "Duration", "Execution_Duration", "Upload_Duration",
    "Download_Duration",
}  # fmt: skip
_OWN_CONTENT = re.compile(r"deriva-ml-run-|environment_snapshot|configuration")
"""Files whose bytes differ from run to run."""


@dataclass
class Picture:
    """Rows by table, in an order of their own, and the rows as they are."""

    rows: dict[str, list[str]]
    raw: dict[str, list[Row]] = field(repr=False)
    objects: dict[str, tuple[int, bytes]] = field(default_factory=dict, repr=False)
    """Objects that were looked at, by URL: the status of the answer and the bytes."""

    @property
    def executions(self) -> list[Row]:
        return self.raw["Execution"]


def take_picture(lane: Lane, *, tables: Iterable[str] = TABLES) -> Picture:
    """All rows that came into the lane's catalog since its schedule began, or those of some tables."""
    chosen = set(tables)
    raw = {
        name: _since(lane.catalog, schema, name, lane.began) if name in chosen else []
        for name, schema in TABLES.items()
    }
    names = {row["RID"]: "the execution" for row in raw["Execution"]}
    names |= {row["RID"]: "the workflow" for row in raw["Workflow"]}
    names |= {row["RID"]: f"{table}/{row['Filename']}" for table in ASSETS for row in raw[table]}
    names |= {rid: f"subject {number}" for number, rid in enumerate(lane.subjects)}
    hide = [(f"deriva-ml-run-{row['RID']}.", "deriva-ml-run-EXECUTION.") for row in raw["Execution"]]
    hide += [(lane.tag, "TAG")]
    drawn = {table: sorted(_plain(row, names, hide) for row in rows) for table, rows in raw.items() if rows}
    return Picture(drawn, raw)


def _since(catalog: Catalog, schema: str, name: str, began: str) -> list[Row]:
    where = f"/RCT::geq::{quote(began)}"
    return get_rows(catalog, f"entity/{table_name(schema, name)}{where}")


def _plain(row: Row, names: dict[str, str], hide: Iterable[tuple[str, str]]) -> str:
    kept = {key: names.get(value, value) for key, value in row.items() if key not in _FLEETING}
    if "URL" in kept and "MD5" in kept:
        own = _OWN_CONTENT.search(str(kept["Filename"]))
        kept |= {"URL": "", "MD5": "", "Length": "" if own else kept["Length"]}
    if "Checksum" in kept:
        kept["Checksum"] = ""
    text = re.sub(r"environment_snapshot_\d+_\d+", "environment_snapshot", json.dumps(kept, sort_keys=True))
    for hidden, shown in hide:
        text = text.replace(hidden, shown)
    return text


def differences(found: Picture, wanted: Picture, *, absent: Iterable[str] = ()) -> list[str]:
    """How a picture differs from the wanted one, of which the items `absent` may be missing altogether."""
    optional = tuple(absent)
    told = []
    for table in TABLES:
        have, want = list(found.rows.get(table, [])), list(wanted.rows.get(table, []))
        for row in list(want):
            if row in have:
                have.remove(row)
                want.remove(row)
        missing = [row for row in want if not _belongs(row, table, optional)]
        told += [f"{table} lacks {row[:200]}" for row in missing[:3]]
        told += [f"{table} has too much: {row[:200]}" for row in have[:3]]
    return told


def _belongs(row: str, table: str, items: Iterable[str]) -> bool:
    return any(_is_of(row, table, item) for item in items)


def _is_of(row: str, table: str, item: str) -> bool:
    if item in FEATURES:
        return table == FEATURES[item]
    asset, _, name = item.partition("/")
    return (table.startswith(f"{asset}_") and f'"{item}"' in row) or (table == asset and f'"Filename": "{name}"' in row)


def items_in(picture: Picture) -> set[str]:
    """Which of the items that the user's code registers are there."""
    files = {f"{table}/{row['Filename']}" for table in ASSETS for row in picture.raw[table]}
    return {item for item in ITEMS if item in files or picture.raw.get(FEATURES.get(item, ""))}


def rows_without_objects(lane: Lane, picture: Picture) -> list[str]:
    """Promise P5: rows of assets whose object is not there under the row's MD5 and length."""
    return [
        problem
        for table in ASSETS
        for row in picture.raw[table]
        for problem in _check_object(lane, picture, row, table)
    ]


def _object(lane: Lane, picture: Picture, url: str) -> tuple[int, bytes]:
    if url not in picture.objects:
        answer = lane.catalog.client.request("GET", url, expect=(200, 404, 409, 410))
        picture.objects[url] = (answer.status, answer.content)
    return picture.objects[url]


def _check_object(lane: Lane, picture: Picture, row: Row, table: str) -> list[str]:
    status, content = _object(lane, picture, row["URL"])
    what = f"{table}/{row['Filename']}"
    if status != 200:
        return [f"P5: {what} has a row, and no object at {row['URL']} ({status})"]
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if md5 != row["MD5"] or len(content) != row["Length"]:
        return [f"P3: {what} has other bytes than its row says: {md5} {len(content)}"]
    return []


def secrets_in(lane: Lane, picture: Picture, secrets: Iterable[str]) -> list[str]:
    """Promise P7: secrets in the home, in rows, in metadata files, or in what the processes said."""
    places = {str(path): path.read_bytes() for path in lane.home.rglob("*") if path.is_file()}
    places |= {"what was said": lane.said.read_bytes(), "rows": json.dumps(picture.raw).encode()}
    for row in picture.raw["Execution_Metadata"]:
        places[f"Execution_Metadata/{row['Filename']}"] = _object(lane, picture, row["URL"])[1]
    wanted = [secret.encode() for secret in secrets]
    return [f"P7: {place} holds a secret" for place, held in places.items() if any(secret in held for secret in wanted)]


def wrong_bytes(lane: Lane, picture: Picture) -> list[str]:
    """Files whose object does not hold what the user's code wrote, or holds it twice."""
    told = []
    for table in ASSETS:
        for row in picture.raw[table]:
            item = f"{table}/{row['Filename']}"
            if item not in ITEMS:
                continue
            content = content_of(item, lane.tag)
            if row["MD5"] != hashlib.md5(content, usedforsecurity=False).hexdigest():
                told.append(f"P1: {item} is in the catalog with other bytes than were written")
            answer = lane.catalog.client.request("GET", f"{row['URL'].partition(':')[0]};versions", expect=(200, 404))
            versions = answer.json() if answer.status == 200 else []
            if len(versions) != 1:
                told.append(f"P2: {item} has {len(versions)} versions")
    return told


def run_record(lane: Lane, picture: Picture) -> dict[str, Any] | None:
    """The record of the run, from the catalog; None if there is none."""
    for row in picture.raw["Execution_Metadata"]:
        if row["Filename"].startswith("deriva-ml-run-"):
            record: dict[str, Any] = json.loads(_object(lane, picture, row["URL"])[1])
            return record
    return None
