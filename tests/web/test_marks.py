"""Stars, tags and notes, downloads of a search, and preferences: over the API and in the pages, for several users."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from page_client import HTML, read, text_of, token
from site_of_tests import RunningApp, served, stock

import newsmill
from newsmill.exceptions import ConfigError
from newsmill.model import DocumentMarks
from newsmill.web.api import search_export

API = "/api/v1"


def post(client: Any, url: str, **fields: Any) -> int:
    """Submit a form of our page; returns the status."""
    answer = client.post(url, data={"csrf": token(client, "/search"), **fields}, headers=HTML)
    return int(answer.status_code)


def test_marks_over_the_api_belong_to_the_token(web: RunningApp) -> None:
    ids = [document.id for document in stock(web, 3)]
    client, other = web.program(), web.browser()  # the session of a link has no user of its own
    change = {"ids": [*ids[:2], "unknown"], "starred": True, "read": True, "add_tags": ["to read"], "note": "=1+1"}
    assert client.post(f"{API}/marks", json=change).json() == {"documents": 2}
    marks = {"starred": True, "read": True, "tags": ["to read"], "note": "=1+1"}
    assert client.get(f"{API}/marks", params={"id": ids}).json()["items"] == [{"id": one, **marks} for one in sorted(ids[:2])]
    assert client.get(f"{API}/tags").json()["items"] == [{"tag": "to read", "documents": 2}]
    found = client.get(f"{API}/search/documents", params={"q": "is:starred", "include": "marks"}).json()["items"]
    assert {item["id"]: item["marks"] for item in found} == dict.fromkeys(ids[:2], marks)
    assert client.get(f"{API}/documents/{ids[0]}").json()["marks"] is None
    assert len(client.get("/feeds/json", params={"q": "tag:'to read'"}).json()["items"]) == 0
    assert len(client.get("/feeds/json", params={"q": 'tag:"to read"'}).json()["items"]) == 2
    assert other.get(f"{API}/search", params={"q": "is:starred"}).json()["items"] == []
    assert other.get(f"{API}/tags").json()["items"] == []
    for wrong in ({"ids": []}, {"ids": ids, "add_tags": ["x" * 61]}, {"ids": ids, "star": True}, {"ids": ids, "add_tags": [" "]}):
        assert client.post(f"{API}/marks", json=wrong).status_code == 422
    assert client.post(f"{API}/marks", json={"ids": ids[:2], "starred": False, "remove_tags": ["to read"], "note": ""}).status_code == 200
    assert client.get(f"{API}/marks", params={"id": ids}).json()["items"][0]["tags"] == []


def test_another_site_cannot_change_marks(web: RunningApp) -> None:
    (document,) = stock(web)
    change = {"ids": [document.id], "starred": True}
    for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
        assert web.browser().post(f"{API}/marks", json=change, headers=headers).status_code == 403
    assert web.browser().post(f"{API}/marks", json=change).status_code == 403  # a session needs its CSRF token
    assert web.browser().post("/marks", data={"star": document.id}).status_code == 403
    refused = web.reader.get("/marks", params={"star": document.id})
    assert (refused.status_code, refused.json()["detail"]) == (405, "/marks does not accept GET; it accepts POST")
    assert web.reader.post(f"{API}/marks", json=change).json() == {"documents": 1}


def test_forms_mark_and_lead_back(web: RunningApp) -> None:
    documents = stock(web, 3)
    ids = [document.id for document in documents]
    for client in (web.reader, web.browser("read")):
        assert post(client, "/marks", id=ids, do="tag", tag="one, two words") == 303
        assert post(client, "/marks", star=ids[0]) == post(client, "/marks", id=ids[1:], do="read") == 303
        assert post(client, "/marks", id=ids[0], do="note", note="Ask <b>them</b>") == post(client, "/marks", id=ids[2], untag="one") == 303
        page = read(client, "/search?q=harbour")
        assert len(page.xpath("//li[contains(@class, 'read')]")) == 2
        assert len(page.xpath("//button[@aria-pressed='true']")) == 1
        assert "Ask <b>them</b>" in text_of(page) and page.xpath("//a[@class='tag']/text()").count("two words") == 3
        assert len(read(client, "/search?q=tag:one").xpath("//li[contains(@class, 'marked')]")) == 2
        own = read(client, f"/documents/{ids[0]}?q=harbour")
        assert own.xpath("string(//textarea[@name='note'])").strip() == "Ask <b>them</b>"
        assert own.xpath("//form[@id='marks' and @data-unread]") and own.xpath("//button[@name='untag']/@value") == ["one", "two words"]
        for back, target in {"/search?q=x": "/search?q=x", "//evil.example": "/"}.items():
            answer = client.post("/marks", data={"csrf": token(client, "/search"), "unstar": ids[0], "back": back})
            assert answer.headers["location"] == target
        script = {"accept": "application/json"}
        assert client.post("/marks", data={"csrf": token(client, "/search"), "unstar": ids[0]}, headers=script).status_code == 204
        assert post(client, "/marks", id=ids, do="tag", tag="x" * 61) == 422
        assert post(client, "/marks", id=ids, do="unread") == post(client, "/marks", id=ids[0], do="note", note="") == 303
    assert not read(web.reader, "/search").xpath("//button[@aria-pressed='true'] | //li[contains(@class, 'read')]")


def test_reading_a_page_marks_nothing(web: RunningApp) -> None:
    (document,) = stock(web)
    for headers in ({}, {"purpose": "prefetch", "sec-purpose": "prefetch"}):
        assert web.reader.get(f"/documents/{document.id}", headers={**HTML, **headers}).status_code == 200
    assert web.reader.get(f"{API}/search", params={"q": "is:unread"}).json()["total"] == 1


@pytest.mark.parametrize("path", [f"{API}/search/export", "/search/export", "/search"])
def test_a_search_is_downloaded(web: RunningApp, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr(search_export, "EXPORTED_AT_ONCE", 3)
    ids = [document.id for document in stock(web, 7, text='Harbour, "quoted"\nline', title="=HYPERLINK(1)")][::-1]
    client = web.program()
    client.post(f"{API}/marks", json={"ids": ids[:1], "starred": True, "add_tags": ["@tag"]})
    marks = {"include": "marks"} if path.startswith(API) else {"marks": "true"}

    def get(format: str, **more: Any) -> Any:
        answer = client.get(path, params={"q": "harbour", "order": "newest", "format": format, **more})
        assert answer.status_code == 200 and answer.headers["content-disposition"].startswith(
            f'attachment; filename="newsmill-{answer.request.url.params["q"]}-20'
        )
        return answer

    rows = list(csv.DictReader(io.StringIO(get("csv", **marks).text, newline="")))
    assert [row["id"] for row in rows] == ids and {row["title"] for row in rows} == {"'=HYPERLINK(1)"}
    assert [row["marks_starred"] for row in rows[:2]] == ["true", "false"] and rows[0]["marks_tags"] == "'@tag"
    assert [item["id"] for item in get("json").json()] == ids and "marks" not in get("json").json()[0]
    lines = [json.loads(line) for line in get("jsonl", **marks).text.splitlines()]
    assert [line["marks"]["tags"] for line in lines] == [["@tag"], *[[]] * 6]
    assert get("markdown", **marks).text.count("marks_tags: ") == 7 and 'marks_tags: ["@tag"]' in get("markdown", **marks).text
    assert get("json", q="nosuchword").json() == []
    if path.startswith(API):
        assert len(get("json", limit=4).json()) == 4
        assert client.get(path, params={"limit": 10_001}).status_code == 422
    refused = client.get(path, params={"format": "exe"})
    assert refused.status_code == 422 and "'csv', 'json', 'jsonl' or 'markdown'" in refused.json()["detail"]


def test_the_chosen_documents_are_downloaded(web: RunningApp) -> None:
    ids = [document.id for document in stock(web, 3)]
    form = {"csrf": token(web.reader, "/search"), "id": [ids[2], ids[0], "unknown", ids[2]], "do": "export", "format": "jsonl"}
    answer = web.reader.post("/marks", data=form)
    assert [json.loads(line)["id"] for line in answer.text.splitlines()] == [ids[2], ids[0]]


def test_previous_and_next_lead_through_the_results(web: RunningApp) -> None:
    ids = [document.id for document in stock(web, 43)][::-1]
    path, seen = read(web.reader, "/search?q=harbour&order=newest").xpath("//ol/li/h3/a/@href")[0], []
    while True:
        page = read(web.reader, path)
        seen.append(path.partition("?")[0].rpartition("/")[2])
        if len(seen) % 20 < 2:  # the first and the last document of a page of results
            back = read(web.reader, page.xpath("//nav[@class='walk']/a/@href")[0])
            assert back.xpath(f"//li[@id='d-{seen[-1]}']")
        earlier = page.xpath("//nav[@class='walk']/a[@rel='prev']/@href")
        assert (len(earlier) == 1 and f"/documents/{seen[-2]}?" in earlier[0]) if len(seen) > 1 else not earlier
        if not (later := page.xpath("//nav[@class='walk']/a[@rel='next']/@href")):
            break
        path = later[0]
    assert seen == ids
    for odd in ("?q=harbour&page=x", "?q=other", "?order=newest&page=x", "?page=x"):
        assert not read(web.reader, f"/documents/{ids[0]}{odd}").xpath("//nav[@class='walk']/a[@rel]")


def test_times_are_in_the_readers_zone(web: RunningApp) -> None:
    (document,) = stock(web, published_at=datetime(2026, 11, 24, 23, 30, tzinfo=UTC), published_precision="minute")
    client = web.program()
    assert "24 Nov 2026, 23:30" in text_of(read(client, f"/documents/{document.id}"))
    form = {"csrf": token(client, "/preferences"), "zone": "Asia/Kolkata", "keys": "true", "next": "/search?q=x"}
    answer = client.post("/preferences", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/search?q=x")
    page = read(client, f"/documents/{document.id}")
    assert "25 Nov 2026, 05:00" in text_of(page) and "Asia/Kolkata" in text_of(page)
    assert "2026-11-24T23:30:00+00:00" in page.xpath("//time/@datetime")
    assert page.get("data-zone") == "Asia/Kolkata" and page.get("data-keys") == "on"
    assert read(client, "/preferences").xpath("//option[@selected]/text()") == ["Asia/Kolkata"]
    client.post("/preferences", data=form | {"zone": "../../etc/passwd", "keys": ""})
    assert read(client, "/").get("data-zone") == "Asia/Kolkata" and read(client, "/").get("data-keys") == "off"
    for cookie in ("nm_zone=../../etc/passwd", "nm_zone=", "nm_zone=Nowhere/Here"):
        client = web.program()
        client.headers["cookie"] = cookie
        assert "Times: UTC" in text_of(read(client, "/"))


def test_a_notebook_marks_over_the_api(make_web: Callable[..., RunningApp]) -> None:
    web = make_web()
    ids = [document.id for document in stock(web, 2)]
    secret = web.program("read").headers["authorization"].removeprefix("Bearer ")
    with served(web) as url, newsmill.open(url, token=secret) as corpus:
        assert corpus.mark(ids, starred=True, add_tags=["a", "b"], note="words") == 2
        assert corpus.mark(ids[:1], starred=False, read=True, remove_tags=["a"], note="") == 1
        assert corpus.marks(ids) == {
            ids[0]: DocumentMarks(read=True, tags=("b",)),
            ids[1]: DocumentMarks(starred=True, tags=("a", "b"), note="words"),
        }
        assert [hit.id for hit in corpus.search("is:starred")] == ids[1:]
        assert corpus.tags() == {"b": 2, "a": 1}
        with pytest.raises(ConfigError):
            corpus.mark(ids, add_tags=["x" * 61])
