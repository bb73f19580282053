"""What the engine answers, as tables that a phone shows: narrow, thousands apart, no digit made up."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final

from mlthon.backtest.show import show_count, show_money, show_span, show_time
from mlthon.basics.money import parse
from mlthon.ops.contract import MOST_ROWS, Link, OrderRow, Position, Profit, Status
from mlthon.ops.telegram.text import Piece, Text, table

_WELL: Final = ("live", "readytotrade", "ready", "running")
_NONE: Final = "-"


def plain(text: str) -> Text:
    """A text as it is."""
    return (Piece(text),)


def number(text: str | None) -> str:
    """A number, all its digits, thousands apart, no zeros at the end; a dash for none."""
    if text is None:
        return _NONE
    value = f"{Decimal(text):,f}"
    return value.rstrip("0").rstrip(".") if "." in value else value


def money(text: str | None) -> str:
    """An amount rounded for reading, with its sign."""
    if text is None:
        return _NONE
    units = parse(text)
    shown = show_money(units, 2 if abs(units) >= 1000 * 10**18 else 8, sign=True)
    return shown.rstrip("0").rstrip(".") if "." in shown and abs(units) < 1000 * 10**18 else shown


def status(told: Status) -> Text:
    """The run, its strategies, and those of its connections that are not as they should be."""
    now = show_time(told.now)
    head = f"{told.name}: {told.mode}, for {show_span(told.now - told.started)}, now {now} UTC\n"
    since = "no market data yet" if told.since_event_s is None else f"last {told.since_event_s:.1f} s ago"
    counts = [
        f"{show_count(told.events, 'market event')}, {since}",
        f"{show_count(told.orders, 'order')}, {show_count(told.fills, 'fill')}, {show_count(told.errors, 'error')}",
    ]
    made = [f"{money(each)} {coin}" for coin, each in told.profit.items()]
    rows = [("strategy", "is", "open", "errors")]
    rows += [(each.name, each.phase, f"{each.open_orders:,}", f"{each.errors:,}") for each in told.strategies]
    links = [_link(each) for each in told.links]
    profit = f"profit {', '.join(made)}\n" if made else ""
    return (Piece(head + "\n".join(counts) + "\n" + profit), table(rows, left=2), Piece("\n" + "\n".join(links)))


def _link(link: Link) -> str:
    mark = "" if link.status.lower() in _WELL else "⚠ "
    return f"{mark}{link.name}: {link.status}{f', {link.detail}' if link.detail else ''}"


def positions(told: Sequence[Position]) -> Text:
    """What strategies hold; `held` is what the exchange says of the account where that is known."""
    told = [each for each in told if Decimal(each.quantity) or each.at_exchange not in (None, "0")]
    if not told:
        return plain("No positions.")
    return _grouped(
        ("instrument", "quantity", "entry", "held"),
        [
            (
                f"{each.strategy} · {each.exchange} {each.account}",
                (each.instrument, number(each.quantity), number(each.entry), number(each.at_exchange)),
            )
            for each in told
        ],
        len(told),
    )


def orders(told: Sequence[OrderRow]) -> Text:
    """The open orders, oldest first."""
    if not told:
        return plain("No open orders.")
    return _grouped(
        ("instrument", "id", "side", "left", "price", "age"),
        [
            (
                f"{each.strategy} · {each.exchange} {each.account}",
                (
                    each.instrument,
                    each.client_id,
                    each.side,
                    number(each.leaves),
                    _price(each),
                    show_span(round(each.age_s * 1e9)),
                ),
            )
            for each in told
        ],
        len(told),
        left=3,
    )


def _price(order: OrderRow) -> str:
    price = "market" if order.price is None else number(order.price)
    return price if order.trigger is None else f"{price} at {number(order.trigger)}"


def profits(told: Sequence[Profit]) -> Text:
    """What strategies made, by coin."""
    if not told:
        return plain("No fills yet.")
    return _grouped(
        ("coin", "realised", "open", "fees", "traded"),
        [
            (
                each.strategy,
                (each.coin, money(each.realised), money(each.unrealised), money(each.fees), number(each.traded)),
            )
            for each in told
        ],
        len(told),
    )


def _grouped(heads: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]], count: int, left: int = 1) -> Text:
    """A table for each group."""
    groups: dict[str, list[Sequence[str]]] = {}
    for group, row in rows:
        groups.setdefault(group, []).append(row)
    pieces: list[Piece] = []
    for group, found in groups.items():
        pieces += [Piece(f"{group}\n"), table([heads, *found], left), Piece("\n")]
    if count >= MOST_ROWS:
        pieces.append(Piece(f"The first {MOST_ROWS}; there may be more."))
    return tuple(pieces)
