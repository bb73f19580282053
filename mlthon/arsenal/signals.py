"""Signals from outside (TradingView, other programs): the documented JSON of `POST /trading-signal/webhook`.

`parse_signal` turns a payload into what it asks for, or says which field is wrong; it knows nothing of accounts. A
`SignalDesk` carries that out on a trader: orders at once or after a delay, cancels by client id, cancels of everything.
Delayed orders, and delayed signals to a strategy, are kept in the state, so they outlive a restart; a client order id
is carried out once. What comes of it is told to whoever waits (`outcomes`).
"""

import json
import logging
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from mlthon.arsenal.outcomes import NOBODY, TAKEN, Outcome, Tell, to_nobody
from mlthon.arsenal.placing import TooManyOrders
from mlthon.arsenal.sizing import NothingToDo
from mlthon.arsenal.wishes import Action, ArgumentError, Wish, loaded, text_id, wish_of
from mlthon.basics.money import to_decimal
from mlthon.engine.clock import SECOND, Handle
from mlthon.errors import UserError, near

if TYPE_CHECKING:
    from mlthon.arsenal.trader import Trader

LONGEST_DELAY: Final = 7 * 86_400
"""Seconds."""
LONGEST_LOG: Final = 1000
MOST_DELAYED: Final = 1000
LATE: Final = 600 * SECOND
"""How late (ns) a delayed order may still be placed after a restart."""
KEPT_IDS: Final = 30 * 86_400 * SECOND
"""How long (ns) a client order id is known."""
CANCEL: Final = "cancel"
CANCEL_ALL: Final = ("cancellAll", "cancelAll", "cancel_all")
SECRET: Final = ("connectorToken", "connectorName")
"""What says whose signal it is: nothing of it is kept or shown."""
_DELAYED: Final = "delayed/"
_SEEN: Final = "seen/"
_ORDERS: Final = {
    "buy": Action.BUY,
    "sell": Action.SELL,
    "openLong": Action.OPEN_LONG,
    "closeLong": Action.CLOSE_LONG,
    "openShort": Action.OPEN_SHORT,
    "closeShort": Action.CLOSE_SHORT,
}
"""As documented."""


class SignalError(ValueError):
    """A signal that cannot be understood; `field` is what is wrong."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(f"{field}: {text}")
        self.field = field


@frozen
class PlaceOrder:
    """`delay`: seconds to wait before it is placed."""

    wish: Wish
    log: str | None = None
    delay: float = 0.0


@frozen
class CancelOrder:
    client_order_id: str
    log: str | None = None


@frozen
class CancelEverything:
    log: str | None = None


@frozen
class OtherSignal:
    """No documented action: for `on_tradingview_signal`."""

    payload: Mapping[str, Any]


Signal = PlaceOrder | CancelOrder | CancelEverything | OtherSignal


def parse_signal(payload: Mapping[str, Any]) -> Signal:
    """What a signal asks for. Raises `SignalError`, which names the field."""
    if not isinstance(payload, Mapping):
        raise SignalError("signal", f"an object is needed, not {type(payload).__name__}")
    action = payload.get("action")
    documented = isinstance(action, str) and (action in _ORDERS or action == CANCEL or action in CANCEL_ALL)
    if not documented:
        return OtherSignal({key: value for key, value in payload.items() if key not in SECRET})
    log = _log(payload.get("log"))
    if action in CANCEL_ALL:
        return CancelEverything(log)
    if action == CANCEL:
        name = _checked("clientOrderId", text_id, payload.get("clientOrderId"))
        if name is None:
            raise SignalError("clientOrderId", "cancel needs the client id of the order")
        return CancelOrder(name, log)
    return PlaceOrder(_wish(payload, _ORDERS[str(action)]), log, _delay(payload, log))


_FIELDS: Final = {
    "limit": "limit",
    "amount": "fixed",
    "percent": "percent",
    "client_order_id": "clientOrderId",
    "profit": "profit",
    "loss": "loss",
}
"""Argument -> field of the signal."""


def _wish(payload: Mapping[str, Any], action: Action) -> Wish:
    try:
        arguments: dict[str, Any] = {argument: payload.get(name) for argument, name in _FIELDS.items()}
        return wish_of(action, **arguments)
    except ArgumentError as error:
        raise SignalError(_FIELDS.get(error.argument, error.argument), error.text) from None


def _checked(name: str, check: Callable[[Any, str], Any], value: Any) -> Any:
    try:
        return check(value, name)
    except ArgumentError as error:
        raise SignalError(name, error.text) from None


def _log(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str | int | float):
        raise SignalError("log", f"a text is needed, not {type(value).__name__}")
    return str(value)[:LONGEST_LOG]


def _delay(payload: Mapping[str, Any], log: str | None) -> float:
    value = payload.get("delaySeconds")
    word = payload.get("delaySecondsFilter")
    if word is not None and not isinstance(word, str):
        raise SignalError("delaySecondsFilter", f"a text is needed, not {type(word).__name__}")
    if value is None or value == "":
        return 0.0
    try:
        seconds = to_decimal(value.strip() if isinstance(value, str) else value)
    except (TypeError, ValueError):
        raise SignalError("delaySeconds", "no number of seconds") from None
    if not 0 <= seconds <= Decimal(LONGEST_DELAY):
        raise SignalError("delaySeconds", f"not from 0 to {LONGEST_DELAY} (7 days)")
    return 0.0 if word and word not in (log or "") else float(seconds)


class SignalDesk:
    """Carries signals out on a trader. `other`: takes those without a documented action; None: they are refused."""

    def __init__(self, trader: "Trader", other: Callable[[Mapping[str, Any]], None] | None = None) -> None:
        self._trader = trader
        self._other = other
        self._delayed: dict[str, tuple[PlaceOrder | OtherSignal, Handle]] = {}
        self._count = 0
        self._waiting: set[str] = set()

    def take(self, payload: Mapping[str, Any], tell: Tell = to_nobody) -> None:
        """Carry out a signal: what it orders goes on its way in the next turn. `tell` is told what came of it, once.
        Raises `UserError` where it says nothing that can be done."""
        trader = self._trader
        if trader.is_stopped:
            raise UserError(f"{trader.name} is stopped: it takes no signals", "Start it again.")
        try:
            signal = parse_signal(payload)
            if isinstance(signal, PlaceOrder):
                self._refuse_bad(signal)
        except (SignalError, ArgumentError) as error:
            trader.say(f"signal refused: {error}", logging.WARNING)
            raise UserError(str(error), "docs/arsenal.md has the fields of a signal.") from None
        if isinstance(signal, OtherSignal):
            self._pass_on(signal)
            tell(TAKEN)
            return
        trader.say(f"signal {_shown(signal)}" + (f": {signal.log}" if signal.log else ""))
        if isinstance(signal, PlaceOrder):
            self._place(signal, tell)
            return
        if isinstance(signal, CancelOrder):
            self._cancel(signal.client_order_id)
        else:
            self._cancel_everything()
        tell(TAKEN)

    def _refuse_bad(self, signal: PlaceOrder) -> None:
        """Raises `ArgumentError` for an order that could never be placed here."""
        trader, wish = self._trader, signal.wish
        trader.placing.check(wish, signalled=True)
        name = wish.client_order_id
        known = name is not None and (
            name in self._waiting or trader.placing.is_used(name) or trader.state.get(_SEEN + name) is not None
        )
        if known:
            raise ArgumentError("clientOrderId", f"{name} was used before: it is carried out once")
        self._room_for(signal.delay)

    def _room_for(self, delay: float) -> None:
        if delay and len(self._delayed) >= MOST_DELAYED:
            raise ArgumentError("delaySeconds", f"{MOST_DELAYED} signals are waiting already")

    def _pass_on(self, signal: OtherSignal) -> None:
        if self._other is None:
            action = signal.payload.get("action")
            known = (*_ORDERS, CANCEL, CANCEL_ALL[1])
            wrong = "it is missing; it would be one" if action is None else f"{str(action)[:60]!r} is none"
            raise UserError(
                f"action: {wrong} of {', '.join(known)}{near(str(action)[:60], known)}",
                "Other signals need a strategy file with on_tradingview_signal.",
            )
        self.give(signal.payload)

    def give(self, payload: Mapping[str, Any]) -> None:
        """Give the strategy a signal as it is, once its delay is over: strategies know nothing of `delaySeconds`. What
        cancels takes back what waits. Raises `UserError`."""
        trader = self._trader
        if trader.is_stopped:
            raise UserError(f"{trader.name} is stopped: it takes no signals", "Start it again.")
        signal = OtherSignal({key: value for key, value in payload.items() if key not in SECRET})
        try:
            delay = _delay(payload, _log(payload.get("log"))) if payload.get("delaySeconds") else 0.0
            self._room_for(delay)
        except (SignalError, ArgumentError) as error:
            trader.say(f"signal refused: {error}", logging.WARNING)
            raise UserError(str(error), "docs/arsenal.md has the fields of a signal.") from None
        action = payload.get("action")
        for key, (waiting, _) in list(self._delayed.items()):
            named = action == CANCEL and _name(waiting) not in (None, "") and _name(waiting) == _name(signal)
            if named or action in CANCEL_ALL:
                self._drop(key)
        if delay:
            self._keep(signal, delay, {"payload": dict(signal.payload)})
        elif self._other is not None:
            self._other(signal.payload)

    # -- orders ------------------------------------------------------------------------------------------------------

    def _place(self, signal: PlaceOrder, tell: Tell) -> None:
        trader, name = self._trader, signal.wish.client_order_id
        if name is not None:
            self._waiting.add(name)
            trader.state.put(_SEEN + name, str(trader.now))
        if not signal.delay:
            number = trader.outcomes.wait(trader.session.clock, tell)
            trader.turn("signal", partial(self._order, signal, number))
            return
        self._keep(signal, signal.delay, {"wish": signal.wish.dump(), "log": signal.log})
        tell(TAKEN)

    def _keep(self, signal: PlaceOrder | OtherSignal, delay: float, what: dict[str, Any]) -> None:
        self._count += 1
        due = self._trader.now + round(delay * SECOND)
        key = f"{_DELAYED}{due:020d}/{self._count}"
        self._trader.state.put(key, json.dumps({"due": due, **what}))
        self._wait(key, due, signal)

    def _wait(self, key: str, due: int, signal: PlaceOrder | OtherSignal) -> None:
        clock = self._trader.session.clock
        self._delayed[key] = (signal, clock.schedule(due, self._due, key))

    def _due(self, key: str) -> None:
        signal, _ = self._delayed.pop(key)
        if isinstance(signal, OtherSignal):
            self._trader.state.put(key, None)
            if self._other is not None:
                self._other(signal.payload)
            return
        self._trader.turn("signal", partial(self._order_delayed, signal, key))

    def _order_delayed(self, signal: PlaceOrder, key: str) -> None:
        # forgotten before it is sent: sent twice is worse than not at all
        self._trader.state.put(key, None)
        self._order(signal, NOBODY)

    def _order(self, signal: PlaceOrder, number: int) -> None:
        """`number`: who waits to be told what comes of it."""
        trader, name = self._trader, signal.wish.client_order_id
        if name is not None:
            self._waiting.discard(name)
        try:
            ticket = trader.placing.order(signal.wish, signalled=True)
        except (ArgumentError, TooManyOrders, NothingToDo) as error:
            level = logging.WARNING if isinstance(error, NothingToDo) else logging.ERROR
            trader.say(f"signal {_shown(signal)}: no order: {error}", level)
            trader.outcomes.tell(number, Outcome(f"no order: {error}", refused=True))
        else:
            trader.outcomes.ordered(number, ticket)

    def resume(self) -> None:
        """Go on with the delayed orders of an earlier run, and forget old client ids."""
        trader = self._trader
        for key, text in list(trader.state.items(_DELAYED)):
            if key in self._delayed:
                continue
            kept = json.loads(text)
            signal = _kept_signal(kept)
            if kept["due"] < trader.now - LATE:
                trader.say(f"{_shown(signal)} was due while nothing ran: dropped", logging.WARNING)
                trader.state.put(key, None)
                continue
            self._count = max(self._count, int(key.rpartition("/")[2]))
            name = _name(signal)
            if name is not None and isinstance(signal, PlaceOrder):
                self._waiting.add(name)
            self._wait(key, kept["due"], signal)
        for key, text in list(trader.state.items(_SEEN)):
            if int(text) < trader.now - KEPT_IDS:
                trader.state.put(key, None)

    def suspend(self) -> None:
        """The trader is stopped: delayed orders stay kept and are not placed."""
        for _, handle in self._delayed.values():
            handle.cancel()
        self._delayed.clear()
        self._waiting.clear()
        self._trader.outcomes.end(f"{self._trader.name} was stopped")

    # -- cancels -----------------------------------------------------------------------------------------------------

    def _cancel(self, name: str) -> None:
        trader = self._trader
        waiting = [key for key, (signal, _) in self._delayed.items() if _name(signal) == name]
        for key in waiting:
            self._drop(key)
        ticket = trader.tickets.find(name)
        if ticket is None and not waiting and name not in self._waiting:
            raise UserError(f"clientOrderId: there is no order {name[:60]}")
        trader.turn("signal", partial(self._cancel_sent, name))

    def _cancel_sent(self, name: str) -> None:
        ticket = self._trader.tickets.find(name)
        if ticket is not None and ticket.leaves:
            self._trader.cancel(ticket)

    def _cancel_everything(self) -> None:
        for key in list(self._delayed):
            self._drop(key)
        self._trader.turn("signal", lambda: self._trader.say(f"{self._trader.cancel_all()} orders are being cancelled"))

    def _drop(self, key: str) -> None:
        signal, handle = self._delayed.pop(key)
        handle.cancel()
        name = _name(signal)
        if name is not None:
            self._waiting.discard(name)
        self._trader.state.put(key, None)


def typed(text: str) -> dict[str, Any]:
    """A signal as a person types it: JSON, or words such as `action=openLong percent=50`. Raises `UserError`."""
    if text.lstrip().startswith("{"):
        try:
            found = json.loads(text)
        except ValueError as error:
            raise UserError(f"signal: no JSON: {error}") from None
        return dict(found)
    words = [each.partition("=") for each in text.split()]
    if not words or not all(equals for _, equals, _ in words):
        raise UserError("signal: neither JSON nor words like action=openLong percent=50")
    return {name: value for name, _, value in words}


def _kept_signal(kept: Mapping[str, Any]) -> PlaceOrder | OtherSignal:
    """A delayed signal of an earlier run."""
    return OtherSignal(kept["payload"]) if "payload" in kept else PlaceOrder(loaded(kept["wish"]), kept["log"])


def _name(signal: PlaceOrder | OtherSignal) -> str | None:
    """Its client order id."""
    name = signal.wish.client_order_id if isinstance(signal, PlaceOrder) else signal.payload.get("clientOrderId")
    return None if name is None else str(name)


def _shown(signal: Signal) -> str:
    if isinstance(signal, OtherSignal):
        return f"signal {str(signal.payload.get('action'))[:60]}"
    if isinstance(signal, PlaceOrder):
        wish = signal.wish
        size = next(f"{name} {value}" for name in ("amount", "percent", "notional") if (value := getattr(wish, name)))
        return f"{wish.action.value} {size}" + (f" in {signal.delay:g} s" if signal.delay else "")
    return f"cancel {signal.client_order_id}" if isinstance(signal, CancelOrder) else "cancel all"
