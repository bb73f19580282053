"""`mlthon.strats.demo_strat.DemoStrat`: the vendor's name for the demo strategy, which lives in `demo_strat`."""

from demo_strat import DemoStrat as DemoStrat
