"""Limits before the gateway: what a strategy and an account may send at most.

`RiskStage` stands between a port and what follows it (the journal, the gateway) and refuses, by an event, what goes
beyond a limit; the reason names the limit, its value and what it would have come to. Cancels and what is reduce-only
always pass: a limit must never keep a risk from being made smaller. So does a modification that only makes an order
smaller.

`RiskBook` is a tap: it sees every request and event of the run and keeps an `Exposure` for each strategy and each
account: what is open, what is held, what was lost today. What is open and what is on its way count in full, on either
side by itself: a position limit holds even if every buy fills and no sell does. While a modification is unanswered the
larger of both quantities counts.

Values are in the quote currency (of inverse contracts too: a contract on 1 USD is worth 1 USD).
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from attrs import asdict, evolve, field, frozen
from attrs.validators import gt, optional

from mlthon.basics.defs import Exchange, GtwRejectCode, GtwStatus, Quantification
from mlthon.basics.instrument import Instrument
from mlthon.basics.money import UNIT, parse, ratio, to_str
from mlthon.engine.clock import MS, SECOND, Clock
from mlthon.engine.faces import NO_ASK, NO_BID, Gateway, OrderEvents
from mlthon.engine.stages import RequestsPassed
from mlthon.engine.tracker import TrackedOrder

REFUSAL: Final = MS
"""How long (ns) it takes to refuse: who tries again at once must not stop time."""
DAY: Final = 86_400 * SECOND

Touch = Callable[[Instrument], tuple[int, int] | None]
"""The best bid and ask (ticks) of an instrument; None where no market is known."""


@frozen(kw_only=True)
class RiskLimits:
    """What is allowed at most; None: no limit.

    `max_order_qty`, `max_position`: in the instrument's own quantity, for each instrument. `max_order_notional`: in the
    quote currency. `max_price_distance`: of a limit price from the middle of the market, as a part of it (0.05 is 5 %).
    `max_orders_per_s`: new orders and modifications in any second. `max_daily_loss`: in each quote currency since 00:00
    UTC (or the start of the run), with fees in it and what is open valued at the middle of the market.
    """

    max_order_qty: Decimal | None = field(default=None, validator=optional(gt(Decimal(0))))
    max_order_notional: Decimal | None = field(default=None, validator=optional(gt(Decimal(0))))
    max_open_orders: int | None = field(default=None, validator=optional(gt(0)))
    max_position: Decimal | None = field(default=None, validator=optional(gt(Decimal(0))))
    max_price_distance: Decimal | None = field(default=None, validator=optional(gt(Decimal(0))))
    max_orders_per_s: int | None = field(default=None, validator=optional(gt(0)))
    max_daily_loss: Decimal | None = field(default=None, validator=optional(gt(Decimal(0))))

    def over(self, common: "RiskLimits") -> "RiskLimits":
        """These limits, and those of `common` where this has none."""
        return evolve(common, **{name: limit for name, limit in asdict(self).items() if limit is not None})


NO_LIMITS: Final = RiskLimits()


def value(instrument: Instrument, ticks: int, lots: int) -> int:
    """What a quantity is worth at a price, in the quote currency (10^-18)."""
    size = lots * instrument.qty_scale.step_units * instrument.multiplier_units
    if instrument.quantification is Quantification.Inverse:
        return ratio(size, UNIT)
    return ratio(size * ticks * instrument.price_scale.step_units, UNIT * UNIT)


class Exposure:
    """What a strategy or an account has open, holds and has made."""

    def __init__(self) -> None:
        self.open: dict[str, TrackedOrder] = {}
        self.positions: dict[Instrument, int] = {}
        self.modified: dict[str, int] = {}
        """wire id -> quantity of an unanswered modification."""
        self.sent: deque[int] = deque()
        self._cash: dict[Instrument, int] = {}
        self._marks: dict[Instrument, int] = {}
        self._day = -1
        self._baseline: dict[str, int] = {}

    def would_hold(self, instrument: Instrument, side: int, held: int | None = None) -> int:
        """The position in lots, positive in the direction of `side`, if everything on that side fills. `held`: what is
        held now, where somebody knows it better than the fills seen here."""
        total = (self.positions.get(instrument, 0) if held is None else held) * side
        for order in self.open.values():
            if order.instrument is instrument and order.side == side and not reduces(order):
                total += max(order.leaves, self.modified.get(order.wire_id, 0) - order.filled)
        return total

    def standing(self, order: TrackedOrder) -> None:
        """Something happened to an order: it counts as long as it is open."""
        if order.is_open:
            self.open[order.wire_id] = order
        else:
            self.drop(order)

    def drop(self, order: TrackedOrder) -> None:
        self.open.pop(order.wire_id, None)
        self.modified.pop(order.wire_id, None)

    def hold(self, instrument: Instrument, lots: int, ticks: int) -> None:
        """So much is held from earlier; gains and losses count from this price on."""
        self._take(instrument, lots, ticks)

    def fill(self, order: TrackedOrder, ticks: int, lots: int, fee: int, fee_coin: str) -> None:
        instrument = order.instrument
        self._take(instrument, order.side * lots, ticks)
        if fee_coin == instrument.base_currency and fee_coin != instrument.quote_currency:
            fee = ratio(fee * ticks * instrument.price_scale.step_units, UNIT)
        self._cash[instrument] -= fee

    def _take(self, instrument: Instrument, lots: int, ticks: int) -> None:
        """Move the position at a price. Of an inverse contract the gain in coins is valued at this price."""
        held = self.positions.get(instrument, 0)
        self._marks.setdefault(instrument, ticks)
        if instrument.quantification is Quantification.Inverse:
            self._settle_inverse(instrument, held, ticks)
        else:
            self._cash[instrument] = self._cash.get(instrument, 0) - value(instrument, ticks, lots)
        self._marks[instrument] = ticks
        self.positions[instrument] = held + lots

    def _settle_inverse(self, instrument: Instrument, held: int, ticks: int) -> None:
        """What an inverse position gained since its last mark: size x (price - mark) / mark."""
        mark = self._marks[instrument]
        gain = ratio(value(instrument, ticks, held) * (ticks - mark), mark) if held else 0
        self._cash[instrument] = self._cash.get(instrument, 0) + gain

    def loss_today(self, now: int, touch: Touch) -> dict[str, int]:
        """Quote currency -> what was lost since the day began (10^-18); negative: gained."""
        equity: dict[str, int] = {}
        for instrument, lots in self.positions.items():
            if lots:
                self._mark(instrument, lots, touch)
            worth = self._cash[instrument]
            if instrument.quantification is not Quantification.Inverse:
                worth += value(instrument, self._marks[instrument], lots)
            coin = instrument.quote_currency or ""
            equity[coin] = equity.get(coin, 0) + worth
        if now // DAY != self._day:
            self._baseline = equity if self._day >= 0 else {}
            self._day = now // DAY
        return {coin: self._baseline.get(coin, 0) - worth for coin, worth in equity.items()}

    def _mark(self, instrument: Instrument, lots: int, touch: Touch) -> None:
        middle = _middle(touch(instrument))
        if middle is None:
            return
        if instrument.quantification is Quantification.Inverse:
            self._settle_inverse(instrument, lots, middle)
        self._marks[instrument] = middle


class RiskBook:
    """The exposures of a run. A tap (`mlthon.engine.taps`): give it to the engine among its taps."""

    kinds: Final = frozenset(
        {"new", "modify", "ack", "reject", "modify_ack", "modify_reject", "cancelled", "unknown", "fill"}
    )

    def __init__(self) -> None:
        self._strategies: dict[str, Exposure] = {}
        self._accounts: dict[tuple[Exchange, str], Exposure] = {}

    def strategy(self, name: str) -> Exposure:
        return self._strategies.setdefault(name, Exposure())

    def account(self, exchange: Exchange, account: str) -> Exposure:
        return self._accounts.setdefault((exchange, account), Exposure())

    def of(self, order: TrackedOrder) -> tuple[Exposure, Exposure]:
        """The two that an order counts in: its strategy's and its account's."""
        return self.strategy(order.session.name), self.account(order.instrument.venue, order.account)

    def adopt(self, order: TrackedOrder) -> None:
        """An order of an earlier run is open."""
        for exposure in self.of(order):
            exposure.standing(order)

    def record(self, ts: int, kind: str, order: TrackedOrder | None, detail: tuple[Any, ...]) -> None:
        if order is None:
            return
        for exposure in self.of(order):
            if kind == "fill":
                _, price, qty, _, fee, fee_coin, _, _ = detail
                exposure.fill(order, price, qty, fee, fee_coin)
            elif kind == "modify" and detail[1] is not None:
                exposure.modified[order.wire_id] = max(detail[1], exposure.modified.get(order.wire_id, 0))
            elif kind in ("modify_ack", "modify_reject"):
                exposure.modified.pop(order.wire_id, None)
            exposure.standing(order)


def _not_halted() -> str:
    return ""


class RiskStage(RequestsPassed):
    """The stage itself, one an account. Implements `Gateway`; events go past it."""

    def __init__(
        self,
        gateway: Gateway,
        events: OrderEvents,
        clock: Clock,
        book: RiskBook,
        touch: Touch,
        strategies: Mapping[str, RiskLimits],
        account: RiskLimits = NO_LIMITS,
        holdings: Callable[[], Mapping[Instrument, int]] | None = None,
    ) -> None:
        """`holdings`: what the exchange says the account holds; without it the fills seen here count."""
        self.gateway = gateway
        self.exchange = gateway.exchange
        self.account = gateway.account
        self._events = events
        self._clock = clock
        self._book = book
        self._touch = touch
        self._strategies = strategies
        self._limits = account
        self._holdings = holdings
        self.halted: Callable[[], str] = _not_halted
        """Why nothing that adds to a risk may be sent now; empty: it may."""

    def status(self) -> tuple[GtwStatus, str]:
        return self.gateway.status()

    def new_order(self, order: TrackedOrder) -> None:
        reason = "" if reduces(order) else self.halted() or self._beyond(order, order.price, order.qty)
        if reason:
            for exposure in self._book.of(order):
                exposure.drop(order)
            self._refuse(self._events.new_order_reject, order, reason)
            return
        self._count(order)
        self.gateway.new_order(order)

    def modify_order(self, order: TrackedOrder, price: int | None, qty: int | None) -> None:
        smaller = price is None and (qty is None or qty <= order.qty)
        reason = ""
        if not smaller and not reduces(order):
            reason = self.halted() or self._beyond(
                order, order.price if price is None else price, order.qty if qty is None else qty
            )
        if reason:
            for exposure in self._book.of(order):
                exposure.modified.pop(order.wire_id, None)
            self._refuse(self._events.modify_order_reject, order, reason)
            return
        self._count(order)
        self.gateway.modify_order(order, price, qty)

    def _refuse(self, refuse: Callable[..., None], order: TrackedOrder, reason: str) -> None:
        self._clock.call_at(self._clock.now + REFUSAL, refuse, order.wire_id, GtwRejectCode.RiskLimit, reason)

    def _count(self, order: TrackedOrder) -> None:
        for exposure in self._book.of(order):
            _forget(exposure.sent, self._clock.now - SECOND)
            exposure.sent.append(self._clock.now)

    # -- the limits ------------------------------------------------------------------------------------------------

    def _beyond(self, order: TrackedOrder, price: int, qty: int) -> str:
        """Which limit the order is beyond; empty: none."""
        strategy, account = self._book.of(order)
        held = None if self._holdings is None else self._holdings().get(order.instrument, 0)
        scopes = (
            (f"strategy {order.session.name}", self._strategies.get(order.session.name, NO_LIMITS), strategy, None),
            (f"account {self.account}", self._limits, account, held),
        )
        for who, limits, exposure, known in scopes:
            if limits is NO_LIMITS:
                continue
            for broken in self._checks(order, price, qty, limits, exposure, known):
                return f"{who}: {broken}"
        return ""

    def _checks(
        self, order: TrackedOrder, price: int, qty: int, limits: RiskLimits, exposure: Exposure, held: int | None
    ) -> Iterator[str]:
        yield from self._check_order(order, price, qty, limits)
        if limits.max_open_orders is not None and len(exposure.open) > limits.max_open_orders:
            yield f"max_open_orders {limits.max_open_orders}: {len(exposure.open)} would be open"
        if limits.max_position is not None:
            step = order.instrument.qty_scale.step_units
            would = exposure.would_hold(order.instrument, order.side, held) * step
            if would > parse(limits.max_position):
                yield f"max_position {limits.max_position}: {to_str(would * order.side)} could be held"
        if limits.max_orders_per_s is not None:
            yield from self._check_rate(limits.max_orders_per_s, exposure.sent)
        if limits.max_daily_loss is not None:
            for coin, loss in exposure.loss_today(self._clock.now, self._touch).items():
                if loss >= parse(limits.max_daily_loss):
                    yield f"max_daily_loss {limits.max_daily_loss}: {to_str(loss)} {coin} lost today"

    def _check_order(self, order: TrackedOrder, price: int, qty: int, limits: RiskLimits) -> Iterator[str]:
        instrument = order.instrument
        if limits.max_order_qty is not None:
            units = qty * instrument.qty_scale.step_units
            if units > parse(limits.max_order_qty):
                yield f"max_order_qty {limits.max_order_qty}: the order is of {to_str(units)}"
        middle = None
        if limits.max_price_distance is not None or (limits.max_order_notional is not None and not price):
            middle = _middle(self._touch(instrument))
        if limits.max_order_notional is not None:
            ticks = price or order.stop_price or middle
            if ticks is None:
                yield f"max_order_notional {limits.max_order_notional}: no market price is known for {instrument.name}"
            elif value(instrument, ticks, qty) > parse(limits.max_order_notional):
                worth = to_str(value(instrument, ticks, qty))
                yield f"max_order_notional {limits.max_order_notional}: the order is worth {worth}"
        if limits.max_price_distance is not None and price and order.stop_price is None:
            if middle is None:
                yield f"max_price_distance {limits.max_price_distance}: no market price is known for {instrument.name}"
            elif abs(price - middle) * UNIT > parse(limits.max_price_distance) * middle:
                away = to_str(ratio(abs(price - middle) * 10**6, middle) * 10**12)
                yield f"max_price_distance {limits.max_price_distance}: the price is {away} from the market"

    def _check_rate(self, most: int, sent: deque[int]) -> Iterator[str]:
        _forget(sent, self._clock.now - SECOND)
        if len(sent) >= most:
            yield f"max_orders_per_s {most}: {len(sent)} were sent in the last second"

    # -- what always passes ----------------------------------------------------------------------------------------

    def cancel_order(self, order: TrackedOrder) -> None:
        self.gateway.cancel_order(order)

    def cancel_all(self, instrument: Instrument) -> None:
        self.gateway.cancel_all(instrument)


def reduces(order: TrackedOrder) -> bool:
    """Whether an order can only make a position smaller."""
    return order.close_position or order.exec_instr.reduce_only


def _forget(sent: deque[int], since: int) -> None:
    while sent and sent[0] <= since:
        sent.popleft()


def _middle(touch: tuple[int, int] | None) -> int | None:
    """The middle of the market in ticks; of one side alone where there is but one."""
    if touch is None:
        return None
    bid, ask = touch
    if bid == NO_BID:
        return None if ask == NO_ASK else ask
    return bid if ask == NO_ASK else (bid + ask) // 2
