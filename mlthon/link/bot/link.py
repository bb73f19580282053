"""`Link`, the base class of bots: every documented member, and those that bots use without a document.

A bot overrides its methods and assigns what it likes on its instance. So nothing here calls a method through `self`,
what looks like an attribute gives way to an assignment, and all that the platform keeps of a bot is in one attribute of
a name that no bot writes.

Exchange calls block until the exchange has answered and return the documented envelope: a dict of `src`, `venue`,
`error`, `data` and `rate_limits`. An error of type `api_error` raises `ApiError`, which carries the envelope; one of
type `rate_limits` is returned. They may be made from any thread, in callbacks, and in the constructor once
`Link.__init__` has been called. An argument that cannot be right raises `TypeError` or `ValueError` before anything is
sent.
"""

import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from mlthon.link import levels
from mlthon.link.bot import arguments
from mlthon.link.bot.plain import plain
from mlthon.link.candles import Bars
from mlthon.link.contract import LEVELS, Publish, Signalled, StopTrading

if TYPE_CHECKING:
    from mlthon.link.bot.redis import Redis
    from mlthon.link.bot.runtime import BotRuntime

Value = TypeVar("Value")


class Reading(Generic[Value]):
    """An attribute that is computed when it is read, and gives way to what a bot assigns to its name."""

    def __init__(self, read: Callable[[Any], Value]) -> None:
        self._read = read
        self.__doc__ = read.__doc__

    @overload
    def __get__(self, bot: None, owner: type) -> "Reading[Value]": ...
    @overload
    def __get__(self, bot: object, owner: type) -> Value: ...
    def __get__(self, bot: object | None, owner: type) -> "Reading[Value] | Value":
        return self if bot is None else self._read(bot)


class Link:
    """The base class of `Trading` and `Signals`."""

    __runtime: "BotRuntime"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Join the bot to its host: from now on callbacks come, and exchange calls work."""
        if "_Link__runtime" not in self.__dict__:
            raise RuntimeError(
                f"{type(self).__name__} was constructed outside of a run: start the file with `python -m mlthon FILE`"
            )
        self.__runtime.attach(self)

    def __del__(self) -> None:
        """Nothing to do: bots call it from their own."""

    # -- time ------------------------------------------------------------------------------------------------------

    @Reading
    def now(self) -> datetime:
        """The present time in UTC, aware of its zone."""
        return datetime.fromtimestamp(time.time(), UTC)

    @Reading
    def unix_now(self) -> int:
        """Whole seconds since 1970 UTC."""
        return int(time.time())

    @Reading
    def epoch_now(self) -> int:
        """Whole milliseconds since 1970 UTC."""
        return int(time.time() * 1000)

    @Reading
    def second(self) -> float:
        """Seconds since the minute began, to the microsecond."""
        return round(time.time() % 60, 6) % 60

    @Reading
    def iso_now(self) -> str:
        """The present time in UTC as ISO 8601: `2026-11-21T16:05:31.250000+00:00`."""
        return datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="microseconds")

    def candle_bin(self, value: float, level: str, ceil: bool = False) -> int:
        """The beginning (ms) of the candle that the time `value` (ms) falls into, or with `ceil` of the next unless
        `value` is a beginning itself."""
        return levels.candle_bin(value, level, ceil)

    def time_range(self, start: float, end: float, level: str, include_start: bool = True) -> list[int]:
        """The beginnings (ms) of the candles from that of `start` to that of `end`, both included; without
        `include_start` from the one after."""
        return levels.time_range(start, end, level, include_start)

    # -- threads ---------------------------------------------------------------------------------------------------

    @Reading
    def background_threads(self) -> dict[int, str]:
        """The live threads of the bot but for its main thread: id → name."""
        return self.__runtime.threads.background()

    def create_thread(self, target: Callable[..., Any], *args: Any, **kwargs: Any) -> threading.Thread:
        """Run `target(*args, **kwargs)` in a thread of its own, from now. What it raises is logged."""
        return self.__runtime.threads.start(target, args, kwargs)

    def delay_thread(self, interval: float, target: Callable[..., Any], *args: Any, **kwargs: Any) -> threading.Timer:
        """Run `target(*args, **kwargs)` in a thread of its own `interval` seconds from now, unless the timer that is
        returned is cancelled before. What it raises is logged."""
        return self.__runtime.threads.delay(
            arguments.number("delay_thread", "interval", interval), target, args, kwargs
        )

    # -- what the bot has ------------------------------------------------------------------------------------------

    @Reading
    def venues(self) -> dict[str, dict[str, Any]]:
        """The bot's exchange accounts: name → `id`, `kind`, `name`, `src`."""
        return self.__runtime.venues

    @Reading
    def instruments(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Instruments: src → symbol → what is known of it (`tickSize`, `lotSize`, ...)."""
        return self.__runtime.instruments

    @Reading
    def market_streams(self) -> dict[str, list[str]]:
        """Market data subscriptions: src → symbols."""
        return self.__runtime.markets.streams()

    @Reading
    def quotes(self) -> dict[str, dict[str, dict[str, Any]]]:
        """The latest quotes: src → symbol → data of `quote_update`."""
        return self.__runtime.markets.quotes

    @Reading
    def trades(self) -> dict[str, dict[str, dict[str, Any]]]:
        """The latest trades: src → symbol → data of `trade_update`."""
        return self.__runtime.markets.trades

    @Reading
    def health(self) -> dict[str, list[dict[str, Any]]]:
        """The feeds, `public` and `private` (each with `src` and `live`), and `dropped`: the trades (`src`, `sym`,
        `trades`) that never reached a bot because it was too slow."""
        return self.__runtime.health()

    @Reading
    def redis(self) -> "Redis":
        """Messages between the user's bots: `publish(channel, value)`, `subscribe({channel: callback})`."""
        return self.__runtime.redis

    def get_bars(self, src: str, sym: str, level: str) -> Bars:
        """The last 360 candles; the same object each time, rolled by trades. Raises `ValueError` for a market that the
        bot is not subscribed to."""
        return self.__runtime.markets.bars(src, sym, level)

    def last_trade(self, src: str, sym: str, key: str | None = None) -> Any:
        """The latest trade, or one field of it; None before the first."""
        return _latest(self.__runtime.markets.trades, src, sym, key)

    def last_quote(self, src: str, sym: str, key: str | None = None) -> Any:
        """The latest quote, or one field of it; None before the first."""
        return _latest(self.__runtime.markets.quotes, src, sym, key)

    # -- what the bot says -----------------------------------------------------------------------------------------

    def publish(self, topic: str, data: Any = None) -> None:
        """Send `{"type": topic, "data": data}` to the clients of the websocket stream. Raises `TypeError` for what JSON
        cannot say."""
        self.__runtime.host.tell(Publish(str(topic), plain(data)))

    def signal(self, src: str, sym: str, **intents: Any) -> None:
        """Send a trading intent to the signal bots: `size=`, `mid=`, `ask=`, `bid=` or `quote=`; None is no intent."""
        found = arguments.intents(intents)
        if found:
            call = "signal"
            message = Signalled(arguments.text(call, "src", src), arguments.text(call, "sym", sym), found)
            self.__runtime.host.tell(message)

    def stop_trading(self, msg: Any = None) -> None:
        """Have the bot ended; `on_stop` is called before."""
        self.__runtime.host.tell(StopTrading("" if msg is None else str(msg)))

    # -- exchange calls --------------------------------------------------------------------------------------------

    def fetch_candles(
        self, venue: str, sym: str | None = None, level: str = "1m", since: float | None = None
    ) -> dict[str, Any]:
        """Candles from `since` (ms) on; without it about the last thousand. Newest last."""
        return self.__runtime.call("fetch_candles", arguments.candles(venue, sym, level, since))

    def fetch_balances(self, venue: str) -> dict[str, Any]:
        """The wallet: `asset` and `amount`."""
        return self.__runtime.call("fetch_balances", {"venue": arguments.text("fetch_balances", "venue", venue)})

    def fetch_open_orders(self, venue: str) -> dict[str, Any]:
        """All open orders of the account."""
        return self.__runtime.call("fetch_open_orders", {"venue": arguments.text("fetch_open_orders", "venue", venue)})

    def fetch_positions(self, venue: str) -> dict[str, Any]:
        """All open positions of the account; none when it is flat."""
        return self.__runtime.call("fetch_positions", {"venue": arguments.text("fetch_positions", "venue", venue)})

    def create_limit_order(
        self, venue: str, sym: str | None = None, side: str | None = None, size: Any = None, price: Any = None
    ) -> dict[str, Any]:
        """Place a limit order."""
        return self.__runtime.call("create_limit_order", arguments.limit_order(venue, sym, side, size, price))

    def create_market_order(
        self, venue: str, sym: str | None = None, side: str | None = None, size: Any = None, price: Any = None
    ) -> dict[str, Any]:
        """Place a market order. The document lists a `price` as well: it says nothing about a market order and is left
        out."""
        return self.__runtime.call("create_market_order", arguments.market_order(venue, sym, side, size))

    def amend_order(
        self, venue: str, order_id: str | None = None, size: Any = None, price: Any = None
    ) -> dict[str, Any]:
        """Change the size, the price, or both of an open order."""
        return self.__runtime.call("amend_order", arguments.amendment(venue, order_id, size, price))

    def cancel_order(self, venue: str, order_id: str | None = None, sym: str | None = None) -> dict[str, Any]:
        """Cancel one order, all of a symbol, or (neither given) all of the account."""
        return self.__runtime.call("cancel_order", arguments.cancellation(venue, order_id, sym))

    def call_endpoint(
        self, venue: str, path: str, version: str, method: str = "GET", params: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Call the exchange's own REST interface; `version` is `public` or `private`."""
        return self.__runtime.call("call_endpoint", arguments.endpoint(venue, path, version, method, params))

    # -- callbacks -------------------------------------------------------------------------------------------------

    def on_start(self) -> None:
        """Called once when the constructor has returned. Callbacks may come before."""

    def on_stop(self) -> None:
        """Called once when the bot is being ended; exchange calls still work."""

    def quote_update(self, src: str, sym: str, data: dict[str, Any]) -> None:
        """The best bid and ask have changed."""

    def trade_update(self, src: str, sym: str, data: dict[str, Any]) -> None:
        """A public trade."""

    def order_update(self, src: str, sym: str, data: dict[str, Any]) -> None:
        """An order of the bot's accounts has changed."""

    def fill_update(self, src: str, sym: str, data: dict[str, Any]) -> None:
        """An order of the bot's accounts has traded."""

    def position_update(self, src: str, sym: str, data: dict[str, Any]) -> None:
        """A position of the bot's accounts has changed."""

    def candle_update_1m(self, src: str, sym: str, bars: Bars) -> None:
        """A trade has changed the candles of this level."""

    candle_update_3m = candle_update_5m = candle_update_15m = candle_update_30m = candle_update_1m
    candle_update_1h = candle_update_2h = candle_update_3h = candle_update_4h = candle_update_1m
    candle_update_6h = candle_update_12h = candle_update_1d = candle_update_1w = candle_update_1m


CANDLE_CALLBACKS = {level: f"candle_update_{level}" for level in LEVELS}
"""Level → the callback of its candles."""


def bind(bot: Link, runtime: "BotRuntime") -> None:
    """Tell a bot its runtime, before its constructor is called."""
    bot.__dict__["_Link__runtime"] = runtime


def overridden(cls: type) -> list[str]:
    """The callbacks that a bot class has of its own."""
    names = ["quote_update", "trade_update", "order_update", "fill_update", "position_update"]
    return [
        name
        for name in (*names, *CANDLE_CALLBACKS.values(), "on_start", "on_stop")
        if getattr(cls, name) is not getattr(Link, name)
    ]


def _latest(kept: Mapping[str, Mapping[str, dict[str, Any]]], src: str, sym: str, key: str | None) -> Any:
    data = kept.get(src, {}).get(sym)
    return data if data is None or key is None else data.get(key)
