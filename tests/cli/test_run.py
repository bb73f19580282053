"""From options and configuration to a run."""

from pathlib import Path

import pytest

from mlthon.cli.run import with_webhooks
from mlthon.config import load_config


@pytest.mark.parametrize(
    ("text", "settings", "served"),
    [
        ("    @http.route\n    def get_now(self, data): ...\n", [], True),
        ("    @http . route\n    def get_now(self, data): ...\n", [], True),
        ("    # no http.route in here\n", [], False),
        ("    @http.route\n    def get_now(self, data): ...\n", ["web.enabled=false"], False),
        ("", ["web.port=8801"], True),
    ],
)
def test_a_bot_with_webhooks_has_a_web_server_unless_it_is_switched_off(
    tmp_path: Path, text: str, settings: list[str], served: bool
) -> None:
    file = tmp_path / "bot.py"
    file.write_text(f"from profitview import Link, http\n\nclass Trading(Link):\n    x = 1\n{text}")
    web = with_webhooks(load_config(None, settings), {"bot": file}).web
    assert (web is not None and web.enabled) == served
