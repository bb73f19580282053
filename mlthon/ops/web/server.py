"""The part of the operations process that is the web server: one socket, until the run ends.

Connections come in by the `door`, which puts hypercorn on each. hypercorn writes no log of its own: it would say whole
addresses, and secrets stand in those. A connection whose other end takes nothing for `STUCK_S` is broken off by the
kernel, so that no client can hold the server's end open for ever; one that has not sent a whole request head within
`HEAD_S` is closed.
"""

import logging
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import trio
from hypercorn.config import Config

from mlthon.errors import UserError
from mlthon.ops.client import EngineClient
from mlthon.ops.process import PartJob
from mlthon.ops.web.application import WebServer
from mlthon.ops.web.settings import WebSettings, base_url, read
from mlthon.ops.web.store import FILE, WebhookStore

log = logging.getLogger("mlthon.ops.web")

HEAD_S: Final = 5.0
STUCK_S: Final = 20.0
PING_S: Final = 20.0
SILENT_S: Final = 60.0
"""A connection that sends nothing for so long is closed; clients of the stream answer pings."""
GRACE_S: Final = 1.0
BACKLOG: Final = 128
SEND_BUFFER: Final = 128 * 1024
"""What the kernel keeps for a client that does not read; without a bound it is several megabytes."""
PRUNE_S: Final = 3600.0
FLUSH_S: Final = 1.0
MESSAGE_BYTES: Final = 4096
SECOND: Final = 10**9


async def serve(
    client: EngineClient, job: PartJob, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """The part: see `mlthon.ops.process`."""
    settings = read(job.settings)
    store = WebhookStore(job.folder / FILE)
    try:
        server = WebServer(client, settings, store, run=job.run)
        await run(server, settings, store, job.closing, lambda url: _begun(url, settings, task_status))
    finally:
        store.close()


def _begun(url: str, settings: WebSettings, task_status: trio.TaskStatus[None]) -> None:
    log.info("webhooks, streams and metrics are served at %s", url)
    if settings.public and settings.certificate is None:
        log.warning("%s is reached from other machines without TLS: secrets can be read on their way", url)
    task_status.started()


async def run(
    server: WebServer,
    settings: WebSettings,
    store: WebhookStore,
    over: trio.Event,
    started: Callable[[str], None],
) -> None:
    """Serve until `over` is set or cancelled. `started` is told the address, with the port that was given where it was
    0. Raises `UserError` where the port cannot be had."""
    listening = _listening(settings.host, settings.port)
    url = base_url(None, settings.host, listening.getsockname()[1], tls=settings.certificate is not None)
    listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening))
    async with listener, trio.open_nursery() as nursery:
        await nursery.start(server.streams.run)
        nursery.start_soon(_tidy, server, settings, store)
        nursery.start_soon(server.door.serve, listener, _hypercorn(settings), over)
        started(url)
        await over.wait()
        server.streams.end()
        await trio.sleep(GRACE_S / 4)
        nursery.cancel_scope.cancel()


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises `UserError`."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # connections that are accepted inherit these
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(1e3 * STUCK_S))
            listening.bind(address)
            listening.listen(BACKLOG)
            listening.setblocking(False)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise UserError(
            f"the web server cannot listen on {host} port {port}: {error.strerror or error}",
            "Is another run's there? Set web.port to another.",
        ) from None
    return listening


def _hypercorn(settings: WebSettings) -> Config:
    config = Config()
    config.accesslog = None
    config.errorlog = None
    config.loglevel = "CRITICAL"
    config.keep_alive_timeout = HEAD_S
    config.ssl_handshake_timeout = HEAD_S
    config.read_timeout = SILENT_S  # type: ignore[assignment]
    config.h11_max_incomplete_size = 16 * 1024
    config.websocket_max_message_size = MESSAGE_BYTES
    config.websocket_ping_interval = PING_S
    config.include_server_header = False
    config.alpn_protocols = ["http/1.1"]
    if settings.certificate is not None and settings.private_key is not None:
        config.certfile, config.keyfile = settings.certificate, settings.private_key
    return config


async def _tidy(server: WebServer, settings: WebSettings, store: WebhookStore) -> None:
    """Write down what is counted, and forget what is old."""
    pruned = -PRUNE_S
    try:
        while True:
            if trio.current_time() - pruned >= PRUNE_S:
                pruned = trio.current_time()
                store.prune(time.time_ns() - round(settings.remember_s * SECOND))
            await trio.sleep(FLUSH_S)
            server.edge.rejections.flush(time.monotonic())
    finally:
        server.edge.rejections.flush()


def store_path(folder: Path) -> Path:
    """The store in a folder of control files."""
    return folder / FILE
