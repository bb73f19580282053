"""The kill switch: a process of its own that cancels the run's open orders when the engine does not live any more.

A callback that hangs (asleep, in a loop, in a regular expression that backtracks for ever) hangs everything in its
process, threads included; so this is a process: it has its own HTTP client, reads from the journal which orders are
ours, and from the heartbeat whether the engine's loop still comes round. It cancels

- on command (the line `cancel` on its standard input, or SIGUSR1 from another process),
- when no heartbeat came for `timeout_s`,
- when the engine ended without a goodbye (its end of the pipe closed), or it is told itself to end (SIGTERM),
- when a run that ends leaves orders open (the line `finish`): those, and none that a later run sends,

and only orders of the run's own accounts that the journal says are ours, each by its own id. It goes on until each
cancel is accepted, or the exchange does not know the order although a request for it could no longer arrive. Where the
journal cannot be read it says so and uses the ids that it knew last. An engine that comes back is watched on.

`guard_process` is the engine's end, and starts it. What it does it says on standard error and in its log; what has come
of it stands in a file beside that (`guard_report`).
"""

import importlib
import logging
import signal
import sys
import time
from pathlib import Path
from typing import Any, Final, cast

import httpx
import msgspec

from mlthon.basics.defs import Exchange
from mlthon.basics.instrument import Instrument
from mlthon.engine.clock import MS
from mlthon.engine.entries import OpenOrder, restored
from mlthon.errors import UserError
from mlthon.live.guard_process import READY, START_S, GuardedAccount, GuardSpec, Pipe
from mlthon.live.guard_report import MOST_NAMES, GuardReport, report_path, write_report
from mlthon.live.heartbeat import read_beat
from mlthon.live.http import HEADERS, built
from mlthon.live.journal_store import JournalReader
from mlthon.live.tls import client_context
from mlthon.venue.codec import (
    BadMessage,
    Codec,
    Credentials,
    Endpoints,
    GatewayModule,
    Question,
    Refused,
    Unsupported,
    gateway_module,
)
from mlthon.venue.facts import Reply
from mlthon.venue.wire import HttpAnswer, HttpMessage, Request

log = logging.getLogger("mlthon.guard")

TICK_S: Final = 0.1
"""How often it looks."""
RETRY_S: Final = 1.0
"""How long it waits before it tries again what did not succeed."""
MARGIN_S: Final = 5.0
"""How much longer than the validity of a request an unknown order is tried again."""
CLOCK_MS: Final = 500
"""An exchange's clock that differs by more from what was known is told."""
FIRED: Final = 3
"""Its exit status when it had to cancel because the engine was gone."""
CANCELLED: Final = "cancelled"

Target = tuple[Exchange, str, str]
"""Exchange, account, wire id."""


class Canceller:
    """Cancels orders of one account over HTTP."""

    def __init__(self, spec: GuardSpec, guarded: GuardedAccount) -> None:
        self.exchange = Exchange[guarded.exchange]
        self.account = guarded.account
        self._spec = spec
        self._guarded = guarded
        self._module = _module(guarded)
        self._client = httpx.Client(timeout=spec.request_timeout_s, verify=client_context(), headers=HEADERS)
        self._offset_ms = guarded.offset_ms
        self.quiet_until = 0.0
        """Nothing is asked before (monotonic s): the exchange said that it was too much."""
        self._codec: Codec | None = None
        self._known: set[Instrument] = set()

    def _codec_for(self, instrument: Instrument) -> Codec:
        """The codec, made anew when an instrument comes that it does not know yet."""
        if self._codec is None or instrument not in self._known:
            self._known.add(instrument)
            guarded = self._guarded
            self._codec = self._module.codec(
                self.exchange,
                guarded.account,
                list(self._known),
                Endpoints(guarded.environment, guarded.urls, guarded.real_money),
                Credentials(guarded.key, guarded.secret, guarded.kind, guarded.passphrase),
                guarded.options,
            )
        return self._codec

    def cancel(self, order: OpenOrder) -> tuple[bool, str, float]:
        """Ask the exchange to cancel: whether that is done with, what came of it (`CANCELLED`, or why not), and how
        long (s) to wait before it is tried again."""
        try:
            codec = self._codec_for(order.sent.instrument)
            request = codec.cancel_order(restored(order, cast(Any, None), order.sent.instrument))
            reply = codec.reply(request, self._send(request))
            if not (reply.accepted or reply.missing or reply.limited):
                self._measure_clock(codec)
        except httpx.HTTPError as error:
            return False, f"no answer: {type(error).__name__}", RETRY_S
        except (BadMessage, Unsupported, Refused) as error:
            return False, f"{type(error).__name__}: {error}", RETRY_S
        except Exception as error:  # noqa: BLE001 - one account's fault must not keep the others' orders open
            log.error("%s %s: %s", self.exchange.name, self.account, type(error).__name__)
            return False, f"a fault of the gateway: {type(error).__name__}", RETRY_S
        return self._judged(order, reply, codec.validity_s)

    def _judged(self, order: OpenOrder, reply: Reply, validity_s: float) -> tuple[bool, str, float]:
        if reply.accepted:
            return True, CANCELLED, 0.0
        if reply.missing:
            age_s = time.time_ns() / 1e9 - order.sent.created_ts / 1e9
            over = age_s > validity_s + MARGIN_S
            return over, "the exchange has no such open order" + ("" if over else " yet"), RETRY_S
        wait = max(reply.retry_after_s or 0.0, RETRY_S)
        if reply.limited:
            self.quiet_until = time.monotonic() + wait
        return False, f"refused: {reply.reason or reply.code.name}", wait

    def _send(self, request: Request) -> HttpAnswer:
        """Send it and wait for the answer. Raises Unsupported for what goes over a websocket, httpx.HTTPError."""
        sent = time.time_ns()
        message = request.build(sent // MS + self._offset_ms)
        if not isinstance(message, HttpMessage):
            raise Unsupported("the gateway wants to send it over a websocket, which the guard has not")
        answer = self._client.send(built(self._client, self._guarded.urls[message.base], message))
        return HttpAnswer(answer.status_code, dict(answer.headers), answer.content, sent, time.time_ns())

    def _measure_clock(self, codec: Codec) -> None:
        """Ask the exchange for its time, after it has refused what was signed with ours: this machine's clock may have
        been set since the run started, or have gone wrong slowly."""
        try:
            offset_ms = self._offset_from(codec.server_time())
        except (httpx.HTTPError, BadMessage, Refused, Unsupported) as error:
            log.warning("%s: its time is not known: %s", self.exchange.name, type(error).__name__)
            return
        if abs(offset_ms - self._offset_ms) > CLOCK_MS:
            log.warning("%s: its clock is %+d ms from ours, not %+d", self.exchange.name, offset_ms, self._offset_ms)
        self._offset_ms = offset_ms

    def _offset_from(self, question: Question[int]) -> int:
        """The exchange's clock less ours (ms) by its answer; the way there and back count half each."""
        middle = 0
        try:
            request = next(question)
            while True:
                answer = self._send(request)
                middle = (answer.sent_ts + answer.recv_ts) // 2
                request = question.send(answer)
        except StopIteration as stop:
            return (int(stop.value) - middle) // MS


def _module(guarded: GuardedAccount) -> GatewayModule:
    if guarded.module:
        return cast(GatewayModule, importlib.import_module(guarded.module))
    return gateway_module(Exchange[guarded.exchange])


class Orders:
    """Our open orders as the journal has them, or had them when it could be read last."""

    def __init__(self, path: Path, accounts: set[tuple[Exchange, str]]) -> None:
        self._path = path
        self._accounts = accounts
        self._journal: JournalReader | None = None
        self._latest: list[OpenOrder] = []
        self._failure = ""

    def look(self) -> list[OpenOrder]:
        try:
            if self._journal is None:
                self._journal = JournalReader(self._path)
            found = self._journal.open_orders()
        except (UserError, ValueError, LookupError) as error:
            self._fail(error)
        else:
            self._latest = [each for each in found if (each.exchange, each.account) in self._accounts]
            if self._failure:
                self._failure = ""
                log.warning("the journal can be read again")
        return self._latest

    def _fail(self, error: Exception) -> None:
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        if str(error) != self._failure:
            self._failure = str(error)
            log.error("THE JOURNAL CANNOT BE READ, %d orders known from before are used: %s", len(self._latest), error)


class Guard:
    """The watch itself. `turn` is one look; times are monotonic seconds."""

    def __init__(self, spec: GuardSpec) -> None:
        self.spec = spec
        self._cancellers = {(Exchange[each.exchange], each.account): Canceller(spec, each) for each in spec.accounts}
        self._orders = Orders(Path(spec.journal), set(self._cancellers))
        self._done: set[Target] = set()
        self._not_before: dict[Target, float] = {}
        self._targets: dict[Target, OpenOrder] = {}
        self._report: GuardReport | None = None
        self._cancelled = self._gone = 0
        self._late = False
        self._finishing = False
        self._beat_failure = ""
        self._heard = time.monotonic()

    @property
    def idle(self) -> bool:
        """Whether nothing is left to cancel."""
        return not self._targets

    def silence_s(self) -> float:
        """How long (s) nothing was heard of the engine, counted from the start of the watch at the earliest: an engine
        waits for its guard. A heartbeat that cannot be read counts as none."""
        try:
            self._heard = max(self._heard, read_beat(Path(self.spec.heartbeat)).at / 1e9)
            self._beat_failure = ""
        except (OSError, ValueError) as error:
            if str(error) != self._beat_failure:
                self._beat_failure = str(error)
                log.error("the heartbeat cannot be read: %s", error)
        return time.monotonic() - self._heard

    def turn(self) -> None:
        """Look at the heartbeat and the journal, and cancel what is to be cancelled."""
        if self._finishing:
            self._sweep()
            return
        orders = self._orders.look()
        silence = self.silence_s()
        if silence > self.spec.timeout_s:
            if not self._late:
                self._late = True
                self.fire(f"no heartbeat for {silence:.1f} s")
            self._aim(orders)
        elif self._late:
            self._late = False
            log.warning("the engine is back")
        self._leave_ended(orders)
        self._sweep()

    def finish(self) -> None:
        """The run is over: cancel what it left open, and look at nothing else any more. The journal and the heartbeat
        may be another run's by now."""
        self.fire("left open at the end of the run")
        self._finishing = True

    def fire(self, why: str) -> None:
        """Cancel everything that is open now."""
        orders = self._orders.look()
        self._aim(orders)
        self._cancelled = self._gone = 0
        self._tell(GuardReport(time.time_ns(), why))
        log.error("%s: cancelling our open orders: %d", why.upper(), len(self._targets))

    def _aim(self, orders: list[OpenOrder]) -> None:
        for order in orders:
            target = _target(order)
            if target not in self._done:
                self._targets.setdefault(target, order)

    def _leave_ended(self, orders: list[OpenOrder]) -> None:
        """What has ended in the journal meanwhile, by the engine's own cancel for one, is not asked for any more: the
        exchange would only say that it has no such order."""
        still = {_target(each) for each in orders}
        for target in [each for each in self._targets if each not in still]:
            log.warning("%s %s: order %s is over by the journal", target[0].name, *target[1:])
            self._gone += 1
            self._done.add(target)
            del self._targets[target]
            if self._report is not None:
                self._tell(self._report)

    def _tell(self, report: GuardReport) -> None:
        """Write down what has come of it, where that has changed."""
        names = [f"{exchange.name} {account} {wire_id}" for exchange, account, wire_id in self._targets]
        told = msgspec.structs.replace(
            report, cancelled=self._cancelled, gone=self._gone, left=len(names), names=names[:MOST_NAMES]
        )
        if told == self._report:
            return
        self._report = told
        try:
            write_report(report_path(Path(self.spec.log)), told)
        except OSError as error:
            log.error("what came of it cannot be written down: %s", error)

    def _sweep(self) -> None:
        for target, order in list(self._targets.items()):
            canceller = self._cancellers[order.exchange, order.account]
            if max(self._not_before.get(target, 0.0), canceller.quiet_until) > time.monotonic():
                continue
            done, told, wait_s = canceller.cancel(order)
            name = f"{order.exchange.name} {order.account}: order {order.wire_id} of {order.sent.instrument.name}"
            if done:
                log.warning("%s: %s", name, told)
                self._cancelled += told == CANCELLED
                self._gone += told != CANCELLED
                self._done.add(target)
                del self._targets[target]
            else:
                log.error("%s: NOT cancelled: %s; trying again in %g s", name, told, wait_s)
                self._not_before[target] = time.monotonic() + wait_s
            if self._report is not None:
                self._tell(self._report)


def _target(order: OpenOrder) -> Target:
    return order.exchange, order.account, order.wire_id


# -- the process ---------------------------------------------------------------------------------------------------


def _set_up_logs(path: Path) -> None:
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr), logging.FileHandler(path)]
    # a full disk must not fill the terminal with tracebacks: what the log cannot take is said on standard error
    logging.raiseExceptions = False
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(level=logging.INFO, format="%(asctime)sZ guard %(levelname)s: %(message)s", handlers=handlers)
    # addresses of requests may carry signatures
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)


def main() -> int:
    """Watch until the engine says goodbye or is gone and nothing is left to cancel."""
    asked: list[str] = []
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # what asks an engine for its positions may be sent to all processes of a run
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, lambda *_: asked.append("cancel"))
    signal.signal(signal.SIGTERM, lambda *_: asked.append("end"))
    pipe = Pipe(0)
    try:
        spec = msgspec.json.decode(pipe.first(START_S), type=GuardSpec)
    except msgspec.MsgspecError as error:
        print(f"guard: what it is to do cannot be understood: {error}", file=sys.stderr)
        return 2
    _set_up_logs(Path(spec.log))
    try:
        guard = Guard(spec)
    except (LookupError, ImportError) as error:
        log.error("an account cannot be guarded: %s", error)
        return 2
    _turn(guard)
    log.info("watching %s, at most %g s without a heartbeat", spec.accounts, spec.timeout_s)
    print(READY, flush=True)
    return _watch(guard, pipe, asked)


def _watch(guard: Guard, pipe: Pipe, asked: list[str]) -> int:
    ending = ""
    while True:
        for line in [*pipe.lines(TICK_S), *asked]:
            if line == "cancel":
                guard.fire("told to")
            elif line == "bye":
                log.info("the engine said goodbye")
                return 0
            elif line == "finish":
                ending = "the run is over"
                guard.finish()
            elif line == "end" and not ending:
                ending = "told to end while the engine runs"
                guard.fire(ending)
        asked.clear()
        if pipe.closed and not ending:
            ending = "the engine is gone"
            guard.fire(ending)
        _turn(guard)
        if ending and guard.idle:
            log.warning("nothing is left to cancel")
            return FIRED


def _turn(guard: Guard) -> None:
    try:
        guard.turn()
    except Exception:  # a guard that dies of its own fault guards nothing
        log.exception("a fault of the guard; it goes on")


if __name__ == "__main__":
    sys.exit(main())
