"""The demo strategy: `python -m mlthon demo_strat`. See `demo_strat/strategy.py`."""

from demo_strat.strategy import DemoStrat

__all__ = ["DemoStrat"]
