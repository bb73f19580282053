"""A scripted host in this process, and bots written on the spot."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any, TypeVar

from mlthon.link.bot.runtime import BotRuntime
from mlthon.link.contract import BACKLOG, Answer, Call, Failed, Hello, Logged, Stop, Stopped, ToHost

Message = TypeVar("Message")

Answering = Callable[[Call, BotRuntime], dict[str, Any] | None]

VENUES = {
    "BitMEX": {"id": "636f2042", "kind": "paper", "name": "BitMEX", "src": "bitmex"},
    "WooPaper": {"id": "woo-1", "kind": "paper", "name": "WooPaper", "src": "woo"},
}
MARKETS = [("bitmex", "XBTUSD"), ("bitmex", "ETHUSD"), ("woo", "PERP_BTC_USDT")]
INSTRUMENTS = {"bitmex": {"XBTUSD": {"tickSize": 0.5, "lotSize": 100}}}
T0 = 1_678_320_000_000
COLLECTING = """
    from profitview import Link, logger

    class Trading(Link):
        def on_start(self):
            self.seen = []

        def quote_update(self, src, sym, data):
            self.seen.append(('quote', src, sym, data))

        def trade_update(self, src, sym, data):
            self.seen.append(('trade', src, sym, data))

        def order_update(self, src, sym, data):
            self.seen.append(('order', src, sym, data))

        def fill_update(self, src, sym, data):
            self.seen.append(('fill', src, sym, data))

        def position_update(self, src, sym, data):
            self.seen.append(('position', src, sym, data))

        def on_stop(self):
            self.seen.append('stopped')
"""
"""A bot that keeps all that it is told in `seen`."""
PATIENCE = 10.0


def envelope(data: Any, error: Any = None, venue: str = "BitMEX") -> dict[str, Any]:
    limits = {"remaining": 56, "reset": 1_681_264_334}
    return {"src": "bitmex", "venue": venue, "error": error, "data": data, "rate_limits": limits}


class FakeHost:
    """Remembers what it is told and answers each call with what `answer` makes of it (None: not at all)."""

    def __init__(self, answer: Answering | None = None) -> None:
        self.told: list[ToHost] = []
        self.answer = answer or (lambda call, bot: envelope([] if call.name == "history" else {"asked": call.name}))
        self.bot: BotRuntime
        self._news = threading.Condition()

    def tell(self, message: ToHost) -> None:
        with self._news:
            self.told.append(message)
            self._news.notify_all()
        if isinstance(message, Call):
            found = self.answer(message, self.bot)
            if found is not None:
                self.bot.tell(Answer(message.call, found))

    def all(self, kind: type[Message]) -> list[Message]:
        return [each for each in list(self.told) if isinstance(each, kind)]

    def wait(self, kind: type[Message], count: int = 1) -> Message:
        """The `count`th message of its kind."""
        deadline = time.monotonic() + PATIENCE
        with self._news:
            while len(found := self.all(kind)) < count:
                left = deadline - time.monotonic()
                assert left > 0, f"no {kind.__name__} came; told: {self.told}"
                self._news.wait(left)
        return found[count - 1]

    def calls(self, name: str) -> list[Call]:
        return [each for each in self.all(Call) if each.name == name]

    def log(self) -> str:
        return "\n".join(each.text for each in self.all(Logged))


def until(true: Callable[[], Any]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.002)


class Bot:
    """A bot that runs in a thread."""

    def __init__(self, host: FakeHost, runtime: BotRuntime) -> None:
        self.host, self.runtime = host, runtime
        self.main = threading.Thread(target=runtime.run, name="bot's main", daemon=True)

    @property
    def it(self) -> Any:
        """The bot's object."""
        until(lambda: self.runtime._bot is not None)
        return self.runtime._bot

    def settle(self) -> None:
        """Wait until the dispatcher has done what it was given."""
        until(lambda: self.runtime.idle)

    def stop(self) -> None:
        self.runtime.tell(Stop("the test is over"))
        self.host.wait(Stopped)


def write(folder: Path, source: str, name: str = "bot.py") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(source))
    return path


@contextmanager
def running(
    folder: Path,
    source: str,
    answer: Answering | None = None,
    *,
    reload: bool = False,
    backlog: int = BACKLOG,
) -> Iterator[Bot]:
    """A bot in its main thread until the block ends."""
    path = write(folder, source)
    host = FakeHost(answer)
    hello = Hello("test", str(path), VENUES, MARKETS, INSTRUMENTS, reload=reload, backlog=backlog)
    bot = Bot(host, BotRuntime(hello, host))
    host.bot = bot.runtime
    with imports_kept():
        bot.main.start()
        try:
            yield bot
        finally:
            if not host.all(Failed):
                bot.runtime.tell(Stop("the test is over"))
                bot.runtime.lose("the test is over")


@contextmanager
def imports_kept() -> Iterator[None]:
    """Put the interpreter's import state back afterwards."""
    path, modules = list(sys.path), set(sys.modules)
    profitview = sys.modules.get("profitview")
    try:
        yield
    finally:
        sys.path[:] = path
        for name in set(sys.modules) - modules:
            if name.startswith(("bot_", "my", "profitview")):
                del sys.modules[name]
        if profitview is not None:
            sys.modules["profitview"] = profitview
