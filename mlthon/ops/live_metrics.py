"""The figures of what talks to exchanges: lines, feeds, gateways, the journal."""

from collections.abc import Iterable, Sequence

from mlthon.live.accounts import LiveAccount
from mlthon.live.assembly import Venue
from mlthon.live.driver import Driver
from mlthon.live.journal_store import SqliteJournal
from mlthon.ops.metrics import BATCH, BATCH_LABELS, Figures, one
from mlthon.venue.live_feed import LiveFeed


def tell_of_live(
    figures: Figures,
    venues: Iterable[Venue],
    feeds: Sequence[LiveFeed],
    accounts: Iterable[LiveAccount],
    driver: Driver,
    journal: SqliteJournal | None,
) -> None:
    """Have the figures of a live run, or of one on paper on live data, told. `journal`: of a live run."""
    edges = [
        ((venue.exchange.name, use), edge)
        for venue in venues
        for use, edge in (("orders", venue.edge), ("market data", venue.feed_edge))
    ]
    figures.counter(
        "reconnects",
        "Lines to an exchange that were lost and connected anew.",
        ("exchange", "use"),
        lambda: [(labels, edge.reconnects) for labels, edge in edges],
    )
    figures.latency(
        "batch",
        BATCH,
        BATCH_LABELS,
        {labels: edge.batch_times for labels, edge in edges},
    )
    figures.counter(
        "unreadable_feed_messages",
        "Market data messages that could not be read.",
        ("exchange",),
        lambda: [((feed.exchange.name,), feed.problems + feed.faults) for feed in feeds],
    )
    figures.counter("engine_failures", "Calls into the engine that raised.", (), one(lambda: driver.failures))
    gateways = [((each.venue.exchange.name, each.gateway.account), each.gateway) for each in accounts]
    figures.gauge(
        "requests_waiting",
        "Requests that wait for an exchange's rate limit.",
        ("exchange", "account"),
        lambda: [(labels, gateway.throttle.waiting) for labels, gateway in gateways],
    )
    figures.counter(
        "unreadable_gateway_messages",
        "Messages about an account that could not be understood.",
        ("exchange", "account"),
        lambda: [(labels, gateway.bad_messages) for labels, gateway in gateways],
    )
    if journal is not None:
        told = "Entries of the journal that are not on the disk yet."
        figures.gauge("journal_waiting", told, (), one(lambda: journal.waiting))
