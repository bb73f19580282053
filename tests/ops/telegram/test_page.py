"""The page about Telegram lists the keys and commands that there are."""

import attrs

from mlthon.config import TelegramConfig
from mlthon.ops.telegram.hooks import BUILT_IN
from tests.test_docs import as_written, table


def test_keys_and_defaults() -> None:
    told = [(row[0].strip("`"), row[1]) for row in table("telegram.md", "keys: TelegramConfig")]
    assert told == [(each.name, as_written(each.default)) for each in attrs.fields(TelegramConfig)]


def test_commands() -> None:
    told = [row[0].strip("`") for row in table("telegram.md", "names: commands")]
    assert told == [f"/{name} {words}".rstrip() for name, (words, _) in BUILT_IN.items()]
