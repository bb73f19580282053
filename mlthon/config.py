"""What a run is configured with: frozen classes, read from a TOML file and from `KEY=VALUE` settings.

    [engine]                  # seed, time zone, error budget, feed timing, data: `EngineConfig`
    [exchanges.NAME]          # one a venue, NAME as in `mlthon.basics.defs.Exchange`: `ExchangeSettings`
    [params]                  # the parameters of the one strategy that the command line names
    [strategies.NAME]         # or several strategies in one engine: `StrategyConfig`
    [strategies.NAME.params]
    [live]                    # journal, secrets, stop: what all exchanges of a live run share: `LiveConfig`
    [venues.NAME]             # an account as ProfitView bots name it: `VenueConfig`
    [link]                    # what such bots are subscribed to, and how they are kept: `LinkConfig`
    [arsenal]                 # what Crypto Arsenal strategies and webhook signals trade: `ArsenalConfig`
    [bots.NAME]               # a bot that carries out what scripts signal: `BotConfig`
    [bots.NAME.params]
    [web]                     # the web server of webhooks and streams: `WebConfig`
    [web.alerts.NAME]         # an alert from outside that calls a strategy's command: `AlertConfig`
    [[commands]]              # what is typed at a time of the run, as its owner would: `Command`
    [ops]                     # where the files of operations lie: `OpsConfig`
    [telegram]                # commands and messages by Telegram: `TelegramConfig`
    [telegram.chats]

A setting (`--set`) beats the file. Its key is `engine.…`, `exchanges.NAME.…` or `NAME.…` (a parameter of the strategy
that has its own table), and otherwise a parameter of the single strategy. Its value is a TOML value, and where it is
none, the text itself.

Whatever is wrong is a `UserError` that names the file or setting, the key, what is allowed there and what was meant.
`mlthon.structure` does the reading; here stand the classes and where each key belongs.
"""

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo, available_timezones

from attrs import evolve, field, fields, frozen
from attrs.validators import ge, gt, in_, le, optional

from mlthon.basics.defs import Exchange
from mlthon.data.timing import FeedTiming
from mlthon.engine.risk import RiskLimits
from mlthon.errors import UserError, near
from mlthon.exchange.config import ExchangeConfig
from mlthon.structure import Fault, KeyPath, Tree, faults, parse_setting, read_toml, structure

PARAMS: Final = "params"
STRATEGIES: Final = "strategies"
RESERVED: Final = (
    "engine",
    "exchanges",
    STRATEGIES,
    PARAMS,
    "live",
    "commands",
    "venues",
    "link",
    "bots",
    "arsenal",
    "ops",
    "telegram",
    "web",
)
"""What stands at the top of a configuration file; no strategy can bear one of these names."""


def _known_zone(_: object, __: object, name: str | None) -> None:
    if name is None:
        return
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone{near(name, available_timezones())}") from None


def _known_exchanges(_: object, __: object, names: Any) -> None:
    for name in names or ():
        if name not in Exchange.__members__:
            known = near(name, Exchange.__members__) or f"; there are {', '.join(Exchange.__members__)}"
            raise ValueError(f"{name!r} is no exchange{known}")


def _usable_names(_: object, __: object, strategies: Mapping[str, object]) -> None:
    for name in strategies:
        if name in RESERVED or not name or "." in name:
            raise ValueError(f"a strategy cannot be named {name!r}")


def _a_url(_: object, __: object, url: str | None) -> None:
    if url is not None and not re.fullmatch(r"https?://[^/\s@?#]+(/[^\s?#]*)?", url):
        raise ValueError(f"{url!r} is no base URL; write it like http://127.0.0.1:8080")


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
    url: str | None = field(default=None, validator=_a_url)
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

    def limits_of(self, strategy: "StrategyConfig | BotConfig | None") -> RiskLimits:
        """What a strategy may do: its own limits, and the common ones where it has none."""
        return self.risk if strategy is None else strategy.risk.over(self.risk)


@frozen(kw_only=True)
class StrategyConfig:
    """One strategy of a run.

    `strategy`: a module, `module:Class`, or a file (`my.py`, `my.py:Class`). `exchanges`: those it may see, None for
    all of the run's. `account`: the account of each exchange it trades on. `params`: what its constructor and
    `on_strat_params_update` get. `risk`: limits of this strategy in a live run, before those of `[live.risk]`.
    """

    strategy: str
    exchanges: list[str] | None = field(default=None, validator=_known_exchanges)
    account: str = "main"
    params: dict[str, Any] = field(factory=dict)
    risk: RiskLimits = field(factory=RiskLimits)


_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNITS_NS: Final = {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86_400 * 10**9}


def parse_duration(text: str) -> int:
    """`90s`, `15m`, `1.5h`, `1d12h` in ns. Raises ValueError."""
    plain = text.strip().lower()
    parts = _DURATION.findall(plain)
    if not parts or "".join(number + unit for number, unit in parts) != plain:
        raise ValueError(f"{text!r} is no duration; write it like 90s, 15m, 1h, 2d or 1h30m")
    return sum(int(Decimal(number) * _UNITS_NS[unit]) for number, unit in parts)


def _a_duration(_: object, __: object, text: str) -> None:
    parse_duration(text)


def _a_command(_: object, __: object, text: str) -> None:
    if not text.split():
        raise ValueError("a command needs a name, for instance status")


@frozen(kw_only=True)
class Command:
    """A command that a run gives by itself. `after`: how long after the start of the run (`90s`, `15m`, `1.5h`). `run`:
    the command and its words, as they would be typed. `strategy`: the name of the one it is for, None for all."""

    after: str = field(validator=_a_duration)
    run: str = field(validator=_a_command)
    strategy: str | None = None

    @property
    def after_ns(self) -> int:
        """`after` in nanoseconds."""
        return parse_duration(self.after)


@frozen(kw_only=True)
class VenueConfig:
    """One account of ProfitView bots, `[venues.NAME]`; NAME is what bots call it.

    `src`: its exchange as the platform names it (`bitmex`, `coinbasepro`, `woo`, or another exchange's name in lower
    case). `account`: the account's name for keys and journal; None: NAME. `trade_on`: orders and market data are those
    of this exchange (`bybit`) instead, in its contracts that `symbols` names: `symbols = {XBTUSD = "BTCUSD"}`.
    `signed_positions`: `fetch_positions` gives `pos_size` its sign; the platform gives the size and `side`.
    """

    src: str
    account: str | None = None
    trade_on: str | None = None
    symbols: dict[str, str] = field(factory=dict)
    signed_positions: bool = False


@frozen(kw_only=True)
class LinkConfig:
    """What ProfitView bots of a run share, `[link]`.

    `subscribe`: the markets whose quotes and trades they hear, `src:symbol`; None: those that are found in the bot.
    `restart`: a bot that dies is started again, the first time after `restart_s`, then after twice as long each time.
    `cancel_on_exit`: the orders of a bot that ends or dies are cancelled. `backlog`: how many trades a market may have
    waiting for a slow bot before the oldest are dropped. `call_timeout_s`: how long a call waits for the exchange.
    `patience_s`: how long (of processor time) a bot may compute in a backtest without a wait before the run is ended.
    """

    subscribe: list[str] | None = None
    restart: bool = False
    restart_s: float = field(default=1.0, validator=gt(0))
    cancel_on_exit: bool = True
    backlog: int = field(default=10_000, validator=ge(1))
    call_timeout_s: float = field(default=30.0, validator=gt(0))
    patience_s: float = field(default=60.0, validator=gt(0))


@frozen(kw_only=True)
class OpsConfig:
    """What operating a run needs, `[ops]`. `state`: the state folder, where the control socket, the audit log and what
    waits for Telegram lie; None: the usual one, where journals are too."""

    state: str | None = None


TELEGRAM_URL: Final = "https://api.telegram.org"


@frozen(kw_only=True)
class TelegramConfig:
    """Commands from and messages to Telegram, `[telegram]`; it is there where this table is.

    `chat`: the owner's chat, where alerts go, and the messages of strategies that have no chat of their own in `chats`.
    `users`: who may give commands, in private and in these chats; whoever a private chat of these belongs to may too.
    `base_url`: another Bot API server. `stale_s`: commands older than this are not carried out. `confirm_s`: how long
    `/kill` waits for its confirmation. `poll_s`: how long one question for new messages stays open.
    """

    enabled: bool = True
    chat: int
    chats: dict[str, int] = field(factory=dict)
    users: list[int] = field(factory=list)
    base_url: str = field(default=TELEGRAM_URL, validator=_a_url)
    stale_s: float = field(default=180.0, validator=gt(0))
    confirm_s: float = field(default=60.0, validator=gt(0))
    poll_s: int = field(default=25, validator=[ge(0), le(50)])


def _some_text(_: object, __: object, text: str) -> None:
    if not text.strip():
        raise ValueError("needs a text that says something")


@frozen(kw_only=True)
class BotConfig:
    """A bot that carries out the signals of ProfitView scripts, `[bots.NAME]`; its strategy is called `bot.NAME`.

    `type`: `position`, `neutral_grid`, `short_grid`, `long_grid` or `market_maker`. `venue`: one of `[venues.NAME]`,
    whose account it trades on. `symbol`: the one that it trades, as scripts name it. `name`: what it is shown as, NAME
    if left out. `params`: see docs/signal-bots.md; `defaults`: their values where `params` has none; `private`: those
    whose values `bots list` and `bots show` do not show. `enabled`: whether it trades. `risk`: as of strategies.
    """

    type: str
    venue: str
    symbol: str
    name: str | None = None
    description: str = field(validator=_some_text)
    params: dict[str, Any] = field(factory=dict)
    defaults: dict[str, Any] = field(factory=dict)
    private: list[str] = field(factory=list)
    enabled: bool = True
    risk: RiskLimits = field(factory=RiskLimits)

    @property
    def effective(self) -> dict[str, Any]:
        """The parameters with their defaults."""
        return {**self.defaults, **self.params}

    @property
    def as_params(self) -> dict[str, Any]:
        """What its strategy gets as parameters: whether it is to trade, and how."""
        return {"enabled": self.enabled, PARAMS: self.effective}


BOT_PREFIX: Final = "bot."
"""The strategy of `[bots.NAME]` is called `bot.NAME`."""


def _bot_names(_: object, __: object, bots: Mapping[str, object]) -> None:
    for name in bots:
        if not name or "." in name:
            raise ValueError(f"a bot cannot be named {name!r}")


@frozen(kw_only=True)
class ArsenalConfig:
    """What Crypto Arsenal strategies and webhook signals of a run share, `[arsenal]`.

    `pairs`: what they trade, `exchange:PAIR` (`binance:BTC-USDT`), the first as theirs; None: what a strategy names, or
    the data are of. `signals`: `strategy`, where it has `on_tradingview_signal`, gets every signal; with `rules` the
    documented actions place orders and it gets the rest. `connector`: the name under which signals come; None: the
    strategy's. `candle_values`: of candles' prices, `float` or `text`. `state`: a backtest's storage is kept in this
    file; on paper and live there is always one, in the state folder.
    """

    pairs: list[str] | None = None
    signals: str = field(default="strategy", validator=in_(("strategy", "rules")))
    connector: str | None = None
    candle_values: str = field(default="float", validator=in_(("float", "text")))
    state: str | None = None


@frozen(kw_only=True)
class AlertConfig:
    """An alert from outside, `[web.alerts.NAME]`: its text are the words of the command `hook` of `strategy`. `allow`:
    addresses and networks that may send it, beside those of `[web]`; `"tradingview"` stands for TradingView's."""

    strategy: str = field(validator=_some_text)
    hook: str = field(validator=_some_text)
    allow: list[str] = field(factory=list)


@frozen(kw_only=True)
class WebConfig:
    """The web server of webhooks, streams and metrics, `[web]`; it is there where this table is.

    `public`: it may listen beyond this machine. `url`: its address as others see it (behind a proxy), for messages.
    `certificate`, `private_key`: PEM files, for TLS. `trusted_proxies`: addresses whose `X-Forwarded-For` is believed.
    `allow`: addresses and networks that may send signals and alerts (`"tradingview"`: TradingView's); empty: any.
    `address_rate`, `connector_rate`: requests a second of one address, signals a second of one connector; as many as
    ten seconds' worth may come at once. `timeout_s`: how long a bot's webhook may take. `window_s`: how old a signed
    signal may be. `remember_days`: how long signals are known that must not be carried out twice. `streams`: clients of
    the stream at once; `backlog`: messages that may wait for one of them.
    """

    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = field(default=8800, validator=[ge(0), le(65_535)])
    public: bool = False
    url: str | None = field(default=None, validator=_a_url)
    certificate: str | None = None
    private_key: str | None = None
    trusted_proxies: list[str] = field(factory=list)
    allow: list[str] = field(factory=list)
    alerts: dict[str, AlertConfig] = field(factory=dict)
    address_rate: float = field(default=20.0, validator=gt(0))
    connector_rate: float = field(default=5.0, validator=gt(0))
    timeout_s: float = field(default=20.0, validator=gt(0))
    window_s: float = field(default=300.0, validator=gt(0))
    remember_days: float = field(default=7.0, validator=gt(0))
    streams: int = field(default=100, validator=ge(1))
    backlog: int = field(default=1_000, validator=ge(1))


@frozen(kw_only=True)
class EngineConfig:
    """The `[engine]` table.

    `timezone`: of daily callbacks; None is UTC in a backtest and the system's on paper. `stop_ack_timeout_s`: a
    strategy that has not said `send_stop_ack` that long after `on_stop` is taken to have said it. `data`: recordings
    and stores, relative to the configuration file. `timing`: how the recording's two clocks become feed latency.
    """

    seed: int = field(default=1, validator=ge(0))
    timezone: str | None = field(default=None, validator=_known_zone)
    error_budget: ErrorBudget = field(factory=ErrorBudget)
    stop_ack_timeout_s: float = field(default=3.0, validator=gt(0))
    data: list[str] | None = None
    timing: FeedTiming = field(factory=FeedTiming)
    report: ReportConfig = field(factory=ReportConfig)


@frozen(kw_only=True)
class RunConfig(EngineConfig):
    """The whole configuration of a run; `file` and `overrides` say where it came from, so that it can be read again."""

    exchanges: dict[str, ExchangeSettings] = field(factory=dict)
    strategies: dict[str, StrategyConfig] = field(factory=dict)
    params: dict[str, Any] = field(factory=dict)
    commands: tuple[Command, ...] = ()
    live: LiveConfig = field(factory=LiveConfig)
    venues: dict[str, VenueConfig] = field(factory=dict)
    link: LinkConfig = field(factory=LinkConfig)
    bots: dict[str, BotConfig] = field(factory=dict)
    arsenal: ArsenalConfig = field(factory=ArsenalConfig)
    ops: OpsConfig = field(factory=OpsConfig)
    telegram: TelegramConfig | None = None
    web: WebConfig | None = None
    file: Path | None = None
    overrides: tuple[str, ...] = ()

    def limits_of(self, name: str) -> RiskLimits:
        """What the strategy of this name may do in a live run."""
        bots = {f"{BOT_PREFIX}{each}": bot for each, bot in self.bots.items()}
        return self.live.limits_of(self.strategies.get(name) or bots.get(name))


@frozen(kw_only=True)
class _File:
    """What the top of a configuration file may hold."""

    engine: EngineConfig = field(factory=EngineConfig)
    exchanges: dict[str, ExchangeSettings] = field(factory=dict, validator=_known_exchanges)
    strategies: dict[str, StrategyConfig] = field(factory=dict, validator=_usable_names)
    params: dict[str, Any] = field(factory=dict)
    live: LiveConfig = field(factory=LiveConfig)
    venues: dict[str, VenueConfig] = field(factory=dict)
    link: LinkConfig = field(factory=LinkConfig)
    bots: dict[str, BotConfig] = field(factory=dict, validator=_bot_names)
    arsenal: ArsenalConfig = field(factory=ArsenalConfig)
    ops: OpsConfig = field(factory=OpsConfig)
    telegram: TelegramConfig | None = None
    web: WebConfig | None = None
    commands: tuple[Command, ...] = ()


def load_config(file: Path | None = None, overrides: Sequence[str] = ()) -> RunConfig:
    """The configuration in `file` (none: all defaults) with the `KEY=VALUE` settings applied.

    Raises `UserError` for a file that cannot be read or is no TOML, an unknown key, and a value that is not allowed.
    """
    written: Tree = read_toml(file) if file else {}
    content = structure(_with(overrides, written), _File, partial(_source, written, str(file or "--set"), overrides))
    data = content.engine.data
    if data is not None and file:
        data = [str(file.parent / path) for path in data]
    engine = evolve(content.engine, data=data)
    return RunConfig(
        **{each.name: getattr(engine, each.name) for each in fields(EngineConfig)},
        exchanges=content.exchanges,
        strategies=content.strategies,
        params=content.params,
        commands=content.commands,
        live=_beside(content.live, file),
        venues=content.venues,
        link=content.link,
        bots=content.bots,
        arsenal=evolve(content.arsenal, state=_placed(content.arsenal.state, file)),
        ops=evolve(content.ops, state=_placed(content.ops.state, file)),
        telegram=content.telegram,
        web=_web_beside(content.web, file),
        file=file,
        overrides=tuple(overrides),
    )


def _beside(live: LiveConfig, file: Path | None) -> LiveConfig:
    """The paths of the table, which are relative to the configuration file."""
    return evolve(live, journal=_placed(live.journal, file), secrets_file=_placed(live.secrets_file, file))


def _web_beside(web: WebConfig | None, file: Path | None) -> WebConfig | None:
    if web is None:
        return None
    return evolve(web, certificate=_placed(web.certificate, file), private_key=_placed(web.private_key, file))


def _placed(path: str | None, file: Path | None) -> str | None:
    return path if path is None or file is None else str(file.parent / path)


def _with(settings: Sequence[str], written: Tree) -> Tree:
    """What the file says, with the settings on top."""
    tree = deepcopy(written)
    for setting in settings:
        keys, value = parse_setting(setting)
        _put(tree, _place(keys, tree), value, setting)
    return tree


def _source(written: Tree, file: str, settings: Sequence[str], fault: Fault) -> str:
    """Where a fault comes from: the settings without which it would not be there, else the file. Some faults are known
    by the table only, others need several keys to come about, so each setting is left out in turn to see."""
    blamed = []
    for place, setting in enumerate(settings):
        try:
            without = _with([*settings[:place], *settings[place + 1 :]], written)
        except UserError:  # another setting builds on this one
            continue
        if fault not in faults(without, _File):
            blamed.append(f"--set {setting}")
    return " ".join(blamed) or file


def _place(keys: KeyPath, tree: Tree) -> KeyPath:
    """Where in the file's tree a setting with these keys belongs."""
    if keys[0] in RESERVED:
        return keys
    strategies = tree.get(STRATEGIES)
    if isinstance(strategies, dict) and keys[0] in strategies and len(keys) > 1:
        return (STRATEGIES, keys[0], PARAMS, *keys[1:])
    return (PARAMS, *keys)


def _put(tree: Tree, path: KeyPath, value: object, setting: str) -> None:
    *tables, last = path
    for depth, name in enumerate(tables, 1):
        below = tree.setdefault(name, {})
        if not isinstance(below, dict):
            raise UserError(
                f"--set {setting}: {'.'.join(path[:depth])} is {below!r} and holds no keys",
                f"Set it as a whole: --set {'.'.join(path[:depth])}=VALUE",
            )
        tree = below
    tree[last] = value


def refuse_strays(config: RunConfig) -> None:
    """Settings that reach no strategy: `[params]` is for the one that the command line names, not for those that have
    tables. Raises `UserError` for the first."""
    tables = config.strategies
    for setting in config.overrides if tables else ():
        keys, _ = parse_setting(setting)
        if keys[0] == PARAMS or keys[0] not in (*RESERVED, *(tables if len(keys) > 1 else ())):
            raise UserError(
                f"--set {setting}: no strategy has this parameter{near(keys[0], tables) if len(keys) > 1 else ''}",
                f"Write --set NAME.KEY=VALUE, NAME being one of {', '.join(tables)}.",
            )


def reload_params(config: RunConfig) -> dict[str, dict[str, Any]]:
    """Read the configuration's file again: the parameters of each strategy by name, those of `[params]` under ``, those
    of `[bots.NAME]` under `bot.NAME`.

    Raises `UserError` as `load_config` does; the caller keeps the old parameters then.
    """
    again = load_config(config.file, config.overrides)
    return params_by_name(again)


def params_by_name(config: RunConfig) -> dict[str, dict[str, Any]]:
    """The same of a configuration that has been read."""
    found = {"": config.params} | {name: strategy.params for name, strategy in config.strategies.items()}
    return found | {f"{BOT_PREFIX}{name}": bot.as_params for name, bot in config.bots.items()}
