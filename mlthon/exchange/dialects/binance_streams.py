"""Binance's streams: one client's websocket under `/ws` or `/stream`, public streams and USD-M user data.

A stream is `symbol@name`, or a listen key. It is asked for in the URL (`/ws/a/b`, `/stream?streams=a/b`) or by
SUBSCRIBE. Under `/stream` messages are wrapped in `{"stream", "data"}`. What is not known stays silent, as with the
exchange. Depth diffs carry the book's change numbers (`U`, `u`, of USD-M `pu`), so that they continue the snapshot that
`/depth` answers.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import parse_qs

import msgspec

from mlthon.basics.instrument import Instrument
from mlthon.engine.clock import MS, SECOND
from mlthon.exchange.dialects import binance_rows as rows
from mlthon.exchange.dialects import binance_spot_rows as spot
from mlthon.exchange.dialects import binance_usdm_rows as usdm
from mlthon.exchange.served.account import ServedAccount
from mlthon.exchange.served.contract import ServerSocket
from mlthon.exchange.served.limits import Throttle
from mlthon.exchange.served.market import PublicTrade, ServedMarket
from mlthon.exchange.served.records import AccountListener, ServedExecution, ServedOrder

if TYPE_CHECKING:
    from mlthon.exchange.dialects.binance import BinanceDialect

Push = Callable[[rows.Row], None]

SPEEDS: Final = {"": None, "100ms": 100 * MS, "250ms": 250 * MS, "500ms": 500 * MS, "1000ms": SECOND}
KLINE_EVERY: Final = 250 * MS
"""How often an unfinished candle is pushed."""
DEPTHS: Final = {"depth5": 5, "depth10": 10, "depth20": 20}


class Stream(Protocol):
    """One subscribed stream."""

    def stop(self) -> None:
        """Nothing more is to be pushed."""


class PublicStream:
    """What every public stream has: a market it listens to and where it pushes. Subclasses say what of."""

    def __init__(self, market: ServedMarket, push: Push) -> None:
        self.market = market
        self.push = push
        self.clock = market.clock
        self.symbol = market.instrument.symbol
        market.listeners.append(self)

    def stop(self) -> None:
        if self in self.market.listeners:
            self.market.listeners.remove(self)

    def traded(self, market: ServedMarket, trade: PublicTrade) -> None:
        """A trade."""

    def level_changed(self, market: ServedMarket, side: int, price: int, qty: int) -> None:
        """A level."""

    def book_replaced(self, market: ServedMarket) -> None:
        """A new book."""

    def touched(self, market: ServedMarket) -> None:
        """A new touch."""


class TradeStream(PublicStream):
    """`trade` and `aggTrade`."""

    def __init__(self, market: ServedMarket, push: Push, aggregate: bool, usdm: bool) -> None:
        super().__init__(market, push)
        self._aggregate = aggregate
        self._usdm = usdm

    def traded(self, market: ServedMarket, trade: PublicTrade) -> None:
        head = {"e": "aggTrade" if self._aggregate else "trade", "E": self.clock.now // MS, "s": self.symbol}
        row = rows.aggregate_trade(market, trade)
        if self._aggregate:
            self.push(head | row)
            return
        number = row.pop("a")
        more = {"X": "MARKET"} if self._usdm else {}
        self.push(head | {"t": number, **{name: row[name] for name in ("p", "q", "T", "m", "M")}} | more)


class BookTickerStream(PublicStream):
    """`bookTicker`: the touch at each change."""

    def __init__(self, market: ServedMarket, push: Push, usdm: bool) -> None:
        super().__init__(market, push)
        self._usdm = usdm

    def touched(self, market: ServedMarket) -> None:
        row = rows.book_ticker(market)
        body = {"u": market.seq, "s": self.symbol, "b": row["bidPrice"], "B": row["bidQty"], "a": row["askPrice"],
                "A": row["askQty"]}  # fmt: skip
        now = self.clock.now // MS
        self.push({"e": "bookTicker", **body, "T": now, "E": now} if self._usdm else body)


class DepthStream(PublicStream):
    """`depth`: what changed since the last diff."""

    def __init__(self, market: ServedMarket, push: Push, every: int, usdm: bool) -> None:
        super().__init__(market, push)
        self._usdm = usdm
        self._changes: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self._known = (set(market.bids.qty), set(market.asks.qty))
        self._first = market.seq + 1
        self._last = market.seq
        self._throttle = Throttle(self.clock, every, self._due)

    def stop(self) -> None:
        super().stop()
        self._throttle.stop()

    def level_changed(self, market: ServedMarket, side: int, price: int, qty: int) -> None:
        self._changes[side < 0][price] = qty
        self._throttle.mark()

    def book_replaced(self, market: ServedMarket) -> None:
        for changes, known in zip(self._changes, self._known, strict=True):
            changes.update(dict.fromkeys(known | set(changes), 0))
        self._throttle.mark()

    def _due(self) -> None:
        market, instrument = self.market, self.market.instrument
        now = self.clock.now // MS
        sides = []
        for changes, known in zip(self._changes, self._known, strict=True):
            sides.append([[rows.price(instrument, price), rows.qty(instrument, qty)] for price, qty in changes.items()])
            known.difference_update(price for price, qty in changes.items() if not qty)
            known.update(price for price, qty in changes.items() if qty)
            changes.clear()
        body = {"e": "depthUpdate", "E": now, "s": self.symbol, "U": self._first, "u": market.seq}
        if self._usdm:
            body |= {"T": now, "pu": self._last}
        self.push({**body, "b": sides[0], "a": sides[1]})
        self._last = market.seq
        self._first = market.seq + 1


class TopStream(PublicStream):
    """`depth5`, `depth10`, `depth20`: the best levels whole."""

    def __init__(self, market: ServedMarket, push: Push, every: int, count: int, usdm: bool) -> None:
        super().__init__(market, push)
        self._count = count
        self._usdm = usdm
        self._last = market.seq
        self._throttle = Throttle(self.clock, every, self._due)
        self._throttle.mark()

    def stop(self) -> None:
        super().stop()
        self._throttle.stop()

    def level_changed(self, market: ServedMarket, side: int, price: int, qty: int) -> None:
        self._throttle.mark()

    def book_replaced(self, market: ServedMarket) -> None:
        self._throttle.mark()

    def _due(self) -> None:
        market = self.market
        bids, asks = (rows.levels(market, side, self._count) for side in (1, -1))
        now = self.clock.now // MS
        if self._usdm:
            self.push({"e": "depthUpdate", "E": now, "T": now, "s": self.symbol, "U": self._last, "u": market.seq,
                       "pu": self._last, "b": bids, "a": asks})  # fmt: skip
        else:
            self.push({"lastUpdateId": market.seq, "bids": bids, "asks": asks})
        self._last = market.seq


class SampledStream(PublicStream):
    """A row pushed when something traded, and not more often than `every`; `idle`: also without a trade."""

    def __init__(
        self, market: ServedMarket, push: Push, every: int, row: Callable[[ServedMarket], rows.Row], idle: bool
    ) -> None:
        super().__init__(market, push)
        self._row = row
        self._every = every
        self._idle = idle
        self._throttle = Throttle(self.clock, every, self._due)
        self._throttle.mark()

    def stop(self) -> None:
        super().stop()
        self._throttle.stop()

    def traded(self, market: ServedMarket, trade: PublicTrade) -> None:
        self._throttle.mark()

    def _due(self) -> None:
        self.push(self._row(self.market))
        if self._idle:
            self._throttle.mark()


def _day(kind: str) -> Callable[[ServedMarket], rows.Row]:
    names = {
        "24hrTicker": {"p": "priceChange", "P": "priceChangePercent", "w": "weightedAvgPrice", "x": "prevClosePrice",
                       "c": "lastPrice", "Q": "lastQty", "b": "bidPrice", "B": "bidQty", "a": "askPrice",
                       "A": "askQty", "o": "openPrice", "h": "highPrice", "l": "lowPrice", "v": "volume",
                       "q": "quoteVolume", "O": "openTime", "C": "closeTime", "F": "firstId", "L": "lastId",
                       "n": "count"},
        "24hrMiniTicker": {"c": "lastPrice", "o": "openPrice", "h": "highPrice", "l": "lowPrice", "v": "volume",
                           "q": "quoteVolume"},
    }[kind]  # fmt: skip

    def row(market: ServedMarket) -> rows.Row:
        whole = rows.ticker(market)
        head = {"e": kind, "E": market.clock.now // MS, "s": market.instrument.symbol}
        return head | {short: whole[name] for short, name in names.items()}

    return row


def _mark(market: ServedMarket) -> rows.Row:
    row = rows.premium_index(market)
    return {"e": "markPriceUpdate", "E": row["time"], "s": row["symbol"], "p": row["markPrice"], "i": row["indexPrice"],
            "P": row["estimatedSettlePrice"], "r": row["lastFundingRate"], "T": row["nextFundingTime"]}  # fmt: skip


def _candle(name: str) -> Callable[[ServedMarket], rows.Row]:
    interval = rows.INTERVALS_S[name] * SECOND

    def row(market: ServedMarket) -> rows.Row:
        candles = market.candles(interval, 1)
        now = market.clock.now
        if not candles:
            return {"e": "kline", "E": now // MS, "s": market.instrument.symbol, "k": None}
        return rows.kline_event(market, candles[-1], interval, name, now)

    return row


def open_stream(market: ServedMarket, name: str, push: Push, usdm: bool) -> Stream | None:
    """The stream of this name (`trade`, `depth@100ms`, `kline_1m`, ...); None for one that there is not."""
    kind, _, speed = name.partition("@")
    if speed not in SPEEDS and not (kind == "markPrice" and speed == "1s"):
        return None
    usual = 250 * MS if usdm else SECOND
    every = SPEEDS.get(speed) or usual
    if kind in ("trade", "aggTrade"):
        return TradeStream(market, push, kind == "aggTrade", usdm)
    if kind == "bookTicker":
        return BookTickerStream(market, push, usdm)
    if kind == "depth":
        return DepthStream(market, push, every, usdm)
    if kind in DEPTHS:
        return TopStream(market, push, every, DEPTHS[kind], usdm)
    if kind == "markPrice" and usdm:
        return SampledStream(market, push, SECOND if speed == "1s" else 3 * SECOND, _mark, idle=True)
    if kind in ("ticker", "miniTicker"):
        return SampledStream(market, push, SECOND, _day("24hrTicker" if kind == "ticker" else "24hrMiniTicker"), True)
    family, _, interval = kind.partition("_")
    if family == "kline" and interval in rows.INTERVALS_S:
        return SampledStream(market, push, KLINE_EVERY, _candle(interval), idle=False)
    return None


class AccountStream(AccountListener):
    """What the user data of both markets have: the account that they listen to, and where they push. Subclasses say
    what of."""

    def __init__(self, account: ServedAccount, push: Push) -> None:
        self._account = account
        self._push = push
        account.listeners.append(self)

    def stop(self) -> None:
        if self in self._account.listeners:
            self._account.listeners.remove(self)

    def _is_new_fill(self, order: ServedOrder) -> bool:
        """Whether an order's change is a fill, of which `executed` tells: one message says both here."""
        told = order.extra.setdefault("told_fills", {})
        if told.get(id(self), 0) == len(order.executions):
            return False
        told[id(self)] = len(order.executions)
        return True


class UserStream(AccountStream):
    """USD-M user data: orders, conditional orders, positions and wallet."""

    def order_changed(self, order: ServedOrder) -> None:
        now = self._account.clock.now
        if order.stop_price is not None:
            self._push(usdm.algo_update(order, now))
            if not order.triggered:
                return
        if self._is_new_fill(order):
            return
        self._push(usdm.order_trade_update(order, None, now))

    def executed(self, execution: ServedExecution) -> None:
        self._push(usdm.order_trade_update(execution.order, execution, self._account.clock.now))

    def position_changed(self, instrument: Instrument) -> None:
        account = self._account
        market = account.exchange.markets[instrument]
        self._push(usdm.account_update(account, [market], [market.contract.coin], account.clock.now))

    def wallet_changed(self, coins: tuple[str, ...]) -> None:
        """A fill's change of cash was told with the position."""


class SpotUserStream(AccountStream):
    """Spot user data: orders and balances."""

    def order_changed(self, order: ServedOrder) -> None:
        if not self._is_new_fill(order):
            self._push(spot.execution_report(order, None, self._account.clock.now))

    def executed(self, execution: ServedExecution) -> None:
        self._push(spot.execution_report(execution.order, execution, self._account.clock.now))

    def position_changed(self, instrument: Instrument) -> None:
        """Spot has no positions."""

    def wallet_changed(self, coins: tuple[str, ...]) -> None:
        self._push(spot.account_position(self._account, list(coins), self._account.clock.now))


class StreamSocket:
    """One client's websocket."""

    def __init__(self, dialect: "BinanceDialect", socket: ServerSocket, combined: bool) -> None:
        self._dialect = dialect
        self._socket = socket
        self._combined = combined
        self._streams: dict[str, Stream | None] = {}
        query = parse_qs(socket.query)
        _, _, named = socket.path.partition("/ws/")
        wanted = [*named.split("/"), *query.get("streams", [""])[-1].split("/"), *query.get("listenKey", [])]
        for name in wanted:
            if name:
                self._open(name)

    def message(self, data: str | bytes) -> None:
        try:
            request = msgspec.json.decode(data)
        except msgspec.DecodeError:
            request = None
        if not isinstance(request, dict):
            self._send({"error": {"code": 3, "msg": "Invalid JSON: expected an object"}, "id": None})
            return
        number, params = request.get("id"), request.get("params")
        names = [str(each) for each in params] if isinstance(params, list) else []
        method = request.get("method")
        if method == "SUBSCRIBE":
            for name in names:
                self._open(name)
        elif method == "UNSUBSCRIBE":
            for name in names:
                self._close(name)
        elif method == "LIST_SUBSCRIPTIONS":
            self._send({"result": list(self._streams), "id": number})
            return
        elif method not in ("SET_PROPERTY", "GET_PROPERTY"):
            self._send({"error": {"code": 2, "msg": f"Invalid request: unknown method {method!r}"}, "id": number})
            return
        self._send({"result": None, "id": number})

    def closed(self) -> None:
        for stream in self._streams.values():
            if stream is not None:
                stream.stop()
        self._streams.clear()

    def _open(self, name: str) -> None:
        if name in self._streams:
            return
        dialect = self._dialect

        def push(data: rows.Row) -> None:
            self._send({"stream": name, "data": data} if self._combined else data)

        account = dialect.listener(name)
        if account is not None:
            self._streams[name] = UserStream(account, push)
            return
        symbol, _, kind = name.partition("@")
        market = dialect.served.market(symbol.upper())
        self._streams[name] = None if market is None else open_stream(market, kind, push, dialect.usdm)

    def _close(self, name: str) -> None:
        stream = self._streams.pop(name, None)
        if stream is not None:
            stream.stop()

    def _send(self, message: Any) -> None:
        self._socket.send(msgspec.json.encode(message).decode())
