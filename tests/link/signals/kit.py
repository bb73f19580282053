"""A signal bot on the embedded exchange, whose market is moved quote by quote, and everything that it sends."""

from functools import partial
from typing import Any

from mlthon.backtest.assembly import assemble
from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import Exchange
from mlthon.basics.instrument import Instrument
from mlthon.config import BotConfig, StrategyConfig, load_config
from mlthon.engine.clock import MS, SECOND
from mlthon.engine.session import Session
from mlthon.engine.state import State
from mlthon.link.host.desk import EmbeddedDesk
from mlthon.link.host.listing import Listing
from mlthon.link.host.signals import SignalBoard
from mlthon.link.signals.assembly import checked
from mlthon.link.signals.bot import SignalBot
from mlthon.link.signals.memory import BotMemory

START = 1_735_689_600 * SECOND
"""2025-01-01 00:00 UTC."""
BIG = 10**7
"""Lots at every touch: what takes is filled whole."""


class Requests:
    """A tap: every request and event, `(kind, side, price, lots)` in ticks and lots."""

    kinds = frozenset(("new", "modify", "cancel", "reject", "modify_reject", "fill"))

    def __init__(self) -> None:
        self.rows: list[tuple[int, str, Any, Any]] = []

    def record(self, ts: int, kind: str, order: Any, detail: tuple[Any, ...]) -> None:
        if kind in self.kinds:
            self.rows.append((ts, kind, order, detail))

    def of(self, *kinds: str) -> list[tuple[int, str, Any, Any]]:
        return [each for each in self.rows if each[1] in kinds]

    def count(self, *kinds: str) -> int:
        return len(self.of(*kinds))


class Table:
    """One bot, or several on one symbol, and the market. Prices are in quote currency, sizes in the exchange's own."""

    def __init__(
        self,
        kind: str,
        params: dict[str, Any],
        *,
        exchange: Exchange = Exchange.Bybit,
        symbol: str = "BTCUSDT",
        settings: tuple[str, ...] = (),
        start: int = START,
        bots: int = 1,
        bid: float | None = 30000.0,
        enabled: bool = True,
        position: Any = "of the account",
        held: int = 0,
        state: State | None = None,
        lasts_s: float | None = None,
    ) -> None:
        self.instrument: Instrument = resolve(exchange, symbol)
        self.src = exchange.name.lower()
        self.symbol = symbol
        self.requests = Requests()
        self.board = SignalBoard()
        config = load_config(None, settings)
        self.config = BotConfig(
            type=kind, venue="V", symbol=symbol, description="a test", params=params, enabled=enabled
        )
        found, checked_params = checked("b", self.config)
        self.bots = [SignalBot(found, exchange, checked_params, enabled=enabled, lasts_s=lasts_s) for _ in range(bots)]
        bound = StrategyConfig(strategy="b", exchanges=[exchange.name], account="V", params=self.config.as_params)
        strategies: dict[str, tuple[Any, StrategyConfig]] = {
            f"bot.b{number}": (partial(_same, bot), bound) for number, bot in enumerate(self.bots)
        }
        self.assembly = assemble(config, strategies, [self.instrument], start=start, seed=1, taps=[self.requests])
        self.clock = self.assembly.clock
        self.engine = self.assembly.engine
        self.exchange = self.assembly.exchanges[exchange]
        self.market = self.exchange.market(self.instrument)
        self.feed = self.engine.feed(self.instrument)
        self.gateway = self.exchange.accounts["V"]
        listing = Listing(self.src, symbol, self.instrument)
        desk = EmbeddedDesk(self.exchange, self.gateway, self.engine.port(exchange, "V"), self._no_candles)
        for name, bot in zip(strategies, self.bots, strict=True):
            ask = desk.position if position == "of the account" else position
            memory = None if state is None else BotMemory(state, name)
            bot.attach(self.engine.sessions[name], self.clock, listing, ask, held=held, memory=memory)
            self.board.listen(self.src, symbol, bot.hear, (bot.kind.takes,))
        self._lane = self.market.quote_lane(self.feed)
        self._trade_lane = self.market.trade_lane(self.feed)
        self.engine.start()
        self.wait(0.1)
        if bid is not None:
            self.quote(bid)

    def _no_candles(self, instrument: Instrument) -> Any:
        raise AssertionError("no candles are asked for here")

    @property
    def bot(self) -> SignalBot:
        return self.bots[0]

    @property
    def session(self) -> Session:
        return self.bot.session

    def ticks(self, price: float) -> int:
        return self.instrument.price_scale.steps(round(price, 4))

    def price(self, ticks: int) -> float:
        return float(self.instrument.price_scale.values[ticks].to_float())

    def size(self, lots: int) -> float:
        return float(self.instrument.qty_scale.values[lots].to_float())

    # -- what happens ------------------------------------------------------------------------------------------------

    def wait(self, seconds: float) -> None:
        self.clock.run_until(self.clock.now + round(seconds * SECOND))

    def quote(self, bid: float, ask: float | None = None, *, bid_lots: int = BIG, ask_lots: int = BIG) -> None:
        """The touch is here, by default a tick wide; what this sets off has happened on return."""
        low = self.ticks(bid)
        high = low + 1 if ask is None else self.ticks(ask)
        self.wait(0.01)
        self._lane(low, bid_lots, high, ask_lots, self.clock.now, self.clock.now)
        self.wait(0.01)

    def trade(self, price: float, lots: int, side: int) -> None:
        """Others trade at a price."""
        self.wait(0.01)
        self._trade_lane(self.ticks(price), lots, side, 1, self.clock.now, self.clock.now)
        self.wait(0.01)

    def signal(self, *, settle: bool = True, **intents: Any) -> None:
        self.board.signal(self.src, self.symbol, intents, "script", self.clock.now)
        if settle:
            self.wait(0.02)

    # -- what there is -----------------------------------------------------------------------------------------------

    @property
    def held(self) -> float:
        """The account's position, as the exchange has it."""
        return self.size(self.exchange.stake(self.gateway.ledger, self.market).position.lots)

    def orders(self, side: int | None = None) -> list[tuple[float, float]]:
        """The open orders of the first bot, (price, signed size still to be filled), lowest first."""
        return sorted(
            (self.price(each.price), self.size(each.side * each.leaves))
            for each in self.session.open.values()
            if side in (None, each.side)
        )

    def sent(self, kind: str = "new") -> list[tuple[int, float | None, float]]:
        """Requests of a kind so far: (ms since the start, price or None, signed size)."""
        return [
            ((ts - START) // MS, self.price(order.price) if order.price else None, self.size(order.side * order.qty))
            for ts, _, order, _ in self.requests.of(kind)
        ]


def _same(bot: SignalBot) -> SignalBot:
    return bot


def position(**params: Any) -> Table:
    """A Position bot for 1 BTCUSDT."""
    return Table("position", {"max_position_size": 1.0, **params})
