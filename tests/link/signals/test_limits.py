"""Whatever the market, the script and the exchange's delays do: no bot ever holds more than it may, none floods the
exchange, and each gets where it wants to be in the end."""

import random
from typing import Any

import pytest

from mlthon.engine.clock import SECOND
from tests.link.signals.kit import Table

SLOW = (
    "exchanges.Bybit.entry_latency.model=lognormal",
    "exchanges.Bybit.entry_latency.ms=20",
    "exchanges.Bybit.entry_latency.median_ms=80",
    "exchanges.Bybit.response_latency.ms=120",
)
GRID = {"grid_count": 4, "grid_spread": 0.05, "max_order_size": 0.1, "order_refresh_delay": 0.2}

BOTS: dict[str, tuple[str, dict[str, Any], tuple[float, float]]] = {
    "position at market": ("position", {"max_position_size": 1.0}, (-1.0, 1.0)),
    "position with patience": ("position", {"max_position_size": 1.0, "order_fill_delay": 1.5}, (-1.0, 1.0)),
    "position post-only": (
        "position",
        {"max_position_size": 1.0, "limit_post_only": True, "order_min_pct_change": 5, "stop_loss_pct": 0.2},
        (-1.0, 1.0),
    ),
    "neutral grid": ("neutral_grid", {**GRID, "stop_loss_pct": 0.4}, (-0.4, 0.4)),
    "post-only grid": ("neutral_grid", {**GRID, "limit_post_only": True}, (-0.4, 0.4)),
    "short grid": ("short_grid", {**GRID, "grid_side": "both", "trail_stop_loss_pct": 0.1}, (-0.4, 0.0)),
    "long grid": ("long_grid", {**GRID, "grid_side": "buy", "take_profit_pct": 0.1}, (0.0, 0.4)),
    "market maker": ("market_maker", {"max_position_size": 1.0, "order_refresh_delay": 0.1}, (-1.0, 1.0)),
    "post-only maker": ("market_maker", {"max_position_size": 1.0, "limit_post_only": True}, (-1.0, 1.0)),
}


def walk(table: Table, kind: str, draw: random.Random, steps: int) -> list[float]:
    """A market that wanders, trades, jumps, and a script that signals all the time; what was held after each step."""
    price, held = 30000.0, []
    for _ in range(steps):
        price = round(price + draw.choice((-0.1, 0.1)) * draw.choice((1, 5, 20, 200)), 1)
        table.quote(price, bid_lots=draw.choice((50, 500, 5000)), ask_lots=draw.choice((50, 500, 5000)))
        if draw.random() < 0.5:
            table.trade(price + draw.choice((0.0, 0.1)), draw.randrange(1, 400), draw.choice((1, -1)))
        if draw.random() < 0.3:
            table.signal(**intent(kind, price, draw), settle=False)
        table.wait(draw.choice((0.001, 0.05, 0.4)))
        held.append(table.held)
    return held


def intent(kind: str, price: float, draw: random.Random) -> dict[str, Any]:
    off = draw.choice((-20.0, -3.0, 0.0, 3.0, 20.0))
    if kind == "position":
        return {"size": draw.choice((-1, -0.5, -0.05, 0, 0.05, 0.5, 1, 3))}
    if kind == "market_maker":
        return {"quote": draw.choice((price + off, [price + off - 5, price + off + 5], [price + off, None]))}
    return {{"neutral_grid": "mid", "short_grid": "ask", "long_grid": "bid"}[kind]: price + off}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", BOTS)
def test_a_bot_holds_no_more_than_it_may(name: str, seed: int) -> None:
    kind, params, (low, high) = BOTS[name]
    table = Table(kind, params, settings=SLOW)
    table.wait(1)
    held = walk(table, kind, random.Random(f"{name} {seed}"), 400)
    assert low - 1e-9 <= min(held)
    assert max(held) <= high + 1e-9
    assert min(held) < max(held), "something happened"
    assert table.bot.session.failures == 0
    table.wait(5)
    assert table.size(table.bot.position.lots) == pytest.approx(table.held)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["position at market", "position with patience", "position post-only"])
def test_a_position_bot_gets_where_it_should_be(name: str, seed: int) -> None:
    kind, params, _ = BOTS[name]
    table = Table(kind, {**params, "stop_loss_pct": 50.0}, settings=SLOW)
    draw = random.Random(seed)
    walk(table, kind, draw, 200)
    table.signal(size=-0.35)
    for step in range(200):
        table.quote(29000.0 + step / 10 * draw.choice((-1, 1)))
        table.wait(1)
    assert table.held == pytest.approx(-0.35)
    assert table.orders() == []


@pytest.mark.parametrize("name", ["neutral grid", "market maker", "position post-only"])
def test_requests_keep_within_one_an_order_and_round_trip(name: str) -> None:
    kind, params, _ = BOTS[name]
    table = Table(kind, {**params, "order_refresh_delay": 0.0} if kind != "position" else params, settings=SLOW)
    table.wait(1)
    before = table.clock.now
    walk(table, kind, random.Random(5), 300)
    seconds = (table.clock.now - before) / SECOND
    slots = 1 if kind == "position" else 2 if kind == "market_maker" else 12
    round_trip = 0.14
    assert table.requests.count("new", "modify", "cancel") <= 2 * slots * seconds / round_trip
