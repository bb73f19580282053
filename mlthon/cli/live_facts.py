"""What is said of a live run, or one on paper on live market data: to whoever operates it, and to its user."""

from collections.abc import Iterator, Mapping, Sequence

from attrs import asdict

from mlthon.basics.defs import NO_ASK, NO_BID, Exchange
from mlthon.basics.instrument import Instrument
from mlthon.config import RunConfig
from mlthon.engine.risk import NO_LIMITS
from mlthon.exchange.exchange import EmbeddedExchange
from mlthon.live.accounts import LiveAccount
from mlthon.live.assembly import Venue
from mlthon.live.run import LiveBooks, Standing


def touch_mark(venues: Mapping[Exchange, Venue], instrument: Instrument) -> int | None:
    """The middle of the touch (10^-18), where both sides are known."""
    bid, ask = venues[instrument.venue].touch(instrument) or (NO_BID, NO_ASK)
    if bid == NO_BID or ask == NO_ASK:
        return None
    return (bid + ask) // 2 * instrument.price_scale.step_units


def quote_times(venues: Mapping[Exchange, Venue]) -> Iterator[tuple[str, object, int, int]]:
    """The last quote of each instrument, its times by the exchange's clock: see `mlthon.ops.lookout`."""
    for exchange, venue in venues.items():
        for instrument, top in venue.tops.items():
            if top.recv_ts:
                yield exchange.name, instrument, top.exch_ts, top.recv_ts + venue.offset


def at_exchange(
    accounts: Mapping[tuple[Exchange, str], LiveAccount], exchange: Exchange, account: str, instrument: Instrument
) -> int | None:
    """An account's position (lots) as the exchange said it last."""
    fact = accounts[exchange, account].gateway.positions.get(instrument)
    return None if fact is None else fact.position


def limits_told(config: RunConfig) -> str:
    """The limits of the run in one line."""
    tables = {"each strategy": config.live.risk}
    tables |= {f"strategy {name}": each.risk for name, each in config.strategies.items()}
    tables |= {f"each account on {name}": each.live.risk for name, each in config.exchanges.items()}
    told = [
        f"{whose}: {', '.join(f'{key} {value}' for key, value in asdict(limits).items() if value is not None)}"
        for whose, limits in tables.items()
        if limits != NO_LIMITS
    ]
    return f"limits: {'; '.join(told) or 'none'}"


def paper_standings(
    embedded: Mapping[Exchange, EmbeddedExchange], accounts: Sequence[tuple[Exchange, str]], books: LiveBooks
) -> tuple[Standing, ...]:
    """What strategies' fills add up to beside what the embedded exchange's accounts hold."""
    found = []
    for exchange, account in accounts:
        for stake in embedded[exchange].account(account).stakes.values():
            instrument, unit = stake.market.instrument, stake.contract.lot_units
            mine = {
                strategy: book.position.lots * unit
                for (strategy, on, what), book in books.books.items()
                if on == account and what == instrument and book.fills
            }
            held = stake.position.lots * unit
            found.append(
                Standing(
                    exchange=exchange,
                    account=account,
                    instrument=instrument.name,
                    by_strategy=mine,
                    of_account=held,
                )
            )
    return tuple(found)
