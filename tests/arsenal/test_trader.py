"""A trader's account: what happens to it that nobody here ordered."""

from pathlib import Path
from typing import Any

from mlthon.arsenal.orders import Purpose
from mlthon.exchange.config import MarginConfig
from tests.arsenal.kit import BTC, Played, minutes, play, settings
from tests.backtest.play import ETH, source

PAIRS = ["bybit:BTC-USDT", "bybit:ETH-USDT"]
BOTH = """
class Strategy(StrategyBase):
    def __init__(self):
        self.period = 60
        self.seen = []
    def trade(self, candles):
        if not self.seen:
            CA.place_order('Bybit', 'BTC-USDT', 'open_long', amount=150, loss=20, profit=500)
            CA.place_order('Bybit', 'ETH-USDT', 'open_short', amount=100, loss=500, profit=20)
        self.seen.append([p and (p.position_side, p.total_size) for p in (
            CA.get_position('Bybit', 'BTC-USDT', 'LONG'), CA.get_position('Bybit', 'ETH-USDT', 'SHORT'))])
"""
HELD = [("LONG", 150.0), ("SHORT", 100.0)]


def both(folder: Path, prices: list[float], **more: Any) -> Played:
    data = source(minutes(prices, BTC), minutes([100.0] * len(prices), ETH))
    exchange = settings(margin=MarginConfig(leverage=5), balances={"USDT": 6_000.0})
    return play(BOTH, data, folder, exchanges={"Bybit": exchange}, pairs=PAIRS, params={"leverage": 5}, **more)


def protected(trader: Any) -> list[tuple[str, Purpose]]:
    return [(each.pair.base, each.purpose) for each in trader.tickets.open()]


def test_a_liquidation_of_several_pairs_is_of_each_what_it_was(tmp_path: Path) -> None:
    told: list[Any] = []

    def look(trader: Any) -> None:
        told.append(([trader.holdings[pair].net for pair in trader.pairs], protected(trader)))

    played = both(tmp_path, [100.0, 100.0, 90.0, 50.0, 50.0], calls={179: look, 181: look})
    assert played.trader.user.seen[1] == HELD
    assert told[0][0] == [150_000, -10_000]
    assert told[1] == ([0, 0], [])
    assert played.said("which is not ours: Sell 150")
    assert played.said("which is not ours: Buy 100")
    assert not played.said("taken as the exchange says")


def test_one_pair_of_several_is_liquidated_and_the_other_keeps_its_orders(tmp_path: Path) -> None:
    told: list[Any] = []

    def liquidate(trader: Any) -> None:
        """As an exchange tells of it that liquidates positions one by one."""
        pair, (port,) = trader.pairs[0], trader.session.ports.values()
        exchange, account = port.gateway._exchange, port.gateway.ledger
        stake = exchange.stake(account, exchange.market(pair.instrument))
        stake.position.trade(-150_000, pair.contract.unit_value(1000))
        port.foreign_order("theirs", pair.instrument, -1, 150_000, "liquidation")
        port.order_execution("theirs", "their-fill", 1000, 150_000, 0, 0, "USDT", False, trader.now)

    calls = {130.0: liquidate, 132.0: lambda trader: told.append(protected(trader))}
    played = both(tmp_path, [100.0] * 4, calls=calls)
    assert played.trader.user.seen[1:] == [HELD, [None, HELD[1]]]
    assert told == [[("ETH", Purpose.PROFIT), ("ETH", Purpose.LOSS)]]
    assert not played.said("taken as the exchange says")
