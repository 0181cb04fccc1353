"""`deriva-ml-prefect gc`: what may be deleted on this machine, and deleting it."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deriva_ml_prefect.cli.told import FAILED, emit

if TYPE_CHECKING:
    from deriva_ml_prefect.values.garbage import Garbage, Kept

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def define(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command, and what it does."""
    parser.description = (
        f"{parser.description}. Only what the catalog holds, as is asked of it now, and what was left behind; "
        "nothing of a run whose process lives, or whose outputs are not uploaded. Journals with their receipts stay. "
        "Without --delete, it is only listed."
    )
    parser.add_argument("--delete", action="store_true", help="delete what is listed")
    parser.add_argument(
        "--cache-older-than", type=_days, metavar="DAYS", help="also datasets and assets that nobody used for so long"
    )
    parser.add_argument(
        "--cache-over", type=_bytes, metavar="SIZE", help="also those unused longest, until the cache has SIZE (20GB)"
    )
    parser.add_argument(
        "--work", action="store_true", help="also scratch folders (working_dir), and staged files in no catalog"
    )
    parser.add_argument(
        "--aborted", action="store_true", help="also the files of executions that were given up, which no catalog has"
    )
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask before deleting what no catalog has")
    parser.add_argument("--json", action="store_true", help="print one JSON document, for programs")
    parser.set_defaults(act=_collect)


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = -1.0
    if not 0 <= days < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days")
    return days * 86_400


def _bytes(text: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)b?", text.strip().lower())
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no size: write 500MB or 20GB")
    return int(float(found[1]) * _UNITS[found[2]])


def _collect(arguments: argparse.Namespace) -> int:
    from deriva_ml_prefect.phases.collect import collect, find_garbage
    from deriva_ml_prefect.phases.collect_cache import cache_size, delete_cached, find_cached
    from deriva_ml_prefect.questions.still_in_catalog import StillInCatalog
    from deriva_ml_prefect.values.garbage import Garbage, Kept

    found = find_garbage(aborted=arguments.aborted, work=arguments.work)
    listed = [*found.garbage, *find_cached(older_than=arguments.cache_older_than, over=arguments.cache_over)]
    kept = list(found.kept)
    catalog = StillInCatalog()
    gone: list[Garbage] = []
    if arguments.delete and _may_delete(listed, arguments):
        for item in collect(listed, catalog.why_not, delete_cached):
            gone += [item] if isinstance(item, Garbage) else []
            kept += [item] if isinstance(item, Kept) else []
    else:
        for item in listed:
            reason = catalog.why_not(item)
            gone += [item] if reason is None else []
            kept += [] if reason is None else [Kept(item.path, item.bytes, reason, item.rid)]
    if arguments.json:
        emit([_document(gone, kept, deleted=arguments.delete)])
    else:
        emit(_lines(gone, kept, cache_size(), deleted=arguments.delete))
    return FAILED if arguments.delete and len(kept) > len(found.kept) else 0


def _may_delete(listed: Sequence[Garbage], arguments: argparse.Namespace) -> bool:
    """Whether a person says that what no catalog has may go too."""
    from deriva_ml_prefect.cli.question import ask
    from deriva_ml_prefect.values.garbage import Kind
    from deriva_ml_prefect.values.sizes import format_count, format_size

    lost = [item for item in listed if item.kind in (Kind.aborted, Kind.work)]
    if not lost or arguments.yes:
        return True
    size = format_size(sum(item.bytes for item in lost))
    executions = len({item.rid for item in lost})
    files = (
        f"{format_count(sum(item.files for item in lost), 'file')} ({size}) of {format_count(executions, 'execution')}"
    )
    question = f"{files} are in no catalog. Delete them?"
    if ask(question, otherwise="--yes", stream=sys.stderr):
        return True
    from deriva_ml_prefect.exceptions import DerivaMLConfigurationError

    raise DerivaMLConfigurationError("Nothing was deleted. Leave out --aborted and --work to delete the rest.")


def _lines(gone: Sequence[Garbage], kept: Sequence[Kept], cache: tuple[int, int], *, deleted: bool) -> list[str]:
    from deriva_ml_prefect.values.sizes import format_count, format_size

    lines = [
        f"{'deleted' if deleted else 'may go':8} {format_size(i.bytes):>9}  {_path(i.path)}  ({i.why})" for i in gone
    ]
    for why, items in _by_reason(kept).items():
        where = _path(items[0].path) if len(items) == 1 else f"{len(items)} folders"
        lines.append(f"{'kept':8} {format_size(sum(i.bytes for i in items)):>9}  {where}  ({why})")
    total = format_size(sum(item.bytes for item in gone))
    count = f"{format_count(sum(item.files for item in gone), 'file')}, {total}"
    lines.append(f"Cache: {format_size(cache[0])} in {cache[1]} entries (--cache-older-than, --cache-over).")
    lines.append(
        f"Deleted: {count}." if deleted else f"May be deleted: {count}. Nothing was deleted; --delete does it."
    )
    return lines


def _by_reason(kept: Sequence[Kept]) -> dict[str, list[Kept]]:
    found: dict[str, list[Kept]] = {}
    for item in kept:
        found.setdefault(item.why, []).append(item)
    return found


def _path(path: Path) -> str:
    from deriva_ml_prefect.config.settings import load_settings

    home = load_settings().home
    return str(path.relative_to(home)) if path.is_relative_to(home) else str(path)


def _document(gone: Sequence[Garbage], kept: Sequence[Kept], *, deleted: bool) -> str:
    import json

    return json.dumps(
        {
            "deleted": deleted,
            "bytes": sum(item.bytes for item in gone),
            "files": sum(item.files for item in gone),
            "garbage": [
                {
                    "kind": item.kind.value,
                    "path": str(item.path),
                    "bytes": item.bytes,
                    "files": item.files,
                    "rid": item.rid,
                    "why": item.why,
                }
                for item in gone
            ],
            "kept": [{"path": str(item.path), "bytes": item.bytes, "rid": item.rid, "why": item.why} for item in kept],
        },
        indent=1,
    )
