"""The demo strategy heeds a rate limit: it waits for the reset that it was told of, then quotes again."""

from collections import Counter
from typing import Any

import pytest

from demo_strat import DemoStrat
from mlthon.basics.defs import Exchange, GtwRejectCode
from mlthon.engine.clock import SECOND
from mlthon.exchange.config import RateLimitConfig
from tests.backtest.play import BTC, INVERSE, START, Tape, configured, play

INTERVAL_S = 5
REQUESTS = 10


class Watched(DemoStrat):
    """Counts what it is told; `refused_ms`: when it was told that there were too many requests."""

    def __init__(self, params: dict[str, Any]) -> None:
        super().__init__({"status_every_s": 0, **params})
        self.counts: Counter[str] = Counter()
        self.refused_ms: list[int] = []

    def _count(self, what: str, code: GtwRejectCode) -> None:
        self.counts[f"{what} {code.name}"] += 1
        if code is GtwRejectCode.RateLimited:
            self.refused_ms.append(self._now_ms - START * 1000 // SECOND)

    def on_new_order_ack(self, *args: Any, **more: Any) -> None:
        self.counts["ack"] += 1
        super().on_new_order_ack(*args, **more)

    def on_new_order_reject(self, exchange: Exchange, client_id: str, code: GtwRejectCode, reason: str) -> None:
        self._count("new", code)
        super().on_new_order_reject(exchange, client_id, code, reason)

    def on_cancel_order_reject(self, exchange: Exchange, client_id: Any, code: GtwRejectCode, reason: str) -> None:
        self._count("cancel", code)
        super().on_cancel_order_reject(exchange, client_id, code, reason)


class Deaf(Watched):
    """The same without heeding what is said of the limit."""

    def _pause(self) -> None:
        self._cancels_refused = False


def moving(seconds: int) -> Tape:
    """A market whose best prices move every 100 ms: each move is a cancel and a new order on each side."""
    tape = Tape()
    for tick in range(seconds * 10):
        bid = 650_000 + tick % 3
        tape.quote(tick * 100, bid, 100_000, bid + 1, 100_000)
    return tape


def run(strategy: Watched, requests: int = REQUESTS) -> Watched:
    limited = {"rate_limit": RateLimitConfig(requests=requests, interval_s=INTERVAL_S)}
    play(strategy, moving(60), configured(exchange=limited))
    return strategy


def test_it_pauses_until_the_reset_and_quotes_again() -> None:
    told = run(Watched({}))
    intervals = 60 // INTERVAL_S
    # where the last request of an interval is answered another one may be on its way on either side
    assert len(told.refused_ms) <= 2 * intervals
    assert told.counts["ack"] > intervals


def test_without_the_pause_it_would_be_refused_all_the_time() -> None:
    assert len(run(Deaf({})).refused_ms) > 5 * len(run(Watched({})).refused_ms)


def test_without_a_limit_it_never_pauses() -> None:
    strategy = run(Watched({}), requests=0)
    assert not strategy.refused_ms
    assert strategy.counts["ack"] > 300


def test_a_run_without_its_symbol_trades_nothing_and_says_what_there_is(caplog: pytest.LogCaptureFixture) -> None:
    strategy = Watched({"symbol": "eth-usdt"})
    strategy.on_instruments(iter([BTC, INVERSE]))
    assert "this run has no eth-usdt but btc-usd, btc-usdt" in caplog.text
    assert strategy._instrument is None


class Env:
    """As much of an environment as a pause needs."""

    def __init__(self) -> None:
        self.timers: list[tuple[int, Any]] = []

    def setup_timer(self, duration_ms: int, callback: Any) -> None:
        self.timers.append((duration_ms, callback))


@pytest.mark.parametrize(("remaining", "waits"), [(50, []), (10, []), (0, [4500])])
def test_only_a_limit_that_is_used_up_stops_it(remaining: int, waits: list[int]) -> None:
    strategy, env = Watched({}), Env()
    strategy._env = env  # type: ignore[assignment]  # the rest is not asked for
    strategy._now_ms = 1_500
    strategy.on_rate_limit_info(Exchange.Bybit, 100, remaining, 5)
    assert [wait for wait, _ in env.timers] == waits


def test_a_refusal_waits_for_the_reset_it_was_told_of_or_a_second_and_only_once() -> None:
    strategy, env = Watched({}), Env()
    strategy._env = env  # type: ignore[assignment]
    strategy._now_ms = 9_000
    for _ in range(3):
        strategy.on_new_order_reject(Exchange.Bybit, "1", GtwRejectCode.RateLimited, "too many")
    assert [wait for wait, _ in env.timers] == [1000]
    env.timers.pop()[1]()
    strategy.on_rate_limit_info(Exchange.Bybit, 100, 50, 20)
    strategy.on_rate_limit_info(Exchange.Bybit, 100, 50, 10)  # of another limit, that starts anew sooner
    strategy.on_new_order_reject(Exchange.Bybit, "2", GtwRejectCode.RateLimited, "too many")
    assert [wait for wait, _ in env.timers] == [12_000]


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"quote_qyt": "1"}, "there is no parameter quote_qyt; there are symbol, quote_qty"),
        ({"exit_qty": "little"}, "'little' is not a number"),
        ({"max_inventory": -1}, "max_inventory = -1 is below 0"),
    ],
)
def test_parameters_are_taken_together_or_not_at_all(params: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        DemoStrat(params)
    strategy = DemoStrat({"quote_qty": "0.3"})
    before = dict(vars(strategy))
    with pytest.raises(ValueError, match=told):
        strategy.on_strat_params_update({"quote_qty": "0.7", **params})
    assert vars(strategy) == before
