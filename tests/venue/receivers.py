"""Receivers of market data for tests: `mlthon.engine.faces.MarketEvents` that keep what they are told."""

from mlthon.engine.faces import RESET, SET_ASK, SET_BID


class Seen:
    """Keeps the calls, and the levels that they make: `sides[SET_BID]` and `sides[SET_ASK]`, price -> quantity."""

    def __init__(self) -> None:
        self.quotes: list[tuple[int, ...]] = []
        self.trades: list[tuple[int, ...]] = []
        self.books: list[tuple[int, ...]] = []
        self.sides: dict[int, dict[int, int]] = {SET_BID: {}, SET_ASK: {}}

    def quote(self, *args: int) -> None:
        self.quotes.append(args)

    def trade(self, *args: int) -> None:
        self.trades.append(args)

    def book(self, *args: int) -> None:
        self.books.append(args)
        op, price, qty = args[:3]
        if op == RESET:
            self.sides = {SET_BID: {}, SET_ASK: {}}
        elif op in self.sides and qty:
            self.sides[op][price] = qty
        elif op in self.sides:
            self.sides[op].pop(price, None)

    def ops(self) -> list[int]:
        """The book's operations since the last call."""
        ops = [row[0] for row in self.books]
        self.books.clear()
        return ops
