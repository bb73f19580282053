"""HTTP requests by httpx: an `HttpMessage` in, an `HttpAnswer` or a `Failure` out.

A failure says whether anything may have reached the exchange. That is known exactly: the HTTP library tells when it
starts to write the request on a connection; what fails earlier was not sent, what fails later may have been carried
out. Redirects are not followed, because a signed request must not be carried elsewhere.
"""

import logging
import ssl
from collections.abc import Callable, Mapping
from typing import Any, Final

import httpx
import trio
from attrs import field, frozen
from attrs.validators import gt

from mlthon.live.tls import cause
from mlthon.venue.wire import Answer, Failure, HttpAnswer, HttpMessage, Loss

log = logging.getLogger("mlthon.live")

WRITING: Final = ("http11.send_request_headers.started", "http2.send_request_headers.started")
HEADERS: Final = {"User-Agent": "mlthon"}


@frozen
class HttpSettings:
    """`most_connections`: at once; more requests wait. `idle_s`: how long an idle connection is kept, so that most
    requests find one open. `most_bytes`: the largest answer taken."""

    most_connections: int = field(default=32, validator=gt(0))
    idle_s: float = 60.0
    most_bytes: int = 64 * 1024 * 1024

    def client(self, tls: ssl.SSLContext, proxy: str | None, connect_limit_s: float) -> httpx.AsyncClient:
        """A client; `proxy` as in `EdgeSettings`. Raises ValueError for a proxy that is no URL of a known kind."""
        limits = httpx.Limits(
            max_connections=self.most_connections,
            max_keepalive_connections=self.most_connections,
            keepalive_expiry=self.idle_s,
        )
        try:
            return httpx.AsyncClient(
                verify=tls,
                limits=limits,
                timeout=httpx.Timeout(None, connect=connect_limit_s),
                proxy=proxy or None,
                trust_env=proxy is None,
                follow_redirects=False,
                headers=HEADERS,
            )
        except (ValueError, httpx.InvalidURL):
            # without the cause, which shows the URL and with it a password
            raise ValueError("the proxy is no http://, https:// or socks5:// URL") from None


class _Sending:
    """What is known of a request on its way."""

    __slots__ = ("now", "sent_ts")

    def __init__(self, now: Callable[[], int]) -> None:
        self.now = now
        self.sent_ts = 0

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Told by the HTTP library of each step; a proxy's CONNECT is not yet the request."""
        if event in WRITING and getattr(info.get("request"), "method", b"") != b"CONNECT":
            self.sent_ts = self.now()

    def failure(self, reason: str) -> Failure:
        return Failure(Loss.NO_ANSWER if self.sent_ts else Loss.NOT_SENT, reason)


async def exchange_messages(
    client: httpx.AsyncClient,
    base: str,
    message: HttpMessage,
    timeout_s: float,
    now: Callable[[], int],
    most_bytes: int,
) -> Answer:
    """Send the message to the base URL and wait for the answer, `timeout_s` at most in all."""
    sending = _Sending(now)
    if client.is_closed:
        return sending.failure("the run is over and its connections are closed")
    with trio.move_on_after(timeout_s):
        try:
            return await _exchange(client, base, message, sending, most_bytes)
        except httpx.HTTPError as error:
            return sending.failure(_words(error))
        except Exception as error:
            # proxies and bad URLs make the library raise what is none of its own; no request may take others with it
            log.exception("%s failed in an unforeseen way", message.method)
            return sending.failure(type(error).__name__)
    return sending.failure(f"no answer within {timeout_s:g} s")


def built(
    client: httpx.AsyncClient | httpx.Client, base: str, message: HttpMessage, **extensions: Any
) -> httpx.Request:
    """The message as a request to the base URL. The library spells paths and queries its own way; what was signed must
    go out as it was signed."""
    url = httpx.URL(base)
    target = url.raw_path.rstrip(b"/") + message.target.encode("ascii")
    return client.build_request(
        message.method,
        url,
        headers=dict(message.headers),
        content=message.body or None,
        extensions={"target": target, **extensions},
    )


async def _exchange(
    client: httpx.AsyncClient, base: str, message: HttpMessage, sending: _Sending, most_bytes: int
) -> Answer:
    request = built(client, base, message, trace=sending.trace)
    response = await client.send(request, stream=True)
    try:
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > most_bytes:
                return sending.failure(f"an answer of over {most_bytes} bytes")
        return HttpAnswer(response.status_code, dict(response.headers), bytes(body), sending.sent_ts, sending.now())
    finally:
        with trio.CancelScope(shield=True):
            await response.aclose()


def _words(error: httpx.HTTPError) -> str:
    """What went wrong, without the URL and without headers, which the text of a local error may show."""
    name = type(error).__name__
    if isinstance(error, httpx.LocalProtocolError):
        return name
    why = str(error) or cause(error)
    return name if why in (name, "") else f"{name}: {why}"
