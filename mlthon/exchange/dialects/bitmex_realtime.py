"""BitMEX's `/realtime`: one client's websocket, its tables and their partials.

A table is subscribed as `table` or `table:SYMBOL`. Each subscription is answered, then begins with a partial (the whole
table, an empty one too), then inserts, updates and deletes follow in the order of events.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

import msgspec

from mlthon.basics.defs import InstrumentType
from mlthon.basics.instrument import Instrument
from mlthon.engine.clock import MS, SECOND
from mlthon.exchange.dialects import bitmex_account_rows as account_rows
from mlthon.exchange.dialects import bitmex_rows as rows
from mlthon.exchange.served.account import ServedAccount
from mlthon.exchange.served.contract import ServerSocket
from mlthon.exchange.served.limits import Throttle
from mlthon.exchange.served.market import PublicTrade, ServedMarket
from mlthon.exchange.served.records import ServedExecution, ServedOrder
from mlthon.protocols import bitmex as wire

if TYPE_CHECKING:
    from mlthon.exchange.dialects.bitmex import BitmexDialect

Login = Callable[[str, str, str], ServedAccount | str]

KEYS: Final[dict[str, list[str]]] = {
    "trade": [],
    "quote": [],
    "orderBookL2": ["symbol", "id", "side"],
    "orderBookL2_25": ["symbol", "id", "side"],
    "orderBook10": ["symbol"],
    "instrument": ["symbol"],
    "funding": ["timestamp", "symbol"],
    "liquidation": ["orderID"],
    "tradeBin1m": [],
    "tradeBin5m": [],
    "tradeBin1h": [],
    "tradeBin1d": [],
    "order": ["orderID"],
    "execution": ["execID"],
    "position": ["account", "symbol"],
    "margin": ["account", "currency"],
    "wallet": ["account", "currency"],
    "transact": ["transactID"],
}
"""Every table that is served and what its rows are told apart by; funding, liquidation and transact stay empty."""

BINS_NS: Final = {"1m": 60 * SECOND, "5m": 300 * SECOND, "1h": 3600 * SECOND, "1d": 86_400 * SECOND}
PRIVATE: Final = frozenset({"order", "execution", "position", "margin", "wallet", "transact"})
LOGIN_NAMES: Final = ("api-key", "api-expires", "api-signature")
"""Of headers and of the query alike."""
DEEP: Final = 25
INSTRUMENT_EVERY: Final = SECOND
TOP_EVERY: Final = 100 * MS
LEVEL_TABLES: Final = ("orderBookL2", "orderBookL2_25")


class Realtime:
    """One client. Listens to the markets and the account that it subscribed to."""

    def __init__(self, dialect: "BitmexDialect", socket: ServerSocket, login: Login) -> None:
        self._dialect = dialect
        self._socket = socket
        self._login = login
        self._account: ServedAccount | None = None
        self._topics: dict[str, set[str]] = {}
        """Table -> symbols; "" stands for all of them."""
        self._markets: dict[Instrument, ServedMarket] = {}
        self._shown: dict[tuple[str, ServedMarket], tuple[dict[int, int], dict[int, int]]] = {}
        """What the client has of each book: quantities by price, of bids and of asks."""
        self._orders: dict[str, rows.Row] = {}
        self._throttles: dict[tuple[str, ServedMarket], Throttle] = {}
        self._bins: set[str] = set()
        self._over = False
        self._greet()

    def closed(self) -> None:
        self._over = True
        for market in self._markets.values():
            market.listeners.remove(self)
        self._markets.clear()
        if self._account is not None:
            self._account.listeners.remove(self)
        for throttle in self._throttles.values():
            throttle.stop()

    # -- in ----------------------------------------------------------------------------------------------------------

    def message(self, data: str | bytes) -> None:
        text = data if isinstance(data, str) else data.decode(errors="replace")
        if text.strip() == "ping":
            self._socket.send("pong")
            return
        try:
            request = msgspec.json.decode(text)
        except msgspec.DecodeError:
            self._error("Could not parse message as JSON.", text[:200])
            return
        if not isinstance(request, dict) or not isinstance(request.get("op"), str):
            self._error("Unrecognized request. Please send an object with an `op`.", request)
            return
        arguments = request.get("args")
        listed = arguments if isinstance(arguments, list) else [] if arguments is None else [arguments]
        operation = {
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
            "authKeyExpires": self._authenticate,
            "authKey": self._authenticate,
            "cancelAllAfter": self._cancel_all_after,
            "help": self._help,
        }.get(request["op"])
        if operation is None:
            self._error(f"Unknown op: {request['op']}", request)
        else:
            operation(listed, request)

    def _help(self, arguments: list[Any], request: dict[str, Any]) -> None:
        self._send({"info": "See https://www.bitmex.com/app/wsAPI", "request": request})

    def _greet(self) -> None:
        """The welcome, then what the URL or the headers ask for."""
        now = wire.timestamp(self._dialect.clock.now)
        self._send(
            {
                "info": "Welcome to the BitMEX Realtime API.",
                "version": "2.0.0",
                "timestamp": now,
                "docs": "https://www.bitmex.com/app/wsAPI",
                "heartbeatEnabled": False,
                "limit": {"remaining": wire.CONNECTIONS - 1},
            }
        )
        query = {name: values[-1] for name, values in parse_qs(self._socket.query).items()}
        given = [query.get(name) or self._socket.headers.get(name, "") for name in LOGIN_NAMES]
        if given[0]:
            self._authenticate(given, {"op": "authKeyExpires"})
        topics = [topic for topic in query.get("subscribe", "").split(",") if topic]
        if topics and not self._over:
            self._subscribe(topics, {"op": "subscribe", "args": topics})

    def _authenticate(self, arguments: list[Any], request: dict[str, Any]) -> None:
        # what is repeated to the client is not its signature
        shown = {"op": request.get("op"), "args": [str(arguments[0])] if arguments else []}
        if len(arguments) != 3:
            self._error("authKeyExpires takes a key, an expiry and a signature.", shown, 400)
            return
        found = self._login(*(str(each) for each in arguments))
        if isinstance(found, str):
            self._error(found, shown, 401)
            self._socket.close(1008, "unauthorized")
            return
        if self._account is None:
            self._account = found
            found.listeners.append(self)
        self._send({"success": True, "request": shown})

    def _cancel_all_after(self, arguments: list[Any], request: dict[str, Any]) -> None:
        if self._account is None:
            self._error("Not authenticated.", request, 401)
            return
        timeout = arguments[0] if arguments else None
        if not isinstance(timeout, int) or timeout < 0:
            self._error("cancelAllAfter takes a number of milliseconds.", request)
            return
        at = self._dialect.arm(self._account, timeout)
        now = wire.timestamp(self._dialect.clock.now)
        self._send({"now": now, "cancelTime": wire.timestamp(at) if timeout else 0, "request": request})

    def _subscribe(self, topics: list[Any], request: dict[str, Any]) -> None:
        for topic in topics:
            table, _, symbol = str(topic).partition(":")
            reason = self._refusal(table, symbol)
            if reason:
                self._error(reason, request, 401 if table in PRIVATE and self._account is None else 400)
                continue
            symbols = self._topics.setdefault(table, set())
            if symbol in symbols:
                self._error(f"You are already subscribed to this topic: {topic}", request)
                continue
            self._send({"success": True, "subscribe": str(topic), "request": request})
            symbols.add(symbol)
            self._begin(table, symbol)

    def _refusal(self, table: str, symbol: str) -> str:
        """Why a topic cannot be subscribed; empty if it can."""
        if table not in KEYS:
            return f"Unknown table: {table}"
        if table in PRIVATE and self._account is None:
            return f"User requested an account-locked subscription but no authorization was provided: {table}"
        if symbol and self._dialect.served.market(symbol) is None:
            return f"Unknown or expired symbol: {symbol}"
        return ""

    def _unsubscribe(self, topics: list[Any], request: dict[str, Any]) -> None:
        for topic in topics:
            table, _, symbol = str(topic).partition(":")
            self._topics.get(table, set()).discard(symbol)
            self._send({"success": True, "unsubscribe": str(topic), "request": request})

    # -- partials ----------------------------------------------------------------------------------------------------

    def _begin(self, table: str, symbol: str) -> None:
        """The partial of a subscription, and listening to what it needs."""
        served = self._dialect.served
        one = served.market(symbol) if symbol else None
        markets = [one] if one is not None else list(served.markets.values())
        data: list[rows.Row] = []
        if table in PRIVATE:
            data = self._private(table, symbol)
        else:
            for market in markets:
                data += self._public(table, market)
                if market.instrument not in self._markets:
                    self._markets[market.instrument] = market
                    market.listeners.append(self)
        if table.startswith("tradeBin"):
            self._next_bin(table, wake=False)
        self._send(
            {
                "table": table,
                "action": "partial",
                "keys": KEYS[table],
                "types": {name: _type(value) for name, value in data[0].items()} if data else {},
                "filter": {"symbol": symbol} if symbol else {},
                "data": data,
            }
        )

    def _public(self, table: str, market: ServedMarket) -> list[rows.Row]:
        if table in LEVEL_TABLES:
            count = DEEP if table.endswith("_25") else None
            self._shown[table, market] = (dict(market.levels(1, count)), dict(market.levels(-1, count)))
            asks = [rows.level_row(market, -1, *level) for level in reversed(market.levels(-1, count))]
            return asks + [rows.level_row(market, 1, *level) for level in market.levels(1, count)]
        if table == "orderBook10":
            return [_top_ten(market)]
        if table == "quote":
            return [rows.quote_row(market)] if market.mark is not None else []
        if table == "trade":
            last = market.last
            return [] if last is None else [self._trade(market, last)]
        if table == "instrument":
            return [rows.instrument_row(market)]
        if table.startswith("tradeBin"):
            interval = BINS_NS[table[8:]]
            candles = [each for each in market.candles(interval, 3) if each.start + interval <= self._dialect.clock.now]
            return [rows.bin_row(market, candles[-1], interval, None)] if candles else []
        return []

    def _private(self, table: str, symbol: str) -> list[rows.Row]:
        account = self._account
        if account is None:
            return []
        if table == "order":
            found = [rows.order_row(each) for each in account.open_orders() if symbol in ("", each.instrument.symbol)]
            self._orders.update({row["orderID"]: row for row in found})
            return found
        if table == "position":
            return [
                account_rows.position_row(account, market)
                for instrument, market in self._dialect.served.markets.items()
                if instrument in account.ledger.stakes
                and instrument.instrument_type is not InstrumentType.Spot
                and symbol in ("", instrument.symbol)
            ]
        if table == "margin":
            return [account_rows.margin_row(account, coin) for coin in account.coins()]
        if table == "wallet":
            return [account_rows.wallet_row(account, coin) for coin in account.coins()]
        return []

    # -- of markets --------------------------------------------------------------------------------------------------

    def traded(self, market: ServedMarket, trade: PublicTrade) -> None:
        if self._wants("trade", market):
            self._table("trade", "insert", [self._trade(market, trade)])
        self._later("instrument", market, INSTRUMENT_EVERY, self._push_instrument)

    def level_changed(self, market: ServedMarket, side: int, price: int, qty: int) -> None:
        if self._wants("orderBookL2", market):
            shown = self._shown["orderBookL2", market][side < 0]
            self._push_levels("orderBookL2", market, side, shown, [(price, qty)])
        self._later("orderBookL2_25", market, 0, self._push_25)
        self._later("orderBook10", market, TOP_EVERY, self._push_top)

    def book_replaced(self, market: ServedMarket) -> None:
        if self._wants("orderBookL2", market):
            for side, shown in zip((1, -1), self._shown["orderBookL2", market], strict=True):
                self._push_levels("orderBookL2", market, side, shown, [(price, 0) for price in list(shown)])
        self._later("orderBookL2_25", market, 0, self._push_25)

    def touched(self, market: ServedMarket) -> None:
        if self._wants("quote", market):
            self._table("quote", "insert", [rows.quote_row(market)])
        self._later("instrument", market, INSTRUMENT_EVERY, self._push_instrument)

    def _trade(self, market: ServedMarket, trade: PublicTrade) -> rows.Row:
        return rows.trade_row(market, trade, self._dialect.trade_id(market, trade.number))

    def _push_levels(
        self, table: str, market: ServedMarket, side: int, shown: dict[int, int], changes: list[tuple[int, int]]
    ) -> None:
        """Tell of levels whose quantity changed, by what the client has been shown."""
        told: dict[str, list[rows.Row]] = {"delete": [], "update": [], "insert": []}
        for price, qty in changes:
            if not qty:
                if shown.pop(price, None) is not None:
                    told["delete"].append(rows.level_row(market, side, price, None))
                continue
            action = "update" if price in shown else "insert"
            if shown.get(price) != qty:
                shown[price] = qty
                told[action].append(rows.level_row(market, side, price, qty))
        for action, data in told.items():
            if data:
                self._table(table, action, data)

    def _push_25(self, market: ServedMarket) -> None:
        for side, shown in zip((1, -1), self._shown["orderBookL2_25", market], strict=True):
            best = dict(market.levels(side, DEEP))
            gone = [(price, 0) for price in shown if price not in best]
            self._push_levels("orderBookL2_25", market, side, shown, gone + list(best.items()))

    def _push_top(self, market: ServedMarket) -> None:
        self._table("orderBook10", "update", [_top_ten(market)])

    def _push_instrument(self, market: ServedMarket) -> None:
        row = rows.instrument_row(market)
        self._table("instrument", "update", [{name: row[name] for name in LIVELY}])

    def _next_bin(self, table: str, *, wake: bool = True) -> None:
        """Tell of the candles that have just closed, and wait for the next."""
        if self._over or not self._topics.get(table):
            self._bins.discard(table)
            return
        interval = BINS_NS[table[8:]]
        now = self._dialect.clock.now
        if wake:
            for market in self._markets.values():
                closed = [each for each in market.candles(interval, 2) if each.start + interval <= now]
                if closed and self._wants(table, market):
                    self._table(table, "insert", [rows.bin_row(market, closed[-1], interval, None)])
        elif table in self._bins:
            return
        self._bins.add(table)
        self._dialect.clock.call_at(now - now % interval + interval, self._next_bin, table)

    def _later(self, table: str, market: ServedMarket, every: int, push: Callable[[ServedMarket], None]) -> None:
        """Push soon, and not more often than `every` (ns)."""
        if not self._wants(table, market):
            return
        throttle = self._throttles.get((table, market))
        if throttle is None:
            throttle = Throttle(
                self._dialect.clock, every, lambda: push(market) if self._wants(table, market) else None
            )
            self._throttles[table, market] = throttle
        throttle.mark()

    # -- of the account ----------------------------------------------------------------------------------------------

    def order_changed(self, order: ServedOrder) -> None:
        symbol = order.instrument.symbol
        if not self._subscribed("order", symbol):
            return
        row = rows.order_row(order)
        before = self._orders.get(row["orderID"])
        if before is None:
            self._orders[row["orderID"]] = row
            self._table("order", "insert", [row])
            return
        changed = {name: value for name, value in row.items() if before.get(name) != value}
        self._orders[row["orderID"]] = row
        if not order.is_open:
            del self._orders[row["orderID"]]
        always = {name: row[name] for name in ("orderID", "clOrdID", "account", "symbol")}
        self._table("order", "update", [{**always, **changed, "timestamp": row["timestamp"]}])

    def executed(self, execution: ServedExecution) -> None:
        if self._subscribed("execution", execution.order.instrument.symbol):
            self._table("execution", "insert", [rows.execution_row(execution)])

    def position_changed(self, instrument: Instrument) -> None:
        if self._account is not None and self._subscribed("position", instrument.symbol):
            if instrument.instrument_type is InstrumentType.Spot:
                return
            market = self._dialect.served.markets[instrument]
            self._table("position", "update", [account_rows.position_row(self._account, market)])

    def wallet_changed(self, coins: tuple[str, ...]) -> None:
        if self._account is None:
            return
        for table, row in (("margin", account_rows.margin_row), ("wallet", account_rows.wallet_row)):
            if self._subscribed(table, ""):
                self._table(table, "update", [row(self._account, coin) for coin in coins])

    # -- out ---------------------------------------------------------------------------------------------------------

    def _wants(self, table: str, market: ServedMarket) -> bool:
        return self._subscribed(table, market.instrument.symbol)

    def _subscribed(self, table: str, symbol: str) -> bool:
        symbols = self._topics.get(table, set())
        return bool(symbols) and ("" in symbols or symbol in symbols or (not symbol and table in PRIVATE))

    def _table(self, table: str, action: str, data: list[rows.Row]) -> None:
        self._send({"table": table, "action": action, "data": data})

    def _error(self, message: str, request: Any, status: int = 400) -> None:
        self._send({"status": status, "error": message, "meta": {}, "request": request})

    def _send(self, message: Any) -> None:
        self._socket.send(msgspec.json.encode(message).decode())


LIVELY: Final = (
    "symbol",
    "volume24h",
    "turnover24h",
    "highPrice",
    "lowPrice",
    "lastPrice",
    "bidPrice",
    "midPrice",
    "askPrice",
    "fairPrice",
    "markPrice",
    "indicativeSettlePrice",
    "fundingRate",
    "indicativeFundingRate",
    "fundingTimestamp",
    "timestamp",
)
"""The fields of an instrument that its updates carry."""


def _top_ten(market: ServedMarket) -> rows.Row:
    """The best ten levels a side, whole each time."""
    instrument = market.instrument
    sides = {
        name: [
            [rows.price(instrument, ticks), rows.contracts(instrument, lots)] for ticks, lots in market.levels(side, 10)
        ]
        for name, side in (("bids", 1), ("asks", -1))
    }
    return {"symbol": instrument.symbol, **sides, "timestamp": wire.timestamp(market.clock.now)}


def _type(value: Any) -> str:
    """A field's type as a partial names it."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "long"
    return "float" if isinstance(value, float) else "symbol"
