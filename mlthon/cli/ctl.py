"""`python -m mlthon ctl …`: ask and command a run that is going on, over its control socket.

The run is found by itself where just one lives. Tables are for people, `--json` for programs. A run whose engine hangs
answers nothing; that is said, and `kill` then goes to its guard process directly.
"""

import getpass
import json as text_json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from attrs import frozen
from cyclopts import App, Parameter

from mlthon.cli.logs import Console
from mlthon.errors import UserError, near
from mlthon.live.guard_process import fire_guard
from mlthon.ops.audit import AuditEntry, AuditLog
from mlthon.ops.client import NoAnswer, ask_once
from mlthon.ops.contract import (
    Action,
    CancelAll,
    GetOrders,
    GetPositions,
    GetProfit,
    GetStatus,
    Kill,
    OrderRow,
    Position,
    Profit,
    Question,
    RunCommand,
    StartStrategy,
    Status,
    StopStrategy,
    StrategyState,
)
from mlthon.ops.killed import LOOK_S, Follow, Progress, progress_of_engine, progress_of_guard
from mlthon.ops.place import RunInfo, control_folder, living_runs

WAIT_S: Final = 3.0
"""An engine that has not answered for so long hangs."""
FOLLOW_S: Final = 10.0
"""How long it is waited for what comes of a kill."""
NOT_KNOWN: Final = "what came of the rest is not known yet: look at the exchange itself"
LOG_ROWS: Final = 20
WIDE: Final = 200
"""Columns of a table that goes to no terminal."""
Cells = Sequence[str]

app = App(
    name="ctl",
    help="Ask and command runs that are going on (paper and live).",
    help_format="plaintext",
    help_epilogue="Without --run it is the one run that lives; where several do, they are listed.",
    default_parameter=Parameter(negative="", show_default=False),
)

RunName = Annotated[str | None, Parameter(name="--run", help="The run, where several live.")]
State = Annotated[Path | None, Parameter(name="--state", help="The state folder, where [ops] state is set.")]
Json = Annotated[bool, Parameter(name="--json", help="Print one line of JSON.")]


@frozen
class Reached:
    """A run that lives, and how to talk to it."""

    name: str
    info: RunInfo
    folder: Path

    def ask(self, what: Question | Action) -> Any:
        """Ask it. Raises `UserError`; where it hangs with what can still be done."""
        try:
            return ask_once(self.folder / f"{self.name}.sock", what, f"ctl {getpass.getuser()}", WAIT_S)
        except NoAnswer as error:
            raise UserError(f"{self.name} (process {self.info.pid}): {error.message}", self._mend()) from None

    def _mend(self) -> str:
        if self.info.guard is None:
            return f"See what it is doing; `kill {self.info.pid}` ends it."
        return "`python -m mlthon ctl kill` has its guard process cancel its orders all the same."


def reach(run: str | None, state: Path | None) -> Reached:
    """The run of this name, or the only one. Raises `UserError`, which lists those that live."""
    folder = control_folder(state)
    runs = living_runs(folder)
    if not runs:
        raise UserError("no run lives", f"Runs on paper and live ones are looked for in {folder}.")
    if run is None and len(runs) > 1:
        listed = "\n".join(f"{name:<24} {info.mode:<6} process {info.pid}" for name, info in runs.items())
        raise UserError(f"{len(runs)} runs live: say which one with --run NAME", listed)
    name = next(iter(runs)) if run is None else run
    if name not in runs:
        raise UserError(f"no run {name!r} lives{near(name, runs)}", f"There are {', '.join(runs)}.")
    return Reached(name, runs[name], folder)


# -- questions ---------------------------------------------------------------------------------------------------------


@app.command
def status(*, run: RunName = None, state: State = None, json: Json = False) -> int:
    """How a run, its strategies and its connections stand."""
    told: Status = reach(run, state).ask(GetStatus())
    return _print_json(told) if json else _show_status(told)


@app.command
def positions(strategy: str | None = None, /, *, run: RunName = None, state: State = None, json: Json = False) -> int:
    """What strategies hold.

    Parameters
    ----------
    strategy
        Only what this one holds.
    """
    told: list[Position] = reach(run, state).ask(GetPositions(strategy))
    heading = ("strategy", "account", "instrument", "<quantity", "<entry", "<at the exchange")
    return _print_json(told) if json else _table(heading, map(_position, told), "no positions")


@app.command
def orders(strategy: str | None = None, /, *, run: RunName = None, state: State = None, json: Json = False) -> int:
    """The open orders, oldest first.

    Parameters
    ----------
    strategy
        Only those of this one.
    """
    told: list[OrderRow] = reach(run, state).ask(GetOrders(strategy))
    heading = ("strategy", "account", "instrument", "side", "<price", "<quantity", "<open", "state", "<age", "id")
    return _print_json(told) if json else _table(heading, map(_order, told), "no open orders")


@app.command(name=("profit", "pnl"))
def profit(strategy: str | None = None, /, *, run: RunName = None, state: State = None, json: Json = False) -> int:
    """What strategies have made since the run began.

    Parameters
    ----------
    strategy
        Only what this one made.
    """
    told: list[Profit] = reach(run, state).ask(GetProfit(strategy))
    heading = ("strategy", "coin", "<realised", "<unrealised", "<fees", "<traded")
    return _print_json(told) if json else _table(heading, map(_profit, told), "nothing was traded")


@app.command
def log(count: int = LOG_ROWS, /, *, state: State = None, json: Json = False) -> int:
    """The audit log: who had what done, and what came of it; of all runs, the newest first.

    Parameters
    ----------
    count
        How many entries.
    """
    path = control_folder(state) / "audit.db"
    entries: list[AuditEntry] = []
    if path.exists():
        audit = AuditLog(path)
        entries = list(audit.last(count))
        audit.close()
    if json:
        names = ("ts", "run", "who", "action", "detail", "outcome")
        print(text_json.dumps([{name: getattr(each, name) for name in names} for each in entries]))
        return 0
    return _table(("time (UTC)", "run", "who", "action", "detail", "outcome"), map(_entry, entries), "nothing yet")


# -- actions -----------------------------------------------------------------------------------------------------------


@app.command
def start(strategy: str, params: str = "", /, *, run: RunName = None, state: State = None, json: Json = False) -> int:
    """Have a stopped strategy trade again.

    Parameters
    ----------
    strategy
        Its name.
    params
        What it is told, in one word or quoted.
    """
    return _do(reach(run, state), StartStrategy(strategy, params), json=json)


@app.command
def stop(strategy: str, params: str = "", /, *, run: RunName = None, state: State = None, json: Json = False) -> int:
    """Have a strategy stop; the run goes on.

    Parameters
    ----------
    strategy
        Its name.
    params
        What it is told, in one word or quoted.
    """
    return _do(reach(run, state), StopStrategy(strategy, params), json=json)


@app.command
def hook(
    strategy: str,
    command: str,
    /,
    *words: Annotated[str, Parameter(allow_leading_hyphen=True)],
    run: RunName = None,
    state: State = None,
    json: Json = False,
) -> int:
    """Give a strategy one of its own commands.

    Parameters
    ----------
    strategy
        Its name.
    command
        The command, as the strategy added it.
    words
        What follows the command.
    """
    return _do(reach(run, state), RunCommand(strategy, command, list(words)), json=json)


@app.command(name="cancel-all")
def cancel_all(strategy: str, /, *, run: RunName = None, state: State = None, json: Json = False) -> int:
    """Cancel every open order of a strategy; it goes on running.

    Parameters
    ----------
    strategy
        Its name.
    """
    return _do(reach(run, state), CancelAll(strategy), json=json)


@app.command
def kill(
    *, yes: bool = False, wait: float = FOLLOW_S, run: RunName = None, state: State = None, json: Json = False
) -> int:
    """Stop every strategy of a run and cancel all its orders, at once and whatever state it is in.

    Parameters
    ----------
    yes
        Do not ask whether that is meant.
    wait
        How many seconds to wait for what comes of it (10); 0: do not wait.
    """
    reached = reach(run, state)
    if not yes and not _sure(f"Stop {reached.name} ({reached.info.mode}) and cancel all its orders?"):
        raise UserError("nothing was done", "Answer yes, or give --yes.")
    since = time.time_ns()
    told = _kill(reached)
    if not json:
        print(told, flush=True)
    became = _became(reached, since, wait)
    if json:
        print(text_json.dumps(" ".join((told, *became))))
    else:
        print(*became, sep="\n", end="\n" if became else "", flush=True)
    return 2 if any(NOT_KNOWN in each for each in became) else 0


def _kill(reached: Reached) -> str:
    """Have it killed, by its guard where it does not answer; what was done."""
    try:
        return str(reached.ask(Kill()))
    except UserError as error:
        if reached.info.guard is None:
            raise
        pid = fire_guard(Path(reached.info.guard))
        Console().error(error.message)
        return f"the engine does not answer; its guard (process {pid}) was told to cancel every order of {reached.name}"


def _became(reached: Reached, since: int, wait: float) -> Sequence[str]:
    """What came of a kill in the time that is waited."""
    began = time.monotonic()
    follow = Follow(began)
    while time.monotonic() - began < wait:
        time.sleep(min(LOOK_S, wait))
        told = list(follow.take(_progress(reached, since), time.monotonic()))
        if follow.over:
            return told
    standing = _progress(reached, since) if wait > 0 else None
    return [] if wait <= 0 else [NOT_KNOWN if standing is None else f"{standing.told}; {NOT_KNOWN}"]


def _progress(reached: Reached, since: int) -> Progress | None:
    if reached.info.guard is not None:
        return progress_of_guard(Path(reached.info.guard), since)
    try:
        return progress_of_engine(reached.ask(GetStatus()))
    except UserError:  # it hangs, or is gone
        return None


def _do(reached: Reached, action: Action, *, json: bool) -> int:
    told = reached.ask(action)
    print(text_json.dumps(told) if json else told, flush=True)
    return 0


def _sure(question: str) -> bool:
    if not sys.stdin.isatty():
        return False
    print(f"{question} [yes/no] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


# -- showing -----------------------------------------------------------------------------------------------------------


def _print_json(value: Any) -> int:
    print(msgspec.json.encode(value).decode(), flush=True)
    return 0


def _table(heading: Cells, rows: Iterable[Cells], nothing: str) -> int:
    """Print a table; a heading that begins with `<` is of numbers, set to the right."""
    from rich import box
    from rich.console import Console as RichConsole
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for each in heading:
        table.add_column(each.lstrip("<"), justify="right" if each.startswith("<") else "left", overflow="fold")
    for row in rows:
        # as text: what stands in an order's id is no markup
        table.add_row(*(Text(cell) for cell in row))
    if table.row_count:
        RichConsole(width=None if sys.stdout.isatty() else WIDE).print(table)
    else:
        print(nothing)
    return 0


def _show_status(told: Status) -> int:
    since = "none yet" if told.since_event_s is None else f"{_age(told.since_event_s)} ago"
    made = ", ".join(f"{amount} {coin}" for coin, amount in told.profit.items()) or "0"
    lines: Mapping[str, str] = {
        "run": f"{told.name} ({told.mode}), for {_age((told.now - told.started) / 1e9)}",
        "market data": f"{told.events:,} events, the last {since}",
        "activity": f"{told.orders:,} orders, {told.fills:,} fills, {told.errors:,} errors",
        "profit": made,
    }
    for name, line in lines.items():
        print(f"{name:<12} {line}")
    _table(
        ("strategy", "state", "<open orders", "<errors", "accounts"), map(_strategy, told.strategies), "no strategies"
    )
    links = [(each.name, each.status, each.detail) for each in told.links]
    return _table(("connection", "state", ""), links, "no connections")


def _strategy(each: StrategyState) -> Cells:
    return each.name, each.phase, str(each.open_orders), str(each.errors), ", ".join(each.accounts)


def _position(each: Position) -> Cells:
    account = f"{each.exchange} {each.account}"
    return each.strategy, account, each.instrument, each.quantity, each.entry or "", each.at_exchange or "not said"


def _order(each: OrderRow) -> Cells:
    return (
        each.strategy,
        f"{each.exchange} {each.account}",
        each.instrument,
        each.side,
        (each.price or "market") + (f" at {each.trigger}" if each.trigger else ""),
        each.quantity,
        each.leaves,
        each.state,
        _age(each.age_s),
        each.client_id,
    )


def _profit(each: Profit) -> Cells:
    return each.strategy, each.coin, each.realised, each.unrealised or "not known", each.fees, each.traded


def _entry(each: AuditEntry) -> Cells:
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(each.ts / 1e9))
    return at, each.run, each.who, each.action, each.detail, each.outcome


def _age(seconds: float) -> str:
    """A length of time in the two units that say most."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 24 else f"{hours // 24} d {hours % 24} h"
