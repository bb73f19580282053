"""Tables of operating a run from outside: the state folder, Telegram, the web server."""

from typing import Final

from attrs import field, frozen
from attrs.validators import ge, gt, le

from mlthon.config.checks import a_url, some_text

TELEGRAM_URL: Final = "https://api.telegram.org"


@frozen(kw_only=True)
class OpsConfig:
    """What operating a run needs, `[ops]`. `state`: the state folder, where the control socket, the audit log and what
    waits for Telegram lie; None: the usual one, where journals are too. `audit_days`, `audit_mb`: entries of the audit
    log that are older, or more, than that are removed."""

    state: str | None = None
    audit_days: float = field(default=365.0, validator=gt(0))
    audit_mb: float = field(default=100.0, validator=ge(1))


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
    base_url: str = field(default=TELEGRAM_URL, validator=a_url)
    stale_s: float = field(default=180.0, validator=gt(0))
    confirm_s: float = field(default=60.0, validator=gt(0))
    poll_s: int = field(default=25, validator=[ge(0), le(50)])


@frozen(kw_only=True)
class AlertConfig:
    """An alert from outside, `[web.alerts.NAME]`: its text are the words of the command `hook` of `strategy`. `allow`:
    addresses and networks that may send it, beside those of `[web]`; `"tradingview"` stands for TradingView's."""

    strategy: str = field(validator=some_text)
    hook: str = field(validator=some_text)
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
    url: str | None = field(default=None, validator=a_url)
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
