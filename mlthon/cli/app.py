"""The commands and their options. Each hands over to the module that does the work, imported only then."""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Group, Parameter, Token

from mlthon.cli.bots import app as bots
from mlthon.errors import UserError


def _version() -> str:
    try:
        return f"mlthon {version('mlthon-framework')}"
    except PackageNotFoundError:
        return "mlthon (not installed)"


def _whole(_: Any, tokens: Sequence[Token]) -> int:
    """A whole number: 1.5 is none, and is not to become 1."""
    try:
        return int(tokens[0].value)
    except ValueError:
        raise ValueError(f"{tokens[0].value!r} is no whole number") from None


_EPILOGUE = """\
Ctrl-C once stops the strategy properly (on_stop, cancel of its own orders) and prints the summary; twice ends at once.
Exit status: 0 done, 2 something for you to mend, 130 ended by Ctrl-C, 1 a fault of mlthon."""

app = App(
    name="mlthon",
    help="Run trading strategies on recorded or synthetic market data, against an exchange inside the process.",
    help_format="plaintext",
    help_epilogue=_EPILOGUE,
    version=_version,
    exit_on_error=False,
    print_error=False,
    suppress_keyboard_interrupt=False,
    result_action="return_value",
    default_parameter=Parameter(negative="", show_default=False),
    usage="Usage: python -m mlthon STRATEGY [OPTIONS]\n       python -m mlthon data import|info ...\n"
    "       python -m mlthon instruments [EXCHANGE]\n"
    "       python -m mlthon record ...\n"
    "       python -m mlthon journal show|verify|export FILE\n"
    "       python -m mlthon bots create|list|show|start|stop|delete ...\n"
    "       python -m mlthon ctl status|orders|stop|kill|log|...\n"
    "       python -m mlthon telegram check\n"
    "       python -m mlthon webhook token|message|list|revoke|rejected ...",
)
data = App(name="data", help="Bring market data into a store and look at what a store holds.", help_epilogue="")
app.command(data)
journal = App(name="journal", help="Look at what live runs wrote down: orders, fills, positions.", help_epilogue="")
app.command(journal)
app.command(bots)
app.command("mlthon.cli.webhook:app", name="webhook", help="Signals and alerts from outside: tokens and messages.")
app.command("mlthon.cli.telegram:app", name="telegram", help="Look at the Telegram bot of a configuration.")
app.command("mlthon.cli.ctl:app", name="ctl", help="Ask and command runs that are going on (paper and live).")

_WHAT = Group("What to run", sort_key=1)
_DATA = Group("Market data", sort_key=2)
_LIVE = Group("Live exchanges", sort_key=3)
_BOTS = Group("ProfitView bots", sort_key=4)
_ARSENAL = Group("Crypto Arsenal strategies and webhook signals", sort_key=4)
_OUTPUT = Group("Output", sort_key=5)
for _flag in ("--help", "--version"):
    app[_flag].group = _OUTPUT


@app.default
def run(
    strategy: Annotated[str | None, Parameter(group=_WHAT)] = None,
    /,
    *,
    mode: Annotated[Literal["backtest", "paper", "live"], Parameter(group=_WHAT, show_default=True)] = "backtest",
    config: Annotated[Path | None, Parameter(group=_WHAT)] = None,
    set_: Annotated[tuple[str, ...], Parameter(name="--set", group=_WHAT)] = (),
    seed: Annotated[int | None, Parameter(group=_WHAT, converter=_whole)] = None,
    speed: Annotated[float | None, Parameter(group=_WHAT)] = None,
    data: Annotated[tuple[Path, ...] | None, Parameter(consume_multiple=True, group=_DATA)] = None,
    synthetic: Annotated[bool, Parameter(group=_DATA)] = False,
    start: Annotated[str | None, Parameter(group=_DATA)] = None,
    end: Annotated[str | None, Parameter(group=_DATA)] = None,
    duration: Annotated[str | None, Parameter(group=_DATA)] = None,
    exchange: Annotated[tuple[str, ...], Parameter(group=_LIVE)] = (),
    url: Annotated[str | None, Parameter(group=_LIVE)] = None,
    yes_trade_real_money: Annotated[bool, Parameter(group=_LIVE)] = False,
    venue: Annotated[tuple[str, ...], Parameter(group=_BOTS)] = (),
    subscribe: Annotated[tuple[str, ...], Parameter(group=_BOTS)] = (),
    reload: Annotated[bool, Parameter(group=_BOTS)] = False,
    allow_network: Annotated[bool, Parameter(group=_BOTS)] = False,
    pair: Annotated[tuple[str, ...], Parameter(group=_ARSENAL)] = (),
    json: Annotated[bool, Parameter(group=_OUTPUT)] = False,
    report: Annotated[Path | None, Parameter(group=_OUTPUT)] = None,
    verbose: Annotated[bool, Parameter(name=["--verbose", "-v"], group=_OUTPUT)] = False,
    debug: Annotated[bool, Parameter(name=["--debug", "-vv"], group=_OUTPUT)] = False,
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], group=_OUTPUT)] = False,
) -> int:
    """Run a strategy.

    Parameters
    ----------
    strategy
        A module (demo_strat), module:Class, a file (my.py, my.py:Class), a ProfitView bot (bot.py), or the name of a
        [strategies.NAME] table; without it every such table of the configuration is run.
    mode
        backtest: as fast as it goes. paper: paced by the wall clock, or with --exchange on live market data.
        live: orders go to the exchange.
    config
        A TOML file. Without it the one beside the strategy (my.toml of my.py) is used if there is one.
    set_
        KEY=VALUE: a parameter of the strategy (quote_qty=0.01), of one of several (NAME.quote_qty=0.01), or a setting
        (engine.seed=7, exchanges.Bybit.maker_fee=0). May be repeated.
    seed
        Of everything random; the same seed and inputs give the same run.
    speed
        On paper: how many times as fast as the wall clock.
    data
        Recordings, folders of recordings, or stores. Without any, a synthetic market is traded.
    synthetic
        Trade a synthetic market, whatever data the configuration names.
    start
        Leave out data before this time (2024-07-18T00:05, UTC).
    end
        Leave out data from this time on.
    duration
        How much to run from the start: 90s, 15m, 1h, 2d.
    exchange
        Live: the exchange to trade on, or on paper to take market data from (bybit). May be repeated.
    url
        Live: where the exchange is: main, testnet, demo, local, or the address of a host (http://127.0.0.1:8080).
    yes_trade_real_money
        Live: allow an exchange where orders cost money.
    venue
        NAME=SRC: an account as the bot calls it, and its exchange (BitMEX=bitmex). May be repeated.
    subscribe
        SRC:SYMBOL: a market whose quotes and trades the bot hears (bitmex:XBTUSD). May be repeated.
    reload
        Take changes of the packages beside the bot while it runs.
    allow_network
        In a backtest: the bot may use the network and start programs, a Crypto Arsenal strategy CA.get_request and
        CA.post_request, and the run waits for them.
    pair
        EXCHANGE:PAIR: what is traded (binance:BTC-USDT). May be repeated; the first is the strategy's own.
    json
        Print one line of JSON at the end and nothing else on standard output.
    report
        Write equity, drawdown, orders, fills and a summary into this folder.
    verbose
        Also show the strategy's and the engine's information messages.
    debug
        Show everything.
    quiet
        Show only errors: no progress, no warnings.
    """
    from mlthon.cli.run import Options, run_strategy

    if data is not None and not data:
        raise UserError("--data: no path given", "Leave it out for the synthetic market.")
    if data and synthetic:
        raise UserError("--data and --synthetic: a run is on one of them", "Leave one out.")
    return run_strategy(
        Options(
            strategy=strategy,
            mode=mode,
            config=config,
            settings=set_,
            seed=seed,
            speed=speed,
            data=data or (),
            synthetic=synthetic,
            start=start,
            end=end,
            duration=duration,
            json=json,
            report=report,
            verbosity=-1 if quiet else 2 if debug else 1 if verbose else 0,
            exchange=exchange,
            url=url,
            real_money=yes_trade_real_money,
            venues=venue,
            subscribe=subscribe,
            reload=reload,
            allow_network=allow_network,
            pair=pair,
        )
    )


@app.command
def record(
    *,
    exchange: str,
    instruments: Annotated[tuple[str, ...], Parameter(consume_multiple=True)],
    to: Path,
    url: str | None = None,
    duration: str | None = None,
    kinds: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    depth: int = 50,
    verbose: Annotated[bool, Parameter(name=["--verbose", "-v"])] = False,
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"])] = False,
) -> int:
    """Record live market data: raw messages and rows at once, into a store that a backtest replays.

    Parameters
    ----------
    exchange
        The exchange (bybit).
    instruments
        The instruments: names, ids or the exchange's symbols.
    to
        The store's folder; it is made if it is not there.
    url
        Where the exchange is: main (the default), testnet, local, or the address of a host.
    duration
        How long: 90s, 15m, 1h, 2d. Without it until Ctrl-C.
    kinds
        What to record: quote, trade, book. Without it everything.
    depth
        Levels a side of a book, where the exchange offers several.
    verbose
        Also show information messages.
    quiet
        Show only errors.
    """
    from mlthon.cli.record import Options, record

    return record(
        Options(
            exchange=exchange,
            instruments=instruments,
            store=to,
            url=url,
            duration=duration,
            kinds=kinds,
            depth=depth,
            verbosity=-1 if quiet else 1 if verbose else 0,
        )
    )


@data.command(name="import")
def import_(
    files: Annotated[tuple[Path, ...], Parameter(negative="")],
    /,
    *,
    to: Path,
) -> int:
    """Import recordings into a store.

    Parameters
    ----------
    files
        Recordings, or folders of recordings.
    to
        The store's folder; it is made if it is not there.
    """
    from mlthon.cli.data import import_data

    return import_data(files, to)


@data.command
def info(store: Path, /, *, json: bool = False) -> int:
    """Tell what a store holds.

    Parameters
    ----------
    store
        The store's folder.
    json
        Print one line of JSON.
    """
    from mlthon.cli.data import show_store

    return show_store(store, json=json)


@app.command
def instruments(exchange: str | None = None, /, *, json: bool = False) -> int:
    """List the instruments that come with mlthon.

    Parameters
    ----------
    exchange
        Only those of this exchange (Bybit, or its code byt).
    json
        Print one line of JSON for each.
    """
    from mlthon.cli.catalogue import list_instruments

    return list_instruments(exchange, json=json)


@journal.command
def show(file: Path, /, *, json: bool = False) -> int:
    """Show runs, open orders and positions of a journal.

    Parameters
    ----------
    file
        The journal.
    json
        Print one line of JSON.
    """
    from mlthon.cli.journal import show_journal

    return show_journal(file, json=json)


@journal.command
def verify(file: Path, /, *, json: bool = False) -> int:
    """Check that a journal agrees with itself; exit status 2 where it does not.

    Parameters
    ----------
    file
        The journal.
    json
        Print one line of JSON.
    """
    from mlthon.cli.journal import verify_journal

    return verify_journal(file, json=json)


@journal.command
def export(file: Path, what: Literal["events", "orders", "fills"] = "events", /, *, to: Path | None = None) -> int:
    """Write a journal out as JSON lines or CSV.

    Parameters
    ----------
    file
        The journal.
    what
        events (everything in order, the default), orders or fills.
    to
        The file to write, *.jsonl or *.csv; standard output without it.
    """
    from mlthon.cli.journal import export_journal

    return export_journal(file, what, to)


@app.command
def exchange(
    name: str,
    /,
    *,
    host: str = "127.0.0.1",
    port: Annotated[int, Parameter(converter=_whole)] = 8080,
    data: Annotated[tuple[Path, ...], Parameter(consume_multiple=True)] = (),
    synthetic: bool = False,
    instruments: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    speed: float = 1.0,
    accounts: Path | None = None,
    latency: float = 1.0,
    seed: Annotated[int, Parameter(converter=_whole)] = 1,
    tls: Path | None = None,
    faults: str | None = None,
    view: bool = False,
    verbose: Annotated[bool, Parameter(name=["--verbose", "-v"])] = False,
) -> int:
    """Run a local exchange that clients of the real one can trade on.

    Parameters
    ----------
    name
        bybit, binance, binance-usdm or bitmex.
    host
        The address to listen on.
    port
        The port to listen on; 0 for any free one.
    data
        Recordings to play, their times shifted to now; where they end the synthetic market goes on.
    synthetic
        Only the synthetic market (what happens anyway without --data).
    instruments
        What is traded; otherwise what is in the data, or a few of the exchange's main markets.
    speed
        How many times as fast as the wall clock the market goes. Times that clients are told are the wall clock's.
    accounts
        A TOML file of accounts: [accounts.NAME] with key, secret and balances.
    latency
        Milliseconds that requests, and the answers to them, take.
    seed
        Of the synthetic market.
    tls
        Serve with TLS, and write the certificate of the authority that clients must trust into this file.
    faults
        What fails on purpose, and when: disconnect=18s,delay=5%:200ms-2s,error=1%:503@/v5/order, or a TOML file with a
        table [faults]; docs/local-exchange.md has all kinds.
    view
        Show book, trades, accounts, orders and faults in the terminal (a page for the browser is there anyway).
    verbose
        Also show information messages.
    """
    from mlthon.cli.exchange import ExchangeOptions, run_exchange

    if synthetic and data:
        raise UserError("--synthetic and --data: give one of them")
    return run_exchange(
        ExchangeOptions(
            name=name,
            host=host,
            port=port,
            data=data,
            instruments=instruments,
            speed=speed,
            accounts=accounts,
            latency=latency,
            seed=seed,
            tls=tls,
            faults=faults,
            view=view,
            verbosity=int(verbose),
        )
    )
