"""Fails in its constructor."""

from profitview import Link


class Trading(Link):
    def __init__(self):
        super().__init__()
        self.price = 1 / 0
