"""What the drivers of both of Binance's official clients do with streams: subscribe, and wait for a message that the
client has parsed."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from steps import acheck

WAIT_S = 10.0


async def hear(
    step: str, subscribe: Callable[[], Awaitable[Any]], then: Callable[[], Any] | None = None
) -> list[Any] | None:
    """Subscribe, call `then` (it makes something happen) and return what has been heard."""

    async def heard() -> list[Any]:
        handle = await subscribe()
        # of the websocket API: an answer and the stream beside it
        handle = getattr(handle, "stream", handle)
        messages: list[Any] = []
        handle.on("message", messages.append)
        if then is not None:
            await asyncio.to_thread(then)
        while not messages:
            await asyncio.sleep(0.02)
        return messages

    found: list[Any] | None = await acheck(step, heard, WAIT_S)
    return found
