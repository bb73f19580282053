"""`python -m mlthon webhook …`: tokens for signals and alerts from outside, and what to paste into an alert.

Tokens are kept in the state folder (as digests: a lost one is made anew), which runs on this machine read at each
request; so a token is good, and a revoked one void, at once.
"""

import json as text_json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

from attrs import frozen
from cyclopts import App, Parameter

from mlthon.arsenal.signals import CANCEL_ALL
from mlthon.backtest.show import show_time
from mlthon.cli.webhook_run import run_webhook
from mlthon.config import RunConfig, WebConfig, load_config
from mlthon.errors import UserError, near
from mlthon.ops.place import control_folder
from mlthon.ops.web.settings import base_url
from mlthon.ops.web.store import FILE, KnownToken, Rejection, WebhookStore

SIGNALS: Final = "/trading-signal/webhook"
ALERTS: Final = "/tradingview"
PLACEHOLDER: Final = "YOUR_TOKEN"
ACTIONS: Final = ("buy", "sell", "openLong", "closeLong", "openShort", "closeShort", "cancel", "cancelAll")
SECOND: Final = 10**9
REJECTIONS: Final = 20

app = App(
    name="webhook",
    help="Tokens for signals and alerts from outside, and the messages to paste into them.",
    help_format="plaintext",
    help_epilogue="The configuration's [web] and [ops] say where the server is and where tokens are kept.",
    default_parameter=Parameter(negative="", show_default=False),
    result_action="return_value",
)
app.default(run_webhook)

Config = Annotated[Path | None, Parameter(name="--config", help="The run's configuration file.")]
Json = Annotated[bool, Parameter(name="--json", help="Print one line of JSON.")]


@frozen
class Desk:
    """The store of tokens, and what the configuration says of the server."""

    config: RunConfig
    store: WebhookStore

    @property
    def web(self) -> WebConfig:
        return self.config.web or WebConfig()

    @property
    def base(self) -> str:
        web = self.web
        return base_url(web.url, web.host, web.port, tls=web.certificate is not None)

    def is_alert(self, name: str) -> bool:
        """Whether the name is that of an alert, and not of a connector."""
        return name in self.web.alerts


def _desk(config: Path | None) -> Desk:
    loaded = load_config(config)
    return Desk(loaded, WebhookStore(control_folder(loaded.ops.state) / FILE))


@app.command
def token(
    name: str, /, *, signed: bool = False, replace: bool = False, config: Config = None, json: Json = False
) -> int:
    """Make a token for a connector (the connectorName of signals) or for an alert ([web.alerts.NAME]); shown once.

    Parameters
    ----------
    name
        The connector's or alert's name.
    signed
        Its signals must be signed; a signing key is made too.
    replace
        Make a new token in place of one that there is, which is void then.
    """
    desk = _desk(config)
    if signed and desk.is_alert(name):
        raise UserError(f"{name!r} is an alert, and alerts cannot be signed: TradingView sends no headers of ours")
    made = desk.store.make_token(name, signed=signed, replace=replace)
    if json:
        print(text_json.dumps({"name": name, "token": made.text, "signing_key": made.signing_key}))
        return 0
    print(f"token of {name}, shown this once: {made.text}")
    if made.signing_key is not None:
        print(f"signing key: {made.signing_key}")
    print(f"URL: {_url(desk, name, made.text)}")
    if not desk.is_alert(name):
        print(f"the message to paste: python -m mlthon webhook message {name} --action buy --token TOKEN")
    return 0


@app.command
def message(
    name: str,
    /,
    *,
    action: str | None = None,
    fixed: str | None = None,
    percent: str | None = None,
    limit: str | None = None,
    profit: str | None = None,
    loss: str | None = None,
    log: str | None = None,
    client_order_id: str | None = None,
    delay_seconds: float | None = None,
    delay_seconds_filter: str | None = None,
    token: str | None = None,
    config: Config = None,
) -> int:
    """Print the URL and the message to paste into an alert.

    Parameters
    ----------
    name
        The connector's or alert's name.
    action
        buy, sell; openLong, closeLong, openShort, closeShort; cancel, cancelAll.
    fixed
        The amount; it goes before percent.
    percent
        Percent of what is available.
    limit
        The limit price; without it a market order.
    profit
        The price of a take-profit order; futures opens only.
    loss
        The price of a stop-loss order; futures opens only.
    log
        A message for the log.
    client_order_id
        The order's id, for cancel; a signal with one is carried out once.
    delay_seconds
        Delay the order.
    delay_seconds_filter
        Delay it only where log contains this word.
    token
        The token, which nobody but you knows; YOUR_TOKEN stands in its place otherwise.
    """
    desk = _desk(config)
    known = [each.name for each in desk.store.tokens()]
    if name not in known:
        raise UserError(
            f"there is no token for {name!r}{near(name, known)}", f"Make one: python -m mlthon webhook token {name}"
        )
    url = f"URL: {_url(desk, name, token or PLACEHOLDER)}"
    if desk.is_alert(name):
        print(url)
        alert = desk.web.alerts[name]
        print(f"Message: any text; its words are the parameters of {alert.strategy}'s command {alert.hook}")
        return 0
    if action is None:
        raise UserError("--action: what is the strategy to do?", f"One of {', '.join(ACTIONS)}.")
    _check(action, client_order_id)
    fields: dict[str, Any] = {
        "log": log,
        "action": action,
        "fixed": fixed,
        "percent": percent,
        "limit": limit,
        "profit": profit,
        "loss": loss,
        "clientOrderId": client_order_id,
        "delaySeconds": delay_seconds,
        "delaySecondsFilter": delay_seconds_filter,
        "connectorName": name,
        "connectorToken": token or PLACEHOLDER,
    }
    print(url)
    print(text_json.dumps({key: value for key, value in fields.items() if value is not None}, ensure_ascii=False))
    return 0


def _check(action: str, client_order_id: str | None) -> None:
    """Raises `UserError` for what is nearly a documented action; any other is for a strategy to understand."""
    meant = near(action, ACTIONS)
    if action not in (*ACTIONS, *CANCEL_ALL) and meant:
        raise UserError(f"--action: {action!r} is none{meant}", f"There are {', '.join(ACTIONS)}.")
    if action == "cancel" and not client_order_id:
        raise UserError("--action cancel needs --client-order-id: which order is cancelled?")


@app.command(name="list")
def list_(*, config: Config = None, json: Json = False) -> int:
    """List the connectors and alerts that have tokens."""
    desk = _desk(config)
    tokens = desk.store.tokens()
    if json:
        print(text_json.dumps([_as_json(desk, each) for each in tokens]))
        return 0
    if not tokens:
        print("no tokens; make one: python -m mlthon webhook token NAME")
    for each in tokens:
        kind = "alert" if desk.is_alert(each.name) else "signed signals" if each.signed else "signals"
        print(f"{each.name}  {kind}  since {show_time(each.created)}")
    return 0


def _as_json(desk: Desk, each: KnownToken) -> dict[str, Any]:
    since = datetime.fromtimestamp(each.created / SECOND, UTC).isoformat()
    return {"name": each.name, "alert": desk.is_alert(each.name), "signed": each.signed, "created": since}


@app.command
def revoke(name: str, /, *, config: Config = None) -> int:
    """Make a token void, at once."""
    _desk(config).store.revoke(name)
    print(f"the token of {name} is void")
    return 0


@app.command
def rejected(count: int = REJECTIONS, /, *, config: Config = None, json: Json = False) -> int:
    """Show who was refused lately: from where, what, and why."""
    found: Sequence[Rejection] = _desk(config).store.rejections(count)
    for each in reversed(found):
        fields = {
            "time": show_time(each.ts),
            "address": each.address,
            "what": each.what,
            "who": each.who,
            "status": each.status,
            "reason": each.reason,
            "count": each.count,
        }
        if json:
            print(text_json.dumps(fields))
        else:
            times = f" ({each.count} times)" if each.count > 1 else ""
            print(f"{fields['time']}  {each.address}  {each.what} {each.who}  {each.status} {each.reason}{times}")
    return 0


def _url(desk: Desk, name: str, text: str) -> str:
    return f"{desk.base}{ALERTS}/{text}" if desk.is_alert(name) else f"{desk.base}{SIGNALS}"
