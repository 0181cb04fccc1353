"""Checkpoints: files of a long training that outlive an attempt, handed to the execution that goes on with it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from deriva_ml_prefect.journal import executions, files
from deriva_ml_prefect.journal.disk import make_folder
from deriva_ml_prefect.phases.context import Context, entry_of, journal_of
from deriva_ml_prefect.values.objects import check_filename
from deriva_ml_prefect.values.rid import RID


def checkpoint_path(context: Context, name: str) -> Path:
    """Where a checkpoint of that name is, or is to be written: a file, or a folder that the caller makes."""
    path = context.checkpoints / check_filename(name)
    make_folder(path.parent)
    return path


def take_over_checkpoints(context: Context, old: RID) -> list[str]:
    """Hand the checkpoints of an execution that did not finish to the one that supersedes it; names of all it has now.

    They move, without being copied. One that the old execution registered as an output stays there, and is copied.
    Doing it again changes nothing.
    """
    before = replace(context, rid=old)
    if before.checkpoints.is_dir():
        make_folder(context.checkpoints)
        sources = [Path(each).resolve() for each in files.sources(journal_of(before), old)]
        for path in sorted(before.checkpoints.iterdir()):
            target = context.checkpoints / path.name
            if target.exists() or path.name.endswith(_PART):
                continue
            if _holds_any(path, sources):
                part = target.with_name(target.name + _PART)
                _remove(part)
                if path.is_dir():
                    shutil.copytree(path, part)
                else:
                    shutil.copy2(path, part)
                part.rename(target)
            else:
                path.rename(target)
    names = sorted(path.name for path in context.checkpoints.iterdir()) if context.checkpoints.is_dir() else []
    facts = {"continued_from": {"execution_rid": old, "checkpoints": names}}
    executions.merge_facts(journal_of(context), context.rid, facts)
    return names


_PART = ".being-copied"


def _holds_any(path: Path, sources: list[Path]) -> bool:
    """Whether what an output of the execution links to is the checkpoint, or lies in it."""
    inside = path.resolve()
    return any(source.is_relative_to(inside) for source in sources)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def continued_from(context: Context) -> dict[str, object] | None:
    """The execution that this one goes on with and the checkpoints that it got from it, for the run record."""
    facts: dict[str, object] | None = entry_of(context).facts.get("continued_from")
    return facts
