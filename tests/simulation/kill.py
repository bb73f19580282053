"""Live runs that are killed: sessions of a busy strategy against a local exchange, each ended by SIGKILL at a random
moment, and one that is allowed to end. Then journal and exchange must agree.

`python -m tests.simulation.kill --kills 50` does it for long.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

from tests.processes import COMMAND, local_exchange

INSTRUMENTS = {
    "bitmex": "bmx:perp:btc-usd",
    "bybit": "byt:perp:btc-usdt",
    "binance-usdm": "bnu:perp:btc-usdt",
    "binance": "bin:spot:btc-usdt",
}
STRATEGY = Path(__file__).with_name("busy.py")
BEGINS = "limits:"
"""What a live run says when all has been settled and it begins."""
WAIT_S = 240.0
LAST = "30s"
"""How long the last run goes: until then what was on its way at a kill may still be in doubt (it is given its validity
and a margin)."""
MOST_LAST = 5
"""How many last runs there may be: where one ends with an order that it has not seen to end (it is in doubt, or its
cancel came too late on a busy machine), the next one asks. Until then the order may trade, and the journal cannot know
it: whatever is compared then differs."""
OVER = ("Filled", "Cancelled", "Rejected", "Expired")
"""Words for orders that are over."""


class Session:
    """One live run in a folder. The journal stays from run to run."""

    def __init__(self, folder: Path, exchange: str, url: str, *more: str) -> None:
        # a state folder of its own: another test may run the same strategy
        settings = (f"live.journal={folder / 'run.journal'}", f"ops.state={folder / 'state'}", "live.guard=false")
        chosen = [word for setting in settings for word in ("--set", setting)]
        chosen += ["--set", f'exchanges.{_name(exchange)}.instruments=["{INSTRUMENTS[exchange]}"]']
        spoken = _name(exchange).lower()
        arguments = [str(STRATEGY), "--mode", "live", "--exchange", spoken, "--url", url, *chosen, "--json", *more]
        self.log = folder / "log"
        with self.log.open("ab") as told:
            self._begins = told.tell()
            self.process = subprocess.Popen([*COMMAND, *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=told)

    def begun(self) -> None:
        """Wait until it trades. Raises RuntimeError where it does not."""
        until = time.monotonic() + WAIT_S
        while BEGINS not in self.told():
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the run did not begin: {self.told()}")
            time.sleep(0.02)

    def told(self) -> str:
        """What it has said so far."""
        return self.log.read_bytes()[self._begins :].decode(errors="replace")

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.communicate()

    def end(self) -> dict[str, Any]:
        """Wait for its end; its summary. Orders may stay open: the rate limit may hold their cancels back."""
        out, _ = self.process.communicate(timeout=WAIT_S)
        if self.process.returncode:
            raise RuntimeError(f"the last run ended with {self.process.returncode}: {self.told()}")
        found: dict[str, Any] = json.loads(out)
        return found


def _name(exchange: str) -> str:
    return {"bitmex": "BitMEX", "bybit": "Bybit", "binance-usdm": "BinanceUsdm", "binance": "Binance"}[exchange]


def exported(folder: Path, what: str) -> list[dict[str, Any]]:
    """Rows of the journal."""
    command = [*COMMAND, "journal", "export", str(folder / "run.journal"), what]
    out = subprocess.run(command, check=True, capture_output=True).stdout
    return [json.loads(line) for line in out.splitlines()]


def account_at(url: str, exchange: str) -> dict[str, Any]:
    """The exchange's own books, with executions by the ids that the journal has."""
    with urllib.request.urlopen(f"{url}/admin/account?name=main", timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)
    if exchange.startswith("binance"):
        sided(found["executions"])
    return found


def sided(executions: list[dict[str, Any]]) -> None:
    """Give Binance's executions the ids that the journal has: a trade between two orders of one account is two
    executions with one number there, so the gateway adds the side."""
    for each in executions:
        each["exec_id"] += "b" if each["side"] > 0 else "s"


def held_before(account: dict[str, Any]) -> Decimal:
    """What there was of the coin that is traded."""
    return sum(
        (Decimal(amount) for coin, amount in account["balances"].items() if not coin.startswith("USD")), Decimal()
    )


def held_on_spot(before: dict[str, Any], after: dict[str, Any]) -> Decimal:
    """How much more there is of the coin that is traded (only derivatives have positions); fees are put back."""
    fees = [Decimal(each["fee"]) for each in after["executions"] if not each["fee_coin"].startswith("USD")]
    return held_before(after) - held_before(before) + sum(fees)


def killed_and_compared(
    folder: Path, exchange: str, kills: int, seed: int, durability: str = "process"
) -> tuple[list[str], Counter[str]]:
    """Kill that many runs, let one end, compare: what does not agree, and counts of what there was."""
    durable = ("--set", f"live.durability={durability}")
    rng = Random(seed)
    spot = "spot" in INSTRUMENTS[exchange]
    with local_exchange(exchange, "--instruments", INSTRUMENTS[exchange]) as url:
        before = account_at(url, exchange)
        for _ in range(kills):
            run = Session(folder, exchange, url, *durable)
            try:
                run.begun()
                time.sleep(rng.uniform(0.2, 2.5))
            finally:
                run.kill()
        last = settled(folder, exchange, url, durable)
        theirs = account_at(url, exchange)
    problems = []
    verified = subprocess.run([*COMMAND, "journal", "verify", str(folder / "run.journal")], check=False)
    if verified.returncode:
        problems.append("the journal does not agree with itself")
    problems += compare(folder, theirs, held_on_spot(before, theirs) if spot else None)
    return problems, Counter(orders=len(theirs["orders"]), fills=len(theirs["executions"]), last=last)


def settled(folder: Path, exchange: str, url: str, durable: tuple[str, ...]) -> int:
    """Have runs end by themselves until one leaves no order open; how many it took. The first goes on trading, the
    others only settle what is left. Raises RuntimeError where none does."""
    for count in range(1, MOST_LAST + 1):
        quiet = ("--set", "quiet=true") if count > 1 else ()
        left = Session(folder, exchange, url, "--duration", LAST, *durable, *quiet).end()["open_orders"]
        if not left:
            return count
    raise RuntimeError(f"{MOST_LAST} runs were allowed to end, and each left orders open: {', '.join(left)}")


def compare(folder: Path, theirs: dict[str, Any], held: Decimal | None = None) -> list[str]:
    """Where the journal and the exchange's books differ, in words. `held`: what the account got hold of; None: its
    positions."""
    orders = {row["wire_id"]: row for row in exported(folder, "orders")}
    fills = {row["exec_id"]: row for row in exported(folder, "fills")}
    found = []
    for each in theirs["orders"]:
        mine = orders.pop(each["client_id"], None)
        if mine is None:
            found.append(f"the journal does not know order {each['client_id']}")
        elif Decimal(str(mine["filled"])) != Decimal(each["filled"]):
            found.append(f"order {each['client_id']}: {mine['filled']} filled, at the exchange {each['filled']}")
        elif (mine["state"] in OVER) != (each["status"] in OVER):
            found.append(f"order {each['client_id']}: {mine['state']}, at the exchange {each['status']}")
    for wire_id, mine in orders.items():
        if mine["state"] not in OVER or Decimal(str(mine["filled"])):
            found.append(f"order {wire_id}: {mine['state']}, but it was never at the exchange")
    executed = {each["exec_id"]: each for each in theirs["executions"]}
    found += [f"fill {exec_id} was lost" for exec_id in executed.keys() - fills.keys()]
    found += [f"fill {exec_id} never happened" for exec_id in fills.keys() - executed.keys()]
    if held is None:
        held = sum(map(Decimal, theirs["positions"].values()), Decimal())
    mine_held = sum(row["side"] * Decimal(str(row["qty"])) for row in fills.values())
    if held != mine_held:
        found.append(f"the journal's fills make up {mine_held}; the account holds {held}")
    return found


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.kill", description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="of the moments at which runs are killed")
    parser.add_argument("--exchange", choices=sorted(INSTRUMENTS), default="bitmex")
    parser.add_argument("--durability", choices=["process", "power"], default="process")
    wished = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="mlthon-kill-"))
    problems, counts = killed_and_compared(folder, wished.exchange, wished.kills, wished.seed, wished.durability)
    made = f"{counts['orders']} orders, {counts['fills']} fills, {counts['last']} last runs"
    print(f"{wished.kills} kills: {made}, {len(problems)} differences")
    for problem in problems:
        print(f"  {problem}")
    if problems:
        print(f"journal and log are kept: {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
