"""Bytes in the object store against the MD5 and the length that they should have."""

from __future__ import annotations

import threading
from collections.abc import Iterable
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
from deriva_ml_prefect.questions.verification.report import Findings, Told, VerifyProgress
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


def check_objects(
    catalog: Catalog, due: Iterable[DueObject], findings: Findings, *, content: bool, told: Told | None = None
) -> None:
    """Read every object, or with `content` off ask the store for its length and MD5; each object once."""
    jobs = list({item.url: item for item in due}.values())
    counting = _Counting(jobs, told, content=content)

    def look(item: DueObject) -> Seen:
        seen = _read(catalog, item, counting) if content else _ask(catalog, item)
        counting.finished()
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
    if length != item.length:
        findings.differs(item.subject, "length of the object", expected=item.length, found=length)
    if not md5:
        findings.could_not(f"{item.subject}, object {item.url}", "the store keeps no MD5 of it: read its bytes")
    elif md5 != item.md5.lower():
        findings.differs(item.subject, "MD5 of the object", expected=item.md5, found=md5)


def _ask(catalog: Catalog, item: DueObject) -> Seen:
    facts = object_facts(catalog, item.url)
    return None if facts is None else (facts.length, facts.md5_hex)


def _read(catalog: Catalog, item: DueObject, counting: _Counting) -> Seen:
    try:
        return read_object(catalog, item.url, progress=counting.came)
    except (DerivaMLNotFoundError, DerivaMLCatalogConflict):
        return None
    except DerivaMLDataError as e:
        # 410 for an object that was deleted, and other answers of a store that has no such thing
        if object_facts(catalog, item.url) is None:
            return None
        raise e


class _Counting:
    """Tells how far the reading is; used by many threads."""

    def __init__(self, jobs: list[DueObject], told: Told | None, *, content: bool) -> None:
        self.told = told
        self.total = len(jobs)
        self.bytes_total = sum(item.length for item in jobs) if content else 0
        self.done = 0
        self.bytes_done = 0
        self.lock = threading.Lock()

    def came(self, size: int) -> None:
        with self.lock:
            self.bytes_done += size
            self._tell()

    def finished(self) -> None:
        with self.lock:
            self.done += 1
            self._tell()

    def _tell(self) -> None:
        if self.told:
            self.told(VerifyProgress("objects", self.done, self.total, self.bytes_done, self.bytes_total))
