"""The synthetic market: the same rows for the same seed, a sound book, figures like the recordings'."""

import hashlib
import os
import subprocess
import sys
from itertools import pairwise

import attrs
import numpy as np
import pytest

from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import Exchange
from mlthon.data.rows import Columns
from mlthon.data.synthetic.generator import CANCEL, LIMIT, MOVE, TAKE, OrderFlow
from mlthon.data.synthetic.profiles import BTC_2024, PROFILES, moved_share, profile_of
from mlthon.data.synthetic.recorded import RECORDED, TOLERANCES
from mlthon.engine.clock import SECOND
from mlthon.exchange.synthetic_check import main, measure
from tests.data import naive_market
from tests.data.naive_market import Session

HALF_HOUR = 1800


def rows(seed: int = 1, seconds: float = 95, chunk: int = 65_536, start: int = 5 * SECOND) -> Columns:
    return Columns.concat(list(OrderFlow(BTC_2024, seed, start, int(seconds * SECOND), 650_000).chunks(chunk)))


def session(seed: int = 1, seconds: int = 120) -> Session:
    return Session(OrderFlow(BTC_2024, seed, 0, seconds * SECOND, 650_000))


@pytest.mark.parametrize("chunk", [1, 7, 1000, 10**9])
def test_rows_do_not_depend_on_the_chunk_size(chunk: int) -> None:
    assert rows(seconds=25, chunk=chunk) == rows(seconds=25)


def test_chunks_are_full_but_the_last() -> None:
    sizes = [len(chunk) for chunk in OrderFlow(BTC_2024, 1, 0, 60 * SECOND, 650_000).chunks(100)]
    assert set(sizes[:-1]) == {100}
    assert 0 < sizes[-1] <= 100


def test_the_seed_alone_makes_the_rows() -> None:
    assert rows(seed=3) == rows(seed=3)
    assert rows(seed=3) != rows(seed=4)


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_rows_do_not_depend_on_the_hash_seed(hash_seed: str) -> None:
    code = (
        "from tests.data.test_synthetic import rows; import hashlib;"
        "print(hashlib.sha256(b''.join(x.tobytes() for x in rows().arrays())).hexdigest())"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": hash_seed}, capture_output=True, check=True
    )
    expected = hashlib.sha256(b"".join(values.tobytes() for values in rows().arrays())).hexdigest()
    assert ran.stdout.decode().strip() == expected


def test_a_longer_run_begins_like_a_shorter_one() -> None:
    short, long = rows(seconds=33), rows(seconds=95)
    assert long[: len(short)] == short


def test_rows_lie_in_their_time_in_order_and_are_well_formed() -> None:
    flow = rows()
    assert flow.exch_ts[0] == 5 * SECOND
    assert (np.diff(flow.exch_ts) >= 0).all()
    assert flow.exch_ts[-1] < 100 * SECOND
    assert set(np.unique(flow.a)) == {LIMIT, CANCEL, TAKE, MOVE}
    assert set(np.unique(flow.b)) == {-1, 1}
    assert (flow.d[flow.a != CANCEL] >= 1).all()
    assert (flow.d[flow.a == CANCEL] >= 0).all()
    assert (flow.c[flow.a == LIMIT] >= 0).all()


def test_a_move_says_its_direction() -> None:
    flow = rows(seconds=600)
    moves = flow.a == MOVE
    fair = np.concatenate(([0], flow.c[moves]))
    assert (np.sign(np.diff(fair)) == flow.b[moves]).all()


def test_the_fair_value_never_comes_near_zero() -> None:
    flow = OrderFlow(BTC_2024, 2, 0, 3600 * SECOND, 400)
    lowest = min(int(chunk.c[chunk.a == MOVE].min()) for chunk in flow.chunks())
    assert 400 + lowest >= 100


@pytest.mark.parametrize(
    ("seed", "duration", "price", "message"),
    [(-1, 1, 1, "seed"), (0, 0, 1, "duration"), (0, -5, 1, "duration"), (0, 1, 0, "start price")],
)
def test_bad_arguments_are_named(seed: int, duration: int, price: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OrderFlow(BTC_2024, seed, 0, duration, price)


def test_the_book_is_never_empty_locked_or_without_end() -> None:
    """The naive market itself refuses an order that would lock."""
    play = session(seconds=600)
    empty = []
    resting = []

    def watch() -> None:
        if play.now > 0:
            empty.append(not (play.market.bid_qty and play.market.ask_qty))
            resting.append(len(play.market.where))

    play.run(watch)
    assert len(empty) > 10_000
    assert not any(empty)
    assert max(resting) < 10_000


def test_what_a_stranger_takes_comes_back() -> None:
    """Someone buys 20 bitcoin every second: the next second finds asks at most a few ticks above the fair value."""
    play = session(seconds=60)
    gaps = []
    last = 0

    def watch() -> None:
        nonlocal last
        if play.now // SECOND > last:
            last = play.now // SECOND
            gaps.append(play.market.ask - play.flow.fair)
            play.market.take(1, 20_000)

    play.run(watch)
    assert len(gaps) > 50
    assert np.median(gaps) == 1
    assert max(gaps) < 100


def test_a_stale_order_of_a_stranger_is_taken() -> None:
    """An ask left behind by a rising fair value trades."""
    play = session(seconds=600)
    order_id = 0

    def watch() -> None:
        nonlocal order_id
        if order_id == 0 and play.now > SECOND:
            order_id = play.market.add(-1, play.flow.fair + 3, 500_000)
        if order_id and play.flow.fair >= play.market.where.get(order_id, (0, 1 << 60))[1]:
            raise AssertionError("the fair value is above an ask that still rests")

    play.run(watch)
    assert order_id
    assert order_id not in play.market.where or play.market.where[order_id][1] > play.flow.fair


@pytest.mark.parametrize("name", PROFILES)
def test_figures_are_like_the_recorded_ones(name: str) -> None:
    recorded, synthetic = attrs.asdict(RECORDED[name]), attrs.asdict(measure(PROFILES[name], 0, HALF_HOUR))
    off = {
        figure: (recorded[figure], synthetic[figure])
        for figure, tolerance in TOLERANCES.items()
        if abs(synthetic[figure] / recorded[figure] - 1) > tolerance
    }
    assert not off, f"{name}: recorded and synthetic figures are too far apart: {off}"


def test_the_exchange_and_the_naive_market_measure_alike() -> None:
    """All but the prints: the exchange publishes one a level, the naive market one a maker."""
    one = attrs.evolve(measure(BTC_2024, 5, 300), print_rate=0.0)
    other = attrs.evolve(naive_market.measure(BTC_2024, 5, 300), print_rate=0.0)
    for name, value in attrs.asdict(one).items():
        assert getattr(other, name) == pytest.approx(value, rel=1e-9), name


def test_profiles_fit_instruments() -> None:
    bybit = profile_of(resolve(Exchange.Bybit, "byt:perp:btc-usdt"))
    assert bybit.start_price == 650_000
    assert bybit.jump_scale / BTC_2024.jump_scale == pytest.approx(650 / 639)
    assert bybit.size_scale == pytest.approx(63.9 / 65)
    inverse = profile_of(resolve(Exchange.Bybit, "byt:perp:btc-usd"))
    assert inverse.start_price == 130_000
    assert inverse.size_scale == pytest.approx(63.9)
    assert profile_of(resolve(Exchange.Bybit, "byt:perp:eth-usdt")).name == "eth-2024"
    assert profile_of(resolve(Exchange.Bybit, "byt:perp:btc-usdt"), "1000.04").start_price == 10_000
    other = profile_of(resolve(Exchange.Bybit, "byt:perp:sol-usdt"))
    assert other.start_price == 100_000


@pytest.mark.parametrize("price", [0, -5, "0.01"])
def test_a_price_below_one_tick_is_refused(price: object) -> None:
    with pytest.raises(ValueError, match=r"byt:perp:btc-usdt.*give a price"):
        profile_of(resolve(Exchange.Bybit, "byt:perp:btc-usdt"), price)  # type: ignore[arg-type]


def test_every_instrument_gets_a_market_that_trades() -> None:
    for key in ("byt:perp:btc-usd", "byt:perp:doge-usdt", "byt:spot:eth-usdt"):
        profile = profile_of(resolve(Exchange.Bybit, key))
        play = Session(OrderFlow(profile, 1, 0, 60 * SECOND, profile.start_price))
        assert sum(map(len, play.run().values())) > 1000, key


@pytest.mark.parametrize("share", [0.0, 0.05, 1 / 3, 0.8, 1.2])
def test_moved_share_is_the_mean_of_the_chance(share: float) -> None:
    rank = (np.arange(100_000) + 0.5) / 100_000
    assert moved_share(share) == pytest.approx(np.minimum(3 * share * rank**2, 1).mean(), abs=1e-4)


def test_takers_come_at_the_stated_rate() -> None:
    flow = OrderFlow(BTC_2024, 11, 0, 4 * 3600 * SECOND, 650_000)
    takers = sum(int((chunk.a >= TAKE).sum()) for chunk in flow.chunks())
    assert takers / (4 * 3600) == pytest.approx(BTC_2024.taker_rate, rel=0.15)


def test_quantile_tables_rise() -> None:
    for profile in PROFILES.values():
        for table in (profile.take_sizes, profile.jumps, profile.add_sizes, profile.distances):
            assert all(a <= b for a, b in pairwise(table)), profile.name


def test_the_check_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["60", "1"]) == 0
    out = capsys.readouterr().out
    assert "| btc-2024 | recorded | synthetic | error |" in out
    assert out.count("| spread_mean | ") == 3


@pytest.mark.parametrize("arguments", [["x"], ["30"], ["100", "0"], ["100", "1", "1"]])
def test_the_check_refuses_what_it_cannot_do(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "usage" in capsys.readouterr().err
