"""bitmex-ws, BitMEX's official websocket sample: tables with and without keys. Arguments: exchange, base URL."""

import sys

from bitmex_websocket import BitMEXWebsocket
from steps import check, finish, told


def main(_: str, base: str) -> None:
    ws = "ws" + base[4:] + "/realtime"
    public = check("connect", lambda: BitMEXWebsocket(endpoint=ws, symbol="XBTUSD", api_key=None, api_secret=None))
    check("instrument", lambda: public.get_instrument()["tickSize"] > 0)
    check("ticker", lambda: public.get_ticker()["mid"] > 0)
    told("trades", public.recent_trades, 60)
    told("depth", public.market_depth)
    private = check(
        "connect with keys",
        lambda: BitMEXWebsocket(endpoint=ws, symbol="XBTUSD", api_key="test-key", api_secret="test-secret"),
    )
    told("margin", private.funds)
    check("open orders", lambda: isinstance(private.open_orders(""), list))


main(*sys.argv[1:])
finish()
