"""Commands and what becomes of them, at a desk whose engine is a stand-in."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from mlthon.config import TelegramConfig
from mlthon.engine.session import Phase
from mlthon.live.guard_report import GuardReport, report_path, write_report
from mlthon.ops.client import AskFailed, NoAnswer
from mlthon.ops.contract import (
    CancelAll,
    GetCommands,
    GetOrders,
    GetPositions,
    GetProfit,
    GetStatus,
    Kill,
    Link,
    OrderRow,
    Position,
    Profit,
    RunCommand,
    StartStrategy,
    Status,
    StopStrategy,
    StrategyState,
)
from mlthon.ops.telegram.access import Access
from mlthon.ops.telegram.api import Button
from mlthon.ops.telegram.desk import Desk
from mlthon.ops.telegram.said import read_update
from mlthon.ops.telegram.text import Text, messages
from tests.ops.telegram.fake import GROUP, OWNER, FakeTelegram, fault_of_html, shown

pytestmark = pytest.mark.trio

S = 10**9
STATUS = Status(
    name="demo",
    mode="paper",
    started=0,
    now=3_720 * S,
    events=1_234_567,
    orders=12,
    fills=3,
    errors=0,
    profit={"BTC": "0.0012345", "USDT": "-1234.5678"},
    strategies=[StrategyState("demo", "running", 2, 0, ["Bybit main"])],
    links=[Link("gateway Bybit main", "ReadyToTrade"), Link("feed Bybit", "Disconnected", "<timed out>")],
    since_event_s=0.25,
)


class Engine:
    """Answers as `values` says, late where `hangs`."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.who = ""
        self.hangs = False
        self.values: dict[type, Any] = {
            GetStatus: STATUS,
            GetCommands: {"demo": ["start", "stop", "size"]},
            GetPositions: [],
            GetOrders: [],
            GetProfit: [],
        }

    async def ask(self, what: Any, who: str, timeout_s: float = 0.3) -> Any:
        self.asked.append(what)
        self.who = who
        if self.hangs:
            await trio.sleep(min(timeout_s, 0.3))
            raise NoAnswer("the engine has not answered")
        value = self.values.get(type(what), "done")
        if isinstance(value, Exception):
            raise value
        return value

    @property
    def done(self) -> list[Any]:
        return [each for each in self.asked if not isinstance(each, GetCommands)]


class Room:
    """A desk, and who speaks to it."""

    def __init__(self, guard: Path | None = None, **config: Any) -> None:
        self.engine = Engine()
        self.fake = FakeTelegram()
        self.answers: list[tuple[int, str, Sequence[Button]]] = []
        self.notes: list[str] = []
        self.guard = guard
        settings = TelegramConfig(**({"chat": OWNER, "confirm_s": 60.0} | config))
        self.desk = Desk(settings, Access(settings), self.engine, self, "demo", guard, self.note)
        self.desk.me = "trader_bot"

    async def note(self, query: str, text: str) -> None:
        self.notes.append(text)

    def answer(self, chat: int, text: Text, buttons: Sequence[Button] = ()) -> None:
        html = "".join(messages(text))
        assert fault_of_html(html) is None, html
        self.answers.append((chat, html, buttons))

    async def say(self, text: str, **more: Any) -> str:
        """Say something; the answer, or nothing where there is none."""
        self.fake.message(text, **more)
        return await self._heard()

    async def press(self, data: str, **more: Any) -> str:
        self.fake.press(data, **more)
        return await self._heard()

    async def _heard(self) -> str:
        before = len(self.answers)
        self.desk.take(read_update(self.fake.updates[-1]))
        await wait_all_tasks_blocked()  # however busy the machine is, what the desk can do at once is done
        with trio.move_on_after(2 if self.engine.hangs else 0.05):
            while len(self.answers) == before:
                await trio.sleep(0.001)
        return shown(self.answers[-1][1]) if len(self.answers) > before else ""


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    room = Room(chats={"grid": GROUP}, users=[42])
    async with trio.open_nursery() as nursery:
        await nursery.start(room.desk.serve)
        yield room
        nursery.cancel_scope.cancel()


async def test_status_is_a_table_with_readable_numbers(room: Room) -> None:
    told = await room.say("/status")
    assert "demo: paper, for 1h 02m" in told
    assert "1,234,567 market events, last 0.2 s ago" in told
    assert "+0.0012345 BTC, -1,234.57 USDT" in told
    assert "strategy  is       open  errors\ndemo      running     2       0" in told
    assert "⚠ feed Bybit: Disconnected, <timed out>" in told
    assert "<pre>strategy" in room.answers[0][1]
    assert room.engine.who == f"telegram {OWNER} @user{OWNER}"


async def test_positions_orders_and_profit(room: Room) -> None:
    assert await room.say("/positions") == "No positions."
    assert await room.say("/orders") == "No open orders."
    assert await room.say("/pnl") == "No fills yet."
    room.engine.values[GetPositions] = [
        Position("demo", "Bybit", "main", "byt:perp:btc-usd", "-15000.000", "9226.50", "-15000"),
        Position("demo", "Bybit", "main", "byt:perp:eth-usd", "0", None, "0"),
    ]
    told = await room.say("/positions demo")
    assert "demo · Bybit main\ninstrument        quantity    entry     held" in told
    assert "byt:perp:btc-usd   -15,000  9,226.5  -15,000" in told
    assert "eth" not in told
    room.engine.values[GetOrders] = [
        OrderRow("demo", "Bybit", "main", "byt:perp:btc-usd", "7", "Buy", "9000.5", "100", "50", "New", 75.0),
        OrderRow("demo", "Bybit", "main", "byt:perp:btc-usd", "8", "Sell", None, "100", "100", "New", 0.5),
        OrderRow("demo", "Bybit", "main", "byt:perp:btc-usd", "9", "Sell", None, "100", "100", "New", 0.5, "8000.50"),
    ]
    told = await room.say("/orders@trader_bot")
    lines = [each.split() for each in told.splitlines()]
    assert ["byt:perp:btc-usd", "7", "Buy", "50", "9,000.5", "1m", "15s"] in lines
    assert ["byt:perp:btc-usd", "8", "Sell", "100", "market", "0.5s"] in lines
    assert ["byt:perp:btc-usd", "9", "Sell", "100", "market", "at", "8,000.5", "0.5s"] in lines
    room.engine.values[GetProfit] = [Profit("demo", "BTC", "0.5", None, "0.00012", "1234567")]
    assert "BTC       +0.5     -  +0.00012  1,234,567" in await room.say("/pnl")
    assert room.engine.done[3] == GetPositions("demo")


async def test_strategies_are_started_and_stopped_by_name_or_without_where_there_is_one(room: Room) -> None:
    await room.say("/stop")
    await room.say("/stop demo now")
    await room.say("/start DEMO qty=5  x")
    await room.say("/start qty=5")
    await room.say("/cancel_all")
    assert room.engine.done == [
        StopStrategy("demo", ""),
        StopStrategy("demo", "now"),
        StartStrategy("demo", "qty=5  x"),
        StartStrategy("demo", "qty=5"),
        CancelAll("demo"),
    ]
    assert "takes a strategy's name only" in await room.say("/cancel_all demo more")


async def test_a_start_by_itself_is_a_greeting_while_nothing_is_stopped(room: Room) -> None:
    assert await room.say("/start") == "demo (paper): demo is running. /help lists what there is."
    assert room.engine.done == [GetStatus()]
    stopped = msgspec.structs.replace(STATUS.strategies[0], phase=Phase.STOPPED.value)
    room.engine.values[GetStatus] = msgspec.structs.replace(STATUS, strategies=[stopped])
    await room.say("/start")
    assert room.engine.done[-1] == StartStrategy("demo", "")


async def test_with_several_strategies_the_name_is_asked_for(room: Room) -> None:
    room.engine.values[GetCommands] = {"demo": ["start", "stop"], "grid": ["start", "stop"]}
    assert "which strategy? /stop NAME" in await room.say("/stop")
    assert "no strategy 'gird'; did you mean 'grid'?" in await room.say("/stop gird")
    assert room.engine.done == []
    assert await room.say("/stop grid") == "done"


async def test_hooks_by_their_names(room: Room) -> None:
    room.engine.values[GetCommands] = {
        "demo": ["start", "stop", "size", "status", "setQty"],
        "my.grid": ["start", "stop", "size"],
    }
    await room.say("/setqty 1 'a b'")
    assert "several strategies have 'size': whose?" in await room.say("/size 5")
    assert "/demo_size, /my_grid_size" in shown(room.answers[-1][1])
    await room.say("/size demo 5")
    await room.say("/size MY.GRID '5 6'")
    await room.say("/my_grid_size 7")
    await room.say("/demo_status long")
    await room.say("/status demo long")
    assert room.engine.done == [
        RunCommand("demo", "setQty", ["1", "a b"]),
        RunCommand("demo", "size", ["5"]),
        RunCommand("my.grid", "size", ["5 6"]),
        RunCommand("my.grid", "size", ["7"]),
        RunCommand("demo", "status", ["long"]),
        RunCommand("demo", "status", ["long"]),
    ]
    assert "no command /sizes; did you mean" in await room.say("/sizes")
    assert "a quote is not closed" in await room.say("/setqty don't")


async def test_help_lists_what_exists_in_the_spelling_that_works(room: Room) -> None:
    room.engine.values[GetCommands] = {"demo": ["start", "stop", "size", "status"], "grid": ["start", "size"], "x": []}
    told = await room.say("/help")
    assert "/kill – stop everything" in told
    assert "demo\n/demo_size /demo_status" in told
    assert "grid\n/grid_size" in told
    assert "x\nno commands of its own" in told
    room.engine.values[GetCommands] = NoAnswer("the engine is not there")
    assert "is not known now: the engine is not there" in await room.say("/help")


async def test_what_the_engine_refuses_is_said_with_its_mend(room: Room) -> None:
    room.engine.values[StopStrategy] = AskFailed("demo is <stopped>", "Start it.")
    assert await room.say("/stop") == "⚠ demo is <stopped>\nStart it."


async def test_a_fault_here_is_answered_and_logged(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    room.engine.values[GetStatus] = ZeroDivisionError("x")
    assert "failed here" in await room.say("/status")
    assert "ZeroDivisionError" in caplog.text
    assert "done" in await room.say("/stop")


@pytest.mark.parametrize(
    "more",
    [
        {"user": 666},
        {"user": 666, "chat": GROUP},
        {"user": 42, "chat": -555},
        {"user": OWNER, "forward_origin": {"type": "user"}},
        {"user": OWNER, "via_bot": {"id": 1}},
        {"user": OWNER, "chat": GROUP, "sender_chat": {"id": GROUP}},
        {"user": OWNER, "from": None},
    ],
)
async def test_nobody_else_is_answered(room: Room, more: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    for text in ("/status", "/stop", "/kill", "/kill 1234"):
        assert await room.say(text, **more) == ""
    assert room.engine.asked == []
    assert room.answers == []
    # once in a while
    assert caplog.text.count("not on the list") == 1


@pytest.mark.parametrize("more", [{"user": 42}, {"user": 42, "chat": GROUP}, {"user": OWNER, "chat": GROUP}])
async def test_those_on_the_list_are_answered_where_they_ask(room: Room, more: dict[str, Any]) -> None:
    assert "demo: paper" in await room.say("/status", **more)
    assert room.answers[0][0] == more.get("chat", more["user"])


async def test_old_commands_are_not_carried_out_and_are_answered(room: Room) -> None:
    assert "Not done: /stop was sent 10m" in await room.say("/stop", age_s=600)
    assert room.engine.asked == []
    assert await room.say("/stop", age_s=100) == "done"


async def test_edits_photos_and_talk_are_no_commands(room: Room) -> None:
    for text in ("hello", "/status@other_bot"):
        assert await room.say(text) == ""
    room.desk.take(read_update({"update_id": 1, "edited_message": {"text": "/stop"}}))
    photo = {"message_id": 1, "date": int(time.time()), "chat": {"id": OWNER}, "from": {"id": OWNER}, "photo": []}
    room.desk.take(read_update({"update_id": 2, "message": photo}))
    await trio.sleep(0.01)
    assert room.engine.asked == []


async def test_commands_of_a_chat_are_carried_out_in_order_and_bounded(room: Room) -> None:
    room.engine.hangs = True
    for number in range(40):
        room.fake.message(f"/stop demo {number}")
    for raw in room.fake.updates:
        room.desk.take(read_update(raw))
    await trio.sleep(0.05)
    assert sum("wait already" in html for _, html, _ in room.answers) == 20


# -- the kill ----------------------------------------------------------------------------------------------------------


def code_of(room: Room) -> str:
    return room.answers[-1][2][0][1].partition(":")[2]


async def test_a_kill_by_its_button(room: Room) -> None:
    room.engine.values[Kill] = "every strategy is stopping"
    assert "Stop every strategy of demo and cancel all its open orders?" in await room.say("/kill")
    assert room.engine.asked == []
    code = code_of(room)
    assert await room.press(f"kill:{code}") == "Killed: every strategy is stopping."
    assert "not valid" in await room.press(f"kill:{code}")
    assert room.engine.asked == [Kill()]
    assert room.notes[0] == "Killing"


async def test_a_kill_by_its_code(room: Room) -> None:
    await room.say("/kill")
    assert "Killed" in await room.say(f"/KILL {code_of(room)}")


@pytest.mark.parametrize("second", [{"user": 42}, {"user": OWNER, "chat": GROUP}])
async def test_a_kill_is_confirmed_by_the_one_who_asked_where_he_asked(room: Room, second: dict[str, Any]) -> None:
    await room.say("/kill")
    assert "not valid" in await room.press(f"kill:{code_of(room)}", **second)
    assert room.engine.asked == []


async def test_a_wrong_code_voids_the_question(room: Room) -> None:
    await room.say("/kill")
    code = code_of(room)
    assert "not valid" in await room.say("/kill nonsense")
    assert "not valid" in await room.say(f"/kill {code}")
    assert room.engine.asked == []


async def test_a_kill_works_where_this_machines_clock_is_wrong(room: Room) -> None:
    """By the clock every message is hours old. It asks back, and the code holds a minute by one that never jumps."""
    assert "Stop every strategy" in await room.say("/kill", age_s=7_200)
    assert "Killed" in await room.say(f"/kill {code_of(room)}", age_s=7_200)
    assert "Not done" in await room.say("/stop", age_s=7_200)
    assert room.engine.asked == [Kill()]


async def test_a_kill_can_be_taken_back(room: Room) -> None:
    await room.say("/kill")
    code = code_of(room)
    await room.press(f"keep:{code}")
    assert "not valid" in await room.press(f"kill:{code}")
    assert room.notes == ["Nothing was done", "Killing"]
    assert room.engine.asked == []


async def test_a_stranger_cannot_press(room: Room) -> None:
    await room.say("/kill")
    assert await room.press(f"kill:{code_of(room)}", user=666, chat=OWNER) == ""
    assert room.engine.asked == []


async def test_a_confirmation_that_comes_too_late() -> None:
    room = Room(confirm_s=0.05)
    async with trio.open_nursery() as nursery:
        await nursery.start(room.desk.serve)
        await room.say("/kill")
        await trio.sleep(0.1)
        assert "0.05 s are over" in await room.press(f"kill:{code_of(room)}")
        nursery.cancel_scope.cancel()
    assert room.engine.asked == []


GUARD = """
import signal, sys, time
signal.signal(signal.SIGUSR1, lambda *_: (print("cancelled", flush=True), sys.exit(0)))
print("ready", flush=True)
time.sleep(30)
"""


async def test_a_kill_reaches_the_guard_when_the_engine_hangs_and_waits_for_no_command_before_it(
    tmp_path: Path,
) -> None:
    file = tmp_path / "guard.pid"
    guard = subprocess.Popen(
        [sys.executable, "-c", GUARD, "mlthon.live.guard"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    assert guard.stdout is not None
    try:
        assert guard.stdout.readline() == b"ready\n"
        file.write_text(f"{guard.pid}\n")
        room = Room(file)
        async with trio.open_nursery() as nursery:
            await nursery.start(room.desk.serve)
            room.engine.hangs = True
            for _ in range(10):
                room.fake.message("/status")
                room.desk.take(read_update(room.fake.updates[-1]))
            began = time.monotonic()
            room.fake.message("/kill")
            room.desk.take(read_update(room.fake.updates[-1]))
            await trio.sleep(0.05)
            code = next(buttons[0][1] for _, _, buttons in room.answers if buttons)
            room.fake.press(code)
            room.desk.take(read_update(room.fake.updates[-1]))
            assert await trio.to_thread.run_sync(guard.stdout.readline) == b"cancelled\n"
            assert time.monotonic() - began < 10, "it has not waited for the ten before it"
            report = GuardReport(time.time_ns(), "told to", cancelled=2)
            write_report(report_path(file), report)
            with trio.fail_after(5):
                while "The kill" not in shown(room.answers[-1][1]):
                    await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
        assert "The kill: 2 orders were cancelled; nothing is open any more." in shown(room.answers[-1][1])
        told = "".join(shown(html) for _, html, _ in room.answers)
        assert f"So the guard (process {guard.pid}) was told to cancel" in told
    finally:
        guard.kill()
        guard.wait()
        guard.stdout.close()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "this run has no guard process"),
        ("", "no guard process lives"),
        ("nonsense", "no guard process lives"),
        ("4194304999", "no guard process lives"),
        ("ours", "no guard process lives"),
    ],
)
async def test_a_guard_that_is_not_there_is_said_so(tmp_path: Path, content: str | None, told: str) -> None:
    file = tmp_path / "guard.pid"
    if content is not None:
        file.write_text(content.replace("ours", str(os.getpid())))
    struck: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda *_: struck.append(1))
    room = Room(None if content is None else file)
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(room.desk.serve)
            await room.say("/kill")
            room.engine.hangs = True
            answer = await room.press(f"kill:{code_of(room)}")
            nursery.cancel_scope.cancel()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert "NOT KILLED: the engine has not answered" in answer
    assert told in answer
    assert "at the exchange" in answer
    assert struck == []
