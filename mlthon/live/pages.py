"""Carries out the requests of Crypto Arsenal strategies to addresses outside: `CA.get_request`, `CA.post_request`.

`Pages` is a service of a paper or live run: the strategy's callback waits for its answer, the engine does not. In a
backtest, where the market waits, `fetch_at_once` keeps the whole run until there is an answer.
"""

import codecs
import logging
from collections.abc import Callable
from typing import Any, Final

import httpx
import trio

from mlthon.arsenal.pages import MOST_BYTES, Fetched, Page, PageRequest, RequestFailed
from mlthon.live.http import HEADERS
from mlthon.live.services import Host

MOST_WAITING: Final = 100
"""Requests that may be under way: each strategy has one at a time."""
MOST_REDIRECTS: Final = 5

Answered = Callable[[Fetched], None]


class Pages:
    """See the module. Give `fetch` to the strategies before the run starts."""

    name = "requests of strategies"

    def __init__(self) -> None:
        _be_quiet()
        self._asked, self._asks = trio.open_memory_channel[tuple[PageRequest, Answered]](MOST_WAITING)

    def fetch(self, request: PageRequest, answered: Answered) -> None:
        """As of `mlthon.arsenal.pages.Fetch`, in the engine's turn."""
        try:
            self._asked.send_nowait((request, answered))
        except (trio.WouldBlock, trio.BrokenResourceError):
            answered(RequestFailed(f"{request.host}: the run carries out no more requests"))

    async def serve(self, host: Host, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carry out what is asked until cancelled."""
        async with (
            httpx.AsyncClient(max_redirects=MOST_REDIRECTS, timeout=None, headers=HEADERS) as client,
            trio.open_nursery() as nursery,
            self._asks,
        ):
            task_status.started()
            async for request, answered in self._asks:
                nursery.start_soon(_carry_out, client, request, answered, host)


async def _carry_out(client: httpx.AsyncClient, request: PageRequest, answered: Answered, host: Host) -> None:
    found: Fetched = _too_late(request)
    with trio.move_on_after(request.timeout_s):
        found = await _fetched(client, request)
    host.deliver(answered, found)


async def _fetched(client: httpx.AsyncClient, request: PageRequest) -> Fetched:
    try:
        body = bytearray()
        async with client.stream(**_arguments(request)) as response:
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MOST_BYTES:
                    return _too_large(request)
        return _page(response, bytes(body))
    except Exception as error:  # noqa: BLE001 - a proxy or an odd answer makes the library raise what is none of its own
        return _failed(request, error)


def fetch_at_once(request: PageRequest, answered: Answered) -> None:
    """As of `mlthon.arsenal.pages.Fetch`: everything waits."""
    _be_quiet()
    answered(trio.run(_alone, request))


async def _alone(request: PageRequest) -> Fetched:
    with trio.move_on_after(request.timeout_s):
        async with httpx.AsyncClient(max_redirects=MOST_REDIRECTS, timeout=None, headers=HEADERS) as client:
            return await _fetched(client, request)
    return _too_late(request)


def _be_quiet() -> None:
    """The libraries log whole addresses, which may have keys in them."""
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _arguments(request: PageRequest) -> dict[str, Any]:
    return {
        "method": request.method,
        "url": request.url,
        "headers": dict(request.headers),
        "content": request.body or None,
        "follow_redirects": request.redirects,
    }


def _page(response: httpx.Response, body: bytes) -> Page:
    return Page(
        status_code=response.status_code,
        headers=response.headers,
        content=body,
        encoding=_encoding(response),
        url=str(response.url),
    )


def _encoding(response: httpx.Response) -> str:
    """What the answer says it is written in, where Python knows that."""
    try:
        return codecs.lookup(response.charset_encoding or "utf-8").name
    except LookupError:
        return "utf-8"


def _too_late(request: PageRequest) -> RequestFailed:
    return RequestFailed(f"{request.host}: no answer within {request.timeout_s:g} s")


def _too_large(request: PageRequest) -> RequestFailed:
    return RequestFailed(f"{request.host}: an answer of more than {MOST_BYTES:,} bytes is not taken")


def _failed(request: PageRequest, error: Exception) -> RequestFailed:
    """Without the library's words where they may show headers or an address, and keys in them."""
    told = isinstance(error, httpx.TransportError) and not isinstance(error, httpx.LocalProtocolError) and str(error)
    return RequestFailed(f"{request.host}: {type(error).__name__}{f': {error}' if told else ''}")
