"""Searches and sources as feeds, with hostile documents too."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from lxml import etree
from site_of_tests import RunningApp, stock

from newsmill.discovery.feeds import read_feed
from newsmill.model import Author
from newsmill.search.indexer import index_pending
from newsmill.storage.ledger.source_changes import SourceChanges

HOSTILE = "</title><script>alert(1)</script>]]>&amp;\x00\x0b\ufffe\u202e \"'<![CDATA["


def test_our_own_reader_understands_all_three(web: RunningApp) -> None:
    made = stock(web, 3, text="First.\n\nSecond & <b>last</b>.")
    for kind in ("json", "atom", "rss"):
        answer = web.reader.get(f"/feeds/{kind}", params={"source": "paper"})
        assert answer.status_code == 200, answer.text
        listing = read_feed(answer.content, f"http://127.0.0.1:8470/feeds/{kind}", answer.headers["content-type"])
        assert [link.url for link in listing.pages] == [document.url for document in made[::-1]]
        assert listing.pages[0].hint.title == "Harbour 2"
        assert (
            web.reader.get(f"/feeds/{kind}", headers={"if-none-match": answer.headers["etag"]}, params={"source": "paper"}).status_code
            == 304
        )


def test_a_search_is_a_feed(web: RunningApp) -> None:
    stock(web, 2)
    stock(web, 1, text="Of ships.", title="Ships")
    feed = web.reader.get("/feeds/json", params={"q": 'harbour "words about"'}).json()
    assert feed["version"] == "https://jsonfeed.org/version/1.1"
    assert len(feed["items"]) == 2
    assert feed["feed_url"] == "http://127.0.0.1:8470/feeds/json?q=harbour+%22words+about%22"
    for q in ("harbour NOT", '"harbour', "ships OR (harbour"):
        of_source = web.reader.get("/feeds/json", params={"q": q, "source": "paper"}).json()
        assert len(of_source["items"]) == len(web.reader.get("/feeds/json", params={"q": q}).json()["items"]) > 0, q


@pytest.mark.parametrize("kind", ["json", "atom", "rss"])
def test_a_misspelt_parameter_is_refused(web: RunningApp, kind: str) -> None:
    """A feed without its filter has other documents than the reader wants."""
    answer = web.program().get(f"/feeds/{kind}?soruce=paper")
    expected = "query soruce: this parameter is unknown; expected q, search, source"
    assert (answer.status_code, answer.json()["detail"]) == (422, expected)


def test_feed_readers_sign_in_with_a_password(web: RunningApp) -> None:
    token = web.program("read").headers["authorization"].removeprefix("Bearer ")
    basic = base64.b64encode(f"anybody:{token}".encode()).decode()
    refused = web.stranger.get("/feeds/rss")
    assert refused.status_code == 401 and refused.headers["www-authenticate"].startswith("Basic realm=")
    assert web.stranger.get("/api/v1/documents").headers["www-authenticate"].startswith("Bearer")
    assert web.client(authorization=f"Basic {basic}").get("/feeds/rss").status_code == 200


def test_nothing_of_a_document_becomes_markup(web: RunningApp) -> None:
    hostile: dict[str, Any] = {
        "text": f"{HOSTILE}\n\n{HOSTILE}",
        "description": HOSTILE,
        "tags": (HOSTILE,),
        "authors": (Author(HOSTILE),),
        "image": "javascript:alert(1)",
        "section": HOSTILE,
    }
    stock(web, 1, **hostile)
    check(web, {})
    check(web, {"q": HOSTILE.replace("\x00", "")})


def check(web: RunningApp, params: dict[str, str]) -> None:
    for kind in ("atom", "rss"):
        answer = web.reader.get(f"/feeds/{kind}", params=params)
        assert answer.status_code == 200
        root = etree.fromstring(answer.content, etree.XMLParser(resolve_entities=False))
        assert not root.xpath("//*[local-name() = 'script']")
    text = web.reader.get("/feeds/json", params=params).text
    assert "javascript:" not in text
    json.loads(text)


@pytest.mark.slow
def test_any_text_is_a_query_and_a_feed(web: RunningApp, shared: Path) -> None:
    """Every 110th collected payload: search and feeds answer 200 with well-formed content."""
    stock(web, 1)
    program = web.program()
    lines = (shared / "cases" / "injection" / "cases.jsonl").read_text(encoding="utf-8").splitlines()[::110]
    for payload in (json.loads(line).get("payload") or "" for line in lines):
        q = {"q": payload[:2000]}
        for path in ("/api/v1/search", "/feeds/json", "/feeds/atom"):
            answer = program.get(path, params=q)
            if answer.status_code == 429:
                program = web.program()
                answer = program.get(path, params=q)
            assert answer.status_code == 200, (payload, answer.text)
            etree.fromstring(answer.content) if path.endswith("atom") else answer.json()


def test_old_documents_of_a_renamed_source_do_not_come_first(web: RunningApp) -> None:
    """They are changed, not new: 50 of them would push what is new out of the feed."""
    stock(web, 2, published_at=web.context.now() - timedelta(days=9))
    (new,) = stock(web, 1, source="other", published_at=web.context.now() - timedelta(hours=1))
    source = web.context.ledger.sources.get("paper")
    assert source is not None
    assert SourceChanges(web.context.engine).rename(source, "gazette", now=web.context.now()) == 2
    while index_pending(web.context.engine):
        pass
    items = web.reader.get("/feeds/json").json()["items"]
    assert (items[0]["id"], len(items)) == (f"urn:newsmill:{new.id}", 3)
    assert len(web.reader.get("/feeds/json", params={"source": "gazette"}).json()["items"]) == 2
