"""A local exchange at a glance: what the page at `/`, its text for terminals, and `--view` show.

`look` gives one market's book and trades, accounts, orders, faults and traffic as plain data; each list has a bound,
so that looking costs the same however long the server runs. `as_text` writes the same for a terminal; `HTML` is the
page, which asks for the data every second and needs nothing but itself.
"""

from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.resources import files
from itertools import islice
from typing import Any, Final

from mlthon.basics.money import to_str
from mlthon.engine.clock import SECOND
from mlthon.exchange.served.account import ServedAccount
from mlthon.exchange.served.exchange import ServedExchange
from mlthon.exchange.served.faults import FaultyDialect
from mlthon.exchange.served.market import ServedMarket
from mlthon.exchange.served.records import ServedOrder

LEVELS: Final = 12
TRADES: Final = 15
ACCOUNTS: Final = 10
ORDERS: Final = 20
"""Of an account: the open ones, and as many that are over as there is room for."""
STRIKES: Final = 10
MARKETS: Final = 100
RATE_S: Final = 10
"""Requests a second are the mean of so many seconds."""
HTML: Final = files("mlthon.live").joinpath("exchange_page.html").read_text("utf-8")


class Traffic:
    """How many requests (over HTTP, and messages of websocket clients) there were, and how many a second of late."""

    def __init__(self) -> None:
        self.total = 0
        self._seconds: deque[tuple[int, int]] = deque(maxlen=RATE_S + 1)

    def count(self, now: int) -> None:
        """One more at `now` (ns)."""
        self.total += 1
        second = now // SECOND
        if self._seconds and self._seconds[-1][0] == second:
            self._seconds[-1] = second, self._seconds[-1][1] + 1
        else:
            self._seconds.append((second, 1))

    def rate(self, now: int) -> float:
        """The mean of the last ten whole seconds."""
        second = now // SECOND
        return sum(count for at, count in self._seconds if second - RATE_S <= at < second) / RATE_S


def look(
    served: ServedExchange, faults: FaultyDialect, market: ServedMarket, traffic: Traffic, clients: dict[str, int]
) -> dict[str, Any]:
    """What there is to see at this moment; amounts as exact text, times in ms."""
    now = served.clock.now
    return {
        "exchange": served.exchange.name,
        "time_ms": now // 1_000_000,
        "halted": served.halted,
        "requests": traffic.total,
        "requests_per_s": round(traffic.rate(now), 1),
        **clients,
        "markets": [instrument.name for instrument in islice(served.markets, MARKETS)],
        "market": _market(market),
        "accounts": [_account(account) for account in islice(served.accounts.values(), ACCOUNTS)],
        "more_accounts": max(0, len(served.accounts) - ACCOUNTS),
        "faults": {
            "schedule": [rule.text for rule in getattr(faults.plan, "rules", ())],
            "waiting": [f"{fault.kind} x {left} {fault.path}" for fault, left in islice(faults.pending, STRIKES)],
            "struck": [
                {"time_ms": strike.ts // 1_000_000, "text": strike.text}
                for strike in islice(reversed(faults.struck), STRIKES)
            ],
        },
    }


def _market(market: ServedMarket) -> dict[str, Any]:
    def levels(side: int) -> list[list[str]]:
        rows = market.levels(side, LEVELS)
        return [[to_str(market.price_units(price)), to_str(market.qty_units(qty))] for price, qty in rows]

    return {
        "instrument": market.instrument.name,
        "symbol": market.instrument.symbol,
        "bids": levels(1),
        "asks": levels(-1),
        "trades": [
            {
                "time_ms": trade.ts // 1_000_000,
                "side": trade.side,
                "price": to_str(market.price_units(trade.price)),
                "qty": to_str(market.qty_units(trade.qty)),
            }
            for trade in islice(reversed(market.trades), TRADES)
        ],
    }


def _account(account: ServedAccount) -> dict[str, Any]:
    opened = list(account.open_orders())
    # the newest first
    shown = opened[::-1][:ORDERS]
    shown += islice(reversed(account.history), ORDERS - len(shown))
    return {
        "name": account.name,
        "balances": {coin: to_str(account.coin(coin).equity) for coin in account.coins()},
        "positions": [
            {
                "instrument": instrument.name,
                "qty": to_str(view.lots * instrument.qty_scale.step_units),
                "unrealised": to_str(view.unrealised),
            }
            for instrument in islice(account.exchange.markets, MARKETS)
            if (view := account.position(instrument)).lots
        ],
        "open": len(opened),
        "executions": len(account.executions),
        "orders": [_order(order) for order in shown],
    }


def _order(order: ServedOrder) -> dict[str, Any]:
    instrument = order.instrument
    lot = instrument.qty_scale.step_units
    return {
        "id": order.client_id or order.order_id,
        "symbol": instrument.symbol,
        "side": order.side,
        "type": order.order_type.name,
        "status": order.status.name,
        "price": to_str(order.price * instrument.price_scale.step_units),
        "qty": to_str(order.qty * lot),
        "filled": to_str(order.filled * lot),
    }


# -- for terminals -----------------------------------------------------------------------------------------------------


def as_text(seen: dict[str, Any]) -> str:
    """The same in lines of text."""
    state = f"HALTED: {seen['halted']}" if seen["halted"] else "open"
    head = f"{seen['exchange']}  {_time(seen['time_ms'])} UTC  {state}  {seen['requests_per_s']:g} requests/s  "
    lines = [head + f"{seen.get('websockets', 0)} websockets  {seen.get('dropped', 0)} messages dropped", ""]
    lines += _side_by_side(_book_lines(seen["market"]), _trade_lines(seen["market"]))
    for account in seen["accounts"]:
        lines += ["", *_account_lines(account)]
    if seen["more_accounts"]:
        lines += ["", f"and {seen['more_accounts']} more accounts"]
    faults = seen["faults"]
    if any(faults.values()):
        lines += ["", f"faults  {', '.join(faults['schedule'] + faults['waiting']) or 'none to come'}"]
        lines += [f"  {_time(strike['time_ms'])}  {_plain(strike['text'])}" for strike in faults["struck"]]
    return "\n".join(lines) + "\n"


def _book_lines(market: dict[str, Any]) -> list[str]:
    rows = [("ask", *level) for level in reversed(market["asks"])] + [("bid", *level) for level in market["bids"]]
    return [market["instrument"], *(f"  {side} {price:>12} {qty:>14}" for side, price, qty in rows)]


def _trade_lines(market: dict[str, Any]) -> list[str]:
    return [
        "trades",
        *(
            f"  {_time(each['time_ms'])} {_side(each['side']):4} {each['price']:>12} {each['qty']:>12}"
            for each in market["trades"]
        ),
    ]


def _account_lines(account: dict[str, Any]) -> list[str]:
    amounts = "  ".join(f"{coin} {amount}" for coin, amount in account["balances"].items())
    lines = [f"account {account['name']}  {amounts}  {account['open']} open orders, {account['executions']} executions"]
    lines += [
        f"  position {each['instrument']} {each['qty']}  unrealised {each['unrealised']}"
        for each in account["positions"]
    ]
    for each in account["orders"]:
        done = f"{each['filled']}/{each['qty']}"
        where = f"{each['symbol']:10} {_side(each['side']):4} {each['type']:10} {done:>16} @ {each['price']:>12}"
        lines.append(f"  {each['status']:15} {where}  {_plain(each['id'])}")
    return lines


def _side_by_side(left: Sequence[str], right: Sequence[str]) -> list[str]:
    width = max(map(len, left)) + 4
    count = max(len(left), len(right))
    padded = [[*column, *[""] * (count - len(column))] for column in (left, right)]
    return [f"{one:{width}}{other}".rstrip() for one, other in zip(*padded, strict=True)]


def _time(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%H:%M:%S}"


def _side(side: int) -> str:
    return {1: "buy", -1: "sell"}.get(side, "")


def _plain(text: str) -> str:
    """What a client chose, without what would steer a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:80]
