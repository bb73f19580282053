"""binance-sdk-spot, Binance's official client: REST, streams and user data. Arguments: exchange, base URL."""

import asyncio
import sys

from binance_common.configuration import (
    ConfigurationRestAPI,
    ConfigurationWebSocketAPI,
    ConfigurationWebSocketStreams,
)
from binance_common.errors import BadRequestError, ClientError, UnauthorizedError
from binance_sdk_spot.spot import Spot
from binance_sdk_streams import hear
from steps import check, finish, refused

SYMBOL = "BTCUSDT"


def rest(base: str, secret: str = "test-secret", key: str = "test-key"):
    return Spot(config_rest_api=ConfigurationRestAPI(api_key=key, api_secret=secret, base_path=base)).rest_api


def main(_: str, base: str) -> None:
    api = rest(base)
    check("time", lambda: api.time().data().server_time)
    check("instruments", lambda: api.exchange_info(symbol=SYMBOL).data().symbols[0].symbol == SYMBOL)
    check("candles", lambda: isinstance(api.klines(symbol=SYMBOL, interval="1m", limit=5).data(), list))
    check("trades", lambda: isinstance(api.get_trades(symbol=SYMBOL, limit=5).data(), list))
    check("best prices", lambda: api.ticker_book_ticker(symbol=SYMBOL).data())
    book = check("order book", lambda: api.depth(symbol=SYMBOL, limit=100).data())
    bid = float(book.bids[0][0])
    check("balances", lambda: api.get_account().data().balances)
    price = round(bid * 0.99, 2)
    placed = check(
        "place post-only",
        lambda: api.new_order(
            symbol=SYMBOL, side="BUY", type="LIMIT_MAKER", quantity=0.002, price=price, new_client_order_id="sdk-1"
        ).data(),
    )
    check("it is open", lambda: placed.order_id in [o.order_id for o in api.get_open_orders(symbol=SYMBOL).data()])
    check("one order", lambda: api.get_order(symbol=SYMBOL, orig_client_order_id="sdk-1").data().status == "NEW")
    check(
        "amend, keeping priority",
        lambda: api.order_amend_keep_priority(symbol=SYMBOL, order_id=placed.order_id, new_qty=0.001).data(),
    )
    replaced = check(
        "cancel and replace",
        lambda: api.order_cancel_replace(
            symbol=SYMBOL,
            side="BUY",
            type="LIMIT",
            cancel_replace_mode="STOP_ON_FAILURE",
            time_in_force="GTC",
            quantity=0.001,
            price=round(bid * 0.98, 2),
            cancel_order_id=placed.order_id,
        ).data(),
    )
    check(
        "cancel",
        lambda: (
            api.delete_order(symbol=SYMBOL, order_id=replaced.new_order_response.order_id).data().status == "CANCELED"
        ),
    )
    check(
        "place another",
        lambda: api.new_order(
            symbol=SYMBOL, side="BUY", type="LIMIT", time_in_force="GTC", quantity=0.001, price=price
        ).data(),
    )
    check("cancel all", lambda: api.delete_open_orders(symbol=SYMBOL).data())
    check("none is open", lambda: api.get_open_orders(symbol=SYMBOL).data() == [])
    check("market order", lambda: api.new_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.001).data())
    check("it traded", lambda: api.my_trades(symbol=SYMBOL, limit=5).data())
    refused(
        "crossing post-only",
        lambda: api.new_order(
            symbol=SYMBOL, side="BUY", type="LIMIT_MAKER", quantity=0.001, price=round(bid * 1.01, 2)
        ),
        BadRequestError,
    )
    refused("cancel of an unknown order", lambda: api.delete_order(symbol=SYMBOL, order_id=987654321), BadRequestError)
    refused("bad signature", rest(base, secret="wrong").get_account, BadRequestError, UnauthorizedError, ClientError)
    refused("unknown key", rest(base, key="nobody").get_account, BadRequestError, UnauthorizedError, ClientError)


async def listen(base: str) -> None:
    api = rest(base)
    where = base.replace("http", "ws", 1)
    client = Spot(
        config_ws_streams=ConfigurationWebSocketStreams(stream_url=where),
        config_ws_api=ConfigurationWebSocketAPI(
            api_key="test-key", api_secret="test-secret", stream_url=f"{where}/ws-api/v3"
        ),
    )
    streams = client.websocket_streams
    await streams.create_connection()
    await hear("stream of trades", lambda: streams.trade(symbol=SYMBOL.lower()))
    await hear("stream of best prices", lambda: streams.book_ticker(symbol=SYMBOL.lower()))
    await hear("stream of the book", lambda: streams.diff_book_depth(symbol=SYMBOL.lower()))
    await streams.close_connection()
    user = client.websocket_api
    await user.create_connection()
    await hear(
        "user data of an order",
        user.user_data_stream_subscribe_signature,
        lambda: api.new_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.001),
    )
    await user.close_connection()


main(*sys.argv[1:])
asyncio.run(listen(sys.argv[2]))
finish()
