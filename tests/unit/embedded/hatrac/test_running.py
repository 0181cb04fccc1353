"""Hashes that are kept while chunks arrive: those of what is on disk, whatever order and repetition they came in."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deriva_ml_prefect.embedded.hatrac.content import Contents, Written, new_content, open_contents

SIZE = 5
CHUNKS = 4


def of(content: bytes) -> Written:
    md5 = hashlib.md5(content, usedforsecurity=False)
    return Written(len(content), md5.digest(), hashlib.sha256(content).digest())


def reserved(contents: Contents, length: int = SIZE * CHUNKS) -> str:
    name = new_content()
    contents.reserve(name, length)
    return name


def test_chunks_in_order_are_not_read_again(tmp_path: Path) -> None:
    contents = open_contents(tmp_path / "objects")
    name = reserved(contents)
    for number in range(CHUNKS):
        contents.write_at(name, number * SIZE, [b"%d" % number * SIZE])
    contents.path(name).unlink()
    assert contents.written(name, SIZE * CHUNKS) == of(b"00000111112222233333")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, CHUNKS - 1), st.binary(min_size=SIZE, max_size=SIZE), st.booleans())))
def test_any_order_and_repetition(tmp_path: Path, steps: list[tuple[int, bytes, bool]]) -> None:
    contents = open_contents(tmp_path / "objects")
    name = reserved(contents)

    def breaking(piece: bytes) -> Iterator[bytes]:
        yield piece[:2]
        raise ConnectionError("the client has gone")

    for number, piece, breaks in steps:
        if breaks:
            with pytest.raises(ConnectionError):
                contents.write_at(name, number * SIZE, breaking(piece))
        else:
            contents.write_at(name, number * SIZE, [piece])
    assert contents.written(name, SIZE * CHUNKS) == of(contents.path(name).read_bytes())


def test_two_writers_of_one_chunk_at_the_same_time(tmp_path: Path) -> None:
    contents = open_contents(tmp_path / "objects")
    name = reserved(contents, SIZE)
    begun, other_done = threading.Event(), threading.Event()

    def slowly() -> Iterator[bytes]:
        begun.set()
        assert other_done.wait(10)
        yield b"first"

    slow = threading.Thread(target=contents.write_at, args=(name, 0, slowly()))
    slow.start()
    assert begun.wait(10)
    contents.write_at(name, 0, [b"other"])
    other_done.set()
    slow.join()
    assert contents.written(name, SIZE) == of(contents.path(name).read_bytes())
    # and the other way round: who began last is done last
    name = reserved(contents, SIZE)
    contents.write_at(name, 0, [b"first"])
    contents.write_at(name, 0, [b"other"])
    assert contents.written(name, SIZE) == of(b"other")
