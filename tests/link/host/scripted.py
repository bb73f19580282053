"""A bot that is a script: a face that writes down what it is told, and a run on the synthetic market to tell it."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mlthon.config import RunConfig, load_config
from mlthon.engine.clock import SECOND
from mlthon.link.contract import Answer, Call, Hello, Loaded, Private, Started, Stop, Stopped
from mlthon.link.host.assembly import LinkedRun, link_run
from mlthon.link.host.host import BotHost

CALLBACKS = ("order_update", "fill_update", "position_update", "quote_update", "trade_update")
START = 1_735_689_600


class ScriptedBot:
    """A `BotFace`. `when`: what it does on its first quotes, by their number; a call made by `ask` is answered in
    `answers`."""

    def __init__(self, host: BotHost) -> None:
        self.host = host
        self.told: list[Any] = []
        self.quotes: list[tuple[Any, ...]] = []
        self.trades: list[tuple[Any, ...]] = []
        self.envelopes: dict[int, Mapping[str, Any]] = {}
        self.answered_at: dict[int, int] = {}
        self.hello: Hello | None = None
        self.plans: list[Callable[[], Any]] = []
        self.then: dict[int, Callable[[Mapping[str, Any]], Any]] = {}
        self.callbacks: Sequence[str] = CALLBACKS
        self._calls = 0

    def quote(self, *quote: Any) -> None:
        self.quotes.append(quote)
        if self.plans:
            self.plans.pop(0)()

    def trade(self, *trade: Any) -> None:
        self.trades.append(trade)

    def tell(self, message: Any) -> None:
        self.told.append(message)
        if isinstance(message, Hello):
            self.hello = message
            self.host.tell(Loaded("Trading", self.callbacks))
            self.host.tell(Started())
        elif isinstance(message, Answer):
            self.envelopes[message.call] = message.envelope
            self.answered_at[message.call] = self.host.clock.now
            then = self.then.pop(message.call, None)
            if then is not None:
                then(message.envelope)
        elif isinstance(message, Stop):
            self.host.tell(Stopped())

    def ask(self, name: str, then: Callable[[Mapping[str, Any]], Any] | None = None, **arguments: Any) -> int:
        """Make a call; its number."""
        self._calls += 1
        if then is not None:
            self.then[self._calls] = then
        self.host.tell(Call(self._calls, name, arguments))
        return self._calls

    def private(self, callback: str) -> list[Mapping[str, Any]]:
        """What was told of a callback."""
        return [each.data for each in self.told if isinstance(each, Private) and each.callback == callback]


class Linked:
    """A run of one scripted bot."""

    def __init__(self, linked: LinkedRun, bots: Sequence[ScriptedBot]) -> None:
        self.linked = linked
        self.bots = list(bots)
        self.bot = bots[0]

    def go(self, *plans: Callable[[ScriptedBot], Any]) -> ScriptedBot:
        """Run it: at each quote the next plan is carried out."""
        self.bot.plans = [partial(plan, self.bot) for plan in plans]
        self.linked.run.go()
        return self.bot


def linked(
    tmp_path: Path,
    *,
    seconds: int = 30,
    config: RunConfig | None = None,
    settings: Sequence[str] = (),
    text: str = "",
    **options: Any,
) -> Linked:
    """A run of a scripted bot on the synthetic market, by default on XBTUSD of BitMEX."""
    file = tmp_path / "bot.py"
    if not file.exists():
        file.write_text(text or "from profitview import Link\nclass Trading(Link): pass\n", "utf-8")
    bots: list[ScriptedBot] = []

    def face(host: BotHost) -> ScriptedBot:
        bots.append(ScriptedBot(host))
        return bots[-1]

    options.setdefault("duration", seconds * SECOND)
    files = options.pop("files", [file])
    sources = options.pop("sources", None)
    run = link_run(config or load_config(None, list(settings)), files, sources, face, **options)
    return Linked(run, bots)
