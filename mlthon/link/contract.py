"""The two faces between a bot and its host, and the messages that cross them.

Up to the bot go market data, private events and answers (`BotFace`); down from it come exchange calls and whatever else
a bot may ask (`HostFace`). Market data are positional scalars, because they are many; everything else is a message.
Nothing here knows how it is carried: over a Unix socket to a child process, or by a plain call within one process.

Units on this face are the platform's: prices and sizes are floats, times are integer milliseconds since 1970 UTC, a
`src` is an exchange as the platform spells it (`bitmex`), a `sym` the exchange's own symbol, a venue the user's name
for an account (`BitMEX`). Values are what JSON can say.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

from msgspec import Struct

BARS: Final = 360
"""How many candles a bot's bars hold (the platform's documentation)."""

BACKLOG: Final = 10_000
"""How many trades of a market wait for a slow bot, if nothing else is configured."""

LEVELS: Final = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "3h", "4h", "6h", "12h", "1d", "1w")
"""The documented candle levels."""

# -- up to the bot -----------------------------------------------------------------------------------------------------


class Hello(Struct, frozen=True, tag=True):
    """The first message: what the bot is to run and what it has. `file` is the bot's; `markets` are the (src, sym) that
    it is subscribed to, and market data name them by their place here; `venues` and `instruments` are what
    `Link.venues` and `Link.instruments` show; `signed_positions`: `fetch_positions` gives `pos_size` its sign (the
    platform gives the size and `side`). `quotes` and `trades`, as `BotFace` takes them, are the last of each market
    that has had one: what `Link.quotes` and `Link.trades` hold when the class is constructed. `backlog`: how many
    trades of each market wait for the bot before the oldest are dropped."""

    name: str
    file: str
    venues: Mapping[str, Mapping[str, Any]]
    markets: Sequence[tuple[str, str]]
    instruments: Mapping[str, Mapping[str, Mapping[str, Any]]]
    signed_positions: bool = False
    reload: bool = False
    quotes: Sequence[tuple[int, float, float, float, float, int]] = ()
    trades: Sequence[tuple[int, int, float, float, int]] = ()
    backlog: int = BACKLOG


class Private(Struct, frozen=True, tag=True):
    """A private event: `callback` is `order_update`, `fill_update` or `position_update`, `data` its payload."""

    callback: str
    src: str
    sym: str
    data: Mapping[str, Any]


class Answer(Struct, frozen=True, tag=True):
    """The answer of an exchange call: the documented envelope (`src`, `venue`, `error`, `data`, `rate_limits`)."""

    call: int
    envelope: Mapping[str, Any]


class Published(Struct, frozen=True, tag=True):
    """Some bot of the user published `value` on a channel that this one subscribed to (`Link.redis`)."""

    channel: str
    value: Any


class WebRequest(Struct, frozen=True, tag=True):
    """A webhook was called: run the route `method` (`get` or `post`) `name` with `data` and answer with `WebAnswer`."""

    request: int
    method: str
    name: str
    data: Mapping[str, Any]


class Health(Struct, frozen=True, tag=True):
    """How the feeds are: what `Link.health` shows under `public` and `private`."""

    public: Sequence[Mapping[str, Any]]
    private: Sequence[Mapping[str, Any]]


class Dropped(Struct, frozen=True, tag=True):
    """The bot was too slow: so many trades of a market were dropped (quotes are conflated without a word)."""

    market: int
    trades: int


class Stop(Struct, frozen=True, tag=True):
    """Stop: `on_stop` is called, then the bot says `Stopped`."""

    reason: str


ToBot = Hello | Private | Answer | Published | WebRequest | Health | Dropped | Stop


class BotFace(Protocol):
    """What a host may tell a bot. No call blocks and none raises for what the bot does."""

    def quote(self, market: int, bid: float, bid_size: float, ask: float, ask_size: float, time: int) -> None:
        """The best bid and ask of a market are now these; NaN for an empty side."""

    def trade(self, market: int, side: int, price: float, size: float, time: int) -> None:
        """A public trade; `side` is the taker's, +1 or -1."""

    def tell(self, message: ToBot) -> None: ...


class Told(NamedTuple):
    """Rows of a bot's markets as it is told them, a column a field: when they are told (`ts`, ns), whether each is a
    quote, a trade or nothing to it (`kinds`: a byte each, as of `mlthon.engine.faces.Rows`), what `BotFace.quote` and
    `trade` are given: bid, bid size, ask, ask size, time (ms); of a trade price, size, a number of the sign of its
    side, nothing, time; and the number of its market. `by_market` has the kinds again for each market, 0 for the rows
    of others."""

    ts: list[int]
    kinds: bytes
    a: list[float]
    b: list[float]
    c: list[float]
    d: list[float]
    time: list[int]
    markets: list[int]
    by_market: Mapping[int, bytes]


@runtime_checkable
class BatchFace(BotFace, Protocol):
    """A `BotFace` whose bot goes through many rows by itself."""

    def ride(self, told: Told, row: int, stop: int) -> int:
        """Tell rows from `row` on until before `stop`, before the first at whose time something else is due, or until
        the bot is busy; gives the row before which it stopped: `row` itself where the bot is busy already."""


# -- down from the bot -------------------------------------------------------------------------------------------------


class Call(Struct, frozen=True, tag=True):
    """An exchange call, `name` as in `Link` (`create_limit_order`), `arguments` by their documented names; those left
    out are absent. Answered by `Answer`. One more name exists: `history` with `src`, `sym`, `level` and `count` is
    answered with the candles before and including the present one as `data` (rows as of `fetch_candles`), at no
    latency."""

    call: int
    name: str
    arguments: Mapping[str, Any]


class Loaded(Struct, frozen=True, tag=True):
    """The file is loaded, and its class about to be constructed: market data and private events may come from now on.
    `kind` is `Trading` or `Signals`; `callbacks` the events that the class overrides, and always `quote_update` and
    `trade_update`, which `Link.quotes`, `trades` and bars live on (others need not be sent); `routes` its webhooks as
    (`get` or `post`, name). Told again when a change of the file has been taken over."""

    kind: str
    callbacks: Sequence[str]
    routes: Sequence[tuple[str, str]] = ()


class Started(Struct, frozen=True, tag=True):
    """The constructor and `on_start` have returned."""


class Signalled(Struct, frozen=True, tag=True):
    """`Link.signal`: a trading intent."""

    src: str
    sym: str
    intents: Mapping[str, Any]


class Publish(Struct, frozen=True, tag=True):
    """`Link.publish`: to the websocket stream."""

    topic: str
    data: Any


class RedisPublish(Struct, frozen=True, tag=True):
    channel: str
    value: Any


class RedisSubscribe(Struct, frozen=True, tag=True):
    channels: Sequence[str]


class WebAnswer(Struct, frozen=True, tag=True):
    """What a webhook returned: an HTTP status and a JSON value."""

    request: int
    status: int
    value: Any


class Raised(Struct, frozen=True, tag=True):
    """The bot's own code raised in `where` (a callback's name) and the runtime survived it; `text` is the traceback,
    empty for an error that keeps coming back and was told with it. The runtime has logged it; the host counts."""

    where: str
    error: str
    text: str


class Logged(Struct, frozen=True, tag=True):
    """A line of the bot's logger."""

    level: int
    text: str


class StopTrading(Struct, frozen=True, tag=True):
    """`Link.stop_trading`: the bot asks to be ended."""

    message: str


class Failed(Struct, frozen=True, tag=True):
    """The bot could not be loaded or constructed: what a user is to be told, in one line, and the mend."""

    problem: str
    hint: str = ""


class Stopped(Struct, frozen=True, tag=True):
    """`on_stop` has returned; nothing more comes."""


ToHost = (
    Call
    | Loaded
    | Started
    | Signalled
    | Publish
    | RedisPublish
    | RedisSubscribe
    | WebAnswer
    | Raised
    | Logged
    | StopTrading
    | Failed
    | Stopped
)


class HostFace(Protocol):
    """What a bot may tell its host, from any of its threads. It does not block; answers come up as messages."""

    def tell(self, message: ToHost) -> None: ...
