"""A bot in a backtest: the engine, the exchange and the bot in one process, under one virtual clock.

A child process is prepared before anything else is imported in it (`prepare`): what Python's threads are made of
(`primitives`), its clocks (`clocks`), its waiting for files and sockets (`polling`), its random numbers (`entropy`) and
the world outside (`outside`) are replaced for every module alike, the bot's own and those of libraries. The engine's
`Clock` is the scheduler (`threads`): the loop of the run is the hub, each thread of the bot a greenlet, and whatever
blocks queues its wake-up on that clock and switches back to the hub. One runs at a time, in an order that the data and
the bot alone decide.

    parent    mlthon/cli/bot_run.py      options, progress, printing; knows nothing of the bot
    ──────────────────────────────────── lines of JSON over a pipe (mlthon/cli/bot_lines.py) ──────
    child     mlthon/cli/bot_child.py    makes the run, plays it, tells progress and result
              hub                        Run.go: market data, exchange, host
              greenlets                  the bot: main thread, dispatcher, and whatever threads it starts

What virtual time cannot reach is written down in docs/link-backtest.md.
"""
