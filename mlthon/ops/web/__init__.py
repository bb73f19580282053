"""The web server of a run: bots' webhooks, signals and alerts from outside, the stream, metrics.

It lives in the operations process, so that whatever comes from the network is read, checked and refused there; the
engine hears of what is allowed alone, by the control socket. `application` puts the endpoints together as an ASGI
application that owns no socket; `server` has hypercorn serve it.

    edge          around everything: size, time and rate limits, no error that tells more than it should, access log
    bodies        what a request says, as plain values; hostile input ends here
    addresses     where a request comes from, behind proxies too, and who may
    limits        how often
    keys          the secrets of the server; `store`: the hashed tokens, and what must not be done twice
    bots          /trading/bot/SECRET/NAME           webhooks of ProfitView bots
    streams       /stream                            what bots publish
    signals       /trading-signal/webhook            Crypto Arsenal's signals
    alerts        /tradingview/TOKEN                 alerts that call a strategy's command
    figures       /metrics, /health
"""
