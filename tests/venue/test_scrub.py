"""Messages in logs: no key, signature or token of them is left."""

import pytest

from mlthon.venue.scrub import MOST, scrub


@pytest.mark.parametrize(
    "text",
    [
        '{"listenKey":"SECRET","e":"x"}',
        '{"apiKey": "SECRET"}',
        '{"X-BAPI-API-KEY": "SECRET"}',
        '{"params":{"signature":"SECRET"}}',
        '{"sign":"SECRET"}',
        '{"listenToken": "SECRET',
        '{"secret":"a\\"SECRET"}',
        "/api/v3/order?symbol=BTC&signature=SECRET&x=1",
        "apiKey=SECRET",
        '{"op":"auth","args":["SECRET",1662350400000,"abc"]}',
        '{"op": "authKeyExpires", "args": ["x", 1, "SECRET"]}',
        "anything with TOP-SECRET in it",
    ],
)
def test_no_secret_is_left(text):
    assert "SECRET" not in scrub(text.encode(), ("TOP-SECRET",))


def test_the_rest_stays_and_long_messages_are_cut():
    assert scrub(b'{"price":"1.5","side":"Buy"}') == '{"price":"1.5","side":"Buy"}'
    assert scrub(b"\xff{") == "\\xff{"
    assert len(scrub(b"x" * 10_000)) < MOST + 40
