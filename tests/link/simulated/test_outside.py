"""What a bot is told that was refused the world outside."""

import pytest

from mlthon.link.simulated.outside import WATCHED, refusal


@pytest.mark.parametrize(
    ("event", "args", "named"),
    [
        ("socket.connect", (None, ("192.0.2.1", 443)), "connect to 192.0.2.1:443"),
        ("socket.connect", (None, "/run/some.sock"), "connect to /run/some.sock"),
        ("socket.bind", (None, ("127.0.0.1", 80, 0, 0)), "listen on 127.0.0.1:80"),
        ("socket.getaddrinfo", ("example.com", 80, 0, 0, 0), "look up example.com"),
        ("subprocess.Popen", ("curl", ["curl", "http://x/?key=secret"], None, None), "start curl"),
        ("os.system", (b"curl http://x/?key=secret",), "start curl"),
        ("os.fork", (), "fork a process"),
    ],
)
def test_a_refusal_says_what_was_tried_and_what_would_allow_it(
    event: str, args: tuple[object, ...], named: str
) -> None:
    assert event in WATCHED
    text = refusal(event, args)
    assert named in text
    assert "--allow-network" in text
    assert "secret" not in text
