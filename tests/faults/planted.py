"""Bugs that are planted in the processes under test, never in the package, to prove that the campaign catches them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deriva_ml_prefect.catalog import assets, executions, feature_rows, objects, rows
from deriva_ml_prefect.exceptions import DerivaMLOfflineError, DerivaMLOwnershipError
from deriva_ml_prefect.journal import effects as journal_effects
from deriva_ml_prefect.journal import executions as journal_executions
from deriva_ml_prefect.journal import features as journal_features
from deriva_ml_prefect.journal import files as journal_files
from deriva_ml_prefect.journal import ownership, store
from deriva_ml_prefect.journal.store import Journal
from deriva_ml_prefect.phases import advance, deliver, lifecycle, record
from deriva_ml_prefect.phases.context import Context, entry_of, journal_of
from deriva_ml_prefect.transfer.client import HttpClient
from deriva_ml_prefect.values.effects import Receipt
from deriva_ml_prefect.values.status import ExecutionStatus
from tests.faults.schedule import Boundaries

Texts = Callable[[Boundaries], tuple[str, ...]]


@dataclass(frozen=True)
class Planted:
    """A bug: what it does, how it is planted, and the schedules that must catch it, one of them at least."""

    says: str
    plant: Callable[[], None]
    texts: Texts


PLANTED: dict[str, Planted] = {}


def _bug(says: str, texts: Texts) -> Callable[[Callable[[], None]], Callable[[], None]]:
    def keep(plant: Callable[[], None]) -> Callable[[], None]:
        PLANTED[plant.__name__.replace("_", "-")] = Planted(says, plant, texts)
        return plant

    return keep


def _always(*texts: str) -> Texts:
    return lambda _: texts


def _at(kind: str, method: str, part: str) -> Texts:
    """The trouble at the first request of a faultless run whose method and path are these."""

    def find(bounds: Boundaries) -> tuple[str, ...]:
        numbers = [n for n, asked in enumerate(bounds.seen, 1) if asked.startswith(method) and part in asked]
        if not numbers:
            raise LookupError(f"No request of a faultless run is {method} …{part}….")
        # side by side they come in any order, and a bug may send requests of its own before
        return tuple(kind.replace("@", f"@{numbers[0] + further}") for further in range(5))

    return find


def _replace(place: Any, name: str, other: Any) -> Any:
    """Put something in the place of a function of the package; gives what was there."""
    before = getattr(place, name)
    setattr(place, name, other)
    return before


_SCORE = "lab:Execution_Subject_Score"


@_bug("P1: files without a second ending are left out of the upload, silently", _always("none"))
def file_left_out() -> None:
    def kept(files: list[journal_files.StagedFile]) -> list[journal_files.StagedFile]:
        return [file for file in files if file.file_name != "metrics.jsonl"]

    def pages(*args: Any, **values: Any) -> Iterator[list[journal_files.StagedFile]]:
        yield from map(kept, before(*args, **values))

    before = _replace(journal_files, "pages", pages)
    every = journal_files.list_files
    _replace(journal_files, "count_unsent", lambda journal, rid: len(kept(every(journal, rid, unsent=True))))


@_bug("P1: a file is marked as uploaded, and its bytes were never sent", _always("none"))
def bytes_not_sent() -> None:
    def upload_object(catalog: Any, path: Path, object_path: str, facts: Any, **values: Any) -> str:
        if path.name == "left.png":
            return f"{object_path}:AAAA"
        return str(before(catalog, path, object_path, facts, **values))

    before = _replace(objects, "upload_object", upload_object)


@_bug(
    "P1: a registered file that is missing is marked as uploaded", lambda b: (f"kill-sent@{b.upload}+change-delete@1",)
)
def missing_marked_uploaded() -> None:
    def stage_outputs(context: Context) -> Context:
        journal = journal_of(context)
        for file in journal_files.list_files(journal, context.rid, unsent=True):
            if not file.path.exists():
                journal_files.mark_uploaded(journal, context.rid, {file.key: ("/hatrac/nowhere:A", "1-NONE")})
        return before(context)  # type: ignore[no-any-return]

    before = _replace(lifecycle, "stage_outputs", stage_outputs)


@_bug("P1: the receipt is written before the rows are sent", _at("kill-sent@", "POST", _SCORE))
def receipt_before_send() -> None:
    def send(context: Context, item: Any, *rest: Any) -> Receipt:
        if item.effect.payload["kind"] == "feature_rows":
            journal = journal_of(context)
            payload = item.effect.payload
            journal_effects.mark_delivered(journal, context.rid, [Receipt(item.effect.key, {"rows": 100})])
            journal_features.mark_uploaded(
                journal, context.rid, payload["feature_table"], payload["first"], payload["last"]
            )
        return before(context, item, *rest)  # type: ignore[no-any-return]

    before = _replace(deliver, "send", send)


@_bug("P1: values of a feature whose insert failed are never sent again", _at("500@x6", "POST", _SCORE))
def failed_features_dropped() -> None:
    def mark_failed(journal: Any, rid: str, table: str, first: int, last: int, error: str) -> None:
        journal_features.mark_uploaded(journal, rid, table, first, last)

    _replace(journal_features, "mark_failed", mark_failed)


@_bug("P2: feature rows are inserted again without onconflict=skip", _at("lost-answer@", "POST", _SCORE))
def features_without_skip() -> None:
    def insert_missing_rows(catalog: Any, ref: Any, given: Any) -> int:
        return len(rows.insert_rows(catalog, ref, given, repeatable=True))

    _replace(feature_rows, "insert_missing_rows", insert_missing_rows)


@_bug(
    "P2: a row whose answer was lost is inserted under a RID leased anew", _at("lost-answer@", "POST", "ml:Execution?")
)
def leased_anew() -> None:
    def insert_with_rid(catalog: Any, ref: Any, rid: str, values: Any, **rest: Any) -> Any:
        try:
            with catalog.client.single_tries():
                return before(catalog, ref, rid, values, **rest)
        except DerivaMLOfflineError:
            (fresh,) = rows.lease_rids(catalog, [rows.new_token()])
            return before(catalog, ref, fresh, values, **rest)

    before = _replace(executions, "insert_with_rid", insert_with_rid)


@_bug("P2: an asset's row gets a RID leased anew at each attempt", _at("kill-answered@", "POST", "lab:Image?"))
def assets_leased_anew() -> None:
    def insert_rows(catalog: Any, ref: Any, given: Any, **values: Any) -> Any:
        leased = rows.lease_rids(catalog, [rows.new_token() for _ in given])
        fresh = [{**row, "RID": rid} for row, rid in zip(given, leased, strict=True)]
        return before(catalog, ref, fresh, **{**values, "skip_conflicts": False, "nondefaults": ("RID",)})

    before = _replace(assets, "insert_rows", insert_rows)


@_bug("P2: an object is sent without asking whether it is there", _at("lost-answer@", "PUT", "left.png"))
def object_sent_again() -> None:
    def request(client: HttpClient, method: str, path: str, **values: Any) -> Any:
        kept = {name: value for name, value in (values.pop("headers", None) or {}).items() if name != "If-None-Match"}
        return before(client, method, path, headers=kept, **values)

    before = _replace(HttpClient, "request", request)


@_bug("P2: the catalog has the execution before the journal knows it", _at("kill-answered@", "POST", "ml:Execution?"))
def catalog_before_journal() -> None:
    def add_execution(journal: Any, rid: str, **values: Any) -> Any:
        from deriva_ml_prefect.catalog.connection import catalog_for
        from deriva_ml_prefect.values.address import Address

        address = {**values["address"], "domain_schemas": tuple(values["address"]["domain_schemas"])}
        executions.insert_execution(
            catalog_for(Address(**address)),
            rid,
            workflow_rid=values["workflow_rid"],
            description=values["description"],
        )
        return before(journal, rid, **values)

    before = _replace(journal_executions, "add_execution", add_execution)


@_bug("P3: the status is Uploaded before everything is there", lambda b: (f"kill-sent@{b.upload + 5}",))
def status_before_check() -> None:
    def upload_assets(context: Context, *rest: Any) -> Context:
        advance.advance(context, ExecutionStatus.Uploaded)
        advance.advance(context, ExecutionStatus.Pending_Upload)
        advance.advance(context, ExecutionStatus.Uploaded)
        return before(context, *rest)  # type: ignore[no-any-return]

    before = _replace(lifecycle, "upload_assets", upload_assets)


@_bug("P3: nobody looks whether everything has its receipt", _at("500@x4", "POST", _SCORE))
def unchecked_end() -> None:
    def flush_features(context: Context, *rest: Any) -> Context:
        try:
            return before(context, *rest)  # type: ignore[no-any-return]
        except Exception:  # noqa: BLE001 - this is the bug
            return context

    before = _replace(lifecycle, "flush_features", flush_features)
    from deriva_ml_prefect.phases import close

    _replace(close, "check_complete", lambda _: None)


@_bug("P3: a retry from Failed stays Failed", _at("500@x6", "POST", _SCORE))
def failed_stays_failed() -> None:
    def open_upload(context: Context) -> bool:
        return entry_of(context).status is not ExecutionStatus.Failed and bool(before(context))

    before = _replace(lifecycle, "_open_upload", open_upload)


@_bug("an edge that the status diagram does not have: Stopped to Failed", _at("500@x6", "POST", _SCORE))
def edge_left_out() -> None:
    def open_upload(context: Context) -> bool:
        if entry_of(context).status is not ExecutionStatus.Stopped:
            return bool(before(context))
        with _without_check():
            advance.advance(context, ExecutionStatus.Failed)
        return bool(before(context))

    before = _replace(lifecycle, "_open_upload", open_upload)


@contextmanager
def _without_check() -> Iterator[None]:
    before = _replace(advance, "check_transition", lambda *_, **__: None)
    yield
    _replace(advance, "check_transition", before)


@_bug(
    "P4: that the user's code has run is not recorded, so a retry runs it again", lambda b: (f"kill-sent@{b.upload}",)
)
def code_run_again() -> None:
    _replace(journal_executions, "mark_user_code", lambda *_, **__: None)


@_bug("P6: an owner lives for ever, however it ended", lambda b: (f"kill-sent@{b.upload}",))
def owner_for_ever() -> None:
    def lock(descriptor: int, folder: Path, rid: str) -> None:
        if (folder / ownership.NOTE_NAME).exists():
            raise DerivaMLOwnershipError(f"Execution {rid} is owned by another process, which is alive.")
        before(descriptor, folder, rid)

    before = _replace(ownership, "_lock", lock)


@_bug(
    "P6: a run that is at work is taken from its process",
    lambda b: tuple(f"kill-sent@{b.upload + n}+race@0" for n in range(8)),
)
def live_owner_robbed() -> None:
    _replace(ownership, "_lock", lambda *_: None)


@_bug(
    "P6: an owner that was taken over from writes on", lambda b: tuple(f"asleep-sent@{b.upload + n}" for n in range(5))
)
def stale_owner_writes() -> None:
    _replace(ownership, "check_not_taken_over", lambda *_: None)
    _replace(Journal, "_check_owned", lambda *_: None)
    write_status = journal_executions.write_status

    def unchecked(
        journal: Journal, rid: str, status: ExecutionStatus, detail: str | None, *, owner: str | None
    ) -> None:
        write_status(journal, rid, status, detail, owner=ownership.read_owner(journal, rid))

    _replace(journal_executions, "write_status", unchecked)


@_bug("P7: the whole environment is recorded, secrets and all", _always("none"))
def secrets_recorded() -> None:
    _replace(record, "environment_snapshot", lambda *_: {"variables": dict(os.environ)})


@_bug("P8: nobody looks which version a journal has", lambda b: (f"kill-sent@{b.upload}+newer-journal@0",))
def version_not_checked() -> None:
    _replace(store, "_prepare", lambda *_: None)


@_bug("P5: an asset's row is inserted before its bytes are sent", _at("kill-sent@", "PUT", "left.png"))
def rows_before_bytes() -> None:
    def upload_object(catalog: Any, path: Path, object_path: str, facts: Any, **values: Any) -> str:
        if path.name != "left.png":
            return str(before(catalog, path, object_path, facts, **values))
        early = {"URL": object_path, "Filename": path.name, "Length": facts.length, "MD5": facts.md5_hex}
        row = {**early, "Camera": "A", "Description": "left"}
        assets.insert_asset_rows(catalog, assets.asset_table(catalog, "Image"), [row])
        before(catalog, path, object_path, facts, **values)
        return object_path

    before = _replace(objects, "upload_object", upload_object)


@_bug("an error of the HTTP library reaches the user as it is", _always("lost-answer@20xall", "reset@9xall"))
def unnamed_error() -> None:
    def offline(client: HttpClient, asked: str, fault: Exception, attempts: int) -> Exception:
        return fault

    _replace(HttpClient, "_offline", offline)


@_bug("P1: files that were delivered are deleted although the upload has failed", _at("409@", "POST", "lab:Image?"))
def staged_deleted_early() -> None:
    def upload_assets(context: Context, *rest: Any) -> Context:
        try:
            return before(context, *rest)  # type: ignore[no-any-return]
        finally:
            for file in journal_files.list_files(journal_of(context), context.rid):
                file.path.unlink(missing_ok=True)

    before = _replace(lifecycle, "upload_assets", upload_assets)
