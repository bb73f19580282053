"""`telegram check`: what it says of a bot that is set up, and of one that is not; it takes nothing away."""

from contextlib import closing
from pathlib import Path

import pytest
import trio

from mlthon.cli.telegram import check as check_command
from mlthon.config import TelegramConfig
from mlthon.ops.telegram.check import check
from mlthon.ops.telegram.claim import Claim
from mlthon.ops.telegram.store import Store, Talker
from mlthon.ops.telegram.token import Token
from tests.ops.telegram.fake import GROUP, OWNER, TOKEN, FakeTelegram, Fault

pytestmark = pytest.mark.trio


async def told(fake: FakeTelegram, folder: Path, config: TelegramConfig | None, *, delete: bool = False) -> list[str]:
    """Lines; those that are to be mended begin with !."""
    found = check(Token(TOKEN), fake.url, config, folder, delete_webhook=delete)
    return [f"{'!' if each.bad else ''}{each.text}" async for each in found]


async def test_a_bot_that_is_set_up(fake: FakeTelegram, tmp_path: Path) -> None:
    fake.message("/start", user=OWNER)
    fake.message("hello", user=666, chat=GROUP)
    config = TelegramConfig(chat=OWNER, chats={"grid": GROUP})
    lines = await told(fake, tmp_path, config)
    assert lines[:5] == [
        "The bot is @trader_bot (Trader), id 123456789.",
        f"chat = {OWNER}: can be written to.",
        f"chats.grid = {GROUP}: can be written to.",
        f"Commands are taken from {OWNER}.",
        "Who wrote to the bot lately:",
    ]
    rows = {tuple(each.split())[:2]: each.split()[-1] for each in lines[6:]}
    assert rows == {(str(OWNER), str(OWNER)): "yes", (str(GROUP), "666"): "no"}
    assert fake.sent == []
    assert len(fake.updates) == 2
    assert not any(asked.get("offset") for method, asked in fake.calls if method == "getUpdates")


async def test_a_bot_without_a_table_shows_the_ids_to_write_into_it(fake: FakeTelegram, tmp_path: Path) -> None:
    assert "Nobody has written to the bot lately: send it /start, and check again." in await told(fake, tmp_path, None)
    fake.message("/start", user=5)
    lines = await told(fake, tmp_path, None)
    assert lines[1].startswith("!There is no [telegram] table yet")
    assert lines[-1].split()[:3] == ["5", "5", "@user5"]


async def test_what_is_to_be_mended(fake: FakeTelegram, tmp_path: Path) -> None:
    fake.chats = {GROUP}
    fake.webhook = "https://example.org"
    lines = await told(fake, tmp_path, TelegramConfig(chat=GROUP, chats={"grid": OWNER}))
    assert "!A webhook takes" in lines[1]
    assert lines[3].startswith(f"!chats.grid = {OWNER}: cannot be written to (Chat not found); write /start")
    assert lines[4].startswith("Commands are taken from")
    assert "!Another program has this bot" in lines[5]
    assert "The webhook was removed" in (await told(fake, tmp_path, None, delete=True))[1]
    assert not fake.webhook
    lines = await told(fake, tmp_path, TelegramConfig(chat=GROUP))
    assert "!Nobody may give commands: chat is a group, and users is empty." in lines


async def test_a_token_that_is_not_accepted(fake: FakeTelegram, tmp_path: Path) -> None:
    fake.faults["getMe"].append(Fault(status=401, description="Unauthorized"))
    (line,) = await told(fake, tmp_path, None)
    assert line.startswith("!Telegram")
    assert TOKEN not in line


async def test_while_a_run_has_the_bot_its_notes_are_shown_and_nothing_is_asked(
    fake: FakeTelegram, tmp_path: Path
) -> None:
    token = Token(TOKEN)
    with Claim(tmp_path, token) as claim, closing(Store(tmp_path / f"telegram-{token.digest}.db")) as store:
        assert claim.take("grid")
        store.talked(Talker(7, 7, "@anna\x1b[0m", 1.0))
        lines = await told(fake, tmp_path, None)
    assert "The bot serves grid (process" in lines[2]
    assert lines[-1].startswith("7     7     @anna?[0m")
    assert fake.polls == 0


async def test_the_command(
    fake: FakeTelegram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "run.toml"
    file.write_text(f'[ops]\nstate = "state"\n[telegram]\nchat = {OWNER}\nbase_url = "{fake.url}"\n')
    monkeypatch.setenv("MLTHON_TELEGRAM_TOKEN", TOKEN)

    def run() -> int:
        return check_command(config=file)

    assert await trio.to_thread.run_sync(run) == 0
    fake.chats = set()
    assert await trio.to_thread.run_sync(run) == 2
    assert "The bot is @trader_bot" in capsys.readouterr().out
