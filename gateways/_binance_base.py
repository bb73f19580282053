"""What Binance's spot and USD-M codecs share: spelling a call as a request, reading answers and refusals, questions
that both markets answer alike.

Parameters go in the query string, in the order in which Binance's own client sends them, so that a request of ours is
byte for byte the same. `recvWindow` is sent only where it differs from the exchange's default.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, ParamSpec, TypeVar
from urllib.parse import urlencode

import msgspec
from attrs import evolve

from gateways import _binance_facts as facts
from gateways._binance_instruments import instrument_of
from gateways._binance_native import METHODS, call_of
from mlthon.basics.defs import Exchange, GtwRejectCode
from mlthon.basics.instrument import Instrument
from mlthon.engine.clock import MS, SECOND
from mlthon.engine.tracker import TrackedOrder
from mlthon.protocols import binance_account as wire
from mlthon.protocols import binance_errors as errors
from mlthon.protocols import binance_user_data as user_data
from mlthon.protocols.binance_rules import LIMITS, USAGE_HEADERS, WEIGHT, Call, Spot, Usdm
from mlthon.protocols.binance_signing import (
    DEFAULT_RECV_WINDOW_MS,
    KEY_HEADER,
    MAX_AHEAD_MS,
    MAX_RECV_WINDOW_MS,
    RECV_WINDOW,
    TIMESTAMP,
    Signer,
)
from mlthon.venue.codec import BadMessage, Credentials, Endpoints, Question, Refused, Unsupported
from mlthon.venue.facts import Candle, ExecutionFact, Fact, LineInterrupted, LineReady, LineRefused, OrderFact, Reply
from mlthon.venue.native import PAUSE_S, decoded, texts
from mlthon.venue.rate_rules import RESERVE, RateRule, Usage
from mlthon.venue.wire import ORDER_TIMEOUT_S, QUESTION_TIMEOUT_S, HttpAnswer, HttpMessage, Priority, Request

T = TypeVar("T")
P = ParamSpec("P")
Listed = TypeVar("Listed", wire.Order, wire.AlgoOrder)
Params = list[tuple[str, str]]

NEW: Final = "new order"
NEW_STOP: Final = "new stop order"
MODIFY: Final = "modify order"
CANCEL: Final = "cancel order"
CANCEL_STOP: Final = "cancel stop order"
CANCEL_ALL: Final = "cancel all orders"
CANCEL_ALL_STOPS: Final = "cancel all stop orders"
DEAD_MAN: Final = "arm dead man's switch"

RECV_WINDOW_OPTION: Final = "recv_window_ms"
DAY_MS: Final = 86_400_000
MAX_AGE_S: Final = 23 * 3600.0
"""Binance cuts a websocket off after 24 hours."""
MOST_WINDOWS: Final = 60
"""Fills are looked for in so many windows of time at most; further back by id, from the first."""
PAGE: Final = 1000

_BANNED_UNTIL: Final = re.compile(r"banned until (\d+)")
_FORBIDDEN: Final = 403
_REQUEST_TIMEOUT: Final = 408
_LIMITED: Final = frozenset({429, 418, _FORBIDDEN})
_SURELY_FAILED: Final = "Service Unavailable."
"""With status 503 the one text that says that the request was not carried out (USD-M, general info)."""


class BinanceCodec(ABC):
    """One account on spot or USD-M. `trade_window_ms`: how long a span of time a question about fills may be about.
    `IGNORED`: events that say nothing more of orders, positions or wallets."""

    CALLS: "type[Spot] | type[Usdm]"
    IGNORED: frozenset[str]
    trade_window_ms: int
    has_dead_man = False

    def __init__(
        self,
        exchange: Exchange,
        account: str,
        instruments: Iterable[Instrument],
        endpoints: Endpoints,
        credentials: Credentials | None,
        options: Mapping[str, Any],
    ) -> None:
        self.exchange = exchange
        self.account = account
        self.endpoints = endpoints
        self.rules: Sequence[RateRule] = tuple(
            RateRule(name, limit, seconds, rolling=False, reserve=RESERVE if name == WEIGHT else 0.0)
            for name, limit, seconds in LIMITS[exchange]
        )
        self._by_symbol = {each.symbol: each for each in instruments}
        self._signer = (
            None
            if credentials is None
            else Signer(credentials.key, credentials.secret, credentials.kind, credentials.passphrase)
        )
        self._recv_window_ms = _recv_window(options)
        self.validity_s = (self._recv_window_ms + MAX_AHEAD_MS) / 1000

    # -- requests ----------------------------------------------------------------------------------------------------

    def _signing(self) -> Signer:
        if self._signer is None:
            raise Refused(f"account {self.account!r} has no API key: only public data can be asked for", final=True)
        return self._signer

    def _request(
        self,
        name: str,
        call: Call,
        params: Sequence[tuple[str, str]] = (),
        priority: Priority = Priority.QUESTION,
    ) -> Request:
        """A call as a request. Raises Refused without a key where one is needed."""
        signer = self._signing() if call.keyed else None
        headers = {} if signer is None else {KEY_HEADER: signer.key}
        sent = list(params)
        if call.signed and self._recv_window_ms != DEFAULT_RECV_WINDOW_MS:
            sent.append((RECV_WINDOW, str(self._recv_window_ms)))

        def build(now_ms: int) -> HttpMessage:
            if signer is not None and call.signed:
                query = signer.query([*sent, (TIMESTAMP, str(now_ms))])
            else:
                query = urlencode(sent)
            target = f"{call.path}?{query}" if query else call.path
            return HttpMessage(call.method, target, headers, base=call.base)

        timeout_s = QUESTION_TIMEOUT_S if priority is Priority.QUESTION else ORDER_TIMEOUT_S
        return Request(name, build, call.costs, priority, timeout_s)

    def _ask(self, name: str, call: Call, params: Sequence[tuple[str, str]], kind: type[T]) -> Question[T]:
        """Ask, and read the answer. Raises Refused, BadMessage."""
        answer = yield self._request(name, call, params)
        if answer.status != 200:
            raise refused(answer)
        return read(answer.body, kind)

    def _find(self, name: str, call: Call, params: Params, kind: type[T]) -> Question[T | None]:
        """The same of what may not exist."""
        answer = yield self._request(name, call, params)
        if answer.status != 200:
            if error_of(answer).code in errors.MISSING_ORDER:
                return None
            raise refused(answer)
        return read(answer.body, kind)

    def _optional(self, call: Call, params: Params | tuple[()], kind: type[T]) -> Question[T | None]:
        """Ask for what not every site has (test sites lack some calls); None where it is refused. A rate limit or a
        wrong key is a refusal of the whole question."""
        answer = yield self._request("account", call, params)
        if answer.status == 200:
            return read(answer.body, kind)
        refusal = refused(answer)
        if refusal.final or answer.status in _LIMITED:
            raise refusal
        return None

    def _key_rights(self, call: Call) -> Question[wire.ApiRestrictions]:
        """What the key may do, where the wallet's calls exist. A refusal, even for a wrong key, says nothing of the
        key here: sites that share keys with the main site do not share these calls."""
        answer = yield self._request("rights of the key", call)
        return read(answer.body, wire.ApiRestrictions) if answer.status == 200 else wire.ApiRestrictions()

    def _symbol_params(self, instrument: Instrument | None) -> Params:
        return [] if instrument is None else [("symbol", instrument.symbol)]

    def _known(self, symbol: str) -> Instrument | None:
        """The instrument of this symbol; None for one that this run does not know."""
        return self._by_symbol.get(symbol)

    def _read(self, listed: Iterable[Listed], make: Callable[[Listed, Instrument], OrderFact]) -> Sequence[OrderFact]:
        """The orders of a list whose instruments this run knows. Raises BadMessage."""
        return [understood(make, each, known) for each in listed if (known := self._known(each.symbol)) is not None]

    # -- lines -------------------------------------------------------------------------------------------------------

    def line_message(self, name: str, data: bytes, recv_ts: int) -> Iterable[Fact | str]:
        try:
            message = wire.decode(data, user_data.UserMessage)
            event = message.event or message.data or (msgspec.Raw(data) if message.kind else None)
            if event is not None:
                return self._event(name, event)
        except (ValueError, msgspec.MsgspecError) as problem:
            raise BadMessage(str(problem)) from problem
        error = message.error
        if error is None and message.code is not None:
            error = wire.ErrorBody(message.code, message.msg)
        if error is not None:
            return (LineRefused(line=name, reason=reason_of(error), final=error.code in errors.WRONG_KEY),)
        if self._subscribed(message):
            return (LineReady(line=name),)
        raise BadMessage("neither an event nor an answer")

    def _event(self, line: str, event: msgspec.Raw) -> Sequence[Fact]:
        kind = wire.decode(event, user_data.EventKind).kind
        if kind in user_data.INTERRUPTIONS:
            return (LineInterrupted(line=line, reason=user_data.INTERRUPTIONS[kind]),)
        if kind in self.IGNORED:
            return ()
        return self._told(kind, event)

    @abstractmethod
    def _subscribed(self, message: user_data.UserMessage) -> bool:
        """Whether it says that user data come from now on."""

    @abstractmethod
    def _told(self, kind: str, event: msgspec.Raw) -> Sequence[Fact]:
        """What an event says. Raises BadMessage for a kind that there is not, ValueError for what cannot be read."""

    # -- requests about orders ---------------------------------------------------------------------------------------

    def cancel_order(self, order: TrackedOrder) -> Request:
        params = [("symbol", order.instrument.symbol), facts.identity(order)]
        return self._request(CANCEL, self.CALLS.CANCEL, params, Priority.CANCEL)

    # -- answers to requests about orders ----------------------------------------------------------------------------

    def reply(self, request: Request, answer: HttpAnswer) -> Reply:
        if answer.status != 200:
            return refusal(request, answer)
        try:
            return self._accepted(request.name, answer)
        except ValueError as problem:
            raise BadMessage(f"answer to {request.name}: {problem}") from problem

    def _accepted(self, name: str, answer: HttpAnswer) -> Reply:
        """What an answer of status 200 says. Raises ValueError for one that cannot be understood."""
        if name in (NEW, CANCEL, MODIFY):
            return self._order_reply(name, wire.decode(answer.body, wire.Order))
        return Reply(accepted=True)

    def _order_reply(self, name: str, order: wire.Order) -> Reply:
        told = facts.order_facts(order, self._known(order.symbol))
        if name == CANCEL:
            return Reply(accepted=True, facts=told)
        return Reply(accepted=True, exchange_id=str(order.order_id), facts=told)

    # -- questions ---------------------------------------------------------------------------------------------------

    def server_time(self) -> Question[int]:
        said = yield from self._ask("server time", self.CALLS.TIME, (), wire.ServerTime)
        return said.server_time * MS

    def instruments(self) -> Question[Sequence[Instrument]]:
        info = yield from self._ask("instruments", self.CALLS.EXCHANGE_INFO, (), wire.ExchangeInfo)
        return [made for each in info.symbols if (made := instrument_of(self.exchange, each)) is not None]

    def candles(self, instrument: Instrument, interval_s: int, start: int, end: int) -> Question[Sequence[Candle]]:
        interval = wire.INTERVALS.get(interval_s)
        if interval is None or (interval == "1s" and self.exchange is not Exchange.Binance):
            raise Unsupported(f"{self.exchange} has no candles of {interval_s} s; it has {facts.intervals_text()}")
        return self._candles(instrument, interval, interval_s, start, end)

    def _candles(
        self, instrument: Instrument, interval: str, interval_s: int, start: int, end: int
    ) -> Question[Sequence[Candle]]:
        found: list[Candle] = []
        since, until = -(-start // MS), (end - 1) // MS
        while since <= until:
            params = [
                ("symbol", instrument.symbol),
                ("interval", interval),
                ("startTime", str(since)),
                ("endTime", str(until)),
                ("limit", str(PAGE)),
            ]
            page = yield from self._ask("candles", self.CALLS.KLINES, params, list[wire.Kline])
            found += [understood(facts.candle, row, instrument, interval_s) for row in page if since <= row[0] <= until]
            if len(page) < PAGE:
                break
            since = page[-1][0] + 1
        return found

    def executions(self, since: int, instrument: Instrument | None) -> Question[Sequence[ExecutionFact]]:
        found: list[ExecutionFact] = []
        for each in self._by_symbol.values() if instrument is None else (instrument,):
            trades = yield from self._trades(each, since // MS)
            ids = yield from self._wire_ids(each, [trade.order_id for trade in trades])
            found += [understood(facts.my_trade, trade, each, ids.get(trade.order_id, "")) for trade in trades]
        return sorted(found, key=lambda fact: fact.ts)

    def _trades(self, instrument: Instrument, since_ms: int) -> Question[Sequence[wire.MyTrade]]:
        """Fills from `since_ms` on. A question may be about a short span of time only, and not about time and ids at
        once: the first page is found by time, the others follow by id."""
        now_ms = (yield from self.server_time()) // MS
        found: list[wire.MyTrade] = []
        start = since_ms
        if now_ms - since_ms > MOST_WINDOWS * self.trade_window_ms:
            start = now_ms + 1
            next_id: int | None = 0
        else:
            next_id = None
        while start <= now_ms:
            end = min(start + self.trade_window_ms - 1, now_ms)
            span = [("startTime", str(start)), ("endTime", str(end))]
            found = yield from self._trade_page(instrument, span)
            if found:
                next_id = found[-1].id + 1 if len(found) == PAGE or end < now_ms else None
                break
            start = end + 1
        while next_id is not None:
            page = yield from self._trade_page(instrument, [("fromId", str(next_id))])
            found += page
            next_id = page[-1].id + 1 if len(page) == PAGE else None
        return [trade for trade in found if trade.time >= since_ms]

    def _trade_page(self, instrument: Instrument, where: Params) -> Question[list[wire.MyTrade]]:
        params = [("symbol", instrument.symbol), *where, ("limit", str(PAGE))]
        page = yield from self._ask("executions", self.CALLS.TRADES, params, list[wire.MyTrade])
        return sorted(page, key=lambda trade: trade.id)

    def _wire_ids(self, instrument: Instrument, order_ids: Sequence[int]) -> Question[Mapping[int, str]]:
        """Exchange's order id -> client order id: fills name only the former, and the acknowledgement that named both
        may have been lost. Empty where the call does not exist."""
        known: dict[int, str] = {}
        wanted = set(order_ids)
        while wanted:
            params = [("symbol", instrument.symbol), ("orderId", str(min(wanted))), ("limit", str(PAGE))]
            answer = yield self._request("orders of executions", self.CALLS.ALL_ORDERS, params)
            if answer.status == 404:
                break
            if answer.status != 200:
                raise refused(answer)
            page = read(answer.body, list[wire.Order])
            known.update((order.order_id, order.client_order_id) for order in page)
            last = max((order.order_id for order in page), default=0)
            wanted = {each for each in wanted if each > last} if len(page) >= PAGE else set()
        return known

    def open_orders(self, instrument: Instrument | None) -> Question[Sequence[OrderFact]]:
        call = self.CALLS.ALL_OPEN_ORDERS if instrument is None else self.CALLS.OPEN_ORDERS
        orders = yield from self._ask("open orders", call, self._symbol_params(instrument), list[wire.Order])
        return self._read(orders, facts.order_fact)

    def order_status(self, order: TrackedOrder) -> Question[OrderFact | None]:
        params = [("symbol", order.instrument.symbol), ("origClientOrderId", order.wire_id)]
        found = yield from self._find("order status", self.CALLS.ORDER, params, wire.Order)
        return None if found is None else understood(facts.order_fact, found, order.instrument)

    def native(self, path: str, version: str, method: str, params: Mapping[str, Any]) -> Question[Any]:
        """See `mlthon.venue.native.NativeCodec`."""
        if method not in METHODS:
            raise Refused(f"{method} {path}: Binance's calls are {', '.join(METHODS)}")
        call = call_of(self.exchange, path, version, method, params)
        if call.base not in self.endpoints.urls:
            raise Refused(f"{path}: the {self.endpoints.environment} site has no such calls")
        if not call.signed and self._signer is None:
            call = evolve(call, keyed=False)
        answer = yield self._request(f"{method} {call.path}", call, texts(params))
        if answer.status == 200:
            return decoded(answer)
        trouble = refused(answer)
        if trouble.retry_after_s is None and answer.status in _LIMITED:
            trouble.retry_after_s = PAUSE_S
        raise trouble

    # -- rate limits -------------------------------------------------------------------------------------------------

    def usage(self, request: Request, answer: HttpAnswer) -> Iterable[Usage]:
        told = [
            Usage(rule, used=int(text))
            for header, rule in USAGE_HEADERS.items()
            if (text := answer.headers.get(header, "")).isascii() and text.isdigit()
        ]
        if answer.status in _LIMITED and (wait_s := retry_after_s(answer)) is not None:
            until = answer.recv_ts + int(wait_s * SECOND)
            told += [Usage(rule, banned_until=until) for rule in self._banned(request, answer)]
        return told

    def _banned(self, request: Request, answer: HttpAnswer) -> Sequence[str]:
        """The rules a refusal is about: orders, weight, or all (a ban of the address)."""
        if answer.status == 429:
            of_orders = error_of(answer).code == errors.TOO_MANY_ORDERS
            return [name for name, _ in request.costs if (name != WEIGHT) == of_orders] or [WEIGHT]
        return [rule.name for rule in self.rules]


def _recv_window(options: Mapping[str, Any]) -> int:
    unknown = sorted(set(options) - {RECV_WINDOW_OPTION})
    if unknown:
        raise ValueError(f"Binance has no option {unknown[0]!r}; it has {RECV_WINDOW_OPTION}")
    value = options.get(RECV_WINDOW_OPTION, DEFAULT_RECV_WINDOW_MS)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= MAX_RECV_WINDOW_MS:
        raise ValueError(f"{RECV_WINDOW_OPTION} must be a whole number from 1 to {MAX_RECV_WINDOW_MS}, not {value!r}")
    return value


def read(body: bytes, kind: type[T]) -> T:
    """An answer as a message of this kind. Raises BadMessage."""
    try:
        return wire.decode(body, kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as problem:
        raise BadMessage(f"not the answer that was expected: {problem}") from problem


def understood(make: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """`make(...)`, with a number that is no number, or on no step, told as BadMessage."""
    try:
        return make(*args, **kwargs)
    except ValueError as problem:
        raise BadMessage(str(problem)) from problem


def error_of(answer: HttpAnswer) -> wire.ErrorBody:
    """What a refusal says; code 0 and the beginning of the text where it is no JSON (a proxy's page)."""
    try:
        return wire.decode(answer.body, wire.ErrorBody)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        text = " ".join(answer.body[:120].decode("utf-8", "replace").split())
        return wire.ErrorBody(0, f"HTTP {answer.status}: {text}")


def reason_of(error: wire.ErrorBody) -> str:
    """For people: the text, and the code."""
    return f"{error.msg} (code {error.code})" if error.code else error.msg


def retry_after_s(answer: HttpAnswer) -> float | None:
    """How long to wait: as `Retry-After` says, or the text of a ban. None: not said."""
    text = answer.headers.get("retry-after", "")
    if text.isascii() and text.isdigit():
        return float(text)
    until = _BANNED_UNTIL.search(error_of(answer).msg)
    return max(0.0, int(until[1]) / 1000 - answer.recv_ts / SECOND) if until else None


def refused(answer: HttpAnswer) -> Refused:
    """A refusal to answer a question."""
    error = error_of(answer)
    return Refused(reason_of(error), final=error.code in errors.WRONG_KEY, retry_after_s=retry_after_s(answer))


def refusal(request: Request, answer: HttpAnswer) -> Reply:
    """A refusal of a request about orders."""
    error = error_of(answer)
    reason = reason_of(error)
    if answer.status in _LIMITED or error.code in errors.RATE_LIMITED:
        return Reply(code=GtwRejectCode.RateLimited, reason=reason, limited=True, retry_after_s=retry_after_s(answer))
    lost = answer.status >= 500 or answer.status == _REQUEST_TIMEOUT
    if error.code in errors.STATE_UNKNOWN or (lost and error.msg != _SURELY_FAILED):
        return Reply(reason=reason, unknown=True)
    if error.code == errors.CANCEL_REJECTED and request.name in (CANCEL_ALL, CANCEL_ALL_STOPS):
        return Reply(accepted=True)  # that is how spot says that there was nothing to cancel
    missing = error.code in errors.MISSING_ORDER and request.name in (CANCEL, CANCEL_STOP, MODIFY)
    return Reply(code=errors.reject_code(error.code, error.msg), reason=reason, missing=missing)
