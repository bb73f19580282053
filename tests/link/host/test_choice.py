"""Which venues and markets a bot gets, and what is told of names that are wrong."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mlthon.basics.defs import Exchange
from mlthon.config import load_config
from mlthon.errors import UserError
from mlthon.link.host.choice import BotChoice, choose_bots, hints_of

BOT = """
from profitview import Link

VENUE = 'WooPaper'

class Trading(Link):
	SRC = "woo"
    def on_start(self):
        self.fetch_candles(VENUE, sym='PERP_ETH_USDT', level='1m')
        self.fetch_positions("BitMEX")
        self.create_market_order(venue='BitMEX', sym="XBTUSDT", side='Buy', size=1)
"""


def chosen(tmp_path: Path, *settings: str, text: str = BOT, **options: Any) -> BotChoice:
    file = tmp_path / "grid.py"
    file.write_text(text, "utf-8")
    (choice,) = choose_bots(load_config(None, settings), [file], **options)
    return choice


def venues(choice: BotChoice) -> list[tuple[str, str, Exchange]]:
    return [(each.name, each.src, each.exchange) for each in choice.venues]


def test_a_bots_text_names_its_venues_exchanges_and_symbols(tmp_path: Path) -> None:
    hints = hints_of(BOT)
    assert hints.venues == ("WooPaper", "BitMEX")
    assert hints.srcs == ("woo",)
    choice = chosen(tmp_path)
    assert venues(choice) == [("WooPaper", "woo", Exchange.Woo), ("BitMEX", "bitmex", Exchange.BitMEX)]
    assert choice.markets == (("woo", "PERP_ETH_USDT"), ("bitmex", "XBTUSDT"))
    assert choice.guessed
    assert choice.found == (
        "venue WooPaper on woo",
        "venue BitMEX on bitmex",
        "market woo:PERP_ETH_USDT",
        "market bitmex:XBTUSDT",
    )


TABLE = """VENUES = {
  'first': {'XBTUSD': {'sym': 'XBTUSD', 'grid': [1, (2)]}},  # the 'main' {one
	'second': {},
}
OTHER = {'third': 1}
"""


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("MAIN_VENUE='first'\n", ("first",)),
        ("if self.venue == 'first': pass\n", ("first",)),
        (TABLE, ("first", "second")),
        ("Venues = {'first': 'XBTUSD', 'second': 'ETHUSD'}\n", ("first", "second")),
        ("venues = ['first', \"second\"]\nx = ['third']\n", ("first", "second")),
        ("VENUES = {'never': 'closed'\n", ("never",)),
        ("VENUE = 'woo'\n", ("woo",)),
        ("VENUE = 'WooPaper'\nfor venue in venues: x = venue == 'woo'\n", ("WooPaper",)),
    ],
)
def test_venues_are_read_from_tables_and_comparisons_too(text: str, named: tuple[str, ...]) -> None:
    assert hints_of(text).venues == named


SIGNED = """
class Trading(Link):
    def net(self):
        for x in self.fetch_positions('BitMEX')['data']:
            self.risk = x['pos_size']  # whatever x['side'] is




    def fill_update(self, src, sym, data): self.side = data['side']
"""
UNSIGNED = SIGNED.replace("x['pos_size']  #", "x['pos_size'] * (1 if x['side'] == 'Buy' else -1)  #")
TOLD = """
class Trading(Link):
\tdef position_update(self, src, sym, data):
\t\tself.held = data['pos_size']
    def get_positions(self, data): return self.fetch_positions('BitMEX')
"""


@pytest.mark.parametrize(
    ("text", "setting", "signed"),
    [
        (SIGNED, None, True),
        (SIGNED, False, False),
        (UNSIGNED, None, False),
        (UNSIGNED, True, True),
        (TOLD, None, False),
        (TOLD + SIGNED, None, True),
        (BOT, None, False),
    ],
)
def test_positions_have_signs_where_the_bot_reads_no_sides(
    tmp_path: Path, text: str, setting: bool | None, signed: bool
) -> None:
    given = [] if setting is None else [f"venues.BitMEX.signed_positions={str(setting).lower()}"]
    choice = chosen(tmp_path, 'venues.BitMEX.src="bitmex"', *given, text=text)
    assert [each.signed_positions for each in choice.venues if each.name == "BitMEX"] == [signed]
    assert ("positions with signs" in choice.found) == (signed and setting is None)


def test_every_account_of_a_table_is_a_venue(tmp_path: Path) -> None:
    choice = chosen(tmp_path, text="SRC = 'bitmex'\nVENUES = {'account1': {'XBTUSDT': {}}, 'account2': {}}\n")
    assert venues(choice) == [(each, "bitmex", Exchange.BitMEX) for each in ("account1", "account2")]
    assert choice.markets == (("bitmex", "XBTUSDT"),)


def test_a_venue_that_is_called_as_its_exchange_is_one(tmp_path: Path) -> None:
    choice = chosen(tmp_path, text="class Trading(Link):\n    VENUE = 'woo'\n")
    assert venues(choice) == [("woo", "woo", Exchange.Woo)]


def test_a_venues_name_says_its_exchange_where_nothing_else_does(tmp_path: Path) -> None:
    choice = chosen(tmp_path, text="VENUE = 'WooPaper'\n")
    assert venues(choice) == [("WooPaper", "woo", Exchange.Woo)]
    assert choice.markets == (("woo", "PERP_BTC_USDT"),)


def test_a_bot_that_names_nothing_gets_bitmex(tmp_path: Path) -> None:
    choice = chosen(tmp_path, text="class Trading(Link): pass\n")
    assert venues(choice) == [("BitMEX", "bitmex", Exchange.BitMEX)]
    assert choice.markets == (("bitmex", "XBTUSD"),)


def test_the_command_line_beats_the_configuration_and_both_the_text(tmp_path: Path) -> None:
    settings = ['venues.Mine.src="bybit"', 'link.subscribe=["bybit:BTCUSDT"]']
    configured = chosen(tmp_path, *settings)
    assert venues(configured) == [("Mine", "bybit", Exchange.Bybit)]
    assert configured.markets == (("bybit", "BTCUSDT"),)
    assert (configured.found, configured.guessed) == ((), False)
    given = chosen(tmp_path, *settings, venues=["A=woo"], subscribe=["woo:SPOT_BTC_USDT"])
    assert [name for name, _, _ in venues(given)] == ["Mine", "A"]
    assert given.markets == (("woo", "SPOT_BTC_USDT"),)


def test_a_market_without_a_venue_gets_the_platforms(tmp_path: Path) -> None:
    choice = chosen(tmp_path, venues=["Mine=bitmex"], subscribe=["bitmex:XBTUSD", "coinbasepro:BTC-USD", "okx:X"][:2])
    assert venues(choice)[1] == ("Coinbase Pro", "coinbasepro", Exchange.CoinbaseExchange)


def test_a_symbol_that_is_named_and_not_subscribed_may_be_traded_without_being_heard(tmp_path: Path) -> None:
    choice = chosen(tmp_path, venues=["BitMEX=bitmex", "WooPaper=woo"], subscribe=["bitmex:XBTUSD"])
    assert choice.markets == (("bitmex", "XBTUSD"),)
    assert choice.besides == (("bitmex", "XBTUSDT"), ("woo", "PERP_ETH_USDT"))
    assert choice.found == ("bitmex:XBTUSDT without market data", "woo:PERP_ETH_USDT without market data")


@pytest.mark.parametrize("subscribe", [(), ("BitMEX:XBTUSD",)])
def test_a_src_may_be_spelt_in_capitals(tmp_path: Path, subscribe: Sequence[str]) -> None:
    choice = chosen(tmp_path, 'venues.account1.src="BitMEX"', subscribe=subscribe)
    assert venues(choice) == [("account1", "bitmex", Exchange.BitMEX)]
    assert {src for src, _ in choice.markets} == {"bitmex"}


def test_several_bots_of_one_name_are_told_apart(tmp_path: Path) -> None:
    files = [tmp_path / "a" / "bot.py", tmp_path / "b" / "bot.py"]
    for file in files:
        file.parent.mkdir()
        file.write_text("x = 1\n", "utf-8")
    assert [each.name for each in choose_bots(load_config(), files)] == ["bot", "bot2"]


WRONG: dict[str, tuple[Sequence[str], dict[str, Any], str]] = {
    "a venue without =": ((), {"venues": ["BitMEX"]}, "--venue BitMEX: not NAME=SRC"),
    "a src that is none": (
        (),
        {"venues": ["BitMEX=bitmx"]},
        "--venue BitMEX=bitmx: 'bitmx' is no src; did you mean 'bitmex'?",
    ),
    "a configured src that is none": (
        ['venues.X.src="coinbasepr"'],
        {},
        "venues.X.src: 'coinbasepr' is no src; did you mean 'coinbasepro'",
    ),
    "a market without :": ((), {"subscribe": ["XBTUSD"]}, "--subscribe: 'XBTUSD' is not SRC:SYMBOL"),
    "a symbol that is none": (
        (),
        {"subscribe": ["bitmex:XBTUST"]},
        "subscribe: bitmex has no symbol 'XBTUST'; did you mean",
    ),
    "symbols without trade_on": (
        ['venues.X.src="bitmex"', 'venues.X.symbols={XBTUSD="BTCUSD"}'],
        {},
        "venues.X.symbols: only with trade_on",
    ),
    "trade_on without symbols": (
        ['venues.X.src="bitmex"', 'venues.X.trade_on="bybit"'],
        {},
        "venues.X: trade_on needs symbols",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_name_is_told_with_what_was_meant(tmp_path: Path, wrong: str) -> None:
    settings, options, message = WRONG[wrong]
    with pytest.raises(UserError) as raised:
        chosen(tmp_path, *settings, **options)
    assert raised.value.message.startswith(message)


def test_symbols_that_the_configuration_names_may_be_subscribed(tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        chosen(tmp_path, subscribe=["bybit:WIFUSDT"])
    assert "[exchanges.Bybit] instruments" in (raised.value.hint or "")
    named = 'exchanges.Bybit.instruments=["WIFUSDT"]'
    assert chosen(tmp_path, named, subscribe=["bybit:WIFUSDT"]).markets == (("bybit", "WIFUSDT"),)
