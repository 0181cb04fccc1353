"""The metrics files of a running execution, read as they grow."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from deriva_ml_prefect.exceptions import DerivaMLDataError
from deriva_ml_prefect.questions.metrics import parse_metrics
from deriva_ml_prefect.values.series import SeriesBuilder


class MetricsReader:
    """What the files held at the last look. Files of JSON lines grow; of other formats the last whole one counts."""

    def __init__(self) -> None:
        self.measured = SeriesBuilder()
        self._sizes: dict[Path, int] = {}
        self._read: dict[Path, int] = {}
        """Bytes of JSON lines, records of other formats."""

    def look(self, files: Iterable[Path]) -> bool:
        """Read what has been added since the last look; whether that was anything."""
        before = self.measured.records
        for path in files:
            try:
                size = path.stat().st_size
                if size != self._sizes.get(path, 0):
                    self.measured.add(list(self._new_records(path)))
                    self._sizes[path] = size
            # a file is taken away when it is uploaded, and what is being written may be torn: the next look sees it
            except (OSError, DerivaMLDataError):
                continue
        return self.measured.records > before

    def _new_records(self, path: Path) -> Iterator[dict[str, Any]]:
        known = self._read.get(path, 0)
        if path.suffix.lower() in (".csv", ".json"):
            # as the same file is read when it is in the catalog, but for what is torn
            records = parse_metrics(path.name, path.read_bytes().decode("utf-8-sig", errors="replace"))
            self._read[path] = len(records)
            yield from records[known:]
            return
        with path.open("rb") as stream:
            stream.seek(known)
            data = stream.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read[path] = known + len(whole)
        for line in whole.splitlines():
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(record, dict):
                yield record
