"""Live: strategies and signals on a local exchange, killed, stopped and begun anew in the middle of what they do.
Nothing is doubled, and what protects a position still belongs to it."""

from pathlib import Path

import pytest

from mlthon.basics.defs import Side
from mlthon.engine.clock import MS, SECOND
from mlthon.errors import UserError
from tests.arsenal.kit import MINUTE
from tests.arsenal.world import World

FUNDS = {"USDT": 100_000.0}
FUTURES = pytest.mark.parametrize("venue", ["bybit", "bybit-websocket", "binance-usdm"])
HEAD = """
class Strategy(StrategyBase):
    def __init__(self):
        self.period = 60
        self.subscribed_books = {}
        self.options = {}
        self.seen = []
        CA.storage('lives', (CA.storage('lives') or 0) + 1)
    def on_order_state_change(self, order):
        self.seen.append((order.action, order.type.name, order.status.name, order.amount_filled))
    def trade(self, candles):
        turn = CA.storage('turns') or 0
        CA.storage('turns', turn + 1)
        exchange, pair, base, quote = CA.get_exchange_pair()
        close = candles[exchange][pair][0]['close']
"""
PROTECTED = (
    HEAD
    + """
        if turn == 0:
            CA.place_order(exchange, pair, 'open_long', amount=0.02, profit=close + 500, loss=close - 500)
"""
)
AWAY = 5000
"""The ticks of 500 USDT."""


def protection(world: World) -> list[tuple[str, int, int]]:
    """What is open at the exchange: type, quantity (lots) and by how many ticks away it is triggered."""
    return sorted((each.order_type.name, each.leaves, (each.stop_price or 0) - world.venue.mid) for each in world.open)


@FUTURES
@pytest.mark.parametrize("end", ["kill", "kill and guard", "stop"])
@pytest.mark.parametrize("move", [AWAY + 10, -AWAY - 10])
def test_a_restart_in_the_middle_of_a_position(venue: str, end: str, move: int, tmp_path: Path) -> None:
    world = World(venue, tmp_path, FUNDS)
    with world.running(PROTECTED) as first:
        world.until(lambda: len(world.open) == 2, 90)
        world.play(5)
        lots = world.held
        placed = protection(world)
        assert placed == [("Stop", lots, -AWAY), ("TakeProfit", lots, AWAY)]
        if end != "stop":
            first.kill()
        if end == "kill and guard":
            for each in world.open:
                world.account.cancel(each)
            world.play(1)
    assert world.held == lots
    assert protection(world) == (placed if end == "kill" else [])
    world.play(20)
    with world.running(PROTECTED) as second:
        world.play(130)
        assert protection(world) == placed
        assert world.held == lots
        assert second.trader.state.get("storage/lives") == "2"
        assert int(second.trader.state.get("storage/turns")) > 1
        world.bid += move
        world.play(5)
        assert (world.held, world.open) == (0, [])
    assert world.fills == [(Side.Buy, lots), (Side.Sell, lots)]


ONE_AFTER_THE_OTHER = (
    HEAD
    + """
        if turn == 0:
            CA.place_order(exchange, pair, 'open_long', amount=0.02)
        elif turn == 1:
            CA.place_order(exchange, pair, 'close_long', conditional_order_type='OTO',
                           child_conditional_orders=[{'action': 'open_short', 'amount': 0.01, 'loss': close + 500}])
"""
)


@pytest.mark.parametrize(
    ("venue", "after_ms"), [("bybit", ms) for ms in range(0, 480, 40)] + [("binance-usdm", ms) for ms in (90, 180, 270)]
)
def test_a_kill_at_any_moment_of_parent_and_child(venue: str, after_ms: int, tmp_path: Path) -> None:
    world = World(venue, tmp_path, FUNDS)
    with world.running(ONE_AFTER_THE_OTHER) as first:
        world.until(lambda: world.held == 20, 90)
        world.play((-world.clock.now % MINUTE + after_ms * MS) / SECOND)
        first.kill()
    world.play(7)
    with world.running(ONE_AFTER_THE_OTHER):
        world.play(90)
        assert world.fills == [(Side.Buy, 20), (Side.Sell, 20), (Side.Sell, 10)]
        assert world.held == -10
        assert protection(world) == [("Stop", 10, AWAY)]


@pytest.mark.parametrize(
    ("venue", "after_ms"),
    [("bybit", ms) for ms in range(60, 360, 30)] + [("binance-usdm", ms) for ms in (90, 180, 270)],
)
def test_a_kill_at_any_moment_of_an_open_and_its_protection(venue: str, after_ms: int, tmp_path: Path) -> None:
    world = World(venue, tmp_path, FUNDS)
    with world.running(PROTECTED) as first:
        world.play((-world.clock.now % MINUTE + after_ms * MS) / SECOND)
        first.kill()
    world.play(7)
    with world.running(PROTECTED):
        world.play(90)
        assert world.fills == [(Side.Buy, 20)]
        assert protection(world) == [("Stop", 20, -AWAY), ("TakeProfit", 20, AWAY)]


BOTH_SIDES = (
    HEAD
    + """
        if turn == 0:
            CA.place_order(exchange, pair, 'open_long', amount=0.03, profit=close + 500)
            CA.place_order(exchange, pair, 'open_short', amount=0.05, loss=close + 1000)
        self.sizes = [CA.get_position(exchange, pair, side).total_size for side in CA.PositionSide] if turn else None
"""
)


@FUTURES
def test_long_and_short_with_their_orders_go_on(venue: str, tmp_path: Path) -> None:
    world = World(venue, tmp_path, FUNDS)
    with world.running(BOTH_SIDES) as first:
        world.until(lambda: len(world.open) == 2, 90)
        first.kill()
    with world.running(BOTH_SIDES) as second:
        world.play(65)
        assert second.trader.user.sizes == [0.03, 0.05]
        assert protection(world) == [("Stop", 50, 2 * AWAY), ("TakeProfit", 30, AWAY)]
        world.bid += AWAY + 10
        world.play(5)
        assert (world.held, protection(world)) == (-50, [("Stop", 50, 2 * AWAY)])
        world.bid += AWAY
        world.play(5)
        assert (world.held, world.open) == (0, [])
    filled = [qty for _, qty in world.fills]
    assert (sorted(filled[:2]), filled[2:]) == ([30, 50], [30, 50])


@FUTURES
def test_what_is_closed_by_hand_while_nothing_runs_takes_its_orders_along(venue: str, tmp_path: Path) -> None:
    world = World(venue, tmp_path, FUNDS)
    with world.running(PROTECTED) as first:
        world.until(lambda: len(world.open) == 2, 90)
        first.kill()
    world.by_hand(-world.held)
    with world.running(PROTECTED) as second:
        world.play(10)
        assert (world.held, world.open) == (0, [])
        assert second.said("which is not ours: Sell 0.02")


@FUTURES
def test_a_delayed_signal_is_carried_out_once_over_restarts(venue: str, tmp_path: Path) -> None:
    signal = {"action": "openShort", "fixed": "0.02", "delaySeconds": 60, "loss": str(65_500), "clientOrderId": "mine"}
    world = World(venue, tmp_path, FUNDS)
    with world.running(None) as first:
        world.play(1)
        first.trader.take(signal)
        world.play(10)
        first.kill()
    world.play(10)
    with world.running(None):
        world.play(10)
        assert world.orders == []
    world.play(5)
    with world.running(None) as third:
        world.play(60)
        assert (world.held, protection(world)) == (-20, [("Stop", 20, AWAY)])
        with pytest.raises(UserError, match="mine was used before"):
            third.trader.take(signal)
        third.kill()
    with world.running(None) as fourth:
        world.play(90)
        assert (world.held, protection(world)) == (-20, [("Stop", 20, AWAY)])
        fourth.trader.take({"action": "closeShort"})
        world.play(2)
        assert (world.held, world.open) == (0, [])
    assert len(world.fills) == 2


def test_an_open_order_on_spot_is_gone_on_with(tmp_path: Path) -> None:
    code = (
        HEAD
        + """
        if turn == 0:
            CA.place_order(exchange, pair, 'buy', limit=close - 100, amount=0.01, client_order_id='first')
        self.orders = [(o.client_order_id, o.status.name, o.amount) for o in CA.get_orders(CA.OrderStatus.NEW)]
"""
    )
    world = World("binance", tmp_path, {"USDT": 10_000.0, "BTC": 0.5})
    held = world.held
    with world.running(code) as first:
        world.until(lambda: world.open, 90)
        first.kill()
    with world.running(code) as second:
        world.play(70)
        assert second.trader.user.orders == [("first", "NEW", 0.01)]
        world.bid -= 10_500
        world.play(3)
        assert world.held == held + 1000
        assert second.trader.user.seen[-1] == ("buy", "LIMIT", "FILLED", 0.01)
    assert len(world.orders) == 1
