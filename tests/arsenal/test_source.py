"""Which files are strategies of the platform, and what is read of them before they are run."""

import sys
import textwrap
from pathlib import Path

import pytest

from mlthon.arsenal.assembly import arsenal_files
from mlthon.arsenal.choice import checked_options, choose_pairs, exchange_called, parse_pair
from mlthon.arsenal.source import Form, StrategyBase, load, read
from mlthon.basics.defs import Exchange
from mlthon.config import StrategyConfig
from mlthon.errors import UserError
from tests.backtest.play import BTC, ETH

CURRENT = """
class Strategy(StrategyBase):
    def __init__(self):
        self.period = 60
        self.subscribed_books = {'Binance': {'pairs': ['BTC-USDT', 'ETH-USDT']}}
    def trade(self, candles):
        return talib.SMA(np.array([1.0]), 1)
    def on_tradingview_signal(self, signal, candles): pass
"""


def written(folder: Path, code: str) -> Path:
    file = folder / "mine.py"
    file.write_text(textwrap.dedent(code))
    return file


@pytest.mark.parametrize(
    ("code", "form"),
    [
        (CURRENT, Form.CURRENT),
        ("class Strategy():\n    def trade(self, information): return []\n", Form.OLDER),
        ("class Strategy:\n    def trade(self, information): return []\n", Form.OLDER),
        ("class Strategy(object):\n    def trade(self, information): return []\n", Form.OLDER),
        ("class Strategy:\n    subscribedBooks = {}\n    def trade(self, i): pass\n", Form.OLDER),
        ("class Strategy:\n    def trade(self, price): pass\n", None),
        ("from other import StrategyBase\nclass Strategy(StrategyBase):\n    pass\n", None),
        ("class StrategyBase: pass\nclass Strategy(StrategyBase):\n    pass\n", None),
        ("from x import Base\nclass Strategy(Base):\n    def trade(self, information): pass\n", None),
        ("class Other(StrategyBase):\n    pass\n", None),
        ("class Strategy(StrategyBase:\n", None),
        ("", None),
    ],
)
def test_a_file_is_recognised_by_its_class(tmp_path: Path, code: str, form: Form | None) -> None:
    source = read(written(tmp_path, code))
    assert (None if source is None else source.form) is form


def test_what_a_file_names_is_read_without_running_it(tmp_path: Path) -> None:
    source = read(written(tmp_path, CURRENT + "\nraise SystemExit\n"))
    assert source is not None
    assert source.books == {"Binance": ("BTC-USDT", "ETH-USDT")}
    assert source.needs == ("np", "talib")
    assert source.hooks == ("trade", "on_tradingview_signal")


def test_a_library_that_is_missing_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "talib", None)
    source = read(written(tmp_path, CURRENT))
    assert source is not None
    with pytest.raises(UserError) as caught:
        load(source, {"StrategyBase": StrategyBase})
    assert "talib" in caught.value.message
    assert "mlthon-framework[link]" in caught.value.hint


def test_frames_of_pandas_have_the_append_of_its_first_version(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    code = """
        class Strategy(StrategyBase):
            rows = pd.DataFrame().append({'close': 1.0}, ignore_index=True)
            rows = rows.append({'close': 2.0, 'open': 3.0}, ignore_index=True)
            rows = rows.append([rows, pd.Series({'close': 4.0})], ignore_index=True)
            first = pd.DataFrame(columns=['open', 'high']).append({'open': 0}, ignore_index=True)
            def trade(self, candles): pass
    """
    source = read(written(tmp_path, code))
    assert source is not None
    strategy = load(source, {"StrategyBase": StrategyBase})
    assert list(strategy.rows["close"]) == [1.0, 2.0, 1.0, 2.0, 4.0]
    assert list(strategy.rows.index) == [0, 1, 2, 3, 4]
    assert strategy.rows["open"].dropna().tolist() == [3.0, 3.0]
    assert list(strategy.first.columns) == ["open", "high"]


def test_files_and_the_webhook_are_found_among_strategies(tmp_path: Path) -> None:
    file = written(tmp_path, CURRENT)
    strategies = {"a": StrategyConfig(strategy=str(file)), "b": StrategyConfig(strategy="demo_strat")}
    found = arsenal_files(strategies | {"c": StrategyConfig(strategy="webhook")})
    assert list(found) == ["a", "c"]
    assert found["c"] is None


@pytest.mark.parametrize(
    ("name", "exchange"),
    [
        ("binance", Exchange.Binance),
        ("Binance-USDM", Exchange.BinanceUsdm),
        ("binance_futures", Exchange.BinanceUsdm),
        ("BITMEX", Exchange.BitMEX),
        ("byt", Exchange.Bybit),
        ("bitfinex", None),
    ],
)
def test_exchanges_by_name(name: str, exchange: Exchange | None) -> None:
    assert exchange_called(name) is exchange


@pytest.mark.parametrize("bad", ["BTC-USDT", "binance:", ":BTC-USDT", "bitfinex:BTC-USDT", ""])
def test_what_is_no_pair_is_told(bad: str) -> None:
    with pytest.raises(UserError, match="--pair"):
        parse_pair(bad, "--pair")


def test_pairs_as_given_else_as_written_else_of_the_data(tmp_path: Path) -> None:
    source = read(written(tmp_path, CURRENT.replace("Binance", "Bybit")))
    given, _ = choose_pairs(["bitmex:BTC-USD"], "--pair", source, None)
    assert [(each.exchange, each.key, each.shown) for each in given] == [(Exchange.BitMEX, "BTC-USD", "Bybit")]
    as_written, told = choose_pairs([], "", source, None)
    assert [(each.exchange, each.key) for each in as_written] == [
        (Exchange.Bybit, "BTC-USDT"),
        (Exchange.Bybit, "ETH-USDT"),
    ]
    assert told == "as the strategy says"
    both, _ = choose_pairs([], "", source, [ETH, BTC])
    assert [each.key for each in both] == ["BTC-USDT", "ETH-USDT"]
    of_data, told = choose_pairs([], "", source, [BTC])
    assert [(each.key, each.shown, told) for each in of_data] == [(BTC.name, "Bybit", "of the data")]
    nothing, told = choose_pairs([], "", None, None)
    assert (nothing[0].exchange, nothing[0].key) == (Exchange.Bybit, "BTC-USDT")


@pytest.mark.parametrize(
    "params",
    [
        {"exchange_fee": "x"},
        {"exchange_fee": -0.1},
        {"exchange_fee": 1},
        {"spread": 0.5},
        {"leverage": 0},
        {"leverage": "1e9"},
    ],
)
def test_the_platform_s_options_are_checked(params: dict[str, object]) -> None:
    with pytest.raises(UserError, match=next(iter(params))):
        checked_options(params)


def test_options_are_texts() -> None:
    found = checked_options({"size": 5, "on": True, "name": "x"})
    assert (found["size"], found["on"], found["name"], found["leverage"]) == ("5", "true", "x", "1")


def test_pairs_may_be_written_out_elsewhere_in_the_class(tmp_path: Path) -> None:
    file = tmp_path / "grid.py"
    file.write_text(
        "class Strategy():\n"
        "    def __init__(self):\n"
        "        self.pair = 'ETH-USDT'\n"
        "        self.subscribedBooks = {'Binance': {'pairs': [self.pair]}}\n"
        "    def trade(self, information):\n"
        "        pass\n"
    )
    source = read(file)
    assert source is not None
    assert source.books == {"Binance": ("ETH-USDT",)}
