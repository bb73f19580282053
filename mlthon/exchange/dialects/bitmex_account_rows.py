"""Accounts as BitMEX's rows: positions, margins, wallets, and what coins are called. Orders and executions, and how
fields are written, are in `bitmex_rows`."""

from mlthon.basics.defs import Quantification
from mlthon.basics.money import UNIT
from mlthon.exchange.dialects.bitmex_rows import Row, amount, coins, contracts, currency, major, price
from mlthon.exchange.served.account import ServedAccount
from mlthon.exchange.served.market import ServedMarket
from mlthon.exchange.served.records import ServedOrder
from mlthon.protocols import bitmex as wire


def position_row(account: ServedAccount, market: ServedMarket) -> Row:
    """The position in a derivative."""
    instrument, contract = market.instrument, market.contract
    view = account.position(instrument)
    coin = contract.coin
    size = contracts(instrument, view.lots)
    inverse = instrument.get_quantification() is Quantification.Inverse
    leverage = account.exchange.embedded.margin.leverage / UNIT
    mark = view.mark / UNIT
    entry = view.entry if view.lots else None
    sign = -1 if view.lots < 0 else 1
    return {
        "account": account.number,
        "symbol": instrument.symbol,
        "currency": currency(coin),
        "underlying": major(instrument.get_base_currency() or ""),
        "quoteCurrency": instrument.get_quote_currency() or "",
        "commission": market.market.taker_fee / UNIT,
        "initMarginReq": 1 / leverage,
        "maintMarginReq": account.exchange.embedded.margin.maintenance / UNIT,
        "riskLimit": 20_000_000_000,
        "leverage": leverage,
        "crossMargin": True,
        "deleveragePercentile": 1 if view.lots else None,
        "openOrderBuyQty": open_qty(account, market, 1),
        "openOrderBuyCost": open_cost(account, market, 1),
        "openOrderSellQty": open_qty(account, market, -1),
        "openOrderSellCost": open_cost(account, market, -1),
        "currentTimestamp": wire.timestamp(market.clock.now),
        "currentQty": size,
        "isOpen": bool(view.lots),
        "markPrice": mark or None,
        "markValue": -sign * amount(view.value, coin),
        "homeNotional": sign * (view.value / UNIT if inverse else coins(instrument, abs(view.lots))),
        "foreignNotional": -size if inverse else -sign * view.value / UNIT,
        "posMargin": amount(view.margin, coin),
        "maintMargin": amount(view.margin, coin),
        "realisedPnl": amount(view.realised, coin),
        "unrealisedPnl": amount(view.unrealised, coin),
        "unrealisedPnlPcnt": view.unrealised / view.value if view.value else 0,
        "unrealisedRoePcnt": view.unrealised * leverage / view.value if view.value else 0,
        "avgCostPrice": entry,
        "avgEntryPrice": entry,
        "breakEvenPrice": entry,
        "liquidationPrice": None if view.liquidation is None else view.liquidation / UNIT,
        "bankruptPrice": None,
        "lastPrice": price(instrument, market.last_price),
        "timestamp": wire.timestamp(market.clock.now),
    }


def _open(account: ServedAccount, market: ServedMarket, side: int) -> list[ServedOrder]:
    instrument = market.instrument
    return [each for each in account.open_orders() if each.instrument == instrument and each.side == side]


def open_qty(account: ServedAccount, market: ServedMarket, side: int) -> int:
    """Contracts of the account's open orders on one side."""
    return sum(contracts(market.instrument, each.leaves) for each in _open(account, market, side))


def open_cost(account: ServedAccount, market: ServedMarket, side: int) -> int:
    """What they are worth, in the smallest unit of the coin that the contract settles in: on an inverse contract with
    the sign of a fill's cost (a recorded row of XBTUSD: 100 bid for are -107287), elsewhere without one (SOL_USDT).
    Orders without a price are left out."""
    contract = market.contract
    values = [each.leaves * contract.unit_value(each.price) for each in _open(account, market, side) if each.price]
    cost = sum(amount(value, contract.coin) for value in values)
    return -cost if side > 0 and market.instrument.get_quantification() is Quantification.Inverse else cost


def margin_row(account: ServedAccount, coin: str) -> Row:
    """The money of one currency, as of `margin` and GET /user/margin."""
    view = account.coin(coin)
    available = amount(view.available, coin)
    return {
        "account": account.number,
        "currency": currency(coin),
        "riskLimit": 1_000_000_000_000,
        "state": "",
        "amount": amount(view.cash, coin),
        "prevRealisedPnl": 0,
        "grossComm": 0,
        "grossOpenCost": 0,
        "grossOpenPremium": 0,
        "grossExecCost": 0,
        "grossMarkValue": 0,
        "riskValue": 0,
        "targetExcessMargin": 0,
        "initMargin": amount(view.order_margin, coin),
        "maintMargin": amount(view.position_margin, coin),
        "realisedPnl": 0,
        "unrealisedPnl": amount(view.unrealised, coin),
        "walletBalance": amount(view.cash, coin),
        "marginBalance": amount(view.equity, coin),
        "marginLeverage": 0,
        "marginUsedPcnt": 1 - view.available / view.equity if view.equity > 0 else 0,
        "excessMargin": available,
        "availableMargin": available,
        "withdrawableMargin": available,
        "makerFeeDiscount": 0,
        "takerFeeDiscount": 0,
        "foreignMarginBalance": 0,
        "foreignRequirement": 0,
        "timestamp": wire.timestamp(account.clock.now),
    }


def wallet_row(account: ServedAccount, coin: str) -> Row:
    """The balance of one currency, as of `wallet` and GET /user/wallet."""
    cash = amount(account.coin(coin).cash, coin)
    return {
        "account": account.number,
        "currency": currency(coin),
        "deposited": 0,
        "withdrawn": 0,
        "transferIn": 0,
        "transferOut": 0,
        "amount": cash,
        "pendingCredit": 0,
        "pendingDebit": 0,
        "confirmedDebit": 0,
        "timestamp": wire.timestamp(account.clock.now),
    }


def asset_rows(names: list[str]) -> list[Row]:
    """GET /wallet/assets: what the accounts' coins are called and how fine they are."""
    return [
        {
            "asset": major(coin),
            "currency": currency(coin),
            "majorCurrency": major(coin),
            "name": major(coin),
            "currencyType": "Crypto",
            "scale": wire.SCALES.get(coin, 8),
            "enabled": True,
            "isMarginCurrency": True,
            "memoRequired": False,
            "networks": [],
        }
        for coin in names
    ]
