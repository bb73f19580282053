"""Tables of the engine's own part of a run: exchanges, strategies, live trading, commands at set times."""

from typing import Any

from attrs import field, frozen
from attrs.validators import ge, gt, in_, optional

from mlthon.config.checks import a_url, duration, known_exchanges, known_zone, parse_duration
from mlthon.data.timing import FeedTiming
from mlthon.engine.risk import RiskLimits
from mlthon.exchange.config import ExchangeConfig


@frozen
class ErrorBudget:
    """A strategy whose callbacks raised `count` times within `window_s` seconds is stopped and its orders cancelled."""

    count: int = field(default=10, validator=ge(1))
    window_s: float = field(default=60.0, validator=gt(0))


@frozen
class ReportConfig:
    """`sample_s`: the seconds between two points of the equity curve, from which drawdown and Sharpe are computed."""

    sample_s: float = field(default=60.0, validator=gt(0))


@frozen(kw_only=True)
class EngineConfig:
    """The `[engine]` table.

    `timezone`: of daily callbacks; None is UTC in a backtest and the system's on paper. `stop_ack_timeout_s`: a
    strategy that has not said `send_stop_ack` that long after `on_stop` is taken to have said it. `data`: recordings
    and stores, relative to the configuration file. `timing`: how the recording's two clocks become feed latency.
    """

    seed: int = field(default=1, validator=ge(0))
    timezone: str | None = field(default=None, validator=known_zone)
    error_budget: ErrorBudget = field(factory=ErrorBudget)
    stop_ack_timeout_s: float = field(default=3.0, validator=gt(0))
    data: list[str] | None = None
    timing: FeedTiming = field(factory=FeedTiming)
    report: ReportConfig = field(factory=ReportConfig)


@frozen(kw_only=True)
class ExchangeLive:
    """How a live exchange is reached and used, `[exchanges.NAME.live]`.

    `environment`: `main`, `testnet`, `demo`, or whatever the exchange's module has. `url`: another host with the same
    paths, such as a local exchange. `feed_environment`: market data from elsewhere than where orders go (an exchange's
    demo environment has no market data of its own). `options`: of the exchange's gateway. `dead_man_s`: the exchange
    cancels all orders of the account when it has not heard of this program for so long; None: it does not. `depth`:
    levels a side of a book. `risk`: limits of each account on the exchange.
    """

    environment: str | None = None
    feed_environment: str | None = None
    url: str | None = field(default=None, validator=a_url)
    options: dict[str, Any] = field(factory=dict)
    dead_man_s: float | None = field(default=None, validator=optional(ge(10)))
    depth: int = field(default=50, validator=ge(1))
    risk: RiskLimits = field(factory=RiskLimits)


@frozen(kw_only=True)
class ExchangeSettings(ExchangeConfig):
    """One venue: the embedded exchange's own configuration, which instruments of it the run has (catalogue names, ids
    or the exchange's symbols; None means those of the data, or without data the whole catalogue), and how it is reached
    when the run is live."""

    instruments: list[str] | None = None
    live: ExchangeLive = field(factory=ExchangeLive)


@frozen(kw_only=True)
class StrategyConfig:
    """One strategy of a run.

    `strategy`: a module, `module:Class`, or a file (`my.py`, `my.py:Class`). `exchanges`: those it may see, None for
    all of the run's. `account`: the account of each exchange it trades on. `params`: what its constructor and
    `on_strat_params_update` get. `risk`: limits of this strategy in a live run, before those of `[live.risk]`.
    """

    strategy: str
    exchanges: list[str] | None = field(default=None, validator=known_exchanges)
    account: str = "main"
    params: dict[str, Any] = field(factory=dict)
    risk: RiskLimits = field(factory=RiskLimits)


@frozen(kw_only=True)
class LiveConfig:
    """The `[live]` table: what all exchanges of a live run share.

    `journal`: the journal's file; None: one in the state folder, named after the run's strategies. `durability`:
    `process` survives the death of this program, `power` the machine's. `cancel_on_stop`: whether a clean stop cancels
    the run's own orders. `secrets_file`: API keys, beside those of the environment. `guard`: whether a guard process
    watches the run; `heartbeat_s`: it cancels the run's orders when nothing was heard of the engine for so long.
    `reconcile_s`: how often orders and fills are compared with the exchange's. `yes_trade_real_money`: real hosts
    are allowed. `risk`: limits of each strategy, where its own table says nothing else.
    """

    journal: str | None = None
    durability: str = field(default="process", validator=in_(("process", "power")))
    cancel_on_stop: bool = True
    secrets_file: str | None = None
    guard: bool = True
    heartbeat_s: float = field(default=5.0, validator=gt(0))
    reconcile_s: float = field(default=300.0, validator=gt(0))
    yes_trade_real_money: bool = False
    risk: RiskLimits = field(factory=RiskLimits)

    def limits_of(self, own: RiskLimits | None) -> RiskLimits:
        """What a strategy may do: its own limits, and the common ones where it has none."""
        return self.risk if own is None else own.over(self.risk)


def _a_command(_: object, __: object, text: str) -> None:
    if not text.split():
        raise ValueError("a command needs a name, for instance status")


@frozen(kw_only=True)
class Command:
    """A command that a run gives by itself. `after`: how long after the start of the run (`90s`, `15m`, `1.5h`). `run`:
    the command and its words, as they would be typed. `strategy`: the name of the one it is for, None for all."""

    after: str = field(validator=duration)
    run: str = field(validator=_a_command)
    strategy: str | None = None

    @property
    def after_ns(self) -> int:
        """`after` in nanoseconds."""
        return parse_duration(self.after)
