"""Benchmarks: the same workloads on this engine and on other backtesting engines, in one run.

Only `inputs` and `result` may be imported from the environments of the peers, which have no `mlthon`: they need nothing
but numpy. See `benchmarks/README.md`.
"""
