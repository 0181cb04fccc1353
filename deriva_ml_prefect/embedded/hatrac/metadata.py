"""Metadata of a version: its type, its file name for downloads, its checksums; as headers, and as `;metadata[/KEY]`."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import replace
from sqlite3 import Connection
from urllib.parse import unquote

from deriva_ml_prefect.embedded.errors import BadRequest, Conflict, MethodNotAllowed, NotFound
from deriva_ml_prefect.embedded.http import Request, Response

from .answers import JSON, TEXT, done, json_bytes, represent, require_conditions, tag_of
from .context import Store
from .rights import require
from .store import Name, Version, follow, get_object, get_version, lineage, set_metadata
from .url import Target

DIGEST_BYTES = {"content-md5": 16, "content-sha256": 32}
KEYS = ("content-type", "content-disposition", *DIGEST_BYTES)
DISPOSITION = re.compile(r"filename\*=UTF-8''[-_.~A-Za-z0-9%]+")
SLASH = re.compile(r"[/\\]")
VISIBLE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
MOST_TEXT = 64 * 1024


def check_value(key: str, text: str) -> str:
    """The value in the form it is kept in: checksums in base64. BadRequest: no such key, or not a value for it."""
    text = text.strip()
    if key in DIGEST_BYTES:
        return base64.b64encode(_digest(key, text)).decode()
    if key == "content-disposition" and (not DISPOSITION.fullmatch(text) or SLASH.search(unquote(text))):
        raise BadRequest(
            f"content-disposition must be filename*=UTF-8''NAME, percent-encoded, without slashes, not {text!r:.200}."
        )
    if key not in KEYS:
        raise BadRequest(f"{key!r:.100} is no metadata of an object; there are {', '.join(KEYS)}.")
    if not VISIBLE.fullmatch(text):
        raise BadRequest(f"{text!r:.100} is no value for {key}.")
    return text


def _digest(key: str, text: str) -> bytes:
    size = DIGEST_BYTES[key]
    if len(text) == 2 * size and re.fullmatch(r"[0-9A-Fa-f]+", text):
        return bytes.fromhex(text)
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != size:
        raise BadRequest(f"{key} must be {size} bytes in base64 or hexadecimal, not {text!r:.100}.")
    return digest


def from_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The metadata that a request states for the content it carries."""
    return {key: check_value(key, headers[key]) for key in KEYS if key in headers and (headers[key] or key != KEYS[0])}


def verify(stated: Mapping[str, str], md5: bytes | None, sha256: bytes | None) -> str | None:
    """What is wrong, if a stated checksum is not that of the content."""
    for key, actual in (("content-md5", md5), ("content-sha256", sha256)):
        if key in stated and actual is not None and base64.b64decode(stated[key]) != actual:
            return f"The content's {key} is {base64.b64encode(actual).decode()}, not {stated[key]} as stated."
    return None


def metadata_resource(store: Store, request: Request, target: Target) -> Response:
    """`;metadata` and `;metadata/KEY` of an object's newest version or of a given one."""
    key = target.arguments[0].lower() if target.arguments else None
    if request.method not in ("GET", "HEAD") and (key is None or request.method not in ("PUT", "DELETE")):
        raise MethodNotAllowed(f"{request.method} is not a method of ;metadata{'/' + key if key else ''}.")
    if key is not None and key not in KEYS:
        raise BadRequest(f"{key!r:.100} is no metadata of an object; there are {', '.join(KEYS)}.")
    if request.method in ("GET", "HEAD"):
        with store.database.read() as connection:
            version, above = _find(connection, target)
            require(request.client, version, above, "owner", "read")
            return _read(request, version, key)
    assert key is not None
    value = _stated(request, key) if request.method == "PUT" else None
    known = _measured(store, request, target) if key == "content-sha256" and value is not None else None
    with store.database.write() as connection:
        version, above = _find(connection, target)
        require(request.client, version, above, "owner")
        require_conditions(request, lambda: _tag(version, key))
        if known is not None and known.id == version.id:
            version = known
        set_metadata(connection, version, _changed(version, key, value))
    return done()


def _measured(store: Store, request: Request, target: Target) -> Version:
    """The version with its SHA256, which was not asked for when it was written."""
    with store.database.read() as connection:
        version, above = _find(connection, target)
        require(request.client, version, above, "owner")
    if version.sha256 is not None or version.content is None:
        return version
    return replace(version, sha256=store.contents.measure(version.content).sha256)


def _find(connection: Connection, target: Target) -> tuple[Version, list[Name]]:
    name = get_object(connection, target.name)
    version = follow(connection, get_version(connection, name, target.version))
    holder = get_object(connection, version.path)
    return version, [*lineage(connection, version.path), holder]


def _read(request: Request, version: Version, key: str | None) -> Response:
    if key is None:
        return represent(request, json_bytes(dict(version.metadata)), JSON)
    if key not in version.metadata:
        raise NotFound(f"{version.path}:{version.version} has no {key}.")
    return represent(request, version.metadata[key].encode() + b"\n", TEXT)


def _tag(version: Version, key: str) -> str | None:
    return tag_of(version.metadata[key].encode() + b"\n", TEXT) if key in version.metadata else None


def _stated(request: Request, key: str) -> str:
    kind = request.headers.get("content-type", TEXT).split(";")[0].strip().lower()
    if kind != TEXT:
        raise BadRequest(f"Metadata is sent as {TEXT}, not as {kind:.100}.")
    try:
        text = request.body.read(MOST_TEXT).decode("ascii")
    except UnicodeDecodeError:
        raise BadRequest(f"A value for {key} must be ASCII.") from None
    return check_value(key, text)


def _changed(version: Version, key: str, value: str | None) -> dict[str, str]:
    metadata = dict(version.metadata)
    if value is None:
        metadata.pop(key, None)
        return metadata
    if key in DIGEST_BYTES:
        if metadata.get(key, value) != value:
            raise Conflict(f"{key} is {metadata[key]} already, and cannot be changed.")
        wrong = verify({key: value}, version.md5, version.sha256)
        if wrong:
            raise Conflict(wrong)
    metadata[key] = value
    return metadata
