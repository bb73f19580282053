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
`mlthon.structure` does the reading; the classes stand in `trading`, `bots` and `operations`, what a file may hold in
`run`, and where each key belongs in `file`.
"""

from mlthon.config.bots import BOT_PREFIX as BOT_PREFIX
from mlthon.config.bots import ArsenalConfig as ArsenalConfig
from mlthon.config.bots import BotConfig as BotConfig
from mlthon.config.bots import LinkConfig as LinkConfig
from mlthon.config.bots import VenueConfig as VenueConfig
from mlthon.config.checks import parse_duration as parse_duration
from mlthon.config.file import load_config as load_config
from mlthon.config.file import params_by_name as params_by_name
from mlthon.config.file import refuse_strays as refuse_strays
from mlthon.config.operations import TELEGRAM_URL as TELEGRAM_URL
from mlthon.config.operations import AlertConfig as AlertConfig
from mlthon.config.operations import OpsConfig as OpsConfig
from mlthon.config.operations import TelegramConfig as TelegramConfig
from mlthon.config.operations import WebConfig as WebConfig
from mlthon.config.run import PARAMS as PARAMS
from mlthon.config.run import RESERVED as RESERVED
from mlthon.config.run import RunConfig as RunConfig
from mlthon.config.trading import Command as Command
from mlthon.config.trading import EngineConfig as EngineConfig
from mlthon.config.trading import ErrorBudget as ErrorBudget
from mlthon.config.trading import ExchangeLive as ExchangeLive
from mlthon.config.trading import ExchangeSettings as ExchangeSettings
from mlthon.config.trading import LiveConfig as LiveConfig
from mlthon.config.trading import ReportConfig as ReportConfig
from mlthon.config.trading import StrategyConfig as StrategyConfig
