"""Texts: escaped, blocks kept, split where Telegram's limit is, nothing lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlthon.ops.telegram.text import LONGEST, Piece, messages, read, size, table
from tests.ops.telegram.fake import fault_of_html, shown


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("plain", "plain"),
        ("a < b & c > d", "a &lt; b &amp; c &gt; d"),
        ("see ```\nx  y\n1  2\n``` there", "see <pre>x  y\n1  2</pre> there"),
        ("```python\nx = 1 < 2\n```", "<pre>x = 1 &lt; 2</pre>"),
        ("use `a_b*c` now", "use <code>a_b*c</code> now"),
        ("*stars* _and_ [links](x) stay", "*stars* _and_ [links](x) stay"),
        ("an open ``` stays", "an open ``` stays"),
        ("<b>no tag</b>", "&lt;b&gt;no tag&lt;/b&gt;"),
        ("nul\x00 and half \ud83d", "nul� and half �"),
    ],
)
def test_a_text_is_shown_as_it_is_with_its_blocks(text: str, html: str) -> None:
    assert messages(read(text)) == [html]


@pytest.mark.parametrize("text", ["", "   \n ", "``` ```"])
def test_what_shows_nothing_is_no_message(text: str) -> None:
    assert messages(read(text)) == []


def test_a_long_block_is_cut_between_lines_and_goes_on_as_a_block() -> None:
    lines = [f"line {number:04} {'x' * 60}" for number in range(200)]
    found = messages(read("head\n```\n" + "\n".join(lines) + "\n```\ntail"))
    assert len(found) > 3
    assert all(fault_of_html(each) is None for each in found)
    assert all(each.count("<pre>") == each.count("</pre>") == 1 for each in found)
    assert [line for each in found for line in shown(each).splitlines() if line.startswith("line")] == lines
    assert found[0].startswith("head\n<pre>line 0000")
    assert found[-1].endswith("</pre>\ntail")


def test_emoji_count_as_two_units_and_are_not_cut_in_half() -> None:
    found = messages((Piece("🚀" * 5000),))
    assert [len(each) for each in found] == [2048, 2048, 904]
    assert all(fault_of_html(each) is None for each in found)


def test_escapes_do_not_count() -> None:
    assert messages((Piece("&" * LONGEST),)) == ["&amp;" * LONGEST]


@given(st.text(alphabet=st.sampled_from("ab <&>`\n🚀"), max_size=400), st.integers(20, 60))
def test_whatever_the_text_every_part_is_taken_and_no_word_is_lost(text: str, most: int) -> None:
    pieces = read(text)
    found = messages(pieces, most)
    assert all(fault_of_html(each) is None and size(shown(each)) <= most for each in found)
    whole = "".join(each.text for each in pieces)
    assert "".join("".join(map(shown, found)).split()) == "".join(whole.split())


def test_a_table_has_straight_columns_and_one_line_a_row() -> None:
    assert table([("coin", "made"), ("BTC", "1.5"), ("USD\nT", "-12")]).text == "coin   made\nBTC     1.5\nUSD T   -12"
