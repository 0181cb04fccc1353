"""A look ahead for people: one line a check, and what would be downloaded."""

from __future__ import annotations

from collections.abc import Iterator

from deriva_ml_prefect.values.preflight import Preflight, Verdict
from deriva_ml_prefect.values.sizes import format_count, format_size

_MARKS = {Verdict.good: "ok", Verdict.warning: "WARNING", Verdict.failed: "FAILED"}


def render_preflight(report: Preflight) -> Iterator[str]:
    """Lines: the checks, what would travel, and the verdict."""
    for check in report.checks:
        yield f"{_MARKS[check.verdict]:8} {check.name:10} {' '.join(check.text.split())}"
    if report.downloads:
        files = format_count(sum(item.files for item in report.downloads), "file")
        here = format_size(sum(item.cached_bytes for item in report.downloads))
        yield f"To be downloaded: {format_size(report.bytes_to_fetch)} of {files}; {here} are in the cache."
    count = len(report.failed)
    if count:
        yield f"A run in {report.address} would not succeed: {count} of {len(report.checks)} checks failed."
    else:
        yield f"Nothing stands in the way of a run in {report.address}."
