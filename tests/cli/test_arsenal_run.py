"""Crypto Arsenal strategies and webhook signals from the command line."""

import json
from pathlib import Path

import pytest

from benchmarks.web_server import free_port
from mlthon.cli import main
from mlthon.cli.run import Options

CODE = """
class Strategy(StrategyBase):
    def __init__(self):
        self.period = 60
        CA.log('history ' + str(len(CA.get_history_candles(20, 60)['Bybit']['BTC-USDT'])))
    def trade(self, candles):
        exchange, pair, base, quote = CA.get_exchange_pair()
        CA.place_order(exchange, pair, 'open_long', notional=1000 * int(self['times'] or 1))
"""


def test_a_file_is_run_with_its_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.py"
    file.write_text(CODE)
    status = main([str(file), "--duration", "70s", "--json", "--set", "times=2", "--pair", "bybit:BTC-USDT"])
    done = capsys.readouterr()
    assert status == 0
    assert "mine: trades Bybit BTC-USDT" in done.err
    assert "mine: history 20" in done.err
    told = json.loads(done.out)
    assert (told["orders"], told["errors"]) == (1, 0)
    assert float(told["volume"]["USDT"]) == pytest.approx(2000, rel=0.05)
    assert float(told["fees"]["USDT"]) == pytest.approx(float(told["volume"]["USDT"]) * 0.001)


DAILY = """
class Strategy(StrategyBase):
    def __init__(self):
        self.period = 86400
        self.subscribed_books = {'Binance': {'pairs': ['ADA-USDT']}}
    def trade(self, candles):
        row = candles['Binance']['ADA-USDT'][0]
        CA.log(' '.join(str(row[name]) for name in ('time', 'open', 'high', 'low', 'close', 'volume')))
        CA.log('has ' + str(CA.get_balance('Binance', 'USDT').total))
"""


def test_candles_of_a_file_are_what_the_strategy_gets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also those of an instrument that the catalogue does not have; and its account has something to begin with."""
    file, data = tmp_path / "daily.py", tmp_path / "binance_ADAUSDT_1d.csv"
    file.write_text(DAILY)
    data.write_text(
        "Date,Open,High,Low,Close,Volume\n"
        "2024-01-01,0.5,0.6,0.4,0.55,1000.5\n2024-01-02,0.55,0.56,0.3,0.31,20\n2024-01-03,0.31,0.4,0.3,0.35,30\n"
    )
    assert main([str(file), "--data", str(data)]) == 0
    told = capsys.readouterr().err
    assert "bin:spot:ada-usdt: candles of 1 d, each as trades" in told
    assert "2024-01-01T00:00:00.000Z 0.5 0.6 0.4 0.55 1000.5" in told
    assert "2024-01-02T00:00:00.000Z 0.55 0.56 0.3 0.31 20.0" in told
    assert "has 10000.0" in told


def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.py"
    file.write_text(CODE.replace("self.period = 60", "self.period = wrong"))
    assert main([str(file), "--duration", "70s", "-q"]) == 2
    assert "mine.py:4: NameError: name 'wrong' is not defined" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--pair", "bybit"], "'bybit' is not EXCHANGE:PAIR"),
        (["--pair", "bitfinex:BTC-USDT"], "there is no exchange 'bitfinex'"),
        (["--pair", "bybit:NO-SUCH"], "NO-SUCH"),
        (["--set", "leverage=none"], "leverage = 'none'"),
        (["--set", "arsenal.signals=all"], "arsenal.signals"),
    ],
)
def test_wrong_options_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], text: str
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(CODE)
    assert main([str(file), "--duration", "5s", "-q", *options]) == 2
    assert text in capsys.readouterr().err


def test_pair_is_for_these_strategies_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo_strat", "--pair", "bybit:BTC-USDT", "--duration", "1s"]) == 2
    assert "--pair: only for" in capsys.readouterr().err


@pytest.mark.slow
def test_signals_are_traded_without_a_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config, port = tmp_path / "run.toml", free_port()
    command = '[[commands]]\nafter = "4s"\nrun = "signal action=openLong fixed=0.01"\n'
    config.write_text(f'[ops]\nstate = "{tmp_path / "state"}"\n{command}')
    where = ["--config", str(config), "--set", f"web.port={port}"]
    status = main(["webhook", "--pair", "bybit:BTC-USDT", "--duration", "7s", "--json", *where])
    done = capfd.readouterr()
    told = json.loads(done.out)
    assert f"signals of webhook: http://127.0.0.1:{port}/trading-signal/webhook" in done.err
    assert status == 0
    assert (told["orders"], told["position"]) == (1, {"byt:perp:btc-usdt": 0.01}), done.err
    assert (tmp_path / "state" / "webhook.paper.arsenal").is_file()


BOT = """
from profitview import Link, logger
class Trading(Link):
    def on_start(self):
        logger.info('here')
"""


def test_it_trades_beside_a_profitview_bot(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text(CODE)
    (tmp_path / "bot.py").write_text(BOT)
    config = tmp_path / "run.toml"
    tables = [f'[strategies.{name}]\nstrategy = "{tmp_path / name}.py"\n' for name in ("mine", "bot")]
    config.write_text("".join(tables))
    assert main(["--config", str(config), "--duration", "70s", "--json"]) == 0
    done = capfd.readouterr()
    assert "mine: trades Bybit BTC-USDT" in done.err
    assert "mine: history 20" in done.err
    assert json.loads(done.out)["orders"] == 1
    (tmp_path / "mine.py").write_text(CODE.replace("self.period = 60", "self.period = wrong"))
    assert main(["--config", str(config), "--duration", "70s", "--json"]) == 2
    assert "NameError: name 'wrong' is not defined" in capfd.readouterr().err


def test_what_ca_refuses_is_told_with_the_strategys_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text("class Strategy(StrategyBase):\n    def __init__(self):\n        CA.storage(5)\n")
    monkeypatch.chdir(tmp_path)
    assert main(["mine.py", "--duration", "70s"]) == 2
    assert "error: mine.py:3: ArgumentError: key: 5" in capsys.readouterr().err


def test_signals_have_a_server_without_being_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    chosen: list[tuple[str, ...]] = []

    def run_strategy(options: Options) -> int:
        chosen.append(options.settings)
        return 0

    monkeypatch.setattr("mlthon.cli.run.run_strategy", run_strategy)
    config = tmp_path / "run.toml"
    config.write_text("[web]\nenabled = false\n")
    assert main(["webhook", "--set", "leverage=2"]) == main(["webhook", "--config", str(config)]) == 0
    assert main(["webhook", "--set", "web.port=1234"]) == 0
    assert chosen == [("web.enabled=true", "leverage=2"), (), ("web.port=1234",)]
