"""The local exchange at a glance: bounded data, the page, its text, and what clients cannot do to a terminal."""

import io
import re

import httpx
import pytest
import trio
from rich.console import Console

from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import Exchange
from mlthon.cli import exchange_view
from mlthon.engine.clock import SECOND
from mlthon.exchange.served.fault_schedule import FaultSchedule, Rule
from mlthon.exchange.served.faults import Fault
from mlthon.exchange.served.records import NewOrder
from mlthon.live.exchange_admin import Admin
from mlthon.live.exchange_page import HTML, LEVELS, ORDERS, STRIKES, TRADES, Traffic, as_text
from mlthon.live.exchange_server import ExchangeServer
from tests.live.test_exchange_server import START, make_server, running

BTC = resolve(Exchange.Bybit, "byt:perp:btc-usdt")


def busy() -> tuple[ExchangeServer, Admin]:
    """A server whose account has more orders, and whose market more trades, than are shown."""
    server = make_server()
    admin = server.admin
    assert admin is not None
    account = admin.served.accounts["main"]
    for number in range(ORDERS + 10):
        price = 400_000 + number
        new = NewOrder(instrument=BTC, side=1, qty=1, price=price, client_id=f"c{number}\x1b[2J")
        account.place(new)
    server.clock.run_until(START + 5 * SECOND)
    for number in range(STRIKES + 5):
        server.dialect.strike(f"number {number}")
    server.dialect.inject(Fault("drop", 3, "/v5/order"))
    FaultSchedule(
        [Rule("drop", share=0.5, path="/v5/order", text="drop=50%")], server.dialect, admin.served, server.disconnect, 1
    )
    return server, admin


def test_every_list_is_bounded_and_the_newest_come_first() -> None:
    _, admin = busy()
    seen = admin.view({})
    assert len(seen["market"]["bids"]) <= LEVELS
    assert 0 < len(seen["market"]["trades"]) <= TRADES
    (account,) = seen["accounts"]
    assert (account["open"], len(account["orders"])) == (ORDERS + 10, ORDERS)
    assert account["orders"][0]["id"].startswith(f"c{ORDERS + 9}")
    assert account["orders"][0] | {"id": ""} == {
        "id": "",
        "symbol": "BTCUSDT",
        "side": 1,
        "type": "Limit",
        "status": "New",
        "price": "40002.9",
        "qty": "0.001",
        "filled": "0",
    }
    assert [each["text"] for each in seen["faults"]["struck"]][:2] == [f"number {STRIKES + 4}", f"number {STRIKES + 3}"]
    assert len(seen["faults"]["struck"]) == STRIKES
    assert seen["faults"]["waiting"] == ["drop x 3 /v5/order"]
    assert seen["faults"]["schedule"] == ["drop=50%"]


def test_the_text_has_it_all_and_no_escapes() -> None:
    _, admin = busy()
    admin.served.halt("maintenance")
    text = as_text(admin.view({}))
    assert "HALTED: maintenance" in text
    assert "byt:perp:btc-usdt" in text
    assert "USDT 1000000  30 open orders, 0 executions" in text
    assert re.search(r"New +BTCUSDT +buy +Limit +0/0\.001 @ +40002\.9  c29\?\[2J", text)
    assert "drop=50%" in text
    assert "\x1b" not in text


def test_requests_a_second() -> None:
    traffic = Traffic()
    for number in range(100):
        traffic.count(START + number * SECOND // 20)
    assert traffic.total == 100
    assert traffic.rate(START + 5 * SECOND) == 10.0
    assert traffic.rate(START + 12 * SECOND) == 6.0
    assert traffic.rate(START + 60 * SECOND) == 0.0


@pytest.mark.trio
async def test_browsers_get_a_page_and_curl_gets_text() -> None:
    server, _ = busy()
    async with running(server) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        page = await client.get("/", headers={"accept": "text/html,application/xhtml+xml"})
        assert page.headers["content-type"].startswith("text/html")
        assert page.text == HTML
        text = await client.get("/", headers={"accept": "*/*"})
        assert text.headers["content-type"].startswith("text/plain")
        assert text.text.startswith("Bybit ")
        seen = (await client.get("/admin/view", params={"symbol": "BTCUSDT"})).json()
        assert seen["market"]["instrument"] == BTC.name
        assert "test-secret" not in str(seen)
        unknown = await client.get("/admin/view", params={"symbol": "boom"})
        assert unknown.status_code == 400
        before = seen["requests"]
        await client.get("/v5/market/time")
        assert (await client.get("/admin/view")).json()["requests"] == before + 1


def test_the_page_needs_nothing_but_itself() -> None:
    assert not re.search(r"(?:src|href)=|https?://|@import|innerHTML", HTML)


@pytest.mark.trio
async def test_the_view_in_a_terminal(autojump_clock: trio.testing.MockClock) -> None:
    _, admin = busy()
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=100, height=12)
    with trio.move_on_after(2):
        await exchange_view.keep_showing(admin.view, console)
    assert "byt:perp:btc-usdt" in written.getvalue()
