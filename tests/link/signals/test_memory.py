"""What a signal bot still knows after a restart."""

from typing import Any

import pytest

from mlthon.engine.clock import SECOND
from mlthon.engine.state import MemoryState
from mlthon.link.host.desk import HeldPosition
from mlthon.link.signals.intents import Quote
from mlthon.link.signals.memory import BotMemory
from mlthon.link.signals.position import BotPosition
from tests.link.signals.kit import START, Table

GRID: dict[str, Any] = {"grid_count": 2, "grid_spread": 1, "max_order_size": 0.1}
TRAILING = {**GRID, "trail_stop_loss_pct": 2, "trail_stop_loss_entry_pct": 3}


def holding(lots: int, entry: float) -> Any:
    """An account that holds this, whatever happens."""

    def ask(instrument: Any, done: Any) -> None:
        done(HeldPosition(instrument, lots, entry, entry, None))

    return ask


def started(
    state: MemoryState,
    kind: str = "position",
    params: dict[str, Any] | None = None,
    *,
    at_s: float = 0,
    bid: float = 30000.0,
    **more: Any,
) -> Table:
    """A run of a bot that keeps what it knows in `state`."""
    return Table(
        kind, params or {"max_position_size": 1.0}, start=START + round(at_s * SECOND), bid=bid, state=state, **more
    )


def requests(table: Table) -> list[tuple[float | None, float]]:
    """(price, size) of every new order."""
    return [(price, size) for _, price, size in table.sent()]


# -- the last signal ---------------------------------------------------------------------------------------------------


def test_it_goes_on_with_the_last_signal() -> None:
    state = MemoryState()
    started(state).signal(size=0.5)
    again = started(state, at_s=600, position=holding(200, 30000.0))
    assert again.bot.intent == 0.5
    assert requests(again) == [(None, pytest.approx(0.3))]
    again.signal(size=0.5)
    assert again.requests.count("new") == 1, "it has been said before"


@pytest.mark.parametrize(
    ("kind", "params", "signal", "intent", "lasts"),
    [
        ("position", {"max_position_size": 1.0}, {"size": "-0.5"}, -0.5, 3600),
        ("neutral_grid", GRID, {"mid": 30000}, 30000.0, 60),
        ("market_maker", {"max_position_size": 1.0}, {"quote": (29000, None)}, Quote(29000.0, None), 60),
    ],
)
def test_a_signal_that_is_too_old_counts_no_more(
    kind: str,
    params: dict[str, Any],
    signal: dict[str, Any],
    intent: Any,
    lasts: float,
    caplog: pytest.LogCaptureFixture,
) -> None:
    state = MemoryState()
    started(state, kind, params).signal(**signal)
    young = started(state, kind, params, at_s=lasts - 1)
    assert young.bot.intent == intent
    assert young.requests.count("new")
    assert "goes on with the last signal" in caplog.text
    old = started(state, kind, params, at_s=lasts + 5, position=holding(100, 30000.0))
    assert old.bot.intent is None
    assert old.requests.count("new") == 0
    assert "waits for a new signal: the last one" in caplog.text
    old.signal(**signal)
    assert old.requests.count("new")


def test_how_old_a_signal_may_be_can_be_said() -> None:
    state = MemoryState()
    started(state).signal(size=0.5)
    assert started(state, at_s=20, lasts_s=10).bot.intent is None
    assert started(state, at_s=7200, lasts_s=10_000).bot.intent == 0.5
    assert started(state, at_s=1, lasts_s=0).bot.intent is None


def test_a_signal_that_is_repeated_stays_young() -> None:
    state = MemoryState()
    table = started(state, lasts_s=100)
    for _ in range(10):
        table.signal(size=0.5)
        table.wait(30)
    assert started(state, at_s=350, lasts_s=100).bot.intent == 0.5


def test_signals_that_say_nothing_are_not_kept() -> None:
    state = MemoryState()
    table = started(state)
    table.signal(size=0.5)
    table.signal(size="much")
    table.signal(mid=30000)
    assert started(state, at_s=1).bot.intent == 0.5


def test_a_clock_that_was_set_back_makes_no_signal_younger() -> None:
    state = MemoryState()
    started(state, at_s=7200).signal(size=0.5)
    assert started(state).bot.intent is None


# -- exits -------------------------------------------------------------------------------------------------------------


def test_what_an_exit_has_used_up_is_used_up_however_long_ago() -> None:
    state = MemoryState()
    table = started(state, params={"max_position_size": 1.0, "stop_loss_pct": 1})
    table.signal(size=0.5)
    table.quote(29000.0)
    assert table.held == 0
    again = started(state, at_s=50_000)
    again.signal(size=0.5)
    assert again.requests.count("new") == 0
    assert "closed by stop loss" in again.bot.status()
    again.signal(size=0.4)
    assert again.held == 0.4
    third = started(state, at_s=50_100, position=holding(400, 30000.0))
    assert third.bot.exited is None


def test_an_exit_that_was_under_way_is_finished() -> None:
    state = MemoryState()
    params = {"max_position_size": 1.0, "stop_loss_pct": 1}
    table = started(state, params=params)
    table.signal(size=0.5)
    table._lane(table.ticks(29000), 10**7, table.ticks(29001), 10**7, table.clock.now, table.clock.now)
    assert table.held == 0.5, "the order has not arrived"
    # the price has come back meanwhile, so that no exit is due any more
    again = started(state, params=params, at_s=20_000, position=holding(500, 30000.1))
    assert requests(again) == [(None, -0.5)]


def test_an_exit_that_is_over_closes_nothing_after_a_restart() -> None:
    state = MemoryState()
    params = {"max_position_size": 1.0, "stop_loss_pct": 1}
    table = started(state, params=params)
    table.signal(size=0.5)
    table.quote(29000.0)
    again = started(state, params=params, at_s=10, position=holding(100, 30000.0))
    assert requests(again) == [], "somebody else's position"


# -- the trailing stop -------------------------------------------------------------------------------------------------


def trailing(state: MemoryState, *, sign: int = 1) -> Table:
    """A grid that has bought (or sold) 0.1 at 1 % from 30000 and has since seen a gain of 5 %."""
    table = started(state, *side(sign))
    table.signal(**{"bid" if sign > 0 else "ask": 30000})
    table.quote(30000 * (1 - 0.0101 * sign))
    assert table.held == pytest.approx(0.1 * sign)
    table.quote(30000 * (1 + 0.04 * sign))
    assert table.bot.exited is None
    return table


def side(sign: int) -> tuple[str, dict[str, Any]]:
    """A grid that only buys, or only sells."""
    name, word = ("long_grid", "buy") if sign > 0 else ("short_grid", "sell")
    return name, {**TRAILING, "grid_side": word}


@pytest.mark.parametrize("sign", [1, -1])
def test_the_trailing_stop_goes_on_from_the_best_price(sign: int) -> None:
    state = MemoryState()
    first = trailing(state, sign=sign)
    best, entry = first.bot.position.best, first.bot.position.entry
    price = first.price(round(entry))
    # 1.5 % back from the best price: the stop has not been reached
    near = round(best / 10 * (1 - 0.015 * sign))
    again = started(state, *side(sign), at_s=3600, bid=near, position=holding(100 * sign, price))
    assert again.bot.position.best == best
    assert again.requests.count("new") == 0
    # what now comes back to 2.5 % from the best price has been a gain of 3 % before the restart
    again.quote(round(best / 10 * (1 - 0.025 * sign)))
    assert requests(again) == [(None, pytest.approx(-0.1 * sign))]
    assert "closed by trailing stop" in again.bot.status()


def test_without_a_memory_the_trailing_stop_would_begin_anew() -> None:
    state = MemoryState()
    first = trailing(state)
    best, price = first.bot.position.best, first.price(round(first.bot.position.entry))
    again = started(MemoryState(), *side(1), at_s=3600, bid=round(best / 10 * 0.975), position=holding(100, price))
    assert again.requests.count("new") == 0


@pytest.mark.parametrize("lots", [-100, 0])
def test_the_best_price_of_another_position_counts_for_nothing(lots: int) -> None:
    state = MemoryState()
    best = trailing(state).bot.position.best
    again = started(state, *side(1), at_s=3600, bid=30000, position=holding(lots, 30000.0))
    assert again.bot.position.best != best
    assert again.bot.exited is None


def test_a_position_that_grew_or_shrank_meanwhile_is_the_same_one() -> None:
    state = MemoryState()
    best = trailing(state).bot.position.best
    again = started(state, *side(1), at_s=3600, bid=30900, position=holding(150, 29650.0))
    assert (again.bot.position.lots, again.bot.position.best) == (150, best)


# -- positions counted by fills ----------------------------------------------------------------------------------------


def test_a_bot_that_shares_its_account_begins_with_what_its_fills_say() -> None:
    state = MemoryState()
    first = started(state, position=None)
    first.signal(size=0.5)
    again = started(state, at_s=10, position=None, held=500)
    assert again.requests.count("new") == 0
    assert again.bot.position.entry == first.bot.position.entry
    bare = started(MemoryState(), params={"max_position_size": 1.0, "stop_loss_pct": 1}, position=None, held=500)
    assert bare.bot.position.entry == bare.ticks(30000.0), "nobody knows, so it counts from the first quote"
    bare.quote(29600.0)
    assert requests(bare) == [(None, -0.5)]


def test_fills_that_are_told_before_the_account_answers_are_in_its_answer() -> None:
    asked: list[Any] = []
    table = started(MemoryState(), position=lambda instrument, done: asked.append(done))
    table.bot.position.fill(-100, 300000)
    asked[0](HeldPosition(table.instrument, 0, 0.0, 0.0, None))
    table.signal(size=0.5)
    assert requests(table) == [(None, 0.5)]


# -- what is kept ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"value": 1}', '{"value": 0.5, "said": 1, "more": 2}', "null"])
def test_what_cannot_be_read_is_left_out(text: str, caplog: pytest.LogCaptureFixture) -> None:
    state = MemoryState()
    for key, value in (("signal", text), ("position", text)):
        state.put(key, value)
    memory = BotMemory(state)
    assert (memory.signal, memory.position) == (None, None)
    assert caplog.text.count("cannot be read") == 2


def test_a_value_that_no_bot_takes_is_left_out() -> None:
    state = MemoryState()
    BotMemory(state).heard("much", START, None, closing=False)
    assert started(state).bot.intent is None


class Counting(MemoryState):
    """Counts what is written."""

    writes = 0

    def put(self, key: str, value: str | None) -> None:
        self.writes += 1
        super().put(key, value)


def test_what_has_not_changed_is_not_written_again() -> None:
    state = Counting()
    memory = BotMemory(state)
    before = state.writes
    position = BotPosition()
    position.set(5, 100.0)
    for number in range(1000):
        memory.heard(0.5, START + number * SECOND // 1000, None, closing=False)
        memory.stands(position)
    assert state.writes - before == 2


class Full(MemoryState):
    """A disk on which there is room for so many writes."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def put(self, key: str, value: str | None) -> None:
        self.room -= 1
        if self.room < 0:
            raise OSError("no space left")
        super().put(key, value)


@pytest.mark.parametrize("room", range(4))
def test_a_full_disk_keeps_no_bot_from_trading_and_closing(room: int, caplog: pytest.LogCaptureFixture) -> None:
    table = started(Full(room), params={"max_position_size": 1.0, "stop_loss_pct": 1})
    table.signal(size=0.5)
    assert table.held == 0.5
    table.quote(29000.0)
    assert (table.held, table.session.failures) == (0, 0)
    assert caplog.text.count("nothing more can be kept for a restart: no space left") == 1


def test_after_its_end_nothing_is_written() -> None:
    state = Counting()
    table = started(state)
    table.signal(size=0.5)
    table.engine.end()
    before = state.writes
    table.signal(size=1)
    assert state.writes == before
