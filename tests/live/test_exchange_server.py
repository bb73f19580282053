"""The local exchange on real sockets: HTTP and websockets on one port, the admin endpoint, slow clients, TLS."""

import json
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import trio
from websockets.exceptions import ConnectionClosed
from websockets.trio.client import connect

from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import Exchange, OrderStatus
from mlthon.basics.instrument import Instrument
from mlthon.basics.money import UNIT
from mlthon.cli.exchange import read_accounts
from mlthon.data.rows import Columns, Kind, Stream
from mlthon.engine.clock import SECOND, Clock
from mlthon.errors import UserError
from mlthon.exchange.dialects.bybit import BybitDialect
from mlthon.exchange.served.exchange import ServedExchange
from mlthon.exchange.served.faults import FaultyDialect
from mlthon.exchange.served.records import NewOrder
from mlthon.live import exchange_server
from mlthon.live.driver import WallTime
from mlthon.live.exchange_admin import Admin
from mlthon.live.exchange_market import MarketPlayer
from mlthon.live.exchange_server import ExchangeServer, WallClock, certificates, trusting

START = 1_735_689_600 * SECOND


def make_server(latency: int = 0) -> ExchangeServer:
    clock = Clock(START)
    served = ServedExchange(Exchange.Bybit, [resolve(Exchange.Bybit, "byt:perp:btc-usdt")], clock)
    served.add_account("main", [("test-key", "test-secret")])
    player = MarketPlayer(served, seed=1)
    faulty = FaultyDialect(BybitDialect(served), clock)
    server = ExchangeServer(faulty, clock, latency)
    server.admin = Admin(served, faulty, player, server.disconnect, server.counts)
    return server


@asynccontextmanager
async def running(server: ExchangeServer, **options: Any) -> AsyncIterator[str]:
    stop = trio.Event()
    found: list[str] = []
    ready = trio.Event()

    def started(url: str) -> None:
        found.append(url)
        ready.set()

    async with trio.open_nursery() as nursery:
        run: Callable[[], Any] = lambda: server.run("127.0.0.1", 0, started=started, stop=stop, **options)  # noqa: E731
        nursery.start_soon(run)
        await ready.wait()
        yield found[0]
        with trio.fail_after(3):
            stop.set()
            while nursery.child_tasks:
                await trio.sleep(0.01)


async def receive(socket: Any, topic: str) -> Any:
    with trio.fail_after(5):
        while True:
            message = json.loads(await socket.recv())
            if message.get("topic") == topic:
                return message


async def closed(socket: Any) -> None:
    """Return when the socket is closed; fail when it stays open."""
    with trio.fail_after(3):
        while True:
            try:
                await socket.recv()
            except ConnectionClosed:
                return


@pytest.mark.trio
async def test_http_and_websockets_on_one_port() -> None:
    async with running(make_server()) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        time = (await client.get("/v5/market/time")).json()
        assert time["result"]["timeSecond"] in [str(START // SECOND + late) for late in range(5)]
        async with connect(url.replace("http", "ws") + "/v5/public/linear") as socket:
            await socket.send('{"op":"subscribe","args":["orderbook.50.BTCUSDT"]}')
            book = await receive(socket, "orderbook.50.BTCUSDT")
            assert book["type"] == "snapshot"
            assert (await receive(socket, "orderbook.50.BTCUSDT"))["type"] == "delta"


@pytest.mark.trio
async def test_the_admin_endpoint() -> None:
    server = make_server()
    async with running(server) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        await trio.sleep(0.2)
        assert (await client.get("/admin/status")).json()["exchange"] == "Bybit"
        account = (await client.get("/admin/account")).json()
        assert account["balances"] == {"USDT": "1000000"}
        assert "test-secret" not in (await client.get("/admin/accounts")).text
        set_price = await client.post("/admin/price", json={"symbol": "BTCUSDT", "price": "64000"})
        assert set_price.json() == {"instrument": "byt:perp:btc-usdt", "price": "64000"}
        book = (await client.get("/admin/book", params={"symbol": "BTCUSDT", "levels": "1"})).json()
        assert abs(float(book["bids"][0][0]) - 64000) < 100
        assert (await client.post("/admin/halt", json={"reason": "night"})).json() == {"halted": "night"}
        for method, path, body in (
            ("POST", "/admin/price", {"symbol": "NOPE", "price": "1"}),
            ("POST", "/admin/price", {"symbol": "BTCUSDT", "price": "x"}),
            ("POST", "/admin/fault", {"kind": "boom"}),
            ("POST", "/admin/fault", {"count": "many"}),
            ("POST", "/admin/fault", [1]),
        ):
            answer = await client.request(method, path, json=body)
            assert (answer.status_code, bool(answer.json()["error"])) == (400, True)
        assert (await client.get("/admin/nothing")).status_code == 404


@pytest.mark.trio
async def test_faults_and_forced_disconnects() -> None:
    async with running(make_server()) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        await client.post("/admin/fault", json={"kind": "error", "status": 503, "path": "/v5"})
        assert [(await client.get("/v5/market/time")).status_code for _ in range(2)] == [503, 200]
        await client.post("/admin/fault", json={"kind": "drop", "path": "/v5"})
        with pytest.raises(httpx.ReadTimeout):
            await client.get("/v5/market/time", timeout=0.3)
        async with connect(url.replace("http", "ws") + "/v5/public/linear") as socket:
            await socket.send('{"op":"ping"}')
            await socket.recv()
            assert (await client.post("/admin/disconnect")).json() == {"closed": 1}
            await closed(socket)


@pytest.mark.trio
async def test_a_client_that_does_not_read_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_server, "QUEUE", 3)
    server = make_server()
    async with running(server) as url, connect(url.replace("http", "ws") + "/v5/public/linear") as socket:
        await socket.send('{"op":"ping"}')
        await socket.recv()
        (client,) = server.clients
        # all at once: its writer has no turn in between
        for _ in range(10):
            client.send("x" * 100)
        await closed(socket)
        assert server.counts()["dropped"] == 4


@pytest.mark.trio
async def test_latency_delays_answers() -> None:
    async with (
        running(make_server(latency=SECOND // 5)) as url,
        httpx.AsyncClient(base_url=url, trust_env=False) as client,
    ):
        began = trio.current_time()
        assert (await client.get("/v5/market/time")).status_code == 200
        assert trio.current_time() - began >= 0.2


@pytest.mark.trio
async def test_tls_with_an_authority_of_its_own(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    async with certificates("127.0.0.1", authority) as files:
        chain, key = files
        assert key.stat().st_mode & 0o077 == 0
        async with running(make_server(), certificates=files) as url:
            assert url.startswith("https://")
            async with httpx.AsyncClient(base_url=url, verify=trusting(authority), trust_env=False) as client:
                assert (await client.get("/v5/market/time")).status_code == 200
            async with httpx.AsyncClient(
                base_url=url, verify=ssl.create_default_context(), trust_env=False
            ) as stranger:
                with pytest.raises(httpx.ConnectError):
                    await stranger.get("/v5/market/time")
            async with connect(url.replace("https", "wss") + "/v5/private", ssl=trusting(authority)) as socket:
                await socket.send('{"op":"ping"}')
                assert json.loads(await socket.recv())["op"] == "pong"
    assert not chain.exists()


def test_the_clock_is_not_late_by_what_was_built_since_it_was_made() -> None:
    ticks = 0
    wall = WallTime(START, lambda: ticks)
    clock = Clock(wall.now())
    ticks = SECOND
    assert WallClock(clock, wall).now() == START + SECOND


def test_the_market_is_the_same_for_a_seed_and_goes_faster_when_told() -> None:
    def levels(seed: int, speed: float) -> Any:
        clock = Clock(START)
        instrument = resolve(Exchange.Bybit, "byt:perp:btc-usdt")
        served = ServedExchange(Exchange.Bybit, [instrument], clock)
        MarketPlayer(served, (), seed, speed)
        clock.run_until(START + 5 * SECOND)
        market = served.markets[instrument]
        return market.levels(1, 20), market.seq

    assert levels(1, 1.0) == levels(1, 1.0)
    assert levels(1, 1.0) != levels(2, 1.0)
    assert levels(1, 4.0)[1] > 2 * levels(1, 1.0)[1]


class Recording:
    """Ten seconds of quotes and trades of long ago, as a `Source`; a hole of an hour is in the middle."""

    def __init__(self, instrument: Instrument) -> None:
        self.instruments = [instrument]
        self._streams = [Stream(instrument, Kind.QUOTE), Stream(instrument, Kind.TRADE)]
        times = [SECOND * (10**9 + second + (3600 if second >= 5 else 0)) for second in range(10)]
        self.start, self.end = times[0], times[-1]
        self._rows = {
            Kind.QUOTE: [(ts, ts, 500_000 + place, 7, 500_001 + place, 9) for place, ts in enumerate(times)],
            Kind.TRADE: [(ts, ts, 500_001 + place, 2, 1, place) for place, ts in enumerate(times)],
        }

    def streams(self) -> list[Stream]:
        return self._streams

    def chunks(self, stream: Stream) -> Iterator[Columns]:
        yield Columns.from_table(np.array(self._rows[stream.kind], np.int64))


def test_a_recording_is_moved_to_now_and_goes_on_as_the_synthetic_market() -> None:
    clock = Clock(START)
    instrument = resolve(Exchange.Bybit, "byt:perp:btc-usdt")
    served = ServedExchange(Exchange.Bybit, [instrument], clock)
    account = served.add_account("main")
    market = served.markets[instrument]
    player = MarketPlayer(served, [Recording(instrument)])
    clock.run_until(START + SECOND // 2)
    assert (market.levels(1), market.levels(-1)) == ([(500_000, 7)], [(500_001, 9)])
    assert not player.set_price(instrument, 400_000)
    resting = account.place(NewOrder(instrument=instrument, side=1, qty=3, price=400_000))
    taker = account.place(NewOrder(instrument=instrument, side=1, qty=2, price=500_001))
    clock.run_until(START + SECOND // 2 + SECOND // 4)
    assert (taker.status, resting.status) == (OrderStatus.Filled, OrderStatus.New)
    # the hole lasts a second
    clock.run_until(START + 9 * SECOND + SECOND // 2)
    assert [trade.price for trade in market.trades][:10] == [500_001 + place for place in range(10)]
    assert instrument in player.flows
    clock.run_until(START + 20 * SECOND)
    assert len(market.levels(1)) > 10
    assert market.bids.qty[400_000] == 3
    bid, _, ask, _ = market.touch
    assert bid < ask
    assert abs(bid - 500_010) < 1000
    assert len(market.trades) > 10
    assert sum(served.embedded.total().values()) == 1_000_000 * UNIT


def test_accounts_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "accounts.toml"
    file.write_text('[accounts.a]\nkey = "k"\nsecret = "hush"\nbalances = { USDT = 5 }\n')
    (entry,) = read_accounts(file)
    assert (entry.name, entry.keys, entry.balances) == ("a", (("k", "hush"),), {"USDT": 5.0})
    assert read_accounts(None)[0].keys == (("test-key", "test-secret"),)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[accounts]",
        "[accounts.a]",
        '[accounts.a]\nkey = "k"',
        "accounts = 1",
        "[[",
        '[accounts.a]\nkey="k"\nsecret="hush"\nx=1',
        '[accounts.a]\nkey="k"\nsecret="hush"\nbalances={ USDT = -1 }',
        '[accounts.a]\nkey="k"\nsecret="hush"\nbalances=3',
    ],
)
def test_bad_account_files_are_refused_without_their_secrets(tmp_path: Path, text: str) -> None:
    file = tmp_path / "accounts.toml"
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        read_accounts(file)
    assert "hush" not in str(caught.value)
    assert str(file) in str(caught.value)
