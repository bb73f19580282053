"""The contract with an exchange's gateway module: how it spells requests and what its messages mean.

A `Codec` is one account's. It does no I/O, keeps no orders and decides nothing: `mlthon.venue.live_gateway` does that,
once for all exchanges. Requests about orders are single `Request`s; everything that is asked is a `Question`: a
generator that yields requests and is sent their answers, so that paging, or a key to be fetched first, is written as
straight code. A package offers a codec by an entry point in the group `mlthon.gateways` that names a module with the
attributes of `GatewayModule`.
"""

from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar
from urllib.parse import urlsplit, urlunsplit

from attrs import field, frozen

from mlthon.basics.defs import Exchange
from mlthon.basics.plugins import Plugins
from mlthon.venue.facts import (
    AccountFact,
    Candle,
    ExecutionFact,
    Fact,
    FundingFact,
    OrderFact,
    PositionFact,
    Reply,
    WalletFact,
)
from mlthon.venue.rate_rules import RateRule, Usage
from mlthon.venue.wire import HttpAnswer, Line, Request

if TYPE_CHECKING:
    from mlthon.basics.instrument import Instrument
    from mlthon.engine.tracker import TrackedOrder

GROUP: Final = "mlthon.gateways"

T = TypeVar("T")
Question = Generator[Request, HttpAnswer, T]
"""Yields requests, is sent their answers, returns what it found out. A `Failure` is thrown in as `NoAnswer`."""


class NoAnswer(Exception):
    """A question's request failed: see `mlthon.venue.wire.Failure`."""


class Refused(Exception):
    """The exchange refused to answer a question. `final`: asking again will not help (a wrong key, no permission)."""

    def __init__(self, reason: str, *, final: bool = False, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.final = final
        self.retry_after_s = retry_after_s


class BadMessage(ValueError):
    """A message that cannot be understood; it is reported with its bytes, counted and skipped."""


class Unsupported(Exception):
    """The exchange cannot do this; the text says what."""


@frozen
class Credentials:
    """Keys of an account. Their repr shows none of them. `kind`: `hmac`, or `ed25519` and `rsa` with a private key in
    PEM as `secret`."""

    key: str = field(repr=False)
    secret: str = field(repr=False)
    kind: str = "hmac"
    passphrase: str = field(default="", repr=False)


@frozen
class Endpoints:
    """Where an environment of an exchange is. `urls`: by the names its modules use (`rest`, `public`, `private`,
    `trade`, ...), without a trailing slash. `real_money`: whether orders there cost something."""

    environment: str
    urls: Mapping[str, str]
    real_money: bool

    def at(self, base: str) -> "Endpoints":
        """The same paths on another host (`http://127.0.0.1:8080`, `https://...`): a local exchange."""
        there = urlsplit(base)
        if there.scheme not in ("http", "https") or not there.netloc:
            raise ValueError(f"{base!r} is no base URL; write it like http://127.0.0.1:8080")
        schemes = {"http": there.scheme, "https": there.scheme, "ws": "ws" + there.scheme[4:]}
        schemes["wss"] = schemes["ws"]
        moved = {}
        for name, url in self.urls.items():
            parts = urlsplit(url)
            path = there.path.rstrip("/") + parts.path
            moved[name] = urlunsplit((schemes[parts.scheme], there.netloc, path, parts.query, ""))
        return Endpoints("local", moved, False)


class Codec(Protocol):
    """One account on one exchange, in the exchange's language.

    `rules`: its rate limits. `validity_s`: how long after it was sent a request could still be accepted (Bybit's
    recv_window, BitMEX's api-expires); an order that is not found later than that never existed.
    `has_dead_man`: whether `arm_dead_man` does something for an account that trades something. Every method that makes
    a request may raise `Unsupported`.
    """

    exchange: Exchange
    account: str
    rules: Sequence[RateRule]
    validity_s: float
    has_dead_man: bool

    # -- lines -------------------------------------------------------------------------------------------------------

    def lines(self) -> Question[Sequence[Line]]:
        """The private lines to keep open. Asked anew when a line was refused or interrupted."""

    def line_opened(self, name: str, now_ms: int) -> Iterable[str]:
        """What to send on a line that has just opened: login, or subscriptions where none is needed."""

    def line_message(self, name: str, data: bytes, recv_ts: int) -> Iterable[Fact | str]:
        """What a message says; a str is a message to send on the same line (subscriptions, after the login). Raises
        `BadMessage`."""

    def keep_alive(self) -> Question[None] | None:
        """What has to be done every half hour so that lines stay (a listen key); None: nothing."""

    # -- requests about orders ---------------------------------------------------------------------------------------

    def new_order(self, order: "TrackedOrder") -> Request: ...

    def modify_order(self, order: "TrackedOrder", price: int | None, qty: int | None) -> Request: ...

    def cancel_order(self, order: "TrackedOrder") -> Request: ...

    def cancel_all(self, instrument: "Instrument") -> Sequence[Request]:
        """Cancel every order of the account in the instrument, untriggered stops included, whoever sent it."""

    def reply(self, request: Request, answer: HttpAnswer) -> Reply:
        """What an answer over HTTP to a request about orders, or of the dead man's switch, says. Raises
        `BadMessage`."""

    def arm_dead_man(self, timeout_s: float, instruments: "Sequence[Instrument]") -> Sequence[Request]:
        """What to send so that the exchange cancels everything in the instruments (or of the account, where it has no
        finer switch) unless this is repeated within `timeout_s`; 0 disarms it. Empty where nothing has to be said."""

    # -- questions ---------------------------------------------------------------------------------------------------

    def server_time(self) -> Question[int]:
        """The exchange's time (ns)."""

    def instruments(self) -> "Question[Sequence[Instrument]]":
        """Those that are open for trading, with exact ticks, lots, limits. No key needed."""

    def account_info(self) -> Question[AccountFact]: ...

    def open_orders(self, instrument: "Instrument | None") -> Question[Sequence[OrderFact]]:
        """Every open order of the account, whoever sent it, untriggered stops included."""

    def order_status(self, order: "TrackedOrder") -> Question[OrderFact | None]:
        """One order, open or over, asked for by its wire id; None: the exchange does not know it."""

    def executions(self, since: int, instrument: "Instrument | None") -> Question[Sequence[ExecutionFact]]:
        """Every fill from `since` (ns) on, oldest first."""

    def positions(self, instrument: "Instrument | None") -> Question[Sequence[PositionFact]]: ...

    def wallet(self) -> Question[Sequence[WalletFact]]: ...

    def funding(self, instrument: "Instrument") -> Question[FundingFact]: ...

    def candles(self, instrument: "Instrument", interval_s: int, start: int, end: int) -> Question[Sequence[Candle]]:
        """Candles that opened in [start, end) (ns), oldest first. No key needed."""

    # -- rate limits -------------------------------------------------------------------------------------------------

    def usage(self, request: Request, answer: HttpAnswer) -> Iterable[Usage]:
        """What the headers of an answer say of the rate limits."""


class GatewayModule(Protocol):
    """What the module behind an entry point must have."""

    @property
    def EXCHANGES(self) -> Collection[Exchange]:  # noqa: N802
        """The exchanges it trades on."""

    def environments(self, exchange: Exchange) -> Mapping[str, Endpoints]:
        """Where the exchange is: `main`, and `testnet` or `demo` where there are such."""

    def codec(
        self,
        exchange: Exchange,
        account: str,
        instruments: "Iterable[Instrument]",
        endpoints: Endpoints,
        credentials: Credentials | None,
        options: Mapping[str, Any],
    ) -> Codec:
        """A codec. Without credentials only what needs no key works. `options`: the exchange's own settings (such as
        `orders = "websocket"`); raises ValueError for one that it has not or a value that it does not know."""


class NoGateway(LookupError):
    """No installed gateway trades on this exchange."""


_PLUGINS: Final = Plugins[GatewayModule](GROUP)


def gateway_module(exchange: Exchange) -> GatewayModule:
    """The installed module that trades on `exchange`. Raises NoGateway."""
    module = _PLUGINS.find(exchange)
    if module is None:
        known = _PLUGINS.exchanges()
        raise NoGateway(f"no gateway for {exchange.name} is installed; those installed trade on: {known}")
    return module
