"""Feed handlers, one module an exchange: its market data messages in, `MarketEvents` out.

They are found by the entry points of group `mlthon.feedhandlers`; `mlthon` never imports them by name, so a package of
anyone's adds an exchange by declaring an entry point of its own.
"""
