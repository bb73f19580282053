"""Bots of one run: how they begin and end, what they share, how their calls expire."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import Exchange, GtwRejectCode
from mlthon.data.rows import Kind, MemorySource, Source, Stream
from mlthon.data.sources import open_sources
from mlthon.engine.clock import SECOND
from mlthon.link.contract import (
    Failed,
    Health,
    Hello,
    Loaded,
    Logged,
    Private,
    Publish,
    Published,
    RedisPublish,
    RedisSubscribe,
    Signalled,
    Stop,
    StopTrading,
    WebAnswer,
    WebRequest,
)
from mlthon.link.host.desk import HeldPosition
from tests.link.host.scripted import START, ScriptedBot, linked


def two(tmp_path: Path, **options: Any) -> Any:
    files = []
    for name in ("one", "two"):
        file = tmp_path / f"{name}.py"
        file.write_text("class Trading(Link): pass\n", "utf-8")
        files.append(file)
    return linked(tmp_path, files=files, **options)


def test_bots_hear_of_all_orders_of_their_account_and_see_and_cancel_them(tmp_path: Path) -> None:
    run = two(tmp_path)
    one, other = run.bots

    def create(bot: ScriptedBot) -> None:
        price = bot.quotes[-1][1] - 500.0
        bot.ask("create_limit_order", listing, venue="BitMEX", sym="XBTUSD", side="Buy", size=100, price=price)

    def listing(answer: Any) -> None:
        other.ask("fetch_open_orders", cancel, venue="BitMEX")

    def cancel(answer: Any) -> None:
        other.ask("cancel_order", venue="BitMEX")

    run.go(create)
    assert [each["order_id"] for each in other.envelopes[1]["data"]] == [one.envelopes[1]["data"]["order_id"]]
    (gone,) = other.envelopes[2]["data"]
    assert (gone["order_id"], gone["remain_size"]) == (one.envelopes[1]["data"]["order_id"], 0.0)
    assert [each["remain_size"] for each in one.private("order_update")] == [100.0, 0.0]
    assert other.private("order_update") == one.private("order_update")


def test_amendments_of_others_leave_out_what_they_have_not_changed(tmp_path: Path) -> None:
    run = two(tmp_path)
    one, other = run.bots

    def create(bot: ScriptedBot) -> None:
        price = bot.quotes[-1][1] - 500.0
        bot.ask("create_limit_order", amend, venue="BitMEX", sym="XBTUSD", side="Buy", size=100, price=price)

    def amend(answer: Any) -> None:
        one.ask("amend_order", venue="BitMEX", order_id=answer["data"]["order_id"], size=200)

    run.go(create)
    told = [("order_price" in each, "order_size" in each) for each in other.private("order_update")]
    assert told[:2] == [(True, True), (False, True)]


def test_what_happens_on_one_account_is_none_of_anothers(tmp_path: Path) -> None:
    run = two(tmp_path, settings=["venues.BitMEX.src=bitmex", "venues.Second.src=bitmex"])
    one, other = run.bots

    def trade(bot: ScriptedBot) -> None:
        bot.ask("create_market_order", venue="BitMEX", sym="XBTUSD", side="Buy", size=300)

    run.go(trade)
    for bot in (one, other):
        assert {each["venue"] for each in bot.private("fill_update")} == {"BitMEX"}


def test_fills_of_others_on_the_account_change_the_position(tmp_path: Path) -> None:
    run = two(tmp_path)
    one, other = run.bots

    def trade(bot: ScriptedBot) -> None:
        bot.ask("create_market_order", venue="BitMEX", sym="XBTUSD", side="Buy", size=300)

    run.go(trade)
    told = [each["pos_size"] for each in other.private("position_update")]
    assert told[-1] == 300.0
    assert told == [each["pos_size"] for each in one.private("position_update")]
    assert other.private("fill_update") == one.private("fill_update") != []


def test_any_open_order_of_the_account_is_cancelled_by_its_id(tmp_path: Path) -> None:
    run = two(tmp_path)
    one, other = run.bots

    def create(bot: ScriptedBot) -> None:
        price = bot.quotes[-1][1] - 500.0
        bot.ask("create_limit_order", cancel, venue="BitMEX", sym="XBTUSD", side="Buy", size=100, price=price)
        bot.ask("create_limit_order", venue="BitMEX", sym="XBTUSD", side="Buy", size=200, price=price)

    def cancel(answer: Any) -> None:
        other.ask("cancel_order", again, venue="BitMEX", order_id=answer["data"]["order_id"])

    def again(answer: Any) -> None:
        (row,) = answer["data"]
        other.ask("cancel_order", venue="BitMEX", order_id=row["order_id"])
        other.ask("amend_order", venue="BitMEX", order_id=one.envelopes[2]["data"]["order_id"], size=100)

    run.go(create)
    assert "is not open on BitMEX" in other.envelopes[2]["error"]["message"]
    assert "is not this bot's" in other.envelopes[3]["error"]["message"]


def test_a_cancel_of_anothers_order_that_is_refused_fails(tmp_path: Path) -> None:
    run = two(tmp_path)
    one, other = run.bots
    venue = other.host.venues["BitMEX"]

    def create(bot: ScriptedBot) -> None:
        price = bot.quotes[-1][1] - 500.0
        bot.ask("create_limit_order", cancel, venue="BitMEX", sym="XBTUSD", side="Buy", size=100, price=price)

    def cancel(answer: Any) -> None:
        venue.port.gateway = Refusing(venue.port.gateway, venue.port)
        other.ask("cancel_order", venue="BitMEX", sym="XBTUSD")

    class Refusing:
        """A gateway that refuses cancels."""

        def __init__(self, gateway: Any, port: Any) -> None:
            self._gateway = gateway
            self._port = port

        def cancel_order(self, order: Any) -> None:
            one.host.clock.call_soon(self._port.cancel_order_reject, order.wire_id, GtwRejectCode.InvalidRequest, "no")

        def __getattr__(self, name: str) -> Any:
            return getattr(self._gateway, name)

    run.go(create)
    assert other.envelopes[1]["error"] == {"type": "api_error", "message": "no"}
    assert not venue.cancels.under_way


def test_channels_are_shared_by_all_bots_of_a_run(tmp_path: Path) -> None:
    run = two(tmp_path, seconds=3)
    one, other = run.bots

    def talk(bot: ScriptedBot) -> None:
        other.host.tell(RedisSubscribe(["news"]))
        bot.host.tell(RedisPublish("news", {"a": [1, 2]}))
        bot.host.tell(RedisPublish("elsewhere", 1))

    run.go(talk)
    assert [each for each in other.told if isinstance(each, Published)] == [Published("news", {"a": [1, 2]})]
    assert not [each for each in one.told if isinstance(each, Published)]


def test_signals_go_to_the_board(tmp_path: Path) -> None:
    run = linked(tmp_path, seconds=3)
    heard: list[Any] = []
    run.linked.bots.board.listen("bitmex", "XBTUSD", heard.append)

    def say(bot: ScriptedBot) -> None:
        bot.host.tell(Signalled("bitmex", "XBTUSD", {"size": 0.5, "mid": None}))
        bot.host.tell(Signalled("bitmex", "XBTUSD", {"size": None}))

    run.go(say)
    assert [(each.intents, each.by) for each in heard] == [({"size": 0.5}, "bot")]


def test_the_end_of_a_run_stops_a_bot_once_and_waits_for_it(tmp_path: Path) -> None:
    run = linked(tmp_path, seconds=3, venues=["A=bitmex", "B=bitmex"])
    bot = run.go()
    assert [type(each) for each in bot.told].count(Stop) == 1
    assert run.linked.bots.over
    assert isinstance(bot.told[0], Hello)


def test_a_bot_that_stops_trading_is_over_and_hears_nothing_more(tmp_path: Path) -> None:
    run = linked(tmp_path, seconds=10)

    def stop(bot: ScriptedBot) -> None:
        price = bot.quotes[-1][1] - 500.0
        bot.ask("create_limit_order", ended, venue="BitMEX", sym="XBTUSD", side="Buy", size=100, price=price)

    def ended(answer: Any) -> None:
        run.bot.host.tell(StopTrading("enough"))

    bot = run.go(stop)
    assert bot.told[-1] == Stop("enough")
    assert bot.quotes[-1][5] < bot.quotes[0][5] + 1000
    assert not bot.host.venues["BitMEX"].session.open


def test_a_bot_that_cannot_be_loaded_is_a_failure_of_the_run_which_tells_it_once(tmp_path: Path, caplog: Any) -> None:
    run = linked(tmp_path, seconds=3)
    run.go(lambda bot: bot.host.tell(Failed("bot.py:1: no", "Mend it.")))
    (failure,) = run.linked.bots.failures
    assert (failure.message, failure.hint) == ("bot: bot.py:1: no", "Mend it.")
    assert "bot.py:1: no" not in caplog.text


def test_one_of_several_bots_that_cannot_be_loaded_is_told_at_once(tmp_path: Path, caplog: Any) -> None:
    run = two(tmp_path)
    run.go(lambda bot: bot.host.tell(Failed("one.py:1: no", "Mend it.")))
    assert "one: one.py:1: no\nMend it." in caplog.text
    (failure,) = run.linked.bots.failures
    assert failure.message == "one could not be run: what was wrong stands above"


def test_a_call_that_nobody_answers_expires(tmp_path: Path) -> None:
    settings = ["exchanges.BitMEX.entry_latency.ms=20000", "link.call_timeout_s=2"]
    run = linked(tmp_path, seconds=10, settings=settings)
    run.go(lambda bot: bot.ask("fetch_balances", venue="BitMEX"))
    bot = run.bot
    error = bot.envelopes[1]["error"]
    assert error["type"] == "api_error"
    assert error["message"].startswith("fetch_balances: no answer within 2 s")
    assert sum(getattr(each, "call", None) == 1 for each in bot.told) == 1


def test_each_call_expires_in_its_own_time_whatever_the_others_do(tmp_path: Path) -> None:
    settings = ["exchanges.BitMEX.entry_latency.ms=20000", "link.call_timeout_s=2"]
    run = linked(tmp_path, seconds=10, settings=settings)

    def ask(bot: ScriptedBot) -> None:
        begun.append(bot.host.clock.now)
        for after in (0, 1, 1, 4):  # in seconds
            bot.host.clock.call_at(begun[0] + after * SECOND, lambda: bot.ask("fetch_balances", venue="BitMEX"))
        bot.host.clock.call_at(
            begun[0] + SECOND // 2, lambda: bot.ask("amend_order", venue="BitMEX", order_id="none", size=1)
        )

    begun: list[int] = []
    bot = run.go(ask)
    times = [(bot.answered_at[number] - begun[0]) / SECOND for number in range(1, 6)]
    assert [round(each, 1) for each in times] == [2.0, 0.5, 3.0, 3.0, 6.0]


def test_a_rate_limit_of_one_lets_one_through_at_a_time(tmp_path: Path) -> None:
    settings = ["exchanges.BitMEX.rate_limit.requests=1", "exchanges.BitMEX.rate_limit.interval_s=1"]
    run = linked(tmp_path, seconds=10, settings=settings)
    run.go(lambda bot: [bot.ask("fetch_balances", venue="BitMEX") for _ in range(3)])
    times = [run.bot.answered_at[number] for number in (1, 2, 3)]
    assert all(each["error"] is None for each in run.bot.envelopes.values())
    assert [round((each - times[0]) / SECOND) for each in times] == [0, 1, 2]


def test_a_refusal_of_the_rate_limit_is_no_api_error(tmp_path: Path) -> None:
    """Who asks past the back-off is refused; calls of the bot wait instead."""
    settings = ["exchanges.BitMEX.rate_limit.requests=3", "exchanges.BitMEX.rate_limit.interval_s=5"]
    run = linked(tmp_path, seconds=4, settings=settings)

    def flood(bot: ScriptedBot) -> None:
        for number in range(4):
            price = 100.0 + number
            bot.host.venues["BitMEX"].desk.ask(lambda: None, lambda code, reason: refused.append(code.name))
            bot.ask("create_limit_order", venue="BitMEX", sym="XBTUSD", side="Buy", size=100, price=price)

    refused: list[str] = []
    run.go(flood)
    assert refused == ["RateLimited"]


def test_a_broken_connection_shows_in_health(tmp_path: Path) -> None:
    run = linked(tmp_path, seconds=5)
    exchange = next(iter(run.linked.run.assembly.exchanges.values()))

    def lose(bot: ScriptedBot) -> None:
        exchange.disconnect("the cable")
        bot.host.clock.call_at(bot.host.clock.now + SECOND, exchange.reconnect)

    bot = run.go(lose)
    private = [each.private[0] for each in bot.told if isinstance(each, Health)]
    assert [each["live"] for each in private][-3:] == [True, False, True]
    assert "the cable" in private[-2]["detail"]


def test_what_a_bot_does_not_override_is_not_sent(tmp_path: Path) -> None:
    run = linked(tmp_path, seconds=5)
    run.bot.callbacks = ("fill_update",)
    bot = run.go(lambda bot: bot.ask("create_market_order", venue="BitMEX", sym="XBTUSD", side="Buy", size=100))
    assert {each.callback for each in bot.told if isinstance(each, Private)} == {"fill_update"}


def test_what_a_bot_logs_is_its_own(tmp_path: Path, caplog: Any) -> None:
    run = linked(tmp_path, seconds=2)
    with caplog.at_level(10, "mlthon.bot"):
        run.go(lambda bot: bot.host.tell(Logged(20, "hello %s")))
    assert [(each.name, each.getMessage()) for each in caplog.records if each.name == "mlthon.bot"] == [
        ("mlthon.bot", "bot: hello %s")
    ]


def test_what_a_bot_publishes_and_its_webhooks_answer_is_passed_on(tmp_path: Path) -> None:
    run = linked(tmp_path, seconds=3)
    host = run.bot.host
    heard: list[Any] = []
    host.on_publish = lambda which, message: heard.append((which.name, message))
    host.on_web_answer = lambda which, message: heard.append((which.name, message))
    request = WebRequest(4, "get", "balances", {"venue": "BitMEX"})
    assert not host.request(request)

    def talk(bot: ScriptedBot) -> None:
        assert bot.host.request(request)
        bot.host.tell(Publish("status", {"a": 1}))
        bot.host.tell(WebAnswer(4, 200, [1]))

    bot = run.go(talk)
    assert request in bot.told
    assert heard == [("bot", Publish("status", {"a": 1})), ("bot", WebAnswer(4, 200, [1]))]


def bars(folder: Path, *markets: tuple[str, float, int]) -> Sequence[Source]:
    """Three one-minute bars of each (symbol, price, first minute of the day)."""
    for sym, price, first in markets:
        rows = [
            {
                "timestamp": f"2021-05-01T00:{minute + 1:02}:00.000Z",
                "symbol": sym,
                "open": price,
                "high": price + 1,
                "low": price - 1,
                "close": price,
                "trades": 4,
                "volume": 4000,
                "vwap": price,
                "lastSize": 1000,
            }
            for minute in range(first, first + 3)
        ]
        (folder / f"{sym}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
    return open_sources([folder])[0]


def test_a_bot_begins_when_each_of_its_markets_has_had_a_quote_and_has_it(tmp_path: Path) -> None:
    run = linked(tmp_path, seconds=3, subscribe=["bitmex:XBTUSD", "bitmex:ETHUSD"])
    bot = run.go()
    assert bot.hello is not None
    assert {market for market, *_ in bot.hello.quotes} == {0, 1}
    for _, bid, bid_size, ask, ask_size, time in bot.hello.quotes:
        assert 0 < bid < ask
        assert min(bid_size, ask_size) > 0
        assert START * 1000 <= time < START * 1000 + 1000


def test_a_market_without_a_quote_is_not_waited_for_longer_than_five_seconds(tmp_path: Path, caplog: Any) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    sources = bars(folder, ("XBTUSD", 50_000.0, 0), ("ETHUSD", 3_000.0, 1))
    run = linked(tmp_path, sources=sources, seconds=150, subscribe=["bitmex:XBTUSD", "bitmex:ETHUSD"])
    bot = run.go()
    assert bot.hello is not None
    assert [market for market, *_ in bot.hello.quotes] == [0]
    assert "bot begins without a quote of bitmex:ETHUSD" in caplog.text
    first = bot.quotes[0]
    assert first[0] == 0
    assert first == bot.hello.quotes[0], "it hears of what was quoted before it began"
    assert bot.quotes[1][5] == first[5] + 20_000
    assert {quote[0] for quote in bot.quotes} == {0, 1}


def test_a_run_that_ends_before_a_bot_begins_ends(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    sources = bars(folder, ("XBTUSD", 50_000.0, 0), ("ETHUSD", 3_000.0, 1))
    run = linked(tmp_path, sources=sources, seconds=3, subscribe=["bitmex:XBTUSD", "bitmex:ETHUSD"])
    bot = run.go()
    assert bot.told == []
    assert bot.hello is None


def test_a_bot_that_was_changed_hears_what_it_overrides_now_and_nothing_twice(tmp_path: Path) -> None:
    def change(bot: ScriptedBot) -> None:
        bot.host.tell(Loaded("Trading", ("trade_update", "quote_update", "fill_update"), [("get", "more")]))
        bot.ask("create_market_order", venue="BitMEX", sym="XBTUSD", side="Buy", size=100)

    run = linked(tmp_path, seconds=5)
    run.bot.callbacks = ("trade_update", "quote_update")
    bot = run.go(change)
    assert len(bot.private("fill_update")) == 1
    assert not bot.private("order_update")
    assert len(set(bot.trades)) == len(bot.trades) > 3
    assert bot.host.routes == [("get", "more")]


@pytest.mark.parametrize("again", [False, True])
def test_what_waits_for_the_rate_limit_is_not_sent_for_a_bot_that_is_gone(tmp_path: Path, again: bool) -> None:
    settings = ["exchanges.BitMEX.rate_limit.requests=5", "exchanges.BitMEX.rate_limit.interval_s=2"]
    run = linked(tmp_path, seconds=6, settings=settings)
    order: dict[str, Any] = {"venue": "BitMEX", "sym": "XBTUSD", "side": "Buy", "size": 100, "price": 100.0}

    def ask_and_die(bot: ScriptedBot) -> None:
        for _ in range(5):
            bot.ask("create_limit_order", **order)
        bot.host.clock.call_at(bot.host.clock.now + SECOND, lambda: bot.host.gone("it died", again=again))
        if again:
            bot.host.clock.call_at(bot.host.clock.now + SECOND, lambda: bot.host.join(ScriptedBot(bot.host)))

    bot = run.go(ask_and_die)
    assert len(bot.private("order_update")) == 3
    sent = [each for each in bot.host.venues["BitMEX"].session.orders.values() if each is not None]
    assert len(sent) == 3
    assert not any(each.is_open for each in sent)


def test_a_bot_that_never_says_that_it_has_stopped_is_not_waited_for(tmp_path: Path, caplog: Any) -> None:
    class Deaf(ScriptedBot):
        def tell(self, message: Any) -> None:
            if not isinstance(message, Stop):
                super().tell(message)

    run = linked(tmp_path, seconds=20)
    host = run.bot.host
    host.join(deaf := Deaf(host))
    over: list[bool] = []

    def stop() -> None:
        host.tell(StopTrading("enough"))
        for seconds in (2, 6):
            host.clock.call_at(host.clock.now + seconds * SECOND, lambda: over.append(host.over))

    deaf.plans = [stop]
    run.linked.run.go()
    assert over == [False, True]
    assert "its on_stop must return" in caplog.text


def test_a_coin_of_bitmex_is_traded_in_its_smallest_units(tmp_path: Path) -> None:
    run = linked(tmp_path, subscribe=["bitmex:XBT_USDT"])

    def buy(bot: ScriptedBot) -> None:
        bot.ask("create_market_order", venue="BitMEX", sym="XBT_USDT", side="Buy", size=50_000)

    bot = run.go(buy)
    assert (bot.envelopes[1]["error"], bot.envelopes[1]["data"]["order_size"]) == (None, 50_000.0)
    (order,) = bot.host.venues["BitMEX"].session.orders.values()
    assert order is not None
    assert str(order.instrument.qty_scale.values[order.qty]) == "0.0005"


@pytest.mark.parametrize(
    ("src", "sym", "size"),
    [
        ("bitmex", "LINKUSD", 200),
        ("bitmex", "LTCUSDT", 1_000_000),
        ("bitmex", "SOLUSDT", 500_000),
        ("bitmex", "XRPUSD", 100),
        ("woo", "PERP_BTC_USDT", 0.0001),
        ("woo", "PERP_BTC_USDT", 10),
    ],
)
def test_the_sizes_that_public_bots_trade_are_taken(tmp_path: Path, src: str, sym: str, size: float) -> None:
    run = linked(tmp_path, seconds=5, subscribe=[f"{src}:{sym}"])
    (venue,) = run.bot.host.venues

    def rest(bot: ScriptedBot) -> None:
        bid = bot.quotes[-1][1]
        tick = bot.host.venues[venue].listings[sym].prices[1]
        bot.ask("create_limit_order", venue=venue, sym=sym, side="Buy", size=size, price=bid - 10 * tick)

    bot = run.go(rest)
    assert bot.envelopes[1]["error"] is None


def test_a_bot_on_data_without_quotes_waits_for_none(tmp_path: Path) -> None:
    xbt = resolve(Exchange.BitMEX, "XBTUSD")
    steps = range(100)
    rows = {
        "exch_ts": [START * SECOND + each * SECOND for each in steps],
        "a": [100_000 + each for each in steps],
        "b": [each + 1 for each in steps],
        "c": [1] * 100,
        "d": [each + 1 for each in steps],
    }
    source = MemorySource.from_arrays({Stream(xbt, Kind.TRADE): rows})
    run = linked(tmp_path, sources=[source], seconds=100, subscribe=["bitmex:XBTUSD"])
    bot = run.go()
    assert bot.hello is not None
    assert (bot.hello.quotes, bot.quotes) == ([], [])
    assert len(bot.trades) + len(bot.hello.trades) >= 99


def test_coins_that_an_exchange_tells_of_as_positions_are_none(tmp_path: Path) -> None:
    run = linked(tmp_path, seconds=5, subscribe=["bybit:BTCUSDT", "bybit:byt:spot:btc-usdt"])
    (venue,) = run.bot.host.venues.values()
    held = [HeldPosition(each.instrument, 7, 1.0, 1.0, None) for each in venue.listings.values()]

    def ask(bot: ScriptedBot) -> None:
        venue.desk.positions = lambda done, failed: done(held)  # type: ignore[method-assign]
        bot.ask("fetch_positions", venue=venue.name)

    bot = run.go(ask)
    assert [each["sym"] for each in bot.envelopes[1]["data"]] == ["BTCUSDT"]
