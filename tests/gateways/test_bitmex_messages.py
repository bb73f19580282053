"""BitMEX's codec: its private line against samples of the exchange and of clients."""

import json
from pathlib import Path
from typing import Any

import pytest

from gateways.bitmex import BitmexCodec
from mlthon.basics.defs import CancelCode, ExecInstructions
from mlthon.basics.defs import OrderStatus as Status
from mlthon.basics.instrument import Instrument
from mlthon.protocols import bitmex as spelling
from mlthon.venue.codec import BadMessage
from mlthon.venue.facts import (
    ExecutionFact,
    LineInterrupted,
    LineReady,
    LineRefused,
    OrderFact,
    PositionFact,
    WalletFact,
)
from tests.gateways.bitmex_kit import FROZEN_MS, ROW, SAMPLES, ask, codec, sample


def opened(*instruments: Instrument) -> BitmexCodec:
    made = codec(*instruments)
    list(made.line_opened("private", FROZEN_MS))
    return made


def told(made: BitmexCodec, message: object) -> list[Any]:
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    return list(made.line_message("private", data, 1))


def table(name: str, action: str, *rows: object) -> dict[str, object]:
    return {"table": name, "action": action, "data": rows}


def test_login_subscriptions_and_readiness(shared: Path) -> None:
    made = codec(validity_s=1)
    (line,), _ = ask(made.lines())
    assert (line.name, line.url(0)) == ("private", "ws://127.0.0.1:8080/realtime")
    (login,) = made.line_opened("private", FROZEN_MS)
    vector = next(
        json.loads(text)
        for text in (shared / "exchange-clients/recordings/bitmex/ccxt-pro.jsonl").read_text().splitlines()
        if "authKeyExpires" in text
    )
    theirs, ours = vector["ws_send"], json.loads(login)
    # ccxt gives milliseconds for seconds: valid for ever. Ours expires.
    assert (ours["op"], ours["args"][0], ours["args"][1]) == (theirs["op"], theirs["args"][0], FROZEN_MS // 1000 + 1)
    assert ours["args"][2] == spelling.sign_realtime("test-secret", FROZEN_MS // 1000 + 1)
    assert told(made, {"info": "Welcome to the BitMEX Realtime API."}) == []
    assert told(made, b"pong") == []
    accepted = {"success": True, "request": {"op": "authKeyExpires", "args": []}}
    assert told(made, accepted) == ['{"op":"subscribe","args":["order","execution","position","margin","wallet"]}']
    for name in ("order", "execution", "position", "margin"):
        assert told(made, {"success": True, "subscribe": name, "request": {"op": "subscribe"}}) == []
        assert told(made, table(name, "partial")) == []
    assert told(made, table("wallet", "partial")) == [LineReady(line="private")]
    assert told(made, table("wallet", "partial")) == []


def test_refused_logins() -> None:
    refused = {"status": 401, "error": "Signature not valid.", "meta": {}, "request": {"op": "authKeyExpires"}}
    (fact,) = told(opened(), refused)
    assert fact == LineRefused(line="private", reason="authKeyExpires: Signature not valid.", final=True)
    (fact,) = told(opened(), {"error": "Rate limit exceeded, retry in 29 seconds."})
    assert not fact.final


def test_updates_are_merged_with_the_last_full_row() -> None:
    made = opened()
    row = {**ROW, "clOrdID": "a", "price": 50000.5, "ordType": "Limit", "execInst": "ReduceOnly"}
    assert told(made, table("order", "update", {"orderID": "o", "cumQty": 100})) == []
    assert told(made, table("order", "partial")) == []
    (first,) = told(made, table("order", "insert", row))
    (second,) = told(made, table("order", "update", {"orderID": "o", "price": 50001, "cumQty": None, "leavesQty": 100}))
    assert (first.price, second.price, second.qty, second.wire_id) == (100001, 100002, 1, "a")
    assert second.exec_instr is ExecInstructions.ReduceOnly
    (over,) = told(made, table("order", "update", {"orderID": "o", "ordStatus": "Filled", "cumQty": 100}))
    assert (over.status, over.filled, over.price) == (Status.Filled, 1, 100002)
    assert told(made, table("order", "update", {"orderID": "o", "text": "x"})) == []
    (gap,) = told(made, table("order", "update", {"orderID": "other", "ordStatus": "Filled"}))
    assert isinstance(gap, LineInterrupted)


def test_a_waiting_stop_is_untriggered() -> None:
    made = opened()
    stop = {**ROW, "ordType": "Stop", "stopPx": 40000, "triggered": "", "workingIndicator": False, "price": None}
    (waits,) = told(made, table("order", "partial", stop))
    (works,) = told(made, table("order", "update", {"orderID": "o", "triggered": "StopOrderTriggered"}))
    assert (waits.status, waits.stop_price, works.status) == (Status.Untriggered, 80000, Status.New)


def test_private_samples(shared: Path) -> None:
    made = opened(*SAMPLES)
    for name in ("order", "execution", "position", "margin", "wallet"):
        told(made, table(name, "partial"))
    (fact,) = told(made, table("order", "insert", sample(shared, "nautilus/ws_order.json")))
    assert (fact.wire_id, fact.price, fact.qty, fact.side) == ("mm_bitmex_1a/oemUeQ4CAJZgP3fjHsA", 9_800_000, 100, 1)
    (fact,) = told(made, table("execution", "insert", sample(shared, "nautilus/ws_execution.json")))
    # The sample names its currency XBT, not XBt: the fee is the instrument's settle currency all the same.
    assert (fact.price, fact.qty, fact.maker, fact.cumulative) == (9_895_000, 100, True, 100)
    assert (fact.fee, fact.fee_coin) == (76 * 10**10, "BTC")
    assert told(made, table("execution", "insert", sample(shared, "nautilus/ws_execution_cancel_reject.json"))) == []
    (fact,) = told(made, table("position", "insert", sample(shared, "nautilus/ws_position.json")))
    assert (fact.position, fact.entry_price, fact.liquidation_price) == (1000, 98039.5, 1255.0)
    (fact,) = told(made, table("margin", "insert", sample(shared, "nautilus/ws_margin.json")))
    assert (fact.coin, fact.total, fact.available) == ("BTC", 100005180 * 10**10, 99994411 * 10**10)
    assert told(made, table("wallet", "insert", sample(shared, "nautilus/ws_wallet.json"))) == []
    (fact,) = told(made, sample(shared, "xchange-stream/execution_market-buy.json"))
    assert (fact.qty, fact.price, fact.maker, fact.fee, fact.fee_coin) == (1, 189904, False, 8545 * 10**12, "USDT")
    (fact,) = told(made, table("execution", "insert", sample(shared, "xchange-stream/execution.json")))
    assert (fact.fee, fact.maker, fact.wire_id) == (-98 * 10**10, True, "1528259635504")
    (fact,) = told(made, sample(shared, "xchange-stream/position_update-open.json"))
    assert (fact.position, fact.mark_price) == (0, 93364.1)


def test_messages_of_ccxts_comments(shared: Path) -> None:
    made = opened(*SAMPLES)
    told(made, table("execution", "partial"))
    found: list[Any] = []
    for row in sample(shared, "ccxt/bitmex.comment-samples.json"):
        if row["kind"] == "ws":
            found += told(made, row["json"])
    orders = [fact for fact in found if isinstance(fact, OrderFact)]
    assert [fact.status for fact in orders] == [Status.New, Status.New, Status.Cancelled]
    assert orders[-1].cancel_code is CancelCode.CanceledByUser
    (fill,) = [fact for fact in found if isinstance(fact, ExecutionFact)]
    assert (fill.reason, fill.wire_id, fill.side) == ("Liquidation", "", -1)
    assert [fact.position for fact in found if isinstance(fact, PositionFact)] == [400, 400]
    assert [fact.coin for fact in found if isinstance(fact, WalletFact)] == ["BTC"]


def test_the_official_clients_private_messages(shared: Path) -> None:
    made = opened(*SAMPLES)
    fixtures = sample(shared, "api-connectors/ws_fixtures.json")
    found = [fact for message in fixtures["orderSymboledEmptyPartial"] for fact in told(made, message)]
    assert {fact.status for fact in found} == {Status.New}
    assert found[0].price == 1_139_050


@pytest.mark.parametrize(
    "data",
    [
        b"no json",
        b"{}",
        b"\xff",
        b'{"table":"order","action":"upsert","data":[]}',
        b'{"table":"order","data":[{"clOrdID":"OID1"}]}',
        b'{"table":"order","action":"insert","data":[{"symbol":"XBTUSD"}]}',
        b'{"table":"order","action":"insert","data":[{"orderID":"o","symbol":"XBTUSD","side":"Up","ordStatus":"New"}]}',
        b'{"table":"execution","action":"insert","data":[{"execID":"e","orderID":"","execType":"Trade","symbol":"XBTUSD"}]}',
        b'{"table":"margin","action":"insert","data":[{"currency":"Foo","amount":1}]}',
    ],
)
def test_bad_messages(data: bytes) -> None:
    made = opened()
    for name in ("order", "execution", "margin"):
        told(made, table(name, "partial"))
    with pytest.raises(BadMessage):
        told(made, data)
