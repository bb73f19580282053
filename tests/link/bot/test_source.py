"""Bot files as they come: tabs and spaces mixed, packages beside them, and what is wrong with them."""

import ast
from pathlib import Path

import pytest

from mlthon.errors import UserError
from mlthon.link.bot.runtime import BotRuntime
from mlthon.link.bot.source import compiled, expand_tabs, is_bot
from mlthon.link.contract import Failed, Hello, Loaded, Started
from tests.link.bot.kit import INSTRUMENTS, MARKETS, VENUES, FakeHost, imports_kept, running, until, write

MIXED = '''
from profitview import Link, logger

class Trading(Link):
    TEXT = """
\tkept\tas it is \\"""
    \t\'\'\'
"""
\tAPPLES = 3

    def on_start(self):
        self.seen = []
\t\tif True:  # it's "fine"
            self.seen.append('in the block')
\t\t\tself.seen.append('too')
\t\tself.joined = 'one \\
\ttwo'

\tdef trade_update(self, src, sym, data):
        self.seen.append(data['price'])
'''


def test_leading_tabs_are_four_columns_where_the_file_does_not_compile_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(TabError):
        compile(MIXED, "bot.py", "exec")
    path = tmp_path / "bot.py"
    path.write_text(MIXED)
    with running(tmp_path, MIXED) as bot:
        bot.host.wait(Started)
        assert bot.it.seen == ["in the block", "too"]
        assert bot.it.joined == "one \ttwo"
        assert bot.it.TEXT == "\n\tkept\tas it is \"\"\"\n    \t'''\n"
        assert bot.it.APPLES == 3
        assert bot.host.log().count("mixes tabs and spaces") == 1


@pytest.mark.parametrize(
    "text",
    [
        "x = 1\n",
        "\tx = '#'  # '''\n\ty = 2\n",
        "def f():\n\t'''doc\n\tstill '\n\t'''\n\treturn 1\n",
        'def f():\n\treturn r"""\\\n\traw"""\n',
        "x = 'it\\'s'\ny = (\n\t1,\n\t'a' \"b\" '''c\n\td''',\n)\n",
        "x = ''\ny = \"\"\nz = ''''''\n\nif x:\n\ty = 'open\\\n\tgoes on'\n",
        "x = 'never closed\n\ty = 1\n",
        "",
        "\r\n\tx = 1\r\n",
    ],
)
def test_only_indentation_changes(text: str) -> None:
    expanded = expand_tabs(text)
    assert expanded.count("\n") == text.count("\n")
    try:
        before = ast.dump(ast.parse(text))
    except SyntaxError:
        return
    assert ast.dump(ast.parse(expanded)) == before


def test_a_tab_reaches_the_next_of_four_columns() -> None:
    assert expand_tabs("\tx\n  \ty\n \t \tz\na\tb\n") == "    x\n    y\n        z\na\tb\n"


def test_a_file_that_compiles_is_left_alone(tmp_path: Path) -> None:
    """Tabs alone are consistent, though they are eight columns to Python."""
    _, mended = compiled("class A:\n\tdef f(self):\n\t\treturn 1\n", tmp_path / "bot.py")
    assert not mended


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (MIXED, True),
        ("import os, profitview\n\nclass Signals(profitview.Link):\n    pass\n", True),
        ("from profitview import Link\nclass Trading(Link:\n", True),
        ("from profitview import logger\nclass Other(IStrategy): pass\n", False),
        ("class Trading: pass\n", False),
        ('"""\nfrom profitview import Link\nclass Trading(Link): pass\n"""\n', False),
        ("from profitviews import Link\nclass Trading(Link): pass\n", False),
    ],
)
def test_a_bot_is_known_by_its_text(tmp_path: Path, text: str, expected: bool) -> None:
    path = tmp_path / "bot.py"
    path.write_text(text)
    assert is_bot(path) is expected


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("class Tradin(Link):", "but Tradin; did you mean 'Trading'?"),
        ("class Signal(Base):", "but Signal; did you mean 'Signals'?"),
        ("class Grid(profitview.Link):", "but Grid"),
    ],
)
def test_a_bot_whose_class_has_another_name_is_told_which_it_needs(tmp_path: Path, line: str, told: str) -> None:
    path = write(tmp_path, f"from profitview import Link\nclass Base: pass\n{line}\n    pass\n")
    with pytest.raises(UserError) as caught:
        is_bot(path)
    assert caught.value.message == (
        f"{path}: a ProfitView bot needs a class Trading or Signals, and this one has none, {told}"
    )
    assert "class Trading(Link):" in caught.value.hint


def test_what_is_no_text_is_no_bot(tmp_path: Path) -> None:
    path = tmp_path / "bot.py"
    path.write_bytes(b"\xff\xfe\x00class Trading")
    assert not is_bot(path)
    assert not is_bot(tmp_path / "none.py")
    assert not is_bot(tmp_path)


HEAD = "from profitview import Link, cron, http\n"


@pytest.mark.parametrize(
    ("source", "problem", "hint"),
    [
        (
            HEAD + "class Mine(Link): pass\n",
            "needs a class Trading or Signals, and this one has none, but Mine",
            "class",
        ),
        (HEAD + "class Trading(Link): pass\nclass Signals(Link): pass\n", "has both a class Trading", "Keep one"),
        (HEAD + "class Trading: pass\n", "class Trading does not derive from Link", "class Trading(Link)"),
        (HEAD + "\nclass Trading(Link)\n    pass\n", "bot.py:3: SyntaxError: expected ':'", "class Trading(Link)"),
        (HEAD + "class Trading(Link):\n    a = 1\n   b = 2\n", "bot.py:4: IndentationError: unindent", "b = 2"),
        (HEAD + "x = 1 / 0\n", "bot.py:2: ZeroDivisionError: division by zero", ""),
        (HEAD + "import nowhere_at_all\n", "bot.py:2: No module named 'nowhere_at_all'", "beside the bot"),
        (HEAD + "import sys\nsys.exit(4)\n", "bot.py:3: SystemExit: 4", ""),
        (
            HEAD + "class Trading(Link):\n    @cron.run(every=60)\n    def job(self, data): pass\n",
            "bot.py:3: @cron.run on job(self, data): nobody can give it its arguments",
            "def job(self):",
        ),
        (
            HEAD + "class Trading(Link):\n    @cron.run(every=60, on='1m')\n    def job(self): pass\n",
            "bot.py:3: @cron.run needs exactly one option by name, and has every, on",
            "Exactly one",
        ),
        (
            HEAD + "class Trading(Link):\n    @cron.run\n    def job(self): pass\n",
            "bot.py:3: @cron.run needs",
            "every=",
        ),
        (HEAD + "class Trading(Link):\n    @cron.run()\n    def job(self): pass\n", "and has none", "every="),
        (
            HEAD + "class Trading(Link):\n    @cron.run(expr='61 * * * *')\n    def job(self): pass\n",
            "bot.py:3: @cron.run(expr='61 * * * *'): Bad minute",
            "Five fields",
        ),
        (
            HEAD + "class Trading(Link):\n    @cron.run(every=0)\n    def job(self): pass\n",
            "@cron.run(every=0): not a positive number",
            "",
        ),
        (
            HEAD + "class Trading(Link):\n    @cron.run(on='7m')\n    def job(self): pass\n",
            "@cron.run(on='7m'): '7m' is no candle level",
            "",
        ),
        (
            HEAD + "class Trading(Link):\n    @http.route\n    def price(self, data): pass\n",
            "bot.py:3: @http.route on 'price': it answers neither GET nor POST",
            "get_ or post_",
        ),
        (
            HEAD + "class Trading(Link):\n    async def trade_update(self, src, sym, data): pass\n",
            "bot.py:3: async def trade_update: it is called, and nobody awaits it",
            "asyncio.run",
        ),
        (
            HEAD + "class Trading(Link):\n    @http.route\n    async def get_price(self, data): pass\n",
            "bot.py:3: async def get_price: it is called",
            "asyncio.run",
        ),
        (HEAD + "from my.broken import x\n", "broken.py:1: invalid syntax", "imports this file"),
        (HEAD + "from my.raising import x\n", "raising.py:2: ValueError: no", ""),
    ],
)
def test_a_bot_that_cannot_be_loaded_says_why_where_and_what_to_do(
    tmp_path: Path, source: str, problem: str, hint: str
) -> None:
    write(tmp_path, "def x(:\n", "my/broken.py")
    write(tmp_path, "\nraise ValueError('no')\n", "my/raising.py")
    with running(tmp_path, source) as bot:
        failed = bot.host.wait(Failed)
        assert problem in failed.problem
        assert hint in failed.hint
        assert str(tmp_path) in failed.problem


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    host = FakeHost()
    with imports_kept():
        BotRuntime(Hello("test", str(tmp_path / "none.py"), VENUES, MARKETS, INSTRUMENTS), host).run()
    assert "none.py: cannot be read: " in host.wait(Failed).problem


def test_packages_beside_a_bot_are_imported(tmp_path: Path) -> None:
    write(tmp_path, "class Venue:\n    def __init__(self, link):\n        self.link = link\n", "my/venues.py")
    source = """
        from profitview import Link, logger
        from my.venues import Venue

        class Trading(Link):
            def on_start(self):
                self.venue = Venue(self)
    """
    with running(tmp_path, source) as bot:
        bot.host.wait(Started)
        assert type(bot.it.venue).__name__ == "Venue"


BEFORE = """
    from profitview import Link, http
    from my.venues import Venue, lots

    class Base(Link):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.seen = []

    class Trading(Base):
        STEP = 1

        def trade_update(self, src, sym, data):
            self.seen.append((Venue().name(), lots(), self.STEP))
            self.venue = Venue()
"""
AFTER = """
    from profitview import Link, http
    from my.venues import Venue, lots

    class Base(Link):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)

    class Trading(Base):
        STEP = 2

        def trade_update(self, src, sym, data):
            super().trade_update(src, sym, data)
            self.seen.append(('new', self.venue.name(), self.STEP))

        @http.route
        def get_more(self, data):
            return 1

        def candle_update_5m(self, src, sym, bars):
            self.seen.append(len(bars))

        def fill_update(self, src, sym, data):
            self.seen.append(data)
"""


def test_reload_takes_changes_of_the_bot_and_of_packages_beside_it_while_it_runs(tmp_path: Path) -> None:
    venues = "class Venue:\n    def name(self):\n        return '{0}'\ndef lots():\n    return '{0}'\n"
    write(tmp_path, venues.format("old"), "my/venues.py")
    with running(tmp_path, BEFORE, reload=True) as bot:
        bot.host.wait(Started)

        def trade() -> object:
            bot.runtime.trade(0, 1, 5.0, 1.0, 0)
            bot.settle()
            return bot.it.seen[-1]

        assert trade() == ("old", "old", 1)
        write(tmp_path, venues.format("newer"), "my/venues.py")
        until(lambda: "venues.py has changed and is taken over" in bot.host.log())
        assert trade() == ("newer", "newer", 1)
        write(tmp_path, "def x(:", "my/venues.py")
        until(lambda: "is not taken over: " in bot.host.log())
        assert trade() == ("newer", "newer", 1)
        write(tmp_path, AFTER)
        until(lambda: "bot.py has changed and is taken over" in bot.host.log())
        until(lambda: bot.runtime._routes)
        until(lambda: len(bot.host.calls("history")) == 3)
        until(lambda: trade() == 360)
        assert bot.it.seen[-2] == ("new", "newer", 2)
        loaded = bot.host.all(Loaded)[-1]
        assert {"candle_update_5m", "fill_update"} < set(loaded.callbacks)
        assert loaded.routes == [("get", "more")]
