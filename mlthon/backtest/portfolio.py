"""What the accounts of a run hold and what they have made, read from the embedded exchanges.

Profit is counted per instrument in the coin it settles in: what trading realised, what is still open at the market's
price, less fees, plus funding. Of a spot instrument too: the coins bought count at the market's price, so buying is no
loss. Nothing is converted between coins.
"""

from collections.abc import Iterable

from mlthon.backtest.assembly import Assembly
from mlthon.backtest.result import Amounts, Holding
from mlthon.basics.money import parse
from mlthon.exchange.account import Stake


def holdings_of(assembly: Assembly) -> tuple[Holding, ...]:
    """One holding for each instrument that an account has traded, in the order of exchanges and accounts."""
    return tuple(
        _holding(account, stake)
        for exchange, account in assembly.accounts
        for stake in assembly.exchanges[exchange].account(account).stakes.values()
    )


def _holding(account: str, stake: Stake) -> Holding:
    position, contract = stake.position, stake.contract
    instrument = stake.market.instrument
    mark = stake.market.mark
    open_gain = 0 if mark is None else position.unrealised(contract.unit_value(mark))
    return Holding(
        instrument=instrument.name,
        account=account,
        coin=contract.coin,
        position=position.lots * contract.lot_units,
        entry=parse(position.entry_price) if position.lots else None,
        mark=None if mark is None else mark * instrument.price_scale.step_units,
        realised=position.realised,
        unrealised=open_gain,
        fees=position.fees,
        funding=position.funding,
        liquidations=stake.account.liquidations,
    )


def deposits_of(assembly: Assembly) -> Amounts:
    """What the accounts that strategies trade on started with, by coin."""
    given: dict[str, int] = {}
    for exchange, account in assembly.accounts:
        for coin, amount in assembly.exchanges[exchange].account(account).deposits.items():
            given[coin] = given.get(coin, 0) + amount
    return given


def profit(holdings: Iterable[Holding]) -> Amounts:
    """The profit of all holdings, by coin."""
    made: dict[str, int] = {}
    for each in holdings:
        made[each.coin] = made.get(each.coin, 0) + each.pnl
    return made


def positions(holdings: Iterable[Holding]) -> Amounts:
    """The positions by instrument name, accounts added up."""
    held: dict[str, int] = {}
    for each in holdings:
        held[each.instrument] = held.get(each.instrument, 0) + each.position
    return held
