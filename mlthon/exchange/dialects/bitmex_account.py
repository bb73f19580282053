"""BitMEX's calls about the account: user, keys, margin, wallet, positions, executions."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from mlthon.basics.defs import InstrumentType
from mlthon.exchange.dialects import bitmex_account_rows as account_rows
from mlthon.exchange.dialects import bitmex_rows as rows
from mlthon.exchange.dialects.bitmex_request import (
    Fault,
    Params,
    Route,
    Routes,
    Send,
    account_of,
    filter_of,
    page,
    trader,
)
from mlthon.exchange.served.account import ServedAccount
from mlthon.exchange.served.exchange import ApiKey
from mlthon.protocols import bitmex as wire

if TYPE_CHECKING:
    from mlthon.exchange.dialects.bitmex import BitmexDialect


def _user(dialect: "BitmexDialect", key: ApiKey | None, params: Params, send: Send) -> None:
    account = account_of(key)
    send({"id": account.number, "username": account.name, "email": "", "TFAEnabled": "", "country": ""})


def _keys(dialect: "BitmexDialect", key: ApiKey | None, params: Params, send: Send) -> None:
    account = account_of(key)
    mine = [each for each in dialect.served.keys.values() if each.account is account]
    send(
        [
            {"id": each.key, "name": "local", "enabled": True, "userId": account.number, "cidr": "0.0.0.0/0",
             "permissions": [] if each.read_only else ["order"]}
            for each in mine
        ]
    )  # fmt: skip


def _margin(dialect: "BitmexDialect", key: ApiKey | None, params: Params, send: Send) -> None:
    _money(account_rows.margin_row, key, params, send)


def _wallet(dialect: "BitmexDialect", key: ApiKey | None, params: Params, send: Send) -> None:
    _money(account_rows.wallet_row, key, params, send)


def _money(row: Callable[[ServedAccount, str], rows.Row], key: ApiKey | None, params: Params, send: Send) -> None:
    """All currencies as a list, one (XBt without a name) as an object."""
    account = account_of(key)
    wanted = str(params.get("currency") or "XBt")
    if wanted == "all":
        send([row(account, coin) for coin in account.coins()])
        return
    coin = wire.CURRENCIES[wanted].name if wanted in wire.CURRENCIES else wanted
    if coin not in account.coins():
        raise Fault("Invalid currency")
    send(row(account, coin))


def _positions(dialect: "BitmexDialect", key: ApiKey | None, params: Params, send: Send) -> None:
    account = account_of(key)
    wanted = filter_of(params).get("symbol")
    send(
        [
            account_rows.position_row(account, market)
            for instrument, market in dialect.served.markets.items()
            if instrument in account.ledger.stakes
            and instrument.instrument_type is not InstrumentType.Spot
            and wanted in (None, instrument.symbol)
        ]
    )


def _leverage(dialect: "BitmexDialect", key: ApiKey | None, params: Params, send: Send) -> None:
    """The served exchange has one leverage for all: the position as it is."""
    send(account_rows.position_row(trader(key), dialect.market(params)))


def _executions(dialect: "BitmexDialect", key: ApiKey | None, params: Params, send: Send) -> None:
    account = account_of(key)
    symbol = params.get("symbol") or filter_of(params).get("symbol")
    order_id = filter_of(params).get("orderID")
    found = [
        rows.execution_row(each)
        for each in account.executions
        if symbol in (None, "", each.order.instrument.symbol) and order_id in (None, each.order.order_id)
    ]
    send(page(found, params))


ROUTES: Final[Routes] = {
    ("GET", "/user"): Route(_user, keyed=True),
    ("GET", "/apiKey"): Route(_keys, keyed=True),
    ("GET", "/user/margin"): Route(_margin, keyed=True),
    ("GET", "/user/wallet"): Route(_wallet, keyed=True),
    ("GET", "/position"): Route(_positions, keyed=True),
    ("POST", "/position/leverage"): Route(_leverage, keyed=True),
    ("GET", "/execution"): Route(_executions, keyed=True),
    ("GET", "/execution/tradeHistory"): Route(_executions, keyed=True),
}
"""The calls by their path below `/api/v1`."""
