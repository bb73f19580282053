"""Tables of what other platforms' bots and strategies need: ProfitView's venues and signal bots, Crypto Arsenal."""

from typing import Any, Final

from attrs import field, frozen
from attrs.validators import ge, gt, in_, le, optional

from mlthon.config.checks import some_text
from mlthon.engine.risk import RiskLimits

BOT_PREFIX: Final = "bot."
"""The strategy of `[bots.NAME]` is called `bot.NAME`."""


@frozen(kw_only=True)
class VenueConfig:
    """One account of ProfitView bots, `[venues.NAME]`; NAME is what bots call it.

    `src`: its exchange as the platform names it (`bitmex`, `coinbasepro`, `woo`, or another exchange's name in lower
    case). `account`: the account's name for keys and journal; None: NAME. `trade_on`: orders and market data are those
    of this exchange (`bybit`) instead, in its contracts that `symbols` names: `symbols = {XBTUSD = "BTCUSD"}`.
    `signed_positions`: whether `fetch_positions` gives `pos_size` its sign; the platform documents the size and `side`.
    None: as the bot reads it, without a sign if it looks at `side` too.
    """

    src: str
    account: str | None = None
    trade_on: str | None = None
    symbols: dict[str, str] = field(factory=dict)
    signed_positions: bool | None = None


@frozen(kw_only=True)
class LinkConfig:
    """What ProfitView bots of a run share, `[link]`.

    `subscribe`: the markets whose quotes and trades they hear, `src:symbol`; None: those that are found in the bot.
    `restart`: a bot that dies is started again, the first time after `restart_s`, then after twice as long each time.
    `cancel_on_exit`: the orders of a bot that ends or dies are cancelled. `backlog`: how many trades a market may have
    waiting for a slow bot before the oldest are dropped. `call_timeout_s`: how long a call waits for the exchange.
    `patience_s`: how long (of processor time) a bot may compute in a backtest without a wait before the run is ended.
    `nice`: how far the process of a bot steps back behind the engine where processor cores are short (nice(2)).
    """

    subscribe: list[str] | None = None
    restart: bool = False
    restart_s: float = field(default=1.0, validator=gt(0))
    cancel_on_exit: bool = True
    backlog: int = field(default=10_000, validator=ge(1))
    call_timeout_s: float = field(default=30.0, validator=gt(0))
    patience_s: float = field(default=60.0, validator=gt(0))
    nice: int = field(default=10, validator=[ge(0), le(19)])


@frozen(kw_only=True)
class BotConfig:
    """A bot that carries out the signals of ProfitView scripts, `[bots.NAME]`; its strategy is called `bot.NAME`.

    `type`: `position`, `neutral_grid`, `short_grid`, `long_grid` or `market_maker`. `venue`: one of `[venues.NAME]`,
    whose account it trades on. `symbol`: the one that it trades, as scripts name it. `name`: what it is shown as, NAME
    if left out. `params`: see docs/signal-bots.md; `defaults`: their values where `params` has none; `private`: those
    whose values `bots list` and `bots show` do not show. `enabled`: whether it trades. `signal_age_s`: how old its last
    signal may be for it to go on with it after a restart; None: as its type has it. `risk`: as of strategies.
    """

    type: str
    venue: str
    symbol: str
    name: str | None = None
    description: str = field(validator=some_text)
    params: dict[str, Any] = field(factory=dict)
    defaults: dict[str, Any] = field(factory=dict)
    private: list[str] = field(factory=list)
    enabled: bool = True
    signal_age_s: float | None = field(default=None, validator=optional(ge(0)))
    risk: RiskLimits = field(factory=RiskLimits)

    @property
    def effective(self) -> dict[str, Any]:
        """The parameters with their defaults."""
        return {**self.defaults, **self.params}

    @property
    def as_params(self) -> dict[str, Any]:
        """What its strategy gets as parameters: whether it is to trade, and how."""
        return {"enabled": self.enabled, "params": self.effective}


@frozen(kw_only=True)
class ArsenalConfig:
    """What Crypto Arsenal strategies and webhook signals of a run share, `[arsenal]`.

    `pairs`: what they trade, `exchange:PAIR` (`binance:BTC-USDT`), the first as theirs; None: what a strategy names, or
    the data are of. `signals`: `strategy`, where it has `on_tradingview_signal`, gets every signal; with `rules` the
    documented actions place orders and it gets the rest. `connector`: the name under which signals come; None: the
    strategy's. `candle_values`: of candles' prices, `float` or `text`. `state`: a backtest's storage is kept in this
    file; on paper and live there is always one, in the state folder. `open_percent`: what the percentage of an order
    that opens futures is of: `value`, the order is worth that share of the available money; `margin`, it takes that
    share of it as margin, so the leverage multiplies it. None: `value` for strategies, `margin` for signals carried
    out by the rules.
    """

    pairs: list[str] | None = None
    signals: str = field(default="strategy", validator=in_(("strategy", "rules")))
    connector: str | None = None
    candle_values: str = field(default="float", validator=in_(("float", "text")))
    state: str | None = None
    open_percent: str | None = field(default=None, validator=optional(in_(("value", "margin"))))
