"""Bots in the style of real ones, run as a user runs them, in a backtest and on paper: what they ordered and hold is
compared with what their logic says for the same market, computed here anew and in plain Python."""

from itertools import pairwise
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import pytest
from attrs import frozen

from mlthon.engine.clock import SECOND
from mlthon.link.contract import Call, WebAnswer, WebRequest
from tests.link.bot.kit import envelope, running, until
from tests.link.bots.kit import BOTS, START, Market, Order, Outcome, place, roughen, run, walk

MINUTE = 60 * SECOND


def decided(orders: list[Order]) -> list[tuple[str, float]]:
    return [(each.side, each.size) for each in orders]


# -- mean reversion ----------------------------------------------------------------------------------------------------


@frozen
class Reverting:
    """Where mean reversion trades, and how much at a time."""

    venue: str
    market: Market
    size: float


# the last order is some seconds before the end, so that what it comes to is known when a run on paper ends
REVERTING = {
    "woo": Reverting("WooPaper", walk("woo", "PERP_BTC_USDT", 60_000.0, 240, 5, seed=4), 0.002),
    "bitmex": Reverting("BitMEX", walk("bitmex", "XBTUSD", 60_000.0, 240, 5), 100.0),
    "bybit": Reverting("account1", walk("bybit", "BTCUSDT", 60_000.0, 240, 5), 0.002),
}


def run_reversion(folder: Path, place_: Reverting, *options: str) -> Outcome:
    """The bot as its owner would set it up there."""
    file = place(
        folder,
        "mean_reversion",
        rough=True,
        changes={
            '"WooPaper"': repr(place_.venue),
            "SIZE = 0.002": f"SIZE = {place_.size}",
            "LIMIT = 0.006": f"LIMIT = {3 * place_.size}",
        },
    )
    return run(folder, file, [place_.market], f"--venue={place_.venue}={place_.market.src}", *options)


def reversions(market: Market, first: int) -> list[tuple[int, str]]:
    """(step, side) of each order from the trade of the step `first` on."""
    found = []
    position = 0
    prices: list[float] = []
    for step in range(first, len(market.prices)):
        prices = [*prices, market.price(step)][-20:]
        if len(prices) < 20:
            continue
        mean, reach = fmean(prices), 1.6 * pstdev(prices)
        if prices[-1] > mean + reach and position > -3:
            position -= 1
            found.append((step, "Sell"))
        elif prices[-1] < mean - reach and position < 3:
            position += 1
            found.append((step, "Buy"))
    return found


def check_reversion(outcome: Outcome, there: Reverting, first: int) -> list[tuple[int, str]]:
    expected = reversions(there.market, first)
    assert len(expected) >= 5
    assert decided(outcome.of(there.venue)) == [(side, there.size) for _, side in expected]
    net = there.size * sum(1 if side == "Buy" else -1 for _, side in expected)
    last = outcome.said[-1]
    assert last["held"] == ({there.market.sym: pytest.approx(abs(net))} if net else {})
    assert outcome.fills[-1].position == pytest.approx(net)
    return expected


@pytest.mark.parametrize("there", REVERTING.values(), ids=REVERTING.keys())
def test_mean_reversion_in_a_backtest(tmp_path: Path, there: Reverting) -> None:
    outcome = run_reversion(tmp_path, there)
    expected = check_reversion(outcome, there, 0)
    assert outcome.said[-1]["position"] == pytest.approx(outcome.fills[-1].position)
    for (step, side), order, fill in zip(expected, outcome.orders, outcome.fills, strict=True):
        assert order.at == pytest.approx(there.market.traded_at(step) / SECOND, abs=0.5)
        assert fill.price == (there.market.ask(step) if side == "Buy" else there.market.bid(step))


@pytest.mark.slow
@pytest.mark.parametrize("there", REVERTING.values(), ids=REVERTING.keys())
def test_mean_reversion_on_paper(tmp_path: Path, there: Reverting) -> None:
    outcome = run_reversion(tmp_path, there, "--mode=paper", "--speed=35")
    first = round(outcome.said[-1]["first"] / there.market.lot) - 1
    check_reversion(outcome, there, first)


# -- a grid on timers --------------------------------------------------------------------------------------------------

RANGING = walk("bitmex", "XBTUSD", 60_000.0, 300, 3, move=30)


def grid(market: Market, at: int, net: float) -> list[tuple[str, float, float]]:
    """What a grid that is laid at a time (ns) orders."""
    seen = [step for step in range(len(market.prices)) if market.traded_at(step) <= at]
    prices = [market.price(step) for step in seen]
    step = (max(prices) - min(prices)) / 4
    now = market.step_at(at)
    found = []
    for rung in (1, 2, 3):
        if net > -400:
            found.append(("Sell", round((market.ask(now) + rung * step) / 0.5) * 0.5, 200.0))
        if net < 400:
            found.append(("Buy", round((market.bid(now) - rung * step) / 0.5) * 0.5, 200.0))
    return found


def batches(orders: list[Order], gap: float) -> list[list[Order]]:
    """Orders that were sent one after the other, apart by pauses."""
    found: list[list[Order]] = []
    for order in orders:
        if not found or order.at - found[-1][-1].at > gap:
            found.append([])
        found[-1].append(order)
    return found


def net_at(outcome: Outcome, time: float) -> float:
    return next((each.position for each in reversed(outcome.fills) if each.at <= time), 0.0)


def test_a_grid_on_timers_in_a_backtest(tmp_path: Path) -> None:
    outcome = run(tmp_path, place(tmp_path, "timer_grid", rough=True), [RANGING], "--venue=BitMEX=bitmex")
    laid = batches(outcome.orders, 30)
    assert len(laid) == 15
    assert outcome.fills
    for before, batch in enumerate(laid):
        at = batch[0].at
        # on_start looks every half second for a quote, of which the first comes while it waits
        assert at == pytest.approx(START / SECOND + 0.5 + 60 * before, abs=0.5)
        expected = grid(RANGING, round(at * SECOND), net_at(outcome, at))
        assert [(each.side, each.price, each.size) for each in batch] == expected
    assert all(each.state in ("filled", "cancelled") for each in outcome.orders)


@pytest.mark.slow
def test_a_grid_on_timers_on_paper(tmp_path: Path) -> None:
    market = walk("bitmex", "XBTUSD", 60_000.0, 40, 0.5, move=30)
    file = place(tmp_path, "timer_grid", rough=True)
    outcome = run(tmp_path, file, [market], "--venue=BitMEX=bitmex", "--mode=paper", GRID_INTERVAL="3")
    laid = batches(outcome.orders, 1)
    assert len(laid) >= 4
    for earlier, later in pairwise(laid):
        assert later[0].at - earlier[0].at == pytest.approx(3, abs=0.5)
    for batch in laid:
        net = net_at(outcome, batch[0].at)
        shapes = [[(side, size) for side, _, size in grid(market, round(START + 10 * SECOND), net)]]
        assert decided(batch) in shapes
        sells = [each.price for each in batch if each.side == "Sell" and each.price]
        buys = [each.price for each in batch if each.side == "Buy" and each.price]
        steps = {round(a - b, 1) for side in (sells, buys) for a, b in pairwise(side)}
        # rungs are equally far apart, to the tick, on both sides
        assert len({abs(each) for each in steps}) <= 2
        assert max(abs(each) for each in steps) - min(abs(each) for each in steps) <= 0.5


# -- an endless constructor --------------------------------------------------------------------------------------------

FOLLOWED = walk("bybit", "BTCUSDT", 60_000.0, 200, 3.7)


def follows(market: Market, every: int, first: int) -> list[tuple[int, str, float]]:
    """(time, side, size) of each order of a loop that looks at multiples of `every` ns after `first`."""
    found: list[tuple[int, str, float]] = []
    target, before = 0, None
    end = market.quoted_at(len(market.prices) - 1)
    for time in range(first - first % every + every, end, every):
        mid = market.prices[market.step_at(time)]
        wanted = target if before is None or mid == before else (1 if mid > before else -1)
        if wanted != target:
            found.append((time, "Buy" if wanted > 0 else "Sell", 0.01 * abs(wanted - target)))
        target, before = wanted, mid
    return found


def test_an_endless_constructor_in_a_backtest(tmp_path: Path) -> None:
    file = place(tmp_path, "endless_asyncio", rough=True)
    outcome = run(tmp_path, file, [FOLLOWED], "--venue=account1=bybit", LOOP_EVERY="20")
    expected = follows(FOLLOWED, 20 * SECOND, START)
    assert len(expected) >= 8
    assert decided(outcome.of("account1")) == [(side, pytest.approx(size)) for _, side, size in expected]
    for (time, _, _), order in zip(expected, outcome.orders, strict=True):
        assert order.at == pytest.approx(time / SECOND, abs=0.2)
    target = 1 if expected[-1][1] == "Buy" else -1
    assert outcome.said[-1] == {"fills": len(expected), "target": target}
    assert outcome.fills[-1].position == pytest.approx(0.01 * target)


@pytest.mark.slow
def test_an_endless_constructor_on_paper(tmp_path: Path) -> None:
    market = walk("bybit", "BTCUSDT", 60_000.0, 40, 0.4)
    file = place(tmp_path, "endless_asyncio", rough=True)
    outcome = run(tmp_path, file, [market], "--venue=account1=bybit", "--mode=paper", LOOP_EVERY="1")
    orders = outcome.of("account1")
    assert len(orders) >= 4
    sides = [each.side for each in orders]
    assert all(a != b for a, b in pairwise(sides)), "it is long or short, by turns"
    assert [each.size for each in orders] == [0.01] + [0.02] * (len(orders) - 1)
    last = outcome.said[-1]
    assert last == {"fills": len(orders), "target": 1 if sides[-1] == "Buy" else -1}
    assert outcome.fills[-1].position == pytest.approx(0.01 * last["target"])


# -- RSI of candles ----------------------------------------------------------------------------------------------------

SWINGING = walk("bitmex", "ETHUSD", 3_000.0, 720, 5, move=12)


def rsi(closes: list[float], period: int = 14) -> float:
    """Wilder's, from the first close on."""
    moves = [b - a for a, b in pairwise(closes)]
    up = fmean(max(each, 0) for each in moves[:period])
    down = fmean(max(-each, 0) for each in moves[:period])
    for each in moves[period:]:
        up = (up * (period - 1) + max(each, 0)) / period
        down = (down * (period - 1) + max(-each, 0)) / period
    return 100 * up / (up + down) if up + down else 0.0


def check_rsi(outcome: Outcome) -> int:
    """What the bot saw agrees with itself: each decision follows from the closes, and the orders from the decisions."""
    seen = outcome.said[-1]["seen"]
    closes: list[float] = []
    position = 0
    orders = []
    for _, close, value in seen:
        closes.append(close)
        if value is not None and value == value:
            if value < 43 and position < 2:
                position += 1
                orders.append(("Buy", 50.0))
            elif value > 57 and position > -2:
                position -= 1
                orders.append(("Sell", 50.0))
    assert decided(outcome.of("BitMEX")) == orders
    assert outcome.fills[-1].position == 50 * position
    return len(orders)


def test_rsi_of_candles_in_a_backtest(tmp_path: Path) -> None:
    outcome = run(tmp_path, place(tmp_path, "rsi_candles", rough=True), [SWINGING], "--venue=BitMEX=bitmex")
    assert check_rsi(outcome) >= 4
    minutes: dict[int, float] = {}
    for step in range(len(SWINGING.prices)):
        time = SWINGING.traded_at(step)
        minutes[(time - time % MINUTE) // 1_000_000] = SWINGING.price(step)
    closes = list(minutes.values())
    seen = outcome.said[-1]["seen"]
    assert [close for _, close, _ in seen] == closes[:-1]
    assert [minute for minute, _, _ in seen] == list(minutes)[1:]
    for number, (_, _, value) in enumerate(seen, 1):
        if number > 14:
            assert value == pytest.approx(rsi(closes[:number]))
        else:
            assert value != value, "no RSI of fewer than 15 closes"


@pytest.mark.slow
def test_rsi_of_candles_on_paper(tmp_path: Path) -> None:
    options = ("--venue=BitMEX=bitmex", "--mode=paper", "--speed=240")
    outcome = run(tmp_path, place(tmp_path, "rsi_candles", rough=True), [SWINGING], *options)
    assert check_rsi(outcome) >= 1


# -- a database, webhooks ----------------------------------------------------------------------------------------------

KEPT = walk("woo", "PERP_ETH_USDT", 3_000.0, 200, 3)


def test_a_database_and_a_schedule_in_a_backtest(tmp_path: Path) -> None:
    outcome = run(tmp_path, place(tmp_path, "sqlite_hooks", rough=True), [KEPT], "--venue=Woo X=woo")
    expected = []
    end = KEPT.traded_at(len(KEPT.prices) - 1)
    for look in range(START + MINUTE, end, MINUTE):
        steps = [each for each in range(len(KEPT.prices)) if look - MINUTE <= KEPT.traded_at(each) <= look]
        mean, last = fmean(KEPT.price(each) for each in steps), KEPT.price(steps[-1])
        if last != mean:
            expected.append((look, "Sell" if last > mean else "Buy", KEPT.step_at(look)))
    assert len(expected) == 9
    assert decided(outcome.of("Woo X")) == [(side, 0.1) for _, side, _ in expected]
    last = outcome.said[-1]
    assert last["trades"] == len(KEPT.prices)
    assert last["looks"] == 10
    prices = [KEPT.bid(step) if side == "Sell" else KEPT.ask(step) for _, side, step in expected]
    sides = [side for _, side, _ in expected]
    assert last["orders"] == [[side, 0.1, price, "cron"] for side, price in zip(sides, prices, strict=True)]


def test_a_database_behind_webhooks(tmp_path: Path) -> None:
    """In real threads: orders come in by webhooks, several at once, and the database gives them back."""
    (tmp_path / "here").mkdir()

    def answer(call: Call, bot: Any) -> dict[str, Any]:
        if call.name != "create_market_order":
            return envelope([])
        given = call.arguments
        return envelope({"order_size": given["size"], "order_price": 3000.0 + given["size"], "remain_size": 0.0})

    text = (BOTS / "sqlite_hooks.py").read_text("utf-8")
    source = roughen(text.replace('"Woo X"', '"WooPaper"').replace("Path(__file__).parent", f'Path("{tmp_path}")'))
    with running(tmp_path / "here", source, answer) as bot:
        until(lambda: bot.it is not None)
        orders = [("Buy" if number % 2 else "Sell", round(0.1 * number, 1)) for number in range(1, 9)]
        for number, (side, size) in enumerate(orders):
            bot.runtime.tell(WebRequest(number, "post", "order", {"side": side, "size": str(size)}))
        bot.host.wait(WebAnswer, len(orders))
        bot.runtime.tell(WebRequest(99, "get", "orders", {"by": "hook"}))
        found = bot.host.wait(WebAnswer, len(orders) + 1)
        assert (found.request, found.status) == (99, 200)
        expected = [(side, size, 3000.0 + size, "hook") for side, size in orders]
        assert sorted(map(tuple, found.value)) == sorted(expected)
        calls = bot.host.calls("create_market_order")
        assert {each.arguments["venue"] for each in calls} == {"WooPaper"}
        assert sorted(each.arguments["size"] for each in calls) == [size for _, size in orders]


# -- signals for a market maker ----------------------------------------------------------------------------------------

MADE = walk("bitmex", "XBTUSD", 60_000.0, 200, 3, move=30)
MAKER = """
[venues.BitMEX]
src = "bitmex"

[bots.make]
type = "Market Maker"
venue = "BitMEX"
symbol = "XBTUSD"
description = "quotes what the script says"
params = { max_position_size = 300, limit_post_only = true }
"""


def signals(market: Market) -> list[tuple[int, float, float]]:
    """(time, bid, ask) that the script says every ten seconds."""
    found = []
    fair, step = None, 0
    for time in range(START, market.traded_at(len(market.prices) - 1), 10 * SECOND):
        while step < len(market.prices) and market.traded_at(step) <= time:
            price = market.price(step)
            fair = price if fair is None else 0.9 * fair + 0.1 * price
            step += 1
        if fair is not None:
            mid = round(fair / 0.5) * 0.5
            found.append((time, mid - 20, mid + 20))
    return found


def run_maker(folder: Path, *options: str) -> Outcome:
    (folder / "signal_maker.toml").write_text(MAKER, "utf-8")
    return run(folder, place(folder, "signal_maker", rough=True), [MADE], *options)


def check_maker(outcome: Outcome) -> None:
    said = outcome.said[-1]["said"]
    quoted = {(side, price) for _, bid, ask in said for side, price in (("Buy", bid), ("Sell", ask))}
    orders = [each for each in outcome.orders if each.strategy == "bot.make"]
    assert len(orders) >= 10
    assert {(each.side, each.price) for each in orders} <= quoted
    assert {each.exec_instr for each in orders} == {"PostOnly"}
    positions = [each.position for each in outcome.fills]
    assert positions
    assert max(map(abs, positions)) <= 300


def test_signals_for_a_market_maker_in_a_backtest(tmp_path: Path) -> None:
    outcome = run_maker(tmp_path)
    said = [(round(time / 1000), bid, ask) for time, bid, ask in outcome.said[-1]["said"]]
    assert said == [(round(time / SECOND), bid, ask) for time, bid, ask in signals(MADE)]
    check_maker(outcome)


@pytest.mark.slow
def test_signals_for_a_market_maker_on_paper(tmp_path: Path) -> None:
    # the script's schedule goes by the wall clock
    outcome = run_maker(tmp_path, "--mode=paper", "--speed=20")
    said = outcome.said[-1]["said"]
    assert len(said) >= 2
    orders = [each for each in outcome.orders if each.strategy == "bot.make"]
    quoted = {(side, price) for _, bid, ask in said for side, price in (("Buy", bid), ("Sell", ask))}
    assert orders
    assert {(each.side, each.price) for each in orders} <= quoted


# -- a hedge over two venues -------------------------------------------------------------------------------------------

RESTING = walk("woo", "PERP_BTC_USDT", 60_000.0, 400, 1, move=60)
HEDGING = walk("bybit", "BTCUSDT", 60_000.0, 400, 1, move=10)
TWO = ("--venue=WooPaper=woo", "--venue=account1=bybit")


def check_hedge(outcome: Outcome) -> int:
    made, taken = outcome.filled("WooPaper"), outcome.of("account1")
    opposite = {"Buy": "Sell", "Sell": "Buy"}
    assert decided(taken) == [(opposite[each.side], pytest.approx(each.size)) for each in made]
    assert all(hedge.at >= fill.at for fill, hedge in zip(made, taken, strict=True))
    assert made[-1].position == pytest.approx(-outcome.filled("account1")[-1].position)
    held: dict[str, Any] = outcome.said[-1]["held"]
    assert held["WooPaper"] == pytest.approx(-held["account1"])
    assert outcome.said[-1]["hedges"] == len(made)
    assert all(each.state in ("filled", "cancelled") for each in outcome.orders)
    return len(made)


def test_a_hedge_over_two_venues_in_a_backtest(tmp_path: Path) -> None:
    outcome = run(tmp_path, place(tmp_path, "hedge", rough=True), [RESTING, HEDGING], *TWO)
    assert check_hedge(outcome) >= 5
    for order in outcome.of("WooPaper"):
        mid = RESTING.price(RESTING.step_at(round(order.at * SECOND)))
        assert order.price == pytest.approx(round(mid + (-0.25 if order.side == "Buy" else 0.25), 2))


@pytest.mark.slow
def test_a_hedge_over_two_venues_on_paper(tmp_path: Path) -> None:
    outcome = run(
        tmp_path, place(tmp_path, "hedge", rough=True), [RESTING, HEDGING], *TWO, "--mode=paper", "--speed=25"
    )
    assert check_hedge(outcome) >= 1
