"""asyncio in several threads that are greenlets of one: each has its own running loop.

asyncio keeps the running loop by the thread of the operating system. What a thread sets is noted with it; `Threads`
puts it in place whenever that thread is resumed, and takes it away afterwards.
"""

import asyncio
import asyncio.events

from mlthon.link.simulated.threads import threads


def install() -> None:
    """Note which loop runs in which thread; before a bot or a library takes hold of the functions."""
    plain = asyncio.events._set_running_loop

    def set_running_loop(loop: asyncio.AbstractEventLoop | None, /) -> None:
        threads.current.loop = loop
        plain(loop)

    threads.set_loop = plain  # type: ignore[assignment]
    asyncio.events._set_running_loop = set_running_loop
    asyncio._set_running_loop = set_running_loop
