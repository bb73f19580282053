"""BitMEX's signatures against those of real clients, and its tables, numbers and times."""

import gzip
import json
import re
from decimal import Decimal
from pathlib import Path

import pytest

from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import CancelCode, Exchange, GtwRejectCode
from mlthon.protocols import bitmex as spelling


def test_recorded_signatures(shared: Path) -> None:
    vectors = [
        json.loads(line)
        for line in (shared / "exchange-clients/SIGNATURES.jsonl").read_text().splitlines()
        if '"exchange": "bitmex"' in line
    ]
    logins = 0
    for vector in vectors:
        found = re.fullmatch(r"([A-Z]+)(/.*?)(1735\d+)(\{.*)?", vector["prehash"])
        assert found is not None
        verb, target, expires, body = found.groups()
        assert spelling.sign(vector["secret"], verb, target, int(expires), body or "") == vector["signature"]
        if target == spelling.REALTIME:
            logins += 1
            assert spelling.sign_realtime(vector["secret"], int(expires)) == vector["signature"]
    assert (len(vectors), logins) == (20, 2)


def test_signed_requests_of_ccxt(shared: Path) -> None:
    path = shared / "exchange-data/bitmex/ccxt/bitmex.signed-requests.json.gz"
    with gzip.open(path) as file:
        found = json.load(file)
    checked = 0
    for entry in found["entries"]:
        http = entry["http"]
        if "api-signature" not in http["headers"]:
            continue
        target = http["url"].partition(".com")[2]
        expires = int(http["headers"]["api-expires"])
        signed = spelling.sign(found["credentials"]["secret"], http["method"], target, expires, http["body"] or "")
        assert signed == http["headers"]["api-signature"], entry["description"]
        checked += 1
    assert checked > 40


def test_numbers_are_exact() -> None:
    steps = spelling.Steps(5 * 10**17)
    assert [steps[text] for text in (b"32180.5", b"1e3", b"3.21805E4", b"-1")] == [64361, 2000, 64361, -2]
    with pytest.raises(ValueError, match=r"0\.3 is not a multiple of 0\.5"):
        steps[b"0.3"]
    with pytest.raises(ValueError, match="not a number"):
        steps[b"null"]
    whole = spelling.WholeSteps(100 * 10**18)
    assert (whole[b"250"], whole[b"250"], whole.cut) == (2, 2, 1)
    assert spelling.steps(Decimal("1E+3"), 10**18) == 1000


def test_lots() -> None:
    def lot(symbol: str) -> int:
        return spelling.lot_size(resolve(Exchange.BitMEX, symbol)) // 10**18

    # The lotSize of the exchange's own instrument answers of 2021 and 2024.
    assert [lot(symbol) for symbol in ("XBTUSD", "XBT_USDT", "ETH_USDT")] == [100, 10000, 1_000_000]


def test_times_and_ids() -> None:
    assert spelling.nanoseconds("2021-07-22T22:36:10.014Z") == 1626993370014000000
    assert spelling.timestamp(1626993370014999999) == "2021-07-22T22:36:10.014Z"
    with pytest.raises(ValueError, match="time zone"):
        spelling.nanoseconds("2021-07-22T22:36:10.014")
    assert spelling.trade_number("00000000-006d-1000-0000-000e8737d540") == 0xE8737D540
    assert spelling.trade_number("8f8fe9db-eb13-26a5-dea2-a398d89e04a8") == 0x5EA2A398D89E04A8


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Canceled: Order had execInst of ParticipateDoNotInitiate\nSubmitted via API.", CancelCode.PostOnlyWouldTake),
        ("Canceled: Canceled via API.\nSubmitted via API.", CancelCode.CanceledByUser),
        ("Canceled\nCanceled via API.", CancelCode.CanceledByUser),
        ("Canceled: Order had timeInForce of ImmediateOrCancel\nSubmitted", CancelCode.TimeInForce),
        ("Canceled: Order had ordType of Market\nSubmitted via API.", CancelCode.NoLiquidity),
        ("Canceled: weather", CancelCode.ByExchange),
    ],
)
def test_why_cancelled(text: str, code: CancelCode) -> None:
    assert spelling.cancel_code(text) is code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (spelling.DUPLICATE_ID, GtwRejectCode.DuplicateClientId),
        ("Account has insufficient Available Balance, 5 XBt required", GtwRejectCode.InsufficientMargin),
        ("Invalid price tickSize", GtwRejectCode.PriceNotOnTick),
        ("Invalid orderQty", GtwRejectCode.InvalidQty),
        (spelling.BAD_SIGNATURE, GtwRejectCode.NotLoggedIn),
        ("Whatever", GtwRejectCode.InvalidRequest),
    ],
)
def test_why_refused(text: str, code: GtwRejectCode) -> None:
    assert spelling.reject_code(text) is code


def test_missing_and_final() -> None:
    assert spelling.is_missing("Unable to cancel order due to existing state: Filled")
    assert not spelling.is_missing("Invalid price")
    assert spelling.is_final(spelling.BAD_KEY)
    assert not spelling.is_final(spelling.EXPIRED)
