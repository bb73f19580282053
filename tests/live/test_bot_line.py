"""The engine's end of a bot's line: answers leave at once, nothing is lost to a slow reader, floods are read slowly."""

import socket
from collections.abc import Callable
from contextlib import suppress

import pytest
import trio
import trio.testing

from mlthon.link import wire
from mlthon.link.contract import Answer, Call, Logged, Published, Stop, ToBot, ToHost
from mlthon.link.wire import CALL_LINES
from mlthon.live.bot_line import (
    CHUNK,
    LAST_LINES,
    LINES_A_SECOND,
    LINES_AT_ONCE,
    PIECE,
    BotLine,
    BotLines,
    LineLimit,
    Unhurried,
)


class Bot:
    """The other end."""

    def __init__(self, line: socket.socket) -> None:
        line.setblocking(False)
        self.line = trio.SocketStream(trio.socket.from_stdlib_socket(line))
        self._decoder = wire.to_bot()
        self.heard: list[tuple[object, ...] | ToBot] = []

    async def tell(self, *messages: ToHost) -> None:
        await self.line.send_all(wire.frame([wire.encode(each) for each in messages]))

    async def hear(self, count: int) -> list[tuple[object, ...] | ToBot]:
        """What has come, once it is so many."""
        while len(self.heard) < count:
            self.heard += self._decoder.feed(await self.line.receive_some(1 << 20))
        return self.heard


def joined(hear: Callable[[ToHost], object]) -> tuple[BotLine, Bot]:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    return BotLine(ours, hear), Bot(theirs)


@pytest.mark.trio
async def test_what_a_chunk_has_caused_leaves_together() -> None:
    def answer(message: ToHost) -> None:
        if isinstance(message, Call):
            line.outbox.tell(Answer(message.call, {}))

    line, bot = joined(answer)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(line.carry)
        await bot.tell(Call(1, "a", {}), Call(2, "b", {}))
        assert await bot.hear(2) == [Answer(1, {}), Answer(2, {})]
        await bot.tell(Call(3, "c", {}))
        assert (await bot.hear(3))[2:] == [Answer(3, {})]
        nursery.cancel_scope.cancel()


@pytest.mark.trio
async def test_much_that_waits_is_sent_by_pieces_between_which_others_have_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line, bot = joined(lambda message: None)
    told = [(0, 1, 1.0, 1.0, number) for number in range(3 * PIECE + 1)]
    for each in told:
        line.outbox.trade(*each)
    left: list[int] = []
    take = line.outbox.take

    def taking(most: int) -> list[bytes]:
        found = take(most)
        left.append(len(line.outbox))
        return found

    monkeypatch.setattr(line.outbox, "take", taking)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(line.carry)
        assert await bot.hear(len(told)) == told
        nursery.cancel_scope.cancel()
    assert left[:4] == [2 * PIECE + 1, PIECE + 1, 1, 0]


@pytest.mark.trio
async def test_an_answer_leaves_by_the_line_that_its_call_came_by() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    asked: list[Call] = []
    lines = BotLines(ours, lambda message: asked.append(message) if isinstance(message, Call) else None)
    first, more = Bot(theirs), [socket.socketpair(socket.AF_UNIX) for _ in range(CALL_LINES + 1)]
    to_accept = [each for each, _ in more]
    callers = [Bot(each) for _, each in more]

    async def accept() -> socket.socket:
        if not to_accept:
            await trio.sleep_forever()
        return to_accept.pop(0)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lines.carry, accept)
        await callers[0].tell(Call(1, "a", {}))
        await first.tell(Call(2, "b", {}))
        await callers[1].tell(Call(3, "c", {}))
        while len(asked) < 3:
            await trio.testing.wait_all_tasks_blocked()
        assert await callers[CALL_LINES].line.receive_some() == b"", "one too many"
        await callers[1].line.aclose()
        await trio.testing.wait_all_tasks_blocked()
        for number in (3, 2, 1):
            lines.face.tell(Answer(number, {}))
        lines.face.tell(Stop("asked"))
        lines.face.quote(0, 1.0, 1.0, 2.0, 1.0, 7)
        assert await callers[0].hear(1) == [Answer(1, {})]
        told = [Answer(3, {}), Answer(2, {}), Stop("asked"), (0, 1.0, 1.0, 2.0, 1.0, 7)]
        assert await first.hear(4) == told, "whose line has gone is told by the first"
        await first.line.aclose()
    assert await callers[0].line.receive_some() == b"", "all lines end with the first"


@pytest.mark.trio
async def test_a_line_that_cannot_be_accepted_is_waited_for(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    lines = BotLines(ours, lambda message: lines.face.tell(Answer(message.call, {})))  # type: ignore[union-attr]
    here, there = socket.socketpair(socket.AF_UNIX)
    found: list[socket.socket | OSError] = [OSError(24, "Too many open files"), here]

    async def accept() -> socket.socket:
        if not found:
            await trio.sleep_forever()
        each = found.pop(0)
        if isinstance(each, OSError):
            raise each
        return each

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lines.carry, accept)
        caller = Bot(there)
        await caller.tell(Call(1, "a", {}))
        assert await caller.hear(1) == [Answer(1, {})]
        theirs.close()
    assert "Too many open files" in caplog.text


@pytest.mark.trio
async def test_what_the_engine_says_unasked_is_sent() -> None:
    line, bot = joined(lambda message: None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(line.carry)
        await trio.testing.wait_all_tasks_blocked()
        line.outbox.quote(0, 1.0, 1.0, 2.0, 1.0, 7)
        line.outbox.tell(Stop("asked"))
        assert await bot.hear(2) == [(0, 1.0, 1.0, 2.0, 1.0, 7), Stop("asked")]
        nursery.cancel_scope.cancel()


@pytest.mark.trio
async def test_nothing_is_lost_or_mixed_up_when_the_bot_reads_slowly_while_it_asks() -> None:
    line, bot = joined(lambda message: line.outbox.tell(Answer(message.call, {})) if isinstance(message, Call) else 0)
    big = [Published("news", f"{number} {'x' * 300_000}") for number in range(6)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(line.carry)
        for each in big:
            line.outbox.tell(each)
        await trio.testing.wait_all_tasks_blocked()
        await bot.tell(*(Call(number, "a", {}) for number in range(5)))
        await trio.testing.wait_all_tasks_blocked()
        line.outbox.tell(Stop("asked"))
        found = await bot.hear(12)
        assert found == [*big, *(Answer(number, {}) for number in range(5)), Stop("asked")]
        nursery.cancel_scope.cancel()


@pytest.mark.trio
async def test_a_bot_that_hangs_up_ends_it_and_one_that_says_nonsense_is_told_of() -> None:
    for data, said in ((b"", ""), (b"\xff" * 8, "what it says cannot be read: a frame of")):
        line, bot = joined(lambda message: None)
        if data:
            await bot.line.send_all(data)
        await bot.line.aclose()
        line.outbox.tell(Stop("nobody hears it"))
        found = await line.carry()
        assert found.startswith(said)
        assert bool(found) == bool(said)


@pytest.mark.trio
async def test_a_bot_that_speaks_without_end_leaves_the_engine_most_of_its_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    heard: list[ToHost] = []

    def slow(message: ToHost) -> None:
        heard.append(message)
        autojump_clock.jump(0.01)

    line, bot = joined(slow)
    told = [Logged(20, "x" * 500) for _ in range(40)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bot.tell, *told)
        nursery.start_soon(line.carry)
        began = trio.current_time()
        while len(heard) < len(told):
            await trio.sleep(0.001)
        nursery.cancel_scope.cancel()
    assert trio.current_time() - began > (len(told) - 1) * 0.01 * 4
    assert heard == told


@pytest.mark.trio
async def test_a_stream_is_read_in_small_pieces_with_rests(autojump_clock: trio.testing.MockClock) -> None:
    send, receive = trio.testing.memory_stream_one_way_pair()
    stream = Unhurried(receive)
    await send.send_all(b"x" * (2 * CHUNK + 1))
    took = []
    for size in (CHUNK, CHUNK, 1):
        began = trio.current_time()
        assert len(await stream.receive_some()) == size
        took.append(trio.current_time() - began)
        autojump_clock.jump(1.0)
    assert took == [0.0, 4.0, 4.0]
    await send.send_all(b"x" * (2 * CHUNK))
    stream.hurry()
    for _ in range(2):
        began = trio.current_time()
        assert len(await stream.receive_some()) == CHUNK
        assert trio.current_time() == began
        autojump_clock.jump(1.0)
    await stream.aclose()
    with suppress(trio.BrokenResourceError):
        await send.aclose()


def test_lines_beyond_the_limit_are_left_out_and_their_number_is_told(caplog: pytest.LogCaptureFixture) -> None:
    limit = LineLimit("bot")
    assert [limit.allows(100.0, "x") for _ in range(LINES_AT_ONCE + 5)] == [True] * LINES_AT_ONCE + [False] * 5
    assert not limit.allows(100.5, "x")
    assert limit.allows(101.0, "x")
    assert "bot logs or prints too much: 6 lines are left out" in caplog.text
    assert sum(limit.allows(101.0, f"{number}") for number in range(500)) == LINES_A_SECOND - 1
    caplog.clear()
    assert limit.end() == [str(number) for number in range(500 - LAST_LINES, 500)]
    assert f"{401 - LAST_LINES} lines are left out" in caplog.text
    caplog.clear()
    assert limit.end() == []
    assert limit.allows(1000.0, "x")
    assert not caplog.records
