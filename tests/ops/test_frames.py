"""Whatever bytes come over the control socket, reading them gives asks or `WireError`, and nothing else."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlthon.link.wire import Decoder, WireError, encode, frame
from mlthon.ops.contract import MOST_BYTES, Ask, GetStatus, RunCommand, WebCall

ASKS = [
    Ask(1, "anna", GetStatus()),
    Ask(2, "anna", RunCommand("grid", "size", ["1", "2"]), 5),
    Ask(3, "web", WebCall("bot", "get", "x", {"a": [1, None, {"b": 2.5}]})),
]


def decoder() -> Decoder[Ask]:
    return Decoder(msgspec.msgpack.Decoder(list[Ask]), MOST_BYTES)


def read(data: bytes) -> list[Ask] | None:
    """What is read, None where it cannot be."""
    try:
        return decoder().feed(data)
    except WireError:
        return None


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    for each in (data, frame([data]), len(data).to_bytes(4, "big") + data):
        found = read(each)
        assert found is None or all(isinstance(ask, Ask) for ask in found)


@given(st.integers(0, 2), st.data())
def test_an_ask_with_a_byte_changed(which: int, data: Any) -> None:
    whole = bytearray(frame([encode(ASKS[which])]))
    whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    found = read(bytes(whole))
    assert found is None or all(isinstance(ask, Ask) for ask in found)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=5), st.lists(st.integers(1, 40), max_size=10))
def test_what_is_asked_arrives_however_it_is_cut(data: dict[str, Any], cuts: list[int]) -> None:
    asked = Ask(7, "web", WebCall("bot", "post", "route", data))
    sent = frame([encode(asked)]) + frame([encode(each) for each in ASKS])
    reader = decoder()
    found: list[Ask] = []
    at = 0
    for cut in [*cuts, len(sent)]:
        found += reader.feed(sent[at : at + cut])
        at += cut
    assert found == [asked, *ASKS]


@pytest.mark.parametrize("length", [MOST_BYTES + 1, 2**31, 2**32 - 1])
def test_a_frame_that_is_too_long_is_refused_before_it_has_come(length: int) -> None:
    with pytest.raises(WireError, match="more than"):
        decoder().feed(length.to_bytes(4, "big"))
