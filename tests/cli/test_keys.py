"""`newsmill keys`, and the lines of `newsmill status` about hubs and owners of sites."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_result import Newsmill

from newsmill.context import open_context
from newsmill.model import Source
from newsmill.settings import load
from newsmill.storage.publishers import Publishers


def test_keys_are_made_listed_and_removed(newsmill: Newsmill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "no key exists" in newsmill("keys", "list").err
    first = newsmill("keys", "new")
    assert "no request is signed before NEWSMILL_PUBLIC_URL is set to an https URL" in first.err
    monkeypatch.setenv("NEWSMILL_PUBLIC_URL", "https://news.example.org")
    second = newsmill("keys", "new")
    assert "https://news.example.org/.well-known/http-message-signatures-directory" in second.err
    listed = {record["id"]: record["state"] for record in newsmill("keys", "list", "--json").json}
    assert listed == {first.out.strip(): "signs", second.out.strip(): "published"}
    assert newsmill("keys", "remove", first.out.strip()).code == 0
    assert newsmill("keys", "remove", first.out.strip()).code == 2
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "newsmill-data" / "keys").iterdir()] == [0o600]
    assert (tmp_path / "newsmill-data").stat().st_mode & 0o777 == 0o700


def test_the_key_that_signs_stays_published(newsmill: Newsmill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = [newsmill("keys", "new") for _ in range(5)]
    assert [one.code for one in done] == [0, 0, 0, 0, 2] and "4 keys are published already" in done[4].err
    assert [record["state"] for record in newsmill("keys", "list", "--json").json] == ["signs", *["published"] * 3]


def test_status_names_hubs_and_orders(newsmill: Newsmill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    feed = "https://paper.example/feed"
    with open_context(load(), create=True) as store:
        store.ledger.sources.put(Source("paper", feeds=(feed,)), now=store.now())
        trace = store.ledger.traces.get(feed)
        assert trace is not None
        store.ledger.pushes.record_hub(trace.id, "https://hub.example/", feed, new_pages=0, now=store.now())
        Publishers(store.engine).give_order("paper.example", is_stopped=True, delay=None, now=store.now())
    printed = newsmill("status", "--verbose").out
    assert "WebSub: 1 feed with a hub, 0 subscribed; set NEWSMILL_PUBLIC_URL" in printed
    assert "orders of site owners, given at /bot: paper.example (stopped)" in printed
    assert newsmill("status", "--json").json["websub"] == {"announced": 1, "subscribed": 0}
