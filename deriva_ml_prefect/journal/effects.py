"""Planned effects and their receipts: what is to be sent, where to take it up again, and the proof that it is there."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from deriva_ml_prefect.journal.store import Journal, now
from deriva_ml_prefect.values.effects import Effect, EffectState, Order, Receipt
from deriva_ml_prefect.values.rid import RID


@dataclass(frozen=True)
class Planned:
    """An effect with what the journal knows of it."""

    effect: Effect
    state: EffectState
    attempts: int
    progress: Mapping[str, Any]
    """Where to take it up again, e.g. {"job": …}; empty at first."""
    receipt: Receipt | None
    error: str | None


def _planned(row: sqlite3.Row) -> Planned:
    effect = Effect(row["key"], Order(row["position"]), json.loads(row["payload"]), row["size"])
    receipt = Receipt(row["key"], json.loads(row["receipt"])) if row["receipt"] else None
    progress = json.loads(row["progress"]) if row["progress"] else {}
    return Planned(effect, EffectState(row["state"]), row["attempts"], progress, receipt, row["error"])


def plan_effects(journal: Journal, rid: RID, effects: Iterable[Effect]) -> list[Planned]:
    """Record the intent, durable on return. An effect known with the same payload keeps its receipt."""
    listed = list(effects)
    moment = now()
    with journal.transaction():
        journal.write_many(
            "insert_effect",
            (
                {
                    "execution_rid": rid,
                    "key": effect.key,
                    "position": int(effect.order),
                    "payload": json.dumps(dict(effect.payload), sort_keys=True),
                    "size": effect.size,
                    "now": moment,
                }
                for effect in listed
            ),
        )
    found = (journal.row("select_effect", execution_rid=rid, key=effect.key) for effect in listed)
    return [_planned(row) for row in found if row is not None]


def drop_undelivered_rows(journal: Journal, rid: RID) -> None:
    """Forget planned rows without a receipt: a batch is named by its content, which may have changed since.

    Bytes stay, since their upload jobs are taken up again.
    """
    journal.write("drop_undelivered_rows", execution_rid=rid, position=int(Order.bytes))


def undelivered(journal: Journal, rid: RID) -> list[Planned]:
    """Effects without a receipt, in order."""
    return [_planned(row) for row in journal.rows("select_undelivered_effects", execution_rid=rid)]


def delivered(journal: Journal, rid: RID, order: Order) -> Iterator[Planned]:
    """Effects of one kind that have a receipt, read one after the other: their payloads may be large."""
    for row in journal.rows("select_delivered_keys", execution_rid=rid, position=int(order)):
        found = read_effect(journal, rid, row["key"])
        if found is not None and found.receipt is not None:
            yield found


def bytes_without_row(journal: Journal, rid: RID) -> list[Planned]:
    """Receipts of bytes whose row is not in the catalog yet."""
    return [_planned(row) for row in journal.rows("select_bytes_without_row", execution_rid=rid)]


def read_effect(journal: Journal, rid: RID, key: str) -> Planned | None:
    row = journal.row("select_effect", execution_rid=rid, key=key)
    return _planned(row) if row else None


def note_progress(journal: Journal, rid: RID, key: str, progress: Mapping[str, Any]) -> None:
    """Where to take the effect up again."""
    journal.write("write_effect_progress", execution_rid=rid, key=key, progress=json.dumps(dict(progress)))


def mark_delivered(journal: Journal, rid: RID, receipts: Iterable[Receipt]) -> None:
    """Store receipts, durable on return."""
    moment = now()
    journal.write_many(
        "mark_effect_delivered",
        (
            {"execution_rid": rid, "key": receipt.key, "receipt": json.dumps(dict(receipt.facts)), "now": moment}
            for receipt in receipts
        ),
    )


def mark_failed(journal: Journal, rid: RID, reasons: Mapping[str, str]) -> None:
    """Effects that were not delivered this time: key → reason."""
    if reasons:
        moment = now()
        journal.write_many(
            "mark_effect_failed",
            ({"execution_rid": rid, "key": key, "error": reason, "now": moment} for key, reason in reasons.items()),
        )


def drop_effects(journal: Journal, rid: RID, keys: Iterable[str]) -> None:
    """Forget planned effects that have no receipt: what they were to do is planned anew in another form."""
    journal.write_many("drop_effect", ({"execution_rid": rid, "key": key} for key in keys))


def count_effects(journal: Journal, rid: RID) -> dict[EffectState, tuple[int, int]]:
    """State → (number of effects, their bytes)."""
    rows = journal.rows("count_effects", execution_rid=rid)
    return {EffectState(row["state"]): (row["effects"], row["bytes"] or 0) for row in rows}
