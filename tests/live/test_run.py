"""The end of a live run: what is cancelled, in which order things are closed, and what is said of what is left."""

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
import trio

from mlthon.backtest.run import Turnover
from mlthon.basics.defs import TIF, Exchange, ExecInstructions, GtwRejectCode, OrderStatus, OrderType, Side
from mlthon.engine.clock import SECOND
from mlthon.engine.engine import Engine, EngineSettings
from mlthon.engine.entries import OpenOrder, Sent, Standing
from mlthon.engine.taps import Tally
from mlthon.live.driver import Driver, WallTime
from mlthon.live.run import STOP_S, LiveBooks, LiveRun, Parts
from mlthon.live.run import Standing as Position
from mlthon.venue.facts import Reply
from mlthon.venue.live_gateway import LiveGateway
from mlthon.venue.rate_rules import RateRule
from tests.engine.rig import Recorder
from tests.venue.scripted import BTC, SILENCE, Rig, order_fact

BYBIT = Exchange.Bybit


class Part:
    def __init__(self, name: str, log: list[str]) -> None:
        self.name = name
        self.log = log

    def start(self) -> None:
        self.log.append(f"start {self.name}")

    def stop(self) -> None:
        self.log.append(f"stop {self.name}")


class Run(Rig):
    """A live gateway on a scripted exchange under a strategy, driven by the wall clock."""

    def __init__(self, nursery: trio.Nursery, *, cancel_on_stop: bool = True, **codec: Any) -> None:
        super().__init__(start=False, **codec)
        wall = WallTime()
        self.clock.now = wall.now()
        self.driver = Driver(self.clock, wall)
        self.log: list[str] = []
        self.strategy = Recorder()
        self.taps = Tally()
        self.engine = Engine(self.clock, [BTC], EngineSettings(), [self.taps])
        self.engine.add_strategy("s", self.strategy, [BYBIT], "main", {})
        port = self.engine.port(BYBIT, "main")
        self.gateway = port.gateway = LiveGateway(self.codec, self.edge, self.clock, port)
        self.strategy.then["on_stop"] = lambda _params: self.strategy.env.send_stop_ack()
        self.run = LiveRun(
            Parts(
                name="s",
                mode="live",
                engine=self.engine,
                tally=self.taps,
                turnover=Turnover(),
                books=LiveBooks(),
                events=lambda: 0,
                standings=self.standings,
                close=lambda: self.log.append("close the journal"),
                watch=Part("watch", self.log),
                gateways=[self.gateway],
                feeds=[Part("feed", self.log)],
                cancel_on_stop=cancel_on_stop,
                ack_s=0.2,
            ),
            self.driver,
        )
        nursery.start_soon(self.driver.run)

    def standings(self) -> tuple[Position, ...]:
        held = {"s": 2 * 10**18, "t": -(10**18)}
        return (Position(exchange=BYBIT, account="main", instrument="btc", by_strategy=held, of_account=10**18),)

    async def until(self, condition: Callable[[], object]) -> None:
        with trio.fail_after(5):
            while not condition():
                await trio.sleep(0.005)

    async def get_ready(self) -> None:
        self.run.start()
        await self.until(lambda: "private" in self.edge.lines)
        self.driver.deliver(self.edge.opens)
        self.driver.deliver(self.edge.tells, *self.ready())
        await self.until(lambda: self.gateway.status()[1] == "")

    def order(self, client_id: int) -> str:
        self.driver.deliver(self.strategy.env.send_new_order, client_id, BYBIT, BTC, Side.Buy, "100", "0.1")
        order = self.engine.sessions["s"].orders[str(client_id)]
        assert order is not None
        return order.wire_id

    def cancels(self) -> Any:
        """The exchange says of each cancelled order that it is gone."""
        target = next(target for target in reversed(self.edge.targets()) if target.startswith("cancel "))
        wire_id = target.split()[1]
        gone = order_fact(wire_id, OrderStatus.Cancelled, instrument=BTC, price=1000, qty=100)
        self.clock.call_at(self.clock.now + SECOND // 20, self.edge.tells, gone)
        return Reply(accepted=True)


@pytest.mark.trio
async def test_orders_are_cancelled_and_things_closed_in_order(nursery: trio.Nursery) -> None:
    rig = Run(nursery)
    rig.says["cancel"] = rig.cancels
    await rig.get_ready()
    wire_id = rig.order(1)
    await trio.sleep(0.05)
    began = trio.current_time()
    result = await rig.run.stop("enough")
    assert trio.current_time() - began < 2 * STOP_S
    assert rig.count(f"cancel {wire_id}") == 1
    assert (result.open_orders, result.in_doubt) == ((), ())
    assert rig.edge.log[-1] == ("close", "private")
    assert rig.log == ["start watch", "start feed", "stop feed", "stop watch", "close the journal"]
    assert "on_framework_disconnected" in rig.strategy.names()


@pytest.mark.trio
async def test_a_spent_rate_limit_leaves_room_for_the_cancels(nursery: trio.Nursery) -> None:
    rules = [RateRule("r", 8, 60.0, reserve=0.25)]
    rig = Run(nursery, rules=rules, costs={"new": (("r", 1),), "cancel": (("r", 1),)})
    rig.says["cancel"] = rig.cancels
    await rig.get_ready()
    wire_ids = [rig.order(number) for number in range(1, 9)]
    rig.driver.deliver(lambda: None)
    sent = [each for each in wire_ids if rig.count(f"new {each}")]
    assert len(sent) == 6
    # four of them end by themselves: two are left, and two requests
    for wire_id in sent[:4]:
        rig.driver.deliver(rig.edge.tells, order_fact(wire_id, OrderStatus.Cancelled, price=1000, qty=100))
    await trio.sleep(1.2)
    result = await rig.run.stop("enough")
    assert [target for target in rig.edge.targets() if target.startswith("cancel ")] == [
        f"cancel {each}" for each in sent[4:]
    ]
    assert result.open_orders == ()


@pytest.mark.trio
async def test_what_cannot_be_cancelled_in_time_is_said_and_sent_once(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Run(nursery, rules=[RateRule("r", 1, 60.0)], costs={"cancel": (("r", 1),)})
    await rig.get_ready()
    wire_ids = (rig.order(1), rig.order(2))
    await trio.sleep(0.05)
    began = trio.current_time()
    result = await rig.run.stop("enough")
    assert trio.current_time() - began < 2 * STOP_S
    assert result.open_orders == wire_ids
    assert rig.count("cancel") <= 4
    assert "2 orders still open when the run ended" in caplog.text
    sent = len(rig.edge.sent)
    calls = len(rig.strategy.calls)
    rig.clock.run_until(rig.clock.now + 300 * SECOND)
    assert (len(rig.edge.sent), len(rig.strategy.calls)) == (sent, calls)


@pytest.mark.trio
async def test_an_order_whose_request_went_unanswered_is_said_to_be_in_doubt(nursery: trio.Nursery) -> None:
    rig = Run(nursery, cancel_on_stop=False)
    rig.says["new"] = SILENCE
    await rig.get_ready()
    wire_id = rig.order(1)
    close = rig.gateway.close

    def closed() -> None:
        rig.log.append("close the gateway")
        close()

    rig.gateway.close = closed  # type: ignore[method-assign]
    result = await rig.run.stop("enough")
    # the lines of market data are closed while the last answers are waited for
    assert rig.log[2:] == ["stop feed", "close the gateway", "stop watch", "close the journal"]
    assert (result.open_orders, result.in_doubt) == ((wire_id,), (wire_id,))
    assert f"IN DOUBT {wire_id}" in result.text()
    assert f'"in_doubt":["{wire_id}"]' in result.to_json()
    assert rig.count("cancel") == 0


@pytest.mark.trio
async def test_new_orders_are_refused_once_the_gateway_is_stopping(nursery: trio.Nursery) -> None:
    rig = Run(nursery)
    await rig.get_ready()
    rig.order(1)
    await trio.sleep(0.05)
    # the strategy does not acknowledge the stop, and answers the end of each order with a new one
    del rig.strategy.then["on_stop"]
    rig.says["cancel"] = rig.cancels
    numbers = iter(range(2, 100))
    rig.strategy.then["on_order_cancelled"] = lambda *_: rig.strategy.env.send_new_order(
        next(numbers), BYBIT, BTC, Side.Buy, "100", "0.1"
    )
    result = await rig.run.stop("enough")
    assert result.open_orders == ()
    (refused,) = (each for each in rig.strategy.calls if each[0] == "on_new_order_reject")
    assert refused[3] is GtwRejectCode.GtwNotReady
    assert "the gateway is stopping: the run ends" in refused[4]


@pytest.mark.trio
async def test_orders_of_strategies_that_do_not_run_now_are_cancelled_too(nursery: trio.Nursery) -> None:
    rig = Run(nursery)
    rig.says["cancel"] = rig.cancels
    await rig.get_ready()
    port = rig.engine.port(BYBIT, "main")
    sent = Sent(
        strategy="gone",
        client_id="7",
        instrument=BTC,
        side=1,
        order_type=OrderType.Limit,
        tif=TIF.GTC,
        exec_instr=ExecInstructions.Unset,
        price=1000,
        qty=100,
        stop_price=None,
        close_position=False,
        created_ts=rig.clock.now,
    )
    standing = Standing(state=OrderStatus.New, exchange_id="X-m0-9", price=1000, qty=100, leaves=100, filled=0)
    old = OpenOrder(wire_id="m0-9", exchange=BYBIT, account="main", sent=sent, standing=standing)
    port.adopt(old, BTC)
    result = await rig.run.stop("enough")
    assert rig.count("cancel m0-9") == 1
    assert result.open_orders == ()


@pytest.mark.trio
async def test_positions_are_shown_beside_one_another_on_demand(nursery: trio.Nursery) -> None:
    rig = Run(nursery)
    await rig.get_ready()
    shown: list[str] = []
    over = False

    def look(text: str) -> None:
        nonlocal over
        shown.append(text)
        over = True

    async def ask() -> None:
        await trio.sleep(0.05)
        os.kill(os.getpid(), signal.SIGUSR2)

    nursery.start_soon(ask)
    with trio.fail_after(5):
        await rig.run.play(None, lambda: over, lambda _: None, lambda: None, look)
    (table,) = shown
    assert [word for word in ("s 2, t -1", "btc", "Bybit main") if word not in table] == []
    assert table.splitlines()[-1].split()[-1] == "0"
