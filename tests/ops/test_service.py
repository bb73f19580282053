"""The control socket over real Unix sockets: what is asked is answered in the engine's turn, and whoever is many, fast,
slow, broken or somebody else harms nobody but himself."""

import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from mlthon.errors import UserError
from mlthon.link.wire import Decoder, encode, frame
from mlthon.live.services import Host
from mlthon.ops.client import AskFailed, EngineClient, EngineState, NoAnswer, ask_once
from mlthon.ops.contract import (
    MOST_BYTES,
    TO_NOBODY,
    Ask,
    FromEngine,
    GetCommands,
    GetFigures,
    GetStatus,
    Kill,
    Listen,
    News,
    Ping,
    RunCommand,
    Status,
    StopStrategy,
    Told,
    WebCall,
    WebReply,
)
from mlthon.ops.peer import AnySocket, Peer
from mlthon.ops.service import ControlService, ServiceLimits

pytestmark = pytest.mark.trio


class Engine:
    """Stands for the engine and its control plane: answers each ask with what it was, or as `replies` says."""

    def __init__(self) -> None:
        self.asked: list[Ask] = []
        self.replies: dict[type, Any] = {}
        self.later: list[Callable[[Told], None]] = []
        self.host = Host(self.deliver, lambda: 77)

    def deliver(self, call: Callable[..., object], *args: object) -> bool:
        call(*args)
        return True

    def answer(self, ask: Ask, reply: Callable[[Told], None]) -> None:
        self.asked.append(ask)
        if isinstance(ask.what, WebCall):
            self.later.append(reply)
            return
        found = self.replies.get(type(ask.what), type(ask.what).__name__)
        reply(found if isinstance(found, Told) else Told(ask.number, found))


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.sock"


@asynccontextmanager
async def serving(
    engine: Engine, path: Path, limits: ServiceLimits | None = None, **more: Any
) -> AsyncIterator[ControlService]:
    service = ControlService(path, engine.answer, limits, **more)
    async with trio.open_nursery() as nursery:
        await nursery.start(service.serve, engine.host)
        yield service
        nursery.cancel_scope.cancel()


class Wire:
    """A client that says what it likes."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._decoder: Decoder[FromEngine] = Decoder(msgspec.msgpack.Decoder(list[FromEngine]))
        self._waiting: list[FromEngine] = []

    async def send(self, *messages: Ask) -> None:
        await self.stream.send_all(b"".join(frame([encode(each)]) for each in messages))

    async def hear(self) -> Any:
        """The next message, None at the end."""
        with trio.fail_after(5):
            while not self._waiting:
                try:
                    chunk = await self.stream.receive_some(65536)
                except trio.BrokenResourceError:
                    return None
                if not chunk:
                    return None
                self._waiting += self._decoder.feed(bytes(chunk))
        return self._waiting.pop(0)


@asynccontextmanager
async def wired(path: Path) -> AsyncIterator[Wire]:
    async with await trio.open_unix_socket(os.fspath(path)) as stream:
        yield Wire(stream)


@asynccontextmanager
async def connected(path: Path, **more: Any) -> AsyncIterator[EngineClient]:
    async with trio.open_nursery() as nursery:
        client = await nursery.start(EngineClient(path, **more).run)
        with trio.fail_after(5):
            await client.connected()
        yield client
        nursery.cancel_scope.cancel()


async def until(condition: Callable[[], object], seconds: float = 5) -> None:
    with trio.fail_after(seconds):
        while not condition():
            await trio.sleep(0.005)


# -- what works --------------------------------------------------------------------------------------------------------


async def test_an_ask_is_answered_and_the_kernel_says_who_asked(engine: Engine, path: Path) -> None:
    engine.replies[GetCommands] = {"grid": ["start", "stop"]}
    async with serving(engine, path), connected(path) as client:
        assert await client.ask(GetCommands(), "telegram 4711 @anna") == {"grid": ["start", "stop"]}
    [ask] = [each for each in engine.asked if isinstance(each.what, GetCommands)]
    assert ask.who.endswith(f"[{os.getpid()}] telegram 4711 @anna")


async def test_answers_come_as_the_structs_of_the_contract(engine: Engine, path: Path) -> None:
    engine.replies[GetStatus] = Status("trial", "live", 1, 2, 3, 4, 5, 6, {"USDT": "1.5"}, [], [])
    async with serving(engine, path), connected(path) as client:
        status = await client.ask(GetStatus(), "t")
        assert (status.name, status.profit) == ("trial", {"USDT": "1.5"})
        assert await trio.to_thread.run_sync(ask_once, path, GetStatus(), "t") == status


async def test_what_the_engine_refuses_is_raised_with_its_hint(engine: Engine, path: Path) -> None:
    engine.replies[StopStrategy] = Told(2, None, "no strategy 'x'", "There are a, b.")
    async with serving(engine, path), wired(path) as wire:
        await wire.send(Ask(2, "t", StopStrategy("x")))
        assert (await wire.hear()).error == "no strategy 'x'"
    engine.replies[StopStrategy] = Told(1, None, "no strategy 'x'", "There are a, b.")
    async with serving(engine, path):
        with pytest.raises(AskFailed, match="no strategy 'x'") as raised:
            await trio.to_thread.run_sync(ask_once, path, StopStrategy("x"), "t")
    assert raised.value.hint == "There are a, b."


async def test_a_webhook_is_answered_when_its_bot_answers_and_others_meanwhile(engine: Engine, path: Path) -> None:
    async with serving(engine, path), connected(path) as client, trio.open_nursery() as nursery:
        found: list[Any] = []

        async def call() -> None:
            found.append(await client.ask(WebCall("bot", "get", "x", {"a": 1}), "web"))

        nursery.start_soon(call)
        await until(lambda: engine.later)
        assert await client.ask(GetFigures(), "t") == "GetFigures"
        number = next(each.number for each in engine.asked if isinstance(each.what, WebCall))
        engine.later[0](Told(number, WebReply(200, [1])))
        engine.later[0](Told(number, WebReply(500, "twice")))
        await until(lambda: found)
    assert found == [WebReply(200, [1])]


async def test_news_reach_those_who_listen(engine: Engine, path: Path) -> None:
    async with serving(engine, path) as service, connected(path) as client:
        service.publish("alert", "grid", "nobody hears this")
        async with client.listen(("alert",)) as news:
            service.publish("stream", "bot", {"type": "x"})
            service.publish("alert", "grid", "stopped by its error budget")
            with trio.fail_after(5):
                assert await anext(aiter(news)) == News("alert", "grid", "stopped by its error budget")


async def test_a_client_connects_again_and_goes_on_listening(engine: Engine, path: Path) -> None:
    async with trio.open_nursery() as nursery:
        client = await nursery.start(EngineClient(path, beat_s=0.05).run)
        async with client.listen(("alert",)) as news:
            for text in ("first", "second"):
                async with serving(engine, path) as service:
                    await until(
                        lambda: client.state is EngineState.LIVES and any(each.kinds for each in service._clients)
                    )
                    service.publish("alert", "grid", text)
                    with trio.fail_after(5):
                        while (await anext(aiter(news))).value != text:
                            pass
                await until(lambda: client._stream is None)
            with trio.fail_after(5):
                assert "gone" in (await anext(aiter(news))).value
        nursery.cancel_scope.cancel()


async def test_an_engine_that_hangs_is_told_of(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(os.fspath(path))
        deaf.listen(1)
        async with connected(path, beat_s=0.01, hangs_s=0.1) as client, client.listen(("alert",)) as news:
            with trio.fail_after(5):
                alert = await anext(aiter(news))
            assert (alert.source, "hangs" in alert.value, client.state) == ("engine", True, EngineState.HANGS)
            with pytest.raises(NoAnswer, match="busy or hangs"):
                await client.ask(GetStatus(), "t", 0.05)
        with pytest.raises(NoAnswer, match="busy or hangs"):
            await trio.to_thread.run_sync(ask_once, path, GetStatus(), "t", 0.1)


async def test_what_its_sender_gave_up_is_not_done_later_but_a_kill_is(engine: Engine, path: Path) -> None:
    past = time.time_ns() - 10**9
    async with serving(engine, path), wired(path) as wire:
        await wire.send(Ask(5, "t", StopStrategy("grid"), past), Ask(6, "t", Kill()))
        assert "too late" in (await wire.hear()).error
        assert (await wire.hear()).value == "Kill"
    assert [type(each.what) for each in engine.asked] == [Kill]


async def test_a_client_without_an_engine_says_so(path: Path) -> None:
    with pytest.raises(NoAnswer, match="its run has ended"):
        ask_once(path, GetStatus(), "t")
    async with trio.open_nursery() as nursery:
        client = await nursery.start(EngineClient(path).run)
        with pytest.raises(NoAnswer, match="not there"):
            await client.ask(GetStatus(), "t", 0.05)
        nursery.cancel_scope.cancel()


# -- what must harm nobody ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        (MOST_BYTES + 1).to_bytes(4, "big"),
        b"\xff" * 5000,
        frame([b"\xc1"]),
        frame([b"\x91" * 5000]),
        frame([b"\x81\xa1\xff\xc0"]),
        frame([encode(Told(1))]),
        frame([msgspec.msgpack.encode({"type": "Ask", "number": 1, "who": "t", "what": {"type": "Sudo"}})]),
        frame([msgspec.msgpack.encode({"type": "Ask", "number": "1", "who": "t", "what": {"type": "Ping"}})]),
        (10).to_bytes(4, "big") + b"\x90" * 10,
    ],
)
async def test_what_cannot_be_read_closes_that_client_alone(engine: Engine, path: Path, garbage: bytes) -> None:
    async with serving(engine, path), connected(path) as other, wired(path) as wire:
        await wire.stream.send_all(garbage)
        told = await wire.hear()
        assert (told.number, told.error is not None) == (TO_NOBODY, True)
        assert await wire.hear() is None
        assert await other.ask(GetFigures(), "t") == "GetFigures"
    assert not [each for each in engine.asked if not isinstance(each.what, GetFigures)]


async def test_values_nested_without_end_are_a_bad_frame(engine: Engine, path: Path) -> None:
    deep = encode(Ask(1, "t", WebCall("b", "get", "r", {"x": "HERE"}))).replace(b"\xa4HERE", b"\x91" * 20_000 + b"\xc0")
    async with serving(engine, path), wired(path) as wire:
        await wire.stream.send_all(frame([deep]))
        assert "nested" in (await wire.hear()).error


async def test_half_a_frame_waits_and_its_sender_may_go(engine: Engine, path: Path) -> None:
    whole = frame([encode(Ask(1, "t", GetFigures()))])
    async with serving(engine, path) as service:
        async with wired(path) as wire:
            await wire.stream.send_all(whole[:7])
            await trio.sleep(0.02)
            await wire.stream.send_all(whole[7:])
            assert (await wire.hear()).number == 1
            await wire.stream.send_all(whole[:9])
        await until(lambda: service.clients == 0)


async def test_another_user_is_refused(engine: Engine, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def stranger(_: AnySocket) -> Peer:
        return Peer(1, os.getuid() + 1)

    async with serving(engine, path, peer=stranger), wired(path) as wire:
        assert "its own user" in (await wire.hear()).error
        assert await wire.hear() is None
    assert "refused" in caplog.text
    assert engine.asked == []


async def test_a_peer_that_the_kernel_does_not_know_is_refused(engine: Engine, path: Path) -> None:
    def nobody(_: AnySocket) -> Peer:
        raise OSError(1, "no such peer")

    async with serving(engine, path, peer=nobody), wired(path) as wire:
        assert "nobody knows" in (await wire.hear()).error


async def test_of_a_thousand_connections_a_few_are_let_in(engine: Engine, path: Path) -> None:
    limits = ServiceLimits(clients=4)
    async with serving(engine, path, limits) as service:
        streams = []
        for _ in range(1000):
            streams.append(await trio.open_unix_socket(os.fspath(path)))
            if len(streams) > 300:
                await streams.pop(4).aclose()
        assert service.clients <= 4
        first = Wire(streams[0])
        await first.send(Ask(1, "t", GetFigures()))
        assert (await first.hear()).value == "GetFigures"
        assert "clients already" in (await Wire(streams[-1]).hear()).error
        for stream in streams:
            await stream.aclose()
        await until(lambda: service.clients == 0)
        async with wired(path) as wire:
            await wire.send(Ask(1, "t", Ping()))
            assert (await wire.hear()).value == 77


async def test_too_many_asks_are_refused_and_their_sender_is_slowed_down(
    engine: Engine, path: Path, mock_clock: MockClock
) -> None:
    """By a clock that stands still but where it is moved."""
    limits = ServiceLimits(per_s=10, refused_pause_s=1.0)
    async with serving(engine, path, limits) as service, wired(path) as wire:
        await wire.send(*(Ask(number, "t", GetFigures()) for number in range(40)))
        told = [await wire.hear() for _ in range(40)]
        assert [each.error is not None for each in told] == [False] * 10 + [True] * 30
        assert "10 asks a second" in told[10].error
        assert service.refused == 30
        await wire.send(*(Ask(number, "t", GetFigures()) for number in range(40, 80)))
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert len(engine.asked) == 10  # it is not read before its pause is over
        mock_clock.jump(1.0)
        told = [await wire.hear() for _ in range(40)]
        assert [each.error is not None for each in told] == [False] * 10 + [True] * 30


async def test_no_more_than_some_asks_wait_at_once_and_numbers_are_used_once(engine: Engine, path: Path) -> None:
    call = WebCall("bot", "get", "x", {})
    async with serving(engine, path, ServiceLimits(at_once=2)), wired(path) as wire:
        await wire.send(Ask(1, "t", call), Ask(1, "t", call), Ask(-1, "t", call), Ask(2, "t", call), Ask(3, "t", call))
        told = [await wire.hear() for _ in range(3)]
    assert [each.number for each in told] == [1, -1, 3]
    assert "number 1 is taken" in told[0].error
    assert "2 asks wait" in told[2].error
    assert len(engine.later) == 2


async def test_a_client_that_reads_nothing_is_dropped(
    engine: Engine, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine.replies[GetFigures] = "x" * 50_000
    limits = ServiceLimits(slow_s=0.2, per_s=1000)
    async with serving(engine, path, limits) as service, wired(path) as slow, wired(path) as other:
        await slow.send(*(Ask(number, "t", GetFigures()) for number in range(30)))
        await until(lambda: service.clients == 1)
        await other.send(Ask(1, "t", Ping()))
        assert (await other.hear()).value == 77
    assert "dropped" in caplog.text


async def test_news_that_nobody_reads_are_dropped_and_counted_and_never_wait(engine: Engine, path: Path) -> None:
    async with serving(engine, path) as service, wired(path) as wire:
        await wire.send(Ask(1, "t", Listen(["stream"])))
        await wire.hear()
        # in one turn of the engine: nothing is sent meanwhile
        for _ in range(2000):
            service.publish("stream", "bot", {"data": "x" * 500})
        assert service.drops > 1000
        assert service.waiting <= service.limits.waiting_bytes
        assert (await wire.hear()).source == "bot"
        service.publish("stream", "bot", {"data": "x" * MOST_BYTES})
        service.publish("stream", "bot", object())


async def test_an_answer_that_no_frame_holds_is_an_error(engine: Engine, path: Path) -> None:
    engine.replies[GetFigures] = "x" * MOST_BYTES
    engine.replies[GetCommands] = object()
    async with serving(engine, path), connected(path) as client:
        for what in (GetFigures(), GetCommands()):
            with pytest.raises(AskFailed, match="cannot be told"):
                await client.ask(what, "t")


async def test_an_ask_that_no_frame_holds_is_not_sent(engine: Engine, path: Path) -> None:
    async with serving(engine, path), connected(path) as client:
        with pytest.raises(AskFailed, match="more than the"):
            await client.ask(RunCommand("s", "x", ["y" * MOST_BYTES]), "t")


async def test_unknown_kinds_of_news_are_refused(engine: Engine, path: Path) -> None:
    async with serving(engine, path), wired(path) as wire:
        await wire.send(Ask(1, "t", Listen(["secrets"])))
        assert "no news are called 'secrets'" in (await wire.hear()).error


async def test_who_asks_is_one_short_line(engine: Engine, path: Path) -> None:
    async with serving(engine, path), wired(path) as wire:
        await wire.send(Ask(1, "a\nroot[1] b" + "c" * 1000, GetFigures()))
        await wire.hear()
    who = engine.asked[0].who
    assert "\n" not in who
    assert len(who) < 200


# -- the socket itself -------------------------------------------------------------------------------------------------


async def test_the_socket_is_for_its_owner_alone_and_goes_with_the_run(engine: Engine, path: Path) -> None:
    async with serving(engine, path):
        assert path.stat().st_mode & 0o777 == 0o600
    assert not path.exists()


async def test_the_socket_of_a_dead_run_is_replaced_and_that_of_a_living_one_is_not(engine: Engine, path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(os.fspath(path))
    async with serving(engine, path):
        second = ControlService(path, engine.answer)
        with pytest.raises(UserError, match=rf"lives \(process {os.getpid()}\)"):
            await second.serve(engine.host)
        assert path.exists()


async def test_a_socket_that_cannot_be_made_says_why(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no control socket can be made"):
        await ControlService(tmp_path / "none" / "run.sock", engine.answer).serve(engine.host)


async def test_an_engine_that_began_after_ours_died_is_not_asked(engine: Engine, path: Path) -> None:
    """What is left of a dead run for a moment has its own allow-list and secrets: it is not to command the next one."""
    async with serving(engine, path), trio.open_nursery() as nursery:
        ours = await nursery.start(EngineClient(path, engine=os.getpid()).run)
        other = await nursery.start(EngineClient(path, engine=os.getppid()).run)
        assert await ours.ask(GetFigures(), "tester") == "GetFigures"
        with pytest.raises(NoAnswer):
            await other.ask(Kill(), "tester", 0.5)
        assert other.state is EngineState.AWAY
        nursery.cancel_scope.cancel()
    assert [each.what for each in engine.asked] == [GetFigures()]


async def test_a_run_whose_folder_was_removed_leaves_the_next_ones_socket_alone(engine: Engine, path: Path) -> None:
    async with trio.open_nursery() as nursery:
        async with serving(Engine(), path):
            path.rename(path.with_name("removed"))
            await nursery.start(ControlService(path, engine.answer).serve, engine.host)
        assert await trio.to_thread.run_sync(ask_once, path, GetFigures(), "tester") == "GetFigures"
        nursery.cancel_scope.cancel()
    assert not path.exists()
