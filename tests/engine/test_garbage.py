"""Thresholds and the frozen heap, during and after."""

import gc

import pytest

from mlthon.engine.garbage import LATENCY, THROUGHPUT, rare_collections


@pytest.mark.parametrize("thresholds", [LATENCY, THROUGHPUT])
def test_what_was_there_is_left_out_until_the_end(thresholds: tuple[int, int, int]) -> None:
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    with rare_collections(thresholds):
        assert gc.get_threshold() == thresholds
        assert gc.get_freeze_count() > frozen
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


def test_new_garbage_is_still_found() -> None:
    with rare_collections(LATENCY):
        ring: list[object] = []
        ring.append(ring)
        del ring
        assert gc.collect(0) >= 1
