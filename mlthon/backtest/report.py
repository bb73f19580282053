"""What a run was worth: returns, risk, costs and activity, from the run's own order flow, checked against the accounts.

`Report` is given to a run as a tap (its `books`) and as a sampler (`sample`); `close` turns what they saw and the run's
`Result` into a `Summary`, or raises `LedgerMismatch` where the books kept here from fills and the exchange's accounts
differ by a single unit. `tables.py` writes it.

How the figures are defined (all per coin; nothing is converted):

- equity = deposits + profit; profit = realised + unrealised - fees + funding.
- return = profit / deposits. Maximum drawdown: the largest fall of sampled equity from an earlier peak, and as a share
  of that peak.
- Sharpe ratio: mean of the returns from sample to sample over their standard deviation (n - 1), times the square root
  of how many such samples a year of 365 days has. No risk-free rate. None below two returns or when they never differ.
- turnover = value traded / deposits. Fill ratio = orders that traded at all / orders sent. Time in market = the share
  of the run's time with a position.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from attrs import frozen

from mlthon.backtest.books import Book, Books
from mlthon.backtest.result import Amounts, Holding, Result
from mlthon.basics.money import to_str

YEAR_NS: Final = 365 * 86_400 * 10**9


class LedgerMismatch(RuntimeError):
    """The books kept from the order flow and the exchange's accounts differ: a fault of this program, not of its
    user."""


@frozen
class Sample:
    """The profit by coin at a time (ns)."""

    ts: int
    pnl: Amounts


@frozen(kw_only=True)
class CoinSummary:
    """All accounts in one coin. Money in 10^-18 of it; ratios are plain fractions, None where they have no meaning."""

    coin: str
    deposits: int
    equity: int
    pnl: int
    realised: int
    unrealised: int
    fees: int
    funding: int
    volume: int
    total_return: float | None
    sharpe: float | None
    max_drawdown: int
    max_drawdown_share: float | None
    turnover: float | None


@frozen(kw_only=True)
class InstrumentSummary:
    """One strategy in one instrument. Quantities and prices in 10^-18; money in `coin`."""

    strategy: str
    account: str
    instrument: str
    coin: str
    orders: int
    fills: int
    maker_fills: int
    fill_ratio: float | None
    bought: int
    sold: int
    position: int
    volume: int
    realised: int
    unrealised: int
    fees: int
    pnl: int
    time_in_market: float | None


@frozen(kw_only=True)
class Summary:
    """A run in figures. `sample_s`: the mean time between samples, None below two of them."""

    result: Result
    coins: tuple[CoinSummary, ...]
    instruments: tuple[InstrumentSummary, ...]
    fill_ratio: float | None
    time_in_market: float | None
    samples: int
    sample_s: float | None


class Report:
    """See the module. Give `report.books` to the run as a tap and `report.sample` as a sampler."""

    def __init__(self) -> None:
        self.books = Books()
        self.samples: list[Sample] = []
        self.summary: Summary | None = None

    @property
    def closed(self) -> Summary:
        """The figures, once the report is closed. Raises `RuntimeError` before."""
        if self.summary is None:
            raise RuntimeError("the report is not closed yet")
        return self.summary

    def sample(self, ts: int, pnl: Amounts) -> None:
        """Note the profit by coin at a time; a second note at the same time replaces the first."""
        if self.samples and self.samples[-1].ts >= ts:
            self.samples.pop()
        self.samples.append(Sample(ts, dict(pnl)))

    def close(self, result: Result) -> Summary:
        """The figures of the run. Raises `LedgerMismatch`."""
        self._check(result)
        start = Sample(result.start_ns, {})
        curve = [start, *(each for each in self.samples if each.ts > start.ts)]
        if curve[-1].ts < result.end_ns:
            curve.append(Sample(result.end_ns, result.pnl))
        self.samples = curve = _without_stub(curve)
        span = result.end_ns - result.start_ns
        books = list(self.books)
        marks = {(each.account, each.instrument): each.mark for each in result.holdings}
        self.summary = Summary(
            result=result,
            coins=tuple(self._coin(coin, result, curve, span) for coin in _coins(result)),
            instruments=tuple(
                _instrument(book, marks.get((book.account, book.instrument.name)), result, span) for book in books
            ),
            fill_ratio=_share(sum(book.traded_orders for book in books), sum(book.orders for book in books)),
            time_in_market=_share(self.books.time_in_market(result.end_ns), span),
            samples=len(curve),
            sample_s=span / 1e9 / (len(curve) - 1) if len(curve) > 1 else None,
        )
        return self.summary

    # -- figures -----------------------------------------------------------------------------------------------------

    def _coin(self, coin: str, result: Result, curve: Sequence[Sample], span: int) -> CoinSummary:
        deposits = result.deposits.get(coin, 0)
        pnl = result.pnl.get(coin, 0)
        holdings = [each for each in result.holdings if each.coin == coin]
        equity = [deposits + each.pnl.get(coin, 0) for each in curve]
        fall, fall_share = drawdown(equity)
        volume = sum(book.volume for book in self.books if book.contract.coin == coin)
        return CoinSummary(
            coin=coin,
            deposits=deposits,
            equity=deposits + pnl,
            pnl=pnl,
            realised=sum(each.realised for each in holdings),
            unrealised=sum(each.unrealised for each in holdings),
            fees=sum(each.fees for each in holdings),
            funding=sum(each.funding for each in holdings),
            volume=volume,
            total_return=_share(pnl, deposits),
            sharpe=sharpe(equity, span),
            max_drawdown=fall,
            max_drawdown_share=fall_share,
            turnover=_share(volume, deposits),
        )

    # -- the check ---------------------------------------------------------------------------------------------------

    def _check(self, result: Result) -> None:
        """Compare these books with the accounts, instrument by instrument, and the accounts with the profit."""
        kept: dict[tuple[str, str], list[Book]] = {}
        for book in self.books:
            kept.setdefault((book.account, book.instrument.name), []).append(book)
        made: dict[str, int] = {}
        for holding in result.holdings:
            made[holding.coin] = made.get(holding.coin, 0) + holding.pnl
            _compare(holding, kept.pop((holding.account, holding.instrument), []))
        for coin, pnl in made.items():
            _agree(f"profit in {coin}", "sum of the holdings", pnl, "change of equity", result.pnl.get(coin, 0))
        for (account, instrument), books in kept.items():
            fills = sum(book.fills for book in books)
            if fills:
                raise LedgerMismatch(f"{account}, {instrument}: {fills} fills, and the account holds no record of them")


def _compare(holding: Holding, books: Sequence[Book]) -> None:
    """The account's position, fees and trading profit against those of every strategy that traded on it."""
    place = f"{holding.account}, {holding.instrument}"
    lots = sum(book.position.lots * book.contract.lot_units for book in books)
    _agree(f"position in {place}", "fills", lots, "account", holding.position)
    fees = sum(book.fees.get(holding.coin, 0) for book in books)
    _agree(f"fees in {place}", "fills", fees, "account", holding.fees)
    if holding.mark is not None or not lots:
        traded = sum(sum(_gains(book, holding.mark)) for book in books)
        _agree(
            f"realised and unrealised profit in {place}",
            "fills",
            traded,
            "account",
            holding.realised + holding.unrealised,
        )


def _agree(what: str, one: str, left: int, other: str, right: int) -> None:
    if left != right:
        raise LedgerMismatch(
            f"{what}: {to_str(left)} by the {one}, {to_str(right)} by the {other}: "
            f"a difference of {to_str(left - right)}"
        )


def _gains(book: Book, mark: int | None) -> tuple[int, int]:
    """Realised and unrealised profit of a book, its position valued at the `mark` price (10^-18), at cost without."""
    position = book.position
    if mark is None or not position.lots:
        return position.realised, 0
    return position.realised, position.unrealised(book.contract.unit_value(mark // book.contract.tick_units))


def _instrument(book: Book, mark: int | None, result: Result, span: int) -> InstrumentSummary:
    lot = book.contract.lot_units
    realised, unrealised = _gains(book, mark)
    fees = book.fees.get(book.contract.coin, 0)
    return InstrumentSummary(
        strategy=book.strategy,
        account=book.account,
        instrument=book.instrument.name,
        coin=book.contract.coin,
        orders=book.orders,
        fills=book.fills,
        maker_fills=book.maker_fills,
        fill_ratio=_share(book.traded_orders, book.orders),
        bought=book.bought * lot,
        sold=book.sold * lot,
        position=book.position.lots * lot,
        volume=book.volume,
        realised=realised,
        unrealised=unrealised,
        fees=fees,
        pnl=realised + unrealised - fees,
        time_in_market=_share(book.time_in_market(result.end_ns), span),
    )


def _coins(result: Result) -> list[str]:
    """The coins in which something happened or was there to happen."""
    settled = [each.coin for each in result.holdings] or list(result.deposits)
    return list(dict.fromkeys(settled))


def _without_stub(curve: list[Sample]) -> list[Sample]:
    """The end of a run falls anywhere between two samples. Where it comes right after one, that one goes: a moment
    would otherwise count as much as a full interval."""
    if len(curve) > 2 and 2 * (curve[-1].ts - curve[-2].ts) < curve[-2].ts - curve[-3].ts:
        del curve[-2]
    return curve


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole > 0 else None


def drawdown(equity: Sequence[int]) -> tuple[int, float | None]:
    """The largest fall from an earlier peak, and the largest such fall as a share of its peak (None where a peak was
    not above 0)."""
    peak = equity[0]
    fall, share = 0, 0.0
    meaningful = True
    for value in equity:
        peak = max(peak, value)
        fall = max(fall, peak - value)
        if peak > 0:
            share = max(share, (peak - value) / peak)
        else:
            meaningful = False
    return fall, share if meaningful else None


def sharpe(equity: Sequence[int], span: int) -> float | None:
    """The annualised Sharpe ratio of equity sampled over `span` ns (see the module)."""
    if len(equity) < 3 or min(equity[:-1]) <= 0 or span <= 0:
        return None
    returns = [(after - before) / before for before, after in pairwise(equity)]
    mean = math.fsum(returns) / len(returns)
    variance = math.fsum((each - mean) ** 2 for each in returns) / (len(returns) - 1)
    if variance == 0:
        return None
    return mean / math.sqrt(variance) * math.sqrt(YEAR_NS / span * len(returns))
