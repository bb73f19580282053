"""A bot in a process of its own, joined by a real Unix socket."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest

from mlthon.link import wire
from mlthon.link.contract import (
    Answer,
    Call,
    Failed,
    Hello,
    Loaded,
    Logged,
    Private,
    Publish,
    Published,
    Raised,
    Started,
    Stop,
    Stopped,
    ToBot,
    ToHost,
)
from tests.link.bot.kit import INSTRUMENTS, MARKETS, T0, VENUES, envelope, write

Message = TypeVar("Message")


class Engine:
    """The other end of a child's socket."""

    def __init__(self, line: socket.socket, process: "subprocess.Popen[str]") -> None:
        self.line, self.process = line, process
        self.told: list[ToHost] = []
        self._decoder = wire.to_host()

    def tell(self, *messages: ToBot) -> None:
        self.line.sendall(wire.frame([wire.encode(each) for each in messages]))

    def wait(self, kind: type[Message], true: Callable[[Message], Any] = lambda _: True) -> Message:
        """The first message of its kind that `true` holds for; calls are answered meanwhile."""
        while True:
            for each in self.told:
                if isinstance(each, kind) and true(each):
                    return each
            data = self.line.recv(65536)
            assert data, f"the child closed the line; told: {self.told}"
            for message in self._decoder.feed(data):
                self.told.append(message)
                if isinstance(message, Call):
                    with suppress(
                        BrokenPipeError
                    ):  # a bot that is ending does not wait for it; what it said last is still to be read
                        self.tell(
                            Answer(message.call, envelope([] if message.name == "history" else message.arguments))
                        )


@contextmanager
def child(folder: Path, source: str) -> Iterator[Engine]:
    path = write(folder, source)
    with tempfile.TemporaryDirectory(prefix="bot") as place, socket.socket(socket.AF_UNIX) as listener:
        address = f"{place}/s"
        listener.bind(address)
        listener.listen()
        listener.settimeout(20)
        process = subprocess.Popen(
            [sys.executable, "-m", "mlthon.link.bot.child", address],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            line, _ = listener.accept()
            os.unlink(address)  # the bot has this line alone, for its calls too
            with line:
                line.settimeout(20)
                engine = Engine(line, process)
                engine.tell(Hello("test", str(path), VENUES, MARKETS, INSTRUMENTS))
                yield engine
        finally:
            process.kill()
            process.communicate()


BOT = """
    from profitview import Link, logger
    import logging, sys, threading

    class Trading(Link):
        def __init__(self):
            super().__init__()
            self.made = self.create_limit_order('BitMEX', 'XBTUSD', 'Buy', 100, 20000.5)['data']
            self.count = 0

        def on_start(self):
            print('printed', sys.argv[0].endswith('bot.py'))
            logger.info(('made', self.made['price']))
            logging.getLogger('some.library').warning('beware')
            threading.Thread(target=self.forever).start()
            threading.Thread(target=lambda: 1 / 0, name='mine').start()

        def forever(self):
            threading.Event().wait()

        def quote_update(self, src, sym, data):
            self.count += 1
            self.publish('quote', [src, sym, data])

        def order_update(self, src, sym, data):
            self.publish('order', (data, 'lone \\ud800 surrogate'))

        def on_stop(self):
            self.cancel_order('BitMEX')
            self.publish('count', self.count)
"""


def test_a_bot_lives_in_a_process_and_its_threads_do_not_keep_it_alive(tmp_path: Path) -> None:
    with child(tmp_path, BOT) as engine:
        engine.wait(Started)
        assert engine.wait(Call).arguments["price"] == 20000.5
        assert engine.wait(Logged, lambda each: "made" in each.text).text == "('made', 20000.5)"
        assert engine.wait(Logged, lambda each: "beware" in each.text).level == 30
        assert engine.wait(Raised).where == "thread mine"
        engine.line.sendall(wire.frame([wire.encode_quote(0, 1.0, 2.0, 3.0, 4.0, T0)]))
        quote = engine.wait(Publish, lambda each: each.topic == "quote")
        assert quote.data == ["bitmex", "XBTUSD", {"bid": [1.0, 2.0], "ask": [3.0, 4.0], "time": T0}]
        engine.tell(Private("order_update", "bitmex", "XBTUSD", {"order_id": "x"}))
        order = engine.wait(Publish, lambda each: each.topic == "order")
        assert order.data == [{"order_id": "x"}, "lone \\ud800 surrogate"]
        engine.process.send_signal(signal.SIGINT)
        engine.tell(Stop("asked to"))
        assert engine.wait(Publish, lambda each: each.topic == "count").data == 1
        engine.wait(Stopped)
        out, err = engine.process.communicate(timeout=20)
        assert engine.process.returncode == 0
        assert out == ""
        assert "printed True" in err


def test_a_bot_ends_when_its_engine_dies_after_on_stop(tmp_path: Path) -> None:
    source = """
        from profitview import Link
        import time

        class Trading(Link):
            def __init__(self):
                super().__init__()
                self.publish('begun')
                while True:
                    time.sleep(0.01)

            def on_stop(self):
                try:
                    self.cancel_order('BitMEX')
                except Exception as error:
                    print('on_stop:', type(error).__name__)
    """
    with child(tmp_path, source) as engine:
        engine.wait(Publish)
        engine.line.close()
        _, err = engine.process.communicate(timeout=20)
        assert "on_stop: LinkClosed" in err
        assert engine.process.returncode == 1


def test_a_bot_that_cannot_be_loaded_is_told_and_its_process_says_so(tmp_path: Path) -> None:
    with child(tmp_path, "from profitview import Link\n\nclass Trading(Link:\n    pass\n") as engine:
        failed = engine.wait(Failed)
        assert "bot.py:3: SyntaxError" in failed.problem
        engine.process.communicate(timeout=20)
        assert engine.process.returncode == 1


def test_a_child_without_an_engine_says_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mlthon.link.bot.child", str(tmp_path / "none")],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 1
    assert "no engine at" in done.stderr


def test_a_bot_in_its_constructor_for_ever_ends_when_it_is_asked_to_whatever_it_does_to_its_streams(
    tmp_path: Path,
) -> None:
    source = """
        from profitview import Link
        import sys, time

        class Trading(Link):
            def __init__(self):
                super().__init__()
                sys.stdout.close()
                while True:
                    try:
                        self.fetch_balances('BitMEX')
                    except Exception:
                        pass

            def on_stop(self):
                self.publish('stopped')
    """
    with child(tmp_path, source) as engine:
        engine.wait(Call)
        engine.tell(Stop("asked to"))
        engine.wait(Publish)
        engine.wait(Stopped)
        engine.process.communicate(timeout=20)
        assert engine.process.returncode == 0


def test_a_process_that_a_bot_forks_has_no_line_to_the_engine(tmp_path: Path) -> None:
    source = """
        import multiprocessing, os, sys
        from profitview import Link, logger

        class Trading(Link):
            def work(self):
                logger.info('said in the fork')
                self.publish('fork')
                try:
                    self.fetch_balances('BitMEX')
                except Exception as error:
                    print('in the fork:', type(error).__name__, flush=True)

            def on_start(self):
                worker = multiprocessing.get_context('fork').Process(target=self.work)
                worker.start()
                worker.join()
                self.fetch_balances('BitMEX')
                self.publish('parent', worker.exitcode)
    """
    with child(tmp_path, source) as engine:
        assert engine.wait(Publish).data == 0
        assert [each.topic for each in engine.told if isinstance(each, Publish)] == ["parent"]
        engine.tell(Stop("asked to"))
        _, err = engine.process.communicate(timeout=20)
        assert "in the fork: LinkClosed" in err
        assert "said in the fork" in err


def test_a_bot_that_closes_its_line_is_stopped(tmp_path: Path) -> None:
    source = """
        import os
        from profitview import Link

        class Trading(Link):
            def on_start(self):
                os.closerange(3, 50)

            def on_stop(self):
                print('on_stop')
    """
    with child(tmp_path, source) as engine:
        engine.wait(Loaded)
        with suppress(BrokenPipeError):
            while engine.process.poll() is None:
                engine.tell(Published("wakes", "its reader"))
                time.sleep(0.02)
        _, err = engine.process.communicate(timeout=20)
        assert "on_stop" in err
        assert engine.process.returncode == 1


@pytest.mark.skipif(sys.platform != "linux", reason="it reads Linux's /proc")
def test_a_bot_that_says_more_than_the_engine_takes_waits(tmp_path: Path) -> None:
    source = """
        from profitview import Link

        class Trading(Link):
            count = 0

            def on_start(self):
                for _ in range(3):
                    self.create_thread(self.shout)

            def shout(self):
                while True:
                    self.publish('x', 'y' * 100)
    """
    with child(tmp_path, source) as engine:
        engine.wait(Loaded)
        sizes = []
        for _ in range(4):
            time.sleep(0.5)
            sizes.append(int(Path(f"/proc/{engine.process.pid}/statm").read_text("ascii").split()[1]) * 4096)
        assert sizes[-1] - sizes[0] < 8 << 20
