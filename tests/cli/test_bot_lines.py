"""What goes between the two processes of a bot's backtest comes out as it went in."""

import json
from pathlib import Path

from mlthon.backtest.result import Holding, Progress
from mlthon.cli.bot_lines import decode_options, decode_progress, encode_options, encode_progress
from mlthon.cli.run import Options

HOLDING = Holding(
    instrument="bmx:perp:btc-usd",
    account="main",
    coin="BTC",
    position=-(10**27),
    entry=None,
    mark=65_000 * 10**18,
    realised=1,
    unrealised=-(2**70),
    fees=3,
)


def test_progress_keeps_every_digit() -> None:
    progress = Progress(5, 1, None, 7, 0.25, 2, 1, (HOLDING,), {"BTC": 10**30}, 4)
    assert decode_progress(json.loads(json.dumps(encode_progress(progress)))) == progress


def test_options_keep_paths_tuples_and_what_was_left_out() -> None:
    options = Options(
        strategy="bot.py",
        mode="backtest",
        config=Path("a b.toml"),
        settings=("engine.seed=7",),
        seed=0,
        speed=None,
        data=(Path("x"), Path("y")),
        start="2024-07-18",
        end=None,
        duration="1h",
        json=True,
        report=None,
        verbosity=-1,
        venues=("BitMEX=bitmex",),
        subscribe=(),
        allow_network=True,
    )
    assert decode_options(encode_options(options)) == options
