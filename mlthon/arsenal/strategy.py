"""`ArsenalStrategy`: a strategy file of the platform, run as a `Trader`.

Its class is built in the first turn, because `__init__` may ask for balances and for history candles. Then `trade` is
called at the end of each period, with candles that are over. A strategy whose file or `__init__` fails is not run:
`failure` says why.

A callback that asks for what has to be fetched waits (`waits.py`), and the engine does not: meanwhile orders are filled
and positions protected as ever. Other callbacks of the strategy come after it, and it sees its account as at its
beginning to its end (`Moment`).
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from functools import partial
from typing import Any, Final

from mlthon.arsenal.ca import Arsenal
from mlthon.arsenal.holdings import Moment
from mlthon.arsenal.market import FetchHistory, Pair, minutes_of
from mlthon.arsenal.older import Older, older_globals, order_dict, wish_of_row
from mlthon.arsenal.orders import OrderStatus, OrderView
from mlthon.arsenal.outcomes import TAKEN, Tell, to_nobody
from mlthon.arsenal.pages import Fetch, Page, PageRequest, RequestFailed
from mlthon.arsenal.signals import SignalDesk, typed
from mlthon.arsenal.sizing import Funds
from mlthon.arsenal.source import RESERVED, Form, Source, StrategyBase, load, period_of, texts
from mlthon.arsenal.tickets import KEPT as KEPT_ORDERS
from mlthon.arsenal.trader import Trader
from mlthon.arsenal.waits import Begin, T, Waits
from mlthon.arsenal.wishes import ArgumentError, Wish, shown
from mlthon.backtest.loader import place_of
from mlthon.basics.defs import Exchange, FeedHandlerStatus
from mlthon.engine.candles import Candle
from mlthon.engine.clock import SECOND, Handle
from mlthon.errors import UserError

_HOOK: Final = "on_order_state_change"
FALSE: Final = ("", "0", "false", "no", "off")


class ArsenalStrategy(Trader):
    """See the module. `options`: all are texts; `outside`: which of them are from outside."""

    def __init__(self, name: str, source: Source, options: Mapping[str, str], outside: Iterable[str] = ()) -> None:
        super().__init__(name)
        self.source = source
        self.options = {**RESERVED, **options}
        self.outside = frozenset(outside)
        self.failure: UserError | None = None
        self.fetch: FetchHistory | None = None
        self.fetch_page: Fetch | None = None
        self.backtest = True
        self.user: Any = None
        self.period = 0
        self._building = False
        self._timer: Handle | None = None
        self._funds: dict[Pair, Funds] | None = None
        self._placed: set[str] = set()
        self._moment: Moment | None = None
        self._waits = Waits(partial(self.turn, "an answer"))
        self._later: list[tuple[str, Callable[[], None]]] = []
        self._waiting = False
        self.last_ordered: str | None = None
        """The id of the order that the strategy placed last."""
        self.ca = Arsenal(self)
        self.rules = True
        """Whether documented signals are carried out by the rules; else the strategy gets all."""
        self.desk = SignalDesk(self, self.signal if self.takes_signals else None)

    # -- building ----------------------------------------------------------------------------------------------------

    def began(self) -> None:
        if self.user is not None:
            self.desk.resume()
            self._arm()
            return
        self._run(self._built)

    def _built(self) -> None:
        """Build it, and begin with its candles."""
        try:
            self._build()
        except UserError as error:
            self._give_up(error)
            return
        except Exception as error:  # noqa: BLE001 - whatever the file does wrong is told with its place
            place = place_of(error, self.source.file.parent)
            text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            self._give_up(UserError(f"{place}: {text}", f"Strategy {self.name} is not run."))
            return
        finally:
            self._building = False
        self.desk.resume()
        self._begin_candles()

    def _build(self) -> None:
        self._building = True
        members = {
            "given": dict(self.options),
            "outside": self.outside,
            "reserved_set": staticmethod(self._reserved_set),
        }
        base = type("StrategyBase", (StrategyBase,), members)
        given = {"CA": self.ca, "StrategyBase": base, **older_globals(self)}
        user = load(self.source, given)()
        if self.source.form is Form.OLDER:
            Older.prepare(user, self.options)
        self.period = self.placing.period = period_of(user)
        self.user = user

    def _reserved_set(self, name: str, value: Any) -> str:
        """The strategy's own code sets one of the platform's options: for all but IS_DEBUG it comes too late, as the
        run is made. Gives what it is."""
        (text,) = texts({name: value}).values()
        if name == "IS_DEBUG":
            self.options[name] = text
        elif text != self.options[name]:
            self.log(f"{name} is {self.options[name]} in this run, not {text}: set it with --set {name}={text}")
        return self.options[name]

    def _give_up(self, error: UserError) -> None:
        self.failure = error
        self.say(str(error), logging.ERROR)
        self.session.clock.call_soon(self.session.stop, "it cannot be run")

    def _fetch(self, period: int, count: int, then: Callable[[Mapping[Pair, Sequence[Candle]]], None]) -> None:
        """Get candles of every pair. What cannot be had is empty."""
        found: dict[Pair, Sequence[Candle]] = {}
        left = list(self.pairs)

        def done(pair: Pair, candles: Sequence[Candle]) -> None:
            end = self.now - self.now % period
            found[pair] = [each for each in candles if each.start + period <= end]
            left.remove(pair)
            if not left:
                then(found)

        def failed(pair: Pair, reason: str) -> None:
            self.say(f"no history of {pair.name}: {reason}", logging.WARNING)
            done(pair, ())

        for pair in self.pairs:
            if self.fetch is None:
                done(pair, pair.history(count, period, self.now))
            else:
                self.fetch(pair, period, count, partial(done, pair), partial(failed, pair))

    def history_candles(self, count: int, seconds: int) -> dict[str, dict[str, list[dict[str, Any]]]]:
        """`CA.get_history_candles`. Raises `ArgumentError` outside `__init__`."""
        if not self._building:
            raise ArgumentError("get_history_candles", "only in __init__")
        period = minutes_of(seconds)
        history: Mapping[Pair, Sequence[Candle]] = self.wait(partial(self._fetch, period, count))
        found: dict[str, dict[str, list[dict[str, Any]]]] = {}
        for pair in self.pairs:
            found.setdefault(pair.exchange, {})[pair.name] = [pair.row(each) for each in history[pair][-count:]]
        return found

    # -- periods -----------------------------------------------------------------------------------------------------

    def _begin_candles(self) -> None:
        """Have the past of the period, then wait for its end."""
        period = self.period

        def known(found: Mapping[Pair, Sequence[Candle]]) -> None:
            for pair, candles in found.items():
                pair.remember(candles, self.now, period)
            self._arm()

        self._fetch(period, 500, known)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        clock = self.session.clock
        due = clock.now - clock.now % self.period + self.period
        self._timer = clock.schedule(due, self._period_over)

    def _period_over(self) -> None:
        end = self.now - self.now % self.period
        self._arm()
        if self._waiting:
            self.say("the last period is still waited for: this one is left out", logging.WARNING)
            return
        self._waiting = True
        self._own_turn("trade", partial(self._trade, end))

    def _trade(self, end: int, *, again: bool = True) -> None:
        for pair in self.pairs:
            pair.close(end, self.period, self.now)
        behind = any(each.is_behind(end, self.period) for each in self.pairs)
        if behind and again and self.fetch is not None:
            self._fetch(self.period, 500, partial(self._caught_up, end))
            return
        self._waiting = False
        if all(each.closed for each in self.pairs):
            self.in_callback("trade", self._call_trade)

    def _caught_up(self, end: int, found: Mapping[Pair, Sequence[Candle]]) -> None:
        for pair, candles in found.items():
            if candles:
                pair.remember(candles, self.now, self.period)
        self._own_turn("trade", partial(self._trade, end, again=False))

    def _call_trade(self) -> None:
        if self.source.form is Form.OLDER:
            rows = self.user.trade(Older.information(self, self.candles()))
        else:
            rows = self.user.trade(self.candles())
        for row in rows if isinstance(rows, list | tuple) else ():
            self.guarded("trade", partial(self._order_row, row))

    def _order_row(self, row: Any) -> None:
        """One that cannot be used leaves the others alone."""
        try:
            wish = wish_of_row(row, self)
            if wish is not None:
                self.order(wish)
        except (ArgumentError, RuntimeError) as error:
            self.say(f"trade returned {str(row)[:100]}: {error}", logging.ERROR)
            raise

    def candles(self) -> dict[str, dict[str, list[dict[str, Any]]]]:
        """By exchange and pair, newest first; a copy for each call."""
        found: dict[str, dict[str, list[dict[str, Any]]]] = {}
        for pair in self.pairs:
            found.setdefault(pair.exchange, {})[pair.name] = [dict(each) for each in reversed(pair.rows)]
        return found

    # -- callbacks ---------------------------------------------------------------------------------------------------

    def _own_turn(self, what: str, call: Callable[[], None]) -> None:
        """A turn for a callback of the strategy's: after one that waits."""

        def take() -> None:
            if self._waits.suspended:
                self._later.append((what, call))
            else:
                call()

        self.turn(what, take)

    def in_callback(self, what: str, call: Callable[[], Any]) -> None:
        """Make a callback of the strategy's: what there is for orders does not change in it."""
        self._funds = {each: super(ArsenalStrategy, self).funds(each) for each in self.pairs}
        self._placed = set()
        self._run(partial(self.guarded, what, call))

    def _run(self, callback: Callable[[], Any]) -> None:
        self._waits.run(partial(self._to_its_end, callback))

    def _to_its_end(self, callback: Callable[[], Any]) -> None:
        try:
            callback()
        finally:
            self._funds = None
            self._placed = set()
            self._moment = None
            later, self._later = self._later, []
            for each in later:
                self._own_turn(*each)

    def wait(self, begin: Begin[T]) -> T:
        """In a callback: the answer to what `begin` starts. What the callback sees stays as it is. Raises RuntimeError
        outside of one."""
        if self._moment is None:
            orders = self.order_views(None, KEPT_ORDERS)
            self._moment = Moment(self.frozen, {each: held.copy() for each, held in self.holdings.items()}, orders)
        mine = self._moment, self._funds, self._placed
        self._moment, self._funds, self._placed = None, None, set()
        try:
            return self._waits.wait(begin)
        finally:
            self._moment, self._funds, self._placed = mine

    def page(self, request: PageRequest) -> Page:
        """What a request of the strategy's is answered. Raises `RequestFailed`."""
        fetch = self.fetch_page
        if fetch is None:
            raise RequestFailed("a backtest has no network: allow it with --allow-network")
        found: Page | RequestFailed = self.wait(partial(fetch, request))
        if isinstance(found, RequestFailed):
            raise found
        return found

    @property
    def seen(self) -> Moment:
        """The account as the callback sees it."""
        return Moment(self.frozen, self.holdings) if self._moment is None else self._moment

    def funds(self, pair: Pair) -> Funds:
        return super().funds(pair) if self._funds is None else self._funds[pair]

    def order(self, wish: Wish) -> OrderView | None:
        """Order in a callback."""
        if self._funds is None:
            raise ArgumentError("place_order", "only in trade, on_order_state_change and on_tradingview_signal")
        ticket = self.placing.place(wish)
        if ticket is None:
            return None
        self._placed.add(ticket.client_id)
        self.last_ordered = ticket.client_id
        return ticket.view()

    def order_views(self, status: OrderStatus | None, limit: int) -> list[OrderView]:
        """The orders as the callback found them."""
        if self._moment is not None:
            return [each for each in self._moment.orders if status in (None, each.status)][:limit]
        views = self.tickets.views(status, KEPT_ORDERS if self._placed else limit)
        return [each for each in views if each.id not in self._placed][:limit]

    def cancel_named(self, client_id: str, argument: str) -> None:
        """Cancel the order of this id; one that is over already is left alone. Raises `ArgumentError`."""
        ticket = self.tickets.find(client_id)
        if ticket is None:
            raise ArgumentError(argument, f"there is no order {shown(client_id)}")
        if ticket.leaves:
            self.cancel(ticket)

    def order_changed(self, order: OrderView) -> None:
        told: Any = order_dict(order) if self.source.form is Form.OLDER else order

        def tell() -> None:
            hook = getattr(self.user, _HOOK, None)
            if hook is not None:
                self.in_callback(_HOOK, lambda: hook(copy(told)))

        # before there is a strategy: an order of an earlier run was filled meanwhile
        if self.user is None or getattr(self.user, _HOOK, None) is not None:
            self._own_turn(_HOOK, tell)

    def take(self, payload: Mapping[str, Any], tell: Tell = to_nobody) -> None:
        """A signal whose sender is known to be allowed; `tell` is told what came of it, once. Raises `UserError`."""
        if self.rules or not self.takes_signals:
            self.desk.take(payload, tell)
        else:
            self.desk.give(payload)
            tell(TAKEN)

    @property
    def takes_signals(self) -> bool:
        """Whether the strategy has `on_tradingview_signal`."""
        return "on_tradingview_signal" in self.source.hooks

    def signal(self, payload: Mapping[str, Any]) -> None:
        """Give the strategy a signal."""

        def give() -> None:
            if self._timer is None:  # history is still being fetched: its candles are what the strategy would look at
                self.session.clock.call_at(self.now + SECOND, self.signal, payload)
                return
            hook = self.user.on_tradingview_signal
            self.in_callback("on_tradingview_signal", lambda: hook(dict(payload), self.candles()))

        self._own_turn("on_tradingview_signal", give)

    def log(self, text: str, *, debug: bool = False) -> None:
        """`CA.log`."""
        if debug and str(self.options.get("IS_DEBUG", "")).lower() in FALSE:
            return
        self.say(text)

    # -- the framework -----------------------------------------------------------------------------------------------

    def on_framework_connected(self, env: Any) -> None:
        env.add_cmd_hook("signal", lambda words: self.take(typed(str(words))))
        super().on_framework_connected(env)

    def on_feed_handler_status(self, exchange: Exchange, status: FeedHandlerStatus, detail: str) -> None:
        """Live market data begin or go on: what was traded before is the exchange's to tell."""
        if self.fetch is not None and status is FeedHandlerStatus.SnapshotEnd:
            for each in self.pairs:
                if each.instrument.venue is exchange:
                    each.since = self.now

    def on_strat_params_update(self, strat_params: dict[str, Any]) -> None:
        """Options that were changed while the strategy runs."""
        changed = texts(strat_params)
        self.options.update(changed)
        if self.user is not None:
            for name, value in changed.items():
                self.user[name] = value

    def stopped(self) -> None:
        self._waiting = False
        self._waits.close()
        self._later.clear()
        self.desk.suspend()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
