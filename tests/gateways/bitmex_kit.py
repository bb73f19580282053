"""What the tests of BitMEX's gateway share: codecs, orders, and a way to answer questions."""

import json
from pathlib import Path
from typing import Any, cast

from gateways import bitmex as module
from gateways.bitmex import BitmexCodec
from mlthon.basics.catalogue import define, resolve
from mlthon.basics.catalogue import instruments as catalogue
from mlthon.basics.defs import TIF, Exchange, ExecInstructions, InstrumentType, OrderType
from mlthon.basics.instrument import Instrument
from mlthon.engine.tracker import TrackedOrder
from mlthon.venue.codec import Credentials, Question
from mlthon.venue.wire import HttpAnswer, HttpMessage, Request

XBTUSD = resolve(Exchange.BitMEX, "XBTUSD")
OLD = define(
    Exchange.BitMEX, "XBTUSD", InstrumentType.Perpetual, "btc-usd", tick="0.01", lot=1, settle_currency="BTC", index=0
)
"""XBTUSD with the lot of the older samples, and a tick that fits them all."""
SAMPLES = [OLD, *(each for each in catalogue(Exchange.BitMEX) if each.symbol != "XBTUSD")]
KEYS = Credentials("test-key", "test-secret")
FROZEN_MS = 1735689600000
ROW = {"orderID": "o", "symbol": "XBTUSD", "side": "Buy", "ordStatus": "New", "orderQty": 100, "price": 5, "cumQty": 0}
"""An open order."""


def codec(*instruments: Instrument, **options: Any) -> BitmexCodec:
    endpoints = module.environments(Exchange.BitMEX)["main"].at("http://127.0.0.1:8080")
    return module.codec(Exchange.BitMEX, "main", instruments or [XBTUSD], endpoints, KEYS, options)


def order(**changes: Any) -> TrackedOrder:
    fields: dict[str, Any] = {
        "wire_id": "cl-0001",
        "client_id": "1",
        "session": cast(Any, None),
        "account": "main",
        "instrument": XBTUSD,
        "side": 1,
        "order_type": OrderType.Limit,
        "tif": TIF.GTC,
        "exec_instr": ExecInstructions.Unset,
        "price": 100_000,
        "qty": 1,
        "stop_price": None,
        "close_position": False,
        "created_ts": 0,
    }
    return TrackedOrder(**{**fields, **changes})


def sent(request: Request, now_ms: int = FROZEN_MS) -> HttpMessage:
    message = request.build(now_ms)
    assert isinstance(message, HttpMessage)
    return message


def body(request: Request) -> dict[str, Any]:
    return cast(dict[str, Any], json.loads(sent(request).body))


def answer(content: object, status: int = 200, **headers: str) -> HttpAnswer:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return HttpAnswer(status, {name.replace("_", "-"): text for name, text in headers.items()}, data, 1, 2)


def error(text: str) -> dict[str, object]:
    return {"error": {"message": text, "name": "HTTPError"}}


def ask(question: Question[Any], *answers: HttpAnswer) -> tuple[Any, list[HttpMessage]]:
    """What a question finds, and the requests it made."""
    asked: list[HttpMessage] = []
    left = list(answers)
    try:
        request = next(question)
        while True:
            asked.append(sent(request))
            request = question.send(left.pop(0))
    except StopIteration as stop:
        assert not left
        return stop.value, asked


def sample(shared: Path, name: str) -> Any:
    return json.loads((shared / "exchange-data/bitmex" / name).read_text())
