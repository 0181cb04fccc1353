"""RIDs: ERMrest's identifiers of rows, such as `1-ABCD`, optionally with a snapshot (`1-ABCD@2PX-WS30-E58W`)."""

from __future__ import annotations

import re

from deriva_ml_prefect.exceptions import DerivaMLValidationError

RID = str
"""A RID as ERMrest writes it: groups of at most four upper-case letters and digits, joined by dashes."""

DRY_RUN_RID = "0000"
"""What a dry run shows where an execution would have its RID; no row has it."""

_PATTERN = re.compile(r"[A-Z0-9]{1,4}(?:-[A-Z0-9]{1,4})*")


def is_rid(text: object) -> bool:
    """Whether `text` has the form of a RID without a snapshot."""
    return isinstance(text, str) and len(text) <= 32 and _PATTERN.fullmatch(text) is not None


def check_rid(text: str, what: str = "RID") -> RID:
    """`text` itself if it has the form of a RID, else DerivaMLValidationError that quotes it (cut at 60 characters)."""
    if is_rid(text):
        return text
    shown = repr(text) if len(str(text)) <= 60 else repr(str(text)[:57]) + "…"
    hint = ""
    if isinstance(text, str) and is_rid(text.strip().upper()):
        hint = f" Did you mean {text.strip().upper()!r}?"
    raise DerivaMLValidationError(f"{what} {shown} is not a RID: expected groups like 1-ABCD.{hint}")


def split_snapshot(text: str, what: str = "RID") -> tuple[RID, str | None]:
    """`RID@SNAP` as (RID, SNAP); SNAP is None where there is none."""
    rid, at, snapshot = text.partition("@")
    return check_rid(rid, what), check_rid(snapshot, f"snapshot of {what}") if at else None
