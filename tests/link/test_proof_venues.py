"""The synthetic currency of the platform's document on several venues: a bot with a package beside it trades recorded
OANDA ticks of EUR_USD against ETHUSD on BitMEX, both legs, and the second of them fails."""

import csv
import io
import math
import re
import zipfile
from pathlib import Path

import pytest

from mlthon.engine.clock import SECOND
from tests.link.bots.kit import Outcome, place, run, walk

DAY = 1_398_902_400 * SECOND
"""2014-05-01 UTC, the day of the recording."""
LOT = 237.0
VENUES = f'''
"""What the user's bots share."""

from mlthon.link.venues import LegOpen, Venue, trade_pair

ETHEUR = {{"fx": "EUR_USD", "crypto": "ETHUSD", "lot": {LOT}}}
'''


def ticks(file: Path) -> list[tuple[int, float, float]]:
    """The recorded ticks, read here by hand: ms since midnight, bid, ask."""
    with zipfile.ZipFile(file) as archive:
        text = archive.read(archive.namelist()[0]).decode()
    return [(int(ms), float(bid), float(ask)) for ms, bid, ask in csv.reader(io.StringIO(text))]


@pytest.fixture(scope="module")
def recorded(shared: Path) -> Path:
    return shared / "exchange-data" / "oanda" / "lean" / "tick-eurusd" / "20140501_quote.zip"


@pytest.fixture(scope="module")
def outcome(shared: Path, recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    folder = tmp_path_factory.mktemp("synthetic")
    text = (shared / "docs" / "profitview-multi-venue.txt").read_text("utf-8")
    (function,) = re.findall(r"```python\n(def crypto_fiat_trade.*?)```", text, re.DOTALL)
    (folder / "document.py").write_text(f"import math\n\n{function}", "utf-8")
    (folder / "my").mkdir()
    (folder / "my" / "venues.py").write_text(VENUES, "utf-8")
    market = walk("bitmex", "ETHUSD", 450.0, 120, 1, start=DAY + 60 * SECOND)
    options = ("--data", str(recorded), "--venue=OANDA=oanda", "--venue=BitMEX=bitmex", "--subscribe=oanda:EUR_USD")
    begin = ("--start=2014-05-01T00:01:00", "--duration=90s")
    return run(folder, place(folder, "crypto_fiat", rough=True), [market], *options, *begin)


def test_the_venues_mark_their_prices(outcome: Outcome, recorded: Path) -> None:
    fx, crypto = outcome.said[-1]["marks"]
    seen = [(bid + ask) / 2 for ms, bid, ask in ticks(recorded) if 55_000 <= ms < 90_000]
    assert min(abs(fx - each) for each in seen) < 1e-9
    assert crypto == pytest.approx(450, abs=5)


def test_the_documents_trade_has_both_legs(outcome: Outcome, recorded: Path) -> None:
    told = outcome.said[-1]
    assert told["small"] == "Failure: quantity too small for crypto lot size"
    lots = math.floor(1000 * told["marks"][0] / LOT)
    fx, crypto = told["document"]
    assert (fx["sym"], fx["side"], fx["order_size"]) == ("EUR_USD", "Sell", lots * LOT)
    assert (crypto["sym"], crypto["side"], crypto["order_size"]) == ("ETHUSD", "Buy", float(lots))
    assert told["held"] == [-lots * LOT, float(lots)]
    bids = {bid for ms, bid, _ in ticks(recorded) if 55_000 <= ms < 90_000}
    assert outcome.filled("OANDA")[0].price in bids, "sold at a bid that was recorded"


def test_a_pair_trades_back_what_is_worth_as_much(outcome: Outcome) -> None:
    pair = outcome.said[-1]["pair"]
    lots = math.floor(500 * outcome.said[-1]["marks"][0] / LOT)
    assert (pair["error"], pair["missing"], pair["unwound"]) == (None, 0.0, None)
    assert [(each["side"], each["order_size"]) for each in (pair["first"], pair["second"])] == [
        ("Buy", 500.0),
        ("Sell", float(lots)),
    ]


def test_a_second_leg_that_fails_has_the_first_one_unwound_or_reported(outcome: Outcome) -> None:
    told = outcome.said[-1]
    unwound, reported = told["unwound"], told["reported"]
    for each in (unwound, reported):
        assert (each["second"], each["missing"]) == (None, 1.0)
        assert "above the maximum 10000000" in each["error"]
        assert (each["first"]["side"], each["first"]["order_size"]) == ("Sell", 2000.0)
    assert (unwound["unwound"]["side"], unwound["unwound"]["order_size"]) == ("Buy", 2000.0)
    assert reported["unwound"] is None
    fx, crypto = told["held"]
    lots = math.floor(500 * told["marks"][0] / LOT)
    assert told["left"] == [fx + 500 - 2000, crypto - lots], "what was only reported is still there"
    assert outcome.filled("OANDA")[-1].position == fx - 1500
    assert outcome.filled("BitMEX")[-1].position == crypto - lots
