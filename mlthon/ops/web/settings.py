"""What the web server is told: the `[web]` table with its secrets and networks looked up, by the run that starts it.

`prepare` is called by the run, which has the environment and the secrets file; what it gives goes to the operations
process as plain values, and `WebSettings` are made of them there.
"""

from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import msgspec
from attrs import asdict
from msgspec import Struct

from mlthon.config import WebConfig
from mlthon.errors import UserError
from mlthon.live.secrets import Places, refuse_readable
from mlthon.ops.web.addresses import networks
from mlthon.ops.web.keys import WebKeys, find_keys

LOCAL = "localhost"
DAY_S = 86_400


class Alert(Struct, frozen=True):
    """An alert, as of `mlthon.config.AlertConfig`."""

    strategy: str
    hook: str
    allow: list[str] = []


class WebSettings(Struct, frozen=True, kw_only=True):
    """As of `mlthon.config.WebConfig`, and the secrets."""

    host: str
    port: int
    url: str | None = None
    certificate: str | None = None
    private_key: str | None = None
    trusted_proxies: list[str] = []
    allow: list[str] = []
    alerts: dict[str, Alert] = {}
    address_rate: float = 20.0
    connector_rate: float = 5.0
    timeout_s: float = 20.0
    window_s: float = 300.0
    remember_days: float = 7.0
    streams: int = 100
    backlog: int = 1_000
    webhook_secret: str
    api_key: str
    metrics_token: str | None = None

    def __repr__(self) -> str:
        return f"WebSettings({self.base!r}, ...)"

    @property
    def keys(self) -> WebKeys:
        """The secrets."""
        return WebKeys(self.webhook_secret, self.api_key, self.metrics_token)

    @property
    def base(self) -> str:
        """Where the server is, as others see it."""
        return base_url(self.url, self.host, self.port, tls=self.certificate is not None)

    @property
    def public(self) -> bool:
        """Whether it listens beyond this machine."""
        return not is_loopback(self.host)

    @property
    def reached(self) -> bool:
        """Whether others reach it, be it through a proxy or tunnel."""
        return self.public or self.url is not None or bool(self.trusted_proxies)

    @property
    def remember_s(self) -> float:
        """How long it is known what was carried out: at least as long as the same signed signal is taken, which is
        from `window_s` before its time until `window_s` after it."""
        return max(self.remember_days * DAY_S, 2 * self.window_s)


def base_url(url: str | None, host: str, port: int, *, tls: bool) -> str:
    """The address of a server, without a slash at its end."""
    if url is not None:
        return url.rstrip("/")
    name = f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{name}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == LOCAL


def check(config: WebConfig) -> None:
    """Raise `UserError` for what would be unsafe or cannot be."""
    if not is_loopback(config.host) and not config.public:
        raise UserError(
            f"web.host: {config.host} is reached from other machines, and whoever reaches the server may try its "
            "secrets and read what is sent without TLS",
            "Leave it on 127.0.0.1 behind a proxy or tunnel that has TLS; or set web.public = true, and best a "
            "certificate (web.certificate, web.private_key) and the addresses that may send alerts (web.allow).",
        )
    if (config.certificate is None) != (config.private_key is None):
        raise UserError("web.certificate and web.private_key belong together", "Give both, or neither.")
    if config.private_key is not None:
        for path in (config.certificate, config.private_key):
            if path is not None and not Path(path).is_file():
                raise UserError(f"{path}: no such file", "Look at web.certificate and web.private_key.")
        refuse_readable(Path(config.private_key))
    networks(config.allow, "web.allow")
    networks(config.trusted_proxies, "web.trusted_proxies")
    for name, alert in config.alerts.items():
        networks(alert.allow, f"web.alerts.{name}.allow")


def prepare(config: WebConfig, places: Places, folder: Path) -> dict[str, Any]:
    """The settings as plain values, secrets among them. `folder`: of control files, where secrets that are made here
    are kept. Raises `UserError`."""
    check(config)
    keys = find_keys(places, folder)
    told = {name: value for name, value in asdict(config).items() if name in WebSettings.__struct_fields__}
    return told | {
        "webhook_secret": keys.webhook_secret,
        "api_key": keys.api_key,
        "metrics_token": keys.metrics_token,
    }


def read(settings: Mapping[str, Any]) -> WebSettings:
    """What `prepare` gave. Raises `msgspec.ValidationError`."""
    return msgspec.convert(dict(settings), WebSettings)
