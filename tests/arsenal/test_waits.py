"""Callbacks that wait: the engine goes on, the callback sees its own moment, others come after it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlthon.arsenal.pages import Fetched, Page, PageRequest, RequestFailed
from mlthon.arsenal.waits import Begin, Waits
from mlthon.engine.clock import SECOND
from tests.arsenal.kit import FREE, HEAD, Played, minutes, play

ASK = """
    def trade(self, candles):
        exchange, pair, base, quote = CA.get_exchange_pair()
        if self.seen:
            return
        self.seen.append('asked')
"""


def slow(seconds: float, found: Fetched | None = None) -> Callable[[Any], None]:
    """Has requests of a strategy answered after so long."""
    answer = found or Page(status_code=200, headers={}, content=b'{"rate": 2}')

    def begin(trader: Any) -> None:
        def fetch(request: PageRequest, answered: Callable[[Fetched], None]) -> None:
            clock = trader.session.clock
            clock.call_at(clock.now + round(seconds * SECOND), answered, answer)

        trader.fetch_page = fetch

    return begin


def run(code: str, folder: Path, *, prices: int = 5, after: float = 30, **more: Any) -> Played:
    calls = {1.0: slow(after), **more.pop("calls", {})}
    return play(HEAD + code, minutes([100.0] * prices), folder, exchanges=FREE, calls=calls, **more)


def test_what_was_waited_for_is_used_when_it_is_there(tmp_path: Path) -> None:
    code = ASK + "        CA.open_long(exchange, pair, CA.get_request('https://x.test/').json()['rate'])\n"
    played = run(code, tmp_path, after=70)
    assert played.orders == [(2, "buy", "Market", 2.0, None)]
    assert played.result.errors == 0


def test_a_callback_sees_one_moment_though_orders_are_filled_while_it_waits(tmp_path: Path) -> None:
    code = (
        ASK
        + """
        CA.open_long(exchange, pair, 10)
        def account():
            position = CA.get_position(exchange, pair, CA.PositionSide.LONG)
            return position, CA.get_balance(exchange, quote).available, len(CA.get_orders())
        before = account()
        CA.get_request('https://x.test/')
        self.seen.append(account() == before)
    def on_order_state_change(self, order):
        self.seen.append(str(order.status))
    """
    )
    played = run(code, tmp_path)
    assert played.flow.fills[0][0] == 1, "the order of the callback went out while it waited"
    assert played.trader.user.seen == ["asked", True, "NEW", "FILLED"]


def test_positions_are_protected_while_a_callback_waits(tmp_path: Path) -> None:
    code = (
        ASK
        + """
        CA.place_order(exchange, pair, 'open_long', amount=1, profit=150, loss=50, conditional_order_type='OTO',
                       child_conditional_orders=[{'action': 'open_long', 'amount': 2}])
        CA.get_request('https://x.test/')
        self.seen.append('answered')
    """
    )
    played = run(code, tmp_path, after=150)
    assert {(minute, each[1], each[2]) for minute, *each in played.orders if minute == 1} == {
        (1, "Market", 1.0),
        (1, "Market", 2.0),
        (1, "TakeProfit", 1.0),
        (1, "Stop", 1.0),
    }
    assert played.trader.user.seen == ["asked", "answered"]


def test_periods_and_signals_wait_for_the_callback(tmp_path: Path) -> None:
    code = """
    def trade(self, candles):
        self.seen.append('trade')
        if len(self.seen) == 1:
            CA.get_request('https://x.test/')
            self.seen.append('answered')
    def on_tradingview_signal(self, signal, candles):
        self.seen.append(signal['log'])
    """
    played = run(code, tmp_path, prices=7, after=150, signals={90.0: {"log": "signal"}})
    assert played.trader.user.seen == ["trade", "answered", "signal", *["trade"] * 4], "those at 2, 4, 5 and 6"
    assert played.said("this one is left out")


def test_init_may_ask_too_and_is_run_once(tmp_path: Path) -> None:
    code = """
        CA.log('begun')
        self.seen.append(CA.post_request('https://x.test/', {'a': 1}).status_code)
    def trade(self, candles):
        self.seen.append('trade')
    """
    played = play(HEAD + code, minutes([100.0] * 4), tmp_path, exchanges=FREE, calls={0.0: slow(90)})
    assert played.trader.user.seen == [200, "trade", "trade"], "those at 2 and 3"
    assert sum(line == "begun" for line in played.lines) == 1


def test_a_failure_is_an_error_that_the_strategy_can_catch(tmp_path: Path) -> None:
    code = (
        ASK
        + """
        try:
            CA.get_request('https://x.test/?key=secret')
        except OSError as error:
            self.seen.append(str(error))
    """
    )
    failed = slow(1, RequestFailed("x.test: no answer within 10 s"))
    played = play(HEAD + code, minutes([100.0] * 3), tmp_path, exchanges=FREE, calls={1.0: failed})
    assert played.trader.user.seen == ["asked", "x.test: no answer within 10 s"]
    assert played.said("CA.get_request: x.test: no answer")
    without = play(HEAD + code, minutes([100.0] * 3), tmp_path, exchanges=FREE)
    assert "--allow-network" in without.trader.user.seen[1]
    assert not any("secret" in line for line in [*played.lines, *without.lines])


def test_a_stop_ends_the_callback_that_waits(tmp_path: Path) -> None:
    code = (
        ASK
        + """
        try:
            CA.get_request('https://x.test/')
            CA.open_long(exchange, pair, 1)
        finally:
            self.seen.append('ended')
    """
    )
    calls = {
        70.0: lambda trader: trader.session.stop("by hand"),
        80.0: lambda trader: trader.session.start(""),
        200.0: lambda trader: trader.user.seen.append("later"),
    }
    played = run(code, tmp_path, after=60, calls=calls)
    assert played.trader.user.seen == ["asked", "ended", "later"]
    assert played.orders == []


def test_a_callback_that_will_not_end_is_left_alone(tmp_path: Path) -> None:
    code = (
        ASK
        + """
        while True:
            try:
                CA.get_request('https://x.test/')
            except:
                self.seen.append('again')
    """
    )
    played = run(code, tmp_path, after=60, calls={70.0: lambda trader: trader.session.stop("by hand")})
    assert played.trader.user.seen == ["asked", "again"]


def test_a_wait_outside_of_callbacks_is_refused() -> None:
    with pytest.raises(RuntimeError, match="in a callback"):
        Waits(lambda again: again()).wait(lambda answered: None)


def test_an_answer_at_hand_suspends_nothing_and_a_second_one_is_ignored() -> None:
    waits: Waits = Waits(lambda again: again())
    found: list[Any] = []
    later: list[Callable[[int], None]] = []
    begin: Begin[int] = lambda answered: answered(1)  # noqa: E731
    waits.run(lambda: found.append(waits.wait(begin)))
    assert (found, waits.suspended) == ([1], False)
    waits.run(lambda: found.append(waits.wait(later.append)))
    assert (found, waits.suspended) == ([1], True)
    later[0](2)
    later[0](3)
    assert (found, waits.suspended) == ([1, 2], False)
