"""What stands around every endpoint: how often, how much, how long, and what a failure says.

`Edge.endpoint` makes a Starlette endpoint of a handler. The sender is known and within its rate before it runs;
a `Refused` becomes JSON with its status, anything else that is raised becomes a 500 that says nothing (the log says
what, without secrets). Whoever is refused at an endpoint that trades is written down, alike ones together.

The access log has no addresses of requests, because secrets stand in them: it tells the endpoint's name and what the
handler called itself (`Visit.who`).
"""

import logging
import math
import traceback
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from sqlite3 import Error as SqliteError
from typing import Any, Final

import msgspec
import trio
from attrs import define
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import Response

from mlthon.ops.audit import one_line
from mlthon.ops.web.addresses import Address, Network, sender, shown
from mlthon.ops.web.bodies import MOST_BYTES, Refused
from mlthon.ops.web.limits import Rates
from mlthon.ops.web.store import Rejection, WebhookStore
from mlthon.venue.scrub import scrub

log = logging.getLogger("mlthon.ops.web")
access = logging.getLogger("mlthon.ops.web.access")

BODY_S: Final = 5.0
"""How long the body of a request may take to come."""
AT_ONCE: Final = 64
"""Requests that are under way at once."""
AT_ONCE_ONE: Final = 16
"""Those of one sender."""
MOST_ANSWER: Final = 128 * 1024
"""The longest answer: what the engine can say in a frame, as JSON."""
FAILURES_A_SECOND: Final = 0.2
FAILURES_AT_ONCE: Final = 10
"""Wrong secrets of one sender, before it is not listened to any more."""
BURST_S: Final = 10.0
"""For so many seconds as many may come at once as come in that time."""
WRITES_A_SECOND: Final = 10.0
WRITES_AT_ONCE: Final = 50
"""Rejections that are written one by one; more than that are counted together."""
ALIKE_S: Final = 10.0
_HEADERS: Final = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}


@define
class Visit:
    """One request on its way. `who` is what it turned out to be (a bot's webhook, a connector): no secret, and shown
    in logs. `now`: s, of the clock of limits. `read`: its body was read to the end. `room`: what it takes of those that
    may be under way at once."""

    request: Request
    address: Address | None
    now: float
    who: str = ""
    read: bool = False
    room: "Room | None" = None

    @property
    def sender(self) -> str:
        """The address as it is limited and logged."""
        return shown(self.address)

    @property
    def unread(self) -> bool:
        """Whether there is a body that was not read: the connection is of no use any more."""
        headers = self.request.headers
        return not self.read and (headers.get("content-length", "0") != "0" or "transfer-encoding" in headers)


Handler = Callable[[Visit], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]


def answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer; a number that is none is null. Raises `Refused` where it is too long or no JSON."""
    try:
        body = msgspec.json.encode(value)
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError):
        raise Refused(502, "the answer is nothing that JSON can say") from None
    if len(body) > MOST_ANSWER:
        raise Refused(502, f"the answer has {len(body):,} bytes, more than the {MOST_ANSWER:,} that are sent")
    return Response(body, status, {**_HEADERS, **(headers or {})}, "application/json")


def plain(text: str, status: int = 200, media_type: str = "text/plain; charset=utf-8", **headers: str) -> Response:
    """A text as an answer, cut where it is too long."""
    return Response(
        text.encode("utf-8", "replace")[:MOST_ANSWER],
        status,
        {**_HEADERS, **{name.replace("_", "-"): value for name, value in headers.items()}},
        media_type,
    )


def refusal(refused: Refused, *, close: bool = False) -> Response:
    """The answer to whoever is refused. `close`: the connection is closed after it, and says so."""
    said = {"error": refused.message} | ({"hint": refused.hint} if refused.hint else {})
    headers = {**_HEADERS, **refused.headers, **({"connection": "close"} if close else {})}
    return Response(msgspec.json.encode(said), refused.status, headers, media_type="application/json")


async def read_body(visit: Visit) -> bytes:
    """The body, if it is short and comes soon. Whoever sends it slowly takes nobody's room meanwhile. Raises
    `Refused`."""
    if visit.room is None:
        return await _body_of(visit)
    visit.room.leave()
    body = await _body_of(visit)
    visit.room.enter()
    return body


async def _body_of(visit: Visit) -> bytes:
    request = visit.request
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length[:12]) > MOST_BYTES:
        raise _too_long()
    body = bytearray()
    with trio.move_on_after(BODY_S) as limit:
        try:
            async for chunk in request.stream():
                body += chunk
                if len(body) > MOST_BYTES:
                    raise _too_long()
        except ClientDisconnect:
            raise Refused(400, "the sender went away in the middle of the body") from None
    if limit.cancelled_caught:
        raise Refused(408, f"the body did not come within {BODY_S:g} s")
    visit.read = True
    return bytes(body)


def _too_long() -> Refused:
    return Refused(413, f"the body is longer than {MOST_BYTES:,} bytes")


def too_often(wait: float, what: str) -> Refused:
    """A 429 that says when to come again."""
    later = {"retry-after": str(max(1, math.ceil(wait)))}
    return Refused(429, f"too many {what}", "Come again later.", headers=later)


class Rejections:
    """Writes down who was refused: what comes again within `ALIKE_S` is counted with it, and a flood of different ones
    is one line."""

    def __init__(self, store: WebhookStore, wall: Callable[[], int]) -> None:
        self._store = store
        self._wall = wall
        self._rates = Rates(WRITES_A_SECOND, WRITES_AT_ONCE)
        self._alike: OrderedDict[tuple[str, str, str, int, str], tuple[float, int]] = OrderedDict()
        """By what is alike: when it was written last (s), and how many came since."""

    def note(self, now: float, address: str, what: str, who: str, status: int, reason: str) -> None:
        key = (address, what, one_line(who), status, one_line(reason))
        known = self._alike.get(key)
        if known is None and self._rates.take("", now) > 0:
            key = ("many", what, "", status, "more than are written one by one")
            known = self._alike.get(key)
        if known is not None:
            self._alike[key] = (known[0], known[1] + 1)
            if now - known[0] >= ALIKE_S:
                self.flush(now)
            return
        self._write(key, 1)
        self._alike[key] = (now, 0)
        if len(self._alike) > WRITES_AT_ONCE:
            old, (_, count) = self._alike.popitem(last=False)
            self._write(old, count)

    def flush(self, now: float = math.inf) -> None:
        """Write what was counted for `ALIKE_S`; without a time everything."""
        for key, (since, count) in list(self._alike.items()):
            if now - since >= ALIKE_S:
                self._write(key, count)
                if count and now < math.inf:
                    self._alike[key] = (now, 0)
                else:
                    del self._alike[key]

    def _write(self, key: tuple[str, str, str, int, str], count: int) -> None:
        if not count:
            return
        address, what, who, status, reason = key
        log.warning("refused %d x %s %s from %s: %d %s", count, what, who, address, status, reason)
        try:
            self._store.reject(Rejection(self._wall(), address, what, who, status, reason, count))
        except SqliteError as error:
            log.error("a rejection cannot be written down: %s", error)


class Edge:
    """See the module. `rate`: requests a second of one sender. `secrets`: what may stand in no log."""

    def __init__(
        self,
        store: WebhookStore,
        clock: Callable[[], float],
        wall: Callable[[], int],
        rate: float,
        trusted: tuple[Network, ...] = (),
        secrets: Iterable[str] = (),
    ) -> None:
        self.rejections = Rejections(store, wall)
        self.counts: dict[tuple[str, int], int] = {}
        """Requests by endpoint and status."""
        self._clock = clock
        self._trusted = trusted
        self._secrets = tuple(secrets)
        self._rates = Rates(rate, rate * BURST_S)
        self._failures = Rates(FAILURES_A_SECOND, FAILURES_AT_ONCE)
        self._under_way: dict[str, int] = {}

    def endpoint(self, what: str, handler: Handler, *, audited: bool = True, tokens: bool = False) -> Endpoint:
        """A Starlette endpoint. `what`: its name in logs. `audited`: who is refused is written down. `tokens`: it needs
        no secret, or is opened by tokens that were made here and cannot be guessed, so the right one is taken from an
        address that sent wrong ones too: alerts of many people come from the few addresses of TradingView."""

        async def serve(request: Request) -> Response:
            visit = self.visit(request)
            response = await self._served(what, handler, visit, audited, tokens)
            key = (what, response.status_code)
            self.counts[key] = self.counts.get(key, 0) + 1
            took = self._clock() - visit.now
            access.info(
                "%s %s %s %s: %d in %.1f ms",
                *(visit.sender, request.method, what, visit.who, response.status_code, 1e3 * took),
            )
            return response

        return serve

    def visit(self, request: HTTPConnection) -> Visit:
        """A request, and where it comes from."""
        peer = request.client.host if request.client is not None else None
        address = sender(peer, request.headers.getlist("x-forwarded-for"), self._trusted)
        return Visit(request, address, self._clock())  # type: ignore[arg-type]  # of a websocket it has all but the body

    def admit(self, visit: Visit, *, tokens: bool = False) -> None:
        """Raise `Refused` where the sender comes too often, or (but for `tokens`) has tried too many secrets."""
        wait = self._rates.take(visit.sender, visit.now)
        if wait:
            raise too_often(wait, "requests")
        wait = 0.0 if tokens else self._failures.wait(visit.sender, visit.now)
        if wait:
            raise too_often(wait, "wrong secrets")

    def wrong_secret(self, visit: Visit, message: str) -> Refused:
        """The refusal of a wrong secret; it counts against its sender."""
        wait = self._failures.take(visit.sender, visit.now)
        return too_often(wait, "wrong secrets") if wait else Refused(401, message)

    async def _served(self, what: str, handler: Handler, visit: Visit, audited: bool, tokens: bool) -> Response:
        try:
            self.admit(visit, tokens=tokens)
            visit.room = Room(self._under_way, visit.sender)
            with visit.room:
                return await handler(visit)
        except Refused as refused:
            if audited:
                self.rejections.note(visit.now, visit.sender, what, visit.who, refused.status, refused.audit)
            return refusal(refused, close=visit.unread)
        except Exception as error:  # noqa: BLE001 - whatever a request does, it does to itself
            self._failed(what, error)
            return refusal(Refused(500, "this failed here; the log says why"), close=visit.unread)

    def _failed(self, what: str, error: Exception) -> None:
        with suppress(Exception):
            text = "".join(traceback.format_exception(error))
            log.error("%s failed: %s", what, scrub(text, self._secrets))


class Room:
    """The room of one request among those that are under way at once. While this is entered it is taken; it may be left
    and entered again in between. Entering raises `Refused` where there is none."""

    def __init__(self, under_way: dict[str, int], name: str) -> None:
        self._under_way = under_way
        self._name = name
        self._taken = False

    def enter(self) -> None:
        if sum(self._under_way.values()) >= AT_ONCE:
            raise Refused(503, "too many requests are under way", "Come again later.", headers={"retry-after": "1"})
        if self._under_way.get(self._name, 0) >= AT_ONCE_ONE:
            raise too_often(1, "requests at once")
        self._under_way[self._name] = self._under_way.get(self._name, 0) + 1
        self._taken = True

    def leave(self) -> None:
        if not self._taken:
            return
        self._taken = False
        left = self._under_way[self._name] - 1
        if left:
            self._under_way[self._name] = left
        else:
            del self._under_way[self._name]

    def __enter__(self) -> None:
        self.enter()

    def __exit__(self, *_: object) -> None:
        self.leave()
