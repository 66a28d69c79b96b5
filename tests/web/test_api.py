"""The API as programs use it, over a real store."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from api_examples import examples, form
from rows import Mill, document_of, ended, good
from site_of_tests import RunningApp, archive, quarantine, served, stock

import newsmill
from newsmill.exceptions import ConfigError, ServiceError
from newsmill.model import Block, BlockType, Kind, Link, Markup, Outcome, OutcomeRecord, TextLink
from newsmill.search.timelines import FITTED_BARS, MAX_BARS
from newsmill.site_inspection.findings import SiteInspection
from newsmill.storage import copy_groups, fingerprints
from newsmill.storage.ledger import Ended
from newsmill.storage.listing_plans import plan_listings
from newsmill.web.config import WebConfig
from newsmill.web.inspections import Inspections

API = "/api/v1"


def pages(client: Any, path: str, **params: Any) -> list[Any]:
    """Every item of a list, page after page."""
    items: list[Any] = []
    cursor = params.pop("cursor", None)
    while True:
        answer = client.get(path, params={**params, **({"cursor": cursor} if cursor else {})})
        assert answer.status_code == 200, answer.text
        items += answer.json()["items"]
        cursor = answer.json()["next"]
        if cursor is None:
            return items


# ---- documents -----------------------------------------------------------------------------------------------------------------


def test_documents_are_paged_in_both_orders_without_gap_or_double(web: RunningApp) -> None:
    made = [document.id for document in stock(web, 7)]
    assert [item["id"] for item in pages(web.reader, f"{API}/documents", limit=3, order="stored")] == made
    assert [item["id"] for item in pages(web.reader, f"{API}/documents", limit=3)] == made[::-1]
    assert pages(web.reader, f"{API}/documents", source="other") == []
    since = web.reader.get(f"{API}/documents/{made[4]}").json()["stored_at"]
    assert [item["id"] for item in pages(web.reader, f"{API}/documents", stored_since=since, order="stored", limit=2)] == made[4:]


def test_a_document_by_id_and_by_each_of_its_urls(web: RunningApp) -> None:
    (made,) = stock(web)
    whole = web.reader.get(f"{API}/documents/{made.id}").json()
    assert whole["text"] == made.text and whole["provenance"] == {"title": "json-ld"} and whole["authors"][0]["name"] == "Ann"
    other = web.reader.get(f"{API}/documents/by-url", params={"url": "http://www.paper.example/0/?utm_source=x"})
    assert other.json() == whole
    for url in ("foo", made.id, "ftp://paper.example/0", ""):
        refused = web.reader.get(f"{API}/documents/by-url", params={"url": url})
        assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json") and url in refused.json()[
            "detail"
        ]
    for path, params in ((f"{API}/documents/{'0' * 32}", {}), (f"{API}/documents/by-url", {"url": "https://nowhere.example/"})):
        missing = web.reader.get(path, params=params)
        assert (missing.status_code, missing.headers["content-type"]) == (404, "application/problem+json")


def test_markdown_on_request_and_whether_a_document_is_doubtful(web: RunningApp) -> None:
    block = Block(BlockType.PARAGRAPH, "See this.", markup=Markup(links=(TextLink(4, 8, "https://a.example/"),)))
    (low,) = stock(web, 1, blocks=(block,), confidence=0.0)
    (high,) = stock(web, 1, confidence=1.0)
    (unknown,) = stock(web, 1, confidence=None)
    client = web.reader
    documents_by_id = {one: client.get(f"{API}/documents/{one}").json() for one in (low.id, high.id, unknown.id)}
    assert [one["doubtful"] for one in documents_by_id.values()] == [True, False, False]
    assert documents_by_id[low.id]["markdown"] is None
    assert documents_by_id[low.id]["blocks"][0]["markup"]["links"] == [{"start": 4, "end": 8, "url": "https://a.example/"}]
    wanted = "See [this](https://a.example/)."
    assert client.get(f"{API}/documents/{low.id}", params={"include": "markdown"}).json()["markdown"] == wanted
    for path, params in (("documents", {}), ("search/documents", {"q": ""}), ("documents/by-url", {"url": low.url})):
        answer = client.get(f"{API}/{path}", params={**params, "include": "markdown"}).json()
        found = answer if "id" in answer else next(item for item in answer["items"] if item["id"] == low.id)
        assert found["markdown"] == wanted, path
    assert {hit["id"]: hit["doubtful"] for hit in client.get(f"{API}/search").json()["items"]}[low.id] is True
    assert client.get(f"{API}/documents/{low.id}", params={"include": "html"}).status_code == 422


def test_documents_with_nearly_the_same_text_and_their_page(web: RunningApp) -> None:
    text = " ".join(f"harbour {n} ferry {n * n}" for n in range(60))
    (one,) = stock(web, text=text, title="One")
    (copy,) = stock(web, text=f"BERLIN (dpa) - {text}", title="<b>Copy</b>", source="other")
    stock(web, 3, text="Words about a harbour.")
    fingerprints.catch_up(web.context.engine)
    answer = web.reader.get(f"{API}/documents/{one.id}/near-duplicates").json()
    (found,) = answer["items"]
    assert (found["id"], found["title"], found["source"], answer["next"]) == (copy.id, "<b>Copy</b>", "other", None)
    assert 0.9 < found["similarity"] < 1
    (documented,) = (shown for command, shown in examples() if "/near-duplicates" in command)
    assert form(answer) == form(documented), "the demo, on which the examples run, has no near duplicates"
    assert web.reader.get(f"{API}/documents/{one.id}/near-duplicates", params={"least": 1}).json()["items"] == []
    assert web.reader.get(f"{API}/documents/{'0' * 32}/near-duplicates").status_code == 404
    page = web.browser().get(f"/documents/{one.id}", headers={"accept-language": "de"}).text
    assert (
        "Fast identische Dokumente" in page
        and "&lt;b&gt;Copy&lt;/b&gt;" in page
        and f"zu {int(100 * found['similarity'])} % gleich" in page
    )
    assert "Near duplicates" in web.browser().get(f"/documents/{copy.id}").text
    alone = stock(web, text="Something else.")[0].id
    assert "Near duplicates" not in web.browser().get(f"/documents/{alone}").text
    copy_groups.catch_up(web.context.engine)
    group = web.reader.get(f"{API}/documents/{copy.id}/copies").json()
    first, second = group["documents"]
    assert ((group["total"], group["wire_agency"]) == (2, "dpa") and {group["duplicate_of"], copy.id} == {one.id, copy.id}) or first[
        "id"
    ] == copy.id
    assert {first["words_added"], first["words_removed"], second["words_added"] + second["words_removed"]} == {0, 2}
    assert web.reader.get(f"{API}/documents/{alone}/copies").json()["total"] == 1
    assert web.reader.get(f"{API}/documents/{'0' * 32}/copies").status_code == 404
    page = web.browser().get(f"/documents/{one.id}").text
    assert "Near duplicates" not in page and f'href="/documents/{one.id}/differences/{copy.id}"' in page and "<bdi>dpa</bdi>" in page
    difference = web.browser().get(f"/documents/{copy.id}/differences/{one.id}").text
    assert "<ins>BERLIN (dpa) - </ins>" in difference and "only here" in difference
    assert web.browser().get(f"/documents/{copy.id}/differences/{'0' * 32}").status_code == 404
    hits = web.reader.get(f"{API}/search", params={"q": "ferry"}).json()
    assert [hit["copies"] for hit in hits["items"]] == [1] and hits["total"] == 1
    assert web.reader.get(f"{API}/search", params={"q": "ferry", "fold": "false"}).json()["total"] == 2
    assert web.reader.get(f"{API}/search/facets", params={"q": "ferry"}).json()["counted"] == 1
    assert len(web.reader.get(f"{API}/search/documents", params={"q": "ferry"}).json()["items"]) == 2
    shown = web.browser().get("/search?q=ferry").text
    assert "and 1 copy" in shown and "and 1 copy" not in web.browser().get("/search?q=ferry&fold=0").text


def test_the_revisions_of_a_document(web: RunningApp) -> None:
    (made,) = stock(web, text="The ferry runs in May.")
    mill = Mill(web.context.ledger, now=web.context.now(), segments=1)
    mill.ledger.links.add([Link(made.url)], now=mill.now, again=True)
    (claim,) = mill.claim(mill.save(mill.lease("paper.example")))
    mill.store(good(claim, document_of(made.url, text="The ferry runs in June.", title=made.title, archive_ref=None)))
    path = f"{API}/documents/{made.id}/revisions"
    answer = web.reader.get(path).json()
    (documented,) = (shown for command, shown in examples() if "/revisions?" in command)
    assert form(answer) == form(documented), "the demo, on which the examples run, has no second revision"
    assert [(one["revision"], one["cause"], one["changed"]) for one in answer["items"]] == [(2, "fetch", ["text"]), (1, None, [])]
    first = web.reader.get(f"{path}/1").json()
    assert (first["text"], first["blocks"][0]["type"]) == ("The ferry runs in May.", "heading")
    for missing in (f"{path}/3", f"{API}/documents/{'0' * 32}/revisions", f"{API}/documents/{'0' * 32}/revisions/1"):
        assert web.reader.get(missing).status_code == 404
    for refused in (f"{path}/0", f"{path}/x", f"{path}/{1 << 40}", f"{path}?cursor=x", f"{path}?limit=0"):
        assert web.reader.get(refused).status_code == 422, refused


def test_what_a_client_has_is_not_sent_again(web: RunningApp) -> None:
    (made,) = stock(web, text="Harbour. " * 500)
    first = web.reader.get(f"{API}/documents/{made.id}")
    tag = first.headers["etag"]
    assert first.headers["content-encoding"] == "gzip"
    for if_none_match in (tag, f'"x", {tag}', "*", tag.removeprefix("W/")):
        again = web.reader.get(f"{API}/documents/{made.id}", headers={"if-none-match": if_none_match})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert web.reader.get(f"{API}/documents/{made.id}", headers={"if-none-match": 'W/"x"'}).status_code == 200


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("documents", {"cursor": "x"}),
        ("documents", {"cursor": "WyJzdG9yZWQiLCIwMDAxLTAxLTAxVDAwOjAwOjAwKzIzOjAwIiwiIl0"}),  # year 1, which is none in UTC
        ("documents", {"limit": "0"}),
        ("documents", {"limit": "1e9"}),
        ("documents", {"stored_since": "yesterday"}),
        ("documents", {"stored_since": "2026-01-01T00:00:00"}),  # without a zone it says no moment
        ("documents", {"stored_since": "0001-01-01T00:00:00+14:00"}),
        ("search", {"cursor": "é"}),
        ("ledger/trace", {"url": "javascript:alert(1)"}),
        ("ledger/counts", {"by": "words"}),
        ("stream", {"cursor": "x"}),
        ("documents", {"q": "harbour"}),  # unknown here: every document would be an answer
        ("search", {"q": "harbour", "format": "csv"}),
        ("tags", {"limit": "5"}),
    ],
)
def test_a_wrong_parameter_is_a_problem_with_a_sentence(web: RunningApp, path: str, params: dict[str, str]) -> None:
    answer = web.reader.get(f"{API}/{path}", params=params)
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["title"] and problem["status"] == 422 and len(problem["detail"]) > 10


@pytest.mark.parametrize(
    "path",
    [
        "documents/%00",
        "sources/%00",
        "submissions/%00",
        "webhooks/%00",
        "search?q=%00",
        "documents?source=%00",
        "ledger/trace?url=http://a%00b/",
    ],
)
def test_what_no_database_takes_finds_nothing(web: RunningApp, path: str) -> None:
    assert web.program("admin").get(f"{API}/{path}").status_code in (200, 404)


def test_why_a_text_is_what_it_is(web: RunningApp) -> None:
    url = archive(web).url
    answer = web.reader.get(f"{API}/explain", params={"url": url})
    assert answer.status_code == 200, answer.text
    reading = answer.json()
    assert reading["ending"]["outcome"] == "stored"
    kept = [block["text"] for block in reading["blocks"] if block["kept"]]
    removed = [block for block in reading["blocks"] if not block["kept"]]
    assert any("paragraph 3" in text for text in kept)
    assert any("All rights" in block["text"] and block["layer"] for block in removed)
    assert web.reader.get(f"{API}/explain", params={"url": "https://paper.example/never"}).status_code == 404
    stock(web)
    assert web.reader.get(f"{API}/explain", params={"url": "https://paper.example/1"}).status_code == 409, "its bytes are not there"


# ---- search ---------------------------------------------------------------------------------------------------------------------


def test_search_with_snippets_and_counts(web: RunningApp) -> None:
    stock(web, 5)
    stock(web, 1, text="Nothing of the kind.", language="de")
    found = web.reader.get(f"{API}/search", params={"q": "harbour lang:en", "limit": 2}).json()
    assert found["total"] == 5 and len(found["items"]) == 2 and found["next"]
    assert [type(piece) for piece in found["items"][0]["snippet"][0]] == [str, bool]
    assert "".join(piece for piece, _ in found["items"][0]["title_snippet"]) == found["items"][0]["title"]
    assert found["notes"] == [] and found["suggestion"] is None and found["items"][0]["score"] is None
    explained = web.reader.get(f"{API}/search", params={"q": "harbour", "explain": 1}).json()["items"][0]["score"]
    assert explained["terms"][0]["term"] == "harbour" and explained["score"] > 0 and explained["recency"] >= 1
    wrong = web.reader.get(f"{API}/search", params={"q": "harbour after:noon"}).json()
    assert (wrong["total"], wrong["notes"][0]["kind"]) == (0, "date") and "write after:2026-01-31" in wrong["notes"][0]["message"]
    assert len(pages(web.reader, f"{API}/search", q="harbour lang:en", limit=2, order="newest")) == 5
    assert sum(hour["n"] for hour in web.reader.get(f"{API}/search/over-time", params={"q": "harbour"}).json()["items"]) == 6
    assert web.reader.get(f"{API}/search/by-source").json() == {"items": [{"source": "paper", "n": 6}], "next": None}


def test_facets_and_timeline(web: RunningApp) -> None:
    stock(web, 5)
    stock(web, 1, text="Nothing of the kind.", language="de")
    facets = web.reader.get(f"{API}/search/facets", params={"limit": 1}).json()
    assert (facets["counted"], facets["is_complete"], facets["next"]) == (6, True, None)
    assert {"facet": "language", "value": "en", "n": 5, "filter": "lang:en"} in facets["items"]
    assert {"facet": "source", "value": "paper", "n": 6, "filter": "source:paper"} in facets["items"]
    found = web.reader.get(f"{API}/search/timeline", params={"q": "lang:en", "since": "2026-01-01T00:00:00Z", "step": "month"}).json()
    assert found["step"] == "month" and found["items"][0]["start"] == "2026-01-01T00:00:00Z"
    assert sum(item["n"] for item in found["items"]) == 5 and sum(item["all_documents"] for item in found["items"]) == 6
    assert {item["share"] for item in found["items"]} == {0.0, 5 / 6}
    opened = web.reader.get(f"{API}/search/timeline").json()
    assert opened["items"][0]["n"] and opened["items"][-1]["n"] and sum(item["n"] for item in opened["items"]) == 6
    long = web.reader.get(f"{API}/search/timeline", params={"since": "2024-01-01T00:00:00Z", "step": "day"}).json()
    described = web.reader.get(f"{API}/openapi.json").json()["paths"][f"{API}/search/timeline"]["get"]["parameters"]
    (step,) = (one for one in described if one["name"] == "step")
    assert long["step"] == "week" and f"{FITTED_BARS} bars; a step of more than {MAX_BARS} bars" in step["description"]
    assert web.reader.get(f"{API}/search/timeline", params={"step": "hour"}).status_code == 422


def test_a_body_that_cannot_be_read_is_explained(web: RunningApp) -> None:
    program = web.program("write")
    answers = [
        program.post(f"{API}/urls", content=b'{"urls": [', headers={"content-type": "application/json"}),
        program.post(f"{API}/urls", content=b"urls", headers={"content-type": "text/plain"}),
        program.post(f"{API}/sources", json={"homepage": "https://x.org", "evry": "1h"}),
        program.post(f"{API}/urls", json={"urls": ["https://x.org/"], "agian": True}),
        program.post(f"{API}/pages", json={"pages": [{"url": "https://x.org/", "html": "x", "hedaers": []}]}),
        program.post(f"{API}/pages", content=b"{", headers={"content-type": "application/json"}),
    ]
    assert [answer.status_code for answer in answers] == [422] * len(answers)
    not_json, no_object, misspelt, *others = (answer.json()["detail"] for answer in answers)
    assert others[:2] == ["#/agian: this key is unknown", "#/pages/0/hedaers: this key is unknown"]
    assert others[2].startswith("#: the body is not JSON: EOF while parsing")
    assert not_json == "#: the body is not JSON: Expecting value at character 10"
    assert no_object == "#: expected a JSON object, sent with Content-Type: application/json"
    assert misspelt == "#/evry: this key is unknown"
    for body in (b'{"urls": "\xff"}', b"[" * 100_000):
        answer = program.post(f"{API}/urls", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 422
        assert answer.json()["detail"] == "#: the body cannot be read: it is not in UTF-8, or nested too deeply"


def test_a_refused_request_says_what_is_possible(web: RunningApp) -> None:
    """All methods of a path, characters of a text, and how often a parameter may be given."""
    program = web.program("admin")
    answer = program.put(f"{API}/sources/paper", json={})
    assert (answer.status_code, answer.headers["allow"]) == (405, "DELETE, GET, PATCH")
    assert answer.json()["detail"] == f"{API}/sources/paper does not accept PUT; it accepts DELETE, GET, PATCH"
    for path, detail in (
        (f"search?q={'x' * 2001}", "query q: String should have at most 2000 characters"),
        (f"documents/{'x' * 65}", "path id: String should have at most 64 characters"),
        ("documents?source=a&source=b", "query source: expected one value, not 2"),
    ):
        answer = program.get(f"{API}/{path}")
        assert (answer.status_code, answer.json()["detail"]) == (422, detail)
    assert program.get(f"{API}/documents?include=marks&include=markdown").status_code == 200


# ---- sources --------------------------------------------------------------------------------------------------------------------


def test_a_source_from_adding_to_pausing(web: RunningApp) -> None:
    program = web.program("write")
    made = program.post(f"{API}/sources", json={"homepage": "https://gazette.example.org/", "every": "90m", "language": "de"})
    assert made.status_code == 201, made.text
    assert made.headers["location"] == f"{API}/sources/gazette-example-org"
    assert made.json()["every"] == "90m" and made.json()["enabled"] is True and made.json()["render"] == "never"
    assert program.post(f"{API}/sources", json={"homepage": "https://gazette.example.org/"}).status_code == 409
    second = program.post(f"{API}/sources", json={"homepage": "https://gazette.example.org/", "name": "second"})
    assert second.status_code == 409 and "source 'gazette-example-org' follows a URL" in second.json()["detail"]
    path = f"{API}/sources/gazette-example-org"
    changed = program.patch(path, json={"cron": "0 6 * * *", "politeness": {"delay": 2}, "language": None}).json()
    assert (changed["cron"], changed["every"], changed["politeness"]["delay"], changed["language"]) == ("0 6 * * *", None, 2.0, None)
    assert changed["homepage"] == "https://gazette.example.org/"
    fresher = program.patch(path, json={"freshness": "60m"}).json()
    assert (fresher["freshness"], fresher["cron"]) == ("1h", None), "each of the times replaces the others"
    assert program.patch(path, json={"cron": "0 6 * * *"}).json()["freshness"] is None
    changed = program.patch(path, json={"render": "auto", "revisit": ["1d", "2h"]}).json()
    assert changed["render"] == "auto" and changed["cron"] == "0 6 * * *" and changed["revisit"] == ["2h", "1d"]
    assert program.post(f"{path}/pause").json()["enabled"] is False
    assert program.post(f"{path}/resume").json()["enabled"] is True
    state = program.get(path).json()
    assert state["source"] == changed and state["rendered"] == 0
    assert [(listing["kind"], listing["state"]) for listing in state["listings"]] == [("homepage", "due")]
    (listed,) = pages(program, f"{API}/sources", limit=1)
    assert (listed["name"], listed["health"]["state"], listed["health"]["failure"]) == ("gazette-example-org", "unread", None)


def test_a_source_is_renamed_and_removed(web: RunningApp) -> None:
    stock(web, 3)
    program, admin = web.program("write"), web.program("admin")
    assert program.post(f"{API}/sources", json={"homepage": "https://other.example/", "name": "other"}).status_code == 201
    assert program.patch(f"{API}/sources/paper", json={"name": "other"}).status_code == 409
    assert program.patch(f"{API}/sources/paper", json={"name": "a b"}).status_code == 422
    taken = program.patch(f"{API}/sources/paper", json={"homepage": "https://other.example/"})
    assert taken.status_code == 409 and "source 'other' follows a URL" in taken.json()["detail"]
    renamed = program.patch(f"{API}/sources/paper", json={"name": "gazette", "every": "2h"}).json()
    assert (renamed["name"], renamed["every"]) == ("gazette", "2h")
    assert program.get(f"{API}/sources/paper").status_code == 404
    assert program.get(f"{API}/search", params={"q": "source:gazette"}).json()["total"] == 3
    assert program.delete(f"{API}/sources/gazette").status_code == 403
    assert admin.delete(f"{API}/sources/gazette", params={"keep_documents": True}).json()["documents"] == 0
    assert admin.delete(f"{API}/sources/gazette").json()["documents"] == 3, "documents that were left"
    assert admin.delete(f"{API}/sources/gazette").status_code == 404
    assert pages(program, f"{API}/documents") == []


def test_the_schedule_of_a_source_says_when_each_listing_is_polled_and_why(web: RunningApp) -> None:
    program = web.program("write")
    feed = "https://gazette.example.org/feed"
    program.post(f"{API}/sources", json={"homepage": "https://gazette.example.org/", "feeds": [feed]})
    path = f"{API}/sources/gazette-example-org/schedule"
    assert program.get(path).json() == {"items": [], "next": None}
    ledger, now = web.context.ledger, web.context.now()
    for row in Mill(ledger, now).lease("gazette.example.org"):
        outcome = OutcomeRecord(Outcome.LISTED if row.url == feed else Outcome.HTTP_ERROR)
        ledger.url_endings.end([Ended(row.id, row.fence, outcome, update_interval=timedelta(hours=1))], now=now)
    assert {one["why"] for one in pages(program, path)} == {"unplanned"}
    plan_listings(web.context.engine, now, pass_seconds=3, polls_per_minute=3000)
    listings = {one["url"]: one for one in pages(program, path, limit=1)}
    read, failing = listings[feed], listings["https://gazette.example.org/"]
    assert (read["why"], read["is_due"], read["shown_at"], read["share"]) == ("announced", False, None, None)
    assert read["text"] == "nothing is learned yet; by its own account it changes every 1h"
    assert datetime.fromisoformat(read["next_poll_at"]) - now == timedelta(seconds=read["interval_seconds"])
    assert (failing["why"], failing["interval_seconds"]) == ("failing", 3600) and failing["text"].startswith("it has failed since 20")
    for language, texts in (("en", ("Schedule", "2 listings", "it has failed since")), ("de", ("Zeitplan", "2 Listen", "schlägt seit"))):
        page = program.get(f"/sources/gazette-example-org?lang={language}", headers={"Accept": "text/html"}).text
        assert all(text in page for text in texts) and page.count(f'href="{feed}"') >= 2, "its listings, and their schedule"
    program.post(f"{API}/sources/gazette-example-org/pause")
    assert {(one["why"], one["next_poll_at"]) for one in pages(program, path)} == {("paused", None)}
    assert program.get(f"{API}/sources/none/schedule").status_code == 404


def test_a_source_that_fails_says_with_what_and_since_when(web: RunningApp) -> None:
    program = web.program("write")
    assert program.post(f"{API}/sources", json={"homepage": "https://gazette.example.org/"}).status_code == 201
    ledger, now = web.context.ledger, web.context.now()
    (row,) = Mill(ledger, now).lease("gazette.example.org")
    ledger.url_endings.end([ended(row, Outcome.HTTP_ERROR, "HTTP 403")], now=now)
    (listed,) = pages(program, f"{API}/sources")
    health = listed["health"]
    assert (health["state"], health["failure"], health["outcome"], health["listings"]) == ("blocked", "blocked: HTTP 403", "http_error", 1)
    (cause,) = health["causes"]
    assert (cause["cause"], cause["evidence"]["of"]) == ("refused", 1) and cause["remedy"].startswith("Ask the publisher")
    assert health["url"] == "https://gazette.example.org/" and datetime.fromisoformat(health["since"]) == now
    assert program.get(f"{API}/sources/gazette-example-org").json()["health"] == health


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "name: expected a name"),
        ({"name": "x"}, "at least one of homepage"),
        ({"homepage": "ftp://x.org/"}, "homepage"),
        ({"homepage": "https://x.org", "every": "never"}, "every: expected a duration"),
        ({"homepage": "https://x.org", "every": "1h", "cron": "* * * * *"}, "every or cron"),
        ({"homepage": "https://x.org", "freshness": "2d"}, "freshness: expected a duration from"),
        ({"homepage": "https://x.org", "every": "1h", "freshness": "1h"}, "freshness without every and cron"),
        ({"homepage": "https://x.org", "nonsense": 1}, "nonsense"),
        ({"homepage": "https://x.org", "render": "sometimes"}, "render"),
        ({"homepage": "https://x.org", "name": "a b"}, "expected a name"),
        ({"homepage": "https://x.org", "politeness": {"delay": -1}}, "politeness"),
        ({"homepage": "http://127.0.0.1/"}, "127.0.0.1 is not a public IP address"),
        ({"homepage": "https://x.org", "feeds": ["http://[::1]/feed"]}, "::1 is not a public IP address"),
    ],
    ids=str,
)
def test_a_wrong_source_is_refused_with_what_was_expected(web: RunningApp, body: dict[str, Any], words: str) -> None:
    answer = web.program("write").post(f"{API}/sources", json=body)
    assert answer.status_code == 422
    assert words in str(answer.json())
    assert web.context.ledger.sources.list_all() == []


def test_patterns_need_more_than_the_right_to_add(web: RunningApp) -> None:
    body = {"homepage": "https://x.example.org", "deny": ["(a+)+$"], "rules": {"drop_css": [".ad"], "expires": "2027-06-30"}}
    assert web.program("write").post(f"{API}/sources", json=body).status_code == 403
    made = web.program("admin").post(f"{API}/sources", json=body)
    assert made.status_code == 201, made.text
    assert made.json()["rules"]["expires"] == "2027-06-30"
    assert web.program("write").patch(f"{API}/sources/x-example-org", json={"enabled": False}).json()["rules"] == made.json()["rules"]


def test_only_an_admin_may_leave_robots_txt_aside(web: RunningApp) -> None:
    body = {"homepage": "https://x.example.org", "robots": False}
    assert web.program("write").post(f"{API}/sources", json=body).status_code == 403
    assert web.program("admin").post(f"{API}/sources", json=body).json()["robots"] is False
    assert web.program("write").patch(f"{API}/sources/x-example-org", json={"every": "2h"}).json()["robots"] is False
    page = web.program("read").get("/sources/x-example-org")
    assert "not obeyed, as the publisher permits" in page.text


# ---- the ledger ------------------------------------------------------------------------------------------------------------------


def test_progress_counts_and_the_trace_of_a_url(web: RunningApp) -> None:
    stock(web, 3)
    quarantine(web)
    assert web.reader.get(f"{API}/ledger/progress").json()["outcomes"] == {"stored": 3, "died": 1}
    assert web.reader.get(f"{API}/ledger/progress", params={"source": "paper"}).json()["pages"] == 3
    today = web.reader.get(f"{API}/ledger/counts", params={"by": ["source", "outcome"], "source": "paper"}).json()
    assert [(row["source"], row["outcome"], row["n"], row["day"]) for row in today["items"]] == [("paper", "stored", 3, None)]
    trace = web.reader.get(f"{API}/ledger/trace", params={"url": "paper.example/1"})
    assert trace.status_code == 422, "a URL has a scheme"
    trace = web.reader.get(f"{API}/ledger/trace", params={"url": "https://www.paper.example/1"})
    assert (trace.json()["state"], trace.json()["outcome"]) == ("done", "stored")
    assert web.reader.get(f"{API}/ledger/trace", params={"url": "https://paper.example/never"}).status_code == 404
    assert len(pages(web.reader, f"{API}/ledger/traces", source="paper", limit=2)) >= 3
    meanings = web.reader.get(f"{API}/ledger/outcomes").json()
    assert {"outcome": "stored", "state": "done", "meaning": "Document stored"} in meanings["items"]


def test_quarantine_from_the_list_to_the_end(web: RunningApp) -> None:
    quarantine(web)
    quarantine(web, "https://paper.example/poison-2")
    program, admin = web.program("write"), web.program("admin")
    listed = pages(program, f"{API}/quarantine", limit=1)
    assert [(row["stage"], row["detail"]) for row in listed] == [("read", "signal 11 (SIGSEGV)")] * 2
    assert program.get(f"{API}/quarantine/page", params={"url": listed[0]["url"]}).json()["crashes"] == 3
    assert program.post(f"{API}/quarantine/drop", json={"urls": [listed[0]["url"]]}).status_code == 403
    assert admin.post(f"{API}/quarantine/drop", json={"urls": [listed[0]["url"]]}).json() == {"changed": 1}
    assert program.post(f"{API}/quarantine/retry", json={"urls": [row["url"] for row in listed]}).json() == {"changed": 1}
    assert pages(program, f"{API}/quarantine") == []
    assert program.get(f"{API}/quarantine/page", params={"url": listed[1]["url"]}).status_code == 404


# ---- submitted URLs -------------------------------------------------------------------------------------------------------------


def test_each_submitted_url_has_an_outcome(web: RunningApp) -> None:
    program = web.program("write")
    (known,) = stock(web)
    body = {"urls": ["https://paper.example/new", known.url, "no URL", "https://paper.example/new"], "source": "paper"}
    answer = program.post(f"{API}/urls", json=body)
    assert answer.status_code == 202, answer.text
    path = answer.headers["location"]
    state = program.get(path).json()
    assert (state["urls"], state["open"], state["done"]) == (4, 2, False)
    assert [item["outcome"] for item in state["items"]] == [None, "stored", "bad_url", None]
    assert state["items"][1]["document_id"] == known.id
    assert program.get(path, params={"limit": 2}).json()["next"] == "1"
    assert [item["number"] for item in program.get(path, params={"limit": 2, "cursor": 1}).json()["items"]] == [2, 3]
    assert program.get(f"{API}/submissions/none").status_code == 404


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"urls": []}, "#/urls"),
        ({"urls": ["https://a.org"] * 10_001}, "#/urls"),
        ({"urls": "https://a.org"}, "#/urls"),
        ({"urls": ["https://paper.example.org/", "http://169.254.169.254/latest"]}, "#/urls/1"),
        ({"urls": ["https://a.org"], "source": "none"}, "source"),
        ({"urls": ["https://a.org"], "webhook": "http://localhost/"}, "webhook"),
        ({"urls": ["https://a.org:6379/"]}, "port 6379"),
        ({"urls": ["http://router.lan/"]}, "private network"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_submission_that_is_wrong_takes_nothing(web: RunningApp, body: dict[str, Any], words: str) -> None:
    answer = web.program("write").post(f"{API}/urls", json=body)
    assert answer.status_code == 422
    assert words in str(answer.json())
    assert web.context.ledger.progress.count().pages == 0


def test_compressed_or_misshapen_bodies(web: RunningApp) -> None:
    program = web.program("write")
    for body in (b"", b"{", b"[" * 100_000, b'{"\\ud800": 1, "urls": []}', gzip.compress(b"{}"), b"\xff\xfe", b'{"urls": [1e999]}'):
        answer = program.post(f"{API}/urls", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 422, (body[:20], answer.text)
        assert answer.headers["content-type"] == "application/problem+json"


# ---- services that are away ------------------------------------------------------------------------------------------------------


def test_reading_goes_on_without_redis(make_web: Callable[..., RunningApp]) -> None:
    def away() -> int | None:
        raise ServiceError("Redis at redis://10.0.0.7:6379 does not answer")

    web = make_web(WebConfig())
    web.app.state.context = replace(web.context, queue_depth=away)
    stock(web, 2)
    health = web.reader.get(f"{API}/health")
    assert health.status_code == 200
    assert (health.json()["redis"], health.json()["queue"], health.json()["documents"]) == (False, None, 2)
    assert len(pages(web.reader, f"{API}/documents")) == 2
    assert web.program("write").post(f"{API}/urls", json={"urls": ["https://paper.example/new"]}).status_code == 202


# A server process ends with the first of its threads that notices; here the thread of web hooks may.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_database_that_is_not_available_is_503_without_its_path(web: RunningApp, tmp_path: Any) -> None:
    stock(web)
    assert web.reader.get(f"{API}/documents").status_code == 200
    store = tmp_path / "0" / "newsmill.sqlite"
    for file in store.parent.glob("newsmill.sqlite*"):
        file.rename(file.with_name(f"away-{file.name}"))
    store.mkdir()
    web.context.engine.dispose()  # not before: the webhook thread would open another connection to the file that goes
    answer = web.reader.get(f"{API}/documents")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert str(tmp_path) not in answer.text
    store.rmdir()
    for file in store.parent.glob("away-*"):
        file.rename(file.with_name(file.name.removeprefix("away-")))
    web.context.engine.dispose()  # the webhook thread may have made and opened an empty one in between
    assert web.reader.get(f"{API}/documents").status_code == 200


def test_a_notebook_reads_over_the_api(web: RunningApp) -> None:
    made = [document.id for document in stock(web, 60)]
    token = web.program("read").headers["authorization"].removeprefix("Bearer ")
    with served(web) as url, newsmill.open(url, token=token) as corpus:
        assert [document.id for document in corpus.documents()] == made
        found = corpus.document(made[3])
        assert found is not None and found.id == made[3]
        assert found.text_with_updates().startswith(found.text) and found.live_updates[0].text in found.text_with_updates()
        assert {hit.doubtful for hit in corpus.search("harbour", limit=3)} == {found.doubtful}
        assert [hit.id for hit in corpus.search("harbour", limit=3)][:1]
        assert [(source.name, source.documents) for source in corpus.sources()] == [("paper", 60)]
        first = next(iter(corpus.stream(since=web.context.now() - timedelta(days=1))))
        assert first.document.id == made[0]


def test_a_program_inspects_a_site_and_adds_it(web: RunningApp) -> None:
    inspected: list[str] = []

    def find(url: str, on_start: object = None, on_finding: object = None) -> SiteInspection:
        inspected.append(url)
        return SiteInspection("https://gazette.example/", Kind.HOMEPAGE, plan={"homepage": "https://gazette.example/", "language": "de"})

    token = web.program("write").headers["authorization"].removeprefix("Bearer ")
    with served(web) as url, newsmill.open(url, token=token) as corpus:
        assert corpus.tags() == {}  # after the answer the server has started, and has made its own inspections
        web.app.state.inspections.close()
        web.app.state.inspections = Inspections(find)
        inspection = corpus.inspect_site("gazette.example")
        assert inspection.can_follow and inspection.kind is Kind.HOMEPAGE and inspected == ["gazette.example"]
        added = corpus.add_source(inspection.plan, name="gazette")
        assert [added] == corpus.sources() and (added.name, added.homepage) == ("gazette", "https://gazette.example/")
        for table, words in ((inspection.plan, "409: source 'gazette"), ({"homepage": "https://x.example/", "evry": "1h"}, "422: #/evry")):
            with pytest.raises(ConfigError, match=words):
                corpus.add_source(table)
        with pytest.raises(ConfigError, match="not a public IP address"):
            corpus.inspect_site("http://10.0.0.1/")


def test_what_came_after_the_last_page(web: RunningApp) -> None:
    stock(web, 2)
    last = web.reader.get(f"{API}/documents", params={"order": "stored"}).json()["last"]
    assert web.reader.get(f"{API}/documents", params={"order": "stored", "cursor": last}).json() == {
        "items": [],
        "removed": [],
        "next": None,
        "last": last,
    }
    made = [document.id for document in stock(web, 2, ago=30)]
    assert [item["id"] for item in pages(web.reader, f"{API}/documents", order="stored", cursor=last)] == made
