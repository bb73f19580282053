"""The frames between a bot and its host."""

import math
from typing import Any

import msgspec
import numpy as np
import pytest

from mlthon.link import wire
from mlthon.link.contract import (
    Answer,
    Call,
    Dropped,
    Failed,
    Health,
    Hello,
    Loaded,
    Logged,
    Private,
    Publish,
    Published,
    Raised,
    RedisPublish,
    RedisSubscribe,
    Signalled,
    Started,
    Stop,
    Stopped,
    StopTrading,
    ToBot,
    ToHost,
    WebAnswer,
    WebRequest,
)

VENUES = {"BitMEX": {"id": "abc", "kind": "paper", "name": "BitMEX", "src": "bitmex"}}
UP: list[ToBot] = [
    Hello(
        "mine",
        "bot.py",
        VENUES,
        [("bitmex", "XBTUSD")],
        {"bitmex": {"XBTUSD": {"tickSize": 0.5}}},
        reload=True,
        quotes=[(0, 1.0, 2.0, 1.5, 3.0, 1_700_000_000_000)],
        trades=[(0, -1, 1.5, 2.0, 1_700_000_000_001)],
    ),
    Private("order_update", "bitmex", "XBTUSD", {"venue": "BitMEX", "order_size": 100.0, "info": {"a": [1, None]}}),
    Answer(7, {"src": "bitmex", "venue": "BitMEX", "error": None, "data": [], "rate_limits": {"remaining": 42}}),
    Published("intent", ["Buy", "XBTUSD", 20000.5]),
    WebRequest(3, "post", "order", {"size": "1"}),
    Health([{"src": "bitmex", "live": True}], []),
    Dropped(0, 12),
    Stop("asked to"),
]
DOWN: list[ToHost] = [
    Call(1, "create_limit_order", {"venue": "BitMEX", "sym": "XBTUSD", "price": 20000.5}),
    Loaded("Trading", ["trade_update"], [("get", "status")]),
    Started(),
    Signalled("bitmex", "XBTUSD", {"quote": [1.0, 2.0]}),
    Publish("status", {"ok": True}),
    RedisPublish("intent", "x"),
    RedisSubscribe(["intent"]),
    WebAnswer(3, 200, {"é": [1, 2.5, None]}),
    Raised("trade_update", "ValueError: x", "Traceback"),
    Logged(20, "hello"),
    StopTrading("enough"),
    Failed("no class", "write one"),
    Stopped(),
]


def plain(item: Any) -> Any:
    return msgspec.to_builtins(item)


def test_every_message_arrives_as_it_was_sent_however_the_stream_is_cut() -> None:
    for messages, decoder in ((UP, wire.to_bot), (DOWN, wire.to_host)):
        stream = b"".join(wire.frame([wire.encode(each)]) for each in messages)
        stream += wire.frame([wire.encode(each) for each in messages])
        for size in (1, 3, 1000, len(stream)):
            reader: Any = decoder()
            found = [item for at in range(0, len(stream), size) for item in reader.feed(stream[at : at + size])]
            assert [plain(each) for each in found] == [plain(each) for each in messages + messages]
            assert [type(each) for each in found[: len(messages)]] == [type(each) for each in messages]


def test_market_data_are_bare_tuples_with_floats_kept_and_an_empty_side_nan() -> None:
    reader = wire.to_bot()
    quote, trade, stop = reader.feed(
        wire.frame(
            [
                wire.encode_quote(3, 100.0, 5.0, math.nan, math.nan, 1_678_364_572_949),
                wire.encode_trade(0, -1, 21611.5, 200.0, 1_678_364_683_876),
                wire.encode(Stop("x")),
            ]
        )
    )
    assert isinstance(quote, tuple)
    assert len(quote) == wire.QUOTE_LENGTH
    assert quote[:3] == (3, 100.0, 5.0)
    assert isinstance(quote[1], float)
    assert math.isnan(quote[3])
    assert trade == (0, -1, 21611.5, 200.0, 1_678_364_683_876)
    assert stop == Stop("x")


def test_a_broken_stream_is_named() -> None:
    with pytest.raises(wire.WireError, match="no list of messages"):
        wire.to_bot().feed(b"\x00\x00\x00\x01\xc0")
    with pytest.raises(wire.WireError, match="more than"):
        wire.to_host().feed(b"\xff\xff\xff\xff")
    with pytest.raises(wire.WireError, match="no list of messages"):
        wire.to_host().feed(wire.frame([wire.encode(Stop("goes up, not down"))]))


def test_what_json_cannot_say_is_refused_with_the_name_of_the_message() -> None:
    with pytest.raises(wire.WireError, match="Publish cannot be sent"):
        wire.encode(Publish("x", np.arange(3)))
    with pytest.raises(wire.WireError, match="Publish cannot be sent"):
        wire.encode(Publish("x", 2**80))


def test_many_items_become_frames_that_are_taken_and_keep_their_order() -> None:
    told = [Publish("news", f"{number}{'x' * 100_000}") for number in range(700)]
    decoder, found = wire.to_host(), []
    frames = list(wire.frames([wire.encode(each) for each in told]))
    for each in frames:
        assert len(each) < wire.ENOUGH + 200_000
        found += decoder.feed(each)
    assert found == told
    assert list(wire.frames([])) == []


def test_a_message_that_no_frame_may_hold_is_not_sent() -> None:
    with pytest.raises(wire.WireError, match=r"Publish cannot be sent: .* bytes are more than"):
        wire.encode(Publish("news", "x" * wire.LARGEST_ITEM))
