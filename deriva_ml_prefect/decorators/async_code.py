"""The coroutine of an async function, in the thread that conducts its execution, and its end when the flow is ended.

A signal reaches the loop of the main thread alone, where the flow waits for that thread.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any

_conducted: ContextVar[Conducted | None] = ContextVar("_conducted", default=None)


class Conducted:
    """What a cancelled flow ends: the coroutine that is at work in another thread, or will be."""

    def __init__(self) -> None:
        self._at_work: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None
        self._cancelled = False

    async def run(self, code: Coroutine[Any, Any, Any]) -> Any:
        task = asyncio.current_task()
        assert task is not None
        self._at_work = (asyncio.get_running_loop(), task)
        if self._cancelled:
            task.cancel()
        try:
            return await code
        finally:
            self._at_work = None

    def cancel(self) -> None:
        self._cancelled = True
        if self._at_work is not None:
            loop, task = self._at_work
            loop.call_soon_threadsafe(task.cancel)


async def in_a_thread(act: Callable[..., Any], *args: Any) -> Any:
    """What `act` gives, in a thread with this one's context. Cancelled, it cancels the code, and waits for the end."""
    conducted = Conducted()
    _conducted.set(conducted)
    acting = asyncio.ensure_future(asyncio.to_thread(act, *args))
    try:
        return await asyncio.shield(acting)
    except asyncio.CancelledError:
        conducted.cancel()
        await asyncio.wait([acting])
        # how it ended is told; that the flow was cancelled is what it ends with
        acting.cancelled() or acting.exception()
        raise


def settled(value: Any) -> Any:
    """What a call gave; of an async function, what it gives in the end."""
    if not inspect.iscoroutine(value):
        return value
    conducted = _conducted.get()
    return asyncio.run(value if conducted is None else conducted.run(value))
