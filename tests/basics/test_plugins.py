"""Modules found by entry points: which of two counts, and what is said of those that there are."""

from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import Any

import pytest

from mlthon.basics import plugins
from mlthon.basics.defs import Exchange
from mlthon.basics.plugins import Plugins


def point(name: str, *exchanges: Exchange) -> SimpleNamespace:
    """An entry point that gives a module with these exchanges."""
    module = SimpleNamespace(EXCHANGES=exchanges, name=name)
    return SimpleNamespace(name=name, value=name, load=lambda: module)


def installed(monkeypatch: pytest.MonkeyPatch, *points: SimpleNamespace | EntryPoint) -> Plugins[Any]:
    monkeypatch.setattr(plugins, "entry_points", lambda group: points if group == "some.group" else ())
    return Plugins("some.group")


@pytest.mark.parametrize("turned", [False, True])
def test_the_first_name_counts_in_whatever_order_packages_were_installed(
    monkeypatch: pytest.MonkeyPatch, turned: bool
) -> None:
    points = [point("b", Exchange.Bybit, Exchange.BitMEX), point("a", Exchange.Bybit)]
    found = installed(monkeypatch, *(reversed(points) if turned else points))
    modules = [found.find(exchange) for exchange in (Exchange.Bybit, Exchange.BitMEX, Exchange.Binance)]
    assert [None if module is None else module.name for module in modules] == ["a", "b", None]
    assert found.exchanges() == "BitMEX, Bybit"


def test_nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = installed(monkeypatch)
    assert found.find(Exchange.Bybit) is None
    assert found.exchanges() == "none"


def test_a_module_that_cannot_be_imported_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = EntryPoint("broken", "no_such_module_anywhere", "some.group")
    with pytest.raises(ModuleNotFoundError, match="no_such_module_anywhere"):
        installed(monkeypatch, broken).find(Exchange.Bybit)
