"""`python -m mlthon webhook --exchange ... --pair ...`: trade webhook signals by the documented rules."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter

from mlthon.arsenal.assembly import WEBHOOK
from mlthon.config import load_config

_TRADE = Group("Trade signals", sort_key=1)


def run_webhook(
    *,
    pair: Annotated[tuple[str, ...], Parameter(group=_TRADE)] = (),
    mode: Annotated[Literal["paper", "live"], Parameter(group=_TRADE, show_default=True)] = "paper",
    exchange: Annotated[tuple[str, ...], Parameter(group=_TRADE)] = (),
    url: Annotated[str | None, Parameter(group=_TRADE)] = None,
    yes_trade_real_money: Annotated[bool, Parameter(group=_TRADE)] = False,
    config: Annotated[Path | None, Parameter(group=_TRADE)] = None,
    set_: Annotated[tuple[str, ...], Parameter(name="--set", group=_TRADE)] = (),
    duration: Annotated[str | None, Parameter(group=_TRADE)] = None,
    json: Annotated[bool, Parameter(group=_TRADE)] = False,
    verbose: Annotated[bool, Parameter(name=["--verbose", "-v"], group=_TRADE)] = False,
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], group=_TRADE)] = False,
) -> int:
    """Trade the signals that come for the connector `webhook` (or `[arsenal] connector`).

    Parameters
    ----------
    pair
        EXCHANGE:PAIR: what is traded (binance-usdm:BTC-USDT). May be repeated; the first is meant where none is named.
    mode
        paper: orders go to an exchange inside the process. live: to the exchange.
    exchange
        The exchange whose live market data is traded on (bybit); without it paper trades the synthetic market.
    url
        Where the exchange is: main, testnet, demo, local, or the address of a host.
    yes_trade_real_money
        Allow an exchange where orders cost money.
    config
        A TOML file; its [web] says where the server listens (http://127.0.0.1:8800 without).
    set_
        KEY=VALUE: an option (leverage=5) or a setting (web.port=8800). May be repeated.
    duration
        How long: 90s, 15m, 1h, 2d. Without it until Ctrl-C.
    json
        Print one line of JSON at the end and nothing else on standard output.
    verbose
        Also show information messages.
    quiet
        Show only errors.
    """
    from mlthon.cli.run import Options, run_strategy

    if load_config(config, set_).web is None:  # signals come to the web server: without it there would be none
        set_ = ("web.enabled=true", *set_)
    return run_strategy(
        Options(
            strategy=WEBHOOK,
            mode=mode,
            config=config,
            settings=set_,
            seed=None,
            speed=None,
            data=(),
            start=None,
            end=None,
            duration=duration,
            json=json,
            report=None,
            verbosity=-1 if quiet else 1 if verbose else 0,
            exchange=exchange,
            url=url,
            real_money=yes_trade_real_money,
            pair=pair,
        )
    )
