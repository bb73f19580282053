"""ProfitView's `Link` on this engine: bots written for the hosted platform run as they are.

A bot file holds one class, `Trading` or `Signals`, derived from `Link`. It may block, start threads and never return
from its constructor, so it lives apart from the engine: in a child process of its own when the wall clock rules, and in
greenlets under virtual time in a backtest. Either way two faces join it to the engine (`contract`):

    bot      mlthon/link/bot: what the module `profitview` offers, and the runtime that loads a file and calls it
    ────────────────────────────────────────────────────────────────────────────────────────────────────────────
    host     mlthon/link/host: the engine's side, pure: each venue of a bot is a strategy of this engine, bound to one
             account, which turns the bot's calls into requests and events into the documented payloads

`wire` carries the faces over a socket, `simulated` joins them in one process under virtual time, `signals` are the five
bots that execute what a `Signals` script says.
"""
