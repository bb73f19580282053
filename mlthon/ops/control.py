"""The control plane: every question and action of `mlthon.ops.contract`, on a running engine.

Whoever operates a run (Telegram, webhooks, the command line) comes through `Control.answer`, in the engine's turn. A
question only reads. An action is done, and written to the audit log with who, when and what came of it; where the log
cannot be written, only what makes trading safer (stopping, cancelling, killing) is still done.

Strategies that take signals and bots that have webhooks announce themselves in `signals`, `webs` and `routes`; `reread`
reads the configuration file again, if the run has one, and says what came of it.
"""

import logging
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from attrs import field, frozen

from mlthon.arsenal.outcomes import Outcome, Tell
from mlthon.backtest.books import Book
from mlthon.backtest.show import show_count
from mlthon.basics.money import parse, to_str
from mlthon.engine.clock import SECOND
from mlthon.engine.engine import Engine
from mlthon.engine.session import Phase, Session
from mlthon.engine.tracker import TrackedOrder
from mlthon.errors import UserError, near
from mlthon.ops.audit import AuditEntry, AuditLog, one_line
from mlthon.ops.books import FillBooks
from mlthon.ops.contract import (
    MOST_ROWS,
    Action,
    Ask,
    CancelAll,
    GetCommands,
    GetFigures,
    GetOrders,
    GetPositions,
    GetProfit,
    GetStatus,
    GetWebhooks,
    Kill,
    Link,
    OrderRow,
    Position,
    Profit,
    Question,
    Reread,
    RunCommand,
    Signal,
    StartStrategy,
    Status,
    StopStrategy,
    StrategyState,
    Told,
    WebCall,
    WebReply,
)

log = logging.getLogger("mlthon.ops")

Reply = Callable[[Told], None]
Web = Callable[[WebCall, Callable[[WebReply], None]], None]
"""Has a bot's webhook called and answers, later or never."""
Routes = Callable[[], Mapping[str, Sequence[tuple[str, str]]]]
"""The webhooks of each bot that is loaded: (`get` or `post`, name)."""
TakeSignal = Callable[[Mapping[str, Any], Tell], None]
"""Hands a signal to its strategy, and tells what came of it, now or later. Raises `UserError` where the signal says
nothing that can be done."""

_OWN_COMMANDS: Final = ("start", "stop")
_TOKEN: Final = "connectorToken"
"""A signal's secret: whoever checks it takes it out, and nothing here would write it down."""
_SAFE: Final = (StopStrategy, CancelAll, Kill)
"""What is done even when it cannot be written down."""


@frozen(kw_only=True)
class RunFacts:
    """What the control plane knows of a run beside its engine. `started`: ns. `events`: market data so far. `counts`:
    by kind of order flow (`mlthon.engine.taps.Tally`). `mark`: an instrument's mark price in 10^-18, None where
    unknown. `at_exchange`: an account's position in lots as the exchange says. `figures`: Prometheus text. `kill`: has
    all orders cancelled from outside the engine; None where there is no guard, and the engine cancels."""

    name: str
    mode: str
    started: int
    events: Callable[[], int]
    counts: Mapping[str, int]
    books: FillBooks
    mark: Callable[[Any], int | None] = field(default=lambda _: None)
    at_exchange: Callable[[Any, str, Any], int | None] = field(default=lambda *_: None)
    figures: Callable[[], str] = field(default=lambda: "")
    kill: Callable[[], None] | None = None


class Control:
    """See the module. All methods are called in the engine's turn; `answer` never raises."""

    def __init__(self, engine: Engine, facts: RunFacts, audit: AuditLog) -> None:
        self.signals: dict[str, TakeSignal] = {}
        self.webs: dict[str, Web] = {}
        self.routes: Routes = dict
        self.reread: Callable[[], Sequence[str]] | None = None
        self._engine = engine
        self._facts = facts
        self._audit = audit
        self._last_events = (0, engine.clock.now)
        self._questions: dict[type, Callable[[Any], Any]] = {
            GetStatus: lambda _: self.status(),
            GetPositions: lambda asked: self.positions(asked.strategy),
            GetOrders: lambda asked: self.orders(asked.strategy),
            GetProfit: lambda asked: self.profit(asked.strategy),
            GetCommands: lambda _: self.commands(),
            GetFigures: lambda _: facts.figures(),
            GetWebhooks: lambda _: self.routes(),
        }
        self._actions: dict[type, Callable[[Any], str]] = {
            StartStrategy: self._start,
            StopStrategy: self._stop,
            RunCommand: self._run_command,
            CancelAll: self._cancel_all,
            Kill: self._kill,
            Reread: lambda _: self._reread(),
        }

    def answer(self, ask: Ask, reply: Reply) -> None:
        """Do what is asked and `reply` once, now or (a bot's webhook, a signal) later."""
        what = ask.what
        try:
            if isinstance(what, WebCall):
                self._web(ask.who, ask.number, what, reply)
                return
            if isinstance(what, Signal):
                self._signal(ask.who, ask.number, what, reply)
                return
            question = self._questions.get(type(what))
            value = question(what) if question is not None else self._act(ask.who, what)
        except UserError as error:
            reply(Told(ask.number, None, error.message, error.hint))
        except Exception:
            log.exception("%s of %s could not be answered", type(what).__name__, ask.who)
            reply(Told(ask.number, None, f"{type(what).__name__} failed here; the run's log says why"))
        else:
            reply(Told(ask.number, value))

    # -- questions ---------------------------------------------------------------------------------------------------

    def status(self) -> Status:
        engine, facts = self._engine, self._facts
        now = engine.clock.now
        return Status(
            name=facts.name,
            mode=facts.mode,
            started=facts.started,
            now=now,
            events=facts.events(),
            orders=facts.counts.get("new", 0),
            fills=facts.counts.get("fill", 0),
            errors=sum(each.failures for each in engine.sessions.values()),
            profit=_added_up(self.profit(None)),
            strategies=[_state(each) for each in engine.sessions.values()],
            links=[*self._gateways(), *self._feeds()],
            since_event_s=self._since_event(now),
        )

    def _since_event(self, now: int) -> float | None:
        """How long ago market data was last seen to have come: known to the precision at which this is asked."""
        events = self._facts.events()
        if events != self._last_events[0]:
            self._last_events = (events, now)
        return (now - self._last_events[1]) / SECOND if events else None

    def _gateways(self) -> Iterable[Link]:
        for (exchange, account), port in self._engine.ports.items():
            status, detail = port.gateway.status()
            yield Link(f"gateway {exchange.name} {account}", status.name, detail)

    def _feeds(self) -> Iterable[Link]:
        for exchange, feed in self._engine.feeds.items():
            if not feed.subscriptions:  # nobody reads it, so nobody connects it
                continue
            # a book that nobody reads is not sent, and so never whole
            read = dict.fromkeys(book for each in feed.subscriptions.values() for book in each.books())
            stale = [each.instrument.name for each in read if not each.whole]
            status = "Disconnected" if not feed.connected else "Syncing" if stale else "Live"
            yield Link(f"feed {exchange.name}", status, f"waiting for {', '.join(stale)}" if stale else "")

    def positions(self, strategy: str | None) -> Sequence[Position]:
        self._known(strategy)
        return [self._position(book) for book in self._facts.books.of(strategy)][:MOST_ROWS]

    def _position(self, book: Book) -> Position:
        position, instrument = book.position, book.instrument
        held = self._facts.at_exchange(instrument.venue, book.account, instrument)
        unit = book.contract.lot_units
        return Position(
            strategy=book.strategy,
            exchange=instrument.venue.name,
            account=book.account,
            instrument=instrument.name,
            quantity=to_str(position.lots * unit),
            entry=f"{position.entry_price:.12g}" if position.lots else None,
            at_exchange=None if held is None else to_str(held * unit),
        )

    def orders(self, strategy: str | None) -> Sequence[OrderRow]:
        self._known(strategy)
        now = self._engine.clock.now
        sessions = [each for name, each in self._engine.sessions.items() if strategy in (None, name)]
        opened = sorted((order for each in sessions for order in each.open.values()), key=lambda each: each.created_ts)
        return [_order(each, now) for each in opened[:MOST_ROWS]]

    def profit(self, strategy: str | None) -> Sequence[Profit]:
        """By strategy and coin: what trading realised, what is open at the mark price where one is known, fees."""
        self._known(strategy)
        sums: dict[tuple[str, str], _Sum] = {}
        for book in self._facts.books.of(strategy):
            mark = self._facts.mark(book.instrument)
            sums.setdefault((book.strategy, book.contract.coin), _Sum()).add(book, mark)
            for coin, fee in book.fees.items():
                sums.setdefault((book.strategy, coin), _Sum()).fees += fee
        return [each.told(name, coin) for (name, coin), each in sums.items()][:MOST_ROWS]

    def commands(self) -> Mapping[str, Sequence[str]]:
        return {name: [*_OWN_COMMANDS, *sorted(each.hooks)] for name, each in self._engine.sessions.items()}

    def _known(self, strategy: str | None) -> None:
        if strategy is not None:
            self._session(strategy)

    def _session(self, name: str) -> Session:
        sessions = self._engine.sessions
        found = sessions.get(name) or {each.lower(): session for each, session in sessions.items()}.get(name.lower())
        if found is None:
            raise UserError(f"no strategy {name!r}{near(name, sessions)}", f"There are {', '.join(sessions)}.")
        return found

    # -- actions -----------------------------------------------------------------------------------------------------

    def _act(self, who: str, what: Action | Question) -> str:
        act = self._actions.get(type(what))
        if act is None:
            raise UserError(f"{type(what).__name__} is nothing that can be asked here")
        if not isinstance(what, _SAFE):
            self._write(who, what, "asked")
        with self._written_down(who, what):
            outcome = act(what)
        self._write_anyhow(who, what, outcome)
        return outcome

    def _write(self, who: str, what: Any, outcome: str) -> None:
        """Raises `UserError` when the log cannot be written: what nobody could account for is not done."""
        try:
            self._audit.write(AuditEntry(self._engine.clock.now, self._facts.name, who, *_told(what), outcome))
        except sqlite3.Error as error:
            raise UserError(
                f"the audit log cannot be written ({error}), so it was not done",
                "Stop, cancel and kill are done all the same. Look at the state folder's disk.",
            ) from None

    def _write_anyhow(self, who: str, what: Any, outcome: str) -> None:
        try:
            self._write(who, what, outcome)
        except UserError as error:
            log.error("%s; it was: %s by %s: %s", error.message, type(what).__name__, *map(one_line, (who, outcome)))
        else:
            log.info("%s: %s %s: %s", *map(one_line, (who, *_told(what), outcome)))

    def _start(self, asked: StartStrategy) -> str:
        session = self._session(asked.strategy)
        if session.phase is not Phase.STOPPED:
            raise UserError(f"{session.name} is {session.phase.value}: only what is stopped can be started")
        session.start(asked.params)
        return f"{session.name} started"

    def _stop(self, asked: StopStrategy) -> str:
        session = self._session(asked.strategy)
        if session.phase is not Phase.RUNNING:
            raise UserError(f"{session.name} is {session.phase.value}: only what is running can be stopped")
        session.stop(asked.params)
        return f"{session.name} is stopping"

    def _run_command(self, asked: RunCommand) -> str:
        session = self._session(asked.strategy)
        failures = session.failures
        if not session.command(asked.command, asked.words):
            known = (*_OWN_COMMANDS, *sorted(session.hooks))
            raise UserError(
                f"{session.name} has no command {asked.command!r}{near(asked.command, known)}",
                f"It has {', '.join(known)}.",
            )
        if session.failures != failures:
            raise UserError(f"the command {asked.command!r} of {session.name} raised; the run's log says what")
        return f"{session.name} did {asked.command}"

    def _cancel_all(self, asked: CancelAll) -> str:
        session = self._session(asked.strategy)
        count = len(session.open)
        session.cancel_open_orders()
        return f"{session.name}: {show_count(count, 'cancel')} on the way"

    def _kill(self, _: Kill) -> str:
        sessions = self._engine.sessions.values()
        count = sum(len(each.open) for each in sessions)
        opened = show_count(count, "open order")
        for session in sessions:
            if session.phase is Phase.RUNNING:
                session.stop("killed")
        if self._facts.kill is not None:
            self._facts.kill()
            return f"every strategy is stopping, and the guard cancels {opened}"
        for session in sessions:
            session.cancel_open_orders()
        return f"every strategy is stopping, and {opened} {'is' if count == 1 else 'are'} being cancelled"

    def _reread(self) -> str:
        if self.reread is None:
            raise UserError("this run cannot read its configuration again", "Start it anew.")
        return "\n".join(self.reread()) or "nothing has changed"

    def _signal(self, who: str, number: int, asked: Signal, reply: Reply) -> None:
        self._write(who, asked, "asked")

        def told(outcome: Outcome) -> None:
            self._write_anyhow(who, asked, outcome.told)
            if outcome.refused:
                reply(Told(number, None, outcome.told, "Nothing more comes of this signal."))
            else:
                reply(Told(number, outcome.told))

        with self._written_down(who, asked):
            self._taker(asked.connector)(asked.payload, told)

    def _taker(self, connector: str) -> TakeSignal:
        take = self.signals.get(connector)
        if take is None:
            raise UserError(
                f"no strategy takes signals as {connector!r}{near(connector, self.signals)}",
                f"Connectors of this run: {', '.join(self.signals) or 'none'}.",
            )
        return take

    def _web(self, who: str, number: int, asked: WebCall, reply: Reply) -> None:
        web = self.webs.get(asked.bot)
        if web is None:
            raise UserError(f"no bot {asked.bot!r} has webhooks{near(asked.bot, self.webs)}")
        self._write(who, asked, "asked")

        def answered(answer: WebReply) -> None:
            self._write_anyhow(who, asked, f"answered {answer.status}")
            reply(Told(number, answer))

        with self._written_down(who, asked):
            web(asked, answered)

    @contextmanager
    def _written_down(self, who: str, what: Action | Question) -> Iterator[None]:
        """Write down what is raised of an action."""
        try:
            yield
        except UserError as error:
            self._write_anyhow(who, what, error.message)
            raise
        except Exception as error:
            self._write_anyhow(who, what, f"failed: {type(error).__name__}")
            raise


class _Sum:
    """Money of one strategy in one coin, in 10^-18."""

    def __init__(self) -> None:
        self.realised = self.unrealised = self.fees = self.traded = 0
        self.marked = True

    def add(self, book: Book, mark: int | None) -> None:
        position, contract = book.position, book.contract
        self.realised += position.realised
        self.traded += book.volume
        if not position.lots:
            return
        if mark is None:
            self.marked = False
            return
        ticks = mark // contract.tick_units
        self.unrealised += position.unrealised(contract.unit_value(ticks))

    def told(self, strategy: str, coin: str) -> Profit:
        return Profit(
            strategy=strategy,
            coin=coin,
            realised=to_str(self.realised),
            unrealised=to_str(self.unrealised) if self.marked else None,
            fees=to_str(self.fees),
            traded=to_str(self.traded),
        )


def _added_up(profits: Iterable[Profit]) -> Mapping[str, str]:
    """Profit less fees by coin; open positions count where their mark is known."""
    made: dict[str, int] = {}
    for each in profits:
        net = parse(each.realised) + parse(each.unrealised or "0") - parse(each.fees)
        made[each.coin] = made.get(each.coin, 0) + net
    return {coin: to_str(units) for coin, units in sorted(made.items())}


def _state(session: Session) -> StrategyState:
    accounts = [f"{exchange.name} {port.account}" for exchange, port in session.ports.items()]
    return StrategyState(session.name, session.phase.value, len(session.open), session.failures, accounts)


def _order(order: TrackedOrder, now: int) -> OrderRow:
    instrument = order.instrument
    return OrderRow(
        strategy=order.session.name,
        exchange=instrument.venue.name,
        account=order.account,
        instrument=instrument.name,
        client_id=order.client_id,
        side="Buy" if order.side > 0 else "Sell",
        price=instrument.price_scale.values[order.price].to_str() if order.price else None,
        quantity=instrument.qty_scale.values[order.qty].to_str(),
        leaves=instrument.qty_scale.values[order.leaves].to_str(),
        state=order.state.name,
        age_s=(now - order.created_ts) / SECOND,
        trigger=instrument.price_scale.values[order.stop_price].to_str() if order.stop_price else None,
    )


def _told(what: Any) -> tuple[str, str]:
    """An action's name and parameters, for the audit log."""
    name = type(what).__name__
    if isinstance(what, WebCall):
        return name, f"{what.bot} {what.method} {what.route}"
    fields = (getattr(what, each) for each in what.__struct_fields__)
    return name, " ".join(_shown(each) for each in fields)


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{key}={item}" for key, item in value.items() if key != _TOKEN)
    if isinstance(value, str):
        return value
    return " ".join(map(str, value)) if isinstance(value, Sequence) else str(value)
