"""The lines for calls: whoever asks reads its own answer, whatever others do and however the line ends."""

import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import pytest

from mlthon.link import wire
from mlthon.link.bot.calls import Calls
from mlthon.link.bot.lines import AllBusy, CallLines
from mlthon.link.contract import Answer, Call, ToHost
from mlthon.link.errors import LinkClosed

Say = Callable[[socket.socket, Call], None]


def answer(line: socket.socket, call: Call) -> None:
    line.sendall(wire.frame([wire.encode(Answer(call.call, {"data": call.arguments}))]))


class Engine:
    """Answers calls on any number of lines, by `say`. `lines`: those that were made."""

    def __init__(self, path: str, say: Say) -> None:
        self.path = path
        self.say = say
        self.lines: list[socket.socket] = []
        self.asked = threading.Semaphore(0)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                line, _ = self.listener.accept()
                self.lines.append(line)
                threading.Thread(target=self._read, args=(line,), daemon=True).start()

    def _read(self, line: socket.socket) -> None:
        decoder = wire.to_host()
        with suppress(OSError):
            while data := line.recv(65536):
                for message in decoder.feed(data):
                    assert isinstance(message, Call)
                    self.say(line, message)
                    self.asked.release()


@contextmanager
def engine(say: Say = answer) -> Iterator[Engine]:
    with tempfile.TemporaryDirectory(prefix="bot") as place:
        made = Engine(f"{place}/s", say)
        try:
            yield made
        finally:
            made.listener.shutdown(socket.SHUT_RDWR)
            made.listener.close()
            for line in made.lines:
                line.close()


def silent(line: socket.socket, call: Call) -> None:
    """It answers nothing."""


class Thread(threading.Thread):
    """Runs a call and keeps what it gave or raised."""

    def __init__(self, ask: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self.ask = ask
        self.found: Any = None
        self.start()

    def run(self) -> None:
        try:
            self.found = self.ask()
        except Exception as error:  # noqa: BLE001 - for the test to look at
            self.found = error

    def result(self) -> Any:
        self.join(20)
        assert not self.is_alive()
        return self.found


def test_one_line_serves_call_after_call() -> None:
    with engine() as host:
        lines = CallLines(host.path)
        for number in range(1, 4):
            assert lines.ask(Call(number, "a", {"n": number})) == {"data": {"n": number}}
        assert len(host.lines) == 1
        lines.close()


def test_answers_are_read_by_who_asked_for_them_in_whatever_order_they_come() -> None:
    waiting: list[tuple[socket.socket, Call]] = []
    with engine(lambda line, call: waiting.append((line, call))) as host:
        lines = CallLines(host.path, most=4)
        threads = [Thread(partial(lines.ask, Call(number, "a", {"n": number}))) for number in range(1, 5)]
        for _ in threads:
            assert host.asked.acquire(timeout=20)
        for line, call in reversed(waiting):
            answer(line, call)
        assert [each.result() for each in threads] == [{"data": {"n": number}} for number in range(1, 5)]
        lines.close()


def test_a_large_answer_comes_whole() -> None:
    rows = [{"time": number, "close": number / 7} for number in range(50_000)]

    def tell(line: socket.socket, call: Call) -> None:
        line.sendall(wire.frame([wire.encode(Answer(call.call, {"data": rows}))]))

    with engine(tell) as host:
        lines = CallLines(host.path)
        assert lines.ask(Call(1, "fetch_candles", {})) == {"data": rows}
        lines.close()


class Host:
    """The way of everything else: answers at once."""

    def __init__(self) -> None:
        self.told: list[ToHost] = []
        self.calls: Calls

    def tell(self, message: ToHost) -> None:
        self.told.append(message)
        assert isinstance(message, Call)
        self.calls.answer(message.call, {"data": "by the host"})


def calls(lines: CallLines) -> tuple[Host, Calls]:
    host = Host()
    host.calls = Calls(host, lambda market: 7, lines)
    return host, host.calls


def test_a_call_for_which_no_line_is_free_and_one_that_has_its_place_among_trades_go_the_common_way() -> None:
    with engine(silent) as far:
        lines = CallLines(far.path, most=1)
        host, asking = calls(lines)
        first = Thread(lambda: asking.ask("fetch_balances", {}))
        assert far.asked.acquire(timeout=20)
        assert asking.ask("fetch_positions", {}) == ({"data": "by the host"}, 0)
        assert asking.ask("history", {}, 0) == ({"data": "by the host"}, 7)
        assert [each.name for each in host.told if isinstance(each, Call)] == ["fetch_positions", "history"]
        asking.close()
        assert isinstance(first.result(), LinkClosed)


def test_calls_under_way_and_to_come_end_with_the_bot() -> None:
    with engine(silent) as far:
        lines = CallLines(far.path, most=3)
        _, asking = calls(lines)
        threads = [Thread(lambda: asking.ask("fetch_balances", {})) for _ in range(3)]
        for _ in threads:
            assert far.asked.acquire(timeout=20)
        asking.close()
        assert [type(each.result()) for each in threads] == [LinkClosed] * 3
        with pytest.raises(LinkClosed, match="fetch_balances is not answered any more"):
            asking.ask("fetch_balances", {})


def test_a_line_that_the_engine_closes_ends_its_call_and_the_next_call_has_another() -> None:
    with engine(lambda line, call: line.shutdown(socket.SHUT_RDWR)) as far:
        lines = CallLines(far.path, most=1)
        assert lines.ask(Call(1, "a", {})) is None
        far.say = answer
        assert lines.ask(Call(2, "a", {})) == {"data": {}}
        assert len(far.lines) == 2
        lines.close()


def test_where_nobody_listens_any_more_there_is_no_line() -> None:
    lines = CallLines("/nowhere/at/all")
    for _ in range(2 * wire.CALL_LINES):
        with pytest.raises(AllBusy):
            lines.ask(Call(1, "a", {}))


def test_a_thread_that_is_cut_off_in_its_call_leaves_its_answer_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by an exception that another thread has put into it."""
    with engine() as far:
        lines = CallLines(far.path, most=1)
        taken = lines._take()
        lines._free.append(taken)

        def cut_off(call: Call) -> Mapping[str, Any] | None:
            taken._line.sendall(wire.frame([wire.encode(call)]))
            raise KeyboardInterrupt

        monkeypatch.setattr(taken, "ask", cut_off)
        with pytest.raises(KeyboardInterrupt):
            lines.ask(Call(1, "a", {"n": 1}))
        assert lines.ask(Call(2, "a", {"n": 2})) == {"data": {"n": 2}}
        assert len(far.lines) == 2
        lines.close()
