"""The embedded exchange as a server sees it: accounts with keys, wide order records, market data to tell of, and the
contract between a server and the dialects that speak each exchange's protocol. Pure: no sockets and no wall clock.

- `contract`: `ServerRequest`, `ServerResponse`, `ServerSocket`, `Dialect`: what a dialect is given and gives.
- `exchange`: `ServedExchange`, where a dialect finds accounts (by key) and markets (by symbol).
- `account`: `ServedAccount`: place, amend, cancel; orders, executions, positions, wallet; listeners.
- `market`: `ServedMarket`: levels, trades, candles, day statistics, mark price; listeners.
- `records`: `ServedOrder`, `ServedExecution` and what a listener is told.
- `limits`: time windows, signatures, request windows, throttled pushes.
- `faults`: a dialect wrapped so that requests fail on purpose.

Recordings and the synthetic market are played into it by `mlthon.live.exchange_market`.
"""
