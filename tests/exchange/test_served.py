"""The core of the local exchange: records of orders, positions, wallet, market data and time windows."""

from typing import Any

import pytest

from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import CancelCode, Exchange, GtwRejectCode, OrderStatus, OrderType
from mlthon.basics.instrument import Instrument
from mlthon.basics.money import UNIT
from mlthon.engine.clock import MS, SECOND, Clock
from mlthon.exchange.served.account import ServedAccount
from mlthon.exchange.served.contract import ServerRequest, ServerResponse, ServerSocket, SocketHandler, Unserved
from mlthon.exchange.served.exchange import IdStyle, ServedExchange
from mlthon.exchange.served.faults import Fault, FaultyDialect
from mlthon.exchange.served.limits import RequestWindow, Throttle, same, within
from mlthon.exchange.served.records import NewOrder, Refusal, ServedExecution, ServedOrder

START = 1_735_689_600 * SECOND
MINUTE = 60 * SECOND


class Rig:
    """A served perpetual with some liquidity: bids at 1,000,000 ticks and below, asks at 1,000,010 and above."""

    def __init__(self, ids: IdStyle = IdStyle.UUID, history: int = 0) -> None:
        self.instrument: Instrument = resolve(Exchange.Bybit, "byt:perp:btc-usdt")
        self.clock = Clock(START)
        self.served = ServedExchange(Exchange.Bybit, [self.instrument], self.clock, ids=ids, history_minutes=history)
        self.account: ServedAccount = self.served.add_account("main", [("key", "secret")])
        self.market = self.served.markets[self.instrument]
        self.served.embedded.publish_to(self.instrument, self.market)
        self.book = self.served.embedded.market(self.instrument)
        for place in range(3):
            self.book.add(1, 1_000_000 - place, 50)
            self.book.add(-1, 1_000_010 + place, 5)

    def order(self, side: int, qty: int, price: int = 0, **more: Any) -> ServedOrder:
        kind = OrderType.Limit if price else OrderType.Market
        more.setdefault("order_type", kind)
        return self.account.place(NewOrder(instrument=self.instrument, side=side, qty=qty, price=price, **more))

    def run(self, seconds: float = 1.0) -> None:
        self.clock.run_until(self.clock.now + round(seconds * SECOND))


class Heard:
    """Writes down what an account's listener is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def order_changed(self, order: ServedOrder) -> None:
        self.told.append(order.status.name)

    def executed(self, execution: ServedExecution) -> None:
        self.told.append(f"fill {execution.qty}")

    def position_changed(self, instrument: Instrument) -> None:
        self.told.append("position")

    def wallet_changed(self, coins: tuple[str, ...]) -> None:
        self.told.append(f"wallet {','.join(coins)}")


def test_done_is_called_when_the_fills_of_a_taker_are_in_the_record() -> None:
    rig = Rig()
    seen: list[tuple[OrderStatus, int]] = []
    order = rig.account.place(
        NewOrder(instrument=rig.instrument, side=1, qty=8, price=1_000_011),
        lambda done: seen.append((done.status, done.filled)),
    )
    assert order.status is OrderStatus.PendingNew
    assert seen == []
    rig.run()
    assert seen == [(OrderStatus.Filled, 8)]
    assert order.average_units == (5 * 1_000_010 + 3 * 1_000_011) * UNIT // 10 // 8
    assert [each.qty for each in order.executions] == [5, 3]
    assert list(rig.account.history) == [order]
    assert not list(rig.account.open_orders())


def test_listeners_are_told_in_order() -> None:
    rig = Rig()
    heard = Heard()
    rig.account.listeners.append(heard)
    rig.order(1, 5)
    rig.run()
    assert heard.told == ["New", "Filled", "fill 5", "position", "wallet USDT"]


def test_amend_and_cancel_answer_once_and_say_why_not() -> None:
    rig = Rig()
    order = rig.order(1, 10, 999_000)
    rig.run()
    answers: list[Refusal | None] = []
    rig.account.amend(order, 999_500, 20, lambda _, refusal: answers.append(refusal))
    rig.run()
    assert (answers, order.price, order.qty, order.leaves) == ([None], 999_500, 20, 20)
    rig.account.amend(order, None, 10**9, lambda _, refusal: answers.append(refusal))
    rig.run()
    assert isinstance(answers[1], Refusal)
    assert answers[1].code is GtwRejectCode.QtyAboveMaximum
    rig.account.cancel(order, lambda _, refusal: answers.append(refusal))
    rig.account.cancel(order, lambda _, refusal: answers.append(refusal))
    rig.run()
    assert answers[2] is None
    assert isinstance(answers[3], Refusal)
    assert (order.status, order.cancel_code) == (OrderStatus.Cancelled, CancelCode.CanceledByUser)


def test_cancel_many_tells_which_were_cancelled() -> None:
    rig = Rig()
    orders = [rig.order(1, 1, 990_000 + place * 10) for place in range(3)]
    rig.run()
    found: list[list[ServedOrder]] = []
    rig.account.cancel_many(rig.account.open_orders(), found.append)
    rig.account.cancel_many([], found.append)
    rig.run()
    assert sorted(map(len, found)) == [0, 3]
    assert {order.status for order in orders} == {OrderStatus.Cancelled}


def test_a_position_counts_what_closed_it_and_money_adds_up() -> None:
    rig = Rig()
    rig.order(1, 5)
    rig.run()
    view = rig.account.position(rig.instrument)
    assert (view.lots, view.entry_units) == (5, 100_001 * UNIT)
    rig.order(-1, 8)
    rig.run()
    last = rig.account.executions[-1]
    assert (last.closed, last.qty, rig.account.position(rig.instrument).lots) == (5, 8, -3)
    assert last.gain == 5 * (1_000_000 - 1_000_010) * UNIT // 10 // 1000
    assert rig.served.embedded.total() == {"USDT": 1_000_000 * UNIT}


def test_a_stop_that_triggers_and_rests_is_told_of() -> None:
    rig = Rig()
    heard = Heard()
    stop = rig.order(1, 2, 999_000, order_type=OrderType.StopLimit, stop_price=1_000_012)
    rig.run()
    assert stop.status is OrderStatus.Untriggered
    rig.account.listeners.append(heard)
    rig.book.take(1, 15)
    rig.run()
    assert (stop.status, stop.triggered, heard.told) == (OrderStatus.New, True, ["New"])


def test_a_halted_exchange_refuses_orders_and_takes_cancels() -> None:
    rig = Rig()
    resting = rig.order(1, 1, 990_000)
    rig.run()
    rig.served.halt("maintenance")
    refused = rig.order(1, 1, 990_000)
    rig.account.cancel(resting)
    rig.run()
    assert (refused.status, refused.reason) == (OrderStatus.Rejected, "maintenance")
    assert resting.status is OrderStatus.Cancelled
    rig.served.resume()
    assert rig.order(1, 1, 990_000).status is OrderStatus.PendingNew


def test_client_ids_may_repeat_and_the_latest_is_found() -> None:
    rig = Rig()
    rig.order(1, 1, 990_000, client_id="a")
    second = rig.order(1, 1, 990_000, client_id="a")
    assert rig.account.by_client("a") is second
    assert rig.account.by_client("") is None


def test_ids_are_the_same_in_every_run_and_in_the_style_asked_for() -> None:
    first, again, numbers = Rig(), Rig(), Rig(IdStyle.NUMBER)
    assert first.order(1, 1, 990_000).order_id == again.order(1, 1, 990_000).order_id
    assert numbers.order(1, 1, 990_000).order_id == "1"


def test_keys_and_accounts_are_taken_once() -> None:
    rig = Rig()
    with pytest.raises(ValueError, match="belongs to account 'main'"):
        rig.served.add_account("other", [("key", "x")])
    with pytest.raises(ValueError, match="exists already"):
        rig.served.add_account("main")
    assert "secret" not in repr(rig.served.keys["key"])


def test_the_market_keeps_levels_trades_and_candles() -> None:
    rig = Rig()
    assert rig.market.levels(1, 2) == [(1_000_000, 50), (999_999, 50)]
    assert rig.market.touch == (1_000_000, 50, 1_000_010, 5)
    rig.book.take(1, 6)
    rig.run(120)
    rig.book.take(-1, 2)
    candles = rig.market.candles(MINUTE, 10)
    assert [(each.open, each.high, each.low, each.close, each.qty) for each in candles] == [
        (1_000_010, 1_000_011, 1_000_010, 1_000_011, 6),
        (1_000_011, 1_000_011, 1_000_011, 1_000_011, 0),
        (1_000_000, 1_000_000, 1_000_000, 1_000_000, 2),
    ]
    (five,) = rig.market.candles(5 * MINUTE, 10)
    assert (five.start, five.open, five.high, five.low, five.close, five.qty, five.trades) == (
        START,
        1_000_010,
        1_000_011,
        1_000_000,
        1_000_000,
        8,
        3,
    )
    assert [each.start for each in rig.market.candles(MINUTE, 10, START + MINUTE, START + MINUTE)] == [START + MINUTE]


def test_made_up_history_ends_at_the_first_price() -> None:
    candles = Rig(history=30).market.candles(MINUTE, 100)
    assert len(candles) == 31
    assert candles[-2].close == candles[-1].open
    assert all(each.low <= min(each.open, each.close) <= max(each.open, each.close) <= each.high for each in candles)


def test_a_request_window_counts_and_begins_anew() -> None:
    window = RequestWindow(2, SECOND)
    assert [window.use(START + ms * MS).allowed for ms in (0, 1, 2, 999, 1000)] == [True, True, False, False, True]
    use = window.use(START + 1_001 * MS)
    assert (use.remaining, use.reset_ts) == (0, START + 2 * SECOND)


def test_times_and_signatures() -> None:
    assert within(10_000, 5_000, 5_000)
    assert not within(10_000, 4_999, 5_000)
    assert within(10_000, 10_999, 5_000)
    assert not within(10_000, 11_000, 5_000)
    assert same("ABCD", "abcd")
    assert not same("abce", "abcd")
    assert not same("äöü", "abcd")


def test_a_throttle_pushes_at_most_once_an_interval() -> None:
    clock = Clock(START)
    pushed: list[int] = []
    throttle = Throttle(clock, 100 * MS, lambda: pushed.append((clock.now - START) // MS))
    for ms in (0, 10, 20, 150):
        clock.run_until(START + ms * MS)
        throttle.mark()
    clock.run_until(START + SECOND)
    assert pushed == [0, 100, 200]
    throttle.stop()
    throttle.mark()
    clock.run_until(START + 2 * SECOND)
    assert len(pushed) == 3


class Echo:
    """A dialect that answers 200 and counts."""

    name = "echo"
    exchange = Exchange.Bybit

    def __init__(self) -> None:
        self.carried_out = 0

    def http(self, request: ServerRequest, respond: object) -> None:
        self.carried_out += 1
        respond(ServerResponse(200))  # type: ignore[operator]

    def connect(self, socket: ServerSocket) -> SocketHandler:
        return Unserved()

    def busy(self, request: ServerRequest) -> ServerResponse:
        return ServerResponse(429)


@pytest.mark.parametrize(
    ("fault", "statuses", "carried_out"),
    [
        (Fault("drop"), [200], 1),
        (Fault("timeout-after-accept"), [200], 2),
        (Fault("delay", delay_ms=500), [200, 200], 2),
        (Fault("error", status=503), [503, 200], 1),
        (Fault("limit"), [429, 200], 1),
        (Fault("error", path="/other"), [200, 200], 2),
    ],
)
def test_faults(fault: Fault, statuses: list[int], carried_out: int) -> None:
    clock, echo = Clock(START), Echo()
    faulty = FaultyDialect(echo, clock)
    faulty.inject(fault)
    found: list[int] = []
    for _ in range(2):
        faulty.http(ServerRequest("GET", "/v5/x"), lambda response: found.append(response.status))
    clock.run_until(START + SECOND)
    assert found == statuses
    assert echo.carried_out == carried_out


def test_an_unknown_fault_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no fault 'boom'"):
        Fault("boom")


@pytest.mark.parametrize("ids", IdStyle)
def test_exchanges_that_count_from_different_numbers_share_no_id(ids: IdStyle) -> None:
    instrument = resolve(Exchange.Bybit, "byt:perp:btc-usdt")
    first, second = (
        ServedExchange(Exchange.Bybit, [instrument], Clock(), ids=ids, first_id=number) for number in (1_000, 2_000)
    )
    assert {first.next_execution()[1] for _ in range(50)}.isdisjoint(second.next_execution()[1] for _ in range(50))
