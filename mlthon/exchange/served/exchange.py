"""`ServedExchange`: one venue behind a server: markets by symbol, accounts by API key, ids in the exchange's style."""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from hashlib import blake2b
from random import Random
from typing import TYPE_CHECKING, Final
from uuid import UUID

from attrs import evolve, field, frozen

from mlthon.basics.defs import Exchange, ExecInstructions
from mlthon.engine.clock import SECOND, Clock
from mlthon.exchange.config import ExchangeConfig, LatencyConfig
from mlthon.exchange.exchange import EmbeddedExchange
from mlthon.exchange.served.account import ServedAccount
from mlthon.exchange.served.market import ServedMarket
from mlthon.exchange.served.records import NewOrder, ServedOrder

if TYPE_CHECKING:
    from mlthon.basics.instrument import Instrument

_INSTRUCTIONS: Final = {
    (False, False): ExecInstructions.Unset,
    (True, False): ExecInstructions.PostOnly,
    (False, True): ExecInstructions.ReduceOnly,
    (True, True): ExecInstructions.PostOnlyReduceOnly,
}


class IdStyle(Enum):
    """How the exchange writes ids of orders and executions: UUIDs, or growing whole numbers."""

    UUID = "uuid"
    NUMBER = "number"


@frozen
class ApiKey:
    """A key of an account. `read_only`: it may ask but not trade."""

    key: str
    secret: str = field(repr=False)
    account: ServedAccount = field(repr=False)
    read_only: bool = False


class ServedExchange:
    """See the module text.

    `halted`: why no orders are taken at present, "" normally (cancels still are). `embedded` is the exchange behind it.
    The market's rows are played into `embedded.market(...)` and the `ServedMarket`s by `mlthon.live.exchange_market`.
    """

    def __init__(
        self,
        exchange: Exchange,
        instruments: "Sequence[Instrument]",
        clock: Clock,
        config: ExchangeConfig | None = None,
        *,
        seed: int = 0,
        ids: IdStyle = IdStyle.UUID,
        history_minutes: int = 0,
        first_id: int = 0,
    ) -> None:
        """`config`: its response latency is not used: what the exchange says is known to the server at once.
        `history_minutes`: candles to make up before the first price. `first_id`: ids of orders and executions count
        from here; clients that remember those of an exchange before this one take the same ids for the same fills."""
        self.exchange = exchange
        self.clock = clock
        self.ids = ids
        self.halted = ""
        settings = evolve(config or ExchangeConfig(), response_latency=LatencyConfig(ms=0.0))
        self.embedded = EmbeddedExchange(exchange, instruments, clock, settings, Random(f"{seed} {exchange.name}"))
        self.markets: dict[Instrument, ServedMarket] = {
            instrument: ServedMarket(
                market, clock, number, history_minutes, Random(f"{seed} history {instrument.number}")
            )
            for number, (instrument, market) in enumerate(self.embedded.markets.items())
        }
        self.accounts: dict[str, ServedAccount] = {}
        self.keys: dict[str, ApiKey] = {}
        self._seed = seed
        self._orders = first_id
        self._executions = first_id
        for market in self.markets.values():
            market.changed = self._look_at_stops
        clock.call_at(clock.now + SECOND, self._every_second)

    # -- markets -----------------------------------------------------------------------------------------------------

    def market(self, symbol: str, accept: "Callable[[Instrument], bool] | None" = None) -> ServedMarket | None:
        """The market of the exchange's own symbol, of those that `accept` takes (spot and perpetual of some exchanges
        share a symbol); None if there is none."""
        for instrument, market in self.markets.items():
            if instrument.symbol == symbol and (accept is None or accept(instrument)):
                return market
        return None

    # -- accounts ----------------------------------------------------------------------------------------------------

    def add_account(
        self, name: str, keys: Sequence[tuple[str, str]] = (), balances: Mapping[str, float] | None = None
    ) -> ServedAccount:
        """Open an account with (key, secret) pairs. `balances`: coin -> amount instead of the configured ones. Raises
        ValueError for a name or key that is taken."""
        taken = [key for key, _ in keys if key in self.keys]
        if taken:
            raise ValueError(f"API key {taken[0]!r} belongs to account {self.keys[taken[0]].account.name!r} already")
        account = ServedAccount(self, name, len(self.accounts) + 1)
        account.open_with(self.embedded.gateway(name, account, balances))
        self.accounts[name] = account
        for key, secret in keys:
            self.keys[key] = ApiKey(key, secret, account)
        return account

    def halt(self, reason: str) -> None:
        """Refuse new orders from now on; what rests stays and may be cancelled."""
        self.halted = reason

    def resume(self) -> None:
        """Take orders again."""
        self.halted = ""

    # -- ids and records ---------------------------------------------------------------------------------------------

    def styled(self, kind: str, number: int) -> str:
        """The number-th id of a kind (`order`, `execution`, `trade BTCUSDT`), the same in every run of a seed."""
        if self.ids is IdStyle.NUMBER:
            return str(number)
        digest = blake2b(f"{self._seed} {self.exchange.name} {kind} {number}".encode(), digest_size=16).digest()
        return str(UUID(bytes=digest, version=4))

    def next_execution(self) -> tuple[int, str]:
        """The number and id of a new execution."""
        self._executions += 1
        return self._executions, self.styled("execution", self._executions)

    def new_record(self, account: ServedAccount, new: NewOrder, wire_id: str = "") -> ServedOrder:
        """A record of a new order, with ids."""
        self._orders += 1
        now = self.clock.now
        return ServedOrder(
            account=account,
            number=self._orders,
            order_id=self.styled("order", self._orders),
            wire_id=wire_id or f"s{self._orders}",
            client_id=new.client_id,
            instrument=new.instrument,
            side=new.side,
            order_type=new.order_type,
            tif=new.tif,
            exec_instr=_INSTRUCTIONS[new.post_only, new.reduce_only],
            close_position=new.close_position,
            price=new.price,
            qty=new.qty,
            stop_price=new.stop_price,
            created_ts=now,
            updated_ts=now,
            leaves=new.qty,
            extra=new.extra,
        )

    # -- time --------------------------------------------------------------------------------------------------------

    def _look_at_stops(self) -> None:
        for account in self.accounts.values():
            account.stops_due()

    def _every_second(self) -> None:
        for account in self.accounts.values():
            account.review()
        self.clock.call_at(self.clock.now + SECOND, self._every_second)
