from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from deriva_ml_prefect.embedded.body import HIGH, ClientGone, StreamedBody
from deriva_ml_prefect.embedded.errors import TooLarge


def run(messages: list[dict[str, Any]], length: int | None = None, limit: int | None = None) -> tuple[bytes, int]:
    """What a thread reads from a body that arrives so, and the most messages taken before it read the first byte."""

    async def play() -> tuple[bytes, int]:
        waiting = iter(messages)
        taken = 0

        async def receive() -> MutableMapping[str, Any]:
            nonlocal taken
            taken += 1
            return next(waiting)

        body = StreamedBody(length, asyncio.get_running_loop())
        pump = asyncio.create_task(body.pump(receive))
        await asyncio.sleep(0.05)
        before = taken
        read = body.read if limit is not None else lambda _: b"".join(body.chunks())
        content = await asyncio.to_thread(read, limit or 0)
        pump.cancel()
        return content, before

    return asyncio.run(play())


def piece(content: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": content, "more_body": more}


def test_all_arrives_in_order() -> None:
    pieces = [bytes([i]) * 1000 for i in range(100)]
    content, _ = run([piece(part) for part in pieces] + [piece(b"", more=False)])
    assert content == b"".join(pieces)


def test_no_more_is_taken_than_fits() -> None:
    part = bytes(HIGH // 2)
    content, before = run([piece(part) for _ in range(20)] + [piece(b"end", more=False)])
    assert before <= 3
    assert len(content) == 10 * HIGH + 3


def test_a_client_that_leaves_is_told() -> None:
    with pytest.raises(ClientGone):
        run([piece(b"abc"), {"type": "http.disconnect"}])


def test_limits() -> None:
    with pytest.raises(TooLarge):
        run([piece(b"abc", more=False)], length=5, limit=4)
    with pytest.raises(TooLarge):
        run([piece(b"abc"), piece(b"de", more=False)], limit=4)
    assert run([piece(b"abcd", more=False)], limit=4)[0] == b"abcd"
