"""What BitMEX is asked, and how its requests are signed: the half of the codec that holds no state but the keys and
what is known of instruments and currencies.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

import msgspec

from gateways._bitmex_facts import Rows
from mlthon.basics.instrument import Instrument
from mlthon.engine.clock import SECOND
from mlthon.engine.tracker import TrackedOrder
from mlthon.protocols import bitmex as spelling
from mlthon.protocols import bitmex_messages as wire
from mlthon.venue.codec import Credentials, Question, Refused, Unsupported
from mlthon.venue.facts import AccountFact, Candle, ExecutionFact, FundingFact, OrderFact, PositionFact, WalletFact
from mlthon.venue.native import PAUSE_S, decoded, texts
from mlthon.venue.wire import HttpAnswer, HttpMessage, Request

PAGE: Final = 500
"""The most rows of orders and executions in one answer (https://www.bitmex.com/app/restAPI)."""
BINS_PAGE: Final = 1000
BINS: Final[Mapping[int, str]] = {60: "1m", 300: "5m", 3600: "1h", 86_400: "1d"}

BAD: Final = (msgspec.MsgspecError, ValueError)
T = TypeVar("T")
Params = Mapping[str, str | int | bool]


class Questions:
    """The questions of `mlthon.venue.codec.Codec`. `validity`: for how many seconds a request may be accepted."""

    def __init__(self, instruments: Iterable[Instrument], credentials: Credentials | None, validity: int) -> None:
        self._credentials = credentials
        self._validity = validity
        self._rows = Rows(instruments)

    def server_time(self) -> Question[int]:
        # unsigned: until it is answered nobody knows by which clock a signature would expire
        version = yield from self._get("server time", "", {}, wire.VersionRow, signed=False)
        return version.timestamp * 1_000_000

    def instruments(self) -> Question[Sequence[Instrument]]:
        rows = yield from self._get("instruments", "/instrument/active", {}, list[wire.InstrumentRow])
        if any(row.settl_currency and row.settl_currency not in self._rows.coins for row in rows):
            yield from self._learn()
        return read(lambda: [made for row in rows if (made := self._rows.listed(row)) is not None])

    def account_info(self) -> Question[AccountFact]:
        """Permissions are those of GET /apiKey; a key that may not ask leaves them open."""
        user = yield from self._get("account", "/user", {}, wire.UserRow)
        permissions: list[str] | None = None
        try:
            keys = yield from self._get("permissions", "/apiKey", {}, list[wire.KeyRow])
            permissions = next((key.permissions for key in keys if key.id == self._keys().key), None)
        except Refused as refused:
            # Its keys are good, as the question before shows: this one may not look at itself.
            if refused.retry_after_s is not None:
                raise
        positions = yield from self._get("positions", "/position", {}, list[wire.PositionRow])
        hedged = sorted({row.symbol for row in positions if row.strategy in ("Long", "Short")})
        notes = [
            f"{row.symbol}: {'cross' if row.cross_margin else 'isolated'} margin, leverage {row.leverage:g}"
            for row in positions
            if row.leverage is not None and row.symbol in self._rows.instruments
        ]
        modes = {row.cross_margin for row in positions if row.leverage is not None}
        return AccountFact(
            user_id=str(user.id),
            position_mode="hedge" if hedged else "one-way",
            margin_mode="" if len(modes) != 1 else "cross" if True in modes else "isolated",
            fees=", ".join(f"{row.symbol} {row.commission}" for row in positions if row.commission is not None),
            may_trade=None if permissions is None else "order" in permissions,
            may_withdraw=None if permissions is None else "withdraw" in permissions,
            refusal=f"hedge mode is not supported: {', '.join(hedged)}" if hedged else "",
            notes=tuple(notes),
        )

    def open_orders(self, instrument: Instrument | None) -> Question[Sequence[OrderFact]]:
        asked = {**symbol(instrument), "filter": '{"open":true}'}
        rows = yield from self._pages("open orders", "/order", asked, list[wire.OrderRow], {"reverse": True})
        each = {row.order_id: row for row in rows}.values()
        return read(lambda: [fact for row in each if (fact := self._rows.order(row)) is not None])

    def order_status(self, order: TrackedOrder) -> Question[OrderFact | None]:
        which = {"clOrdID": order.wire_id} if order.wire_id else {"orderID": order.exchange_id}
        params: Params = {"symbol": order.instrument.symbol, "filter": encode(which).decode(), "reverse": True}
        rows = yield from self._get("order status", "/order", params, list[wire.OrderRow])
        return read(lambda: self._rows.order(rows[0])) if rows else None

    def executions(self, since: int, instrument: Instrument | None) -> Question[Sequence[ExecutionFact]]:
        asked = {**symbol(instrument), "startTime": spelling.timestamp(since)}
        rows = yield from self._pages("executions", "/execution/tradeHistory", asked, list[wire.ExecutionRow])
        facts = read(lambda: [fact for row in rows if (fact := self._rows.execution(row)) is not None])
        return sorted((fact for fact in facts if fact.ts >= since), key=lambda fact: fact.ts)

    def positions(self, instrument: Instrument | None) -> Question[Sequence[PositionFact]]:
        params = {} if instrument is None else {"filter": encode({"symbol": instrument.symbol}).decode()}
        rows = yield from self._get("positions", "/position", params, list[wire.PositionRow])
        return read(lambda: [fact for row in rows if (fact := self._rows.position(row)) is not None])

    def wallet(self) -> Question[Sequence[WalletFact]]:
        """Margin currencies with what is available of them, then the spot coins that are none."""
        every = {"currency": "all"}
        margins = yield from self._get("margin", "/user/margin", every, list[wire.MarginRow])
        wallets = yield from self._get("wallet", "/user/wallet", every, list[wire.WalletRow])
        covered = {row.currency for row in margins}
        if any(currency not in self._rows.coins for currency in covered | {row.currency for row in wallets}):
            yield from self._learn()
        return read(
            lambda: (
                [self._rows.margin(row) for row in margins]
                + [self._rows.wallet(row) for row in wallets if row.currency not in covered]
            )
        )

    def funding(self, instrument: Instrument) -> Question[FundingFact]:
        rows = yield from self._get("funding", "/instrument", symbol(instrument), list[wire.InstrumentRow])
        row = next((row for row in rows if row.symbol == instrument.symbol), None)
        if row is None or row.funding_rate is None or not row.funding_timestamp:
            raise Refused(f"{instrument} has no funding", final=True)
        next_ts = read(lambda: spelling.nanoseconds(row.funding_timestamp or ""))
        return FundingFact(instrument=instrument, rate=row.funding_rate, next_ts=next_ts)

    def candles(self, instrument: Instrument, interval_s: int, start: int, end: int) -> Question[Sequence[Candle]]:
        """Bins bear the time of their END, so the times asked for lie an interval later."""
        size = BINS.get(interval_s)
        if size is None:
            known = ", ".join(BINS.values())
            raise Unsupported(f"BitMEX has no candles of {interval_s} s, only {known}")
        later = interval_s * SECOND
        asked: Params = {
            "symbol": instrument.symbol,
            "binSize": size,
            "partial": False,
            "startTime": spelling.timestamp(start + later),
            "endTime": spelling.timestamp(end + later),
        }
        rows = yield from self._pages("candles", "/trade/bucketed", asked, list[wire.BinRow], {}, BINS_PAGE)
        found = read(lambda: [self._rows.candle(row, instrument, interval_s) for row in rows])
        return [candle for candle in found if candle is not None and start <= candle.open_ts < end]

    def native(self, path: str, version: str, method: str, params: Mapping[str, Any]) -> Question[Any]:
        """Any call of the exchange's own, by its path below `/api/v1`; gives what it answers. `version`: `public` or
        `private`; what has keys is signed either way."""
        target = f"{spelling.API}/{path.removeprefix('api/v1/')}"
        body = b""
        if method == "GET":
            query = urlencode(texts(params))
            target += f"?{query}" if query else ""
        elif params:
            body = encode(dict(params))
        request = Request(path, lambda now_ms: self._message(method, target, body, now_ms), ((spelling.MINUTE, 1),))
        answer = yield request
        if answer.status != 200:
            pause = retry_after(answer) or (PAUSE_S if answer.status == 429 else None)
            raise Refused(reason_of(answer), retry_after_s=pause)
        return decoded(answer)

    def _learn(self) -> Question[None]:
        self._rows.learn((yield from self._get("assets", "/wallet/assets", {}, list[wire.AssetRow])))

    def _get(self, name: str, path: str, params: Params, kind: type[T], *, signed: bool = True) -> Question[T]:
        query = urlencode(
            {key: str(value).lower() if isinstance(value, bool) else value for key, value in params.items()}
        )
        target = f"{spelling.API}{path}" + (f"?{query}" if query else "")
        request = Request(
            name, lambda now_ms: self._message("GET", target, b"", now_ms, signed), ((spelling.MINUTE, 1),)
        )
        answer = yield request
        if answer.status != 200:
            reason = reason_of(answer)
            raise Refused(reason, final=spelling.is_final(reason), retry_after_s=retry_after(answer))
        return read(lambda: msgspec.json.decode(answer.body, type=kind))

    def _pages(
        self,
        name: str,
        path: str,
        asked: Params,
        kind: type[list[T]],
        after: Params | None = None,
        size: int = PAGE,
    ) -> Question[list[T]]:
        found: list[T] = []
        while True:
            params = {**asked, "count": size, "start": len(found), **(after or {})}
            rows = yield from self._get(name, path, params, kind)
            found += rows
            if len(rows) < size:
                return found

    def _keys(self) -> Credentials:
        if self._credentials is None:
            raise Unsupported("this needs the keys of an account")
        return self._credentials

    def _expires(self, now_ms: int) -> int:
        return now_ms // 1000 + self._validity

    def _message(self, verb: str, target: str, body: bytes, now_ms: int, signed: bool = True) -> HttpMessage:
        headers = {"accept": "application/json"}
        if body:
            headers["content-type"] = "application/json"
        if signed and self._credentials is not None:
            expires = self._expires(now_ms)
            headers["api-key"] = self._credentials.key
            headers["api-expires"] = str(expires)
            headers["api-signature"] = spelling.sign(self._credentials.secret, verb, target, expires, body.decode())
        return HttpMessage(verb, target, headers, body)


encode: Final = msgspec.json.encode


def symbol(instrument: Instrument | None) -> dict[str, str]:
    return {} if instrument is None else {"symbol": instrument.symbol}


def read(said: Callable[[], T]) -> T:
    """What an answer says, or Refused where it cannot be understood."""
    try:
        return said()
    except BAD as error:
        raise Refused(f"the answer cannot be understood: {error}") from error


def whole(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else None


def retry_after(answer: HttpAnswer) -> float | None:
    seconds = whole(answer.headers, spelling.RETRY_HEADER)
    if seconds is not None:
        return float(seconds)
    return spelling.OVERLOADED_RETRY_S if answer.status == 503 else None


def reason_of(answer: HttpAnswer) -> str:
    """The message of an error's body; a proxy's page has none."""
    try:
        message = wire.decode_error(answer.body).error.message
    except msgspec.MsgspecError:
        message = ""
    return message or f"HTTP status {answer.status}"
