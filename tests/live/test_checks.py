"""What is settled before a run goes live: places, money, questions, instruments, accounts."""

from collections.abc import Callable
from decimal import Decimal

import pytest
import trio
from attrs import evolve

from mlthon.basics.catalogue import define, resolve
from mlthon.basics.defs import Exchange, InstrumentType
from mlthon.basics.instrument import Perpetual
from mlthon.engine.clock import SECOND
from mlthon.errors import UserError
from mlthon.live.checks import ask, asked, check_account, endpoints_at, matched, refuse_real_money
from mlthon.venue.codec import BadMessage, Endpoints, NoAnswer, Question, Refused
from mlthon.venue.facts import AccountFact
from mlthon.venue.wire import Answer, Answered, Failure, HttpAnswer, HttpMessage, Loss, Request

BYBIT = Exchange.Bybit
PLACES = {
    "main": Endpoints("main", {"rest": "https://api.bybit.com", "public": "wss://stream.bybit.com/v5"}, True),
    "testnet": Endpoints("testnet", {"rest": "https://api-testnet.bybit.com"}, False),
}


@pytest.mark.parametrize(
    ("wanted", "rest", "costs"),
    [
        ("main", "https://api.bybit.com", True),
        ("testnet", "https://api-testnet.bybit.com", False),
        ("local", "http://127.0.0.1:8080", False),
        ("http://127.0.0.1:18471", "http://127.0.0.1:18471", False),
        ("http://[::1]:80", "http://[::1]:80", False),
        ("http://192.168.1.7:80", "http://192.168.1.7:80", False),
        ("https://exchange.local", "https://exchange.local", False),
        ("https://api.bybit.com", "https://api.bybit.com", True),
        ("https://api-testnet.bybit.com", "https://api-testnet.bybit.com", False),
        ("https://api.bytick.com", "https://api.bytick.com", True),
        ("https://8.8.8.8", "https://8.8.8.8", True),
    ],
)
def test_where_and_whether_it_costs_money(wanted: str, rest: str, costs: bool) -> None:
    found = endpoints_at(BYBIT, PLACES, wanted)
    assert (found.urls["rest"], found.real_money) == (rest, costs)
    refuse_real_money(BYBIT, found, True)
    if costs:
        with pytest.raises(UserError, match="cost real money"):
            refuse_real_money(BYBIT, found, False)
    else:
        refuse_real_money(BYBIT, found, False)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [("tesnet", "did you mean 'testnet'"), ("ftp://host", "is no base URL"), ("127.0.0.1:80", "no environment")],
)
def test_nowhere(wanted: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        endpoints_at(BYBIT, PLACES, wanted)


class Answers:
    """An edge that answers requests in turn."""

    def __init__(self, *answers: Answer | None) -> None:
        self.answers = list(answers)
        self.targets: list[str] = []

    def http(self, message: HttpMessage, timeout_s: float, answered: Answered) -> None:
        self.targets.append(message.target)
        answer = self.answers.pop(0)
        if answer is not None:
            answered(answer)


def http(body: bytes) -> HttpAnswer:
    return HttpAnswer(200, {}, body)


def two_pages() -> Question[bytes]:
    first = yield Request("page", lambda now_ms: HttpMessage("GET", f"/one?t={now_ms}"))
    second = yield Request("page", lambda now_ms: HttpMessage("GET", "/two"))
    return first.body + second.body


def now_ms() -> int:
    return 17


def run(question: Question[bytes], *answers: Answer | None, limit_s: float = 30.0) -> bytes:
    edge = Answers(*answers)

    async def main() -> bytes:
        return await ask(edge, question, now_ms, limit_s)  # type: ignore[arg-type]

    return trio.run(main)


def test_a_question_of_several_requests() -> None:
    assert run(two_pages(), http(b"a"), http(b"b")) == b"ab"


def test_a_failed_request_reaches_the_question() -> None:
    with pytest.raises(NoAnswer, match="connection refused"):
        run(two_pages(), http(b"a"), Failure(Loss.NOT_SENT, "connection refused"))


def test_no_answer_at_all() -> None:
    with pytest.raises(NoAnswer, match=r"within 0\.01 s"):
        run(two_pages(), None, limit_s=0.01)


def refusing(final: bool) -> Question[bytes]:
    yield Request("page", lambda _: HttpMessage("GET", "/"))
    raise Refused("API key is invalid", final=final)


@pytest.mark.parametrize(
    ("question", "answer", "message"),
    [
        (lambda: refusing(True), http(b""), "refused to tell its mood: API key is invalid\nLook at the API key"),
        (lambda: refusing(False), http(b""), "API key is invalid\nTry again later"),
        (two_pages, Failure(Loss.NO_ANSWER, "timed out"), "no answer when asked for its mood: timed out"),
    ],
)
def test_what_a_run_cannot_start_without(question: Callable[[], Question[bytes]], answer: Answer, message: str) -> None:
    async def main() -> bytes:
        return await asked(BYBIT, "its mood", Answers(answer), question, now_ms)  # type: ignore[arg-type]

    with pytest.raises(UserError, match=message):
        trio.run(main)


class _Busy:
    """An exchange that refuses so many questions for its rate before it answers."""

    def __init__(self, refusals: int, pause_s: float) -> None:
        self.left = refusals
        self._pause_s = pause_s

    def question(self) -> Question[bytes]:
        answer = yield Request("page", lambda _: HttpMessage("GET", "/"))
        if self.left:
            self.left -= 1
            raise Refused("Rate limit exceeded", retry_after_s=self._pause_s)
        return answer.body


def test_a_rate_limit_at_the_start_is_waited_for(autojump_clock: trio.testing.MockClock) -> None:
    async def main() -> bytes:
        busy = _Busy(2, 3.0)
        return await asked(BYBIT, "its mood", Answers(*[http(b"good")] * 3), busy.question, now_ms)  # type: ignore[arg-type]

    assert trio.run(main, clock=autojump_clock) == b"good"
    assert autojump_clock.current_time() >= 6.0


def test_a_ban_is_not_waited_for() -> None:
    async def main() -> bytes:
        return await asked(BYBIT, "its mood", Answers(http(b"good")), _Busy(1, 600.0).question, now_ms)  # type: ignore[arg-type]

    with pytest.raises(UserError, match="Rate limit exceeded\nTry again later"):
        trio.run(main)


def test_an_answer_that_makes_no_sense_is_told_without_a_traceback() -> None:
    def question() -> Question[bytes]:
        answer = yield Request("time", lambda _ms: HttpMessage("GET", "/time"))
        raise BadMessage(f"not the answer that was expected: {answer.body!r}")

    async def main() -> bytes:
        return await asked(BYBIT, "its time", Answers(http(b"<html>")), question, now_ms)  # type: ignore[arg-type]

    with pytest.raises(UserError, match=r"the answer about its time makes no sense: .*<html>.*\nLook at --url"):
        trio.run(main)


def told(symbol: str, tick: str, mlt_symbol: str = "btc-usdt") -> Perpetual:
    made = define(BYBIT, symbol, InstrumentType.Perpetual, mlt_symbol, tick=tick, lot="0.01")
    assert isinstance(made, Perpetual)
    return made


def test_ids_are_the_catalogues_and_ticks_the_exchanges() -> None:
    ours = resolve(BYBIT, "byt:perp:btc-usdt")
    (found,) = matched(BYBIT, [told("BTCUSDT", "0.25"), told("NEWUSDT", "1", "new-usdt")], None)
    assert (found.number, found.name) == (ours.number, ours.name)
    assert found.price_scale.step.to_str() == "0.25"
    assert found.qty_scale.step.to_str() == "0.01"
    assert (found.maker_fee, found.taker_fee) == (ours.maker_fee, ours.taker_fee)
    assert isinstance(found, Perpetual)


def test_what_is_not_in_the_catalogue_can_be_named() -> None:
    every = [told("BTCUSDT", "0.25"), told("NEWUSDT", "1", "new-usdt")]
    assert [each.symbol for each in matched(BYBIT, every, ["NEWUSDT", "btc-usdt", "new-usdt"])] == [
        "NEWUSDT",
        "BTCUSDT",
    ]


def test_what_the_exchange_does_not_trade() -> None:
    with pytest.raises(UserError, match="has no instrument 'ETHUSDT'"):
        matched(BYBIT, [told("BTCUSDT", "0.25")], ["ETHUSDT"])
    with pytest.raises(UserError, match="none of the instruments that come with mlthon"):
        matched(BYBIT, [told("NEWUSDT", "1", "new-usdt")], None)


FACT = AccountFact(user_id="7", position_mode="one-way", may_trade=True, may_withdraw=False, notes=("leverage 3",))


def test_an_account_is_shown() -> None:
    check = check_account(BYBIT, "main", FACT, 1_500_000)
    assert "position mode: one-way" in check.lines
    assert "clock offset: +1.5 ms" in check.lines
    assert "leverage 3" in check.lines
    assert check.warnings == ()


def test_an_account_that_should_be_warned_about() -> None:
    fact = AccountFact(user_id="7", may_withdraw=True)
    withdraw, clock = check_account(BYBIT, "main", fact, 90 * SECOND).warnings
    assert "may WITHDRAW" in withdraw
    assert f"{Decimal(-90):+.1f} s off" in clock


@pytest.mark.parametrize(
    ("fact", "message"),
    [
        (AccountFact(user_id="7", refusal="hedge mode"), "Bybit account main cannot be traded: hedge mode"),
        (AccountFact(user_id="7", may_trade=False), "the API key may not trade"),
    ],
)
def test_an_account_that_cannot_be_traded(fact: AccountFact, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_account(BYBIT, "main", fact, 0)


def test_moving_an_environment_keeps_what_it_costs_apart() -> None:
    """A host known by name to be a test environment is one, also with another scheme or port."""
    places = {**PLACES, "testnet": evolve(PLACES["testnet"], real_money=False)}
    assert not endpoints_at(BYBIT, places, "http://api-testnet.bybit.com:8080").real_money
