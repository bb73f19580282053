"""The examples of docs/webhooks.md run as they stand there."""

import re
from pathlib import Path

import pytest
import trio

from mlthon.ops.contract import RunCommand, Signal, WebCall
from tests.ops.web.kit import API_KEY, SECRET, Site
from tests.ops.web.test_server import served

pytestmark = pytest.mark.trio

PAGE = Path(__file__).resolve().parents[3] / "docs" / "webhooks.md"
EXAMPLES = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)


async def test_the_examples_of_the_page_run(tmp_path: Path) -> None:
    assert len(EXAMPLES) == 4
    site = Site(tmp_path)
    token, alert = (site.store.make_token(name).text for name in ("tv", "cross"))
    async with served(site) as base:
        known = {"BASE": base, "WEBHOOK_SECRET": SECRET, "API_KEY": API_KEY, "TOKEN": token, "ALERT_TOKEN": alert}
        for text in EXAMPLES:
            script = 'set -eu; curl() { command curl -sS --fail-with-body "$@"; echo; }\n' + text
            done = await trio.run_process(
                ["bash", "-c", script], env={"PATH": "/usr/bin:/bin", **known}, capture_stdout=True
            )
            assert b"error" not in done.stdout
    assert [type(each) for each in site.engine.actions] == [WebCall] * 3 + [Signal] + [RunCommand] * 2
    assert site.engine.actions[3].payload["percent"] == "100"
    assert site.engine.actions[4:] == [
        RunCommand("demo", "cross", ("buy", "0.01")),
        RunCommand("demo", "cross", ('{"side":"buy"}',)),
    ]
