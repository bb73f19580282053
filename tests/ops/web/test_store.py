"""What the web server keeps: tokens as digests, claims that outlive a process, who was refused."""

import stat
from pathlib import Path

import pytest

from mlthon.errors import UserError
from mlthon.ops.web.store import Claim, Rejection, WebhookStore


@pytest.fixture
def store(tmp_path: Path) -> WebhookStore:
    return WebhookStore(tmp_path / "state" / "webhook.db", lambda: 1000)


def test_a_token_is_nowhere_in_the_file_which_only_its_owner_reads(store: WebhookStore) -> None:
    made = store.make_token("tv")
    known = store.verify("tv", made.text)
    assert known is not None
    assert (known.name, known.created, known.signed) == ("tv", 1000, False)
    assert store.find(made.text) == known
    store.close()
    files = list(store.path.parent.iterdir())
    assert files
    for file in files:
        assert made.text.encode() not in file.read_bytes()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert made.text not in repr(made)


def test_tokens_that_are_not_the_right_one(store: WebhookStore) -> None:
    made = store.make_token("tv")
    other = store.make_token("other", signed=True)
    assert len(made.text) >= 43
    assert store.verify("tv", other.text) is None
    assert store.verify("tv", "") is None
    assert store.verify("nobody", made.text) is None
    assert store.verify("tv", "\ud800") is None
    assert store.find("x") is None
    assert other.signing_key not in (None, other.text)
    assert [each.name for each in store.tokens() if each.signed] == ["other"]


def test_a_token_looks_like_no_option_of_a_command(store: WebhookStore, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter(["-one", "two", "-three", "-four", "five"])
    monkeypatch.setattr("mlthon.ops.web.store.secrets.token_urlsafe", lambda size: next(drawn))
    made = store.make_token("tv", signed=True)
    assert (made.text, made.signing_key) == ("two", "five")


def test_a_token_is_replaced_only_on_purpose_and_the_old_one_is_void(store: WebhookStore) -> None:
    old = store.make_token("tv")
    with pytest.raises(UserError, match="there is a token for 'tv' already"):
        store.make_token("tv")
    new = store.make_token("tv", replace=True)
    assert store.verify("tv", old.text) is None
    assert store.verify("tv", new.text) is not None
    store.revoke("tv")
    assert store.verify("tv", new.text) is None
    with pytest.raises(UserError, match="no token for 'tv'"):
        store.revoke("tv")


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 101])
def test_names_that_are_none(store: WebhookStore, name: str) -> None:
    with pytest.raises(UserError, match="no name"):
        store.make_token(name)


def test_a_claim_holds_in_every_process_until_it_is_given_back(store: WebhookStore) -> None:
    other = WebhookStore(store.path, lambda: 2000)
    assert store.claim("tv", ("a", "b")) is Claim.MINE
    assert other.claim("tv", ("c", "b")) is Claim.UNDER_WAY
    assert other.claim("tv", ("c",)) is Claim.MINE
    store.settle("tv", ("a", "b"), done=True)
    assert other.claim("tv", ("b",)) is Claim.DONE
    other.settle("tv", ("c",), done=False)
    assert store.claim("tv", ("c",)) is Claim.MINE
    store.prune(1001)
    assert other.claim("tv", ("a",)) is Claim.MINE


def test_rejections_are_kept_newest_first(store: WebhookStore) -> None:
    store.reject(Rejection(1, "203.0.113.7", "signal", "tv", 401, "wrong"))
    store.reject(Rejection(2, "203.0.113.8", "signal", "tv", 429, "x" * 1000, 7))
    told = store.rejections(10)
    assert [(each.ts, each.count, len(each.reason)) for each in told] == [(2, 7, 300), (1, 1, 5)]
    assert len(store.rejections(1)) == 1


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "webhook.db").write_bytes(b"nonsense" * 1000)
    with pytest.raises(UserError, match="cannot be opened"):
        WebhookStore(tmp_path / "webhook.db")
