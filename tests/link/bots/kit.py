"""Markets written for a test, and runs of bots on them as a user starts them.

A market is a path of prices: at each step a quote, one tick either side of the price, and 100 ms later a trade at the
price, whose size in lots is its number from 1: so a trade is known by its size whatever the clock. The same rows that
go into the store are here for a test to compute from what a bot must do.
"""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from attrs import frozen

from mlthon.basics.catalogue import resolve
from mlthon.basics.instrument import Instrument
from mlthon.basics.money import UNIT
from mlthon.data.rows import Kind, MemorySource, Stream
from mlthon.data.store.writing import store_rows
from mlthon.engine.clock import MS, SECOND
from mlthon.link.host.sources import EXCHANGES

BOTS = Path(__file__).parent
START = 1_735_689_600 * SECOND
"""2025-01-01 UTC, the beginning of a minute, hour and day."""
DEPTH = 1_000_000
"""Lots at the bid and at the ask."""


@frozen
class Market:
    """A market `src:sym`; `prices` in ticks, a step every `every` ns from `start` on."""

    src: str
    sym: str
    prices: tuple[int, ...]
    every: int
    start: int = START

    @property
    def instrument(self) -> Instrument:
        return resolve(EXCHANGES[self.src], self.sym)

    @property
    def tick(self) -> float:
        return self.instrument.price_scale.step_units / UNIT

    @property
    def lot(self) -> float:
        return self.instrument.qty_scale.step_units / UNIT

    def price(self, number: int) -> float:
        """The price of a step."""
        return float(self.prices[number] * self.instrument.price_scale.step.to_decimal())

    def bid(self, number: int) -> float:
        return float((self.prices[number] - 1) * self.instrument.price_scale.step.to_decimal())

    def ask(self, number: int) -> float:
        return float((self.prices[number] + 1) * self.instrument.price_scale.step.to_decimal())

    def quoted_at(self, number: int) -> int:
        """When a step's quote is (ns)."""
        return self.start + number * self.every

    def traded_at(self, number: int) -> int:
        return self.quoted_at(number) + 100 * MS

    def step_at(self, time: int) -> int:
        """The last step that is quoted at a time (ns)."""
        return min((time - self.start) // self.every, len(self.prices) - 1)

    def rows(self) -> dict[Stream, dict[str, list[int]]]:
        steps = range(len(self.prices))
        return {
            Stream(self.instrument, Kind.QUOTE): {
                "exch_ts": [self.quoted_at(each) for each in steps],
                "a": [self.prices[each] - 1 for each in steps],
                "b": [DEPTH] * len(steps),
                "c": [self.prices[each] + 1 for each in steps],
                "d": [DEPTH] * len(steps),
            },
            Stream(self.instrument, Kind.TRADE): {
                "exch_ts": [self.traded_at(each) for each in steps],
                "a": list(self.prices),
                "b": [each + 1 for each in steps],
                "c": [1] * len(steps),
                "d": [each + 1 for each in steps],
            },
        }


def walk(
    src: str, sym: str, price: float, steps: int, every_s: float, *, seed: int = 1, move: int = 40, start: int = START
) -> Market:
    """A random walk from `price` by up to `move` ticks a step, pulled back to where it began."""
    draw = Random(f"{src} {sym} {seed}")
    tick = resolve(EXCHANGES[src], sym).price_scale.step_units / UNIT
    begin = now = round(price / tick)
    prices = []
    for _ in range(steps):
        prices.append(now)
        now += draw.randint(-move, move) - round((now - begin) / 20)
    return Market(src, sym, tuple(prices), round(every_s * SECOND), start)


@frozen
class Order:
    """An order sent: `at` in seconds since the run's first row would be; price None for a market order."""

    strategy: str
    at: float
    symbol: str
    side: str
    price: float | None
    size: float
    state: str
    exec_instr: str


@frozen
class Fill:
    strategy: str
    at: float
    symbol: str
    side: str
    price: float
    size: float
    position: float


@frozen
class Outcome:
    """What came of a run. `said`: the lines of JSON that bots printed."""

    result: dict[str, Any]
    orders: list[Order]
    fills: list[Fill]
    said: list[dict[str, Any]]
    errors: str

    def of(self, venue: str) -> list[Order]:
        """The orders of a venue, by its name."""
        return [each for each in self.orders if each.strategy.endswith(f".{venue}")]

    def filled(self, venue: str) -> list[Fill]:
        return [each for each in self.fills if each.strategy.endswith(f".{venue}")]


def roughen(text: str) -> str:
    """The text of a bot as two thirds of all bots are: some of its lines indented by tabs, so that Python refuses it.
    Lines inside strings of several lines are left alone."""
    rough = []
    quoted = False
    for number, line in enumerate(text.splitlines()):
        rest = line.lstrip(" ")
        deep = (len(line) - len(rest)) // 4
        rough.append("\t" * deep + rest if number % 2 and deep and not quoted else line)
        quoted ^= line.count('"""') % 2 == 1
    return "\n".join(rough) + "\n"


def place(folder: Path, bot: str, *, rough: bool = False, changes: Mapping[str, str] | None = None) -> Path:
    """A copy of a bot in a folder of its own; `rough`: one that Python would refuse; `changes`: texts put in place of
    others, that are there once."""
    text = (BOTS / f"{bot}.py").read_text("utf-8")
    for old, new in (changes or {}).items():
        if text.count(old) != 1:
            raise ValueError(f"{bot} has {old!r} {text.count(old)} times")
        text = text.replace(old, new)
    if rough:
        text = roughen(text)
        try:
            compile(text, bot, "exec")
        except (TabError, IndentationError):
            pass
        else:
            raise ValueError(f"{bot} compiles in spite of its tabs")
    file = folder / f"{bot}.py"
    file.write_text(text, "utf-8")
    return file


def run(
    folder: Path, file: Path, markets: Sequence[Market], *options: str, timeout: float = 100, **variables: str
) -> Outcome:
    """Run a bot on markets, as a user does."""
    store, report = folder / "store", folder / "report"
    if not store.exists():
        for market in markets:
            store_rows(MemorySource.from_arrays(market.rows()), store, f"{market.src} {market.sym}")
    subscribed = [f"--subscribe={each.src}:{each.sym}" for each in markets]
    data = ["--data", str(store)] if markets else []
    command = [sys.executable, "-m", "mlthon", file.name, *data, *subscribed, "--json"]
    done = subprocess.run(
        [*command, "--report", str(report), *options],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **variables},
        check=False,
    )
    if done.returncode:
        raise AssertionError(f"{file.name} ended with status {done.returncode}\n{done.stderr[-4000:]}")
    return Outcome(
        json.loads(done.stdout),
        [_order(row) for row in table(report, "orders")],
        [_fill(row) for row in table(report, "fills")],
        [json.loads(line[line.index("{") :].split(" [mlthon")[0]) for line in done.stderr.splitlines() if '{"' in line],
        done.stderr,
    )


def table(report: Path, name: str) -> list[dict[str, str]]:
    with (report / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def seconds(text: str) -> float:
    return datetime.fromisoformat(text[:26]).replace(tzinfo=UTC).timestamp()


def _order(row: dict[str, str]) -> Order:
    price = float(row["price"]) if row["price"] and row["type"] != "Market" else None
    at = seconds(row["ts"])
    side, size = row["side"], float(row["qty"])
    return Order(row["strategy"], at, row["instrument"], side, price, size, row["state"], row["exec_instr"])


def _fill(row: dict[str, str]) -> Fill:
    numbers = (float(row["price"]), float(row["qty"]), float(row["position"]))
    return Fill(row["strategy"], seconds(row["ts"]), row["instrument"], row["side"], *numbers)
