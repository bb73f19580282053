"""Binance's and BitMEX's codecs against the samples that ccxt keeps: payloads in its comments (pasted by its
developers, often trimmed) and real responses of BitMEX, whose numbers ccxt has turned into texts."""

import gzip
import json
from pathlib import Path
from typing import Any, Final

import pytest

from mlthon.basics.catalogue import instruments
from mlthon.basics.defs import Exchange, GtwRejectCode, OrderStatus, OrderType
from mlthon.venue.facts import ExecutionFact, OrderFact, PositionFact, WalletFact
from tests.gateways import bitmex_kit
from tests.gateways.binance_kit import PERP, SPOT, answer, made, order, spot, usdm
from tests.gateways.test_binance_messages import told, wrapped

BNB = made(Exchange.Binance, "BNBUSDT", "bnb-usdt", "0.001", "0.001")
SPOT_CODEC = spot(SPOT, BNB)
USDM_CODEC = usdm(*instruments(Exchange.BinanceUsdm))
PRICED: Final = ("price", "stopPx", "avgPx", "lastPx", "commission", "execCost", "execComm")
COUNTED: Final = ("account", "orderQty", "leavesQty", "cumQty", "lastQty", "homeNotional", "foreignNotional")
NUMBERS: Final = frozenset((*PRICED, *COUNTED))
"""Fields that are numbers in BitMEX's own answers."""


@pytest.fixture(scope="module")
def comments(shared: Path) -> dict[str, list[Any]]:
    """ccxt's function -> the samples of Binance in its comments."""
    found: dict[str, list[Any]] = {}
    file = shared / "exchange-data/binance/ccxt/binance.comment-samples.json.gz"
    for each in json.loads(gzip.decompress(file.read_bytes())):
        found.setdefault(each["function"], []).append(each["json"])
    return found


# -- Binance -----------------------------------------------------------------------------------------------------------


def test_fills(comments: dict[str, list[Any]]) -> None:
    fill, after = told(SPOT_CODEC, wrapped(comments["parse_ws_trade"][2]))
    assert isinstance(fill, ExecutionFact)
    assert (fill.exec_id, fill.wire_id, fill.instrument) == ("109747654b", "m4M6AD5MF3b1ERe65l4SPq", BNB)
    assert (fill.side, fill.price, fill.qty, fill.cumulative) == (1, 46_866, 332, 332)
    assert (fill.fee, fill.fee_coin, fill.maker) == (332 * 10**12, "BNB", False)
    assert (after.status, after.filled, after.qty) == (OrderStatus.PartiallyFilled, 332, 2000)
    event = {"e": "ORDER_TRADE_UPDATE", "E": 1, "T": 1, "o": comments["parse_ws_trade"][3]}
    fill, after = told(USDM_CODEC, event)
    assert (fill.exec_id, fill.side, fill.price, fill.qty) == ("458032604s", -1, 334_685, 1)
    assert (fill.fee, fill.fee_coin, fill.ts) == (27_086 * 10**10, "BNB", 1612095165362 * 10**6)
    assert (after.status, after.order_type, after.filled) == (OrderStatus.Filled, OrderType.Market, 1)


def test_a_stop_that_waits(comments: dict[str, list[Any]]) -> None:
    (waits,) = told(USDM_CODEC, comments["handle_order_update"][0])
    assert isinstance(waits, OrderFact)
    assert (waits.wire_id, waits.side, waits.qty, waits.stop_price) == ("TEST", -1, 1, 71_030)
    assert (waits.order_type, waits.status) == (OrderType.Stop, OrderStatus.Untriggered)


def test_wallets_and_positions(comments: dict[str, list[Any]]) -> None:
    deposit, wallet, account, locked = comments["handle_balance"]
    assert told(SPOT_CODEC, wrapped(deposit)) == []
    assert told(SPOT_CODEC, wrapped(locked)) == []
    (eth,) = told(SPOT_CODEC, wrapped(wallet))
    assert eth == WalletFact(coin="ETH", total=10**22, available=10**22, ts=1564034571105 * 10**6)
    coins = {each.coin: each.total for each in told(USDM_CODEC, account) if isinstance(each, WalletFact)}
    assert coins["BTC"] == 12_262_412_345_678 * 10**10
    usdt, held = told(USDM_CODEC, comments["handle_positions"][0])
    assert (usdt.coin, usdt.total) == ("USDT", 112_795_750_089 * 10**10)
    assert isinstance(held, PositionFact)
    assert (held.instrument, held.position, held.entry_price) == (PERP, -89, 19700.03933)


def test_replies(comments: dict[str, list[Any]]) -> None:
    samples = comments["parse_order"]
    resting = SPOT_CODEC.reply(SPOT_CODEC.new_order(order(SPOT)), answer(samples[1]))
    assert (resting.accepted, resting.exchange_id) == (True, "16383176297")
    (fact,) = (each for each in resting.facts if isinstance(each, OrderFact))
    assert (fact.price, fact.qty, fact.filled, fact.status) == (1_350_000, 85, 0, OrderStatus.New)
    filled = SPOT_CODEC.reply(SPOT_CODEC.new_order(order(SPOT)), answer(samples[3]))
    (fill,) = (each for each in filled.facts if isinstance(each, ExecutionFact))
    assert (fill.exec_id, fill.price, fill.qty) == ("737466631b", 5_894_163, 50)
    assert (fill.fee, fill.fee_coin) == (705 * 10**11, "BNB")
    refused = USDM_CODEC.reply(USDM_CODEC.new_order(order(PERP)), answer(samples[6], 400))
    assert (refused.accepted, refused.code) == (False, GtwRejectCode.QtyAboveMaximum)
    changed = USDM_CODEC.reply(USDM_CODEC.modify_order(order(PERP), 1, 1), answer(comments["edit_contract_order"][0]))
    (fact,) = (each for each in changed.facts if isinstance(each, OrderFact))
    assert (fact.exchange_id, fact.price, fact.qty) == ("151007482392", 250_000, 1)


# -- BitMEX ------------------------------------------------------------------------------------------------------------


def numbered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows as BitMEX sends them: numbers where ccxt has texts."""
    return [
        {key: float(value) if key in NUMBERS and isinstance(value, str) else value for key, value in row.items()}
        for row in rows
    ]


@pytest.fixture(scope="module")
def responses(shared: Path) -> dict[str, Any]:
    """Method -> the rows of the response."""
    file = shared / "exchange-data/bitmex/ccxt/response-samples.json"
    return {each["method"]: numbered(each["httpResponse"]) for each in json.loads(file.read_text())}


def test_orders_of_bitmex(responses: dict[str, Any]) -> None:
    codec = bitmex_kit.codec(*bitmex_kit.SAMPLES)
    found, _ = bitmex_kit.ask(codec.order_status(bitmex_kit.order()), bitmex_kit.answer(responses["fetchOrder"]))
    assert (found.exchange_id, found.instrument.symbol) == ("eaf968c6-906b-4aaa-a32a-ab65d6e06ed7", "XBTUSDT")
    assert (found.side, found.order_type, found.status) == (1, OrderType.Market, OrderStatus.Filled)
    assert (found.qty, found.filled) == (1, 1)
    closed, _ = bitmex_kit.ask(
        codec.order_status(bitmex_kit.order()), bitmex_kit.answer(responses["fetchClosedOrders"])
    )
    assert (closed.instrument.symbol, closed.side, closed.status) == ("XBT_USDT", -1, OrderStatus.Filled)
    assert closed.qty == closed.filled > 0


def test_executions_of_bitmex(responses: dict[str, Any]) -> None:
    codec = bitmex_kit.codec(*bitmex_kit.SAMPLES)
    found, _ = bitmex_kit.ask(codec.executions(0, None), bitmex_kit.answer(responses["fetchMyTrades"]))
    (fill,) = found
    assert (fill.exec_id, fill.exchange_id) == (
        "b83edd70-2c2d-7eb8-fa36-58cb88962a4f",
        "eaf968c6-906b-4aaa-a32a-ab65d6e06ed7",
    )
    assert (fill.instrument.symbol, fill.side, fill.price, fill.qty, fill.maker) == ("XBTUSDT", 1, 41_866, 1, False)
    assert (fill.fee, fill.fee_coin) == (15_699 * 10**12, "USDT")
