"""The whole configuration of a run (`RunConfig`), and what the top of its file may hold (`Content`)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from attrs import field, frozen

from mlthon.config.bots import BOT_PREFIX, ArsenalConfig, BotConfig, LinkConfig, VenueConfig
from mlthon.config.checks import known_exchanges
from mlthon.config.operations import OpsConfig, TelegramConfig, WebConfig
from mlthon.config.trading import Command, EngineConfig, ExchangeSettings, LiveConfig, StrategyConfig
from mlthon.engine.risk import RiskLimits

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


def _usable_names(_: object, __: object, strategies: Mapping[str, object]) -> None:
    for name in strategies:
        if name in RESERVED or not name or "." in name:
            raise ValueError(f"a strategy cannot be named {name!r}")


def _bot_names(_: object, __: object, bots: Mapping[str, object]) -> None:
    for name in bots:
        if not name or "." in name:
            raise ValueError(f"a bot cannot be named {name!r}")


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
        own = self.strategies.get(name) or bots.get(name)
        return self.live.limits_of(None if own is None else own.risk)


@frozen(kw_only=True)
class Content:
    """What the top of a configuration file may hold."""

    engine: EngineConfig = field(factory=EngineConfig)
    exchanges: dict[str, ExchangeSettings] = field(factory=dict, validator=known_exchanges)
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
