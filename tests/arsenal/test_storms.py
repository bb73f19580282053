"""Live over a network that fails, with programs that are killed: when it is calm again, the strategy's books are the
exchange's, and nothing protects more than there is."""

from pathlib import Path
from random import Random

import pytest

from mlthon.arsenal.orders import Purpose
from mlthon.engine.clock import SECOND
from tests.arsenal.world import Program, World

CODE = """
import random
class Strategy(StrategyBase):
    def __init__(self):
        self.period = 60
        self.subscribed_books = {}
        self.options = {}
        self.draw = random.Random(self['seed'] + str(CA.storage('turns')))
    def trade(self, candles):
        turn = CA.storage('turns') or 0
        CA.storage('turns', turn + 1)
        exchange, pair, base, quote = CA.get_exchange_pair()
        close = candles[exchange][pair][0]['close']
        draw = self.draw
        for _ in range(draw.randint(1, 2) if turn < 8 else 0):
            side = draw.choice(['long', 'short'])
            away = 1 if side == 'long' else -1
            what = draw.random()
            if what < 0.5:
                CA.place_order(exchange, pair, 'open_' + side, draw.choice([None, close - away * 0.5]),
                               draw.randint(10, 40) / 1000, profit=close + away * draw.randint(30, 400),
                               loss=close - away * draw.randint(30, 400))
            elif what < 0.8:
                CA.place_order(exchange, pair, 'close_' + side, percent=draw.choice([50, 100]),
                               conditional_order_type='OTO', child_conditional_orders=[
                                   {'action': 'open_' + side, 'amount': 0.01, 'loss': close - away * 100}])
            else:
                CA.cancel_all()
"""


def drift(world: World, rng: Random) -> None:
    """The price wanders."""
    world.bid += rng.choice((-200, -60, -20, 0, 20, 60, 200))
    world.clock.call_at(world.clock.now + rng.randint(2, 8) * SECOND, drift, world, rng)


@pytest.mark.slow
@pytest.mark.parametrize("venue", ["bybit", "bybit-websocket", "binance-usdm"])
@pytest.mark.parametrize("seed", range(4))
def test_the_books_agree_when_it_is_calm_again(venue: str, seed: int, tmp_path: Path) -> None:
    world = World(venue, tmp_path, {"USDT": 1_000_000.0})
    rng = Random(seed)
    drift(world, rng)
    for life in range(2):
        with world.running(CODE, params={"seed": seed}, storm=f"{seed} {life}") as program:
            world.play(rng.uniform(50, 200))
            program.kill()
    with world.running(CODE, params={"seed": seed}, storm=f"{seed} last") as last:
        world.play(420)
        last.network.be_calm()
        world.play(180)
        assert_books_agree(world, last)
    assert len(world.fills) > 1
    assert len({each.client_id for each in world.orders}) == len(world.orders)


def assert_books_agree(world: World, program: Program) -> None:
    trader = program.trader
    (pair,) = trader.pairs
    held = trader.holdings[pair]
    assert held.net == world.held
    assert sorted(each.leaves for each in trader.tickets.open()) == sorted(each.leaves for each in world.open)
    for leg in (1, -1):
        for purpose in (Purpose.PROFIT, Purpose.LOSS):
            mine = [each for each in trader.tickets.open() if each.purpose is purpose and each.action.leg == leg]
            assert sum(each.leaves for each in mine) <= held.lots(leg)
