"""Crypto Arsenal: strategies written for that platform, and its webhook signals, on this engine.

A strategy file is loaded with the platform's globals (`source.py`) and run by an `ArsenalStrategy`, signals without
a file by a `WebhookTrader`. Both are `Trader`s, which are ordinary strategies of the engine: one session, one account,
requests through `IStratEnv`. What is ordered is a `Wish` (`wishes.py`), whose size is found by `sizing.py`.
"""
