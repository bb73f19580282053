"""A strategy in the older form of the API runs unchanged: on real recordings and on the synthetic market."""

from pathlib import Path
from typing import Any

import pytest

from mlthon.backtest.loader import load_strategy
from mlthon.config import RunConfig, StrategyConfig
from mlthon.data.sources import open_sources
from mlthon.engine.clock import SECOND
from mlthon.errors import UserError
from tests.backtest.play import Played, configured, play

FILE = Path(__file__).parent / "strategies/old_form.py"


def run(sources: Any, config: RunConfig, exchange: str, **more: Any) -> Played:
    strategy = StrategyConfig(strategy=f"{FILE}:OldForm", params={"exchange": exchange})
    return play({"old": strategy}, sources, config, **more)


def check(played: Played) -> None:
    (session,) = played.run.assembly.engine.sessions.values()
    strategy = session.strategy
    assert played.result.fills > 0
    assert strategy.fills == played.result.fills
    held = sum(each.position for each in played.result.holdings) / 1e18
    assert strategy.position == pytest.approx(held, abs=1e-9)
    assert strategy.gone > 0
    assert strategy.orders.get_num_open_orders() == 0
    assert played.result.errors == 1, "the one callback that raises, and nothing else"
    assert strategy.negated
    assert all(each < 0 for each in strategy.negated)
    assert strategy.ticks > 5
    assert not session.open


def test_the_older_form_trades_on_the_synthetic_market() -> None:
    check(run(None, configured(), "Bybit", duration=60 * SECOND))


@pytest.mark.parametrize("name", ["btcusdt_20230404.dat.gz", "btcusdt_20240718.gz"])
def test_the_older_form_trades_on_recordings(shared: Path, name: str) -> None:
    sources, problems = open_sources([shared / "exchange-data/binance-usdm/hftbacktest" / name])
    assert not problems
    check(run(list(sources), RunConfig(), "BinanceUsdm", duration=60 * SECOND))


def test_its_hook_is_given_what_was_typed() -> None:
    played = run(None, configured(), "Bybit", duration=SECOND)
    (session,) = played.run.assembly.engine.sessions.values()
    assert session.command("close", ["too", "late"])
    assert session.strategy.typed == " reason:too late"


def test_the_vendors_name_of_the_demo_strategy() -> None:
    from demo_strat import DemoStrat
    from mlthon.strats.demo_strat import DemoStrat as Vendors

    assert Vendors is DemoStrat
    assert load_strategy("mlthon.strats.demo_strat:DemoStrat") is DemoStrat
    assert load_strategy("mlthon.strats.demo_strat") is DemoStrat


def test_a_class_that_is_no_strategy_at_all_is_refused() -> None:
    with pytest.raises(UserError, match="Path"):
        load_strategy(f"{__file__}:Path")
