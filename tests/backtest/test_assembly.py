"""What a run is put together from."""

from mlthon.basics.defs import Exchange
from tests.backtest.play import BTC, ETH, Script, configured, play, source, still


def test_rows_of_instruments_that_the_configuration_leaves_out_go_nowhere() -> None:
    script = Script({1000: lambda each: each.env.subscribe_to_market_data(Exchange.Bybit, [ETH], ["BBO"])})
    config = configured(exchange={"instruments": ["byt:perp:btc-usdt"]})
    play(script, source(still(3000), still(3000, instrument=ETH, bid=500, ask=501)), config)
    heard = {call[1] for call in script.of("on_best_bid_level_update", "on_best_levels_update")}
    assert heard <= {BTC.number}
    assert [each.number for each in script.of("on_instruments")[0][0]] == [BTC.number]
