"""Take-profit and stop-loss orders belong to the position and go when it goes; long and short stand side by side."""

import json
from pathlib import Path
from typing import Any

import pytest

from mlthon.arsenal.orders import Purpose
from mlthon.basics.defs import CancelCode, GtwRejectCode, Side
from mlthon.data.rows import Kind
from mlthon.engine.state import MemoryState
from tests.arsenal.kit import Played, minutes, play, settings

FREE = {"Bybit": settings()}
OPEN = {"action": "openLong", "fixed": "2", "profit": "110", "loss": "90"}


def played(prices: list[float], folder: Path, signals: dict[float, dict[str, Any]], **more: Any) -> Played:
    return play(None, minutes(prices), folder, exchanges=FREE, signals=signals, **more)


def protecting(run: Played) -> list[tuple[Any, ...]]:
    return [order for order in run.orders if order[2] in ("TakeProfit", "Stop")]


def at(second: float, told: list[Any]) -> dict[float, Any]:
    """Looks at what protects the position at this second."""

    def look(trader: Any) -> None:
        opened = trader.tickets.open()
        told.append([(each.purpose, each.leaves) for each in opened if each.purpose is not Purpose.WISH])

    return {second: look}


def test_an_open_is_protected_for_what_it_filled(tmp_path: Path) -> None:
    told: list[Any] = []
    run = played([100.0] * 4, tmp_path, {90: OPEN}, calls=at(100, told))
    assert protecting(run) == [(1, "sell", "TakeProfit", 2.0, 110.0), (1, "sell", "Stop", 2.0, 90.0)]
    assert told == [[(Purpose.PROFIT, 2000), (Purpose.LOSS, 2000)]]


@pytest.mark.parametrize(("price", "kind"), [(111.0, Purpose.LOSS), (89.0, Purpose.PROFIT)])
def test_when_one_is_carried_out_the_other_goes(tmp_path: Path, price: float, kind: Purpose) -> None:
    told: list[Any] = []
    run = played([100.0, 100.0, price, price, price], tmp_path, {90: OPEN}, calls=at(170, told))
    held = run.trader.holdings[run.trader.pairs[0]]
    assert held.net == 0
    assert told == [[]]
    assert [fill[1] for fill in run.flow.fills] == [2.0, -2.0]
    assert len(run.orders) == 3
    assert kind not in [each.purpose for each in run.trader.tickets]


def test_both_go_when_the_position_is_closed(tmp_path: Path) -> None:
    told: list[Any] = []
    signals = {90.0: OPEN, 150.0: {"action": "closeLong"}}
    run = played([100.0] * 4 + [120.0, 80.0, 80.0], tmp_path, signals, calls=at(160, told))
    assert told == [[]]
    assert run.trader.holdings[run.trader.pairs[0]].net == 0
    assert [fill[1] for fill in run.flow.fills] == [2.0, -2.0]


def test_a_smaller_position_is_protected_for_less(tmp_path: Path) -> None:
    told: list[Any] = []
    signals = {90.0: OPEN, 150.0: {"action": "closeLong", "fixed": "0.5"}}
    run = played([100.0] * 4 + [111.0] * 3, tmp_path, signals, calls=at(160, told))
    assert told == [[(Purpose.PROFIT, 1500), (Purpose.LOSS, 1500)]]
    assert [fill[1] for fill in run.flow.fills] == [2.0, -0.5, -1.5]
    assert run.trader.holdings[run.trader.pairs[0]].net == 0


def test_cancel_all_leaves_what_protects(tmp_path: Path) -> None:
    told: list[Any] = []
    signals = {90.0: OPEN, 100.0: {"action": "openLong", "fixed": "1", "limit": "95"}, 150.0: {"action": "cancelAll"}}
    run = played([100.0] * 4, tmp_path, signals, calls=at(160, told))
    assert told == [[(Purpose.PROFIT, 2000), (Purpose.LOSS, 2000)]]
    assert run.said("1 orders are being cancelled")


def test_a_price_that_has_been_passed_closes_at_market(tmp_path: Path) -> None:
    signals = {90.0: {"action": "openLong", "fixed": "2", "loss": "105"}}
    run = played([100.0] * 4, tmp_path, signals)
    assert run.said("the price of the loss order has been passed: closed at market")
    assert [fill[1] for fill in run.flow.fills] == [2.0, -2.0]
    assert run.trader.holdings[run.trader.pairs[0]].net == 0


def test_what_the_exchange_cancels_comes_back(tmp_path: Path) -> None:
    told: list[Any] = []

    def lose(trader: Any) -> None:
        """As an exchange does when a connection is lost."""
        (port,) = trader.session.ports.values()
        port.gateway.disconnect("lost")
        port.gateway.reconnect()

    calls = {150.0: lose} | at(170, told)
    run = played([100.0] * 5, tmp_path, {90: OPEN}, calls=calls)
    assert told == [[(Purpose.PROFIT, 2000), (Purpose.LOSS, 2000)]]
    assert len(protecting(run)) == 4


def test_long_and_short_stand_side_by_side_where_the_exchange_nets(tmp_path: Path) -> None:
    code = """
    class Strategy(StrategyBase):
        def __init__(self):
            self.period = 60
            self.seen = []
            self.calls = ['open_long', 'open_short', 'close_long', 'close_short']
            self.amounts = [3, 5, 3, 5]
        def trade(self, candles):
            sides = CA.PositionSide.LONG, CA.PositionSide.SHORT
            self.seen.append([p and (p.total_size, p.entry_price)
                              for p in (CA.get_position('Bybit', 'BTC-USDT', side) for side in sides)])
            if self.calls:
                CA.place_order(action=self.calls.pop(0), amount=self.amounts.pop(0))
    """
    run = play(code, minutes([100.0, 102.0, 104.0, 106.0, 108.0, 108.0]), tmp_path, exchanges=FREE)
    assert run.trader.user.seen == [
        [None, None],
        [(3.0, 100.1), None],
        [(3.0, 100.1), (5.0, 102.0)],
        [None, (5.0, 102.0)],
        [None, None],
    ]
    assert [fill[1] for fill in run.flow.fills] == [3.0, -5.0, -3.0, 5.0]
    earned = 3 * (104.0 - 100.1) + 5 * (102.0 - 106.1)
    assert run.result.pnl == {"USDT": round(earned * 10) * 10**17}


def test_what_the_exchange_holds_is_taken_over_at_the_start(tmp_path: Path) -> None:
    state = MemoryState()
    state.put("held/Bybit/BTC-USDT", '[2000, "200000000000000000000", 0, "0"]')
    run = played([100.0] * 4, tmp_path, {130: {"action": "closeLong"}}, state=state)
    assert run.said("the exchange holds 0 lots where our fills add up to 2000")
    assert run.orders == []
    assert run.said("there is no long position in BTC-USDT to close")


@pytest.mark.parametrize("held", [True, False])
def test_the_next_run_protects_what_a_stop_left_unprotected(tmp_path: Path, held: bool) -> None:
    state = MemoryState()
    played([100.0] * 3, tmp_path, {90: OPEN}, state=state)
    assert [json.loads(text)["purpose"] for _, text in state.items("order/")] == ["profit", "loss"]

    def hold(trader: Any) -> None:
        """The account has the position, as a live one would."""
        (pair,), (port,) = trader.pairs, trader.session.ports.values()
        exchange, account = port.gateway._exchange, port.gateway.ledger
        stake = exchange.stake(account, exchange.market(pair.instrument))
        stake.position.trade(2000, pair.contract.unit_value(1001))

    told: list[Any] = []
    calls = at(30, told) | ({0.0: hold} if held else {})
    again = played([100.0] * 3, tmp_path, {}, state=state, calls=calls)
    assert told == [[(Purpose.PROFIT, 2000), (Purpose.LOSS, 2000)] if held else []]
    assert len(protecting(again)) == (2 if held else 0)


LIMIT = {"action": "openLong", "fixed": "2", "limit": "99", "profit": "110", "loss": "90", "clientOrderId": "mine"}


def in_parts() -> Any:
    """A market that sells 0.5 and then 0.3 into a bid at 99, and later the rest."""
    tape = minutes([100.0] * 5)
    for ms, lots in ((100_000, 500), (100_200, 300), (130_000, 700)):
        tape.trade(ms, 990, lots, -1)
    tape.rows[Kind.TRADE].sort()
    return tape


def test_what_a_limit_order_has_filled_is_protected_while_it_is_open(tmp_path: Path) -> None:
    told: list[Any] = []
    calls = at(100.5, told) | at(110, told) | at(135, told) | at(200, told)
    signals = {90.0: LIMIT, 150.0: {"action": "cancel", "clientOrderId": "mine"}}
    run = play(None, in_parts(), tmp_path, exchanges=FREE, signals=signals, calls=calls)
    assert [fill[1] for fill in run.flow.fills] == [0.5, 0.3, 0.7]
    both = [(Purpose.PROFIT, 800), (Purpose.LOSS, 800)], [(Purpose.PROFIT, 1500), (Purpose.LOSS, 1500)]
    assert told == [[], both[0], both[1], both[1]]
    assert len(protecting(run)) == 4


def kept(folder: Path, signals: dict[float, dict[str, Any]], second: float) -> MemoryState:
    """What a run has kept that is killed at this second."""
    state = MemoryState()

    def copy(trader: Any) -> None:
        for key, value in trader.state.items(""):
            state.put(key, value)

    play(None, in_parts(), folder, exchanges=FREE, signals=signals, calls={second: copy})
    return state


def filled_meanwhile(lots: int, left: int) -> dict[float, Any]:
    """The order was filled while nothing ran: the account holds it, and the gateway tells of it."""

    def tell(trader: Any) -> None:
        (pair,), (port,) = trader.pairs, trader.session.ports.values()
        exchange, account = port.gateway._exchange, port.gateway.ledger
        stake = exchange.stake(account, exchange.market(pair.instrument))
        stake.position.trade(2000 - left, pair.contract.unit_value(990))
        quantities, price = pair.instrument.qty_scale.values, pair.instrument.price_scale.values[990]
        venue = pair.instrument.venue
        trader.on_order_execution(venue, "mine", Side.Buy, price, quantities[lots], quantities[left], 0, 0)
        if left:
            trader.on_order_cancelled(venue, "mine", True, 0, 0, CancelCode.Unset, "expired")

    return {0.0: tell}


def test_an_order_that_is_filled_while_nothing_runs_is_protected_by_the_next_run(tmp_path: Path) -> None:
    state = kept(tmp_path, {90.0: LIMIT}, 110)
    told: list[Any] = []
    run = played([100.0] * 3, tmp_path, {}, state=state, calls=filled_meanwhile(1200, 0) | at(30, told))
    covered = {purpose: sum(lots for which, lots in told[0] if which is purpose) for purpose, _ in told[0]}
    assert covered == {Purpose.PROFIT: 2000, Purpose.LOSS: 2000}
    assert not run.said("the exchange holds")
    assert not run.said("not ours")


@pytest.mark.parametrize("left", [0, 200])
def test_its_children_too_are_placed_by_the_next_run(tmp_path: Path, left: int) -> None:
    code = """
    class Strategy(StrategyBase):
        def __init__(self):
            self.period = 60
            self.told = []
        def trade(self, candles):
            if not CA.get_orders() and not self.told:
                CA.place_order(action='open_long', amount=2, limit=99, client_order_id='mine',
                               conditional_order_type='OTO',
                               child_conditional_orders=[{'action': 'close_long', 'percent': 50, 'limit': 120}])
        def on_order_state_change(self, order):
            self.told.append((order.client_order_id, str(order.status)))
    """
    state = MemoryState()

    def copy(trader: Any) -> None:
        for key, value in trader.state.items(""):
            state.put(key, value)

    play(code, in_parts(), tmp_path, exchanges=FREE, calls={110: copy})
    run = play(
        code, minutes([100.0] * 3), tmp_path, exchanges=FREE, state=state, calls=filled_meanwhile(1200 - left, left)
    )
    children = [order for order in run.orders if order[4] == 120.0]
    assert children == ([] if left else [(0, "sell", "Limit", 1.0, 120.0)])
    assert run.trader.user.told[0] == ("mine", "FILLED" if not left else "PARTIALLY_FILLED")


def test_an_order_of_which_nothing_is_known_any_more_is_told_of(tmp_path: Path) -> None:
    run = played([100.0] * 3, tmp_path, {}, state=kept(tmp_path, {90.0: LIMIT}, 110))
    assert run.said("what became of order mine of an earlier run is not known")


def test_a_position_that_is_closed_by_hand_takes_its_orders_along(tmp_path: Path) -> None:
    """Beside orders that protect it the difference is believed when it lasts."""
    told: list[Any] = []

    def close(trader: Any) -> None:
        (pair,), (port,) = trader.pairs, trader.session.ports.values()
        exchange, account = port.gateway._exchange, port.gateway.ledger
        stake = exchange.stake(account, exchange.market(pair.instrument))
        stake.position.trade(-2000, pair.contract.unit_value(1000))
        trader.look()

    calls = {100.0: close} | at(102, told) | at(110, told)
    run = played([100.0] * 4, tmp_path, {90: OPEN}, calls=calls)
    assert told == [[(Purpose.PROFIT, 2000), (Purpose.LOSS, 2000)], []]
    assert run.said("the exchange holds 0 lots where our fills add up to 2000")


def test_protection_comes_back_when_the_strategy_is_started_again(tmp_path: Path) -> None:
    """After too many errors a session cancels everything."""
    told: list[Any] = []

    def stop(trader: Any) -> None:
        trader.session.stop()
        trader.session.cancel_open_orders()

    calls = {100.0: stop, 110.0: lambda trader: trader.session.start()} | at(105, told) | at(120, told)
    played([100.0] * 4, tmp_path, {90: OPEN}, calls=calls)
    assert told == [[], [(Purpose.PROFIT, 2000), (Purpose.LOSS, 2000)]]


def test_a_cancel_that_is_refused_is_asked_for_again(tmp_path: Path) -> None:
    told: list[Any] = []

    def refuse(trader: Any) -> None:
        """As an exchange does whose rate limit is used up."""
        real = trader.env

        class Once:
            def __getattr__(self, name: str) -> Any:
                return getattr(real, name)

            def send_cancel_order(self, exchange: Any, number: int, client_id: str) -> None:
                trader.env = real
                code = GtwRejectCode.RateLimited
                trader.session.clock.call_soon(trader.on_cancel_order_reject, exchange, client_id, code, "too many")

        trader.env = Once()

    calls = {145.0: refuse} | at(160, told)
    run = played([100.0] * 4, tmp_path, {90: OPEN, 150.0: {"action": "closeLong"}}, calls=calls)
    assert run.said("was refused: too many")
    assert told == [[]]


def test_a_strategy_is_not_told_of_protection_that_is_made_greater(tmp_path: Path) -> None:
    code = """
    class Strategy(StrategyBase):
        def __init__(self):
            self.period = 60
            self.told = []
        def trade(self, candles):
            if not self.told:
                CA.place_order(action='open_long', amount=2, limit=99, profit=110)
        def on_order_state_change(self, order):
            self.told.append((order.type, str(order.status), order.amount_filled))
    """
    run = play(code, in_parts(), tmp_path, exchanges=FREE)
    assert len(protecting(run)) == 2
    assert run.trader.user.told == [
        ("LIMIT", "NEW", 0.0),
        ("LIMIT", "PARTIALLY_FILLED", 0.5),
        ("LIMIT", "PARTIALLY_FILLED", 0.8),
        ("LIMIT", "PARTIALLY_FILLED", 1.5),
    ]
