"""Lines of text out of a stream of bytes."""

from collections.abc import AsyncIterator

import trio

LONGEST_LINE = 1 << 16


async def lines_of(stream: trio.abc.ReceiveStream, longest: int = LONGEST_LINE) -> AsyncIterator[str]:
    """The lines of a stream until it ends, without their ends; one that is longer than `longest` bytes comes in
    pieces."""
    rest = b""
    async for chunk in stream:
        *lines, rest = (rest + bytes(chunk)).split(b"\n")
        if len(rest) > longest:
            lines, rest = [*lines, rest], b""
        for line in lines:
            yield line.decode("utf-8", "replace")
    if rest:
        yield rest.decode("utf-8", "replace")
