"""`python -m mlthon bots …` on configuration files."""

import json
import os
import socket
import threading
from pathlib import Path

import msgspec
import pytest

from mlthon.cli import main
from mlthon.config import load_config
from mlthon.link.wire import Decoder, encode, frame
from mlthon.ops.contract import MOST_BYTES, Ask, Reread, Told
from mlthon.ops.place import Place, RunInfo, control_folder

TEXT = """\
# my configuration
[engine]
seed = 7   # lucky

[bots.a]
# the first
type = "position"  # follows
venue = "BitMEX"
symbol = "XBTUSD"
description = "d"
params = { max_position_size = 1000 }  # inline

[venues.BitMEX]   # mine
src = "bitmex"
# end
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "c.toml"
    file.write_text(TEXT, "utf-8")
    return file


def run(file: Path, *words: str) -> int:
    return main(["bots", *words, "--config", str(file)])


GRID = (
    "--type", "Neutral Grid", "--venue", "BitMEX", "--symbol", "XBTUSD", "--description", "a grid",
    "--param", "grid_count=3", "--param", "grid_spread=0.5", "--default", "max_order_size=200",
    "--private", "grid_spread",
)  # fmt: skip


def test_create_adds_a_table_and_leaves_the_rest_alone(file: Path) -> None:
    assert run(file, "create", "g", *GRID, "--title", "My Grid") == 0
    bot = load_config(file).bots["g"]
    assert (bot.type, bot.name, bot.params) == ("neutral_grid", "My Grid", {"grid_count": 3, "grid_spread": 0.5})
    assert (bot.defaults, bot.private, bot.enabled) == ({"max_order_size": 200}, ["grid_spread"], True)
    lines = iter(file.read_text("utf-8").splitlines())
    assert all(line in lines for line in TEXT.splitlines()), "every line is still there, in its order"


def test_create_makes_the_file(tmp_path: Path) -> None:
    file = tmp_path / "new.toml"
    assert run(file, "create", "g", *GRID, "--stopped") == 0
    assert not load_config(file).bots["g"].enabled


def test_delete_takes_out_what_create_put_in(file: Path) -> None:
    run(file, "create", "g", *GRID)
    assert run(file, "delete", "g") == 0
    assert file.read_text("utf-8") == TEXT
    assert run(file, "delete", "a") == 0
    config = load_config(file)
    assert (config.bots, config.seed, list(config.venues)) == ({}, 7, ["BitMEX"])
    assert "# end" in file.read_text("utf-8")


def test_start_and_stop_change_one_line(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(file, "stop", "a") == 0
    assert not load_config(file).bots["a"].enabled
    assert file.read_text("utf-8").splitlines() == [
        *TEXT.splitlines()[:11], "enabled = false", *TEXT.splitlines()[11:]
    ]  # fmt: skip
    assert run(file, "start", "a") == 0
    assert load_config(file).bots["a"].enabled
    before = file.read_text("utf-8")
    assert run(file, "start", "a") == 0
    assert file.read_text("utf-8") == before
    assert "switched on already" in capsys.readouterr().out


def test_list_and_show_hide_what_is_private(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(file, "create", "g", *GRID)
    capsys.readouterr()
    assert run(file, "list") == 0
    assert run(file, "list", "--json") == 0
    assert run(file, "show", "g") == 0
    assert run(file, "show", "g", "--json") == 0
    text = capsys.readouterr().out
    assert "0.5" not in text
    assert "grid_spread=(private)" in text
    shown = json.loads(text.splitlines()[-1])
    assert shown["params"] == {"max_order_size": 200, "grid_count": 3, "grid_spread": "(private)"}
    assert "order_refresh_delay" in text
    assert "neutral_grid" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("create", "a", *GRID), "has a bot 'a' already"),
        (("create", "a.b", *GRID), "a bot cannot be named 'a.b'"),
        (("create", "x", *GRID[:1], "pos", *GRID[2:]), "--type: 'pos' is no type of signal bot"),
        (("create", "x", *GRID, "--param", "grid_cout=1"), "params has no key 'grid_cout'; did you mean 'grid_count'?"),
        (("create", "x", *GRID, "--private", "size"), "Neutral Grid has no parameter 'size'"),
        (("create", "x", *GRID[:6], "--description", " "), "needs a text that says something"),
        (("create", "x", *GRID, "--param", "grid_count"), "--param grid_count: not of the form KEY=VALUE"),
        (("create", "x", *GRID[:4], "--symbol", "XBTUSD,ETHUSD", *GRID[6:]), "BitMEX has no symbol 'XBTUSD,ETHUSD'"),
        (("show", "b"), "has no bot 'b'"),
        (("stop", "b"), "has no bot 'b'"),
        (("delete", "b"), "has no bot 'b'"),
    ],
)
def test_mistakes_change_nothing(
    file: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    assert run(file, *words) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert file.read_text("utf-8") == TEXT
    assert [each.name for each in file.parent.iterdir()] == ["c.toml"]


def test_a_file_that_is_no_toml_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("[bots\n", "utf-8")
    assert run(file, "create", "g", *GRID) == 2
    assert file.read_text("utf-8") == "[bots\n"


def test_a_link_stays_a_link(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.toml"
    link.symlink_to(file)
    file.chmod(0o600)
    assert run(link, "stop", "a") == 0
    assert link.is_symlink()
    assert not load_config(file).bots["a"].enabled
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_bot_with_a_mistake_can_be_stopped_and_not_started(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(TEXT.replace("max_position_size = 1000", "max_position_size = -1"), "utf-8")
    assert run(file, "stop", "a") == 0
    assert run(file, "start", "a") == 2
    assert "max_position_size" in capsys.readouterr().err
    assert not load_config(file).bots["a"].enabled


class Asked:
    """The socket of a run, that answers what it is asked by a thread of its own."""

    def __init__(self, state: Path, config: Path, answer: Told) -> None:
        self.place = Place(control_folder(state), "trend")
        self.place.tell(RunInfo("trend", os.getpid(), "paper", 1, None, str(config.resolve())))
        self.asks: list[Ask] = []
        self._answer = answer
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(self.place.socket))
        self._listening.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with self._listening, self._listening.accept()[0] as client:
            decoder: Decoder[Ask] = Decoder(msgspec.msgpack.Decoder(list[Ask]), MOST_BYTES)
            while not self.asks:
                self.asks += decoder.feed(client.recv(4096))
            told = msgspec.structs.replace(self._answer, number=self.asks[0].number)
            client.sendall(frame([encode(told)]))

    def close(self) -> None:
        self._thread.join(10)
        self.place.close()


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (Told(0, "bot.a: new parameters\nbot.b waits"), "run trend: bot.a: new parameters\nrun trend: bot.b waits\n"),
        (Told(0, None, "it hangs"), "run trend: it hangs; it reads the file by itself about once a second\n"),
    ],
)
def test_a_run_that_goes_on_says_what_it_makes_of_the_change(
    file: Path, answer: Told, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(file.read_text("utf-8") + f'[ops]\nstate = "{file.parent / "state"}"\n', "utf-8")
    assert run(file, "stop", "a") == 0
    assert "no run with this configuration goes on" in capsys.readouterr().out
    asked = Asked(file.parent / "state", file, answer)
    assert run(file, "start", "a") == 0
    asked.close()
    assert [each.what for each in asked.asks] == [Reread()]
    assert capsys.readouterr().out.endswith(shown)
