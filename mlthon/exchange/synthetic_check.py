"""`python -m mlthon.exchange.synthetic_check [SECONDS [SEEDS]]`: the calibration table of the synthetic market.

Plays each profile on the embedded exchange, without strategies, and prints its figures beside the recorded ones.
"""

import sys
from collections.abc import Sequence
from random import Random
from statistics import fmean
from typing import Final

import attrs

from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import Exchange
from mlthon.data.calibration import Figures, calibrate
from mlthon.data.rows import Kind, RowLists
from mlthon.data.synthetic.generator import OrderFlow
from mlthon.data.synthetic.profiles import PROFILES, Profile
from mlthon.data.synthetic.recorded import RECORDED
from mlthon.engine.clock import SECOND, Clock
from mlthon.exchange.config import ExchangeConfig
from mlthon.exchange.exchange import EmbeddedExchange
from mlthon.exchange.synthetic_flow import SyntheticFlow

WARM_UP: Final = 20 * SECOND
"""The first seconds, in which the book builds up, are not measured."""


def measure(profile: Profile, seed: int, seconds: int) -> Figures:
    """The figures of the profile's own market, played on the embedded exchange."""
    instrument = resolve(Exchange.BinanceUsdm, "BTCUSDT")
    clock = Clock()
    rows = RowLists()
    exchange = EmbeddedExchange(Exchange.BinanceUsdm, [instrument], clock, ExchangeConfig(), Random(seed))
    exchange.publish_to(instrument, rows)
    order_flow = OrderFlow(profile, seed, 0, seconds * SECOND, profile.start_price or round(profile.price_ticks))
    on_row = SyntheticFlow(exchange.market(instrument), order_flow.start_price).on_row
    for chunk in order_flow.chunks():
        for clock.now, *row in zip(*(values.tolist() for values in (chunk.exch_ts, *chunk.arrays()[2:])), strict=True):
            on_row(*row)
    kinds = rows.take()
    quotes, trades = kinds[Kind.QUOTE], kinds[Kind.TRADE]
    return calibrate(*(each[int((each.exch_ts < WARM_UP).sum()) :] for each in (quotes, trades)))


def table(profile: Profile, seconds: int, seeds: int) -> str:
    """A Markdown table: recorded, synthetic (mean over the seeds from 0 on) and the error."""
    recorded = attrs.asdict(RECORDED[profile.name])
    measured = [attrs.asdict(measure(profile, seed, seconds)) for seed in range(seeds)]
    lines = [f"| {profile.name} | recorded | synthetic | error |", "|---|---:|---:|---:|"]
    for name, there in recorded.items():
        if name != "seconds":
            here = fmean(figures[name] for figures in measured)
            lines.append(f"| {name} | {there:.4g} | {here:.4g} | {here / there - 1:+.1%} |")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    try:
        seconds, seeds = (*map(int, arguments), *(3600, 3)[len(arguments) :])
    except ValueError:
        seconds = seeds = 0
    if seconds < 60 or seeds < 1:
        print("usage: python -m mlthon.exchange.synthetic_check [SECONDS (at least 60) [SEEDS]]", file=sys.stderr)
        return 2
    for profile in PROFILES.values():
        print(table(profile, seconds, seeds), end="\n\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
