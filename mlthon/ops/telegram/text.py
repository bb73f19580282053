"""Texts as Telegram shows them: escaped, with monospace blocks, and split where they are too long.

What strategies publish is plain text, in which ``` stands around a block in monospace and ` around a word of code, as
people write in a chat. Everything else is shown as it is. A message holds 4,096 UTF-16 units after its marks are taken
out (https://core.telegram.org/bots/api#sendmessage); a longer text is cut between lines, else between words, else
anywhere but within a character, and a block that is cut goes on as a block.
"""

import re
from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from attrs import frozen

from mlthon.backtest.show import columns

LONGEST: Final = 4096
_MARKS: Final = re.compile(r"```(?:[\w+-]*\n)?(?P<pre>.+?)\n?```|`(?P<code>[^`\n]+)`", re.DOTALL)
_UNSEEN: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
"""What Telegram does not take: control characters, and halves of characters."""
_TAGS: Final = {"pre": ("<pre>", "</pre>"), "code": ("<code>", "</code>"), "bold": ("<b>", "</b>"), "": ("", "")}


@frozen
class Piece:
    """A run of text of one look: plain (``), `pre`, `code` or `bold`."""

    text: str
    look: str = ""

    @property
    def html(self) -> str:
        opening, closing = _TAGS[self.look]
        return f"{opening}{escape(self.text, quote=False)}{closing}"


Text = tuple[Piece, ...]


def read(text: str) -> Text:
    """A text with ``` and ` as pieces."""
    plain = _UNSEEN.sub("�", text.replace("\r\n", "\n"))
    pieces = []
    done = 0
    for mark in _MARKS.finditer(plain):
        pieces.append(Piece(plain[done : mark.start()]))
        look = mark.lastgroup or ""
        pieces.append(Piece(mark[look], look))
        done = mark.end()
    pieces.append(Piece(plain[done:]))
    return tuple(each for each in pieces if each.text)


def table(rows: Sequence[Sequence[str]], left: int = 1) -> Piece:
    """Rows (the first one the heads) as a monospace block; the first `left` columns flush left."""
    return Piece("\n".join(columns([[_seen(cell) for cell in row] for row in rows], left)), "pre")


def _seen(cell: str) -> str:
    return _UNSEEN.sub("�", cell).replace("\n", " ")


def size(text: str) -> int:
    """UTF-16 units."""
    return len(text) + sum(each > "￿" for each in text)


def messages(text: Text, most: int = LONGEST) -> list[str]:
    """The text as HTML messages, none longer than Telegram takes; none at all of a text that shows nothing."""
    parts = (part for part in _parts(text, most) if any(each.text.strip() for each in part))
    return ["".join(each.html for each in part).strip() for part in parts]


def _parts(text: Text, most: int) -> Iterator[list[Piece]]:
    part: list[Piece] = []
    room = most
    for piece in text:
        rest = piece.text
        while size(rest) > room:
            head, rest = _cut(rest, room, whole=bool(part))
            if head:
                part.append(Piece(head, piece.look))
            yield part
            part, room = [], most
        if rest:
            part.append(Piece(rest, piece.look))
            room -= size(rest)
    if part:
        yield part


def _cut(text: str, room: int, *, whole: bool) -> tuple[str, str]:
    """What fits into `room` and the rest. `whole`: rather nothing than half a line: there is more room further on."""
    end = _reach(text, room)
    newline = text.rfind("\n", 0, end + 1)
    if newline >= 0:
        return text[:newline], text[newline + 1 :]
    if whole:
        return "", text
    space = text.rfind(" ", end // 2, end + 1)
    if space > 0:
        return text[:space], text[space + 1 :]
    return text[:end], text[end:]


def _reach(text: str, room: int) -> int:
    """How many characters have at most `room` units."""
    used = 0
    for place, each in enumerate(text):
        used += 2 if each > "￿" else 1
        if used > room:
            return place
    return len(text)
