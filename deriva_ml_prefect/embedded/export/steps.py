"""Carries out the query processors of a specification, one after another."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import unquote

import orjson

from deriva_ml_prefect.embedded.errors import Conflict

from .payload import Payload, RemoteFile, checked_path
from .reader import ObjectFacts, Reader
from .specification import Specification, Step
from .template import extended, fill

FORMS: Final = {
    "csv": ("text/csv", ".csv"),
    "json": ("application/json", ".json"),
    "json-stream": ("application/x-json-stream", ".json"),
}
STREAM: Final = "application/x-json-stream"


def carry_out(specification: Specification, reader: Reader, payload: Payload) -> dict[str, str]:
    """Fill `payload` with what the steps read; the environment as it is after the last of them.

    Raises the errors of the queries, BadRequest for templates that cannot be filled, Conflict for rows that cannot
    become files.
    """
    environment = {**specification.environment, "hostname": reader.base_url.partition("//")[2]}
    for step in specification.steps:
        query = fill(step.query_path, environment)
        if step.processor == "env":
            environment = extended(environment, _chosen(reader.first_row(query), step, query))
        elif step.processor == "fetch":
            for row in _rows(reader, query):
                _refer(reader, payload, step, row, extended(environment, row))
        elif step.processor == "download":
            for row in _rows(reader, query):
                _download(reader, payload, step, row, extended(environment, row))
        else:
            _write(reader, payload, step, query, environment)
    return environment


def _chosen(row: Mapping[str, Any], step: Step, query: str) -> Mapping[str, Any]:
    if step.query_keys is None or not row:
        return row
    missing = [key for key in step.query_keys if key not in row]
    if missing:
        raise Conflict(f"The answer to {query[:200]} has no {', '.join(missing)}, which query_keys asks for.")
    return {key: row[key] for key in step.query_keys}


def _write(reader: Reader, payload: Payload, step: Step, query: str, environment: Mapping[str, str]) -> None:
    form, suffix = FORMS[step.processor]
    path = fill("/".join(part for part in (step.output_path, step.output_filename) if part), environment)
    if PurePosixPath(path).suffix != suffix:
        path += suffix
    with reader.query(query, form) as pieces:
        target = payload.write(checked_path(path), pieces)
    if _is_empty(target, step.processor):
        payload.drop(path)


def _is_empty(file: Path, processor: str) -> bool:
    """Whether an answer has no rows: such files are left out, as in deriva-py's downloader."""
    if processor == "csv":
        csv.field_size_limit(2**31 - 1)
        with file.open(encoding="utf-8", newline="") as lines:
            rows = csv.reader(lines)
            return next(rows, None) is None or next(rows, None) is None
    with file.open("rb") as content:
        return content.read(16).strip() in (b"", b"[]", b"{}")


def _rows(reader: Reader, query: str) -> Iterator[dict[str, Any]]:
    """The rows of a query, one at a time."""
    with reader.query(query, STREAM) as pieces:
        rest = b""
        for piece in pieces:
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                if line.strip():
                    yield orjson.loads(line)
        if rest.strip():
            yield orjson.loads(rest)


def _refer(reader: Reader, payload: Payload, step: Step, row: Mapping[str, Any], environment: dict[str, str]) -> None:
    url = row.get("url")
    if not url:
        return
    digests = {name: str(row[name]).lower() for name in ("md5", "sha256") if row.get(name)}
    length = row.get("length")
    facts: ObjectFacts | None = None
    if length is None or not digests:
        facts = reader.object_facts(str(url))
        length = facts.length
        digests = {name: value for name, value in (("md5", facts.md5), ("sha256", facts.sha256)) if value} | digests
    if not digests:
        raise Conflict(f"Neither the row nor the server has a checksum of {str(url)[:200]}, so no bag can list it.")
    try:
        size = int(length)
    except (TypeError, ValueError):
        raise Conflict(
            f"The length of {str(url)[:200]} is {str(length)[:50]!r}, which is no number of bytes."
        ) from None
    path = _asset_path(step, row, facts, str(url), environment)
    payload.refer(path, RemoteFile(reader.absolute(str(url)), size, digests))


def _download(
    reader: Reader, payload: Payload, step: Step, row: Mapping[str, Any], environment: dict[str, str]
) -> None:
    url = row.get("url")
    if not url:
        return
    named = step.output_filename or row.get("filename")
    facts = None if named else reader.object_facts(str(url))
    with reader.object_content(str(url)) as pieces:
        payload.write(_asset_path(step, row, facts, str(url), environment), pieces)


def _asset_path(
    step: Step, row: Mapping[str, Any], facts: ObjectFacts | None, url: str, environment: Mapping[str, str]
) -> str:
    """`output_path`, and below it the file's name: given, of the row, of the object, or the end of its URL.

    A name that a row gives is taken as it is, braces and all.
    """
    if step.output_filename:
        name = fill(step.output_filename, environment)
    else:
        name = str(row.get("filename") or (facts and facts.filename) or unquote(url.rsplit("/", 1)[-1].split(":")[0]))
    folder = fill(step.output_path, environment).strip("/")
    return checked_path(f"{folder}/{name}" if folder else name)
