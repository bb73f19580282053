"""Market data on its last step: who hears what, in which order, and what happens around a gap."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlthon.api.istrat_env import MDSub
from mlthon.basics.defs import Exchange, FeedHandlerStatus, Side
from mlthon.basics.price import Price
from mlthon.basics.qty import Qty
from mlthon.engine.faces import LIVE, NO_BID, ORDER_ASK, ORDER_BID, RESET, SET_ASK, SET_BID, STALE
from mlthon.engine.feed import Lane
from tests.engine.rig import BTC, ETH, USDM_BTC, Recorder, Rig

STATUS = "on_feed_handler_status"
LEVELS = ("on_add_price_level", "on_modify_price_level", "on_delete_price_level")


def subscribed(*kinds: MDSub, instruments: Any = BTC, strategy: Any = None) -> Rig:
    rig = Rig(strategy or Recorder())
    rig.env.subscribe_to_market_data(Exchange.Bybit, instruments, list(kinds))
    rig.wait(0)
    rig.strategy.calls.clear()
    return rig


def quote(rig: Rig, bid: int, ask: int, bid_qty: int = 1, ask_qty: int = 1) -> None:
    now = rig.clock.now
    rig.engine.feed(BTC).quote(bid, bid_qty, ask, ask_qty, now, now)


def book(rig: Rig, instrument: Any, *events: tuple[int, int, int]) -> None:
    for op, price, qty in events:
        rig.engine.feed(instrument).book(op, price, qty, 0, rig.clock.now, rig.clock.now)


def statuses(rig: Rig) -> list[tuple[str, str]]:
    return [(each[1].name, each[2]) for each in rig.strategy.of(STATUS)]


def test_levels_of_a_message_at_once_are_those_one_by_one() -> None:
    told = []
    for at_once in (False, True):
        rig = subscribed(MDSub.PriceLevelBook, MDSub.LevelBook)
        feed = rig.engine.feed(BTC)
        feed.expect_books()
        book(rig, BTC, (RESET, 0, 0), (SET_BID, 100, 1), (SET_ASK, 102, 1), (LIVE, 0, 0))
        if at_once:
            feed.changes([(100, 2), (99, 1)], [(102, 0), (103, 4)], 7, 8)
        else:
            for op, price, qty in ((SET_BID, 100, 2), (SET_BID, 99, 1), (SET_ASK, 102, 0), (SET_ASK, 103, 4)):
                feed.book(op, price, qty, 0, 7, 8)
        told.append(rig.strategy.calls)
    assert told[0] == told[1]
    assert len(told[0]) > 8


def test_a_level_that_comes_back_has_the_id_that_it_comes_with() -> None:
    rig = subscribed(MDSub.LevelBook)
    feed = rig.engine.feed(BTC)
    feed.expect_books()
    feed.book(RESET, 0, 0, 0, 1, 1)
    for qty, level_id in ((1, 70), (0, 70), (2, 71)):
        feed.book(SET_BID, 100, qty, level_id, 1, 1)
    feed.book(LIVE, 0, 0, 0, 1, 1)
    feed.book(SET_BID, 100, 0, 71, 1, 1)
    feed.changes([(100, 3)], [], 1, 1)
    ids = [each[2:4] for each in rig.strategy.of("on_add_level", "on_delete_level")]
    assert [level_id for _, level_id in ids] == [71, 71, 200]


def test_who_leaves_in_the_midst_of_a_level_hears_no_more_of_it_and_others_do() -> None:
    kinds = [MDSub.PriceLevelBook, MDSub.LevelBook]
    rig = Rig(Recorder(), Recorder())
    leaver, stayer = rig.strategies
    for each in rig.strategies:
        each.env.subscribe_to_market_data(Exchange.Bybit, BTC, kinds)
    rig.wait(0)
    leaver.then["on_add_price_level"] = lambda *_: leaver.env.unsubscribe_from_market_data(Exchange.Bybit, BTC)
    feed = rig.engine.feed(BTC)
    feed.expect_books()
    book(rig, BTC, (RESET, 0, 0), (LIVE, 0, 0))
    feed.changes([(100, 1), (99, 1)], [(101, 1)], 1, 1)
    adds = ("on_add_price_level", "on_add_level")
    assert [len(each.of(name)) for each in (leaver, stayer) for name in adds] == [1, 0, 3, 3]


def test_what_a_callback_of_a_level_raises_is_counted_and_the_rest_is_told() -> None:
    rig = subscribed(MDSub.PriceLevelBook)
    rig.strategy.then = dict.fromkeys(LEVELS, lambda *_: 1 // 0)
    feed = rig.engine.feed(BTC)
    feed.expect_books()
    book(rig, BTC, (RESET, 0, 0), (LIVE, 0, 0))
    feed.changes([(100, 1)], [(101, 1)], 1, 1)
    feed.changes([(100, 2)], [(101, 0)], 1, 1)
    assert [len(rig.strategy.of(name)) for name in LEVELS] == [2, 1, 1]
    assert rig.session.failures == 4


def test_trade_ids_are_read_for_taps_alone() -> None:
    rig = subscribed(MDSub.PublicTrades)
    feed = rig.engine.feed(BTC)
    assert not feed.reads_trade_ids
    feed.add_tap(rig.engine.feed(ETH))
    assert feed.reads_trade_ids


def test_quotes_go_by_who_asked_for_them_whoever_subscribes() -> None:
    rig = subscribed(MDSub.PublicTrades)
    feed = rig.engine.feed(BTC)
    seen: list[int] = []

    def way(to: Lane) -> Lane:
        def quote(bid: int, bid_qty: int, ask: int, ask_qty: int, exch_ts: int, recv_ts: int) -> None:
            seen.append(bid)
            to(bid, bid_qty, ask, ask_qty, exch_ts, recv_ts)

        return quote

    trade = feed.trade
    feed.lead_quotes(way)
    assert feed.hearers is None
    feed.quote(100, 1, 101, 1, 7, 8)
    assert (seen, rig.strategy.calls) == ([100], [])
    rig.env.subscribe_to_market_data(Exchange.Bybit, BTC, [MDSub.BBO])
    rig.wait(0)
    rig.strategy.calls.clear()
    feed.quote(99, 1, 101, 1, 7, 8)
    assert seen == [100, 99]
    assert {each[0] for each in rig.strategy.calls} == {"on_best_bid_level_update", "on_best_ask_level_update"}
    feed.trade(100, 1, 1, 0, 7, 8)
    assert (seen, trade.__qualname__) == ([100, 99], feed.trade.__qualname__)


# -- quotes and trades -------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 5)), min_size=1, max_size=40))
def test_nobody_ever_sees_a_crossed_pair(quotes: list[tuple[int, int]]) -> None:
    rig = subscribed(MDSub.BBO)
    seen: dict[str, Price] = {}
    crossed: list[bool] = []

    def side(name: str) -> Any:
        def take(_: Exchange, __: int, price: Price, ___: Qty, ____: int) -> None:
            seen[name] = price
            crossed.append(len(seen) == 2 and seen["bid"] >= seen["ask"])

        return take

    rig.strategy.then = {"on_best_bid_level_update": side("bid"), "on_best_ask_level_update": side("ask")}
    for bid, spread in quotes:
        quote(rig, bid, bid + spread)
    assert len(crossed) == 2 * len(quotes)
    assert not any(crossed)


def test_each_quote_delivers_both_sides_also_when_one_is_unchanged() -> None:
    rig = subscribed(MDSub.BBO)
    quote(rig, 100, 101)
    quote(rig, 100, 102)
    assert rig.strategy.names() == [
        "on_best_ask_level_update",
        "on_best_bid_level_update",
        "on_best_bid_level_update",
        "on_best_ask_level_update",
    ]
    assert rig.strategy.calls[-1] == (
        "on_best_ask_level_update",
        Exchange.Bybit,
        BTC.number,
        Price("10.2"),
        Qty("0.001"),
        rig.clock.now // 1_000_000,
    )


def test_the_combined_callback_replaces_both() -> None:
    class Combined(Recorder):
        def on_best_levels_update(self, *args: Any) -> None:
            self.calls.append(("both", *args))

    rig = subscribed(MDSub.BBO, strategy=Combined())
    quote(rig, 100, 101, 2, 3)
    assert rig.strategy.names() == ["both"]
    assert rig.strategy.calls[0][3:7] == (Price("10"), Qty("0.002"), Price("10.1"), Qty("0.003"))


def test_an_empty_side_is_told_as_zero() -> None:
    rig = subscribed(MDSub.BBO)
    quote(rig, NO_BID, 101, 0, 1)
    assert rig.strategy.of("on_best_bid_level_update")[0][2:4] == (Price(0), Qty(0))


def test_trades_carry_the_takers_side_and_both_times() -> None:
    rig = subscribed(MDSub.PublicTrades)
    rig.engine.feed(BTC).trade(1005, 7, -1, 42, 5_000_000, 6_000_000)
    assert rig.strategy.calls == [
        ("on_public_trade", Exchange.Bybit, BTC.number, Side.Sell, Price("100.5"), Qty("0.007"), 5, 6)
    ]


def test_only_what_was_asked_for_arrives_and_unsubscribing_ends_it() -> None:
    rig = subscribed(MDSub.PublicTrades)
    quote(rig, 1, 2)
    rig.engine.feed(ETH).trade(1, 1, 1, 1, 1, 1)
    assert rig.strategy.calls == []
    rig.env.unsubscribe_from_market_data(Exchange.Bybit, BTC, MDSub.PublicTrades)
    rig.engine.feed(BTC).trade(1, 1, 1, 1, 1, 1)
    assert rig.strategy.calls == []


@pytest.mark.parametrize("value", [3, (3,), "BBO", MDSub.BBO])
def test_kinds_of_data_resolve_from_number_value_and_name(value: Any) -> None:
    rig = Rig()
    rig.env.subscribe_to_market_data(Exchange.Bybit, [BTC.number], [value])
    quote(rig, 1, 2)
    assert "on_best_bid_level_update" in rig.strategy.names()


# -- books -------------------------------------------------------------------------------------------------------------


def test_a_snapshot_is_delivered_whole_between_start_and_end_and_then_changes_follow() -> None:
    rig = Rig()
    rig.engine.feed(BTC).expect_books()
    rig.env.subscribe_to_market_data(Exchange.Bybit, BTC, MDSub.PriceLevelBook)
    rig.wait(0)
    assert statuses(rig) == [("Disconnected", f"waiting for a snapshot of {BTC.name}")]
    rig.strategy.calls.clear()
    book(rig, BTC, (RESET, 0, 0), (SET_BID, 99, 1), (SET_BID, 100, 2), (SET_ASK, 101, 3))
    assert rig.strategy.calls == []
    book(rig, BTC, (LIVE, 0, 0), (SET_BID, 100, 5), (SET_BID, 100, 5), (SET_ASK, 101, 0), (SET_ASK, 150, 0))
    assert [(each[0], *each[3:5]) for each in rig.strategy.calls] == [
        (STATUS, BTC.name),
        ("on_add_price_level", Side.Buy, Price("10")),
        ("on_add_price_level", Side.Buy, Price("9.9")),
        ("on_add_price_level", Side.Sell, Price("10.1")),
        (STATUS, BTC.name),
        ("on_modify_price_level", Side.Buy, Price("10")),
        ("on_delete_price_level", Side.Sell, Price("10.1")),
    ]


def test_levels_by_id_take_the_exchanges_own_or_one_of_price_and_side() -> None:
    rig = subscribed(MDSub.LevelBook)
    feed = rig.engine.feed(BTC)
    feed.expect_books()
    book(rig, BTC, (RESET, 0, 0), (LIVE, 0, 0))
    feed.book(SET_BID, 100, 2, 777, 0, 0)
    feed.book(SET_ASK, 101, 3, 0, 0, 0)
    feed.book(SET_BID, 100, 0, 777, 0, 0)
    assert [(each[0], each[4]) for each in rig.strategy.calls if "level" in each[0]] == [
        ("on_add_level", 777),
        ("on_add_level", 203),
        ("on_delete_level", 777),
    ]


def test_single_orders_come_with_their_ids_where_the_source_has_them() -> None:
    rig = Rig()
    rig.engine.feed(BTC).has_orders = True
    rig.env.subscribe_to_market_data(Exchange.Bybit, BTC, MDSub.OrderBook)
    rig.wait(0)
    feed = rig.engine.feed(BTC)
    feed.book(ORDER_BID, 100, 5, 1, 0, 0)
    feed.book(ORDER_ASK, 101, 6, 2, 0, 0)
    feed.book(ORDER_BID, 100, 3, 1, 0, 0)
    feed.book(ORDER_ASK, 101, 0, 2, 0, 0)
    assert [(each[0], each[4]) for each in rig.strategy.calls if "_level" in each[0]] == [
        ("on_add_level", 1),
        ("on_add_level", 2),
        ("on_modify_level", 1),
        ("on_delete_level", 2),
    ]


def test_single_orders_are_no_use_where_the_source_has_none() -> None:
    rig = Rig()
    rig.env.subscribe_to_market_data(Exchange.Bybit, BTC, [MDSub.OrderBook, MDSub.BBO])
    rig.wait(0)
    assert rig.strategy.of("on_unsupported_op") == [(Exchange.Bybit, "MDSub.OrderBook")]
    quote(rig, 1, 2)
    assert "on_best_bid_level_update" in rig.strategy.names()


def test_quotes_make_a_one_level_book_where_there_is_no_other() -> None:
    rig = subscribed(MDSub.PriceLevelBook)
    quote(rig, 100, 101)
    quote(rig, 100, 102, bid_qty=4)
    assert [(each[0], each[4]) for each in rig.strategy.calls] == [
        ("on_add_price_level", Price("10")),
        ("on_add_price_level", Price("10.1")),
        ("on_modify_price_level", Price("10")),
        ("on_delete_price_level", Price("10.1")),
        ("on_add_price_level", Price("10.2")),
    ]


def two_books() -> Rig:
    rig = Rig()
    for each in (BTC, ETH):
        rig.engine.feed(each).expect_books()
        book(rig, each, (RESET, 0, 0), (SET_BID, 100, 1), (SET_ASK, 101, 1), (LIVE, 0, 0))
    rig.env.subscribe_to_market_data(Exchange.Bybit, [BTC, ETH], MDSub.PriceLevelBook)
    rig.wait(0)
    return rig


def test_a_gap_in_one_book_shuts_all_and_then_redelivers_all() -> None:
    rig = two_books()
    rig.strategy.calls.clear()
    book(rig, ETH, (STALE, 0, 0))
    book(rig, BTC, (SET_BID, 99, 7))  # held back: the strategy has cleared its books
    assert statuses(rig) == [("Disconnected", f"{ETH.name}: gap in the book")]
    assert len(rig.strategy.calls) == 1
    book(rig, ETH, (RESET, 0, 0), (SET_BID, 98, 2), (LIVE, 0, 0))
    assert [each[0] for each in statuses(rig)] == ["Disconnected", "SnapshotStart", "SnapshotEnd"]
    assert statuses(rig)[-1][1] == ETH.name
    added = [(each[1], each[3], each[4]) for each in rig.strategy.of("on_add_price_level")]
    assert added == [
        (BTC.number, Price("10"), Qty("0.001")),
        (BTC.number, Price("9.9"), Qty("0.007")),
        (BTC.number, Price("10.1"), Qty("0.001")),
        (ETH.number, ETH.price_scale.values[98], ETH.qty_scale.values[2]),
    ]


def test_a_gap_does_not_concern_who_reads_no_books() -> None:
    rig = subscribed(MDSub.BBO)
    rig.engine.feed(BTC).expect_books()
    book(rig, BTC, (STALE, 0, 0))
    assert rig.strategy.calls == []


def test_a_lost_source_disconnects_everyone_and_books_wait_for_their_snapshots() -> None:
    rig = two_books()
    rig.strategy.calls.clear()
    feed = rig.engine.feeds[Exchange.Bybit]
    feed.disconnect("no data")
    feed.reconnect("back")
    assert statuses(rig) == [("Disconnected", "no data")]
    for each in (BTC, ETH):
        book(rig, each, (RESET, 0, 0), (SET_BID, 100, 1), (LIVE, 0, 0))
    assert [each[0] for each in statuses(rig)] == ["Disconnected", "SnapshotStart", "SnapshotEnd"]


def test_unsubscribing_from_a_book_while_another_is_shown_ends_the_showing_of_it() -> None:
    rig = two_books()
    feed = rig.engine.feeds[Exchange.Bybit]
    feed.disconnect("no data")
    feed.reconnect("back")
    rig.strategy.then["on_add_price_level"] = lambda *_: rig.env.unsubscribe_from_market_data(Exchange.Bybit, ETH)
    rig.strategy.calls.clear()
    for each in (ETH, BTC):
        book(rig, each, (RESET, 0, 0), (SET_BID, 100, 1), (LIVE, 0, 0))
    assert [added[1] for added in rig.strategy.of("on_add_price_level")] == [BTC.number]


def test_another_exchange_is_not_concerned() -> None:
    rig = Rig(exchanges=(Exchange.Bybit, Exchange.BinanceUsdm))
    rig.env.subscribe_to_market_data(Exchange.BinanceUsdm, USDM_BTC, MDSub.PriceLevelBook)
    rig.wait(0)
    rig.strategy.calls.clear()
    rig.engine.feeds[Exchange.Bybit].disconnect("no data")
    assert rig.strategy.calls == []


def test_subscribing_more_books_later_shows_all_of_them_again() -> None:
    rig = two_books()
    rig.env.unsubscribe_from_market_data(Exchange.Bybit, ETH)
    rig.strategy.calls.clear()
    rig.env.subscribe_to_market_data(Exchange.Bybit, ETH, MDSub.PriceLevelBook)
    rig.wait(0)
    assert [each[0] for each in statuses(rig)] == ["Disconnected", "SnapshotStart", "SnapshotEnd"]
    assert len(rig.strategy.of("on_add_price_level")) == 4


@given(
    st.lists(
        st.tuples(
            st.sampled_from([BTC, ETH]),
            st.sampled_from([SET_BID] * 4 + [SET_ASK] * 4 + [STALE, RESET, LIVE]),
            st.integers(1, 6),
            st.integers(0, 3),
        ),
        max_size=80,
    )
)
def test_a_strategy_that_clears_on_disconnected_always_has_the_true_books(
    events: list[tuple[Any, int, int, int]],
) -> None:
    """Against a naive model: whenever the gate is open, the strategy's books equal what the source has said."""
    strategy = Recorder()
    rig = Rig(strategy)
    truth: dict[Any, dict[tuple[Side, Price], Qty]] = {BTC: {}, ETH: {}}
    whole = {BTC: False, ETH: False}
    shown: dict[int, dict[tuple[Side, Price], Qty]] = {BTC.number: {}, ETH.number: {}}
    live = [False]

    def status(_: Exchange, state: FeedHandlerStatus, __: str) -> None:
        live[0] = state is FeedHandlerStatus.SnapshotEnd
        if state is FeedHandlerStatus.Disconnected:
            for levels in shown.values():
                levels.clear()

    def add(_: Exchange, number: int, side: Side, price: Price, qty: Qty, __: int) -> None:
        assert (side, price) not in shown[number]
        shown[number][side, price] = qty

    def modify(_: Exchange, number: int, side: Side, price: Price, qty: Qty, __: int) -> None:
        assert shown[number][side, price] != qty
        shown[number][side, price] = qty

    def delete(_: Exchange, number: int, side: Side, price: Price, __: int) -> None:
        del shown[number][side, price]

    strategy.then = dict(zip((STATUS, *LEVELS), (status, add, modify, delete), strict=True))
    for each in (BTC, ETH):
        rig.engine.feed(each).expect_books()
    rig.env.subscribe_to_market_data(Exchange.Bybit, [BTC, ETH], MDSub.PriceLevelBook)
    rig.wait(0)
    for instrument, op, price, qty in events:
        book(rig, instrument, (op, price, qty))
        if op in (RESET, STALE):
            truth[instrument].clear()
            whole[instrument] = False
        elif op == LIVE:
            whole[instrument] = True
        else:
            key = (Side.Sell if op == SET_ASK else Side.Buy, instrument.price_scale.values[price])
            truth[instrument].pop(key, None)
            if qty:
                truth[instrument][key] = instrument.qty_scale.values[qty]
        if live[0] and all(whole.values()):
            assert shown == {each.number: levels for each, levels in truth.items()}
    assert rig.session.failures == 0
