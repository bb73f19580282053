"""What Bybit is asked, and how questions are signed: the half of the codec that holds no state but the keys and what is
known of instruments.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import quote

import msgspec

from gateways import _bybit_facts as facts
from gateways import _bybit_spelling as spelling
from gateways._bybit_native import native
from mlthon.basics.defs import GtwRejectCode
from mlthon.basics.instrument import Instrument
from mlthon.engine.clock import MS, SECOND
from mlthon.engine.tracker import TrackedOrder
from mlthon.protocols import bybit as tables
from mlthon.protocols import bybit_errors as errors
from mlthon.protocols import bybit_private as wire
from mlthon.venue.codec import BadMessage, Credentials, Question, Refused, Unsupported
from mlthon.venue.facts import (
    AccountFact,
    Candle,
    ExecutionFact,
    FundingFact,
    OrderFact,
    PositionFact,
    Reply,
    WalletFact,
    spot_position,
)
from mlthon.venue.scrub import scrub
from mlthon.venue.wire import HttpAnswer, HttpMessage, Request

T = TypeVar("T")
Params = dict[str, str]

IP_RULE: Final = "ip"
CLASSIC_ACCOUNT: Final = 1
PAGE: Final = {tables.OPEN_ORDERS: 50, tables.ORDER_HISTORY: 50, tables.EXECUTIONS: 100, tables.POSITIONS: 200}
KLINE_PAGE: Final = 1000
WEEK: Final = 7 * 86_400 * SECOND
"""The longest span that one question for executions may cover."""
SETTLE_COINS: Final = ("USDT", "USDC")
LIMITED_PAUSE_S: Final = 1.0
"""How long to wait after a question too many: the windows of its rules are seconds."""


class Questions:
    """The questions of `mlthon.venue.codec.Codec`. `window`: for how many milliseconds a request may be accepted."""

    def __init__(self, instruments: Iterable[Instrument], credentials: Credentials | None, window: int) -> None:
        self._window = window
        self._key = credentials.key if credentials else ""
        self._sign = tables.signer(credentials.kind, credentials.secret) if credentials else None
        self._known = {(tables.category(each), each.symbol): each for each in instruments}
        self._spots = [each for (category, _), each in self._known.items() if category == tables.SPOT]
        self._categories = tuple(c for c in tables.CATEGORIES if any(known == c for known, _ in self._known))

    def server_time(self) -> Question[int]:
        result, _ = yield from self._ask(tables.TIME, {}, public=True)
        return _fact(int, _decoded(wire.decode_time, result).time_nano)

    def instruments(self) -> Question[Sequence[Instrument]]:
        found: list[Instrument] = []
        for category in tables.CATEGORIES:
            params = {"category": category, "limit": "1000"}
            rows = yield from self._pages(tables.INSTRUMENTS, params, wire.decode_instrument_page, public=True)
            for row in rows:
                instrument = _fact(facts.instrument, row, category)
                if instrument is not None:
                    found.append(instrument)
        return found

    def account_info(self) -> Question[AccountFact]:
        result, _ = yield from self._ask(tables.QUERY_API, {})
        key = _decoded(wire.decode_key, result)
        result, _ = yield from self._ask(tables.ACCOUNT_INFO, {})
        account = _decoded(wire.decode_account, result)
        held = yield from self._held()
        hedged = [row.symbol for row in held if row.position_idx]
        leverages = {row.symbol: row.leverage for row in held if row.leverage and not row.position_idx}
        refusal = ""
        if account.unified_margin_status == CLASSIC_ACCOUNT:
            refusal = "it is a classic account; this gateway trades unified accounts"
        elif hedged:
            refusal = f"{', '.join(dict.fromkeys(hedged))} in hedge mode; set the position mode to one-way"
        granted = {permission for several in key.permissions.values() for permission in several or ()}
        return AccountFact(
            user_id=str(key.user_id),
            position_mode="hedge" if hedged else "one-way",
            margin_mode=account.margin_mode,
            fees="; ".join([f"tier {key.vip_level}"] * bool(key.vip_level) + (yield from self._fees())),
            may_trade=not key.read_only and bool(granted & {"Order", "SpotTrade"}),
            may_withdraw="Withdraw" in granted,
            refusal=refusal,
            notes=tuple(f"{symbol}: leverage {leverage}" for symbol, leverage in leverages.items()),
        )

    def _fees(self) -> Question[list[str]]:
        """What trading costs, by symbol; nothing where the exchange refuses to say (a test site without the call)."""
        found = []
        for category in self._categories:
            try:
                rows = yield from self._pages(tables.FEE_RATE, {"category": category}, wire.decode_fee_page)
            except Refused:
                continue
            known = [row for row in rows if (category, row.symbol) in self._known]
            found += [f"{row.symbol}: maker {row.maker_fee_rate}, taker {row.taker_fee_rate}" for row in known]
        return found

    def _held(self) -> Question[list[wire.Position]]:
        """The positions in what is known, empty ones too; a symbol in hedge mode has one of index 1 and one of 2."""
        found: list[wire.Position] = []
        for category, symbol in self._known:
            if category != tables.SPOT:
                params = {"category": category, "symbol": symbol}
                found += yield from self._pages(tables.POSITIONS, params, wire.decode_position_page)
        return found

    def open_orders(self, instrument: Instrument | None) -> Question[Sequence[OrderFact]]:
        found: list[OrderFact] = []
        for params in self._scopes(instrument):
            rows = yield from self._pages(tables.OPEN_ORDERS, params, wire.decode_order_page)
            found += self._order_facts(rows, params["category"])
        return found

    def order_status(self, order: TrackedOrder) -> Question[OrderFact | None]:
        params = spelling.named(order.instrument) | {"orderLinkId": order.wire_id}
        for path in (tables.OPEN_ORDERS, tables.ORDER_HISTORY):
            result, _ = yield from self._ask(path, params)
            found = self._order_facts(_decoded(wire.decode_order_page, result).list, params["category"])
            if found:
                return found[0]
        return None

    def executions(self, since: int, instrument: Instrument | None) -> Question[Sequence[ExecutionFact]]:
        now = yield from self.server_time()
        found: dict[tuple[Instrument, str], ExecutionFact] = {}
        scopes = [spelling.named(instrument)] if instrument else [{"category": each} for each in self._categories]
        for scope in scopes:
            for start in range(since, max(now, since + 1), WEEK):
                end = min(start + WEEK, max(now, since)) // MS
                params = scope | {"startTime": str(start // MS), "endTime": str(end)}
                rows = yield from self._pages(tables.EXECUTIONS, params, wire.decode_execution_page)
                for row in rows:
                    fact = _fact(facts.execution_fact, row, self._known, scope["category"])
                    if fact is not None and fact.ts >= since // MS * MS:
                        found[fact.instrument, fact.exec_id] = fact
        return sorted(found.values(), key=lambda fact: fact.ts)

    def positions(self, instrument: Instrument | None) -> Question[Sequence[PositionFact]]:
        """On spot: what the account holds of the base coin, in whole lots."""
        found: list[PositionFact] = []
        spots = [each for each in self._spots if instrument in (None, each)]
        if spots:
            held = {fact.coin: fact for fact in (yield from self.wallet())}
            found += [spot_position(each, held.get(each.base_currency or "")) for each in spots]
        for params in self._scopes(instrument):
            if params["category"] == tables.SPOT:
                continue
            rows = yield from self._pages(tables.POSITIONS, params, wire.decode_position_page)
            several = [_fact(facts.position_fact, row, self._known, params["category"]) for row in rows]
            found += [fact for fact in several if fact is not None]
        return found

    def wallet(self) -> Question[Sequence[WalletFact]]:
        result, said = yield from self._ask(tables.WALLET, {"accountType": "UNIFIED"})
        page = _decoded(wire.decode_wallet_page, result)
        return [_fact(facts.wallet_fact, coin, said.time * MS) for row in page.list for coin in row.coin]

    def funding(self, instrument: Instrument) -> Question[FundingFact]:
        if tables.category(instrument) == tables.SPOT:
            raise Unsupported(f"{instrument.name} is spot: it has no funding")
        result, _ = yield from self._ask(tables.TICKERS, spelling.named(instrument), public=True)
        rows = _decoded(wire.decode_ticker_page, result).list
        if len(rows) != 1 or not rows[0].funding_rate:
            raise Unsupported(f"{instrument.name} has no funding")
        try:
            next_ts = facts.time_ns(rows[0].next_funding_time)
            return FundingFact(instrument=instrument, rate=float(rows[0].funding_rate), next_ts=next_ts)
        except ValueError as error:
            raise BadMessage(str(error)) from error

    def candles(self, instrument: Instrument, interval_s: int, start: int, end: int) -> Question[Sequence[Candle]]:
        interval = tables.KLINE_INTERVALS.get(interval_s)
        if interval is None:
            known = ", ".join(map(str, tables.KLINE_INTERVALS))
            raise Unsupported(f"Bybit has no candles of {interval_s} s, only of {known}")
        found: dict[int, Candle] = {}
        span = KLINE_PAGE * interval_s * SECOND
        for begin in range(start, end, span):
            last = (min(begin + span, end) - 1) // MS
            window = {"start": str(-(-begin // MS)), "end": str(last), "interval": interval, "limit": str(KLINE_PAGE)}
            result, _ = yield from self._ask(tables.KLINE, spelling.named(instrument) | window, public=True)
            for row in _decoded(wire.decode_kline_page, result).list:
                candle = _fact(facts.candle, row, instrument, interval_s)
                if start <= candle.open_ts < end:
                    found[candle.open_ts] = candle
        return [found[opened] for opened in sorted(found)]

    def native(self, path: str, version: str, method: str, params: Mapping[str, Any]) -> Question[Any]:
        """See `mlthon.venue.native.NativeCodec`."""
        sign = None if version == "public" else self._signer()
        return native(sign, self._key, self._window, ((IP_RULE, 1),), path, method, params)

    def _order_facts(self, rows: Iterable[wire.Order], category: str) -> list[OrderFact]:
        several = [_fact(facts.order_fact, row, self._known, category) for row in rows]
        return [fact for fact in several if fact is not None]

    def _scopes(self, instrument: Instrument | None) -> list[Params]:
        """What to ask by: the instrument, or every category; linear has to be asked by what it settles in."""
        if instrument is not None:
            return [spelling.named(instrument)]
        scopes: list[Params] = []
        for category in self._categories:
            if category == tables.LINEAR:
                scopes += [{"category": category, "settleCoin": coin} for coin in SETTLE_COINS]
            else:
                scopes.append({"category": category})
        return scopes

    def _pages(
        self, path: str, params: Params, decode: Callable[[bytes], wire.Page[T]], *, public: bool = False
    ) -> Question[list[T]]:
        """All rows of a list."""
        found: list[T] = []
        asked = dict(params)
        if path in PAGE:
            asked["limit"] = str(PAGE[path])
        while True:
            result, _ = yield from self._ask(path, asked, public=public)
            page = _decoded(decode, result)
            found += page.list
            if not page.next_page_cursor or not page.list or page.next_page_cursor == asked.get("cursor"):
                return found
            asked["cursor"] = page.next_page_cursor

    def _ask(self, path: str, params: Params, *, public: bool = False) -> Question[tuple[bytes, wire.Answer]]:
        """The result of a question, and the whole answer."""
        # In alphabetical order, as the official client does. A cursor comes already escaped and goes back as it came.
        query = "&".join(f"{name}={quote(value, safe='%:,')}" for name, value in sorted(params.items()))
        target = f"{path}?{query}" if query else path
        sign = None if public else self._signer()

        def build(now_ms: int) -> HttpMessage:
            headers = tables.signed_headers(sign, self._key, now_ms, self._window, query) if sign else {}
            return HttpMessage("GET", target, headers)

        costs = ((IP_RULE, 1), (path, 1)) if path in tables.READ_LIMITS else ((IP_RULE, 1),)
        answer = yield Request(f"ask {path}", build, costs)
        refused = http_refusal(answer)
        if refused is not None:
            final = refused.code is GtwRejectCode.NotLoggedIn
            raise Refused(refused.reason, final=final, retry_after_s=refused.retry_after_s)
        said = _decoded(wire.decode_answer, answer.body)
        if said.ret_code != errors.OK:
            final = said.ret_code in errors.FINAL
            pause = LIMITED_PAUSE_S if said.ret_code in errors.LIMITED else None
            raise Refused(f"{self._words(said.ret_msg)} (code {said.ret_code})", final=final, retry_after_s=pause)
        return bytes(said.result), said

    def _words(self, text: str) -> str:
        """The exchange's words for people: where a signature is wrong they repeat the key."""
        return scrub(text, (self._key,))

    def _signer(self) -> tables.Signer:
        if self._sign is None:
            raise Unsupported("this needs an API key, and the account has none")
        return self._sign


def _decoded(decode: Callable[[bytes], T], data: bytes) -> T:
    try:
        return decode(data)
    except msgspec.MsgspecError as error:
        raise BadMessage(str(error)) from error


def _fact(make: Callable[..., T], *args: object) -> T:
    try:
        return make(*args)
    except ValueError as error:
        raise BadMessage(str(error)) from error


def http_refusal(answer: HttpAnswer) -> Reply | None:
    """What a status other than 200 says, whose body need not be JSON."""
    status = answer.status
    if status == 200:
        return None
    reason = f"HTTP {status}"
    if status == 403:
        return Reply(limited=True, code=GtwRejectCode.RateLimited, reason=reason, retry_after_s=tables.IP_BAN_S)
    if status == 429:
        return Reply(limited=True, code=GtwRejectCode.RateLimited, reason=reason, retry_after_s=LIMITED_PAUSE_S)
    if status >= 500:
        return Reply(unknown=True, reason=reason)
    return Reply(code=GtwRejectCode.NotLoggedIn if status == 401 else GtwRejectCode.InvalidRequest, reason=reason)
