"""What a run tells Prometheus: figures that are gathered when somebody asks, and at no other time.

Counters are read from where the run keeps them anyway. Latencies are histograms of cheap samples (`Histogram`): every
order, every eighth batch of messages, one quote a second of each instrument; nothing is timed on every event.

The text is made in the engine's turn, so it is made here, in a tenth of the time that prometheus_client's own
exposition of the same figures takes, and capped at `MOST_TEXT` characters, whole families at a time. Format:
prometheus.io/docs/instrumenting/exposition_formats, "Text-based format".
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import trio
from attrs import frozen

from mlthon.basics.defs import Exchange, GtwStatus
from mlthon.basics.instrument import Instrument
from mlthon.engine.engine import Engine
from mlthon.engine.faces import Gateway
from mlthon.engine.stages import RequestsPassed
from mlthon.engine.tracker import TrackedOrder
from mlthon.live.histogram import Histogram
from mlthon.live.services import Host

if TYPE_CHECKING:
    from mlthon.ops.outbox import Outbox
    from mlthon.ops.service import ControlService

log = logging.getLogger("mlthon.ops")

MOST_TEXT: Final = 56 * 1024
"""Characters of the text: it has to fit into a frame of the control socket."""
CUT: Final = "# cut: there are more figures than fit\n"
BATCH: Final = "How long messages of one read (rows played at once) took, strategies' callbacks included."
BATCH_LABELS: Final = ("exchange", "use")
Labels = Sequence[str]
Row = tuple[Labels, float]


@frozen
class _Figure:
    """One family: how it is called and explained, its labels, and what reads its rows."""

    kind: str
    name: str
    told: str
    labels: Labels
    read: Callable[[], Iterable[Row]]

    def lines(self) -> Iterator[str]:
        for labels, value in self.read():
            yield f"{self.name}{_labels(self.labels, labels)} {_number(value)}"


@frozen
class _Latency:
    """A family of histograms, by labels."""

    name: str
    told: str
    labels: Labels
    histograms: Mapping[Labels, Histogram]
    kind: str = "histogram"

    def lines(self) -> Iterator[str]:
        for labels, histogram in list(self.histograms.items()):
            shown = _labels(self.labels, labels)
            before = f"{shown[:-1]}," if shown else "{"
            count = 0
            for bound, more in zip(histogram.bounds, histogram.counts, strict=False):
                count += more
                yield f'{self.name}_bucket{before}le="{bound / 1e9}"}} {count}'
            yield f'{self.name}_bucket{before}le="+Inf"}} {histogram.count}'
            yield f"{self.name}_count{shown} {histogram.count}"
            yield f"{self.name}_sum{shown} {histogram.total / 1e9}"


def _labels(names: Labels, values: Labels) -> str:
    if not names:
        return ""
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True))
    return f"{{{pairs}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if isinstance(value, int) else repr(float(value))


class Figures:
    """The figures of one run. One that cannot be read is logged and left out."""

    def __init__(self) -> None:
        self._figures: list[_Figure | _Latency] = []

    def counter(self, name: str, told: str, labels: Labels, read: Callable[[], Iterable[Row]]) -> None:
        """What only grows. `name` without `mlthon_` and `_total`."""
        self._figures.append(_Figure("counter", f"mlthon_{name}_total", told, labels, read))

    def gauge(self, name: str, told: str, labels: Labels, read: Callable[[], Iterable[Row]]) -> None:
        """What goes up and down."""
        self._figures.append(_Figure("gauge", f"mlthon_{name}", told, labels, read))

    def latency(self, name: str, told: str, labels: Labels, histograms: Mapping[Labels, Histogram]) -> None:
        """How long something takes, in seconds; `histograms` may grow meanwhile."""
        self._figures.append(_Latency(f"mlthon_{name}_seconds", told, labels, histograms))

    def text(self) -> str:
        """All figures in Prometheus's text format (version 0.0.4), as far as `MOST_TEXT` goes."""
        found: list[str] = []
        size = len(CUT)
        for each in self._figures:
            family = self._family(each)
            size += len(family)
            if size > MOST_TEXT:
                found.append(CUT)
                break
            found.append(family)
        return "".join(found)

    def _family(self, figure: _Figure | _Latency) -> str:
        name = figure.name
        try:
            lines = [f"# HELP {name} {figure.told}", f"# TYPE {name} {figure.kind}", *figure.lines()]
        except Exception:
            log.exception("the figure %s cannot be read; the others are told", name)
            return ""
        return "\n".join(lines) + "\n"


# -- what every run has ------------------------------------------------------------------------------------------------


def one(read: Callable[[], float]) -> Callable[[], Iterable[Row]]:
    """A figure without labels."""
    return lambda: [((), read())]


def tell_of_run(
    figures: Figures, engine: Engine, events: Callable[[], int], counts: Mapping[str, int], started: int
) -> None:
    """The engine, its strategies, gateways and feeds."""
    sessions, ports, feeds = engine.sessions, engine.ports, engine.feeds
    figures.gauge("start_time_seconds", "When the run began, since 1970 UTC.", (), one(lambda: started / 1e9))
    figures.counter("market_events", "Market data events.", (), one(events))
    figures.counter(
        "order_flow",
        "Requests and order events by kind: new, ack, reject, fill, unknown and so on.",
        ("kind",),
        lambda: [((kind,), count) for kind, count in counts.items()],
    )
    figures.counter(
        "callback_errors",
        "Callbacks of a strategy that raised.",
        ("strategy",),
        lambda: [((name,), each.failures) for name, each in sessions.items()],
    )
    figures.gauge(
        "open_orders",
        "Open orders of a strategy.",
        ("strategy",),
        lambda: [((name,), len(each.open)) for name, each in sessions.items()],
    )
    figures.gauge(
        "strategy_running",
        "1 while a strategy trades.",
        ("strategy",),
        lambda: [((name,), each.phase.value == "running") for name, each in sessions.items()],
    )
    figures.gauge(
        "gateway_ready",
        "1 while orders can be sent to an account.",
        ("exchange", "account"),
        lambda: [
            ((exchange.name, account), port.gateway.status()[0] is GtwStatus.ReadyToTrade)
            for (exchange, account), port in ports.items()
        ],
    )
    figures.counter(
        "strange_order_events",
        "Order events that no order was known for.",
        ("exchange", "account"),
        lambda: [((exchange.name, account), port.strange_events) for (exchange, account), port in ports.items()],
    )
    figures.gauge(
        "feed_connected",
        "1 while market data of an exchange comes in.",
        ("exchange",),
        lambda: [((exchange.name,), each.connected) for exchange, each in feeds.items()],
    )
    figures.counter(
        "book_gaps",
        "How often a book of an exchange lost its thread and was built anew.",
        ("exchange",),
        lambda: [((exchange.name,), each.gaps) for exchange, each in feeds.items()],
    )
    figures.gauge(
        "queued_calls", "Timers and answers that wait in the engine's clock.", (), one(lambda: engine.clock.queued)
    )


def tell_of_control(figures: Figures, service: "ControlService", outbox: "Outbox | None") -> None:
    """The control socket and the outbox."""
    figures.gauge("control_clients", "Clients of the control socket.", (), one(lambda: service.clients))
    figures.counter("control_asks", "What was asked over the control socket.", (), one(lambda: service.asked))
    figures.counter("control_refused", "Asks over a client's limits.", (), one(lambda: service.refused))
    figures.counter("control_news_dropped", "News that clients read too slowly.", (), one(lambda: service.drops))
    figures.gauge("control_waiting_bytes", "Bytes that clients have not read.", (), one(lambda: service.waiting))
    if outbox is not None:
        figures.counter("messages_lost", "Strategies' messages that could not be kept.", (), one(lambda: outbox.lost))
        figures.gauge("messages_waiting", "Messages that wait for Telegram.", ("strategy",), outbox.waiting)


class HostTimes:
    """A service that times a run which has its clock from whoever plays it: rows that are played, and the way of orders
    where `orders` is given."""

    name = "the timing of the run"

    def __init__(self, figures: Figures, orders: "OrderTimes | None") -> None:
        self._figures = figures
        self._orders = orders

    async def serve(self, host: Host, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        if self._orders is not None:
            self._orders.by(host.now)
        if host.batches is not None:
            self._figures.latency("batch", BATCH, BATCH_LABELS, {("all", "recording"): host.batches})
        task_status.started()


# -- latencies of orders -----------------------------------------------------------------------------------------------


class OrderTimes:
    """How long orders take: on our way out (`out`: from when the engine heard what made a strategy act, until the
    request had passed limits and journal and was with the gateway) and to the exchange and back (`back`: from a new
    order to its acknowledgement). A tap, and a stage on top of each account's chain (`time`)."""

    kinds = frozenset({"ack"})

    def __init__(self) -> None:
        self.out: dict[Labels, Histogram] = {}
        self.back: dict[Labels, Histogram] = {}
        self._stages: list[TimedStage] = []

    def record(self, ts: int, kind: str, order: TrackedOrder | None, detail: tuple[object, ...]) -> None:
        if order is None:
            return
        key = (order.instrument.venue.name, order.account)
        histogram = self.back.get(key)
        if histogram is None:
            histogram = self.back[key] = Histogram()
        histogram.observe(ts - order.created_ts)

    def time(self, engine: Engine, now: Callable[[], int] | None) -> None:
        """Time what goes down through the engine's ports. `now`: the wall clock (ns) that moves the engine's; None: it
        is told later (`by`)."""
        for (exchange, account), port in engine.ports.items():
            histogram = self.out[exchange.name, account] = Histogram()
            stage = port.gateway = TimedStage(port.gateway, engine, histogram)
            self._stages.append(stage)
        if now is not None:
            self.by(now)

    def by(self, now: Callable[[], int]) -> None:
        """Time by this clock (ns)."""
        for stage in self._stages:
            stage.now = now

    def tell(self, figures: Figures) -> None:
        labels = ("exchange", "account")
        figures.latency("order_round_trip", "From a new order to its acknowledgement.", labels, self.back)
        if self.out:
            told = "From when the engine heard of something to the order that a strategy sent for it, at the gateway."
            figures.latency("tick_to_order", told, labels, self.out)


class TimedStage(RequestsPassed):
    """A stage that notes how long after the engine's present a request was through, by the clock `now` (ns). Implements
    `Gateway`."""

    def __init__(self, gateway: Gateway, engine: Engine, histogram: Histogram) -> None:
        self.gateway = gateway
        self.exchange: Exchange = gateway.exchange
        self.account = gateway.account
        self.status = gateway.status
        self._clock = clock = engine.clock
        self.now: Callable[[], int] = lambda: clock.now
        self._histogram = histogram

    def new_order(self, order: TrackedOrder) -> None:
        self.gateway.new_order(order)
        self._histogram.observe(self.now() - self._clock.now)

    def modify_order(self, order: TrackedOrder, price: int | None, qty: int | None) -> None:
        self.gateway.modify_order(order, price, qty)
        self._histogram.observe(self.now() - self._clock.now)

    def cancel_order(self, order: TrackedOrder) -> None:
        self.gateway.cancel_order(order)
        self._histogram.observe(self.now() - self._clock.now)

    def cancel_all(self, instrument: Instrument) -> None:
        self.gateway.cancel_all(instrument)
