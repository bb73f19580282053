"""How much replayed quantity is ahead of a resting order, and how that shrinks.

The book keeps, for every resting order, the replayed quantity `ahead` of it at its price. Trades at the price reduce it
in every model (`market.py`). What a model decides is what it means when the displayed quantity of the price changes
without a trade: who left, those ahead or those behind? Nobody outside the exchange knows.
"""

from math import exp, log
from typing import Protocol

from mlthon.exchange.config import QueueConfig


class QueueModel(Protocol):
    """The rule for changes of the displayed quantity."""

    def shrunk(self, ahead: int, left: int, displayed: int) -> int:
        """The quantity ahead after `left` lots (more than 0) went away untraded, `displayed` remaining."""


class Pessimistic:
    """All who left were behind, as long as that is possible."""

    __slots__ = ()

    def shrunk(self, ahead: int, left: int, displayed: int) -> int:
        return ahead if ahead < displayed else displayed


class Probabilistic:
    """Those ahead left in proportion to a power of their quantity.

    With a ahead and b behind before the change, a share a^n / (a^n + b^n) of what left was ahead. The idea is that of
    the power-function queue models of the literature on order-queue position; n = 1 is the proportional model.
    """

    __slots__ = ("_exponent",)

    def __init__(self, exponent: float) -> None:
        self._exponent = exponent

    def shrunk(self, ahead: int, left: int, displayed: int) -> int:
        behind = displayed + left - ahead
        if behind <= 0:
            return displayed
        if ahead <= 0:
            return 0
        # by logarithms, because powers of quantities may overflow; e^700 is near the largest float
        share = 1.0 / (1.0 + exp(min(700.0, self._exponent * log(behind / ahead))))
        after = ahead - round(left * share)
        return max(0, min(after, displayed))


def queue_model(config: QueueConfig) -> QueueModel:
    """The model that `config` names."""
    if config.model == "probabilistic":
        return Probabilistic(config.exponent)
    return Pessimistic()
