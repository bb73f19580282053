"""`python -m mlthon bots create|list|show|start|stop|delete`: the signal bots of a configuration file.

Runs with this file that go on read it again and say what they make of the change. Here are the commands and their
options; `mlthon.cli.bot_tables` does the work.
"""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

app = App(name="bots", help="Make and look at bots that carry out what ProfitView scripts signal.", help_epilogue="")


@app.command
def create(
    name: str,
    /,
    *,
    config: Path,
    type: str,  # noqa: A002 - what the option is called
    venue: str,
    symbol: str,
    description: str,
    title: str | None = None,
    param: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    default: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    private: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    stopped: bool = False,
) -> int:
    """Add a bot to a configuration file.

    Parameters
    ----------
    name
        What the bot is called: the table [bots.NAME].
    config
        The configuration file; it is made if it is not there.
    type
        position, neutral_grid, short_grid, long_grid or market_maker.
    venue
        The venue that it trades on: a table [venues.NAME], or what the script calls it.
    symbol
        The symbol that it trades (XBTUSD).
    description
        What it is for.
    title
        What it is shown as, otherwise NAME.
    param
        KEY=VALUE: a parameter (max_position_size=1000). May be repeated.
    default
        KEY=VALUE: the value of a parameter that is not set. May be repeated.
    private
        A parameter whose value is not shown. May be repeated.
    stopped
        It does not trade until it is started.
    """
    from mlthon.cli.bot_tables import create_bot

    return create_bot(
        config,
        name,
        type=type,
        venue=venue,
        symbol=symbol,
        description=description,
        title=title,
        param=param,
        default=default,
        private=private,
        stopped=stopped,
    )


@app.command(name="list")
def list_(*, config: Path, json: bool = False) -> int:
    """List the bots of a configuration file.

    Parameters
    ----------
    config
        The configuration file.
    json
        Print one line of JSON for each.
    """
    from mlthon.cli.bot_tables import list_bots

    return list_bots(config, json=json)


@app.command
def show(name: str, /, *, config: Path, json: bool = False) -> int:
    """Show a bot with all its parameters, those that are not set included.

    Parameters
    ----------
    name
        The bot.
    config
        The configuration file.
    json
        Print one line of JSON.
    """
    from mlthon.cli.bot_tables import show_bot

    return show_bot(config, name, json=json)


@app.command
def start(name: str, /, *, config: Path) -> int:
    """Have a bot trade; a run that goes on takes it up.

    Parameters
    ----------
    name
        The bot.
    config
        The configuration file.
    """
    from mlthon.cli.bot_tables import switch_bot

    return switch_bot(config, name, on=True)


@app.command
def stop(name: str, /, *, config: Path) -> int:
    """Have a bot cancel its orders and trade no more (and close its position, where close_on_stop says so).

    Parameters
    ----------
    name
        The bot.
    config
        The configuration file.
    """
    from mlthon.cli.bot_tables import switch_bot

    return switch_bot(config, name, on=False)


@app.command
def delete(name: str, /, *, config: Path) -> int:
    """Take a bot out of a configuration file; in a run that goes on it stops.

    Parameters
    ----------
    name
        The bot.
    config
        The configuration file.
    """
    from mlthon.cli.bot_tables import delete_bot

    return delete_bot(config, name)
