"""A bot's symbols traded as another exchange's equivalent contracts."""

from pathlib import Path
from typing import Any

import pytest

from mlthon.errors import UserError
from tests.link.host.scripted import ScriptedBot, linked

INVERSE = ['venues.BitMEX.src="bitmex"', 'venues.BitMEX.trade_on="bybit"', 'venues.BitMEX.symbols={XBTUSD="BTCUSD"}']
LINEAR = ['venues.BitMEX.src="bitmex"', 'venues.BitMEX.trade_on="bybit"', 'venues.BitMEX.symbols={XBTUSDT="BTCUSDT"}']


def test_an_inverse_contract_is_traded_one_to_one(tmp_path: Path) -> None:
    def buy(bot: ScriptedBot) -> None:
        bot.ask("create_market_order", look, venue="BitMEX", sym="XBTUSD", side="Buy", size=100)

    def look(answer: Any) -> None:
        bot.ask("fetch_positions", venue="BitMEX")
        bot.ask("fetch_candles", venue="BitMEX", sym="XBTUSD")

    run = linked(tmp_path, settings=INVERSE)
    bot = run.bot
    assert run.linked.bots.told[-1] == (
        "BitMEX: bitmex XBTUSD is traded on Bybit as BTCUSD: size 1 is 1 there, lot 100 becomes 1, tick 0.5 becomes 0.5"
    )
    run.go(buy)
    assert bot.hello is not None
    assert bot.hello.markets == [("bitmex", "XBTUSD")]
    assert bot.envelopes[1]["src"] == "bitmex"
    assert bot.envelopes[2]["data"][0]["pos_size"] == 100.0
    assert [(each["sym"]) for each in bot.envelopes[2]["data"]] == ["XBTUSD"]
    assert len(bot.envelopes[3]["data"]) == 1000
    assert run.linked.run.assembly.exchanges.keys() == {bot.host.venues["BitMEX"].exchange}


def test_sizes_of_a_linear_contract_are_converted(tmp_path: Path) -> None:
    run = linked(tmp_path, settings=LINEAR)
    bot = run.bot
    run.go(lambda bot: bot.ask("create_market_order", venue="BitMEX", sym="XBTUSDT", side="Buy", size=2000))
    # a contract of XBTUSDT is 0.000001 XBT, a lot of BTCUSDT 0.001 BTC
    assert bot.envelopes[1]["data"]["order_size"] == 2000.0
    (fill,) = bot.private("fill_update")
    assert fill["fill_size"] == 2000.0
    venue = bot.host.venues["BitMEX"]
    (order,) = [each for each in venue.session.orders.values() if each is not None]
    assert str(order.instrument.qty_scale.values[order.qty]) == "0.002"
    assert bot.quotes[-1][2] >= 1000.0


@pytest.mark.parametrize(
    ("symbols", "message"),
    [
        ('{XBTUSD="BTCUSDT"}', "venues.BitMEX.symbols: BTCUSDT of Bybit is no equivalent of bitmex's XBTUSD: linear"),
        ('{XBTUSDD="BTCUSD"}', "venues.BitMEX.symbols: bitmex has no symbol 'XBTUSDD'; did you mean"),
    ],
)
def test_what_is_no_equivalent_is_refused(tmp_path: Path, symbols: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        linked(tmp_path, settings=[*INVERSE[:2], f"venues.BitMEX.symbols={symbols}"])
    assert raised.value.message.startswith(message)


def test_two_symbols_are_not_one_contract(tmp_path: Path) -> None:
    both = 'venues.BitMEX.symbols={XBTUSD="BTCUSD", XBTZ23="BTCUSD"}'
    with pytest.raises(UserError) as raised:
        linked(tmp_path, settings=[*INVERSE[:2], both])
    assert raised.value.message == (
        "venues.BitMEX.symbols: XBTUSD and XBTZ23 are both BTCUSD: give each symbol a contract of its own"
    )
