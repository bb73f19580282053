"""Signing against the recorded vectors and against public keys; calls, limits, error codes and messages."""

import base64
import json
from pathlib import Path
from urllib.parse import parse_qs

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from mlthon.basics.defs import Exchange, GtwRejectCode
from mlthon.protocols import binance_account as wire
from mlthon.protocols.binance_errors import reject_code
from mlthon.protocols.binance_rules import ENDPOINTS, LIMITS, USAGE_HEADERS, Spot, Usdm
from mlthon.protocols.binance_signing import Signer, hmac_signature, websocket_text

PARAMS = [("symbol", "BTCUSDT"), ("newClientOrderId", "a:b/c"), ("timestamp", "1735689600000")]


def pem(key: Ed25519PrivateKey | RSAPrivateKey, password: str = "") -> str:
    encryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode()


def test_signatures_of_all_clients(shared: Path) -> None:
    lines = (shared / "exchange-clients" / "SIGNATURES.jsonl").read_text().splitlines()
    vectors = [each for line in lines if (each := json.loads(line))["exchange"].startswith("binance")]
    assert len(vectors) == 52
    for each in vectors:
        assert Signer(each["key"], each["secret"]).sign(each["prehash"]) == each["signature"], each["call"]


def test_websocket_signatures_of_all_clients(shared: Path) -> None:
    signed = 0
    for exchange in ("binance", "binanceusdm"):
        for recording in sorted((shared / "exchange-clients" / "recordings" / exchange).iterdir()):
            for line in recording.read_text().splitlines():
                params = json.loads(line).get("ws_send", {}).get("params")
                if not isinstance(params, dict) or "signature" not in params:
                    continue
                # Booleans are spelt as in JSON where they are signed.
                spelt = {name: str(value).lower() if value is True or value is False else value
                         for name, value in params.items()}  # fmt: skip
                assert hmac_signature("test-secret", websocket_text(spelt)) == params["signature"], line
                signed += 1
    assert signed >= 20


def test_a_query_ends_with_its_signature() -> None:
    text = "symbol=BTCUSDT&newClientOrderId=a%3Ab%2Fc&timestamp=1735689600000"
    assert Signer("key", "secret").query(PARAMS) == f"{text}&signature={hmac_signature('secret', text)}"


def test_ed25519_signatures_hold() -> None:
    key = Ed25519PrivateKey.generate()
    query = Signer("key", pem(key), "ed25519").query(PARAMS)
    text, _, _ = query.partition("&signature=")
    signature = base64.b64decode(parse_qs(query)["signature"][0], validate=True)
    key.public_key().verify(signature, text.encode())
    params = Signer("key", pem(key), "ed25519").websocket_params({"timestamp": 1})
    key.public_key().verify(base64.b64decode(str(params["signature"])), b"apiKey=key&timestamp=1")


def test_rsa_signatures_hold() -> None:
    key = generate_private_key(65537, 2048)
    query = Signer("key", pem(key, "pass"), "rsa", "pass").query(PARAMS)
    text, _, _ = query.partition("&signature=")
    signature = base64.b64decode(parse_qs(query)["signature"][0], validate=True)
    key.public_key().verify(signature, text.encode(), PKCS1v15(), SHA256())


@pytest.mark.parametrize(
    ("secret", "kind", "match"),
    [
        ("the-secret", "ed25519", "no private key in PEM"),
        ("the-secret", "rsa", "no private key in PEM"),
        (pem(Ed25519PrivateKey.generate()), "rsa", "not of kind rsa"),
        (pem(Ed25519PrivateKey.generate(), "right"), "ed25519", "passphrase"),
        ("the-secret", "dsa", "no keys of kind 'dsa'"),
    ],
)
def test_keys_that_are_refused(secret: str, kind: str, match: str) -> None:
    with pytest.raises(ValueError, match=match) as refusal:
        Signer("the-key", secret, kind)
    assert "the-secret" not in str(refusal.value)
    assert refusal.value.__cause__ is None


def test_a_signer_shows_no_secret() -> None:
    assert repr(Signer("the-key", "the-secret")) == "<hmac signer>"


@pytest.mark.parametrize(("exchange", "calls"), [(Exchange.Binance, Spot), (Exchange.BinanceUsdm, Usdm)])
def test_calls_name_limits_and_bases_that_exist(exchange: Exchange, calls: type[object]) -> None:
    names = {name for name, _, _ in LIMITS[exchange]}
    made = [call for name, call in vars(calls).items() if name.isupper()]
    assert len(made) > 10
    for call in made:
        assert call.exchange is exchange
        assert {name for name, _ in call.costs} <= names
        assert call.base in ENDPOINTS[exchange]["main"]
        assert call.keyed or not call.signed
    assert names <= set(USAGE_HEADERS.values())


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (-2010, "Account has insufficient balance for requested action.", GtwRejectCode.InsufficientBalance),
        (-2010, "something new", GtwRejectCode.InvalidRequest),
        (-5021, "", GtwRejectCode.FokNotFillable),
        (-9999, "", GtwRejectCode.InvalidRequest),
    ],
)
def test_error_codes(code: int, text: str, expected: GtwRejectCode) -> None:
    assert reject_code(code, text) is expected


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("binance/nautilus/http_json/account_response.json", wire.SpotAccount),
        ("binance/nautilus/http_json/account_trades_response.json", list[wire.MyTrade]),
        ("binance/nautilus/http_json/all_orders_response.json", list[wire.Order]),
        ("binance/nautilus/http_json/new_order_full_response.json", wire.Order),
        ("binance/nautilus/http_json/cancel_order_response.json", wire.Order),
        ("binance/nautilus/http_json/exchange_info_response.json", wire.ExchangeInfo),
        ("binance/nautilus-py/http_responses/http_spot_market_klines.json", list[wire.Kline]),
        ("binance/xchange/__files/open-orders.json", list[wire.Order]),
        ("binance/xchange/__files/withdraw-400.json", wire.ErrorBody),
        ("binance-usdm/nautilus/http_json/open_algo_orders.json", list[wire.AlgoOrder]),
        ("binance-usdm/nautilus-py/http_responses/http_futures_market_klines.json", list[wire.Kline]),
        ("binance-usdm/nautilus-py/http_responses/http_futures_account_positions_hedge.json", list[wire.PositionRisk]),
        (
            "binance-usdm/nautilus-py/http_responses/http_futures_account_positions_one_way.json",
            list[wire.PositionRisk],
        ),
        ("binance-usdm/nautilus-py/http_responses/http_futures_account_position_side_dual.json", wire.PositionMode),
        ("binance-usdm/nautilus-py/http_responses/http_futures_account_orders.json", list[wire.Order]),
        (
            "binance-usdm/nautilus-py/http_responses/http_futures_wallet_commission_rate_ethusdt.json",
            wire.CommissionRate,
        ),
    ],
)
def test_samples_decode(shared: Path, name: str, kind: type[object]) -> None:
    assert wire.decode((shared / "exchange-data" / name).read_bytes(), kind)


def test_a_missing_field_is_an_error() -> None:
    with pytest.raises(msgspec.ValidationError, match="orderId"):
        wire.decode(b'{"symbol":"BTCUSDT"}', wire.Order)
