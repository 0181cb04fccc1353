"""Registered files whose bytes are not there: code that was killed did not write them, or a source is gone."""

from __future__ import annotations

from itertools import chain

from deriva_ml_prefect.journal import files
from deriva_ml_prefect.phases.context import Context, journal_of
from deriva_ml_prefect.phases.stage import unregister_file


def find_missing(context: Context) -> list[str]:
    """Keys, `<Table>/<file name>`, of the files that wait to be uploaded and are not on the disk."""
    waiting = chain.from_iterable(files.pages(journal_of(context), context.rid, unsent=True))
    return [file.key for file in waiting if not file.path.exists()]


def drop_missing(context: Context) -> list[str]:
    """Unregister them, so that the rest can be uploaded; their keys."""
    found = find_missing(context)
    for key in found:
        unregister_file(context, key)
    return found
