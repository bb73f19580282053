"""BitMEX's codec: its questions, and the facts it finds in samples of their answers."""

from pathlib import Path

import pytest

from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import Exchange, ExecInstructions
from mlthon.basics.defs import OrderStatus as Status
from mlthon.protocols import bitmex as spelling
from mlthon.venue.codec import NoAnswer, Refused
from tests.gateways.bitmex_kit import OLD, ROW, SAMPLES, answer, ask, codec, error, order, sample


def test_orders_asked_for(shared: Path) -> None:
    made = codec(*SAMPLES)
    found, asked = ask(
        made.open_orders(None), answer(sample(shared, "xchange/__files/api_v1_order_all-open-orders.json"))
    )
    mapping = sample(shared, "xchange/mappings/api_v1_order_all-open-orders.json")
    assert asked[0].target == mapping["request"]["url"]
    assert [(fact.instrument.symbol, fact.price, fact.qty) for fact in found] == [
        ("ETH_USDT", 60000, 1),
        ("XBT_USDT", 180000, 1),
    ]
    found, _ = ask(made.order_status(order()), answer(sample(shared, "nautilus/http_get_orders.json")[1:]))
    assert (found.status, found.exec_instr, found.filled) == (Status.Filled, ExecInstructions.PostOnly, 200)
    found, asked = ask(made.order_status(order()), answer([]))
    assert found is None
    assert "filter=%7B%22clOrdID%22%3A%22cl-0001%22%7D" in asked[0].target


def test_pages() -> None:
    rows = [{**ROW, "orderID": f"o{number}"} for number in range(501)]
    found, asked = ask(codec().open_orders(None), answer(rows[:500]), answer(rows[499:]))
    assert (len(found), len({fact.exchange_id for fact in found})) == (501, 501)
    assert "start=500" in asked[1].target


def test_executions_asked_for(shared: Path) -> None:
    rows = sample(shared, "nautilus/http_get_executions.json")
    since = spelling.nanoseconds("2024-11-25T10:35:01.000Z")
    found, asked = ask(codec(*SAMPLES).executions(since, None), answer([*rows, {**rows[0], "execType": "Funding"}]))
    assert [(fact.exec_id[-2:], fact.maker) for fact in found] == [("11", False)]
    assert "startTime=2024-11-25T10%3A35%3A01.000Z" in asked[0].target


def test_money_and_positions(shared: Path) -> None:
    made = codec(*SAMPLES)
    margin = answer([sample(shared, "nautilus/ws_margin.json")])
    wallets = sample(shared, "xchange/__files/api_v1_user_wallet.json")
    found, _ = ask(made.wallet(), margin, answer(wallets))
    assert {fact.coin: fact.total for fact in found} == {
        "BTC": 100005180 * 10**10,
        "SOL": 22 * 10**15,
        "USDT": 40116243 * 10**12,
        "ETH": 10**15,
    }
    assets = answer(sample(shared, "xchange/__files/api_v1_wallet_assets.json"))
    found, asked = ask(made.wallet(), answer([]), answer([{"currency": "TRUMp", "amount": 5}]), assets)
    assert (found[0].coin, found[0].total, len(asked)) == ("TRUMP", 5 * 10**10, 3)
    found, _ = ask(made.positions(None), answer(sample(shared, "nautilus/http_get_positions.json")))
    assert [(fact.position, fact.mark_price) for fact in found] == [(100, 98000.0)]
    found, _ = ask(made.positions(None), answer(sample(shared, "xchange/__files/api_v1_position.json")))
    assert found == []


def test_account_info() -> None:
    made = codec()
    user, keys = answer({"id": 7, "username": "x"}), answer([{"id": "test-key", "permissions": ["order", "withdraw"]}])
    row = {"symbol": "XBTUSD", "currentQty": 0, "leverage": 10, "crossMargin": False, "commission": 0.0005}
    found, _ = ask(made.account_info(), user, keys, answer([row]))
    assert (found.user_id, found.may_trade, found.may_withdraw, found.refusal) == ("7", True, True, "")
    assert (found.margin_mode, found.notes) == ("isolated", ("XBTUSD: isolated margin, leverage 10",))
    hedged = answer([{**row, "strategy": "Long"}])
    found, _ = ask(made.account_info(), user, answer(error("Access Denied"), 403), hedged)
    assert (found.may_trade, found.position_mode) == (None, "hedge")
    assert "XBTUSD" in found.refusal


def test_instruments_are_those_of_the_catalogue(shared: Path) -> None:
    found, _ = ask(codec().instruments(), answer(sample(shared, "xchange/__files/api_v1_instrument_active.json")))
    spot = {instrument.symbol: instrument for instrument in found}["XBT_USDT"]
    known = resolve(Exchange.BitMEX, "XBT_USDT")
    assert (spot.number, spot.price_scale, spot.qty_scale) == (known.number, known.price_scale, known.qty_scale)
    assert (spot.max_quantity, spot.settle_currency) == (known.max_quantity, "USDT")
    perpetual = {"symbol": "ETHUSD", "state": "Open", "typ": "FFWCSX", "underlying": "ETH", "quoteCurrency": "USD"}
    perpetual |= {"settlCurrency": "XBt", "tickSize": 0.05, "lotSize": 1, "multiplier": 100}  # type: ignore[dict-item]
    future = {**perpetual, "symbol": "ETHUSDZ25", "typ": "FFCCSX", "expiry": "2025-12-26T12:00:00.000Z"}
    (eth, later), _ = ask(codec().instruments(), answer([perpetual, future, {**perpetual, "state": "Settled"}]))
    assert (eth.multiplier, eth.settle_currency) == (resolve(Exchange.BitMEX, "ETHUSD").multiplier, "BTC")
    assert (later.mlt_symbol, later.valid_end_ts) == ("eth-usd-z25", 1766750400000)


def test_funding_and_candles(shared: Path) -> None:
    made = codec(*SAMPLES)
    row = {"symbol": "XBTUSD", "fundingRate": 0.0001, "fundingTimestamp": "2022-02-11T04:00:00.000Z"}
    found, asked = ask(made.funding(OLD), answer([row]))
    assert (found.rate, found.next_ts) == (0.0001, 1644552000 * 10**9)
    assert asked[0].target == "/api/v1/instrument?symbol=XBTUSD"
    with pytest.raises(Refused, match="no funding"):
        ask(made.funding(OLD), answer([{"symbol": "XBTUSD"}]))
    bins = sample(shared, "nautilus/http_get_trade_bins.json")
    end = spelling.nanoseconds("2024-11-25T10:31:00.000Z")
    found, asked = ask(made.candles(OLD, 60, end - 120 * 10**9, end), answer(bins))
    # A bin bears the time of its end: the one of 10:30 opened at 10:29.
    assert [(candle.close_ts, candle.volume) for candle in found] == [(end - 60 * 10**9, 150000), (end, 95000)]
    assert "startTime=2024-11-25T10%3A30%3A00.000Z&endTime=2024-11-25T10%3A32%3A00.000Z" in asked[0].target


def test_questions_that_are_refused() -> None:
    made = codec()
    with pytest.raises(Refused, match="Signature not valid") as wrong_key:
        ask(made.positions(None), answer(error("Signature not valid."), 401))
    assert wrong_key.value.final
    with pytest.raises(Refused) as limited:
        ask(made.positions(None), answer(error("Rate limit exceeded"), 429, retry_after="4"))
    assert (limited.value.final, limited.value.retry_after_s) == (False, 4.0)
    with pytest.raises(Refused, match="cannot be understood"):
        ask(made.positions(None), answer(b"<html>"))
    question = made.positions(None)
    next(question)
    with pytest.raises(NoAnswer):
        question.throw(NoAnswer("timed out"))


def test_the_time_is_asked_for_without_a_signature() -> None:
    """A signature expires by the exchange's clock, which the answer tells."""
    found, asked = ask(
        codec().server_time(), answer({"name": "BitMEX API", "version": "2.0.0", "timestamp": 1735689600123})
    )
    assert found == 1735689600123 * 10**6
    assert not [name for name in asked[0].headers if name.startswith("api-")]


def test_any_call_of_the_exchange_by_its_path() -> None:
    params = {"symbol": "XBTUSD", "columns": '["lastPrice"]', "reverse": True, "filter": {"open": True}}
    found, asked = ask(codec().native("instrument", "public", "GET", params), answer([{"symbol": "XBTUSD"}]))
    assert found == [{"symbol": "XBTUSD"}]
    target = (
        "/api/v1/instrument?symbol=XBTUSD&columns=%5B%22lastPrice%22%5D&reverse=true&filter=%7B%22open%22%3Atrue%7D"
    )
    assert asked[0].target.endswith(target)
    found, asked = ask(codec().native("api/v1/position/leverage", "private", "POST", {"leverage": 3}), answer({"a": 1}))
    assert (asked[0].method, asked[0].body, found) == ("POST", b'{"leverage":3}', {"a": 1})
    assert "api-signature" in asked[0].headers
    with pytest.raises(Refused, match="Invalid symbol"):
        ask(codec().native("instrument", "public", "GET", {}), answer(error("Invalid symbol"), 400))
