"""`BotHost`: one bot, seen from the engine. It answers the bot's calls and tells it what happens.

Pure: it implements `HostFace` and holds a `BotFace`; how the two are joined, and whose time it is, is for others. Its
methods are called within the engine only, so what a bot does from its threads has been brought in (`Host.deliver` of
`mlthon.live.services`, or the scheduler of a backtest) before it comes here.

A bot begins (`Hello`) when all its venues may trade, because calls work from its constructor on, and when each of its
markets has had a quote, because on the platform feeds were always on and constructors read `Link.quotes`; a market
without one for `QUOTES_WITHIN` is not waited for. Calls are answered with the documented envelope. When little is left
of an account's rate limit a call waits until it starts anew.
"""

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final
from uuid import NAMESPACE_URL, uuid5

from attrs import frozen

from mlthon.engine.clock import SECOND
from mlthon.engine.session import Phase
from mlthon.link.contract import (
    BACKLOG,
    BotFace,
    Call,
    Failed,
    Health,
    Hello,
    Loaded,
    Logged,
    Private,
    Publish,
    Published,
    Raised,
    RedisPublish,
    RedisSubscribe,
    Signalled,
    Started,
    Stop,
    Stopped,
    StopTrading,
    ToHost,
    WebAnswer,
    WebRequest,
)
from mlthon.link.host import calls, payloads
from mlthon.link.host.asked import Asked, Pending
from mlthon.link.host.listing import Listing, metadata
from mlthon.link.host.payloads import Payload
from mlthon.link.host.signals import Channels, SignalBoard
from mlthon.link.host.venue import VenueStrategy

if TYPE_CHECKING:
    from mlthon.engine.clock import Clock
    from mlthon.link.host.market import Markets

log = logging.getLogger("mlthon.link")
said = logging.getLogger("mlthon.bot")
"""What bots themselves say."""

LOW: Final = 2
"""With so few requests left of a rate limit a call waits until it starts anew."""

QUOTES_WITHIN: Final = 5 * SECOND
"""So long (ns) a bot waits for the first quotes of its markets."""


def _nobody(host: "BotHost", message: Any) -> None:
    """Nobody carries this on."""


@frozen(kw_only=True)
class HostSettings:
    """How a bot is kept: see `mlthon.config.LinkConfig`. `reload`: the bot takes changes of its packages. `alone`: the
    run ends with it, and tells then why it could not be run. `publish` and `web` are what `BotHost.on_publish` and
    `on_web_answer` begin as."""

    signed_positions: bool = False
    reload: bool = False
    alone: bool = False
    cancel_on_exit: bool = True
    call_timeout_s: float = 30.0
    backlog: int = BACKLOG
    publish: Callable[["BotHost", Publish], None] = _nobody
    web: Callable[["BotHost", WebAnswer], None] = _nobody


class BotHost:
    """See the module.

    `face` is the bot, None before it is joined and after it is gone. `counts`: what the bot raised, by callback.
    `failure`: why it could not be loaded. `over`: it has ended and will not be started again. `died`: it has, and
    nobody had asked it to. `on_publish` is given what the bot publishes on the websocket stream, `on_web_answer` the
    answers of its webhooks: `routes` says which there are, `request` calls one.
    """

    def __init__(
        self,
        name: str,
        file: str,
        venues: Sequence[VenueStrategy],
        markets: Sequence[Listing],
        settings: HostSettings,
        board: SignalBoard,
        channels: Channels,
    ) -> None:
        self.name = name
        self.file = file
        self.venues = {each.name: each for each in venues}
        self.markets = list(markets)
        self.settings = settings
        self.face: BotFace | None = None
        self.counts: dict[str, int] = {}
        self.failure: Failed | None = None
        self.routes: Sequence[tuple[str, str]] = ()
        self.on_publish: Callable[[BotHost, Publish], None] = settings.publish
        self.on_web_answer: Callable[[BotHost, WebAnswer], None] = settings.web
        self.over = self.died = False
        self.clock: Clock
        self._feeds: Markets
        self._board = board
        self._channels = channels
        self._callbacks: frozenset[str] | None = None
        self._greeted = False
        self._stopping: list[VenueStrategy] = []
        self._told_to_stop = False
        self._quotes_until: int | None = None
        self._pending = Pending(self)
        self._tell: dict[type, Callable[[Any], None]] = {
            Call: self._call,
            Loaded: self._loaded,
            Started: self._started,
            Signalled: self._signalled,
            Publish: lambda message: self.on_publish(self, message),
            RedisPublish: lambda message: self._channels.publish(message.channel, message.value),
            RedisSubscribe: self._subscribe,
            WebAnswer: lambda message: self.on_web_answer(self, message),
            Raised: self._raised,
            Logged: self._logged,
            StopTrading: self._stop_trading,
            Failed: self._failed,
            Stopped: self._stopped,
        }
        for venue in venues:
            venue.teller = self

    def attach(self, clock: "Clock", feeds: "Markets") -> None:
        """The run is put together."""
        self.clock = clock
        self._feeds = feeds

    # -- life --------------------------------------------------------------------------------------------------------

    def join(self, face: BotFace) -> None:
        """There is a bot: it is greeted as soon as all its venues may trade and its markets are quoted."""
        self.face = face
        self.over = self._greeted = self._told_to_stop = False
        self._callbacks = None
        self._greet()

    def _greet(self) -> None:
        if not self._can_begin:
            return
        if self._quotes_until is None:
            self._quotes_until = self.clock.now + QUOTES_WITHIN
            if self._feeds.await_quotes(self.markets, self._quoted):
                self.clock.call_at(self._quotes_until, self._greet)
        if self.clock.now < self._quotes_until and not self._feeds.settled(self.markets):
            return
        self._begin()

    @property
    def _can_begin(self) -> bool:
        waits = self.face is not None and not self._greeted and not self._told_to_stop
        return waits and all(each.ready for each in self.venues.values())

    def _quoted(self) -> None:
        # not in the middle of what the market tells others
        self.clock.call_soon(self._greet)

    def _begin(self) -> None:
        if self.face is None:
            return
        self._greeted = True
        without = [f"{each.src}:{each.sym}" for each in self.markets if not self._feeds.quoted([each])]
        if without:
            log.warning("%s begins without a quote of %s", self.name, ", ".join(without))
        quotes, trades = self._feeds.latest(dict(enumerate(self.markets)))
        self.face.tell(
            Hello(
                name=self.name,
                file=self.file,
                venues={name: self._venue(each) for name, each in self.venues.items()},
                markets=[(each.src, each.sym) for each in self.markets],
                instruments=self._instruments(),
                signed_positions=self.settings.signed_positions,
                reload=self.settings.reload,
                quotes=quotes,
                trades=trades,
                backlog=self.settings.backlog,
            )
        )
        self._tell_health()

    def _venue(self, venue: VenueStrategy) -> Payload:
        return {"id": self.venue_id(venue), "kind": "real", "name": venue.name, "src": venue.src}

    def venue_id(self, venue: VenueStrategy) -> str:
        """The id of a venue: the same in every run."""
        return str(uuid5(NAMESPACE_URL, f"mlthon:{venue.src}:{venue.name}"))

    def _instruments(self) -> dict[str, dict[str, Payload]]:
        found: dict[str, dict[str, Payload]] = {}
        for venue in self.venues.values():
            known = found.setdefault(venue.src, {})
            known.update({sym: metadata(each) for sym, each in venue.listings.items() if sym not in known})
        return found

    def gone(self, reason: str, *, again: bool = False) -> None:
        """The bot is no more: nothing more is told to it, and its orders are cancelled if so configured. `again`: it
        will be started anew. `reason`: how it died, if it did; one that is gone for good is an error."""
        face, self.face = self.face, None
        if face is not None:
            self._feeds.leave(face)
            self._channels.leave(self._published)
        self.over = not again
        for venue in self._stopping:
            venue.env.send_stop_ack()
        self._stopping.clear()
        if self.settings.cancel_on_exit:
            for venue in self.venues.values():
                if venue.session.phase not in (Phase.CREATED, Phase.ENDED):
                    venue.session.cancel_open_orders()
                    venue.session.left_cancelled = True
        if reason:
            self.died = not again and not self._told_to_stop
            log.log(logging.WARNING if again else logging.ERROR, "%s: %s", self.name, reason)

    def end(self, reason: str) -> None:
        """Have the bot stop, as at the end of the run."""
        for venue in self.venues.values():
            if venue.session.phase is Phase.RUNNING:
                venue.session.stop(reason)

    def stop_asked(self, venue: VenueStrategy, reason: str) -> None:
        """A venue is to stop: the bot is, and when it has the venue has."""
        if self.face is None or not self._greeted:
            self._told_to_stop = True
            venue.env.send_stop_ack()
            return
        self._stopping.append(venue)
        if not self._told_to_stop:
            self._told_to_stop = True
            self.face.tell(Stop(reason or "the run ends"))
            self._await_end(self.face)

    def _await_end(self, face: BotFace) -> None:
        """Whose venues wait for it no longer has had its time."""
        if self.face is not face:
            return
        if any(each.session.phase is Phase.STOPPING for each in self.venues.values()):
            self.clock.call_at(self.clock.now + SECOND, self._await_end, face)
        else:
            self._stopping.clear()
            self.gone("it does not end, and is not waited for any longer: its on_stop must return")

    # -- what the bot is told ------------------------------------------------------------------------------------------

    def wants(self, callback: str) -> bool:
        """Whether the bot is there and overrides the callback."""
        return self._callbacks is not None and callback in self._callbacks

    def private(self, callback: str, src: str, sym: str, data: Payload) -> None:
        """A private event of one of the venues."""
        if self.face is not None and self.wants(callback):
            self.face.tell(Private(callback, src, sym, data))

    def request(self, request: WebRequest) -> bool:
        """Have the bot run one of its webhooks; False where there is no bot to run it."""
        if self.face is None or self._callbacks is None:
            return False
        self.face.tell(request)
        return True

    def status_changed(self, venue: VenueStrategy) -> None:
        """A gateway or feed came or went."""
        self._greet()
        self._tell_health()

    def _tell_health(self) -> None:
        if self.face is None or not self._greeted:
            return
        venues = self.venues.values()
        public = {each.src: {"src": each.src, "live": each.feed_live} for each in venues if each.subscribed}
        private = [{"venue": each.name, "src": each.src, "live": each.ready, "detail": each.detail} for each in venues]
        self.face.tell(Health(list(public.values()), private))

    def _published(self, channel: str, value: Any) -> None:
        if self.face is not None:
            self.face.tell(Published(channel, value))

    def envelope(self, asked: Asked, data: Any, error: Payload | None) -> Payload:
        """The documented answer of a call."""
        venue = asked.venue
        given = asked.arguments.get("venue")
        answer: Payload = {
            "src": venue.src if venue is not None else asked.arguments.get("src"),
            "venue": venue.name if venue is not None and given is not None else given,
        }
        if asked.name == "call_endpoint" and venue is not None:
            answer["venue_id"] = self.venue_id(venue)
        limits = venue.desk.allowance() if venue is not None else (0, self.clock.now)
        return answer | {"error": error, "data": data, "rate_limits": payloads.rate_limits(*limits)}

    # -- what the bot says ---------------------------------------------------------------------------------------------

    def tell(self, message: ToHost) -> None:
        """The bot says something (`HostFace`)."""
        self._tell[type(message)](message)

    def _call(self, call: Call) -> None:
        asked = Asked(self, call, self._venue_of(call))
        if asked.venue is None:
            asked.bad(calls.no_such_venue(call, self.venues))
            return
        self._pending.add(asked)
        self._send(asked, asked.venue)

    def _venue_of(self, call: Call) -> VenueStrategy | None:
        if call.name == "history":
            src = call.arguments.get("src")
            return next((each for each in self.venues.values() if each.src == src), None)
        name = call.arguments.get("venue")
        return self.venues.get(name) if isinstance(name, str) else None

    def _send(self, asked: Asked, venue: VenueStrategy) -> None:
        """Carry a call out, or wait for the rate limit to start anew."""
        remaining, reset = venue.desk.allowance()
        asked.queued = remaining <= LOW and reset > self.clock.now and asked.name != "history"
        if asked.queued:
            log.info(
                "%s: %s waits: %d requests are left of %s's rate limit", self.name, asked.name, remaining, venue.name
            )
            self.clock.call_at(reset, self._send, asked, venue)
            return
        # it may have expired meanwhile, or its bot have died
        if asked.face is not None and asked.face is self.face:
            calls.carry_out(asked, venue)

    def _loaded(self, message: Loaded) -> None:
        again, self._callbacks = self._callbacks is not None, frozenset(message.callbacks)
        self.routes = message.routes
        if self.face is not None and not again:
            markets = dict(enumerate(self.markets))
            self._feeds.read(self.face, markets)
            # a quiet market may not be quoted again for long
            for quote in self._feeds.latest(markets)[0]:
                self.face.quote(*quote)

    def _started(self, message: Started) -> None:
        log.info("%s has started", self.name)

    def _signalled(self, message: Signalled) -> None:
        self._board.signal(message.src, message.sym, message.intents, self.name, self.clock.now)

    def _subscribe(self, message: RedisSubscribe) -> None:
        for channel in message.channels:
            self._channels.subscribe(channel, self._published)

    def _raised(self, message: Raised) -> None:
        self.counts[message.where] = self.counts.get(message.where, 0) + 1
        # one session's count is the bot's
        next(iter(self.venues.values())).session.failures += 1

    def _logged(self, message: Logged) -> None:
        said.log(message.level, "%s: %s", self.name, message.text)

    def _stop_trading(self, message: StopTrading) -> None:
        log.warning("%s stops trading: %s", self.name, message.message or "no reason given")
        self.clock.call_soon(self.end, message.message)

    def _failed(self, message: Failed) -> None:
        self.failure = message
        if not self.settings.alone:
            log.error("%s: %s%s", self.name, message.problem, f"\n{message.hint}" if message.hint else "")
        self.clock.call_soon(self.gone, "")

    def _stopped(self, message: Stopped) -> None:
        self.clock.call_soon(self.gone, "")
