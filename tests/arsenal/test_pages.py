"""What requests of strategies are sent as, and what is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlthon.arsenal.pages import LONGEST_S, PATIENCE_S, Page, RequestFailed, page_request
from mlthon.arsenal.wishes import ArgumentError


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({"url": "https://x.test"}, "https://x.test/"),
        (
            {"url": "https://x.test/a?b=1", "params": {"c": 2, "d": [3, 4], "e": None}},
            "https://x.test/a?b=1&c=2&d=3&d=4",
        ),
        ({"url": "https://x.test/a%20b/ü?q=a b#there"}, "https://x.test/a%20b/%C3%BC?q=a%20b"),
        ({"url": "http://münchen.test:81/", "params": "a=1"}, "http://xn--mnchen-3ya.test:81/?a=1"),
        ({"url": "http://[::1]:8080/x"}, "http://[::1]:8080/x"),
    ],
)
def test_addresses(given: dict[str, Any], url: str) -> None:
    assert page_request("GET", **given).url == url


def test_bodies() -> None:
    form = page_request("POST", "https://x.test", data={"a": 1, "b": "c d"})
    assert (form.body, form.headers) == (b"a=1&b=c+d", {"content-type": "application/x-www-form-urlencoded"})
    text = page_request("POST", "https://x.test", json={"a": [1]}, headers={"Content-Type": "application/x-a"})
    assert (text.body, text.headers) == (b'{"a": [1]}', {"content-type": "application/x-a"})
    example = page_request("GET", "https://x.test", headers={"apikey": "k"}, data={})
    assert (example.body, example.headers) == (b"", {"apikey": "k"})
    more = page_request("GET", "https://x.test", auth=("a", "b"), cookies={"c": "d", "e": "f"}, timeout=(3, 4.5))
    assert more.headers == {"authorization": "Basic YTpi", "cookie": "c=d; e=f"}
    assert more.timeout_s == 4.5


def test_how_long_is_waited() -> None:
    assert page_request("GET", "https://x.test").timeout_s == PATIENCE_S
    assert page_request("GET", "https://x.test", timeout=10_000).timeout_s == LONGEST_S


@pytest.mark.parametrize(
    ("argument", "given"),
    [
        ("url", {"url": "ftp://x.test"}),
        ("url", {"url": "file:///etc/passwd"}),
        ("url", {"url": "x.test/a"}),
        ("url", {"url": "https://user:word@x.test/"}),
        ("url", {"url": "https://x.test:port/"}),
        ("url", {"url": None}),
        ("json", {"json": {1, 2}}),
        ("json", {"json": float("nan")}),
        ("data", {"data": 5}),
        ("params", {"params": 5}),
        ("headers", {"headers": ["a"]}),
        ("headers", {"headers": {"a": "b\r\nc: d"}}),
        ("auth", {"auth": "user"}),
        ("timeout", {"timeout": "soon"}),
        ("timeout", {"timeout": -1}),
    ],
)
def test_what_cannot_be_sent_is_refused_by_name(argument: str, given: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError) as refused:
        page_request("GET", **{"url": "https://x.test", **given})
    assert refused.value.argument == argument


ANY = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.lists(st.integers())
NESTED = ANY | st.dictionaries(st.text(), ANY)


@given(st.text() | st.builds("https://{}/{}".format, st.text(), st.text()) | ANY, NESTED, NESTED, NESTED, NESTED)
def test_nothing_but_a_complaint_comes_of_nonsense(
    url: Any, params: Any, data: Any, headers: Any, timeout: Any
) -> None:
    try:
        request = page_request("POST", url, params=params, data=data, headers=headers, timeout=timeout)
    except ArgumentError:
        return
    assert request.url.isascii()
    assert not any("\n" in part or "\r" in part for part in (request.url, *request.headers, *request.headers.values()))


def test_answers() -> None:
    page = Page(status_code=200, headers={"A": "b"}, content='{"ä": 1}'.encode(), url="https://x.test/?key=secret")
    assert (page.ok, bool(page), page.reason, page.text, page.json()) == (True, True, "OK", '{"ä": 1}', {"ä": 1})
    page.raise_for_status()
    gone = Page(status_code=404, headers={}, content=b"\xff", url="https://x.test/?key=secret")
    assert (gone.ok, gone.text, repr(gone)) == (False, "\ufffd", "<Response [404]>")
    with pytest.raises(ValueError, match="decode"):
        gone.json()
    with pytest.raises(RequestFailed, match=r"^x\.test answered 404 Not Found$"):
        gone.raise_for_status()


def test_nothing_secret_is_shown() -> None:
    request = page_request("GET", "https://x.test/?key=secret", headers={"apikey": "secret"}, auth=("a", "secret"))
    assert "secret" not in repr(request)
