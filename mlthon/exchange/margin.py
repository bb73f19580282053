"""Whether an account can afford an order, and whether it must be liquidated.

**Spot.** A buy holds its value and the fee in the quote currency, a sell holds the base coins.

**Derivatives, cross margin per settlement coin.** Equity is cash plus unrealised gains, a long valued at the bid and a
short at the ask (what closing it would give). A market takes up the larger of what the position and its buys would be
worth together, and what it and its sells would; all markets of a coin may take up at most equity x leverage. An order
that does not make its market take up more is always allowed.

**Liquidation** when equity is not above the maintenance margin (a share of the positions' value). To look after every
quote would cost more than everything else, so `review` gives each of n positions the n-th part of what is above the
maintenance margin and computes how far its price may go against it before that part is used up. While no price has gone
so far, the sum cannot be used up either; when one has, the account is reviewed and the bounds are set anew. So
liquidation is exact, and quotes in between cost two comparisons (`market.py`).
"""

from typing import TYPE_CHECKING

from mlthon.basics.defs import TIF, CancelCode, ExecInstructions, OrderType
from mlthon.basics.money import UNIT, ratio
from mlthon.engine.faces import NO_ASK, NO_BID
from mlthon.exchange.book import AccountOrder

if TYPE_CHECKING:
    from mlthon.exchange.account import Account, Stake
    from mlthon.exchange.matching import Matching

NEVER_LOW = NO_BID - 1
NEVER_HIGH = NO_ASK + 1


class Closing:
    """The request by which a liquidation closes a position: what `AccountOrder` wants of a `TrackedOrder`."""

    __slots__ = (
        "close_position",
        "exec_instr",
        "order_type",
        "price",
        "qty",
        "side",
        "stop_price",
        "tif",
        "wire_id",
    )

    def __init__(self, wire_id: str, side: int, qty: int) -> None:
        self.wire_id = wire_id
        self.side = side
        self.qty = qty
        self.price = 0
        self.stop_price: int | None = None
        self.order_type = OrderType.Market
        self.tif = TIF.IOC
        self.exec_instr = ExecInstructions.Unset
        self.close_position = True


class MarginRules:
    """The exchange's margin parameters as exact numbers (10^-18)."""

    __slots__ = ("leverage", "liquidation_fee", "maintenance")

    def __init__(self, leverage: int, maintenance: int, liquidation_fee: int) -> None:
        self.leverage = leverage
        self.maintenance = maintenance
        self.liquidation_fee = liquidation_fee


def taken_up(stake: "Stake", buys: int, sells: int) -> int:
    """The value that a derivative market takes up with these reserves."""
    cost = stake.position.cost
    return max(cost + buys, sells - cost)


def shortage(stake: "Stake", order: AccountOrder, market: "Matching", lots: int) -> tuple[int, int, str] | None:
    """Set what each of `lots` of the order reserves; what is needed, what is there, and the coin, if not enough."""
    # a market order reserves at the worst price it would reach now
    price = market.worst_price(order.side, lots) if order.is_market else order.price
    if price is None:
        order.reserve = 0
        return None
    contract = stake.contract
    unit = contract.unit_value(price)
    if contract.spot:
        return _spot_shortage(stake, order, market, lots, unit)
    order.reserve = 0 if order.reduce_only else unit
    if order.reduce_only:
        return None
    buys, sells = stake.buys, stake.sells
    before = taken_up(stake, buys, sells)
    if order.side > 0:
        buys += lots * unit
    else:
        sells += lots * unit
    after = taken_up(stake, buys, sells)
    if after <= before:
        return None
    coin = contract.coin
    equity = 0
    others = 0
    for other in stake.account.stakes.values():
        if other.contract.coin != coin or other.contract.spot:
            continue
        if other.position.lots:
            equity += other.position.unrealised(other.market.mark_value(other.position))
        if other is not stake:
            others += taken_up(other, other.buys, other.sells)
    equity += stake.account.available(coin)
    leverage = market.margin.leverage
    if (others + after) * UNIT <= equity * leverage:
        return None
    return ratio((after - before) * UNIT, leverage), equity - ratio((others + before) * UNIT, leverage), coin


def _spot_shortage(
    stake: "Stake", order: AccountOrder, market: "Matching", lots: int, unit: int
) -> tuple[int, int, str] | None:
    contract = stake.contract
    if order.side > 0:
        rate = max(market.maker_fee, market.taker_fee, 0)
        # one unit more: the fee of a whole fill is rounded, those of its lots together never are less
        order.reserve = unit + (unit * rate) // UNIT + 1
        coin = contract.quote
    else:
        order.reserve = contract.lot_units
        coin = contract.base
    needed = lots * order.reserve
    there = stake.account.available(coin)
    return None if needed <= there else (needed, there, coin)


def review(account: "Account") -> None:
    """Liquidate what must be, and set the bounds until which no further look is needed."""
    if len(account.stakes) == 1:
        # the usual case, without the grouping
        (stake,) = account.stakes.values()
        if stake.position.lots and not stake.contract.spot:
            _review_coin(account, stake.contract.coin, [stake])
        elif stake in stake.market.at_risk:
            _unbound(stake)
        return
    coins: dict[str, list[Stake]] = {}
    for stake in account.stakes.values():
        contract = stake.contract
        if stake.position.lots and not contract.spot:
            if contract.coin in coins:
                coins[contract.coin].append(stake)
            else:
                coins[contract.coin] = [stake]
        elif stake in stake.market.at_risk:
            _unbound(stake)
    for coin, stakes in coins.items():
        _review_coin(account, coin, stakes)


def _review_coin(account: "Account", coin: str, stakes: "list[Stake]") -> None:
    units = [stake.market.mark_value(stake.position) for stake in stakes]
    headroom = headroom_of(account, coin, stakes, units)
    if headroom <= 0:
        _liquidate(account, coin, stakes)
        return
    share = headroom // len(stakes)
    for stake, unit in zip(stakes, units, strict=True):
        _bound(stake, unit, share)


def headroom_of(account: "Account", coin: str, stakes: "list[Stake]", units: list[int]) -> int:
    """Equity less maintenance margin, with the positions at these values a lot."""
    headroom = account.available(coin)
    value = 0
    for stake, unit in zip(stakes, units, strict=True):
        headroom += stake.position.unrealised(unit)
        value += abs(stake.position.lots) * unit
    # rounded up
    return headroom + -value * stakes[0].market.margin.maintenance // UNIT


def reach(stake: "Stake", unit: int, share: int) -> int | None:
    """How far (a price in ticks) the market may go against the position, at `unit` a lot now, before that costs
    `share`; None when it never does."""
    lots = abs(stake.position.lots)
    contract = stake.contract
    if (stake.position.lots > 0) == (contract.direction < 0):
        # it loses as the value of a lot rises, and the maintenance margin grows with it
        worth = unit + share * UNIT // (lots * (UNIT + stake.market.margin.maintenance))
    else:
        worth = unit - share // lots
    return contract.price_at(worth) if worth > 0 else None


def liquidation_price(stake: "Stake") -> int | None:
    """The price in ticks, to the maintenance margin's change on the way, at which the position's account is liquidated
    if no other price moves; None when there is none."""
    coin = stake.contract.coin
    if not stake.position.lots or stake.contract.spot:
        return None
    stakes = [
        each
        for each in stake.account.stakes.values()
        if each.position.lots and each.contract.coin == coin and not each.contract.spot
    ]
    units = [each.market.mark_value(each.position) for each in stakes]
    headroom = headroom_of(stake.account, coin, stakes, units)
    return reach(stake, stake.market.mark_value(stake.position), max(0, headroom))


def _unbound(stake: "Stake") -> None:
    stake.liquidation_low = NEVER_LOW
    stake.liquidation_high = NEVER_HIGH
    stake.market.at_risk.pop(stake, None)
    stake.market.rebound()


def _bound(stake: "Stake", unit: int, share: int) -> None:
    """How far the price may go against the position while that uses less than `share`."""
    market = stake.market
    long = stake.position.lots > 0
    low, high = NEVER_LOW, NEVER_HIGH
    if (market.bid == NO_BID) if long else (market.ask == NO_ASK):
        # valued at a price that is not the touch: look every time
        low, high = NEVER_HIGH, NEVER_LOW
    else:
        price = reach(stake, unit, share)
        # one tick early: prices are rounded down, values of inverse lots to the nearest
        if price is not None and long:
            low = price + 1
        elif price is not None:
            high = price - 1
    if low != stake.liquidation_low or high != stake.liquidation_high or stake not in market.at_risk:
        stake.liquidation_low = low
        stake.liquidation_high = high
        market.at_risk[stake] = None
        market.rebound()


def _liquidate(account: "Account", coin: str, stakes: "list[Stake]") -> None:
    """Cancel the account's orders that use the coin and close its positions at the market."""
    reason = f"{account.name} is liquidated: its {coin} equity is not above the maintenance margin"
    for stake in list(account.stakes.values()):
        if stake.contract.coin == coin:
            for order in list(stake.orders.values()):
                stake.market.end(order, True, CancelCode.Liquidation, reason)
    for stake in stakes:
        # what the market cannot take now is tried again at every event
        stake.liquidation_low, stake.liquidation_high = NEVER_HIGH, NEVER_LOW
        stake.market.at_risk[stake] = None
        lots = stake.position.lots
        side = -1 if lots > 0 else 1
        stake.market.sync()
        if not stake.market.reachable(side, NO_ASK if side > 0 else NO_BID, 1, None)[0]:
            stake.market.rebound()
            continue
        account.liquidations += 1
        closing = Closing(f"liquidation-{account.name}-{account.liquidations}", side, abs(lots))
        stake.market.close_out(stake, closing)
        stake.market.rebound()
