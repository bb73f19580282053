"""Signals: what they may say, and what becomes of them."""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mlthon.arsenal.outcomes import ACCEPTED, MOST_WAITING, TAKEN, WAIT, Outcome, Outcomes
from mlthon.arsenal.signals import (
    CancelEverything,
    CancelOrder,
    OtherSignal,
    PlaceOrder,
    Signal,
    SignalError,
    parse_signal,
    typed,
)
from mlthon.arsenal.wishes import Action
from mlthon.engine.candles import Candle
from mlthon.engine.clock import SECOND, Clock
from mlthon.engine.state import MemoryState
from mlthon.errors import UserError
from tests.arsenal.kit import minutes, play, settings
from tests.backtest.play import SPOT

FREE = {"Bybit": settings()}
FIELDS = (
    "action",
    "fixed",
    "percent",
    "limit",
    "profit",
    "loss",
    "log",
    "clientOrderId",
    "delaySeconds",
    "delaySecondsFilter",
    "connectorName",
    "connectorToken",
)
ACTIONS = ("buy", "sell", "openLong", "closeLong", "openShort", "closeShort", "cancel", "cancelAll", "cancellAll")


@pytest.mark.parametrize(
    ("payload", "action"),
    [
        ({"action": "buy"}, Action.BUY),
        ({"action": "sell", "fixed": "0.5"}, Action.SELL),
        ({"action": "openLong", "percent": "90", "profit": "110", "loss": "90"}, Action.OPEN_LONG),
        ({"action": "closeLong", "percent": 50.5}, Action.CLOSE_LONG),
        ({"action": "openShort", "limit": "30000", "fixed": None}, Action.OPEN_SHORT),
        ({"action": "closeShort"}, Action.CLOSE_SHORT),
    ],
)
def test_orders_as_documented(payload: dict[str, Any], action: Action) -> None:
    signal = parse_signal({**payload, "connectorName": "a", "connectorToken": "b"})
    assert isinstance(signal, PlaceOrder)
    assert signal.wish.action is action
    assert signal.delay == 0


def test_fixed_beats_percent_and_none_is_100_percent() -> None:
    both = parse_signal({"action": "buy", "fixed": "2", "percent": "50"})
    neither = parse_signal({"action": "buy"})
    assert isinstance(both, PlaceOrder)
    assert isinstance(neither, PlaceOrder)
    assert (both.wish.amount, both.wish.percent) == (Decimal(2), None)
    assert (neither.wish.amount, neither.wish.percent) == (None, Decimal(100))


@pytest.mark.parametrize("action", ["cancellAll", "cancelAll", "cancel_all"])
def test_cancel_all_in_its_three_spellings(action: str) -> None:
    assert parse_signal({"action": action, "log": "x"}) == CancelEverything("x")


def test_cancels_and_other_signals() -> None:
    assert parse_signal({"action": "cancel", "clientOrderId": "a1"}) == CancelOrder("a1")
    sync = {"entryOrder": "e", "position": "2", "maxWaitPositionReversalSeconds": 5}
    assert parse_signal({**sync, "connectorToken": "secret"}) == OtherSignal(sync)
    assert parse_signal({"action": "OpenLong"}) == OtherSignal({"action": "OpenLong"})


@pytest.mark.parametrize(
    ("seconds", "word", "log", "delay"),
    [
        (5, None, None, 5.0),
        ("2.5", "", "x", 2.5),
        (5, "slow", "a slow one", 5.0),
        (5, "slow", "a quick one", 0.0),
        (5, "slow", None, 0.0),
        (0, None, None, 0.0),
        (None, "slow", "slow", 0.0),
    ],
)
def test_delays_and_their_filter(seconds: Any, word: str | None, log: str | None, delay: float) -> None:
    signal = parse_signal({"action": "buy", "delaySeconds": seconds, "delaySecondsFilter": word, "log": log})
    assert isinstance(signal, PlaceOrder)
    assert signal.delay == delay


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({"action": "buy", "fixed": "x"}, "fixed"),
        ({"action": "buy", "percent": "150"}, "percent"),
        ({"action": "buy", "limit": -2}, "limit"),
        ({"action": "buy", "profit": "5"}, "profit"),
        ({"action": "openShort", "profit": "110", "loss": "90"}, "profit"),
        ({"action": "closeLong", "loss": 5}, "loss"),
        ({"action": "buy", "clientOrderId": ["a"]}, "clientOrderId"),
        ({"action": "buy", "clientOrderId": "a" * 65}, "clientOrderId"),
        ({"action": "cancel"}, "clientOrderId"),
        ({"action": "buy", "delaySeconds": -1}, "delaySeconds"),
        ({"action": "buy", "delaySeconds": 10**9}, "delaySeconds"),
        ({"action": "buy", "delaySeconds": "soon"}, "delaySeconds"),
        ({"action": "buy", "delaySecondsFilter": 3}, "delaySecondsFilter"),
        ({"action": "buy", "log": {}}, "log"),
    ],
)
def test_what_is_wrong_is_named(payload: dict[str, Any], field: str) -> None:
    with pytest.raises(SignalError) as caught:
        parse_signal(payload)
    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field}: ")


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
VALUES = st.one_of(JSON, st.sampled_from([*ACTIONS, "1", "50", "0.5", "100"]), st.floats(0, 1e6).map(str))
PAYLOADS = st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=8), VALUES, max_size=8)


def parsed(payload: dict[str, Any]) -> Signal | SignalError:
    try:
        return parse_signal(payload)
    except SignalError as error:
        return error


@given(PAYLOADS, st.none() | st.sampled_from(ACTIONS))
@hypothesis_settings(suppress_health_check=[HealthCheck.too_slow])
def test_any_json_is_an_action_or_a_named_error(payload: dict[str, Any], action: str | None) -> None:
    if action is not None:
        payload = {**payload, "action": action}
    signal = parsed(payload)
    if isinstance(signal, SignalError):
        assert signal.field in FIELDS
        return
    assert isinstance(signal, PlaceOrder | CancelOrder | CancelEverything | OtherSignal)
    if isinstance(signal, PlaceOrder):
        wish = signal.wish
        sizes = [each for each in (wish.amount, wish.percent) if each is not None]
        assert len(sizes) == 1
        assert sizes[0] > 0
        assert 0 <= signal.delay <= 7 * 86_400
        assert not wish.children
        json.dumps(wish.dump())


@given(JSON)
def test_what_is_no_object_is_refused(value: Any) -> None:
    if not isinstance(value, dict):
        with pytest.raises(SignalError):
            parse_signal(value)


def test_signals_as_they_are_typed() -> None:
    assert typed('{"action": "buy"}') == {"action": "buy"}
    assert typed("action=openLong percent=50") == {"action": "openLong", "percent": "50"}
    for bad in ("", "buy", "{", "action=buy now", "{]"):
        with pytest.raises(UserError):
            typed(bad)


# -- carried out -------------------------------------------------------------------------------------------------------


def test_futures_signals_trade_without_a_file(tmp_path: Path) -> None:
    signals: dict[float, dict[str, Any]] = {
        90: {"action": "openLong", "percent": "50", "log": "in", "connectorToken": "hidden"},
        150: {"action": "openShort", "fixed": "1.5"},
        210: {"action": "closeLong"},
        270: {"action": "closeShort", "percent": "50", "limit": "95"},
    }
    played = play(None, minutes([100.0] * 6), tmp_path, exchanges=FREE, signals=signals, params={"leverage": 3})
    half = int(5000 / (100.1 * 1.002 * (1 / 3 + 0.001)) * 1000) / 1000
    assert played.orders == [
        (1, "buy", "Market", half, None),
        (2, "sell", "Market", 1.5, None),
        (3, "sell", "Market", half, None),
        (4, "buy", "Limit", 0.75, 95.0),
    ]
    held = played.trader.holdings[played.trader.pairs[0]]
    assert (held.lots(1), held.lots(-1)) == (0, 1500)
    assert played.result.errors == 0
    assert played.said("signal open_long percent 50: in")
    assert not played.said("hidden")


def test_spot_signals_use_quote_to_buy_and_base_to_sell(tmp_path: Path) -> None:
    signals: dict[float, dict[str, Any]] = {
        90: {"action": "buy", "percent": "50"},
        150: {"action": "sell", "percent": "100"},
    }
    exchanges = {"Binance": settings(balances={"USDT": 1000.0, "BTC": 1.0})}
    played = play(None, minutes([100.0] * 4, SPOT), tmp_path, exchanges=exchanges, signals=signals)
    bought = int(500 / (100.01 * 1.002 * 1.001) * 100_000) / 100_000
    assert [order[:3] for order in played.orders] == [(1, "buy", "Market"), (2, "sell", "Market")]
    assert [order[3] for order in played.orders] == pytest.approx([bought, 1 + bought])


def refused(trader: Any, payload: dict[str, Any], told: list[str]) -> None:
    try:
        trader.take(payload)
    except UserError as error:
        told.append(error.message)
    else:
        told.append("taken")


def test_a_client_order_id_is_carried_out_once_also_after_a_restart(tmp_path: Path) -> None:
    told: list[str] = []
    order = {"action": "openLong", "fixed": "1", "clientOrderId": "alert-7"}
    calls = {second: lambda trader: refused(trader, order, told) for second in (90.0, 90.001, 100.0)}
    state = MemoryState()
    first = play(None, minutes([100.0] * 3), tmp_path, exchanges=FREE, calls=calls, state=state)
    again = play(None, minutes([100.0] * 3), tmp_path, exchanges=FREE, calls=calls, state=state)
    assert len(first.orders) == 1
    assert again.orders == []
    assert told[0] == "taken"
    assert all(each == "clientOrderId: alert-7 was used before: it is carried out once" for each in told[1:])
    assert len(told) == 6


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ({"action": "buy"}, "action: buy is not for"),
        ({"action": "jump"}, "action: 'jump' is none of buy, sell"),
        ({"action": "open_long"}, "did you mean 'openLong'"),
        ({"action": "open_short", "log": "x"}, "did you mean 'openShort'"),
        ({"log": "hello"}, "action: it is missing; it would be one of buy, sell"),
        ({"position": 1}, "action: it is missing"),
        ({"action": "openLong", "percent": "x"}, "percent: 'x' is no number"),
        ({"action": "cancel", "clientOrderId": "nobody"}, "clientOrderId: there is no order nobody"),
    ],
)
def test_what_cannot_be_done_is_said_to_the_sender(tmp_path: Path, payload: dict[str, Any], text: str) -> None:
    told: list[str] = []
    played = play(
        None,
        minutes([100.0] * 3),
        tmp_path,
        exchanges=FREE,
        calls={90: lambda trader: refused(trader, payload, told)},
    )
    assert text in told[0]
    assert played.orders == []


def test_what_comes_of_an_order_is_told_to_the_sender(tmp_path: Path) -> None:
    """Each once: by the exchange's word, by why there is no order, and as on its way where nobody knows by then."""
    told: list[tuple[str, str, float]] = []

    def send(name: str, **payload: Any) -> Callable[[Any], None]:
        def call(trader: Any) -> None:
            since = trader.now

            def tell(outcome: Outcome) -> None:
                told.append((name, outcome.told, (trader.now - since) / 10**9))
                assert outcome.refused == (outcome not in (ACCEPTED, TAKEN))

            trader.take(payload, tell)

        return call

    def silently_stop(trader: Any) -> None:
        send("stopped", action="openLong", fixed="1")(trader)
        trader.session.stop("enough")

    calls = {
        70.0: send("too large", action="openLong", fixed="400"),
        90.0: send("fits", action="openLong", fixed="1"),
        100.0: send("nothing held", action="closeShort"),
        110.0: send("delayed", action="openLong", fixed="1", delaySeconds=30),
        120.0: send("cancel", action="cancel_all"),
        150.0: silently_stop,
    }
    play(None, minutes([100.0] * 4), tmp_path, exchanges=FREE, calls=calls)
    assert [each[0] for each in told] == ["too large", "fits", "nothing held", "delayed", "cancel", "stopped"]
    texts = [each[1] for each in told]
    assert texts[0].startswith("the order was refused: ")
    assert texts[1:5] == ["accepted", "no order: there is no short position in BTC-USDT to close", "taken", "taken"]
    assert texts[5] == "no order: it was stopped"
    assert max(each[2] for each in told) < 0.5


def test_only_some_of_many_senders_wait(tmp_path: Path) -> None:
    told: list[str] = []

    def flood(trader: Any) -> None:
        for _ in range(12):
            trader.take({"action": "openLong", "fixed": "1"}, lambda outcome: told.append(outcome.told))
        assert told == ["taken"] * (12 - MOST_WAITING)

    played = play(None, minutes([100.0] * 3), tmp_path, exchanges=FREE, calls={70.0: flood})
    assert len(played.orders) == len(told) == 12
    assert told[12 - MOST_WAITING :] == ["accepted"] * MOST_WAITING


def test_a_sender_waits_no_longer_than_a_second() -> None:
    clock = Clock(0)
    told: list[Outcome] = []
    outcomes = Outcomes()
    number = outcomes.wait(clock, told.append)
    clock.run_until(WAIT)
    assert told == [TAKEN]
    outcomes.tell(number, ACCEPTED)
    assert told == [TAKEN]


def test_cancel_by_client_id_and_cancel_all(tmp_path: Path) -> None:
    def limit(name: str) -> dict[str, Any]:
        return {"action": "openLong", "fixed": "1", "limit": "90", "clientOrderId": name}

    signals: dict[float, dict[str, Any]] = {
        90: limit("a"),
        91: limit("b"),
        92: limit("c"),
        95: {**limit("later"), "delaySeconds": 60},
        100: {"action": "cancel", "clientOrderId": "a"},
        110: {"action": "cancellAll"},
    }
    played = play(None, minutes([100.0] * 5), tmp_path, exchanges=FREE, signals=signals)
    assert len(played.orders) == 3
    assert [kind for kind, _ in played.flow.ended] == ["cancelled"] * 3
    assert played.said("2 orders are being cancelled")
    assert list(played.trader.state.items("delayed/")) == []


def test_a_delayed_order_waits_and_survives_a_restart(tmp_path: Path) -> None:
    state = MemoryState()
    delayed = {"action": "openLong", "fixed": "1", "delaySeconds": "120", "clientOrderId": "d"}
    filtered = {"action": "openLong", "fixed": "2", "delaySeconds": 120, "delaySecondsFilter": "no", "log": "quick"}
    waits = play(None, minutes([100.0] * 6), tmp_path, exchanges=FREE, signals={70: delayed, 71: filtered})
    assert [(order[0], order[3]) for order in waits.orders] == [(1, 2.0), (3, 1.0)]
    cut = play(None, minutes([100.0] * 6), tmp_path, exchanges=FREE, signals={50: delayed}, state=state, seconds=65)
    assert cut.orders == []
    assert len(list(state.items("delayed/"))) == 1
    again = play(None, minutes([100.0] * 6), tmp_path, exchanges=FREE, state=state)
    assert [(order[0], order[3]) for order in again.orders] == [(2, 1.0)]
    assert list(state.items("delayed/")) == []
    nothing = play(None, minutes([100.0] * 6), tmp_path, exchanges=FREE, state=state)
    assert nothing.orders == []


def test_a_delayed_order_that_is_far_too_late_is_dropped(tmp_path: Path) -> None:
    state = MemoryState()
    delayed = {"action": "openLong", "fixed": "1", "delaySeconds": "30"}
    play(None, minutes([100.0] * 3), tmp_path, exchanges=FREE, signals={50: delayed}, state=state, seconds=65)
    late = minutes([100.0] * 30)
    for kind, rows in late.rows.items():
        late.rows[kind] = [(row[0] + 1200 * 10**9, row[1] + 1200 * 10**9, *row[2:]) for row in rows]
    played = play(None, late, tmp_path, exchanges=FREE, state=state)
    assert played.orders == []
    assert played.said("was due while nothing ran: dropped")


def test_the_command_signal_takes_one_too(tmp_path: Path) -> None:
    def command(trader: Any) -> None:
        assert trader.session.command("signal", ["action=openLong", "fixed=1"])
        assert trader.session.command("signal", ['{"action":', '"openLong",', '"fixed":', "2}"])

    played = play(None, minutes([100.0] * 3), tmp_path, exchanges=FREE, calls={90: command})
    assert [order[3] for order in played.orders] == [1.0, 2.0]


def test_more_than_500_signals_are_traded_in_the_end(tmp_path: Path) -> None:
    """The platform's limit is of a period: without a strategy, of a minute."""
    order = {"action": "openLong", "fixed": "0.001", "limit": "50"}
    signals = {60 * minute + 2 + each / 20: order for minute in (1, 2) for each in range(260)}
    played = play(None, minutes([100.0] * 4), tmp_path, exchanges=FREE, signals=signals)
    assert len(played.orders) == 520


TOLD = """
class Strategy(StrategyBase):
    def __init__(self):
        self.period = 60
        self.seen = []
    def trade(self, candles):
        pass
    def on_tradingview_signal(self, signal, candles):
        self.seen.append(signal)
        CA.storage('seen', [each['action'] for each in self.seen])
"""


def test_a_delayed_signal_reaches_the_strategy_later_also_after_a_restart(tmp_path: Path) -> None:
    """Strategies written for the platform do not read `delaySeconds`: the platform waits."""
    state = MemoryState()
    late = {"action": "openLong", "delaySeconds": 120, "clientOrderId": "d", "connectorToken": "secret"}
    soon = {"action": "closeLong", "delaySeconds": "120", "delaySecondsFilter": "slow", "log": "quick"}
    cut = play(TOLD, minutes([100.0] * 6), tmp_path, signals={50: late, 51: soon}, state=state, seconds=65)
    assert [each["action"] for each in cut.trader.user.seen] == ["closeLong"]
    ((_, kept),) = state.items("delayed/")
    assert "secret" not in kept
    again = play(TOLD, minutes([100.0] * 6), tmp_path, state=state)
    assert again.trader.user.seen == [{key: value for key, value in late.items() if key != "connectorToken"}]
    assert list(state.items("delayed/")) == []


@pytest.mark.parametrize("cancel", [{"action": "cancel", "clientOrderId": "d"}, {"action": "cancelAll"}])
def test_a_delayed_signal_to_a_strategy_can_be_taken_back(tmp_path: Path, cancel: dict[str, Any]) -> None:
    late = {"action": "openLong", "delaySeconds": 60, "clientOrderId": "d"}
    other = {"action": "closeLong", "delaySeconds": 60}
    run = play(TOLD, minutes([100.0] * 6), tmp_path, signals={70: late, 71: other, 100: cancel})
    assert [each["action"] for each in run.trader.user.seen] == [
        cancel["action"],
        *(["closeLong"] if cancel["action"] == "cancel" else []),
    ]


def test_a_delay_that_is_none_is_told_to_the_sender(tmp_path: Path) -> None:
    told = []

    def send(trader: Any) -> None:
        with pytest.raises(UserError) as failed:
            trader.take({"action": "openLong", "delaySeconds": "soon"})
        told.append(str(failed.value))

    play(TOLD, minutes([100.0] * 3), tmp_path, calls={70: send})
    assert told[0].startswith("delaySeconds: no number of seconds")


def test_a_signal_waits_for_the_candles_that_are_fetched_at_the_start(tmp_path: Path) -> None:
    code = TOLD.replace(
        "self.seen.append(signal)", "self.seen.append({**signal, 'close': candles['Bybit']['BTC-USDT'][0]['close']})"
    )

    def slow(trader: Any) -> None:
        def fetch(pair: Any, period: int, count: int, done: Any, failed: Any) -> None:
            candle = Candle(trader.now - trader.now % period - period, 990, 990, 990, 990, 1)
            trader.session.clock.call_at(trader.now + 5 * SECOND, done, [candle])

        trader.fetch = fetch

    run = play(code, minutes([100.0] * 2), tmp_path, signals={2: {"action": "openLong"}}, calls={0: slow})
    assert run.trader.user.seen == [{"action": "openLong", "close": 99.0}]
