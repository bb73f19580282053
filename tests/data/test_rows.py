"""Rows and the source that has them in memory."""

import numpy as np
import pytest

from mlthon.data.rows import Columns, Kind, MemorySource, Problem, RowLists, Stream, slices
from tests.data.made import ETH, USDM, columns

TRADES = Stream(USDM, Kind.TRADE)
QUOTES = Stream(ETH, Kind.QUOTE)


def test_row_lists_keep_the_arguments_in_order() -> None:
    rows = RowLists()
    rows.quote(1, 2, 3, 4, 5, 6)
    rows.trade(7, 8, -1, 9, 10, 11)
    rows.book(0, 12, 13, 14, 15, 16)
    assert len(rows) == 3
    assert rows.full(1)
    assert not rows.full(2)
    assert rows.take() == {
        Kind.QUOTE: columns([(5, 6, 1, 2, 3, 4)]),
        Kind.TRADE: columns([(10, 11, 7, 8, -1, 9)]),
        Kind.BOOK: columns([(15, 16, 0, 12, 13, 14)]),
    }
    assert rows.take() == {}


def test_columns() -> None:
    table = columns([(1, 2, 3, 4, 5, 6), (7, 8, 9, 10, 11, 12)])
    assert len(table) == 2
    assert table[1:] == columns([(7, 8, 9, 10, 11, 12)])
    assert table != table[1:]
    assert Columns.concat([table[:1], table[1:]]) == table
    assert len(Columns.concat([])) == 0
    assert [len(part) for part in slices(Columns.concat([table] * 3), 4)] == [4, 2]


def test_memory_source() -> None:
    arrays = {"exch_ts": np.array([5, 6]), "a": [1, 2], "b": [3, 4]}
    source = MemorySource.from_arrays({TRADES: arrays, QUOTES: {"exch_ts": [], "a": [], "b": []}})
    assert source.streams() == [TRADES]
    assert source.instruments == [USDM]
    assert (source.start, source.end) == (5, 6)
    assert list(source.chunks(TRADES)) == [columns([(5, 5, 1, 3, 0, 0), (6, 6, 2, 4, 0, 0)])]
    assert list(source.chunks(QUOTES)) == []
    assert MemorySource({}).start is None


def test_memory_source_refuses_disorder() -> None:
    with pytest.raises(ValueError, match="falls at row 1"):
        MemorySource({TRADES: columns([(1, 2, 0, 0, 0, 0), (1, 1, 0, 0, 0, 0)])})
    with pytest.raises(ValueError, match="differ in length"):
        MemorySource.from_arrays({TRADES: {"exch_ts": [1, 2], "a": [1], "b": [1, 2]}})


def test_a_problem_says_where() -> None:
    assert str(Problem("f", "what", 3, 7)) == "f, line 3, byte 7: what"
    assert str(Problem("f", "what")) == "f: what"
