"""A bot in this process: `SimulatedBot` is its `BotFace`, and the host hears it by `Door`.

A market datum for a dispatcher that has nothing to do is handed to it by a switch (`Handed`); its callbacks have run,
or are blocked, when `quote` or `trade` returns. What comes while the dispatcher is blocked waits in the mailbox.
Everything else that the host tells becomes a call on the clock, so that nothing of the bot runs in the middle of what
the engine is doing; answers wake whoever waits for them, which is such a call already.
"""

import threading
from collections.abc import Callable
from typing import Any

from greenlet import getcurrent  # type: ignore[import-untyped]

from mlthon.link.bot.mailbox import Item, Mailbox
from mlthon.link.bot.runtime import BotRuntime
from mlthon.link.contract import Answer, Hello, HostFace, ToBot, ToHost
from mlthon.link.simulated.threads import Thread, threads
from mlthon.link.wire import QUOTE_LENGTH

Handlers = tuple[Callable[..., None], Callable[..., None]]


class Door:
    """A `HostFace` for threads of the bot: what they say is carried out on their stack, as the hub."""

    def __init__(self, host: HostFace) -> None:
        self._host = host

    def tell(self, message: ToHost) -> None:
        me = threads.current
        threads.current = threads.hub
        threads.visiting = True
        try:
            self._host.tell(message)
        finally:
            threads.visiting = False
            threads.current = me


class Handed(Mailbox):
    """A mailbox whose reader, if it is waiting, runs what the hub puts in at once, by `handlers`: of quotes and of
    trades.

    `quote`, `trade` and the loop of `take_some` are what each market datum costs, so they do by hand what
    `Threads.resume` and `Threads.park` do, less what cannot be: a waiting reader reads no clock and runs no loop of
    asyncio.
    """

    def __init__(self, markets: int, trades_kept: int, handlers: Handlers) -> None:
        super().__init__(markets, trades_kept)
        self._on_quote, self._on_trade = handlers
        self._free = False
        self._reader: Thread = threads.hub
        self._greenlet: Any = None
        self._switch: Any = None

    @property
    def idle(self) -> bool:
        return self._free

    def quote(self, market: int, bid: float, bid_size: float, ask: float, ask_size: float, time: int) -> None:
        if self._free and not threads.visiting:
            threads.current = reader = self._reader
            self._switch((market, bid, bid_size, ask, ask_size, time))
            if reader.loop is not None:
                threads.leave_loop()
        else:
            super().quote(market, bid, bid_size, ask, ask_size, time)
            self._rouse()

    def trade(self, market: int, side: int, price: float, size: float, time: int) -> None:
        if self._free and not threads.visiting:
            self.posted[market] += 1
            threads.current = reader = self._reader
            self._switch((market, side, price, size, time))
            if reader.loop is not None:
                threads.leave_loop()
        else:
            super().trade(market, side, price, size, time)
            self._rouse()

    def post(self, message: ToBot) -> None:
        super().post(message)
        self._rouse()

    def take_some(self) -> list[Item]:
        """What waits; while nothing does, run what is handed over."""
        me = self._reader = threads.current
        self._greenlet = getcurrent()
        self._switch = self._greenlet.switch
        items, to_hub, hub = self._items, threads.to_hub, threads.hub
        on_quote, on_trade = self._on_quote, self._on_trade
        while not items and not self._closed:
            me.ticket += 1
            if me.reads:
                me.calm()
            self._free = True
            threads.current = hub
            datum = to_hub()
            self._free = False
            if len(datum) == QUOTE_LENGTH:
                on_quote(*datum)
            elif datum:  # `_rouse` gives nothing
                on_trade(*datum)
        return super().take_some()

    def close(self) -> None:
        super().close()
        self._rouse()

    def _rouse(self) -> None:
        """Have a reader that waits look again; a busy one does so when it is done."""
        if self._free:
            self._free = False
            self._reader.greenlet = self._greenlet
            self._reader.woken = False
            threads.unpark(self._reader)


class SimulatedBot:
    """One bot. `trades_kept`: how many trades may wait for it."""

    def __init__(self, host: HostFace, trades_kept: int) -> None:
        self._door = Door(host)
        self._trades_kept = trades_kept
        self._runtime: BotRuntime

    def quote(self, market: int, bid: float, bid_size: float, ask: float, ask_size: float, time: int) -> None:
        """See `BotFace`; once the bot is there, its mailbox's own method stands here."""
        raise RuntimeError("a quote for a bot that has not said Loaded")

    def trade(self, market: int, side: int, price: float, size: float, time: int) -> None:
        """See `BotFace`; as `quote`."""
        raise RuntimeError("a trade for a bot that has not said Loaded")

    def tell(self, message: ToBot) -> None:
        """See `BotFace`."""
        if isinstance(message, Answer):
            self._runtime.tell(message)
        else:
            threads.clock.call_soon(self._deliver, message)

    def _deliver(self, message: ToBot) -> None:
        if isinstance(message, Hello):
            self._begin(message)
        else:
            self._runtime.tell(message)

    def _begin(self, hello: Hello) -> None:
        self._runtime = runtime = BotRuntime(hello, self._door, trades_kept=self._trades_kept)
        handlers = (runtime.handle_quote, runtime.handle_trade)
        mailbox = Handed(len(hello.markets), self._trades_kept, handlers)
        mailbox.posted = runtime.mailbox.posted
        runtime.mailbox = mailbox
        self.quote = mailbox.quote  # type: ignore[method-assign]
        self.trade = mailbox.trade  # type: ignore[method-assign]
        threading.excepthook = runtime.guard.thread_raised
        threads.start(threads.spawn(runtime.run, "MainThread", main=True))
