from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from mlthon.basics.defs import TIF, ExecInstructions, OrderStatus, OrderType, Side
from mlthon.basics.price import Price
from mlthon.basics.qty import Qty
from mlthon.order import order_mgr
from mlthon.order.order import Order
from mlthon.order.order_mgr import OrderMgr


def new(mgr: OrderMgr, qty: str | int = 10, side: Side = Side.Buy) -> Order:
    order = mgr.prepare_new_order(instrument_id=1, side=side, price="100.5", qty=qty)
    assert order is not None
    return order


def working(mgr: OrderMgr, qty: str | int = 10) -> Order:
    order = new(mgr, qty)
    assert mgr.apply_new_order_ack(
        client_id=order.get_client_id(), exchange_id="x", price=Price("100.5"), leaves_qty=qty
    )
    return order


def test_a_new_order() -> None:
    mgr = OrderMgr("bln")
    order = mgr.prepare_new_order(
        symbol="BTC-USD", side=Side.Sell, price=Price("9.5"), qty=Qty(3), exec_instr=ExecInstructions.PostOnly,
        order_type=OrderType.Limit, tif=TIF.IOC, nullable_attachment="why",
    )  # fmt: skip
    assert order is not None
    assert order.get_client_id() == "bln000000001"
    assert order.get_instrument_id() == "BTC-USD"
    assert order.get_exchange_id() is None
    assert (order.get_side(), order.get_price(), order.get_qty()) == (Side.Sell, Price("9.5"), Qty(3))
    assert (order.get_type(), order.get_tif()) == (OrderType.Limit, TIF.IOC)
    assert order.get_exec_instructions() is ExecInstructions.PostOnly
    assert order.get_attachment() == "why"
    assert (order.get_pending_price(), order.get_pending_qty()) == (Price("9.5"), Qty(3))
    assert order.get_leaves_qty() == order.get_leaves_qty_after_modify_prep() == Qty(3)
    assert order.is_new_pending()
    assert order.has_any_pending_request()
    assert order.is_open()
    assert mgr.get_num_open_orders() == 1
    assert str(order) == "Order bln000000001: Sell 3 @ 9.5 of BTC-USD, PendingNew, leaves 3"


def test_acknowledged_as_strategies_in_use_do_it() -> None:
    mgr = OrderMgr("a")
    order = new(mgr)
    client_id = order.get_client_id()
    mgr.apply_new_order_ack(client_id=client_id, exchange_id="x1", price=Price(99), leaves_qty=order.get_pending_qty())
    assert (order.get_exchange_id(), order.get_price(), order.get_leaves_qty()) == ("x1", Price(99), Qty(10))
    assert (order.get_pending_price(), order.get_pending_qty()) == (None, None)
    assert not order.has_any_pending_request()
    assert order.get_status() is OrderStatus.New


def test_fills() -> None:
    mgr = OrderMgr("a")
    order = working(mgr)
    client_id = order.get_client_id()
    assert mgr.apply_order_execution(client_id=client_id, fill_qty=Qty("2.5"), nullable_leaves_qty=None) is False
    assert (order.get_leaves_qty(), order.get_filled_qty()) == (Qty("7.5"), Qty("2.5"))
    assert mgr.apply_order_execution(client_id, "2.5", nullable_leaves_qty=Qty(5)) is False
    assert mgr.apply_order_execution(client_id, 5) is True
    assert order.get_status() is OrderStatus.Filled
    assert mgr.get_open_orders() == []
    assert mgr.get_order_with_client_id(client_id) is order


def test_a_fill_overtakes_the_acknowledgement() -> None:
    mgr = OrderMgr("a")
    order = new(mgr)
    assert mgr.apply_order_execution(order.get_client_id(), 4) is False
    mgr.apply_new_order_ack(order.get_client_id(), "x", Price(1), leaves_qty=10)
    assert order.get_leaves_qty() == Qty(6)
    assert order.get_status() is OrderStatus.PartiallyFilled


def test_a_fill_after_the_end_counts() -> None:
    mgr = OrderMgr("a")
    order = working(mgr)
    mgr.apply_order_cancelled(order.get_client_id())
    assert order.is_cancelled()
    assert order.get_leaves_qty() == Qty(0)
    assert mgr.apply_order_execution(order.get_client_id(), 4) is False
    assert order.is_cancelled()
    assert order.get_filled_qty() == Qty(4)
    assert mgr.apply_order_execution(order.get_client_id(), 6) is True
    assert order.get_status() is OrderStatus.Filled


def test_a_fill_of_a_rejected_order_opens_it_again() -> None:
    mgr = OrderMgr("a")
    order = new(mgr)
    mgr.apply_new_order_reject(order.get_client_id())
    assert mgr.get_num_open_orders() == 0
    assert mgr.apply_order_execution(order.get_client_id(), 4) is False
    assert order.get_status() is OrderStatus.Unknown
    assert mgr.get_open_orders() == [order]
    assert order.get_leaves_qty() == Qty(6)


@pytest.mark.parametrize("fill", [0, "-1"])
def test_a_fill_of_nothing(fill: int | str) -> None:
    mgr = OrderMgr("a")
    order = working(mgr)
    with pytest.raises(ValueError, match="a fill must be more than 0"):
        mgr.apply_order_execution(order.get_client_id(), fill)
    assert order.get_filled_qty() == Qty(0)


def test_modify() -> None:
    mgr = OrderMgr("a")
    order = working(mgr)
    client_id = order.get_client_id()
    mgr.apply_order_execution(client_id, 4)
    assert mgr.prepare_modify_order(client_id, new_qty="7")
    assert order.is_modify_pending()
    assert (order.get_pending_price(), order.get_pending_qty()) == (None, Qty(7))
    assert (order.get_leaves_qty(), order.get_leaves_qty_after_modify_prep()) == (Qty(6), Qty(3))
    assert not mgr.prepare_modify_order(client_id, new_price=1)
    assert mgr.apply_modify_order_ack(client_id=client_id, leaves_qty=Qty(3))
    assert (order.get_qty(), order.get_leaves_qty(), order.get_price()) == (Qty(7), Qty(3), Price("100.5"))
    assert not order.has_any_pending_request()
    assert mgr.prepare_modify_order(client_id, new_price="99")
    assert mgr.apply_modify_order_reject(client_id=client_id)
    assert order.get_price() == Price("100.5")
    assert not mgr.prepare_modify_order(client_id)
    assert mgr.prepare_modify_order(client_id, new_price=99)
    mgr.apply_modify_order_ack(client_id)
    assert (order.get_price(), order.get_leaves_qty()) == (Price(99), Qty(3))


def test_modified_below_what_is_filled() -> None:
    mgr = OrderMgr("a")
    order = working(mgr)
    mgr.apply_order_execution(order.get_client_id(), 4)
    assert mgr.prepare_modify_order(order.get_client_id(), new_qty=3)
    assert order.get_leaves_qty_after_modify_prep() == Qty(0)


def test_cancel() -> None:
    mgr = OrderMgr("a")
    order = working(mgr)
    client_id = order.get_client_id()
    assert mgr.prepare_cancel_order(client_id=client_id)
    assert not mgr.prepare_cancel_order(client_id=client_id)
    assert not mgr.prepare_modify_order(client_id, new_price=1)
    assert order.is_cancel_pending()
    assert "cancel pending" in str(order)
    assert mgr.apply_cancel_order_reject(client_id=client_id)
    assert not order.is_cancel_pending()
    assert mgr.prepare_cancel_order(client_id=client_id)
    assert mgr.apply_cancel_order_ack(client_id=client_id)
    assert order.is_open()
    assert order.is_cancel_pending()
    assert mgr.apply_order_cancelled(client_id=client_id)
    assert not order.is_cancel_pending()
    assert not mgr.prepare_cancel_order(client_id=client_id)


def test_no_new_order_while_a_cancel_all_is_pending() -> None:
    mgr = OrderMgr("a")
    assert not mgr.prepare_cancel_all()
    first, second = working(mgr), working(mgr)
    assert mgr.prepare_cancel_all()
    assert first.is_cancel_pending()
    assert mgr.prepare_new_order(instrument_id=1, side=Side.Buy, price=1, qty=1) is None
    assert mgr.apply_cancel_all_ack()
    mgr.apply_order_cancelled(first.get_client_id())
    assert mgr.prepare_new_order(instrument_id=1, side=Side.Buy, price=1, qty=1) is None
    mgr.apply_order_execution(second.get_client_id(), 10)
    assert not mgr.is_cancel_all_pending()
    assert not mgr.apply_cancel_all_ack()
    third = working(mgr)
    assert mgr.prepare_cancel_all(instrument_id=1)
    assert not mgr.apply_cancel_all_reject(instrument_id=2)
    assert mgr.apply_cancel_all_reject(instrument_id=1)
    assert not third.is_cancel_pending()
    assert working(mgr).is_open()
    assert not mgr.prepare_cancel_all(instrument_id=2)


def test_unknown_ids_are_no_errors() -> None:
    mgr = OrderMgr("a")
    assert mgr.apply_order_execution(client_id="x", fill_qty=Qty(1), nullable_leaves_qty=None) is None
    assert mgr.get_order_with_client_id("x") is None
    for refused in (
        mgr.prepare_cancel_order("x"),
        mgr.prepare_modify_order("x", new_price=1),
        mgr.apply_new_order_ack("x", "y", Price(1), Qty(1)),
        mgr.apply_new_order_reject("x"),
        mgr.apply_modify_order_ack("x", Qty(1)),
        mgr.apply_modify_order_reject("x"),
        mgr.apply_cancel_order_ack("x"),
        mgr.apply_cancel_order_reject("x"),
        mgr.apply_order_cancelled("x"),
    ):
        assert refused is False


@pytest.mark.parametrize("missing", ["side", "qty", "instrument_id"])
def test_what_a_new_order_needs(missing: str) -> None:
    fields = {"instrument_id": 1, "side": Side.Buy, "qty": 1, "price": 1}
    del fields[missing]
    with pytest.raises(ValueError, match="needs instrument_id or symbol, side and qty"):
        OrderMgr("a").prepare_new_order(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("prefix", "first"),
    [
        ("bln", "bln000000001"),
        (7, "7000000001"),
        ("7", "7000000001"),
        (0, "1"),
        ("", "1"),
        ("a7", "a7000000001"),
    ],
)
def test_client_ids(prefix: str | int, first: str) -> None:
    assert new(OrderMgr(prefix)).get_client_id() == first


def test_client_ids_of_digits_survive_as_numbers() -> None:
    for prefix in (1, 11, "1", 0, "007", ""):
        client_id = new(OrderMgr(prefix)).get_client_id()
        assert str(int(client_id)) == client_id
    mgr = OrderMgr(5)
    order = new(mgr)
    assert mgr.get_order_with_client_id(int(order.get_client_id())) is order
    with pytest.raises(ValueError, match="client_id_prefix"):
        OrderMgr(-1)


@given(st.integers(0, 99), st.integers(0, 99), st.integers(1, 200), st.integers(1, 200))
def test_different_prefixes_never_share_an_id(a: int, b: int, n: int, m: int) -> None:
    if a == b:
        return
    mine, theirs = OrderMgr(a), OrderMgr(b)
    assert not {mine._new_client_id() for _ in range(n)} & {theirs._new_client_id() for _ in range(m)}


def test_orders_that_are_there_already() -> None:
    mgr = OrderMgr("a")
    order = mgr.add_open_order(
        client_id="a000000001", exchange_id="x", instrument_id=1, side=Side.Sell, price="5", qty=2.0,
        order_type=OrderType.Limit, tif=TIF.GTC, exec_instr=ExecInstructions.Unset, nullable_attachment=None,
    )  # fmt: skip
    assert order.get_status() is OrderStatus.New
    assert mgr.add_open_order("a000000001", "y", 1, Side.Buy, 1, 1) is order
    assert new(mgr).get_client_id() == "a000000002"
    assert mgr.get_num_open_orders() == 2


def test_finished_orders_are_forgotten_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_mgr, "REMEMBERED", 3)
    mgr = OrderMgr("a")
    orders = [working(mgr) for _ in range(5)]
    for order in orders:
        mgr.apply_order_cancelled(order.get_client_id())
    assert [mgr.get_order_with_client_id(o.get_client_id()) for o in orders] == [None, None, *orders[2:]]


class Life(RuleBasedStateMachine):
    """Orders of a manager against what plain sums say of them."""

    orders = Bundle("orders")

    def __init__(self) -> None:
        super().__init__()
        self.mgr = OrderMgr("m")
        self.qty: dict[str, Decimal] = {}
        self.filled: dict[str, Decimal] = {}
        self.gone: set[str] = set()

    @rule(target=orders, qty=st.integers(1, 20))
    def send(self, qty: int) -> str:
        blocked = self.mgr.is_cancel_all_pending()
        order = self.mgr.prepare_new_order(instrument_id=1, side=Side.Buy, price=1, qty=qty)
        assert (order is None) == blocked
        if order is None:
            return "nobody"
        self.qty[order.get_client_id()] = Decimal(qty)
        self.filled[order.get_client_id()] = Decimal(0)
        return order.get_client_id()

    @rule(order=orders)
    def ack(self, order: str) -> None:
        assert self.mgr.apply_new_order_ack(order, "x", 1, None) is (order in self.qty)

    @rule(order=orders, fill=st.integers(1, 8))
    def fill(self, order: str, fill: int) -> None:
        fully = self.mgr.apply_order_execution(order, fill)
        if order not in self.qty:
            assert fully is None
            return
        self.filled[order] += fill
        assert fully is (self.filled[order] >= self.qty[order])
        if fully:
            self.gone.add(order)

    @rule(order=orders)
    def ask_cancel(self, order: str) -> None:
        known = self.mgr.get_order_with_client_id(order)
        pending = known is not None and known.is_cancel_pending()
        assert self.mgr.prepare_cancel_order(order) is (order in self.qty and order not in self.gone and not pending)

    @rule(order=orders)
    def refuse_cancel(self, order: str) -> None:
        assert self.mgr.apply_cancel_order_reject(order) is (order in self.qty)

    @rule(order=orders)
    def cancel(self, order: str) -> None:
        assert self.mgr.apply_order_cancelled(order) is (order in self.qty)
        if order in self.qty:
            self.gone.add(order)

    @rule()
    def cancel_all(self) -> None:
        assert self.mgr.prepare_cancel_all() is bool(set(self.qty) - self.gone)

    @invariant()
    def the_sums_agree(self) -> None:
        open_ids = [order.get_client_id() for order in self.mgr.get_open_orders()]
        assert open_ids == [client_id for client_id in self.qty if client_id not in self.gone]
        assert self.mgr.get_num_open_orders() == len(open_ids)
        for client_id in self.qty:
            order = self.mgr.get_order_with_client_id(client_id)
            assert order is not None
            assert order.get_filled_qty() == Qty(self.filled[client_id])
            left = self.qty[client_id] - self.filled[client_id] if client_id not in self.gone else 0
            assert order.get_leaves_qty() == Qty(left)
            assert not (order.has_any_pending_request() and client_id in self.gone)


TestLife = Life.TestCase
