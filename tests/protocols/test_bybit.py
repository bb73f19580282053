"""Bybit's signing against vectors of real clients, and its tables."""

import json
from pathlib import Path

import pytest

from mlthon.basics.catalogue import instruments
from mlthon.basics.defs import Exchange, GtwRejectCode
from mlthon.protocols import bybit, bybit_errors


def test_every_signature_vector(shared: Path) -> None:
    lines = (shared / "exchange-clients" / "SIGNATURES.jsonl").read_text().splitlines()
    vectors = [row for row in map(json.loads, lines) if row["exchange"] == "bybit"]
    assert len(vectors) > 20
    for row in vectors:
        assert bybit.hmac_signer(row["secret"])(row["prehash"]) == row["signature"], row["call"]


def test_what_is_signed() -> None:
    assert bybit.prehash(1, "k", 5000, "a=b") == "1k5000a=b"
    assert bybit.websocket_prehash(7) == "GET/realtime7"


def test_kinds_of_keys() -> None:
    with pytest.raises(ValueError, match="takes hmac and rsa"):
        bybit.signer("ed25519", "x")
    with pytest.raises(ValueError, match="no RSA private key") as caught:
        bybit.signer("rsa", "very-secret")
    assert "very-secret" not in str(caught.value)


def test_symbol_and_category_name_an_instrument() -> None:
    names = [(bybit.category(each), each.symbol) for each in instruments(Exchange.Bybit)]
    assert len(set(names)) == len(names)
    assert ("inverse", "BTCUSD") in names
    assert {("spot", "BTCUSDT"), ("linear", "BTCUSDT")} <= set(names)


def test_error_codes() -> None:
    assert bybit_errors.reject_code(10006) is GtwRejectCode.RateLimited
    assert bybit_errors.reject_code(110007) is GtwRejectCode.InsufficientBalance
    assert bybit_errors.reject_code(999999) is GtwRejectCode.Unset
    assert not bybit_errors.UNKNOWN & (bybit_errors.MISSING | bybit_errors.LIMITED | bybit_errors.FINAL)
