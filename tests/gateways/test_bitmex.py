"""BitMEX's codec: its requests against those of recorded clients, and what answers to them say."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from gateways import bitmex as module
from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import TIF, CancelCode, Exchange, ExecInstructions, GtwRejectCode, OrderType
from mlthon.basics.defs import OrderStatus as Status
from mlthon.protocols import bitmex as spelling
from mlthon.venue.codec import BadMessage, Unsupported, gateway_module
from mlthon.venue.facts import OrderFact, Reply
from mlthon.venue.wire import Request
from tests.gateways.bitmex_kit import KEYS, ROW, SAMPLES, XBTUSD, answer, ask, body, codec, error, order, sample, sent


def test_found_by_entry_point() -> None:
    assert gateway_module(Exchange.BitMEX).EXCHANGES == module.EXCHANGES


# -- requests ----------------------------------------------------------------------------------------------------------


def recorded(shared: Path, client: str = "ccxt") -> Mapping[str, dict[str, Any]]:
    lines = (shared / f"exchange-clients/recordings/bitmex/{client}.jsonl").read_text().splitlines()
    return {call.get("call", "") + call.get("path", ""): call for call in map(json.loads, lines)}


def test_an_order_without_a_client_id_is_named_by_the_exchanges(shared: Path) -> None:
    foreign = order(wire_id="")
    foreign.exchange_id = "11111111-2222-4333-8444-555555555555"
    theirs = recorded(shared)["cancel_one/api/v1/order"]
    ours = sent(codec().cancel_order(foreign))
    assert ours.body.decode() == theirs["body"]
    assert ours.headers["api-signature"] == theirs["headers"]["api-signature"]


def test_questions_are_those_of_recorded_clients(shared: Path) -> None:
    # Ours page (`count`, `start`), ask for times rather than for the newest, and read spot balances beside margin.
    theirs = recorded(shared)
    empty = answer([])
    made = codec()
    assets, active = theirs["load_markets/api/v1/wallet/assets"], theirs["load_markets/api/v1/instrument/active"]
    unknown = answer([{"symbol": "X", "settlCurrency": "Foo", "state": "Settled"}])
    _, asked = ask(made.instruments(), unknown, empty)
    assert [message.target for message in asked] == [active["path"], assets["path"]]
    assert asked[0].headers["api-signature"] == active["headers"]["api-signature"]
    _, asked = ask(made.positions(None), empty)
    assert asked[0].headers["api-signature"] == theirs["positions/api/v1/position"]["headers"]["api-signature"]
    _, asked = ask(made.wallet(), empty, empty)
    assert asked[0].headers["api-signature"] == theirs["balances/api/v1/user/margin"]["headers"]["api-signature"]
    orders = theirs["open_orders/api/v1/order"]
    _, asked = ask(made.open_orders(XBTUSD), empty)
    assert asked[0].target == f"{orders['path']}?{orders['query']}&count=500&start=0&reverse=true"
    for call, question in (
        ("my_trades/api/v1/execution/tradeHistory", made.executions(0, XBTUSD)),
        ("candles/api/v1/trade/bucketed", made.candles(XBTUSD, 60, 0, 60 * 10**9)),
    ):
        _, asked = ask(question, empty)
        path, _, query = asked[0].target.partition("?")
        assert path == theirs[call]["path"]
        assert {"symbol", "count", "startTime"} <= dict(parse_qsl(query)).keys()


def test_spellings() -> None:
    stop = order(order_type=OrderType.Stop, price=0, stop_price=90_001, side=-1, exec_instr=ExecInstructions.ReduceOnly)
    assert body(codec(trigger="mark").new_order(stop)) == {
        "symbol": "XBTUSD",
        "side": "Sell",
        "orderQty": 100,
        "ordType": "Stop",
        "stopPx": 45000.5,
        "execInst": "ReduceOnly,MarkPrice",
        "clOrdID": "cl-0001",
    }
    both = codec().new_order(order(order_type=OrderType.StopLimit, stop_price=90_001, tif=TIF.Day))
    assert [body(both)[name] for name in ("ordType", "price", "stopPx", "timeInForce", "execInst")] == [
        "StopLimit",
        50000,
        45000.5,
        "Day",
        "LastPrice",
    ]
    profit = codec().new_order(order(order_type=OrderType.TakeProfit, price=0, stop_price=90_001))
    assert (body(profit)["ordType"], "price" in body(profit)) == ("MarketIfTouched", False)
    close = body(codec().new_order(order(order_type=OrderType.Market, price=0, qty=0, close_position=True)))
    assert (close["execInst"], "orderQty" in close) == ("Close", False)
    assert body(codec().new_order(order(tif=TIF.FOK)))["timeInForce"] == "FillOrKill"
    spot = resolve(Exchange.BitMEX, "XBT_USDT")
    assert body(codec().new_order(order(instrument=spot)))["orderQty"] == 10000
    (switch,) = codec().arm_dead_man(60.0, [XBTUSD])
    dead = sent(switch)
    assert (dead.target, dead.body) == ("/api/v1/order/cancelAllAfter", b'{"timeout":60000}')


def test_what_cannot_be_asked() -> None:
    made = codec()
    with pytest.raises(Unsupported, match="type Unset"):
        made.new_order(order(order_type=OrderType.Unset))
    with pytest.raises(Unsupported, match="needs a stop price"):
        made.new_order(order(order_type=OrderType.Stop))
    with pytest.raises(Unsupported, match="post-only"):
        made.new_order(order(order_type=OrderType.Market, exec_instr=ExecInstructions.PostOnly))
    with pytest.raises(Unsupported, match="no price to change"):
        made.modify_order(order(order_type=OrderType.Stop), 1, None)
    with pytest.raises(Unsupported, match="candles of 7 s"):
        ask(made.candles(XBTUSD, 7, 0, 1))
    for options in ({"colour": 1}, {"validity_s": 0}, {"validity_s": True}, {"trigger": "moon"}):
        with pytest.raises(ValueError, match=r"colour|validity_s|trigger"):
            codec(**options)
    keyless = module.codec(Exchange.BitMEX, "", [XBTUSD], module.environments(Exchange.BitMEX)["main"], None, {})
    with pytest.raises(Unsupported, match="keys"):
        keyless.new_order(order())
    _, asked = ask(keyless.server_time(), answer({"name": "BitMEX API", "version": "1", "timestamp": 5}))
    assert "api-key" not in asked[0].headers
    assert keyless.rules[0].limit == 30


def test_no_secret_is_shown() -> None:
    request = codec().new_order(order())
    shown = repr(request) + repr(sent(request)) + repr(KEYS)
    assert "test-secret" not in shown
    assert "test-key" not in shown


# -- replies -----------------------------------------------------------------------------------------------------------


def replied(request: Request, content: object, status: int = 200, **headers: str) -> Reply:
    return codec(*SAMPLES).reply(request, answer(content, status, **headers))


def test_replies_to_recorded_orders(shared: Path) -> None:
    new = codec().new_order(order())
    limit = replied(new, sample(shared, "xchange/__files/api_v1_order_new-limit-buy-order.json"))
    market = replied(new, sample(shared, "xchange/__files/api_v1_order_new-marked-buy-order.json"))
    cancelled = replied(codec().cancel_order(order()), sample(shared, "xchange/__files/api_v1_order_cancel-order.json"))
    facts = [fact for reply in (limit, market, cancelled) for fact in reply.facts if isinstance(fact, OrderFact)]
    assert [reply.accepted for reply in (limit, market, cancelled)] == [True] * 3
    assert [(fact.wire_id, fact.status, fact.price, fact.qty, fact.filled) for fact in facts] == [
        ("new-limit-buy-order", Status.New, 20001, 1, 0),
        ("new-market-buy-order", Status.Filled, 0, 1, 1),
        ("", Status.Cancelled, 60000, 1, 0),
    ]
    assert facts[2].cancel_code is CancelCode.CanceledByUser
    assert limit.exchange_id == "a125b16d-a1fb-485a-b88f-20f6e3a39314"


def test_a_crossing_post_only_order_is_accepted_and_cancelled() -> None:
    text = "Canceled: Order had execInst of ParticipateDoNotInitiate\nSubmitted via API."
    reply = replied(codec().new_order(order()), {**ROW, "ordStatus": "Canceled", "text": text})
    (fact,) = reply.facts
    assert isinstance(fact, OrderFact)
    assert (reply.accepted, fact.status, fact.cancel_code) == (True, Status.Cancelled, CancelCode.PostOnlyWouldTake)
    assert fact.reason == "Canceled: Order had execInst of ParticipateDoNotInitiate"


def test_refusals() -> None:
    new, cancel, change = codec().new_order(order()), codec().cancel_order(order()), codec().modify_order(order(), 1, 1)
    assert replied(new, error("Duplicate clOrdID"), 400).code is GtwRejectCode.DuplicateClientId
    rejected = replied(new, {**ROW, "ordStatus": "Rejected", "ordRejReason": "Invalid price"})
    assert (rejected.accepted, rejected.code) == (False, GtwRejectCode.InvalidPrice)
    assert replied(change, error("Invalid ordStatus"), 400).missing
    assert replied(cancel, error("Not Found"), 404).missing
    assert not replied(new, error("Not Found"), 404).missing
    late = replied(cancel, [{**ROW, "error": "Unable to cancel order due to existing state: Filled"}])
    assert (late.missing, late.accepted, late.code) == (True, False, GtwRejectCode.OrderNotOpen)
    assert replied(cancel, []).missing
    limited = replied(new, error("Rate limit exceeded, retry in 3 seconds."), 429, retry_after="3")
    assert (limited.limited, limited.retry_after_s) == (True, 3.0)


def test_overload_is_refused_and_other_failures_are_unknown() -> None:
    new = codec().new_order(order())
    shed = replied(new, error(spelling.OVERLOADED), 503)
    assert (shed.unknown, shed.accepted, shed.retry_after_s) == (False, False, 0.5)
    assert shed.code is not GtwRejectCode.Unset
    assert replied(new, b"<html>", 503).unknown
    assert replied(new, error("Service unavailable"), 503).unknown
    assert replied(new, b"", 502).unknown


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"no", 200), ({}, 200), ({**ROW, "ordStatus": "Lost"}, 200), ({**ROW, "price": 0.3}, 200), (b"", 302)],
)
def test_replies_that_cannot_be_understood(content: object, status: int) -> None:
    with pytest.raises(BadMessage):
        codec().reply(codec().new_order(order()), answer(content, status))


def test_usage() -> None:
    made, request = codec(), codec().new_order(order())
    headers = {"x_ratelimit_limit": "120", "x_ratelimit_remaining": "118", "x_ratelimit_reset": "9"}
    minute, burst = made.usage(request, answer({}, 200, **headers, x_ratelimit_remaining_1s="7"))
    assert (minute.rule, minute.used, minute.limit, minute.reset_ts) == ("minute", 2, 120, 9 * 10**9)
    assert (burst.rule, burst.used) == ("burst", 3)
    banned = list(made.usage(request, answer({}, 429, retry_after="2")))
    assert [(usage.rule, usage.banned_until) for usage in banned] == [
        ("minute", 2 * 10**9 + 2),
        ("burst", 2 * 10**9 + 2),
    ]
    assert list(made.usage(request, answer({}, x_ratelimit_limit="many"))) == []
