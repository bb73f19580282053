"""The demo strategy live on local exchanges that play recorded markets and go on by themselves: `make end-to-end`, or
`python -m tests.clients.end_to_end [NAME...] [--seconds 120]`.

For each exchange a server is started on a recording (times shifted to now, cut off after a minute, so that the
synthetic market continues it), all websockets are cut every 18 s, and `demo_strat --mode live` trades there. When it
has ended, each order, fill and position of the strategy's journal is compared with the exchange's own books. A
difference makes the exit status 1.
"""

import argparse
import contextlib
import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import Exchange
from mlthon.basics.money import UNIT
from tests.processes import COMMAND
from tests.simulation.kill import account_at, compare, held_before, held_on_spot

HERE = Path(__file__).parent
DATA = Path(os.environ.get("MLTHON_SHARED", HERE.parents[2] / "shared")) / "exchange-data"
CUT_S = 18
RECORDED_S = 60.0
GRACE_S = 60.0


class Case(NamedTuple):
    """An exchange of the comparison. `exchange`: as the server names it, `live`: as `--exchange` does; `recording`:
    under exchange-data; `set_`: settings of the strategy."""

    exchange: str
    live: str
    instrument: str
    recording: str
    set_: tuple[str, ...] = ()


CASES = {
    "bybit": Case("bybit", "Bybit", "byt:perp:btc-usdt", "bybit/cryptofeed/2026-08-09/BYBIT.first-half.jsonl.gz"),
    "binance-usdm": Case(
        "binance-usdm", "BinanceUsdm", "bnu:perp:btc-usdt", "binance-usdm/hftbacktest/btcusdt_20230404.dat.gz"
    ),
    "bitmex": Case(
        "bitmex", "BitMEX", "bmx:perp:btc-usd", "bitmex/cryptofeed/2021-07-22/BITMEX.ws.1.0.gz", ("symbol=btc-usd",)
    ),
    "binance": Case("binance", "Binance", "bin:spot:btc-usdt", "binance/hftbacktest/btcusdt_20240808.gz"),
}


class Outcome(NamedTuple):
    """What came of a run. `cuts`: how often websockets were cut."""

    problems: list[str]
    orders: int = 0
    fills: int = 0
    cuts: int = 0


def cut_off(recording: Path, folder: Path, seconds: float) -> Path:
    """A copy of a recording that ends early; lines begin with their time, or are cryptofeed's and short enough."""
    lines = gzip.decompress(recording.read_bytes()).splitlines(keepends=True)
    times = [int(found[0]) for line in lines if (found := re.match(rb"\d{16,19}(?= )", line))]
    kept = lines
    if times:
        unit = 10**9 if times[0] > 10**17 else 10**6
        kept = lines[: sum(1 for each in times if each < times[0] + seconds * unit)]
    copy = folder / recording.name
    copy.write_bytes(gzip.compress(b"".join(kept), 1))
    return copy


@contextlib.contextmanager
def served(case: Case, folder: Path, recording: Path) -> Iterator[str]:
    """A local exchange that plays the recording; its address. What it prints goes into `folder / "exchange.log"`."""
    command = [*COMMAND, "exchange", case.exchange, "--port", "0", "--data", str(recording)]
    command += ["--instruments", case.instrument, "--faults", f"disconnect={CUT_S}s"]
    log = folder / "exchange.log"
    with log.open("wb") as told, subprocess.Popen(command, stdout=told, stderr=told) as server:
        try:
            until = time.monotonic() + GRACE_S
            while (found := re.search(r"http://[\d.:]+", log.read_text())) is None:
                if server.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"the local exchange did not start: {log.read_text()}")
                time.sleep(0.05)
            yield found[0]
        finally:
            server.terminate()


def run(name: str, seconds: float, folder: Path, recorded_s: float = RECORDED_S) -> Outcome:
    """Trade on one exchange and compare."""
    case = CASES[name]
    recording = cut_off(DATA / case.recording, folder, recorded_s)
    settings = [f"live.journal={folder / 'run.journal'}", f"ops.state={folder / 'state'}"]
    settings.append(f'exchanges.{case.live}.instruments=["{case.instrument}"]')
    with served(case, folder, recording) as url:
        command = [*COMMAND, "demo_strat", "--mode", "live", "--exchange", case.live.lower(), "--url", url, "--json"]
        command += ["--duration", f"{seconds:g}s", "-v"]
        for setting in (*settings, *case.set_):
            command += ["--set", setting]
        before = account_at(url, case.exchange)
        try:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=seconds + GRACE_S, check=False
            )
            theirs = account_at(url, case.exchange)
        except (subprocess.TimeoutExpired, urllib.error.URLError) as error:
            return Outcome([str(error)])
    (folder / "run.log").write_text(done.stderr)
    if done.returncode:
        return Outcome([f"the run ended with {done.returncode}: {done.stderr[-2000:]}"])
    result = json.loads(done.stdout)
    spot = "spot" in case.instrument
    problems = compare(folder, theirs, held_on_spot(before, theirs) if spot else None)
    problems += standings_differ(result, held_before(theirs) if spot else None)
    verified = subprocess.run(
        [*COMMAND, "journal", "verify", str(folder / "run.journal")], capture_output=True, text=True, check=False
    )
    if verified.returncode:
        problems.append(f"the journal does not agree with itself: {verified.stderr}")
    if result["errors"]:
        problems.append(f"{result['errors']} errors of the strategy")
    cuts = (folder / "exchange.log").read_text().count("fault: disconnect: ")
    return Outcome(problems, len(theirs["orders"]), len(theirs["executions"]), cuts)


def standings_differ(result: dict[str, Any], held: Decimal | None) -> list[str]:
    """Where the run's own summary shows another position of the strategy than of the account, or orders left open. On
    spot the account's is what it holds of the coin, `held`, in whole lots."""
    found = [f"{each} was left open" for each in result["open_orders"]]
    for each in result["positions"]:
        mine, at_exchange = sum(map(Decimal, each["strategies"].values())), Decimal(each["at_exchange"])
        if held is not None:
            lot = Decimal(resolve(Exchange.Binance, each["instrument"]).qty_scale.step_units) / UNIT
            if at_exchange != held - held % lot:
                found.append(f"{each['instrument']}: the summary says the account holds {at_exchange}, it holds {held}")
        elif mine != at_exchange:
            found.append(f"{each['instrument']}: the strategy holds {mine}, the account {at_exchange}")
    return found


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.clients.end_to_end", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CASES)}; all without any")
    parser.add_argument("--seconds", type=float, default=120.0, help="how long the strategy trades on each")
    parser.add_argument("--keep", type=Path, help="a folder for the journals and logs")
    wished = parser.parse_args()
    strange = [name for name in wished.names if name not in CASES]
    if strange:
        parser.error(f"no exchange {', '.join(strange)}; there are {', '.join(CASES)}")
    if not DATA.is_dir():
        parser.error(f"the recordings are not there: {DATA} (MLTHON_SHARED says where the folder above is)")
    console = Console()
    table = Table("exchange", "orders", "fills", "disconnects", "differences")
    failed = 0
    for name in wished.names or CASES:
        console.print(f"{name}: {wished.seconds:g} s ...")
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) if wished.keep is None else wished.keep / name
            folder.mkdir(parents=True, exist_ok=True)
            outcome = run(name, wished.seconds, folder)
        table.add_row(name, *(str(each) for each in outcome[1:4]), str(len(outcome.problems)))
        for problem in outcome.problems:
            console.print(f"  {problem}", markup=False, highlight=False)
        failed += bool(outcome.problems) or not outcome.fills
    console.print(table)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
