"""Requests of strategies over real sockets: answers, failures, limits, and an engine that does not wait."""

import http.server
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from mlthon.arsenal.pages import MOST_BYTES, Fetched, Page, RequestFailed, page_request
from mlthon.cli import main
from mlthon.live.pages import Pages, fetch_at_once
from mlthon.live.services import Host, serving


class _Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/slow":
            time.sleep(1.0)
        if path == "/redirect":
            self.send_response(302)
            self.send_header("Location", "/json?redirected=1")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        size = int(self.headers.get("content-length", 0))
        told = {"path": self.path, "body": self.rfile.read(size).decode(), "key": self.headers.get("apikey")}
        body = b"x" * (MOST_BYTES + 1) if path == "/large" else json.dumps(told).encode()
        if path == "/odd":
            body = "größer".encode("latin-1")
        self.send_response(404 if path == "/gone" else 200)
        self.send_header("Content-Type", {"/odd": "text/plain; charset=latin-1"}.get(path, "x/y; charset=no-such"))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - as the base class has it

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base class has it
        """Nothing is printed."""


@pytest.fixture
def server() -> Iterator[str]:
    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    thread = threading.Thread(target=served.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{served.server_port}"
    served.shutdown()
    thread.join()
    served.server_close()


def at_once(*args: Any, **kwargs: Any) -> Fetched:
    found: list[Fetched] = []
    fetch_at_once(page_request(*args, **kwargs), found.append)
    return found[0]


def answer(*args: Any, **kwargs: Any) -> Page:
    found = at_once(*args, **kwargs)
    assert isinstance(found, Page)
    return found


def test_answers(server: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    page = answer("GET", f"{server}/json?a=1", params={"b": "secret"}, headers={"apikey": "k"})
    assert (page.status_code, page.json()) == (200, {"path": "/json?a=1&b=secret", "body": "", "key": "k"})
    assert answer("POST", f"{server}/json", data={"a": 1}).json()["body"] == "a=1"
    assert answer("GET", f"{server}/redirect").json()["path"] == "/json?redirected=1"
    assert answer("GET", f"{server}/redirect", allow_redirects=False).status_code == 302
    assert answer("GET", f"{server}/gone").status_code == 404
    assert answer("GET", f"{server}/odd").text == "größer"
    assert "secret" not in caplog.text


def test_failures(server: str) -> None:
    assert "more than 2,097,152 bytes" in str(at_once("GET", f"{server}/large"))
    assert str(at_once("GET", f"{server}/slow?key=secret", timeout=0.2)) == "127.0.0.1: no answer within 0.2 s"
    closed = at_once("GET", "http://127.0.0.1:1/?key=secret")
    assert isinstance(closed, RequestFailed)
    assert "secret" not in str(closed)


def test_the_engine_goes_on_while_requests_are_under_way(server: str) -> None:
    found: list[tuple[float, Fetched]] = []
    ticks = 0

    def deliver(call: Callable[..., object], *args: object) -> bool:
        call(*args)
        return True

    async def run() -> None:
        nonlocal ticks
        pages = Pages()
        with trio.fail_after(30):
            async with serving([pages], Host(deliver, time.time_ns)):
                begun = trio.current_time()

                def answered(page: Fetched) -> None:
                    found.append((trio.current_time() - begun, page))

                for path in ("slow", "json"):
                    pages.fetch(page_request("GET", f"{server}/{path}"), answered)
                while len(found) < 2:
                    ticks += 1
                    await trio.sleep(0.01)
        pages.fetch(page_request("GET", f"{server}/json"), answered)

    trio.run(run)
    fast, slow, late = (page for _, page in found)
    assert isinstance(fast, Page)
    assert isinstance(slow, Page)
    assert (fast.json()["path"], slow.json()["path"]) == ("/json", "/slow")
    assert isinstance(late, RequestFailed), "the run is over"
    assert ticks > 10, "the loop went on meanwhile"


CODE = """
class Strategy(StrategyBase):
    def __init__(self):
        self.period = 60
        CA.log('rate ' + str(self.ask('init')))
    def ask(self, name):
        try:
            return CA.get_request(self['url'] + '/json', params={'from': name}).json()['path']
        except OSError as error:
            return error
    def trade(self, candles):
        CA.log('rate ' + str(self.ask('trade')))
"""


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--duration", "70s", "--allow-network"], "/json?from={}"),
        (["--duration", "70s"], "a backtest has no network: allow it with --allow-network"),
        (["--mode", "paper", "--speed", "50", "--duration", "130s"], "/json?from={}"),
    ],
)
def test_runs(server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], text: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(CODE)
    state = ["--set", f"ops.state={tmp_path}/state", "--set", "web.enabled=false"]
    assert main([str(file), "--set", f"url={server}", "--pair", "bybit:BTC-USDT", *options, *state]) == 0
    told = capsys.readouterr().err
    assert f"rate {text.format('init')}" in told
    assert f"rate {text.format('trade')}" in told


def test_the_network_is_allowed_in_a_backtest_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.py"
    file.write_text(CODE)
    assert main([str(file), "--mode", "paper", "--duration", "1s", "--allow-network"]) == 2
    assert "--allow-network" in capsys.readouterr().err
