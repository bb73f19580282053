"""`EmbeddedExchange`: the markets and accounts of one venue inside the process.

It is a gateway to each account (`gateway`), takes market data (`market`), and where it is itself the source of the
market, publishes it (`publish_to`). All in integers, all on the engine's clock, nothing random but from the given
generator: the same inputs give the same events.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING, Final

from mlthon.basics.defs import Exchange
from mlthon.basics.money import UNIT, parse, ratio
from mlthon.engine.clock import SECOND, Clock
from mlthon.engine.faces import MarketEvents, OrderEvents
from mlthon.exchange.account import Account, Stake
from mlthon.exchange.config import ExchangeConfig
from mlthon.exchange.gateway import EmbeddedGateway, RateLimit
from mlthon.exchange.latency import latency
from mlthon.exchange.margin import MarginRules, review, taken_up
from mlthon.exchange.market import Market
from mlthon.exchange.publisher import Publisher
from mlthon.exchange.queue_models import queue_model

if TYPE_CHECKING:
    from mlthon.basics.instrument import Instrument

MAKER_FEE: Final = parse("0.0002")
TAKER_FEE: Final = parse("0.0005")
"""Where neither the configuration nor the instrument states a fee."""


class EmbeddedExchange:
    """One venue. `observed_latency`: the feed latency last seen in the data (ns), for the `recorded` latency model.
    `fees`: what accounts paid, by coin. `orders`, `executions`: counters from which ids are made."""

    def __init__(
        self, exchange: Exchange, instruments: "Sequence[Instrument]", clock: Clock, config: ExchangeConfig, rng: Random
    ) -> None:
        self.exchange = exchange
        self.clock = clock
        self.config = config
        self.observed_latency = 0
        self.orders = 0
        self.executions = 0
        self.queue = queue_model(config.queue)
        self.margin = MarginRules(
            parse(config.margin.leverage), parse(config.margin.maintenance), parse(config.margin.liquidation_fee)
        )
        self._rng = rng
        self._entry = latency(config.entry_latency, Random(rng.getrandbits(64)), self._observed)
        self._response = latency(config.response_latency, Random(rng.getrandbits(64)), self._observed)
        self.unsettled: dict[Stake, None] = {}
        self.markets: dict[Instrument, Market] = {each: Market(self, each) for each in instruments}
        self.fees: dict[str, int] = {market.contract.coin: 0 for market in self.markets.values()}
        self.accounts: dict[str, EmbeddedGateway] = {}

    # -- for the engine ----------------------------------------------------------------------------------------------

    def gateway(
        self, account_name: str, events: OrderEvents, balances: Mapping[str, float] | None = None
    ) -> EmbeddedGateway:
        """Open an account. `balances`: coin -> amount, instead of the configured ones. Raises ValueError for a name
        that is taken."""
        if account_name in self.accounts:
            raise ValueError(f"account {account_name!r} of {self.exchange.name} exists already")
        account = Account(account_name, events, self.clock, (self._entry, self._response), self._deposits(balances))
        rule = self.config.rate_limit
        limit = RateLimit(rule.requests, round(rule.interval_s * SECOND)) if rule.requests else None
        gateway = self.accounts[account_name] = EmbeddedGateway(self, account, limit)
        return gateway

    def account(self, name: str) -> Account:
        """The account's money and positions. Raises KeyError for a name that was never opened."""
        if name not in self.accounts:
            raise KeyError(f"{self.exchange.name} has no account {name!r}; it has {', '.join(self.accounts) or 'none'}")
        return self.accounts[name].ledger

    def market(self, instrument: "Instrument") -> Market:
        """The market. Raises KeyError for an instrument that is not traded here."""
        if instrument not in self.markets:
            raise KeyError(f"{instrument.name} is not traded on this {self.exchange.name}")
        return self.markets[instrument]

    def publish_to(self, instrument: "Instrument", events: MarketEvents) -> None:
        """This market is its own source: publish its quotes, trades and levels."""
        self.market(instrument).publisher = Publisher(events, self.clock)

    def publish_orders(self, instrument: "Instrument") -> None:
        """From now on publish every single order too of a market that is its own source."""
        market = self.market(instrument)
        if market.publisher is not None:
            market.publisher.show_orders(market.bids, market.asks)

    def disconnect(self, reason: str) -> None:
        """Every account loses its connection: what rests is cancelled."""
        for gateway in self.accounts.values():
            gateway.disconnect(reason)

    def reconnect(self) -> None:
        """Every account is connected again."""
        for gateway in self.accounts.values():
            gateway.reconnect()

    def shift(self, gap_ns: int) -> None:
        """The clock leapt `gap_ns` over a hole in the data, and all that was queued with it: funding due in the hole is
        left out, the next comes at its regular time."""
        for gateway in self.accounts.values():
            gateway.ledger.entry.shift(gap_ns)
            gateway.ledger.response.shift(gap_ns)
        for market in self.markets.values():
            if market.funding is not None:
                market.funding.moved()

    # -- for the markets ---------------------------------------------------------------------------------------------

    def stake(self, account: Account, market: Market) -> Stake:
        """The account's part in the market."""
        stake = account.stakes.get(market.instrument)
        if stake is None:
            stake = account.stakes[market.instrument] = Stake(account, market)
            market.stakes.append(stake)
        return stake

    def settle(self) -> None:
        """After fills and payments: reduce-only orders shrink with their position, margin is reviewed."""
        while self.unsettled:
            stakes = list(self.unsettled)
            self.unsettled.clear()
            if len(stakes) == 1:
                stake = stakes[0]
                if stake.reducing:
                    stake.market.trim(stake)
                if not stake.contract.spot:
                    review(stake.account)
                continue
            accounts: dict[Account, None] = {}
            for stake in stakes:
                if stake.reducing:
                    stake.market.trim(stake)
                if not stake.contract.spot:
                    accounts[stake.account] = None
            for account in accounts:
                review(account)

    def spendable(self, account: Account, coin: str) -> int:
        """What the account could still use for new orders."""
        available = account.available(coin)
        used = 0
        for stake in account.stakes.values():
            if stake.contract.spot or stake.contract.coin != coin:
                continue
            if stake.position.lots:
                available += stake.position.unrealised(stake.market.mark_value(stake.position))
            used += taken_up(stake, stake.buys, stake.sells)
        return max(0, available - ratio(used * UNIT, self.margin.leverage))

    def units(self, value: "Decimal | float | None") -> int:
        """An optional amount as an exact number; 0 for None."""
        return 0 if value is None else parse(value)

    def fee(self, configured: float | None, usual: Decimal | None, maker: bool) -> int:
        """A fee rate in 10^-18: the configured, else the instrument's, else the fallback."""
        if configured is not None:
            return parse(configured)
        if usual is not None:
            return parse(usual)
        return MAKER_FEE if maker else TAKER_FEE

    def total(self) -> dict[str, int]:
        """Coin -> all cash and open gains of accounts, fee income and what the outside holds: always what was
        deposited."""
        total = dict(self.fees)
        for gateway in self.accounts.values():
            for coin, cash in gateway.ledger.cash.items():
                total[coin] = total.get(coin, 0) + cash
        for market in self.markets.values():
            contract = market.contract
            outside = market.outside
            coin = contract.coin
            if contract.spot:
                total[coin] += outside.realised - outside.cost
                total[contract.base] = total.get(contract.base, 0) + outside.lots * contract.lot_units
                continue
            unit = market.mark_value(outside)
            everyone = [outside, *(stake.position for stake in market.stakes)]
            total[coin] += outside.realised + outside.funding + sum(each.unrealised(unit) for each in everyone)
        return total

    def _observed(self) -> int:
        return self.observed_latency

    def _deposits(self, balances: Mapping[str, float] | None) -> dict[str, int]:
        given = balances if balances is not None else self.config.balances
        if given:
            return {coin: parse(amount) for coin, amount in given.items()}
        contracts = [market.contract for market in self.markets.values()]
        needed = [(each.base, each.quote) if each.spot else (each.coin,) for each in contracts]
        return {coin: parse(self.config.default_deposit(coin)) for coins in needed for coin in coins}
