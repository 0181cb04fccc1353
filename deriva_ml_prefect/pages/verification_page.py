"""A verification for people: one line a difference, and what was looked at."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from deriva_ml_prefect.questions.verification.report import Against, Verification
from deriva_ml_prefect.values.sizes import format_count, format_size

_PLURAL = re.compile(r"s\b")
_WITH = {Against.receipts: "its receipts in the journal", Against.itself: "what its rows and its record say"}


def render_verification(found: Verification) -> Iterator[str]:
    """Lines: the differences, what could not be checked, what was looked at, and the verdict."""
    for difference in found.differences:
        yield f"DIFFERS  {_line(difference)}"
    if found.further:
        yield f"DIFFERS  … and {found.further} more like these"
    for item in found.unchecked:
        yield f"UNKNOWN  {_line(item)}"
    for note in found.notes:
        yield f"Note: {note}"
    looked = ", ".join(_counted(count, name) for name, count in found.checked.items() if name != "bytes")
    read = f" ({format_size(found.checked.get('bytes', 0))} read)" if found.content else " (their bytes were not read)"
    yield f"Looked at {looked}{read}."
    yield f"Execution {found.rid} of {found.address}: {_verdict(found)}"


def _counted(count: int, names: str) -> str:
    """`1 link to assets`, `1,000 links to assets`: the first plural is what is counted."""
    return f"{count:,} {_PLURAL.sub('', names, count=1) if count == 1 else names}"


def _verdict(found: Verification) -> str:
    count = len(found.differences) + found.further
    unchecked = f"{format_count(len(found.unchecked), 'thing')} could not be checked"
    if count:
        more = f", and {unchecked}" if found.unchecked else ""
        return f"{format_count(count, 'difference')} from {_WITH[found.against]}{more}."
    if found.unchecked:
        return f"not verified, {unchecked}."
    return f"verified, the same as {_WITH[found.against]}."


def verification_document(found: Verification) -> dict[str, Any]:
    """The verification for programs, JSON-able."""
    return {
        "execution_rid": found.rid,
        "catalog": str(found.address),
        "against": found.against.value,
        "content": found.content,
        "same": found.same,
        "differences": [
            {"subject": d.subject, "what": d.what, "expected": d.expected, "found": d.found} for d in found.differences
        ],
        "further_differences": found.further,
        "unchecked": [{"subject": u.subject, "reason": u.reason} for u in found.unchecked],
        "checked": dict(found.checked),
        "notes": list(found.notes),
    }


def _line(value: object) -> str:
    return " ".join(str(value).split())
