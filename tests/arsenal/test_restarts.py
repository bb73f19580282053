"""Live: strategies and signals on a local exchange, killed, stopped and begun anew in the middle of what they do. Nothing
is doubled, and what protects a position still belongs to it."""

from pathlib import Path

import pytest

from mlthon.basics.defs import Side
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
@pytest.mark.parametrize("end", ["kill", "stop"])
@pytest.mark.parametrize("move", [AWAY + 10, -AWAY - 10])
def test_a_restart_in_the_middle_of_a_position(venue: str, end: str, move: int, tmp_path: Path) -> None:
    world = World(venue, tmp_path, FUNDS)
    with world.running(PROTECTED) as first:
        world.until(lambda: len(world.open) == 2, 90)
        world.play(5)
        lots = world.held
        placed = protection(world)
        assert placed == [("Stop", lots, -AWAY), ("TakeProfit", lots, AWAY)]
        if end == "kill":
            first.kill()
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
