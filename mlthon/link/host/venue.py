"""`VenueStrategy`: one venue of one bot, as a strategy of this engine.

It has a session of its own (`bot.venue`), bound to one account on one exchange, so that risk limits, journal, ids,
recovery and the cancels of a stop are those of any strategy. It sends what the bot calls for through its `IStratEnv`
and tells the bot (`Teller`) what becomes of its orders. Each request that a call needs has one `Waiting`, which is told
the outcome once:

    limit order    at its acknowledgement, with what it traded at once
    market order   when it is over, with its average fill price
    amendment      at its acknowledgement
    cancels        when every order they are about is over, or refused to be cancelled; a failure if one stays open
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from mlthon.api.istrat_env import IStratEnv, MDSub
from mlthon.api.istrategy import IStrategy
from mlthon.basics.defs import (
    TIF,
    CancelCode,
    Exchange,
    ExecInstructions,
    FeedHandlerStatus,
    GtwRejectCode,
    GtwStatus,
    OrderType,
    Side,
)
from mlthon.engine.tracker import TrackedOrder
from mlthon.link.host import payloads
from mlthon.link.host.cancels import Cancels, Waiting
from mlthon.link.host.desk import AccountDesk, Done, Failed, HeldPosition
from mlthon.link.host.listing import Listing
from mlthon.link.host.payloads import CandleRows, Payload

if TYPE_CHECKING:
    from mlthon.basics.instrument import Instrument
    from mlthon.engine.clock import Clock
    from mlthon.engine.router import Port
    from mlthon.engine.session import Session


class Teller(Protocol):
    """What a venue tells its bot."""

    def wants(self, callback: str) -> bool:
        """Whether the bot hears of such events."""

    def private(self, callback: str, src: str, sym: str, data: Payload) -> None: ...

    def status_changed(self, venue: "VenueStrategy") -> None: ...

    def stop_asked(self, venue: "VenueStrategy", reason: str) -> None: ...


class _Sent:
    """An order whose call has not been answered: what it traded so far."""

    __slots__ = ("cost", "lots", "waiting")

    def __init__(self, waiting: Waiting) -> None:
        self.waiting = waiting
        self.lots = 0
        self.cost = 0

    def average(self, listing: Listing) -> float | None:
        """The average price of what it traded; None before it has."""
        return listing.prices[1] * self.cost / self.lots if self.lots else None


class VenueStrategy(IStrategy):
    """See the module. `name`: what the bot calls the venue; `src`: its exchange as the bot knows it, `exchange` the one
    that is traded on. `listings`: by symbol. `session`, `desk`, `port`, `clock` and `watch` are set when the run is put
    together (`watch` tells `cancels` of an order of another), `noted` by the tap: (order, detail) of the event that the
    next callback is about. It subscribes to quotes and trades that its bot hears of by a tap
    (`mlthon.link.host.market`)."""

    hears_by_tap = True
    env: IStratEnv
    session: "Session"
    desk: AccountDesk
    port: "Port"
    clock: "Clock"
    watch: "Callable[[TrackedOrder, VenueStrategy], None]"

    def __init__(self, name: str, src: str, exchange: Exchange, *, signed_positions: bool = False) -> None:
        self.name = name
        self.src = src
        self.exchange = exchange
        self.signed_positions = signed_positions
        self.listings: dict[str, Listing] = {}
        self.subscribed: list[Instrument] = []
        self.teller: Teller | None = None
        self.translated: Callable[[str, str, Mapping[str, Any], Done[Any], Failed], None] | None = None
        """Answers the calls of its src's own (path, method, parameters) where another exchange is traded on."""
        self.noted: tuple[TrackedOrder, tuple[Any, ...]] | None = None
        self.hears_strange = False
        """Its desk tells of orders that nobody here sent; otherwise their fills do."""
        self.ready = False
        self.feed_live = False
        self.detail = ""
        self._by_instrument: dict[Instrument, Listing] = {}
        self._ids: dict[str, TrackedOrder] = {}
        self._sent: dict[str, _Sent] = {}
        self._amended: dict[str, deque[Waiting]] = {}
        self.cancels = Cancels(self)
        self._asked: set[Instrument] = set()
        self._rows: dict[tuple[Listing, str], CandleRows] = {}

    def show(self, listings: Mapping[str, Listing]) -> None:
        """These are the symbols of the venue."""
        self.listings = dict(listings)
        self._by_instrument = {each.instrument: each for each in listings.values()}

    def listing_of(self, instrument: "Instrument") -> Listing | None:
        """The symbol that an instrument is to the bot; None where it is none."""
        return self._by_instrument.get(instrument)

    def candle_rows(self, listing: Listing, level: str, *, opens_at_close: bool) -> CandleRows:
        """What makes the rows of a symbol's candles of a level."""
        found = self._rows.get((listing, level))
        if found is None:
            found = self._rows[listing, level] = CandleRows(listing, opens_at_close=opens_at_close)
        return found

    # -- requests ----------------------------------------------------------------------------------------------------

    def send(
        self,
        listing: Listing,
        side: int,
        lots: int,
        ticks: int | None,
        waiting: Waiting,
        *,
        order_type: OrderType | None = None,
        exec_instr: ExecInstructions = ExecInstructions.Unset,
        tif: TIF = TIF.GTC,
        stop_ticks: int | None = None,
        close: bool = False,
    ) -> str:
        """A new order: without `ticks` a market order. `waiting` is given the order's answer. Gives its client id."""
        instrument = listing.instrument
        prices, qtys = instrument.price_scale.values, instrument.qty_scale.values
        client_id = self.session.new_client_id()
        self._sent[client_id] = _Sent(waiting)
        self.env.send_new_order(
            client_id,
            self.exchange,
            instrument.number,
            Side.Buy if side > 0 else Side.Sell,
            None if ticks is None else prices[ticks],
            qtys[lots] if lots else None,
            exec_instr,
            order_type or (OrderType.Market if ticks is None else OrderType.Limit),
            tif,
            close,
            stop_price=None if stop_ticks is None else prices[stop_ticks],
        )
        return client_id

    def amend(self, order: TrackedOrder, ticks: int | None, lots: int | None, waiting: Waiting) -> None:
        """Change an order: `lots` is its new whole size."""
        instrument = order.instrument
        self._amended.setdefault(order.client_id, deque()).append(waiting)
        self.env.send_modify_order(
            self.exchange,
            order.client_id,
            None if ticks is None else instrument.price_scale.values[ticks],
            None if lots is None else instrument.qty_scale.values[lots],
        )

    def cancel(self, orders: Iterable[TrackedOrder], waiting: Waiting, *, strict: bool) -> None:
        """Cancel orders of the venue's own; `waiting` is given those that are gone (`Gone`). `strict`: it fails when
        one is refused."""
        self.cancels.own(orders, waiting, strict=strict)

    def cancel_account(self, listing: Listing | None, waiting: Waiting, side: int | None = None) -> None:
        """Cancel every open order of the account, whoever sent it, of one symbol or of all of the venue's, of one side
        or of both; `waiting` is given those that are gone."""
        self.cancels.every(listing, waiting, side)

    def cancel_one(self, order_id: str, waiting: Waiting) -> None:
        """Cancel the open order of the exchange's id, whoever sent it; fails where there is none, or it is refused."""
        self.cancels.one(order_id, waiting)

    def open_orders(self, listing: Listing | None = None) -> list[TrackedOrder]:
        """The venue's open orders, of one symbol or of all."""
        wanted = None if listing is None else listing.instrument
        return [each for each in self.session.open.values() if wanted is None or each.instrument == wanted]

    def order(self, order_id: str) -> TrackedOrder | None:
        """The order of the exchange's id; of an earlier run too, if it was open then."""
        found = self._ids.get(order_id)
        if found is None:
            found = next((each for each in self.session.open.values() if each.exchange_id == order_id), None)
        return found

    def subscribe(self) -> None:
        """Ask for the market data of the bot's markets."""
        if self.subscribed:
            kinds = [MDSub.BBO, MDSub.PublicTrades]
            self.env.subscribe_to_market_data(self.exchange, [each.number for each in self.subscribed], kinds)

    # -- the framework -----------------------------------------------------------------------------------------------

    def on_framework_connected(self, env: IStratEnv) -> None:
        self.env = env
        env.login(self.session.name)

    def on_start(self, params: str) -> None:
        self.env.request_execution_connection(self.exchange)
        self.subscribe()

    def on_stop(self, params: str) -> None:
        if self.teller is None:
            self.env.send_stop_ack()
        else:
            self.teller.stop_asked(self, params)

    def on_gateway_status(self, exchange: Exchange, status: GtwStatus, detail: str) -> None:
        self.ready = status is GtwStatus.ReadyToTrade
        self.detail = detail
        self._changed()

    def on_feed_handler_status(self, exchange: Exchange, status: FeedHandlerStatus, detail: str) -> None:
        self.feed_live = status is FeedHandlerStatus.SnapshotEnd
        self._changed()

    def _changed(self) -> None:
        if self.teller is not None:
            self.teller.status_changed(self)

    # -- orders ------------------------------------------------------------------------------------------------------

    def on_new_order_ack(self, exchange: Exchange, client_id: str, *rest: Any) -> None:
        order, detail = self._noted()
        if order is None:
            return
        self._ids[order.exchange_id] = order
        ts = detail[4] or self.clock.now
        self._update(order, ts)
        sent = self._sent.get(order.client_id)
        if sent is not None and order.order_type is not OrderType.Market:
            # what it traded at once has arrived with it, and follows
            self.clock.call_soon(self._answer, order, ts)

    def _answer(self, order: TrackedOrder, ts: int) -> None:
        sent = self._sent.pop(order.client_id, None)
        listing = self._by_instrument.get(order.instrument)
        if sent is None or listing is None:
            return
        price = sent.average(listing) if order.order_type is OrderType.Market else None
        sent.waiting.done(payloads.order_answer(listing, order, ts, price))

    def on_new_order_reject(self, exchange: Exchange, client_id: str, code: GtwRejectCode, reason: str) -> None:
        sent = self._sent.pop(client_id, None)
        if sent is not None:
            sent.waiting.failed(code, reason)

    def on_modify_order_ack(self, exchange: Exchange, client_id: str, price: Any, qty: Any, leaves: Any) -> None:
        order, _ = self._noted()
        if order is None:
            return
        self._amended_to(order, price, qty)
        listing = self._by_instrument.get(order.instrument)
        waiting = self._next_amended(order.client_id)
        if waiting is not None and listing is not None:
            waiting.done(payloads.order_answer(listing, order, self.clock.now))

    def on_modify_order_reject(self, exchange: Exchange, client_id: str, code: GtwRejectCode, reason: str) -> None:
        waiting = self._next_amended(client_id)
        if waiting is not None:
            waiting.failed(code, reason)

    def _next_amended(self, client_id: str) -> Waiting | None:
        queue = self._amended.get(client_id)
        if not queue:
            return None
        waiting = queue.popleft()
        if not queue:
            del self._amended[client_id]
        return waiting

    def on_order_execution(self, exchange: Exchange, client_id: str, *rest: Any) -> None:
        order, detail = self._noted()
        if order is None:
            return
        exec_id, price, lots, leaves, _, _, _, ts = detail
        sent = self._sent.get(order.client_id)
        if sent is not None:
            sent.lots += lots
            sent.cost += lots * price
        self._update(order, ts)
        self._filled(order, price, lots, exec_id, ts)
        if not leaves:
            self._over(order, ts, filled=True)

    def _filled(self, order: TrackedOrder, price: int, lots: int, exec_id: str, ts: int) -> None:
        listing = self._by_instrument.get(order.instrument)
        if listing is not None and self.teller is not None:
            if self.teller.wants("fill_update"):
                data = payloads.fill_update(self.name, listing, order, price, lots, exec_id, ts)
                self.teller.private("fill_update", self.src, listing.sym, data)
            self.position_changed(order.instrument)

    def on_order_cancelled(
        self,
        exchange: Exchange,
        client_id: str,
        unsolicited: bool,
        engine_ts: int,
        recv_ts: int,
        code: CancelCode,
        reason: str,
    ) -> None:
        order, detail = self._noted()
        if order is None:
            return
        ts = detail[1] or self.clock.now
        self._update(order, ts)
        sent = self._sent.get(order.client_id)
        if sent is not None and not sent.lots and order.order_type is OrderType.Market:
            del self._sent[order.client_id]
            sent.waiting.failed(GtwRejectCode.NoMarket, reason or f"the order was cancelled: {code.name}")
        self._over(order, ts, filled=False)

    def _over(self, order: TrackedOrder, ts: int, *, filled: bool) -> None:
        """An order has ended: whoever waits for that is answered."""
        self._answer(order, ts)
        # fills may come late, but nothing is asked of it any more
        self.clock.call_soon(self._ids.pop, order.exchange_id, None)
        self.cancels.settled(order, ts, filled)

    def on_cancel_order_reject(
        self, exchange: Exchange, client_id: str | None, code: GtwRejectCode, reason: str
    ) -> None:
        order = None if client_id is None else self.session.orders.get(client_id)
        if order is not None:
            self.cancels.refused(order, code, reason)

    def other_changed(self, kind: str, order: TrackedOrder, detail: tuple[Any, ...]) -> None:
        """Something has happened to an order of the account that the venue did not send: as of `OrderFlowTap`."""
        if kind == "fill":
            exec_id, price, lots, _, _, _, _, ts = detail
            self._update(order, ts)
            self._filled(order, price, lots, exec_id, ts)
        elif kind == "modify_ack":
            price, qty, _ = detail
            self._amended_to(order, price, qty)
        else:
            ts = detail[4 if kind == "ack" else 1]
            self._update(order, ts or self.clock.now)

    def strange_changed(self, order: TrackedOrder, ts: int) -> None:
        """An order of the account that nobody here sent is now like this."""
        self._tell_order(order, ts)

    def _noted(self) -> tuple[TrackedOrder | None, tuple[Any, ...]]:
        noted, self.noted = self.noted, None
        return noted if noted is not None else (None, ())

    def _amended_to(self, order: TrackedOrder, price: Any, qty: Any) -> None:
        """What an amendment has not changed is None, and left out."""
        same = price is None and qty is None
        self._update(order, self.clock.now, price=same or price is not None, size=same or qty is not None)

    def _update(self, order: TrackedOrder, ts: int, *, price: bool = True, size: bool = True) -> None:
        if not (self.hears_strange and order.is_foreign):
            self._tell_order(order, ts, price=price, size=size)

    def _tell_order(self, order: TrackedOrder, ts: int, *, price: bool = True, size: bool = True) -> None:
        listing = self._by_instrument.get(order.instrument)
        if listing is not None and self.teller is not None and self.teller.wants("order_update"):
            sent = self._sent.get(order.client_id)
            average = None if sent is None else sent.average(listing)
            data = payloads.order_update(self.name, listing, order, ts, price=price, size=size, average=average)
            self.teller.private("order_update", self.src, listing.sym, data)

    def position_changed(self, instrument: "Instrument") -> None:
        """After a fill on the account, whoever's it is, the exchange tells the position; several at once are one
        change."""
        listing = self._by_instrument.get(instrument)
        if listing is None or listing.spot or instrument in self._asked:
            return
        if self.teller is None or not self.teller.wants("position_update"):
            return
        self._asked.add(instrument)
        self.desk.position(instrument, self._position_told)

    def _position_told(self, held: HeldPosition) -> None:
        self._asked.discard(held.instrument)
        listing = self._by_instrument.get(held.instrument)
        if listing is not None and self.teller is not None:
            data = payloads.position_update(self.name, listing, held, self.clock.now)
            self.teller.private("position_update", self.src, listing.sym, data)
