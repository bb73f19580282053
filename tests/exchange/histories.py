"""Random histories of markets and orders: made once from a seed, played on any exchange.

Prices wander, books are one-sided or crossed at times, accounts are poor enough to be liquidated.
"""

from random import Random
from typing import Any

from mlthon.basics.defs import TIF, ExecInstructions, OrderType
from mlthon.engine.clock import MS
from mlthon.engine.faces import NO_ASK, NO_BID
from tests.exchange.rig import ALL, INVERSE, Rig

ACCOUNTS = ("a", "b", "c")
Step = tuple[Any, ...]
TYPES = (OrderType.Limit,) * 6 + (OrderType.Market,) * 2 + (OrderType.Stop, OrderType.StopLimit, OrderType.TakeProfit)
TIFS = (TIF.GTC,) * 5 + (TIF.IOC, TIF.FOK, TIF.Day)
INSTRUCTIONS = (ExecInstructions.Unset,) * 4 + (
    ExecInstructions.PostOnly,
    ExecInstructions.ReduceOnly,
    ExecInstructions.PostOnlyReduceOnly,
)


def history(seed: int, steps: int, trades: bool = True, quotes: bool = True, depth: bool = True) -> list[Step]:
    """A list of (method, arguments) for `play`."""
    rng = Random(seed)
    mids = dict.fromkeys(ALL, 400)
    made: list[Step] = []
    for number in range(steps):
        instrument = rng.choice(ALL)
        mids[instrument] = mid = max(20, mids[instrument] + rng.choice((-9, -3, -1, -1, 0, 0, 0, 1, 1, 3, 9)))
        kind = rng.random()
        if kind < 0.35 and quotes:
            bid, ask = mid - rng.randint(0, 2), mid + rng.randint(1, 3)
            odd = rng.random()
            if odd < 0.03:
                bid = NO_BID
            elif odd < 0.06:
                ask = NO_ASK
            elif odd < 0.09:
                bid, ask = ask + 2, bid - 2
            bid_qty, ask_qty = rng.randint(1, 30) * (bid != NO_BID), rng.randint(1, 30) * (ask != NO_ASK)
            made.append(("quote", bid, bid_qty, ask, ask_qty, instrument))
        elif kind < 0.5 and trades:
            made.append(("trade", mid + rng.randint(-2, 3), rng.randint(1, 40), rng.choice((1, -1)), instrument))
        elif kind < 0.6 and depth:
            op, sign = rng.choice(((0, -1), (1, 1)))
            made.append(("depth", op, mid + sign * rng.randint(0, 8), rng.choice((0, rng.randint(1, 40))), instrument))
        elif kind < 0.85:
            made.append(("order", number, *_order(rng, instrument, mid)))
        elif kind < 0.9:
            made.append(("cancel", rng.randint(max(0, number - 15), number)))
        elif kind < 0.95:
            price = None if rng.random() < 0.4 else mid + rng.randint(-8, 8)
            qty = None if price is not None and rng.random() < 0.5 else rng.randint(1, 60)
            made.append(("modify", rng.randint(max(0, number - 15), number), price, qty))
        elif kind < 0.96:
            made.append(("funding", rng.choice((0.001, -0.002, 0.05))))
        else:
            made.append(("wait", rng.randint(0, 20) * MS))
    return made


def _order(rng: Random, instrument: Any, mid: int) -> tuple[Any, ...]:
    order_type = rng.choice(TYPES)
    side = rng.choice((1, -1))
    stops = order_type in (OrderType.Stop, OrderType.StopLimit, OrderType.TakeProfit)
    direction = -side if order_type is OrderType.TakeProfit else side
    return (
        rng.choice(ACCOUNTS),
        instrument,
        side,
        mid + rng.randint(-8, 8) if order_type in (OrderType.Limit, OrderType.StopLimit) else 0,
        rng.choice((rng.randint(2, 40), 400)),
        order_type,
        rng.choice(TIFS),
        rng.choice(INSTRUCTIONS) if order_type is OrderType.Limit else ExecInstructions.Unset,
        mid + direction * rng.randint(1, 10) if stops else None,
        stops and rng.random() < 0.3,
    )


def play(rig: Rig, steps: list[Step], conserved: bool = False) -> None:
    """Play a history; `conserved`: check after every step that no money came or went."""
    ids: dict[int, str] = {}
    for kind, *args in steps:
        if kind == "quote":
            rig.quote(*args)
        elif kind == "trade":
            rig.trade(*args)
        elif kind == "depth":
            op, price, qty, instrument = args
            rig.exchange.market(instrument).on_book(op, price, qty, price, rig.clock.now)
            rig.run()
        elif kind == "order":
            number, account, instrument, side, price, qty, order_type, tif, instruction, stop, close = args
            ids[number] = rig.order(
                side,
                price,
                qty,
                account=account,
                instrument=instrument,
                order_type=order_type,
                tif=tif,
                exec_instr=instruction,
                stop=stop,
                close=close,
            )
        elif kind == "cancel" and args[0] in ids:
            rig.cancel(ids[args[0]])
        elif kind == "modify" and args[0] in ids:
            rig.modify(ids[args[0]], args[1], args[2])
        elif kind == "funding":
            for instrument in (ALL[0], INVERSE):
                rig.exchange.market(instrument).set_funding(args[0], rig.clock.now + 5 * MS)
        elif kind == "wait":
            rig.run(args[0])
        if conserved:
            rig.check_conserved()


def poor(**config: Any) -> Rig:
    """Three accounts that a few ticks can ruin."""
    config.setdefault("balances", {"USDT": 120.0, "ONE": 3.0, "TWO": 3.0})
    return Rig(ACCOUNTS, **config)
