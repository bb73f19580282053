"""The journal stage: intents before requests, events before strategies, and what a store that fails does."""

import logging
from collections.abc import Sequence
from typing import Any

import pytest

from mlthon.basics.defs import CancelCode, Exchange, GtwRejectCode, GtwStatus, OrderStatus, Side
from mlthon.basics.instrument import Perpetual
from mlthon.engine.clock import SECOND
from mlthon.engine.entries import ChangedSteps, Entry, OpenOrder, Sent, Standing, StoreFailed, restored
from mlthon.engine.journal import JournalStage
from tests.engine.rig import BTC, Recorder, Rig, ScriptedGateway

READY = GtwStatus.ReadyToTrade


class MemoryStore:
    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.broken = ""

    def commit(self, entries: Sequence[Entry]) -> None:
        if self.broken:
            raise StoreFailed(self.broken)
        self.entries.extend(entries)

    def kinds(self) -> list[str]:
        return [each.kind for each in self.entries]


class Journalled(Rig):
    """The rig with a journal between port and gateway. The gateway notes how much was written when it was called."""

    def __init__(self, *strategies: Any) -> None:
        super().__init__(*strategies)
        self.store = MemoryStore()
        port = self.engine.ports[Exchange.Bybit, "main"]
        self.port = port
        self.stage = JournalStage(port, Exchange.Bybit, "main", self.clock, self.store, port.find)
        gateway = ScriptedGateway(Exchange.Bybit, "main", self.clock, self.stage)
        self.gateways[Exchange.Bybit] = gateway
        self.stage.gateway = gateway
        port.gateway = self.stage

    def buy(self, client_id: Any = 1, qty: str = "0.1") -> Any:
        self.env.send_new_order(client_id, Exchange.Bybit, BTC, Side.Buy, "100", qty)
        return self.session.orders[str(client_id)]


def test_an_intent_is_written_before_the_gateway_is_called() -> None:
    rig = Journalled()
    seen: list[list[str]] = []
    gateway = rig.gateway
    for name in ("new_order", "modify_order", "cancel_order", "cancel_all"):
        real = getattr(gateway, name)

        def watched(*args: Any, real: Any = real) -> None:
            seen.append(rig.store.kinds()[-1:])
            real(*args)

        setattr(gateway, name, watched)
    rig.buy()
    rig.wait(2)
    rig.env.send_modify_order(Exchange.Bybit, 1, "101")
    rig.wait(2)
    rig.env.send_cancel_order(Exchange.Bybit, BTC, 1)
    rig.wait(2)
    rig.env.send_cancel_all(Exchange.Bybit, BTC)
    rig.wait(2)
    assert seen == [["new"], ["modify"], ["cancel"], ["cancel_all"]]
    assert rig.store.kinds() == [
        *("new", "ack", "modify", "modify_ack", "cancel", "cancel_ack", "cancelled", "cancel_all", "cancel_all_ack"),
    ]


def test_an_event_is_written_before_the_strategy_hears_of_it_with_how_the_order_then_stands() -> None:
    rig = Journalled()
    order = rig.buy(qty="0.3")
    rig.wait(2)
    heard: list[str] = []
    rig.strategy.then["on_order_execution"] = lambda *_: heard.append(rig.store.kinds()[-1])
    rig.stage.order_execution(order.wire_id, "E1", 900, 100, 200, 7, "USDT", True, rig.clock.now)
    rig.stage.order_execution(order.wire_id, "E2", 900, 200, 0, 7, "USDT", False, rig.clock.now)
    assert heard == ["fill", "fill"]
    first, second = rig.store.entries[-2:]
    assert first.standing is not None
    assert (first.standing.state, first.standing.filled, first.standing.leaves) == (
        OrderStatus.PartiallyFilled,
        100,
        200,
    )
    assert second.standing is not None
    assert (second.standing.state, second.standing.filled) == (OrderStatus.Filled, 300)
    assert second.fill is not None
    assert (second.fill.exec_id, second.fill.strategy, second.fill.side, second.fill.maker) == ("E2", "s0", 1, False)
    assert (order.state, order.filled) == (OrderStatus.Filled, 300)


def test_written_standings_are_those_that_the_port_comes_to() -> None:
    rig = Journalled()
    order = rig.buy()

    def agrees() -> bool:
        standing = next(each.standing for each in reversed(rig.store.entries) if each.standing is not None)
        return (standing.state, standing.leaves, standing.price, standing.qty, standing.filled) == (
            *(order.state, order.leaves, order.price, order.qty, order.filled),
        )

    rig.gateway.silent = True
    rig.stage.order_unknown(order.wire_id, "timeout")
    assert agrees()
    rig.stage.new_order_ack(order.wire_id, "X9", order.price, 90, 90, 0)
    assert agrees()
    assert order.qty == 90
    rig.stage.modify_order_ack(order.wire_id, 5, None, 90)
    assert agrees()
    rig.stage.order_execution(order.wire_id, "E", 5, 40, 50, 0, "USDT", True, 0)
    assert agrees()
    rig.stage.order_cancelled(order.wire_id, True, 0, CancelCode.ByExchange, "")
    assert agrees()
    rig.stage.order_execution(order.wire_id, "late", 5, 10, 0, 0, "USDT", True, 0)
    assert agrees()


def test_without_a_store_new_orders_and_modifications_are_refused_and_cancels_go_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = Journalled()
    rig.buy(1)
    rig.wait(2)
    rig.store.broken = "disk full"
    sent = len(rig.gateway.requests)
    with caplog.at_level(logging.WARNING, "mlthon.journal"):
        rig.buy(2)
        rig.env.send_modify_order(Exchange.Bybit, 1, "101")
        assert not rig.strategy.of("on_new_order_reject")
        rig.wait(2)
        rig.env.send_cancel_order(Exchange.Bybit, BTC, 1)
        rig.wait(2)
    ((_, client_id, code, reason),) = rig.strategy.of("on_new_order_reject")
    assert (client_id, code) == ("2", GtwRejectCode.GtwNotReady)
    assert "disk full" in reason
    assert [each[1] for each in rig.strategy.of("on_modify_order_reject")] == ["1"]
    assert [each[0] for each in rig.gateway.requests[sent:]] == ["cancel"]
    assert [each[1] for each in rig.strategy.of("on_order_cancelled")] == ["1"]
    assert len([each for each in caplog.records if each.levelno == logging.ERROR]) == 1
    assert rig.strategy.of("on_gateway_status")[-1][1] is GtwStatus.Maintenance


def test_what_could_not_be_written_is_written_later_and_in_order() -> None:
    rig = Journalled()
    rig.buy(1)
    rig.wait(2)
    rig.store.broken = "disk full"
    rig.env.send_cancel_order(Exchange.Bybit, BTC, 1)
    rig.buy(2)
    rig.wait(10)
    assert rig.store.kinds() == ["new", "ack"]
    assert rig.stage.unwritten == 5
    rig.store.broken = ""
    rig.clock.run_until(rig.clock.now + SECOND)
    assert rig.store.kinds() == ["new", "ack", "cancel", "new", "cancel_ack", "cancelled", "reject"]
    assert (rig.stage.unwritten, rig.stage.failure) == (0, "")
    assert rig.strategy.of("on_gateway_status")[-1][1] is READY
    rig.buy(3)
    rig.wait(2)
    assert [each[1] for each in rig.strategy.of("on_new_order_ack")] == ["1", "3"]


def test_what_the_end_cannot_write_either_is_said(caplog: pytest.LogCaptureFixture) -> None:
    rig = Journalled()
    rig.store.broken = "disk full"
    rig.env.send_cancel_all(Exchange.Bybit, BTC)
    caplog.clear()
    rig.stage.close()
    assert "ends without the last 1 entries" in caplog.text
    caplog.clear()
    rig.store.broken = ""
    rig.stage.close()
    assert (rig.store.kinds(), rig.stage.unwritten) == (["cancel_all"], 0)
    assert "ends without" not in caplog.text


def test_a_gateway_that_comes_back_is_not_told_as_ready_while_the_journal_fails() -> None:
    rig = Journalled()
    rig.store.broken = "disk full"
    rig.buy(1)
    rig.wait(2)
    rig.stage.gateway_status(READY, "")
    assert rig.strategy.of("on_gateway_status")[-1][1] is GtwStatus.Maintenance
    rig.stage.gateway_status(GtwStatus.Connecting, "lost")
    assert rig.strategy.of("on_gateway_status")[-1][1:] == (GtwStatus.Connecting, "lost")


def test_an_order_that_nobody_here_sent_is_written_with_its_owner() -> None:
    rig = Journalled()
    rig.stage.foreign_order("L1", BTC, -1, 50, "liquidation")
    rig.stage.order_execution("L1", "E1", 900, 50, 0, 0, "USDT", False, 0)
    foreign, fill = rig.store.entries
    assert foreign.kind == "foreign"
    assert foreign.sent is not None
    assert foreign.sent.strategy == "s0"
    assert fill.fill is not None
    assert (fill.fill.side, fill.fill.qty) == (-1, 50)


def test_answers_and_questions_pass_unwritten() -> None:
    rig = Journalled()
    rig.env.fetch_wallet_info(Exchange.Bybit, "USDT")
    rig.env.fetch_account_info(Exchange.Bybit)
    rig.env.fetch_position_info(Exchange.Bybit, BTC)
    rig.env.fetch_funding_info(Exchange.Bybit, BTC)
    rig.env.fetch_orders_info(Exchange.Bybit)
    rig.stage.rate_limit_info(40, 0)
    rig.stage.unsupported("Candles")
    rig.wait(2)
    answers = ("on_wallet_info", "on_account_info", "on_position_info", "on_funding_info", "on_orders_info")
    assert all(len(rig.strategy.of(each)) == 1 for each in (*answers, "on_rate_limit_info", "on_unsupported_op"))
    assert rig.store.entries == []


# -- going on with the orders of an earlier run --------------------------------------------------------------------


def left_open(wire_id: str = "mab121-7", strategy: str = "s0", client_id: str = "7", **changes: Any) -> OpenOrder:
    rig = Rig()
    rig.env.send_new_order(client_id, Exchange.Bybit, BTC, Side.Buy, "100", "0.3")
    order = rig.session.orders[client_id]
    sent = Sent(
        strategy=strategy,
        client_id=client_id,
        instrument=order.instrument,
        side=1,
        order_type=order.order_type,
        tif=order.tif,
        exec_instr=order.exec_instr,
        price=order.price,
        qty=order.qty,
        stop_price=None,
        close_position=False,
        created_ts=5,
    )
    standing = Standing(
        state=OrderStatus.PartiallyFilled,
        exchange_id="X1",
        price=order.price,
        qty=order.qty,
        leaves=order.qty - 100,
        filled=100,
    )
    return OpenOrder(wire_id=wire_id, exchange=Exchange.Bybit, account="main", sent=sent, standing=standing, **changes)


class Restored(Rig):
    """A rig whose gateway is not yet ready, that goes on with an account."""

    def __init__(self, *orders: OpenOrder, strategies: tuple[Any, ...] = ()) -> None:
        super().__init__(*strategies)
        self.port = self.engine.ports[Exchange.Bybit, "main"]
        for strategy in self.strategies:
            strategy.calls.clear()
        self.port.holdings = lambda: {BTC: -40}
        self.adopted = [self.port.adopt(each, BTC) for each in orders]


def test_a_strategy_hears_what_it_has_before_it_may_trade_and_once() -> None:
    rig = Restored(left_open())
    rig.port.gateway_status(GtwStatus.Connecting, "recovering")
    assert rig.strategy.names() == ["on_gateway_status"]
    rig.port.gateway_status(READY, "")
    rig.port.gateway_status(READY, "")
    names = rig.strategy.names()
    assert names[1:] == ["on_orders_info", "on_position_info", "on_gateway_status", "on_gateway_status"]
    ((_, orders),) = rig.strategy.of("on_orders_info")
    assert [each.get_client_id() for each in orders] == ["7"]
    ((_, number, position),) = rig.strategy.of("on_position_info")
    assert (number, position) == (BTC.number, BTC.qty_scale.values[-40])


def test_a_restored_order_can_be_filled_and_cancelled() -> None:
    rig = Restored(left_open())
    (order,) = rig.adopted
    rig.port.gateway_status(READY, "")
    rig.port.order_execution(order.wire_id, "E2", order.price, 50, order.leaves - 50, 0, "USDT", True, 0)
    assert order.filled == 150
    assert rig.strategy.of("on_order_execution")[0][1] == "7"
    rig.env.send_cancel_order(Exchange.Bybit, BTC, 7)
    rig.wait(2)
    assert rig.strategy.of("on_order_cancelled")[0][1] == "7"
    assert not rig.session.open


def test_a_restored_order_of_no_strategy_here_belongs_to_the_house() -> None:
    rig = Restored(left_open(strategy="gone"))
    rig.port.gateway_status(READY, "")
    assert rig.strategy.of("on_orders_info") == [(Exchange.Bybit, [])]
    rig.port.order_cancelled("mab121-7", True, 0, CancelCode.ByExchange, "")
    assert not rig.adopted[0].is_open
    assert not rig.strategy.of("on_order_cancelled")


def test_client_ids_of_restored_orders_are_not_given_out_again() -> None:
    first = str(10**12 + 1)
    rig = Restored(left_open(client_id=first), left_open("mab121-8", client_id=first))
    assert [each.client_id for each in rig.adopted] == [first, "mab121-8"]
    assert rig.env.send_new_order(None, Exchange.Bybit, BTC, Side.Buy, "100", "0.1") == 10**12 + 2


def test_strategies_on_one_account_hear_each_of_their_own() -> None:
    rig = Restored(left_open(), left_open("mab121-8", strategy="s1"), strategies=(Recorder(), Recorder()))
    rig.port.gateway_status(READY, "")
    told = [each.of("on_orders_info")[0][1] for each in rig.strategies]
    assert [len(each) for each in told] == [1, 1]


def test_an_order_in_steps_that_are_no_more_is_not_taken_over() -> None:
    fields = {name: getattr(BTC, name) for name in ("instrument_id", "exchange", "mlt_symbol", "exch_instr_id")}
    coarser = Perpetual(**fields, price_tick_rules="7", quantity_tick_rules="0.001")
    with pytest.raises(ChangedSteps, match="other price or quantity steps"):
        restored(left_open(), Rig().session, coarser)


# -- a store that writes later ---------------------------------------------------------------------------------------


class LaterStore(MemoryStore):
    """Writes what was handed in when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[tuple[tuple[Entry, ...], Any]] = []

    def submit(self, entries: Sequence[Entry], done: Any) -> None:
        self.waiting.append((tuple(entries), done))

    def write(self) -> None:
        waiting, self.waiting = self.waiting, []
        if not self.broken:
            self.entries += [each for entries, _ in waiting for each in entries]
        for _, done in waiting:
            done(self.broken)


class Later(Journalled):
    def __init__(self, *strategies: Any) -> None:
        super().__init__(*strategies)
        self.later = LaterStore()
        port = self.port
        self.stage = JournalStage(port, Exchange.Bybit, "main", self.clock, self.store, port.find, self.later)
        self.stage.gateway = self.gateway
        self.gateway.port = self.stage
        port.gateway = self.stage

    def asked(self) -> list[str]:
        return [each[0] for each in self.gateway.requests]


def test_requests_leave_when_they_are_safe_and_events_go_up_at_once() -> None:
    rig = Later()
    order = rig.buy()
    rig.wait(5)
    assert rig.asked() == []
    rig.later.write()
    assert rig.asked() == ["new"]
    rig.wait(2)
    assert order.state is OrderStatus.New
    rig.env.send_modify_order(Exchange.Bybit, 1, "101")
    assert rig.asked() == ["new"]
    rig.later.write()
    assert rig.asked() == ["new", "modify"]
    assert rig.later.kinds() == ["new", "ack", "modify"]


def test_a_cancel_waits_for_nothing_but_its_own_order() -> None:
    rig = Later()
    rig.buy(1)
    rig.later.write()
    rig.wait(2)
    rig.env.send_cancel_order(Exchange.Bybit, BTC, 1)
    assert rig.asked() == ["new", "cancel"]
    rig.buy(2)
    rig.env.send_cancel_order(Exchange.Bybit, BTC, 2)
    rig.buy(3)
    rig.env.send_cancel_all(Exchange.Bybit, BTC)
    assert rig.asked() == ["new", "cancel"]
    rig.later.write()
    assert rig.asked()[2:] == ["new", "cancel", "new", "cancel_all"]


def test_with_a_deferred_store_that_fails_orders_are_refused_and_cancels_go_out_until_it_works_again() -> None:
    rig = Later()
    rig.buy(1)
    rig.later.write()
    rig.wait(2)
    rig.later.broken = "no room"
    rig.buy(2)
    rig.env.send_modify_order(Exchange.Bybit, 1, "101")
    rig.later.write()
    rig.wait(2)
    assert "no room" in rig.strategy.of("on_new_order_reject")[0][3]
    assert "no room" in rig.strategy.of("on_modify_order_reject")[0][3]
    assert rig.strategy.of("on_gateway_status")[-1][1] is GtwStatus.Maintenance
    rig.env.send_cancel_order(Exchange.Bybit, BTC, 1)
    assert rig.asked() == ["new", "cancel"]
    rig.later.broken = ""
    rig.wait(1100)
    rig.later.write()
    rig.wait(2)
    assert rig.stage.failure == ""
    assert rig.strategy.of("on_gateway_status")[-1][1] is READY
