"""`BotRuntime`: the life of one bot. It loads the file, constructs the class, and calls it with what the host tells.

    main thread      load → Loaded → constructor → cron → on_start → Started → wait for Stop → on_stop → Stopped
    dispatcher       from `Link.__init__` on: empties the mailbox, one callback after the other; it begins when
                     `on_start` has returned, or half a second after `Link.__init__`
    webhooks         a thread each, from `Link.__init__` on
    answers          straight to the thread that waits for them, past the mailbox

So callbacks come while the constructor or `on_start` runs if that takes longer or never ends: bots wait there for a
quote. Before, a bot has the time to set the attributes that its callbacks read. What a callback raises is logged with
its traceback and told to the host, and the bot goes on. If the main thread is busy when `Stop` comes, and still is
after a moment, `on_stop` is called by a thread of its own.

`handle_quote`, `handle_trade` and `handle` run one event's callbacks on the calling thread: a virtual-time runner calls
them itself while the dispatcher is `idle`.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from mlthon.errors import UserError, near
from mlthon.link.bot.calls import Calls
from mlthon.link.bot.cron import Cron, Job, carry_out, jobs_of
from mlthon.link.bot.guard import Guard, said_of, trace_of
from mlthon.link.bot.http import routes_of
from mlthon.link.bot.lines import CallLines
from mlthon.link.bot.link import CANDLE_CALLBACKS, Link, bind, overridden
from mlthon.link.bot.logs import bot_logger
from mlthon.link.bot.mailbox import Item, Mailbox
from mlthon.link.bot.markets import Market, Markets, quote_data, trade_data
from mlthon.link.bot.module import profitview_module
from mlthon.link.bot.plain import plain
from mlthon.link.bot.redis import Redis
from mlthon.link.bot.reload import Reloader
from mlthon.link.bot.source import Program, load, place
from mlthon.link.bot.threads import Threads
from mlthon.link.contract import (
    Answer,
    Dropped,
    Failed,
    Health,
    Hello,
    HostFace,
    Loaded,
    Private,
    Published,
    Started,
    Stop,
    Stopped,
    ToBot,
    WebAnswer,
    WebRequest,
)
from mlthon.link.errors import ApiError, LinkClosed

RELOAD_EVERY: Final = 1.0
"""Seconds between two looks at a bot's files."""

BUSY: Final = 0.5
"""Seconds that a constructor or `on_start` has to return before `on_stop` is called without it."""

SETTLING: Final = 0.5
"""Seconds that a bot has to set its attributes before its first callback."""

_ALWAYS: Final = ("quote_update", "trade_update")
"""Wanted even by a bot that does not override them: `quotes`, `trades` and bars live on them."""


class BotRuntime:
    """A `BotFace`. `run` is the bot's main thread; the host's messages come in from any other. `mailbox`: where what
    comes while the dispatcher is busy waits, if not in one of the usual kind. `lines`: a shorter way for calls, where
    there is one."""

    def __init__(
        self, hello: Hello, host: HostFace, *, mailbox: Mailbox | None = None, lines: CallLines | None = None
    ) -> None:
        self.hello = hello
        self.host = host
        self.venues = {name: dict(venue) for name, venue in hello.venues.items()}
        self.instruments = {
            src: {sym: dict(each) for sym, each in listed.items()} for src, listed in hello.instruments.items()
        }
        self.logger = bot_logger(host.tell)
        self.guard = Guard(self.logger, host)
        self.threads = Threads(self.guard)
        self.mailbox = Mailbox(len(hello.markets), hello.backlog) if mailbox is None else mailbox
        self.calls = Calls(host, self.mailbox.posted.__getitem__, lines)
        self.markets = Markets(hello.markets, self.calls, self.logger)
        self.markets.begin(hello.quotes, hello.trades)
        self.redis = Redis(host)
        self.cron = Cron()
        self.cron.bind(self.start_cron)
        self._bot: Any = None
        self._program: Program | None = None
        self._routes: dict[tuple[str, str], str] = {}
        self._candles: tuple[tuple[str, str], ...] = ()
        """The levels whose candle callbacks the bot overrides, and these."""
        self._jobs: dict[str, Job] = {}
        self._health = Health([], [])
        self._lock = threading.Lock()
        self._closing = self._finishing = False
        self._free = threading.Event()
        """The main thread has nothing more to do than to wait for the end."""
        self._settled = threading.Event()
        """The constructor and `on_start` are through."""
        self._stop = threading.Event()
        self._ended = threading.Event()

    # -- the main thread -------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Run the bot until it is stopped. Returns when `Failed` or `Stopped` has been told."""
        try:
            program = self._load()
            bot = self._construct(program)
        except UserError as error:
            self._fail(error)
            return
        if not self._closing:
            self._start(bot)
        self._wait()

    def _start(self, bot: Any) -> None:
        if self.cron.options.get("auto_start", True):
            self.start_cron(True)
        self.guard.call("on_start", bot.on_start)
        self._settled.set()
        self.host.tell(Started())

    def _fail(self, error: UserError) -> None:
        """The bot could not be had; unless it was its end that cut the constructor off."""
        if self._closing:
            self._wait()
            return
        self._close()
        self.host.tell(Failed(error.message, error.hint))
        self._ended.set()

    def _load(self) -> Program:
        path = Path(self.hello.file)
        program = load(path, profitview_module(self.logger, self.cron))
        self._program = program
        if program.mended:
            self.logger.info("%s mixes tabs and spaces: leading tabs are read as four columns", path.name)
        self._look_up(program)
        return program

    def _look_up(self, program: Program) -> None:
        """Tell what the class has, as of now."""
        self._routes = routes_of(program.cls)
        own = overridden(program.cls)
        self._candles = tuple((level, name) for level, name in CANDLE_CALLBACKS.items() if name in own)
        callbacks = [*_ALWAYS, *(each for each in own if each not in _ALWAYS)]
        self.host.tell(Loaded(program.kind, callbacks, list(self._routes)))

    def _construct(self, program: Program) -> Any:
        bot: Any = program.cls.__new__(program.cls)
        bind(bot, self)
        name = f"{program.kind}.__init__"
        try:
            bot.__init__()
        except (Exception, SystemExit) as error:
            where = place(error, Path(self.hello.file).resolve())
            trace = "" if isinstance(error, LinkClosed) else trace_of(error)
            raise UserError(f"{where}: {name}: {said_of(error)}", trace) from error
        if self._bot is None:
            raise UserError(
                f"{self.hello.file}: {name} never calls Link.__init__, so that no event can reach the bot",
                "Begin it with super().__init__().",
            )
        return bot

    def attach(self, bot: Link) -> None:
        """`Link.__init__` was called: from now on the bot can be called."""
        if self._bot is not None:
            return
        self._track()
        self._bot = bot
        self.threads.start_own(self._empty, "dispatcher")
        if self.hello.reload and self._program is not None:
            reloader = Reloader(self._program, self.logger.warning)
            self.threads.start_own(lambda: self._watch(reloader), "reload")

    def _track(self) -> None:
        """Begin the bars of all candle callbacks."""
        for market in range(len(self.markets.at)):
            for level, _ in self._candles:
                self.markets.track(market, level)

    def _wait(self) -> None:
        self._free.set()
        self._stop.wait()
        self._finish()
        self._ended.wait()

    def _finish_for_main(self) -> None:
        if not self._free.wait(BUSY):
            self._finish()

    def _finish(self) -> None:
        """End the bot, once."""
        with self._lock:
            if self._finishing:
                return
            self._finishing = True
        for job in self._jobs.values():
            job.stop()
        if self._bot is not None:
            self.guard.call("on_stop", self._bot.on_stop)
        self._close()
        self.host.tell(Stopped())
        self._ended.set()

    def _close(self) -> None:
        """Nobody is answered or called any more."""
        self.calls.close()
        self.mailbox.close()

    # -- from the host ---------------------------------------------------------------------------------------------

    def quote(self, market: int, bid: float, bid_size: float, ask: float, ask_size: float, time: int) -> None:
        """See `BotFace`."""
        self.mailbox.quote(market, bid, bid_size, ask, ask_size, time)

    def trade(self, market: int, side: int, price: float, size: float, time: int) -> None:
        """See `BotFace`."""
        self.mailbox.trade(market, side, price, size, time)

    def tell(self, message: ToBot) -> None:
        """See `BotFace`."""
        if isinstance(message, Answer):
            self.calls.answer(message.call, message.envelope)
        elif isinstance(message, Stop):
            self._be_stopped()
        elif isinstance(message, WebRequest):
            self.threads.start_own(lambda: self._serve(message), f"webhook-{message.name}")
        elif isinstance(message, Health):
            self._health = message
        else:
            self.mailbox.post(message)

    def lose(self, reason: str) -> None:
        """The host has gone: calls under way and to come raise `LinkClosed`, and the bot is stopped."""
        self.logger.error("the engine has gone (%s)", reason)
        self.calls.close()
        self._be_stopped()

    def wait_ended(self, seconds: float | None = None) -> bool:
        """Wait until `Stopped` or `Failed` has been told; False when that takes longer than `seconds`."""
        return self._ended.wait(seconds)

    def _be_stopped(self) -> None:
        with self._lock:
            if self._closing:
                return
            self._closing = True
        self._stop.set()
        if not self._free.is_set():
            self.threads.start_own(self._finish_for_main, "stop")

    # -- the dispatcher --------------------------------------------------------------------------------------------

    @property
    def bot(self) -> Any:
        """The bot, None until `Link.__init__` has been called."""
        return self._bot

    @property
    def idle(self) -> bool:
        """Nothing waits for the dispatcher, and it does nothing."""
        return self.mailbox.idle

    def _empty(self) -> None:
        self._settled.wait(SETTLING)
        mailbox = self.mailbox
        while items := mailbox.take_some():
            for item in items:
                if mailbox.closed:
                    return
                self._handle(item)
            for market, count in mailbox.take_dropped().items():
                self.markets.at[market].handled += count  # they were counted when they came
                self.markets.drop(market, count)

    def _handle(self, item: Item) -> None:
        if isinstance(item, tuple):
            self.handle_trade(*item)
        elif isinstance(item, int):
            self.handle_quote(*self.mailbox.take_quote(item))
        else:
            self.handle(item)

    def handle_quote(self, market: int, bid: float, bid_size: float, ask: float, ask_size: float, time: int) -> None:
        """Run the callbacks of a quote."""
        at = self.markets.at[market]
        at.quotes[at.sym] = data = quote_data(bid, bid_size, ask, ask_size, time)
        bot = self._bot
        if bot is None:
            return
        try:
            bot.quote_update(at.src, at.sym, data)
        except BaseException as error:  # noqa: BLE001 - a bot's own code
            self.guard.survive("quote_update", error)

    def handle_trade(self, market: int, side: int, price: float, size: float, time: int) -> None:
        """Run the callbacks of a trade: bars are rolled first, so that they are right in all of them."""
        at = self.markets.at[market]
        at.trades[at.sym] = data = trade_data(side, price, size, time)
        at.handled += 1
        for tracked in at.tracked:
            tracked.trade(at.handled, price, size, time)
        bot = self._bot
        if bot is None:
            return
        try:
            bot.trade_update(at.src, at.sym, data)
        except BaseException as error:  # noqa: BLE001 - a bot's own code
            self.guard.survive("trade_update", error)
        if self._candles:
            self._candle_callbacks(at)

    def _candle_callbacks(self, at: Market) -> None:
        for level, name in self._candles:
            bars = at.bars(level)
            if bars is not None:
                self.guard.call(name, getattr(self._bot, name), at.src, at.sym, bars)

    def handle(self, message: ToBot) -> None:
        """Run the callbacks of a message that is no market datum."""
        if isinstance(message, Private):
            if self._bot is not None:
                callback = getattr(self._bot, message.callback)
                self.guard.call(message.callback, callback, message.src, message.sym, dict(message.data))
        elif isinstance(message, Published):
            for callback in self.redis.callbacks(message):
                self.guard.call(f"redis {message.channel}", callback, message.value)
        elif isinstance(message, Dropped):
            self.markets.drop(message.market, message.trades)
        elif isinstance(message, Answer | Stop | WebRequest | Health):
            self.tell(message)

    # -- what Link asks --------------------------------------------------------------------------------------------

    def call(self, name: str, given: dict[str, Any]) -> dict[str, Any]:
        """An exchange call: blocks until it is answered. Raises `ApiError`, `LinkClosed`."""
        if given["venue"] not in self.venues:
            raise ApiError(self._unknown(given["venue"]))
        envelope = dict(self.calls.ask(name, given)[0])
        error = envelope.get("error")
        if error and error.get("type") == "api_error":
            raise ApiError(envelope)
        return envelope

    def health(self) -> dict[str, list[dict[str, Any]]]:
        """See `Link.health`."""
        return {
            "public": [dict(each) for each in self._health.public],
            "private": [dict(each) for each in self._health.private],
            "dropped": self.markets.dropped(),
        }

    def start_cron(self, run_now: bool) -> None:
        """See `Cron.start`."""
        if self._program is None or self._bot is None:
            raise RuntimeError("cron.start() before the bot is constructed: call it from on_start")
        for name, schedule in jobs_of(self._program.cls).items():
            if name not in self._jobs and not self._closing:
                self._jobs[name] = Job(name, schedule, self._job(name))
                self._jobs[name].start(run_now)

    def _job(self, name: str) -> Callable[[], None]:
        return lambda: self.guard.call(name, carry_out, getattr(self._bot, name))

    def _unknown(self, venue: str) -> dict[str, Any]:
        known = ", ".join(self.venues) or "none"
        message = (
            f"the venue {venue!r} is not configured{near(venue, self.venues)} (venues: {known}); "
            f"add it with --venue '{venue}=SRC' or a table [venues.{venue!r}]"
        )
        error = {"type": "api_error", "message": message}
        return {"src": None, "venue": venue, "error": error, "data": None, "rate_limits": None}

    def _watch(self, reloader: Reloader) -> None:
        while not self._ended.wait(RELOAD_EVERY):
            if reloader.check() and self._program is not None:
                self._look_up(self._program)
                self._track()

    # -- webhooks --------------------------------------------------------------------------------------------------

    def _serve(self, request: WebRequest) -> None:
        status, value = self._web_answer(request)
        self.host.tell(WebAnswer(request.request, status, value))

    def _web_answer(self, request: WebRequest) -> tuple[int, Any]:
        name = self._routes.get((request.method, request.name))
        if name is None:
            return 404, {"error": f"this bot has no webhook {request.method.upper()} {request.name}"}
        if self._bot is None:
            return 503, {"error": "the bot is still starting"}
        try:
            return 200, plain(getattr(self._bot, name)(dict(request.data)))
        except BaseException as error:  # noqa: BLE001 - a bot's own code
            self.guard.survive(name, error)
            return 500, {"error": said_of(error)}
