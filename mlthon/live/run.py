"""A live run from start to stop, and what it tells.

The start is in `start`: everything is wired, then the journal's open orders are adopted, then gateways and feeds begin,
then the strategies are connected; they hear `ReadyToTrade` when their account has been reconciled. `play` lets the wall
clock go on until the run's time is over or somebody asks it to stop. `stop` winds down within `STOP_S` seconds:
`on_stop`, the acknowledgement; then no gateway takes a new order any more, and the open ones are cancelled (if so
configured) until their ends have come in, those of strategies that ran earlier and do not now included. Then feeds and
gateways are stopped, which sends nothing more, and what is on its way has a moment to come back; after that nothing
comes up any more, and the journal is closed. The connections are closed by whoever made them, later than all of this.
What could not be cancelled in time is said, and the guard process goes on with it.

The books of a live run (`LiveBooks`) are kept from the fills that strategies were told of; the account's positions are
what the exchange says. They are shown beside one another and need not agree: the account may be traded elsewhere too.
"""

import json
import logging
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import trio
from attrs import frozen

from mlthon.backtest.books import Book
from mlthon.backtest.portfolio import positions, profit
from mlthon.backtest.result import Holding, Progress, Result
from mlthon.backtest.run import Turnover
from mlthon.backtest.show import columns, show_count, show_exact, show_money, show_span, show_time
from mlthon.basics.defs import Exchange
from mlthon.basics.instrument import Instrument
from mlthon.basics.money import parse, to_str
from mlthon.engine.clock import SECOND
from mlthon.engine.engine import Engine
from mlthon.engine.entries import IN_DOUBT
from mlthon.engine.garbage import LATENCY, rare_collections
from mlthon.engine.taps import Tally
from mlthon.engine.tracker import TrackedOrder
from mlthon.live.driver import Driver

log = logging.getLogger("mlthon.live")

STOP_S: Final = 5.0
"""How long a clean stop takes at most."""
ACK_S: Final = 2.5
"""How much of it strategies have to acknowledge."""
CLOSE_S: Final = 1.75
"""How much of it is kept for closing connections and the journal, and for the end of the process."""
ANSWERS_S: Final = 1.0
"""How long a gateway that has been stopped is given to hear what it still waits for."""
CANCEL_EVERY_S: Final = 1.0
LOOK_EVERY_S: Final = 0.1
PROGRESS_EVERY_S: Final = 0.25
STOPPED: Final = "it was stopped"
TIME_OVER: Final = "its time was over"


class Part(Protocol):
    """A gateway or a feed of the run."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


class GatewayPart(Part, Protocol):
    """A live gateway: see `mlthon.venue.live_gateway` on its end in three steps."""

    @property
    def idle(self) -> bool: ...

    def wind_down(self, reason: str) -> None: ...

    def close(self) -> None: ...


class LiveBooks:
    """A tap: one book for each strategy, account and instrument, from the fills of this run."""

    kinds = frozenset({"new", "fill"})

    def __init__(self) -> None:
        self.books: dict[tuple[str, str, Instrument], Book] = {}

    def record(self, ts: int, kind: str, order: TrackedOrder | None, detail: tuple[Any, ...]) -> None:
        if order is None:
            return
        key = (order.session.name, order.account, order.instrument)
        book = self.books.get(key)
        if book is None:
            book = self.books[key] = Book(*key)
        if kind == "new":
            book.orders += 1
            return
        _, price, qty, _, fee, fee_coin, maker, _ = detail
        book.fill(ts, order.side, price, qty, fee, fee_coin, maker)

    def holdings(self) -> tuple[Holding, ...]:
        """What was traded, by strategy and instrument. What is still open is not valued: its profit is what was
        realised, less fees in the coin of settlement."""
        return tuple(_holding(book) for book in self.books.values() if book.fills)


def _holding(book: Book) -> Holding:
    position, contract = book.position, book.contract
    return Holding(
        instrument=book.instrument.name,
        account=book.account,
        coin=contract.coin,
        position=position.lots * contract.lot_units,
        entry=parse(position.entry_price) if position.lots else None,
        mark=None,
        realised=position.realised,
        unrealised=0,
        fees=book.fees.get(contract.coin, 0),
    )


@frozen(kw_only=True)
class Standing:
    """A position as a strategy's fills add up to (of all runs in the journal), and as the exchange has the account's.
    Quantities in 10^-18 of the instrument's unit; `of_account`: None where the exchange has not said."""

    exchange: Exchange
    account: str
    instrument: str
    by_strategy: Mapping[str, int]
    of_account: int | None


@frozen(kw_only=True)
class LiveResult:
    """How a live run went. `open_orders`: orders of ours that were not seen to end; `in_doubt`: those among them of
    which a request went unanswered, so that nobody here knows whether they are at the exchange."""

    result: Result
    standings: tuple[Standing, ...] = ()
    open_orders: tuple[str, ...] = ()
    in_doubt: tuple[str, ...] = ()

    def to_json(self) -> str:
        """The line of `--json`: that of other modes, with positions of strategies and accounts and what is open."""
        line = self.result.to_json()[:-1]
        more = {
            "positions": [
                {
                    "exchange": each.exchange.name,
                    "account": each.account,
                    "instrument": each.instrument,
                    "strategies": {name: to_str(units) for name, units in each.by_strategy.items()},
                    "at_exchange": None if each.of_account is None else to_str(each.of_account),
                }
                for each in self.standings
            ],
            "open_orders": list(self.open_orders),
            "in_doubt": list(self.in_doubt),
        }
        return f"{line},{json.dumps(more, separators=(',', ':'))[1:]}"

    def text(self) -> str:
        """The summary for a person."""
        told = self.result
        counts = (
            f"{show_count(told.orders, 'order')}, {show_count(told.cancels, 'cancel')}, "
            f"{show_count(told.fills, 'fill')}, {told.rejects:,} rejected, {show_count(told.errors, 'error')}"
        )
        span = show_span(told.end_ns - told.start_ns)
        lines = [
            f"{told.strategy}, {told.mode}",
            "",
            f"  time     {show_time(told.start_ns)} to {show_time(told.end_ns)} UTC ({span}); {told.ended}",
            f"  activity {counts}",
        ]
        for name, amounts in (("traded", told.volume), ("fees", told.fees), ("profit", told.pnl)):
            if amounts:
                shown = ", ".join(f"{show_money(units)} {coin}" for coin, units in sorted(amounts.items()))
                lines.append(f"  {name:<9}{shown}")
        if self.open_orders:
            lines.append(f"  OPEN     {', '.join(self.open_orders)}: not seen to end; look at the exchange")
        if self.in_doubt:
            asked = "requests went unanswered; the next run with this journal asks what became of them"
            lines.append(f"  IN DOUBT {', '.join(self.in_doubt)}: {asked}")
        if self.standings:
            lines += ["", show_standings(self.standings)]
        return "\n".join(lines)


def show_standings(standings: Sequence[Standing]) -> str:
    """What strategies hold beside what the accounts hold, as a table."""
    heading = ("instrument", "account", "by strategies", "at the exchange", "difference")
    return "\n".join("  " + line for line in columns([heading, *map(_row, standings)], left=2))


def _row(each: Standing) -> tuple[str, ...]:
    ours = sum(each.by_strategy.values())
    said = "not said" if each.of_account is None else show_exact(each.of_account)
    apart = "" if each.of_account is None else show_exact(each.of_account - ours)
    shown = ", ".join(f"{name} {show_exact(units)}" for name, units in each.by_strategy.items()) or "0"
    return each.instrument, f"{each.exchange.name} {each.account}", shown, said, apart


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@frozen(kw_only=True)
class Parts:
    """What a live run is made of. `watch`: the guard, started first and stopped last. `standings` is asked at the end
    and on demand; `events` counts the market data events so far; `close` is called last (the journal)."""

    name: str
    mode: str
    engine: Engine
    tally: Tally
    turnover: Turnover
    books: LiveBooks
    events: Callable[[], int]
    standings: Callable[[], tuple[Standing, ...]]
    close: Callable[[], None]
    watch: Part | None = None
    gateways: Sequence[GatewayPart] = ()
    feeds: Sequence[Part] = ()
    cancel_on_stop: bool = True
    ack_s: float = ACK_S


class LiveRun:
    """See the module. All methods are called in the driver's task."""

    def __init__(self, parts: Parts, driver: Driver) -> None:
        self.parts = parts
        self.start_ns = driver.wall.now()
        self._driver = driver
        self._began = time.perf_counter()

    def start(self) -> None:
        """Begin: the guard, gateways and feeds, then strategies."""
        watch = () if self.parts.watch is None else (self.parts.watch,)
        for part in (*watch, *self.parts.gateways, *self.parts.feeds):
            self._driver.deliver(part.start)
        self._driver.deliver(self.parts.engine.start)

    async def play(
        self,
        duration_s: float | None,
        stop: Callable[[], bool],
        on_progress: Callable[[Progress], None],
        look: Callable[[], None],
        show: Callable[[str], None] = _to_stderr,
    ) -> str:
        """Go on until the time is over or `stop` says so; why it ended. `look` is called about once a second. On
        SIGUSR2 `show` is given what strategies hold beside what their accounts hold."""
        with rare_collections(LATENCY), trio.open_signal_receiver(signal.SIGUSR2) as asked:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._show_when_asked, asked, show)
                ended = await self._go_on(duration_s, stop, on_progress, look)
                nursery.cancel_scope.cancel()
        return ended

    async def _show_when_asked(self, asked: AsyncIterator[int], show: Callable[[str], None]) -> None:
        async for _ in asked:
            show(show_standings(self.parts.standings()))

    async def _go_on(
        self,
        duration_s: float | None,
        stop: Callable[[], bool],
        on_progress: Callable[[Progress], None],
        look: Callable[[], None],
    ) -> str:
        over = None if duration_s is None else trio.current_time() + duration_s
        end_ns = None if duration_s is None else self.start_ns + round(duration_s * SECOND)
        told = looked = trio.current_time()
        while True:
            if stop():
                return STOPPED
            now = trio.current_time()
            if over is not None and now >= over:
                return TIME_OVER
            if now - told >= PROGRESS_EVERY_S:
                told = now
                on_progress(self.progress(end_ns))
            if now - looked >= 1.0:
                looked = now
                look()
            await trio.sleep(LOOK_EVERY_S if over is None else min(LOOK_EVERY_S, over - now))

    async def stop(self, ended: str) -> LiveResult:
        """Wind down and close everything, within `STOP_S`."""
        engine, deliver, parts = self.parts.engine, self._driver.deliver, self.parts
        end = trio.current_time() + STOP_S
        deliver(engine.stop)
        acknowledged = trio.current_time() + min(parts.ack_s, ACK_S)
        while self._stopping() and trio.current_time() < acknowledged:
            await trio.sleep(0.01)
        for gateway in parts.gateways:
            deliver(gateway.wind_down, "the run ends")
        orders = self._orders()
        if parts.cancel_on_stop:
            await self._cancel(orders, end - CLOSE_S)
        # now, so that their lines are closed while the gateways wait for their last answers
        for feed in parts.feeds:
            deliver(feed.stop)
        await self._close_gateways(min(end - CLOSE_S / 2, trio.current_time() + ANSWERS_S))
        deliver(engine.end)
        left = [order for order in orders if order.is_open]
        names = tuple(order.wire_id for order in left)
        if left and parts.cancel_on_stop:
            log.error("%s still open when the run ended: %s", show_count(len(left), "order"), ", ".join(names))
        result, standings = self._result(ended), parts.standings()
        if parts.watch is not None:
            deliver(parts.watch.stop)
        parts.close()
        doubtful = tuple(order.wire_id for order in left if order.state in IN_DOUBT)
        return LiveResult(result=result, standings=standings, open_orders=names, in_doubt=doubtful)

    def _stopping(self) -> bool:
        """Whether a strategy has yet to acknowledge; one that is just logging in is stopped by a queued call."""
        return self.parts.engine.stopping or any(
            session.running and session.phase.value == "running" for session in self.parts.engine.sessions.values()
        )

    def _orders(self) -> list[TrackedOrder]:
        """Our open orders, those included whose strategy does not run any more."""
        return [order for order in self.parts.engine.tracker.orders.values() if order.is_open]

    async def _cancel(self, orders: Sequence[TrackedOrder], limit: float) -> None:
        """Cancel the orders, again those of which it was refused, until none is open. A cancel that waits, for a rate
        limit or its answer, is not sent a second time."""
        ports = self.parts.engine.ports
        again = 0.0
        while any(order.is_open for order in orders) and trio.current_time() < limit:
            if trio.current_time() >= again:
                again = trio.current_time() + CANCEL_EVERY_S
                for order in orders:
                    if order.is_open and not order.cancels:
                        self._driver.deliver(ports[order.instrument.venue, order.account].cancel_order, order)
            await trio.sleep(0.01)

    async def _close_gateways(self, limit: float) -> None:
        """Stop the gateways, let what is on its way come back, and hear nothing more of them."""
        gateways = self.parts.gateways
        for gateway in gateways:
            self._driver.deliver(gateway.stop)
        while not all(gateway.idle for gateway in gateways) and trio.current_time() < limit:
            await trio.sleep(0.01)
        # what was told meanwhile is queued on the clock
        self._driver.advance(self._driver.wall.now())
        for gateway in gateways:
            self._driver.deliver(gateway.close)

    # -- what it tells -------------------------------------------------------------------------------------------------

    def progress(self, end_ns: int | None = None) -> Progress:
        """How the run is getting on."""
        holdings = self.parts.books.holdings()
        counts = self.parts.tally.counts
        return Progress(
            now_ns=self._driver.wall.now(),
            start_ns=self.start_ns,
            end_ns=end_ns,
            events=self.parts.events(),
            elapsed_s=time.perf_counter() - self._began,
            orders=counts["new"],
            fills=counts["fill"],
            holdings=holdings,
            pnl=profit(holdings),
            errors=self._errors(),
        )

    def _errors(self) -> int:
        return sum(session.failures for session in self.parts.engine.sessions.values())

    def _result(self, ended: str) -> Result:
        parts, counts = self.parts, self.parts.tally.counts
        holdings = parts.books.holdings()
        return Result(
            strategy=parts.name,
            mode=parts.mode,
            events=parts.events(),
            orders=counts["new"],
            acks=counts["ack"] + counts["modify_ack"] + counts["cancel_ack"],
            rejects=counts["reject"] + counts["modify_reject"] + counts["cancel_reject"],
            cancels=counts["cancel"] + counts["cancel_all"],
            fills=counts["fill"],
            volume=parts.turnover.value,
            fees=parts.turnover.fees,
            pnl=profit(holdings),
            position=positions(holdings),
            errors=self._errors(),
            elapsed_s=time.perf_counter() - self._began,
            digest=None,
            ended=ended,
            start_ns=self.start_ns,
            end_ns=self._driver.wall.now(),
            holdings=holdings,
        )
