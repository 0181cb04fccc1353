"""What many runs measured: the rows of their metrics files, read side by side."""

from __future__ import annotations

import csv
import io
import json
import math
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deriva_ml_prefect.catalog import assets, executions
from deriva_ml_prefect.catalog.connection import Catalog, catalog_for
from deriva_ml_prefect.catalog.objects import download_object
from deriva_ml_prefect.exceptions import DerivaMLDataError, DerivaMLRidsNotFound
from deriva_ml_prefect.transfer.parallel import run_parallel
from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.names import ExecMetadataType, MLAsset
from deriva_ml_prefect.values.records import AssetRecord
from deriva_ml_prefect.values.rid import RID

EXECUTION = "execution_rid"
FILE = "metrics_file"


@dataclass(frozen=True)
class Problem:
    """A metrics file that could not be read."""

    execution_rid: RID
    filename: str
    reason: str

    def __str__(self) -> str:
        return f"{self.execution_rid}, {self.filename}: {self.reason}"


@dataclass(frozen=True)
class Metrics:
    """Rows of metrics files, run by run in the order asked for, each file in its own order."""

    rows: tuple[Mapping[str, Any], ...]
    """`execution_rid` and the keys of the record; `metrics_file` too, where a run has several files."""
    problems: tuple[Problem, ...]

    @property
    def columns(self) -> list[str]:
        """All keys in the order in which they first appear; there is always `execution_rid`."""
        return list(dict.fromkeys([EXECUTION, *(key for row in self.rows for key in row)]))


def read_metrics(address: Address, execution_rids: Sequence[RID], *, filename: str | None = None) -> Metrics:
    """The metrics of these executions, of all their files or those of one name. A run without any gives no rows.

    Files are JSON lines, JSON or CSV, told apart by their names' endings. DerivaMLRidsNotFound names RIDs that are no
    executions; a file that cannot be read is a problem and does not hide the others.
    """
    catalog = catalog_for(address)
    wanted = list(dict.fromkeys(execution_rids))
    known = {record.rid for record in executions.read_executions(catalog, wanted)}
    if unknown := [rid for rid in wanted if rid not in known]:
        raise DerivaMLRidsNotFound(f"Catalog {address} has no execution {', '.join(unknown)}.")
    table = assets.asset_table(catalog, (address.ml_schema, MLAsset.execution_metadata))
    found = assets.list_outputs_of_type(catalog, table, ExecMetadataType.metrics_file, wanted)
    made = [(rid, asset) for rid, asset in found if filename in (None, asset.filename)]
    contents, problems = _read_all(catalog, list({asset.rid: asset for _, asset in made}.values()))
    rows: list[Mapping[str, Any]] = []
    failed: list[Problem] = []
    for rid in wanted:
        own = [asset for run, asset in made if run == rid]
        for asset in own:
            if asset.rid in problems:
                failed.append(Problem(rid, asset.filename or asset.rid, problems[asset.rid]))
                continue
            named = {FILE: asset.filename} if len(own) > 1 else {}
            rows += [{EXECUTION: rid, **named, **{k: v for k, v in row.items() if k not in (EXECUTION, *named)}}
                     for row in contents[asset.rid]]  # fmt: skip
    return Metrics(tuple(rows), tuple(failed))


def require_complete(metrics: Metrics) -> Metrics:
    """The metrics themselves; DerivaMLDataError names every run whose file could not be read."""
    if metrics.problems:
        raise DerivaMLDataError(
            f"{len(metrics.problems)} metrics files could not be read: {'; '.join(map(str, metrics.problems))}. "
            "Leave these runs out, or pass errors='skip'."
        )
    return metrics


def parse_metrics(filename: str, text: str) -> list[dict[str, Any]]:
    """Records of one metrics file; DerivaMLDataError says in which line it is broken."""
    ending = Path(filename).suffix.lower()
    if ending == ".csv":
        return _parse_csv(text)
    if ending == ".json":
        return _parse_json(text)
    return _parse_lines(text)


def _read_all(catalog: Catalog, files: list[AssetRecord]) -> tuple[dict[RID, list[dict[str, Any]]], dict[RID, str]]:
    """Records by asset, and why others could not be read."""
    with tempfile.TemporaryDirectory(prefix="deriva-ml-metrics-") as folder:

        def read(asset: AssetRecord) -> list[dict[str, Any]]:
            path = Path(folder) / asset.rid
            download_object(catalog, asset.url, path, md5_hex=asset.md5, length=asset.length, durable=False)
            # line ends within quotes are part of a value; spreadsheets begin their files with a mark
            return parse_metrics(asset.filename or "", path.read_bytes().decode("utf-8-sig"))

        outcomes = run_parallel(files, read, overloads=lambda: catalog.client.overloads)
    contents = {outcome.job.rid: outcome.result for outcome in outcomes if outcome.result is not None}
    problems = {outcome.job.rid: str(outcome.error) for outcome in outcomes if outcome.error is not None}
    return contents, problems


def _parse_lines(text: str) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as e:
            raise DerivaMLDataError(f"line {number} is no JSON ({e}).") from None
        if not isinstance(record, dict):
            raise DerivaMLDataError(f"line {number} is {type(record).__name__} and no object.")
        records.append(record)
    return records


def _parse_json(text: str) -> list[dict[str, Any]]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as e:
        raise DerivaMLDataError(f"it is no JSON ({e}).") from None
    records = content if isinstance(content, list) else [content]
    if not all(isinstance(record, dict) for record in records):
        raise DerivaMLDataError("it is neither an object nor a list of objects.")
    return records


def _parse_csv(text: str) -> list[dict[str, Any]]:
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(lines, [])
        # spreadsheets end their lines with empty columns that have no name
        if twins := sorted(name for name, times in Counter(header).items() if times > 1 and name):
            raise DerivaMLDataError(f"it has more than one column {', '.join(map(repr, twins))}.")
        records = []
        for values in lines:
            if len(values) != len(header):
                raise DerivaMLDataError(f"line {lines.line_num} has {len(values)} values for {len(header)} columns.")
            filled = [(name, value) for name, value in zip(header, values, strict=True) if name or value]
            record = {name: _number(value) for name, value in filled}
            if len(record) < len(filled):
                raise DerivaMLDataError(f"line {lines.line_num} has values in more than one column without a name.")
            records.append(record)
    except csv.Error as e:
        raise DerivaMLDataError(f"line {lines.line_num} is no CSV ({e}).") from None
    return records


def _number(text: str) -> Any:
    """A cell as a number where it is one; an empty one is None."""
    if not text:
        return None
    if "_" in text or not text.isascii():
        # 1_000 is a number to Python alone
        return text
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        return text if number in (math.inf, -math.inf) and "inf" not in text.lower() else number
    return text
