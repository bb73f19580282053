"""What can be asked of a running engine from outside, what can be done to it, and what it tells: the messages of the
control socket.

Everything outside (Telegram, webhooks, `ctl`, a web page) says the same few things. A client sends `Ask`s and gets one
`Told` for each, with the same number, in any order; `News` come in between to those that asked to `Listen`. Each action
is written to the audit log with who, when and what, and with what came of it.

Amounts of money and quantities are decimal numbers in plain text, so that no digit is lost; times are nanoseconds since
1970 UTC.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct

MOST_ROWS: Final = 200
"""The most orders or positions that one answer holds: a page must not stall the engine."""

MOST_BYTES: Final = 64 * 1024
"""The longest frame that the engine reads or writes."""

# -- questions ---------------------------------------------------------------------------------------------------------


class GetStatus(Struct, frozen=True, tag=True):
    """How the run and its strategies stand: answered by `Status`."""


class GetPositions(Struct, frozen=True, tag=True):
    """Answered by a list of `Position`; of one strategy where named."""

    strategy: str | None = None


class GetOrders(Struct, frozen=True, tag=True):
    """The open orders: answered by a list of `OrderRow`, oldest first."""

    strategy: str | None = None


class GetProfit(Struct, frozen=True, tag=True):
    """Answered by a list of `Profit`."""

    strategy: str | None = None


class GetCommands(Struct, frozen=True, tag=True):
    """What can be said to whom: a dict of strategy -> its commands (`start`, `stop` and its hooks)."""


class GetFigures(Struct, frozen=True, tag=True):
    """The counters and histograms of the run, as Prometheus text."""


class GetWebhooks(Struct, frozen=True, tag=True):
    """The webhooks of `Link` bots: answered by a dict of bot -> its (method, name)s, as far as bots are loaded."""


class Ping(Struct, frozen=True, tag=True):
    """Does the engine live? Answered by the run's time (ns) as soon as the engine comes round to it."""


class Listen(Struct, frozen=True, tag=True):
    """Send `News` of these kinds on this connection from now on: `stream`, `alert`."""

    kinds: Sequence[str]


Question = GetStatus | GetPositions | GetOrders | GetProfit | GetCommands | GetFigures | GetWebhooks | Ping | Listen

# -- actions -----------------------------------------------------------------------------------------------------------


class StartStrategy(Struct, frozen=True, tag=True):
    """The `start` command: trade again after a stop, with the parameters as typed."""

    strategy: str
    params: str = ""


class StopStrategy(Struct, frozen=True, tag=True):
    strategy: str
    params: str = ""


class RunCommand(Struct, frozen=True, tag=True):
    """A strategy's own command, a hook that it added: `words` are its parameters."""

    strategy: str
    command: str
    words: Sequence[str] = ()


class CancelAll(Struct, frozen=True, tag=True):
    """Cancel every open order of a strategy; it goes on running."""

    strategy: str


class Kill(Struct, frozen=True, tag=True):
    """Stop every strategy and have the guard cancel every order of the run. On paper the engine does it itself."""


class WebCall(Struct, frozen=True, tag=True):
    """A webhook of a `Link` bot was called: `method` is `get` or `post`. Answered by `WebReply`."""

    bot: str
    method: str
    route: str
    data: Mapping[str, Any]


class Signal(Struct, frozen=True, tag=True):
    """A trading signal for the strategy that takes signals under this name (a webhook connector), its JSON as it came.
    Answered `accepted` once the exchange has its order, refused where that is known within a second, else `taken`:
    it is on its way, waits for its delay, or is the strategy's to judge."""

    connector: str
    payload: Mapping[str, Any]


class Reread(Struct, frozen=True, tag=True):
    """Read the configuration file again, if it has changed: changed parameters go to their strategies, new signal bots
    join. Answered by what was done, a sentence a line. A run does so by itself about once a second."""


Action = StartStrategy | StopStrategy | RunCommand | CancelAll | Kill | WebCall | Signal | Reread


class Ask(Struct, frozen=True, tag=True):
    """A question or an action. `who`: who is behind it, as the audit log shall say it (`telegram 4711 @anna`). `until`:
    ns since 1970 UTC; an engine that comes to it only later refuses it, so that nothing is done that its sender has
    given up; 0: any time."""

    number: int
    who: str
    what: Question | Action
    until: int = 0


# -- answers -----------------------------------------------------------------------------------------------------------


TO_NOBODY: Final = -1
"""The number of a `Told` that answers no `Ask`."""


class Told(Struct, frozen=True, tag=True):
    """The answer to the `Ask` of this number: `value`, or what was wrong in a sentence (`error`) and the mend. Number
    `TO_NOBODY`: about the connection, which is closed."""

    number: int
    value: Any = None
    error: str | None = None
    hint: str = ""


class Level(StrEnum):
    """What an alert asks of the owner: nothing (all is well, or well again); to keep an eye on it, for it is not as it
    should be and may mend itself; to act."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class News(Struct, frozen=True, tag=True):
    """Something happened. `stream`: a bot published `value` ({"type", "data", "number"}; numbers follow one another, so
    that a gap shows). `alert`: the owner should know (`value` is a sentence: a strategy was stopped by its error
    budget, an exchange is lost, the guard fired), and `level` says how much it matters."""

    kind: str
    source: str
    value: Any
    level: Level = Level.INFO


FromEngine = Told | News
"""What the engine sends."""


STOPPED: Final = "stopped"
"""The phase in which a strategy can be started."""


class StrategyState(Struct, frozen=True):
    """One strategy: its phase (`running`, `stopped`, ...), its open orders, fills so far, callbacks that raised."""

    name: str
    phase: str
    open_orders: int
    errors: int
    accounts: Sequence[str]


class Link(Struct, frozen=True):
    """A connection of the run: what it is (`gateway Bybit main`, `feed Bybit`), how it stands, and why."""

    name: str
    status: str
    detail: str = ""


class Status(Struct, frozen=True):
    """The run as a whole. `started`, `now`: ns. `since_event_s`: how long ago the last market data came."""

    name: str
    mode: str
    started: int
    now: int
    events: int
    orders: int
    fills: int
    errors: int
    profit: Mapping[str, str]
    strategies: Sequence[StrategyState]
    links: Sequence[Link]
    since_event_s: float | None = None


class Position(Struct, frozen=True):
    """A position as the strategy's own fills add up to; `at_exchange`: the account's as the exchange says it."""

    strategy: str
    exchange: str
    account: str
    instrument: str
    quantity: str
    entry: str | None
    at_exchange: str | None


class OrderRow(Struct, frozen=True):
    """An open order. `price` is None for a market order; `trigger`: the price at which it begins to count, of a stop or
    take-profit order; `age_s` since it was sent."""

    strategy: str
    exchange: str
    account: str
    instrument: str
    client_id: str
    side: str
    price: str | None
    quantity: str
    leaves: str
    state: str
    age_s: float
    trigger: str | None = None


class Profit(Struct, frozen=True):
    """What a strategy made in one coin: realised, unrealised where a mark is known, fees paid (positive) and what was
    traded."""

    strategy: str
    coin: str
    realised: str
    unrealised: str | None
    fees: str
    traded: str


class WebReply(Struct, frozen=True):
    """What a bot's webhook returned: an HTTP status and a JSON value."""

    status: int
    value: Any
