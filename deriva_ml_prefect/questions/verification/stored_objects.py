"""Bytes in the object store against the MD5 and the length that they should have."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.catalog.objects import object_facts, read_object
from deriva_ml_prefect.exceptions import (
    DerivaMLCatalogConflict,
    DerivaMLDataError,
    DerivaMLException,
    DerivaMLNotFoundError,
    DerivaMLValidationError,
)
from deriva_ml_prefect.progress.meter import showing
from deriva_ml_prefect.questions.verification.report import Findings
from deriva_ml_prefect.transfer.parallel import Outcome, run_parallel

_BYTES_OF_A_REQUEST = 65_536
"""Bytes that take about as long to read as the request around them."""


@dataclass(frozen=True)
class DueObject:
    """An object that should be in the store."""

    subject: str
    url: str
    length: int
    md5: str


Seen = tuple[int, str] | None
"""Length and MD5 of what the store has; None: there is no such object."""


def check_objects(catalog: Catalog, due: Iterable[DueObject], findings: Findings, *, content: bool) -> None:
    """Read every object, or with `content` off ask the store for its length and MD5; each object once."""
    jobs = list({item.url: item for item in due}.values())
    size = sum(item.length for item in jobs)
    what = "Reading objects" if content else "Asking for objects"
    with showing(what, total=size, items=len(jobs)) as meter:

        def look(item: DueObject) -> Seen:
            seen = _read(catalog, item, meter.advance) if content else _ask(catalog, item)
            meter.advance(0 if content else item.length, items=1)
            return seen

        outcomes = run_parallel(
            jobs,
            look,
            overloads=lambda: catalog.client.overloads,
            work=lambda item: 1 + (item.length / _BYTES_OF_A_REQUEST if content else 0),
        )
    for outcome in outcomes:
        _judge(outcome, findings, content=content)


def _judge(outcome: Outcome[DueObject, Seen], findings: Findings, *, content: bool) -> None:
    item = outcome.job
    if outcome.error is not None:
        if not isinstance(outcome.error, DerivaMLException):
            raise outcome.error
        if isinstance(outcome.error, DerivaMLValidationError):
            findings.differs(item.subject, "URL", expected="an object of the catalog's host", found=item.url)
        else:
            findings.could_not(f"{item.subject}, object {item.url}", " ".join(str(outcome.error).split()))
        return
    findings.checked["objects"] += 1
    if outcome.result is None:
        findings.differs(item.subject, "object", expected=item.url, found=None)
        return
    length, md5 = outcome.result
    if content:
        findings.checked["bytes"] += length
    if length not in (-1, item.length):
        findings.differs(item.subject, "length of the object", expected=item.length, found=length)
    if not md5:
        findings.could_not(f"{item.subject}, object {item.url}", "the store keeps no MD5 of it: read its bytes")
    elif md5 != item.md5.lower():
        findings.differs(item.subject, "MD5 of the object", expected=item.md5, found=md5)


def _ask(catalog: Catalog, item: DueObject) -> Seen:
    facts = object_facts(catalog, item.url)
    return None if facts is None else (facts.length, facts.md5_hex)


def _read(catalog: Catalog, item: DueObject, came: Callable[[int], None]) -> Seen:
    try:
        return read_object(catalog, item.url, progress=came)
    except (DerivaMLNotFoundError, DerivaMLCatalogConflict):
        return None
    except DerivaMLDataError as e:
        # 410 for an object that was deleted, and other answers of a store that has no such thing
        if object_facts(catalog, item.url) is None:
            return None
        raise e
