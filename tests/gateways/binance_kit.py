"""What the tests of Binance's gateway share: codecs, orders, and a way to answer questions."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import parse_qsl

from gateways import binance
from gateways._binance_spot import SpotCodec
from gateways._binance_usdm import UsdmCodec
from mlthon.basics import catalogue
from mlthon.basics.defs import TIF, Exchange, ExecInstructions, InstrumentType, OrderStatus, OrderType
from mlthon.basics.instrument import Instrument
from mlthon.engine.session import Session
from mlthon.engine.tracker import TrackedOrder
from mlthon.venue.codec import Credentials, Question
from mlthon.venue.wire import HttpAnswer, HttpMessage, Request

T = TypeVar("T")

NOW_MS = 1735689600000
KEYS = Credentials("test-key", "test-secret")
SPOT = catalogue.resolve(Exchange.Binance, "BTCUSDT")
PERP = catalogue.resolve(Exchange.BinanceUsdm, "BTCUSDT")


def made(exchange: Exchange, symbol: str, mlt_symbol: str, tick: str, lot: str) -> Instrument:
    kind = InstrumentType.Spot if exchange is Exchange.Binance else InstrumentType.Perpetual
    return catalogue.define(exchange, symbol, kind, mlt_symbol, tick=tick, lot=lot)


def spot(*instruments: Instrument, credentials: Credentials | None = KEYS, **options: Any) -> SpotCodec:
    where = binance.environments(Exchange.Binance)["main"]
    chosen = instruments or (SPOT,)
    return cast(SpotCodec, binance.codec(Exchange.Binance, "main", chosen, where, credentials, options))


def usdm(*instruments: Instrument, credentials: Credentials | None = KEYS, **options: Any) -> UsdmCodec:
    where = binance.environments(Exchange.BinanceUsdm)["main"]
    chosen = instruments or (PERP,)
    return cast(UsdmCodec, binance.codec(Exchange.BinanceUsdm, "main", chosen, where, credentials, options))


def order(
    instrument: Instrument,
    side: int = 1,
    price: str = "50000",
    qty: str = "0.01",
    *,
    wire_id: str = "cl-0001",
    order_type: OrderType = OrderType.Limit,
    tif: TIF = TIF.GTC,
    exec_instr: ExecInstructions = ExecInstructions.Unset,
    stop_price: str | None = None,
    close_position: bool = False,
    exchange_id: str = "",
    state: OrderStatus = OrderStatus.New,
) -> TrackedOrder:
    found = TrackedOrder(
        wire_id,
        "1",
        cast(Session, None),
        "main",
        instrument,
        side,
        order_type,
        tif,
        exec_instr,
        instrument.price_scale.steps(price),
        instrument.qty_scale.steps(qty),
        None if stop_price is None else instrument.price_scale.steps(stop_price),
        close_position,
        0,
    )
    found.exchange_id = exchange_id
    found.state = state
    return found


def message(request: Request, now_ms: int = NOW_MS) -> HttpMessage:
    built = request.build(now_ms)
    assert isinstance(built, HttpMessage)
    return built


def params(request: Request) -> dict[str, str]:
    """The parameters of a request, without signature and time."""
    query = message(request).target.partition("?")[2]
    return {name: value for name, value in parse_qsl(query) if name not in ("signature", "timestamp")}


def path(request: Request) -> str:
    return message(request).target.partition("?")[0]


def answer(body: object, status: int = 200, headers: Mapping[str, str] | None = None, recv_ts: int = 0) -> HttpAnswer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpAnswer(status, headers or {}, content, recv_ts, recv_ts)


Answers = Callable[[Request], HttpAnswer]


def ask(question: Question[T], answers: Answers) -> tuple[T, list[Request]]:
    """Play a question to its end: what it found out, and what it asked."""
    asked: list[Request] = []
    try:
        request = next(question)
        while True:
            asked.append(request)
            request = question.send(answers(request))
    except StopIteration as end:
        return cast(T, end.value), asked


def by_path(table: Mapping[str, object]) -> Answers:
    """Answers by path; what is not in the table does not exist."""

    def found(request: Request) -> HttpAnswer:
        where = path(request)
        return answer(table[where]) if where in table else answer({"code": -5000, "msg": "Path is invalid"}, 404)

    return found


def sample(shared: Path, name: str) -> Any:
    """A JSON sample of the reference data."""
    return json.loads((shared / "exchange-data" / name).read_text())


def endpoint_sample(shared: Path, name: str) -> Any:
    """The answer in a sample that begins with method, path and whether it is signed."""
    text = (shared / "exchange-data" / name).read_text()
    return json.loads("".join(text.splitlines(keepends=True)[3:]))


def fields(fact: Any, *names: str) -> tuple[Any, ...]:
    """These fields of a fact."""
    return tuple(getattr(fact, name) for name in names)


ETH = made(Exchange.Binance, "ETHUSDT", "eth-usdt", "0.01", "0.0001")
LTC = made(Exchange.Binance, "LTCBTC", "ltc-btc", "0.01", "0.01")
ADA = made(Exchange.Binance, "ADAUSDT", "ada-usdt", "0.0001", "0.1")
BNB = made(Exchange.BinanceUsdm, "BNBUSDT", "bnb-usdt", "0.01", "0.01")
DOGE = made(Exchange.BinanceUsdm, "DOGEUSDT", "doge-usdt", "0.00001", "1")
ETH_PERP = made(Exchange.BinanceUsdm, "ETHUSDT", "eth-usdt", "0.01", "0.001")
SPOT_CODEC = spot(SPOT, ETH, LTC, ADA)
USDM_CODEC = usdm(PERP, BNB, DOGE, ETH_PERP)
"""Codecs that know the instruments of the samples."""
