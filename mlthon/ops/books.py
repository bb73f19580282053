"""What strategies hold and have made, from their own fills: a tap that whoever operates a run asks.

One book a strategy, account and instrument (`mlthon.backtest.books.Book`). Its memory does not grow with the run.
"""

from collections.abc import Iterator
from typing import Any

from mlthon.backtest.books import Book
from mlthon.basics.instrument import Instrument
from mlthon.engine.tracker import TrackedOrder


class FillBooks:
    """The tap. Iterating gives the books in the order of first fills."""

    kinds = frozenset({"fill"})

    def __init__(self) -> None:
        self._books: dict[tuple[str, str, Instrument], Book] = {}

    def record(self, ts: int, kind: str, order: TrackedOrder | None, detail: tuple[Any, ...]) -> None:
        if order is None:
            return
        key = (order.session.name, order.account, order.instrument)
        book = self._books.get(key)
        if book is None:
            book = self._books[key] = Book(*key)
        _, price, qty, _, fee, fee_coin, maker, _ = detail
        book.fill(ts, order.side, price, qty, fee, fee_coin, maker)

    def of(self, strategy: str | None) -> Iterator[Book]:
        """The books of one strategy, or all."""
        return (book for book in self._books.values() if strategy in (None, book.strategy))
