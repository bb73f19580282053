"""binance-sdk-derivatives-trading-usds-futures, Binance's official client: REST and streams.
Arguments: exchange, base URL."""

import asyncio
import sys

from binance_common.configuration import ConfigurationRestAPI, ConfigurationWebSocketStreams
from binance_common.errors import BadRequestError, ClientError, UnauthorizedError
from binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures import DerivativesTradingUsdsFutures
from binance_sdk_streams import hear
from steps import check, finish, refused

SYMBOL = "BTCUSDT"


def rest(base: str, secret: str = "test-secret", key: str = "test-key"):
    settings = ConfigurationRestAPI(api_key=key, api_secret=secret, base_path=base)
    return DerivativesTradingUsdsFutures(config_rest_api=settings).rest_api


def main(_: str, base: str) -> None:
    api = rest(base)
    check("time", lambda: api.check_server_time().data().server_time)
    check("instruments", lambda: SYMBOL in [s.symbol for s in api.exchange_information().data().symbols])
    check("candles", lambda: isinstance(api.kline_candlestick_data(symbol=SYMBOL, interval="1m", limit=5).data(), list))
    book = check("order book", lambda: api.order_book(symbol=SYMBOL, limit=100).data())
    bid = float(book.bids[0][0])
    check("funding", lambda: api.mark_price(symbol=SYMBOL).data())
    check("balances", lambda: api.futures_account_balance_v3().data())
    check("account", lambda: api.account_information_v3().data().assets)
    check("positions", lambda: isinstance(api.position_information_v3(symbol=SYMBOL).data(), list))
    price = round(bid * 0.99, 1)
    placed = check(
        "place post-only",
        lambda: api.new_order(
            symbol=SYMBOL,
            side="BUY",
            type="LIMIT",
            time_in_force="GTX",
            quantity=0.01,
            price=price,
            new_client_order_id="sdk-1",
        ).data(),
    )
    check(
        "it is open", lambda: placed.order_id in [o.order_id for o in api.current_all_open_orders(symbol=SYMBOL).data()]
    )
    check("one order", lambda: api.query_order(symbol=SYMBOL, orig_client_order_id="sdk-1").data().status == "NEW")
    check(
        "amend",
        lambda: api.modify_order(
            symbol=SYMBOL, side="BUY", quantity=0.02, price=round(bid * 0.98, 1), order_id=placed.order_id
        ).data(),
    )
    check("cancel", lambda: api.cancel_order(symbol=SYMBOL, orig_client_order_id="sdk-1").data().status == "CANCELED")
    check(
        "place another",
        lambda: api.new_order(
            symbol=SYMBOL, side="BUY", type="LIMIT", time_in_force="GTC", quantity=0.01, price=price
        ).data(),
    )
    check("cancel all", lambda: api.cancel_all_open_orders(symbol=SYMBOL).data())
    check("none is open", lambda: api.current_all_open_orders(symbol=SYMBOL).data() == [])
    check("countdown", lambda: api.auto_cancel_all_open_orders(symbol=SYMBOL, countdown_time=60000).data())
    check("no countdown", lambda: api.auto_cancel_all_open_orders(symbol=SYMBOL, countdown_time=0).data())
    stop = check(
        "stop",
        lambda: api.new_algo_order(
            algo_type="CONDITIONAL",
            symbol=SYMBOL,
            side="SELL",
            type="STOP_MARKET",
            quantity=0.01,
            trigger_price=round(bid * 0.9, 1),
        ).data(),
    )
    check("cancel the stop", lambda: api.cancel_algo_order(algo_id=stop.algo_id).data())
    check("market order", lambda: api.new_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.01).data())
    check("it traded", lambda: api.account_trade_list(symbol=SYMBOL, limit=5).data())
    check("position after it", lambda: float(api.position_information_v3(symbol=SYMBOL).data()[0].position_amt) > 0)
    check("listen key", lambda: api.start_user_data_stream().data().listen_key)
    refused("cancel of an unknown order", lambda: api.cancel_order(symbol=SYMBOL, order_id=987654321), BadRequestError)
    refused(
        "bad signature",
        rest(base, secret="wrong").futures_account_balance_v3,
        BadRequestError,
        UnauthorizedError,
        ClientError,
    )


async def listen(base: str) -> None:
    api = rest(base)
    settings = ConfigurationWebSocketStreams(stream_url=base.replace("http", "ws", 1))
    streams = DerivativesTradingUsdsFutures(config_ws_streams=settings).websocket_streams
    await streams.create_connection()
    await hear("stream of trades", lambda: streams.aggregate_trade_streams(symbol=SYMBOL.lower()))
    await hear("stream of best prices", lambda: streams.individual_symbol_book_ticker_streams(symbol=SYMBOL.lower()))
    await hear("stream of the book", lambda: streams.diff_book_depth_streams(symbol=SYMBOL.lower()))
    key = api.start_user_data_stream().data().listen_key
    await hear(
        "user data of an order",
        lambda: streams.user_data(key),
        lambda: api.new_order(symbol=SYMBOL, side="SELL", type="MARKET", quantity=0.01),
    )
    await streams.close_connection()


main(*sys.argv[1:])
asyncio.run(listen(sys.argv[2]))
finish()
