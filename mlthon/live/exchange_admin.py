"""The admin endpoint of a local exchange, `/admin/...`: look into it, and disturb it.

GET: `status`, `accounts`, `account?name=`, `book?symbol=&levels=`, `view?symbol=` (everything at a glance, bounded).
POST with a JSON object: `price` {symbol, price}, `halt` {reason}, `resume`, `disconnect`, `fault` {kind, count, path,
status, delay_ms}, `clear-faults`. Where two markets share a symbol, catalogue names (`byt:spot:btc-usdt`) tell them
apart. No answer holds a secret.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from attrs import field, frozen

from mlthon.basics.money import to_str
from mlthon.basics.scale import NotOnStep
from mlthon.exchange.served.account import ServedAccount
from mlthon.exchange.served.exchange import ServedExchange
from mlthon.exchange.served.faults import Fault, FaultyDialect
from mlthon.exchange.served.market import ServedMarket
from mlthon.live.exchange_market import MarketPlayer
from mlthon.live.exchange_page import Traffic, look

Answer = tuple[int, dict[str, Any]]


class AdminError(ValueError):
    """A request that cannot be carried out; the text says why."""


@frozen
class Admin:
    """What the admin endpoint works on. `disconnect` closes every websocket and says how many; `clients` says how many
    there are and how many messages were dropped."""

    served: ServedExchange
    faults: FaultyDialect
    player: MarketPlayer
    disconnect: Callable[[], int]
    clients: Callable[[], dict[str, int]]
    traffic: Traffic = field(factory=Traffic)

    def answer(self, method: str, name: str, params: Mapping[str, str], body: bytes) -> Answer:
        """HTTP status and JSON object of a request to `/admin/NAME`."""
        try:
            if method == "GET" and name in _GET:
                return 200, _GET[name](self, params)
            if method == "POST" and name in _POST:
                return 200, _POST[name](self, _object(body))
        except AdminError as error:
            return 400, {"error": str(error)}
        known = f"GET {', '.join(_GET)}; POST {', '.join(_POST)}"
        return 404, {"error": f"there is no {method} /admin/{name}; there are {known}"}

    # -- looking -----------------------------------------------------------------------------------------------------

    def _status(self, params: Mapping[str, str]) -> dict[str, Any]:
        return {
            "exchange": self.served.exchange.name,
            "time_ns": self.served.clock.now,
            "halted": self.served.halted,
            "markets": [instrument.name for instrument in self.served.markets],
            "synthetic": [instrument.name for instrument in self.player.flows],
            "faults": [{"kind": fault.kind, "path": fault.path, "left": left} for fault, left in self.faults.pending],
            **self.clients(),
        }

    def _accounts(self, params: Mapping[str, str]) -> dict[str, Any]:
        return {
            name: {
                "keys": [key.key for key in self.served.keys.values() if key.account is account],
                "balances": {coin: to_str(account.coin(coin).cash) for coin in account.coins()},
                "open_orders": sum(1 for _ in account.open_orders()),
                "executions": len(account.executions),
            }
            for name, account in self.served.accounts.items()
        }

    def _account(self, params: Mapping[str, str]) -> dict[str, Any]:
        name = params.get("name", "main")
        account = self.served.accounts.get(name)
        if account is None:
            raise AdminError(f"there is no account {name!r}; there are {', '.join(self.served.accounts)}")
        return dump(account)

    def _book(self, params: Mapping[str, str]) -> dict[str, Any]:
        market = self._market(params.get("symbol", ""))
        count = params.get("levels", "20")
        if not count.isdecimal():
            raise AdminError(f"levels: {count!r} is no whole number")
        return {
            "instrument": market.instrument.name,
            "seq": market.seq,
            **{
                name: [
                    [to_str(market.price_units(price)), to_str(market.qty_units(qty))]
                    for price, qty in market.levels(side, int(count))
                ]
                for name, side in (("bids", 1), ("asks", -1))
            },
        }

    def view(self, params: Mapping[str, str]) -> dict[str, Any]:
        """Everything at a glance, of one market the book and trades. Raises AdminError for a market there is not."""
        symbol = params.get("symbol", "")
        market = self._market(symbol) if symbol else next(iter(self.served.markets.values()))
        return look(self.served, self.faults, market, self.traffic, self.clients())

    # -- disturbing --------------------------------------------------------------------------------------------------

    def _price(self, body: dict[str, Any]) -> dict[str, Any]:
        market = self._market(str(body.get("symbol", "")))
        try:
            ticks = market.instrument.price_scale.steps(str(body.get("price", "")))
        except (NotOnStep, ValueError, TypeError) as error:
            raise AdminError(f"price: {error}") from None
        if ticks < 1:
            raise AdminError(f"price: {body.get('price')} is not above 0")
        if not self.player.set_price(market.instrument, ticks):
            raise AdminError(f"{market.instrument.name} plays a recording, whose price cannot be set")
        return {"instrument": market.instrument.name, "price": to_str(market.price_units(ticks))}

    def _halt(self, body: dict[str, Any]) -> dict[str, Any]:
        self.served.halt(str(body.get("reason") or "trading is halted"))
        return {"halted": self.served.halted}

    def _resume(self, body: dict[str, Any]) -> dict[str, Any]:
        self.served.resume()
        return {"halted": ""}

    def _disconnect(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"closed": self.disconnect()}

    def _fault(self, body: dict[str, Any]) -> dict[str, Any]:
        known = {"kind": str, "count": int, "path": str, "status": int, "delay_ms": int}
        for name, value in body.items():
            if name not in known or not isinstance(value, known[name]) or isinstance(value, bool):
                raise AdminError(f"{name}: {value!r} will not do; a fault has {', '.join(known)}")
        try:
            self.faults.inject(Fault(**{"kind": "", **body}))
        except ValueError as error:
            raise AdminError(str(error)) from None
        return {"pending": len(self.faults.pending)}

    def _clear_faults(self, body: dict[str, Any]) -> dict[str, Any]:
        self.faults.pending.clear()
        return {"pending": 0}

    def _market(self, symbol: str) -> ServedMarket:
        for instrument, market in self.served.markets.items():
            if symbol in (instrument.name, instrument.symbol):
                return market
        names = ", ".join(instrument.name for instrument in self.served.markets)
        raise AdminError(f"there is no market {symbol!r}; there are {names}")


def dump(account: ServedAccount) -> dict[str, Any]:
    """Everything of an account: what a test compares its own books with. Amounts as exact text."""
    orders = sorted([*account.history, *account.open_orders()], key=lambda order: order.number)
    return {
        "name": account.name,
        "balances": {coin: to_str(account.coin(coin).cash) for coin in account.coins()},
        "positions": {
            instrument.name: to_str(view.lots * instrument.qty_scale.step_units)
            for instrument in account.exchange.markets
            if (view := account.position(instrument)).lots
        },
        "orders": [
            {
                "order_id": order.order_id,
                "client_id": order.client_id,
                "instrument": order.instrument.name,
                "side": order.side,
                "status": order.status.name,
                "price": to_str(order.price * order.instrument.price_scale.step_units),
                "qty": to_str(order.qty * order.instrument.qty_scale.step_units),
                "filled": to_str(order.filled * order.instrument.qty_scale.step_units),
                "reason": order.reason,
            }
            for order in orders
        ],
        "executions": [
            {
                "exec_id": each.exec_id,
                "order_id": each.order.order_id,
                "client_id": each.order.client_id,
                "instrument": each.order.instrument.name,
                "side": each.order.side,
                "price": to_str(each.price * each.order.instrument.price_scale.step_units),
                "qty": to_str(each.qty * each.order.instrument.qty_scale.step_units),
                "fee": to_str(each.fee),
                "fee_coin": each.fee_coin,
                "maker": each.maker,
                "ts": each.ts,
            }
            for each in account.executions
        ],
    }


def _object(body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    try:
        found = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise AdminError(f"the body is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise AdminError("the body is no JSON object")
    return found


_GET = {
    "status": Admin._status,
    "accounts": Admin._accounts,
    "account": Admin._account,
    "book": Admin._book,
    "view": Admin.view,
}
_POST = {
    "price": Admin._price,
    "halt": Admin._halt,
    "resume": Admin._resume,
    "disconnect": Admin._disconnect,
    "fault": Admin._fault,
    "clear-faults": Admin._clear_faults,
}
