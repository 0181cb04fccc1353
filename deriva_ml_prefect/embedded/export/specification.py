"""A download specification: what to read, in which order, and how to pack it. Read and checked here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

from deriva_ml_prefect.embedded.errors import BadRequest, NotImplementedHere

MOST_STEPS: Final = 10_000
PROCESSORS: Final = ("csv", "json", "json-stream", "env", "fetch", "download")
ALGORITHMS: Final = ("md5", "sha1", "sha256", "sha512")
ARCHIVERS: Final = {"zip": "zip", "tar": "tar", "tgz": "tgz", "bz2": "bz2", "xz": "xz"}
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True)
class Step:
    """One query processor. Texts are templates, filled when its turn comes."""

    processor: str
    query_path: str
    output_path: str
    output_filename: str | None
    query_keys: tuple[str, ...] | None


@dataclass(frozen=True)
class BagOptions:
    name: str
    """A template; "" for a name made of the time."""
    algorithms: tuple[str, ...]
    archiver: str
    metadata: dict[str, str | list[str]]
    idempotent: bool
    """The same content gives the same bytes: no date is written anywhere."""


@dataclass(frozen=True)
class Specification:
    catalog: str
    """Id or alias as it stands in a URL, with `@snapshot` if one is asked for."""
    environment: dict[str, str]
    steps: tuple[Step, ...]
    bag: BagOptions


def read_specification(document: Any, host: str) -> Specification:
    """The client's document. `host` is the one that the request was sent to.

    Raises BadRequest for what is no specification or names another server, NotImplementedHere for what is not done.
    """
    members = _object(document, "A download specification")
    for name in ("transform_processors", "post_processors"):
        if members.get(name):
            raise NotImplementedHere(f"{name} are not carried out by the embedded DERIVA; leave them out.")
    catalog = _object(members.get("catalog"), "The member `catalog`")
    _require_own_host(catalog.get("host"), host)
    steps = catalog.get("query_processors")
    if not isinstance(steps, list) or not 0 < len(steps) <= MOST_STEPS:
        raise BadRequest(f"`catalog.query_processors` must be a list of 1 to {MOST_STEPS} processors.")
    environment = _object(members.get("env") or {}, "The member `env`")
    return Specification(
        _catalog(catalog.get("catalog_id")),
        {name: str(value) for name, value in environment.items() if not isinstance(value, dict | list)},
        tuple(_step(number, step) for number, step in enumerate(steps, 1)),
        _bag(_object(members.get("bag") or {}, "The member `bag`")),
    )


def _catalog(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value):
        raise BadRequest("`catalog.catalog_id` must name a catalog of this server, as ID or ID@SNAPSHOT.")
    return quote(str(value), safe="@-._~")


def _require_own_host(value: Any, host: str) -> None:
    """Only this server is read: under any loopback name, at the port that the request came to."""
    if value is None:
        return
    try:
        named = urlsplit(value if "//" in value else f"//{value}") if isinstance(value, str) else None
        ours = urlsplit(f"//{host}")
        same = (
            named is not None
            and named.scheme in ("", "http", "https")
            and named.username is None
            and (named.hostname or "") in LOOPBACK
            and named.port == ours.port
        )
    except ValueError:  # a port that is no number
        same = False
    if not same:
        raise BadRequest(f"`catalog.host` is {str(value)[:100]!r}; this server exports its own catalogs only: {host}.")


def _step(number: int, value: Any) -> Step:
    where = f"Query processor {number}"
    members = _object(value, where)
    processor = members.get("processor")
    if members.get("processor_type"):
        raise BadRequest(f"{where} names a class by processor_type; only {', '.join(PROCESSORS)} are offered.")
    if processor == "dir":
        raise NotImplementedHere(f"{where}: the processor dir is not implemented; a bag has no empty folders.")
    if processor not in PROCESSORS:
        raise BadRequest(f"{where} is {str(processor)[:50]!r}; only {', '.join(PROCESSORS)} are offered.")
    params = _object(members.get("processor_params") or {}, f"processor_params of query processor {number}")
    texts = {name: params.get(name) for name in ("query_path", "output_path", "output_filename")}
    for name, text in texts.items():
        if text is not None and not isinstance(text, str):
            raise BadRequest(f"{where}: {name} must be a text.")
    query = texts["query_path"] or ""
    if not query.startswith("/"):
        raise BadRequest(f"{where}: query_path must begin with a slash, as in /entity/Dataset.")
    keys = params.get("query_keys")
    if keys is not None and not (isinstance(keys, list) and all(isinstance(key, str) for key in keys)):
        raise BadRequest(f"{where}: query_keys must be a list of texts.")
    return Step(
        processor,
        query,
        texts["output_path"] or "",
        texts["output_filename"] or None,
        None if keys is None else tuple(keys),
    )


def _bag(members: Mapping[str, Any]) -> BagOptions:
    name = members.get("bag_name") or ""
    algorithms = members.get("bag_algorithms") or ["sha256"]
    archiver = str(members.get("bag_archiver") or "zip").lower()
    metadata = _object(members.get("bag_metadata") or {}, "`bag.bag_metadata`")
    if not isinstance(name, str):
        raise BadRequest("`bag.bag_name` must be a text.")
    if not isinstance(algorithms, list) or not all(algorithm in ALGORITHMS for algorithm in algorithms):
        raise BadRequest(f"`bag.bag_algorithms` must be some of {', '.join(ALGORITHMS)}.")
    if archiver not in ARCHIVERS:
        raise BadRequest(f"`bag.bag_archiver` must be one of {', '.join(ARCHIVERS)}.")
    if _truth(members.get("bag_ro")):
        raise NotImplementedHere("Research Object metadata (bag_ro) is not written by the embedded DERIVA.")
    return BagOptions(
        name, tuple(dict.fromkeys(algorithms)), archiver, _metadata(metadata), _truth(members.get("bag_idempotent"))
    )


def _metadata(members: Mapping[str, Any]) -> dict[str, str | list[str]]:
    found: dict[str, str | list[str]] = {}
    for name, value in members.items():
        if isinstance(value, dict) or ":" in name or not name.strip():
            raise BadRequest(f"`bag.bag_metadata` has a member {name[:50]!r} that a line of bag-info.txt cannot hold.")
        found[name] = [str(member) for member in value] if isinstance(value, list) else str(value)
    return found


def _truth(value: Any) -> bool:
    return value.strip().lower() in ("true", "t", "yes", "y", "1") if isinstance(value, str) else bool(value)


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadRequest(f"{what} must be a JSON object.")
    return value
