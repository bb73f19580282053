"""The examples of the platform's documents, run.

What the copies of the document of Trading bots lost (braces, headings, method names) is restored here; the document of
Signals is whole, and its examples are run as they stand there. Payloads are compared with the documented ones by their
keys and types, not by their values: the example candle opens above its high."""

import ast
import inspect
import re
from pathlib import Path
from textwrap import dedent, indent
from typing import Any, Final

import pytest

from mlthon.link.bot.link import Link
from mlthon.link.contract import WebAnswer, WebRequest
from tests.link.bot.kit import envelope, running, until
from tests.link.bots.kit import BOTS, place, run, walk

MARKETS = [walk("bitmex", "XBTUSD", 60_000.0, 80, 1), walk("bitmex", "ETHUSD", 3_000.0, 80, 1)]

ORDER: Final = {
    "sym": "XBTUSD",
    "side": "Buy",
    "order_price": 25600.0,
    "order_size": 200.0,
    "remain_size": 200.0,
    "order_type": "LIMIT",
    "time": 1681262857139,
    "order_id": "f34afdeb-0c14-4864-9838-7bd914c59b98",
}
POSITION: Final = {
    "sym": "XBTUSD",
    "side": "Buy",
    "entry_price": 21638.5,
    "liq_price": 8453.0,
    "pos_size": 100.0,
    "time": 1681264314158,
}
CANDLE: Final = {
    "open": 30140.0,
    "high": 30138.5,
    "low": 30124.5,
    "close": 30132.0,
    "volume": 100300.0,
    "time": 1681187280000,
}
ANSWERS: Final[dict[str, Any]] = {
    "fetch_candles": [CANDLE],
    "fetch_balances": [{"asset": "USDT", "amount": 4250.0}],
    "fetch_open_orders": [ORDER],
    "fetch_positions": [POSITION],
    "create_limit_order": ORDER,
    "create_market_order": ORDER,
    "cancel_order": [ORDER],
    "amend_order": ORDER,
}
CALLBACKS: Final[dict[str, Any]] = {
    "order_update": {"venue": "BitMEX", **{key: value for key, value in ORDER.items() if key != "sym"}},
    "fill_update": {
        "venue": "BitMEX",
        "side": "Sell",
        "fill_price": 21638.5,
        "fill_size": 100.0,
        "order_type": "MARKET",
        "time": 1678361696643,
        "order_id": "0ffd735b-8371-45dc-9085-b0883c17a23b",
        "trade_id": "1e0fb276-9302-4bd7-8080-67fd1a6c7069",
    },
    "quote_update": {"bid": [21601.0, 170000.0], "ask": [21601.5, 223000.0], "time": 1678364572949},
    "trade_update": {"side": "Buy", "price": 21611.5, "size": 200.0, "time": 1678364683876},
}


def assert_shaped(found: Any, documented: Any, where: str) -> None:
    """The keys and types that are documented, and no other key but `info` (which is not documented)."""
    assert type(found) is type(documented), f"{where}: {found!r}"
    if isinstance(documented, dict):
        assert set(found) - {"info"} == set(documented), where
        for key, value in documented.items():
            assert_shaped(found[key], value, f"{where}.{key}")
    elif isinstance(documented, list):
        assert found, f"{where}: nothing in it"
        for number, each in enumerate(found):
            assert_shaped(each, documented[min(number, len(documented) - 1)], f"{where}[{number}]")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("documented")
    outcome = run(folder, place(folder, "documented"), MARKETS, "--venue=BitMEX=bitmex")
    assert outcome.result["errors"] == 0, outcome.errors
    return outcome.said[-1]


@pytest.mark.parametrize("name", CALLBACKS)
def test_events_carry_what_is_documented(told: dict[str, Any], name: str) -> None:
    event = told[name]
    assert (event["src"], event["sym"]) == ("bitmex", "XBTUSD")
    assert_shaped(event["data"], CALLBACKS[name], name)


@pytest.mark.parametrize("name", ANSWERS)
def test_calls_answer_with_what_is_documented(told: dict[str, Any], name: str) -> None:
    answer = told["calls"][name]
    limits = {"remaining": 56, "reset": 1681187280}
    documented = {"src": "bitmex", "venue": "BitMEX", "error": None, "data": ANSWERS[name], "rate_limits": limits}
    assert_shaped(answer, documented, name)
    assert (answer["src"], answer["venue"]) == ("bitmex", "BitMEX")
    assert 1_735_689_600 <= answer["rate_limits"]["reset"] < 1_735_689_600 + 3600, "seconds, not ms"


def test_the_native_call_answers_with_a_venue_id(told: dict[str, Any]) -> None:
    answer = told["calls"]["call_endpoint"]
    assert list(answer) == ["src", "venue", "venue_id", "error", "data", "rate_limits"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", answer["venue_id"])
    (row,) = answer["data"]
    assert (row["symbol"], row["tickSize"]) == ("XBTUSD", 0.5)


def test_orders_say_what_became_of_them(told: dict[str, Any]) -> None:
    calls, (bid, _) = told["calls"], told["touch"]
    limit = calls["create_limit_order"]["data"]
    assert (limit["order_price"], limit["order_size"], limit["remain_size"]) == (bid - 500, 200.0, 200.0)
    market = calls["create_market_order"]["data"]
    assert (market["side"], market["order_type"], market["remain_size"]) == ("Sell", "MARKET", 0.0)
    (held,) = calls["fetch_positions"]["data"]
    assert (held["side"], held["pos_size"], held["entry_price"]) == ("Sell", 100.0, market["order_price"])
    amended = calls["amend_order"]["data"]
    assert (amended["order_price"], amended["order_size"]) == (bid - 400, 100.0)
    (cancelled,) = calls["cancel_order"]["data"]
    assert (cancelled["order_id"], cancelled["remain_size"]) == (limit["order_id"], 0.0)


def test_an_api_error_is_thrown_in_the_bot(told: dict[str, Any]) -> None:
    assert "The symbol 'DOGGUSD' does not exist" in told["refused"]["text"]
    assert told["refused"]["type"] == "ApiError"


def test_the_three_rules_of_cancel_order(told: dict[str, Any]) -> None:
    one, symbol, everything = told["cancelled"]
    assert (one, sorted(symbol), everything) == ([0], [1, 2], [3])


def test_what_an_amendment_leaves_out_of_order_update(told: dict[str, Any]) -> None:
    of_price, of_size = map(set, told["amended"])
    assert "order_price" in of_price
    assert not {"order_size", "remain_size"} & of_price
    assert {"order_size", "remain_size"} <= of_size
    assert "order_price" not in of_size
    assert "order_id" in of_price & of_size


def test_times(told: dict[str, Any]) -> None:
    times = told["times"]
    assert times["now"] is True
    assert times["epoch_now"] // 1000 == times["unix_now"]
    assert (type(times["unix_now"]), type(times["epoch_now"]), type(times["second"])) == (int, int, float)
    assert times["second"] == pytest.approx(times["epoch_now"] / 1000 % 60, abs=0.001)
    assert times["iso_now"].startswith("2025-01-01T00:00:0")
    assert times["candle_bin"] == 1681187280000
    assert told["threads"][0] == told["threads"][1]


def test_the_webhooks_of_the_document(tmp_path: Path) -> None:
    source = (BOTS / "documented.py").read_text("utf-8").replace("self.times()", "return")
    with running(tmp_path, source, lambda call, bot: envelope([])) as bot:
        until(lambda: bot.it is not None)
        bot.runtime.tell(WebRequest(1, "get", "balances", {"venue": "BitMEX"}))
        assert bot.host.wait(WebAnswer).value == envelope([])
        bot.runtime.tell(WebRequest(2, "post", "cancel_order", {"venue": "BitMEX", "order_id": "ORDER_ID"}))
        assert bot.host.wait(WebAnswer, 2).status == 200
        assert [each.name for each in bot.host.calls("fetch_balances")] == ["fetch_balances"]
        (cancel,) = bot.host.calls("cancel_order")
        assert cancel.arguments == {"venue": "BitMEX", "order_id": "ORDER_ID"}


# -- the document of Signals, as it stands -----------------------------------------------------------------------------


def examples(shared: Path) -> list[str]:
    """The Python of the document, in its order."""
    lines = (shared / "docs" / "profitview-signals.txt").read_text("utf-8").splitlines()
    text = "\n".join(re.sub(r"^>>> ?", "", line) for line in lines)
    return [dedent(each) for each in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)]


def parses(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


HEAD = """\
import json
import traceback
import talib
from profitview import Link, cron, http, logger

error_condition = False
your_topic, your_data = "topic", {}

class Signals(Link):
    def __init__(self):
        self.ran, self.raised, self.rsi = [], [], 0
        super().__init__()

    def on_stop(self):
        print(json.dumps({"ran": self.ran, "raised": self.raised}))

    def run_examples(self, src, sym):
        for name in sorted(each for each in dir(self) if each.startswith("example_")):
            try:
                getattr(self, name)(src, sym)
                self.ran.append(name)
            except BaseException:
                self.raised.append(name + traceback.format_exc())

    def trade_update(self, src, sym, data):
        if not self.ran and sym in self.quotes[src]:
            self.run_examples(src, sym)

"""


def test_the_statements_of_the_signals_document_run(shared: Path, tmp_path: Path) -> None:
    found = examples(shared)
    statements = [each for each in found if parses(each) and not each.lstrip().startswith(("def ", "@", "from ", "{"))]
    methods = [each for each in found if parses(each) and each.lstrip().startswith(("def ", "@http", "import talib"))]
    assert len(statements) >= 20
    assert len(methods) == 3
    text = HEAD
    for number, body in enumerate(statements):
        text += f"    def example_{number:02}(self, src, sym, topic='t', data=None):\n{indent(body, ' ' * 8)}\n"
    text += indent("\n".join(methods).replace("import talib\n", ""), "    ")
    file = tmp_path / "examples.py"
    file.write_text(text, "utf-8")
    market = walk("bitmex", "XBTUSD", 60_000.0, 80, 15)
    outcome = run(tmp_path, file, [market], "--venue=BitMEX=bitmex")
    last = outcome.said[-1]
    assert last["raised"] == []
    assert last["ran"] == [f"example_{number:02}" for number in range(len(statements))]
    assert outcome.result["errors"] == 0, outcome.errors
    # the examples that signal say size=0.5, mid=30000, bid=29500, quote=[29950, 30050] ...
    assert "quote=" in outcome.errors


def test_the_schedule_of_the_signals_document_runs_as_it_stands(shared: Path, tmp_path: Path) -> None:
    (text,) = [each for each in examples(shared) if each.startswith("from profitview")]
    file = tmp_path / "schedule.py"
    file.write_text(text, "utf-8")
    outcome = run(tmp_path, file, [walk("bitmex", "XBTUSD", 60_000.0, 200, 1)], "--subscribe=bitmex:XBTUSD", "-v")
    assert outcome.errors.count("refreshing...") == 4, "at once, and after 60, 120 and 180 s"
    assert (
        "4 signals of bitmex XBTUSD had no bot to execute them; the last one of the market: size=0.1" in outcome.errors
    )
    assert outcome.result["errors"] == 0


def test_link_has_the_signatures_of_the_signals_document(shared: Path) -> None:
    found = [re.fullmatch(r"def (\w+)\(self, (.*)\)\s*", each) for each in examples(shared)]
    signatures = {match[1]: match[2] for match in found if match}
    assert set(signatures) == {"quote_update", "trade_update", "candle_update_1m"}
    for name, documented in signatures.items():
        names = [each.split(":")[0].strip() for each in documented.split(",")]
        assert list(inspect.signature(getattr(Link, name)).parameters)[1:] == names


def test_the_webhooks_of_the_signals_document(shared: Path, tmp_path: Path) -> None:
    methods = [each for each in examples(shared) if each.startswith("@http.route\ndef")]
    source = "from profitview import Link, http\nclass Signals(Link):\n" + indent("\n".join(methods), "    ")
    with running(tmp_path, source) as bot:
        until(lambda: bot.it is not None)
        bot.runtime.tell(WebRequest(1, "get", "status", {}))
        assert bot.host.wait(WebAnswer) == WebAnswer(1, 200, {"ok": True})
        bot.runtime.tell(WebRequest(2, "post", "webhook", {"price": "30000"}))
        assert bot.host.wait(WebAnswer, 2).status == 200
        (signal,) = [each for each in bot.host.told if type(each).__name__ == "Signalled"]
        assert (signal.src, signal.sym, signal.intents) == ("bitmex", "XBTUSD", {"mid": "30000"})
