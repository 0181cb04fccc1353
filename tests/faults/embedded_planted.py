"""An embedded DERIVA with a planted fault, which the stress test has to find.

python -m tests.faults.embedded_planted NAME --data DIR …, as `python -m deriva_ml_prefect.embedded`.
"""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from deriva_ml_prefect.embedded.__main__ import main
from deriva_ml_prefect.embedded.database import Connection, Database
from deriva_ml_prefect.embedded.ermrest import data, insert, row_changes
from deriva_ml_prefect.embedded.hatrac.content import Contents

LATE_SECONDS = 0.4


def answer_before_commit() -> None:
    """A write to some tables is answered, and committed somewhat later."""
    here = threading.local()
    in_order, handle = Database.write, data.handle_data

    def handle_data(*arguments: Any) -> Any:
        here.is_late = "S:Loose" in arguments[3]
        try:
            return handle(*arguments)
        finally:
            here.is_late = False

    @contextmanager
    def write(self: Database) -> Iterator[Connection]:
        if not getattr(here, "is_late", False):
            with in_order(self) as connection:
                yield connection
            return
        self.lock.acquire()
        try:
            self.require_open()
            self.writer.execute("BEGIN IMMEDIATE")
            yield self.writer
        except BaseException:
            if self.writer.in_transaction:
                self.writer.execute("ROLLBACK")
            self.lock.release()
            raise
        threading.Thread(target=commit, args=(self,)).start()

    def commit(database: Database) -> None:
        time.sleep(LATE_SECONDS)
        database.writer.execute("COMMIT")
        database.lock.release()

    data.handle_data = handle_data  # type: ignore[assignment]
    Database.write = write  # type: ignore[method-assign]


def write_twice() -> None:
    """Now and then rows are written again that are there already, as by a repetition after a lost answer."""
    original = insert.insert_batch

    def insert_batch(change: Any, insertion: Any, given: Any) -> Any:
        answer = original(change, insertion, given)
        if insertion.table.name == "Loose" and random.random() < 0.05:
            original(change, insertion, given)
        return answer

    insert.insert_batch = insert_batch


def commit_in_parts() -> None:
    """The rows of one request are committed one by one."""
    original = insert.insert_batch

    def insert_batch(change: Any, insertion: Any, given: Any) -> Any:
        stored: list[Any] = []
        for row in zip(*given, strict=True):
            stored.append(original(change, insertion, [[cell] for cell in row])[0])
            change.connection.execute("COMMIT")
            time.sleep(0.002)
            change.connection.execute("BEGIN IMMEDIATE")
        return [[cell for part in parts for cell in part] for parts in zip(*stored, strict=True)], len(stored)

    insert.insert_batch = insert_batch


def mention_before_writing() -> None:
    """An object's row is there before its file has its place."""
    in_order = Contents.store

    def store(self: Contents, content: str, *args: Any, **options: Any) -> Any:
        written = in_order(self, content, *args, **options)
        place, aside = self.path(content), self.incoming(content)
        place.rename(aside)
        threading.Timer(LATE_SECONDS, aside.rename, (place,)).start()
        return written

    Contents.store = store  # type: ignore[method-assign]


def forget_history() -> None:
    """Rows are changed without a copy of what they were."""
    row_changes.keep_history = lambda *_: None


FAULTS: dict[str, Callable[[], None]] = {
    "answer-before-commit": answer_before_commit,
    "write-twice": write_twice,
    "commit-in-parts": commit_in_parts,
    "mention-before-writing": mention_before_writing,
    "forget-history": forget_history,
}

if __name__ == "__main__":
    FAULTS[sys.argv[1]]()
    sys.exit(main(sys.argv[2:]))
