"""Stories in pages and API: lists, one story, and what a person corrects."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from page_client import HTML, read, text_of, token
from rows import NOON, insert_pages
from site_of_tests import RunningApp
from story_world import make_event, make_world, settle

from newsmill.web.config import WebConfig

API = "/api/v1"
HOUR = timedelta(hours=1)


def test_a_story_is_listed_shown_and_corrected(make_web: Callable[..., RunningApp]) -> None:
    web = make_web(WebConfig())
    client, program = web.browser(), web.program("write")
    assert "No stories yet" in text_of(read(client, "/stories"))
    world = make_world()
    insert_pages(web.context.engine, *world)
    settle(web.context.engine)
    ids = [document.id for document in world]
    listed = program.get(f"{API}/stories", params={"order": "biggest", "limit": 1}).json()
    (big,) = listed["items"]
    second, third = program.get(f"{API}/stories", params={"order": "biggest", "limit": 5, "cursor": listed["next"]}).json()["items"]
    assert [(one["documents"], one["texts"], one["sources"]) for one in (big, second, third)] == [(5, 4, 5), (3, 3, 3), (2, 2, 2)]
    assert program.get(f"{API}/documents/{ids[-1]}/story").json() == big
    assert program.get(f"{API}/documents/{ids[-2]}/story").status_code == 404
    assert program.get(f"{API}/stories", params={"since": "2030-01-01T00:00:00Z"}).json()["items"] == []

    page = read(client, f"/stories/{big['id']}")
    members = program.get(f"{API}/stories/{big['id']}").json()["members"]
    assert page.xpath("//ol/li/h3/a/@href") == [f"/documents/{member['id']}" for member in members if not member["duplicate_of"]]
    assert not page.xpath("//table")
    assert len(page.xpath("//input[@name='document']")) == 4 and page.xpath("//details//a[contains(@href, $id)]", id=ids[-1])
    assert not read(web.browser("read"), f"/stories/{big['id']}").xpath("//input[@name='document']")
    assert not page.xpath("//svg[@class='bars']"), "the list shows few documents as well"
    assert "5 shared terms" in text_of(page) and "New here:" in text_of(page) and " h " in text_of(page)
    assert read(client, f"/documents/{ids[0]}").xpath(f"//a[@href='/stories/{big['id']}']")
    assert read(client, "/stories?order=biggest").xpath("//h3/a/@href") == [f"/stories/{one['id']}" for one in (big, second, third)]

    form = {"csrf": token(client, f"/stories/{big['id']}")}
    path = f"/stories/{big['id']}"
    assert client.post(path, data={"do": "pin"}, headers=HTML).status_code == 403, "without the form"
    assert web.browser("read").post(path, data=form | {"do": "pin"}, headers=HTML).status_code == 403
    refused = client.post(path, data=form | {"do": "merge", "other": "nonsense"}, headers=HTML | {"accept-language": "de"})
    assert refused.status_code == 422 and "Nennen Sie zwei verschiedene Themen" in refused.text
    merged = client.post(path, data=form | {"do": "merge", "other": f"http://host/stories/{second['id']}"})
    kept, gone = sorted((big["id"], second["id"]))
    assert merged.status_code == 303 and merged.headers["location"] == f"/stories/{kept}?done=merged"
    assert client.get(f"/stories/{gone}").headers["location"] == f"/stories/{kept}"
    assert program.get(f"{API}/stories/{gone}").json()["story"]["documents"] == 8
    split = program.post(f"{API}/stories/{kept}/split", json={"documents": ids[4:6]}).json()["id"]
    shown = text_of(read(client, f"/stories/{kept}"))
    assert f"Story {split} was split off story {kept}" in shown and f"Story {gone} was merged into story {kept}" in shown
    for do, words in (("unpin", "no longer pinned"), ("pin", "is pinned")):
        assert words in text_of(read(client, client.post(f"/stories/{split}", data=form | {"do": do}).headers["location"]))
    assert program.post(f"{API}/stories/{kept}/split", json={"documents": ["x"]}).status_code == 422
    assert web.program("read").put(f"{API}/stories/{kept}/pin").status_code == 403
    assert program.delete(f"{API}/stories/999/pin").status_code == 404
    assert program.delete(f"{API}/stories/{kept}/pin").json() == {"id": kept}


def test_a_story_of_documents_that_state_a_day_of_one_site(make_web: Callable[..., RunningApp]) -> None:
    """A pair of one site is behind a switch. A day without a time is compared as a day. The first document lends image and description."""
    web = make_web(WebConfig())
    client, program = web.browser(), web.program("read")
    first, second, third = make_event(random.Random(3), 0, 3)
    day = {"published_precision": "day", "source": "site0"}
    lead = {"image": "https://site0.example/lead.jpg", "description": "What the city decided"}
    story = [
        replace(first, published_at=NOON, first_seen_at=NOON, source="site0", **lead),
        replace(second, url="https://site0.example/again", published_at=NOON.replace(hour=0), first_seen_at=NOON + HOUR, **day),
    ]
    insert_pages(web.context.engine, *story)
    settle(web.context.engine)
    assert program.get(f"{API}/stories").json()["items"] == [] and not read(client, "/stories").xpath("//ol//h3")
    (pair,) = program.get(f"{API}/stories", params={"pairs": True}).json()["items"]
    assert pair["sources"] == 1
    listed = read(client, "/stories?pairs=true")
    assert listed.xpath("//ol//h3/a/@href") == [f"/stories/{pair['id']}"] and "23:59" not in text_of(listed)
    for page in (listed, read(client, f"/stories/{pair['id']}")):
        assert "What the city decided" in text_of(page) and page.xpath("//img/@src") == [f"/documents/{first.id}/image"]
    assert "same day" in text_of(page) and "23:59" not in text_of(page)

    later = NOON + 73 * HOUR
    insert_pages(web.context.engine, replace(third, url="https://site0.example/more", published_at=later, first_seen_at=later, **day))
    settle(web.context.engine)
    assert program.get(f"{API}/stories").json()["items"][0]["documents"] == 3, "three documents are a story"
    assert "+3 days" in text_of(read(client, f"/stories/{pair['id']}"))


def test_a_search_of_stories_is_saved_on_the_page_of_stories(make_web: Callable[..., RunningApp]) -> None:
    client = make_web(WebConfig()).browser()
    form = {"csrf": token(client, "/stories"), "name": "Big", "q": ""}
    refused = client.post("/searches", data=form | {"story_sources": "1"}, headers=HTML | {"accept-language": "de"})
    assert refused.status_code == 422 and "2 bis 1000" in refused.text
    assert client.post("/searches", data=form | {"story_sources": "five"}, headers=HTML).status_code == 422
    saved = client.post("/searches", data=form | {"story_sources": "5"})
    assert saved.status_code == 303
    shown = text_of(read(client, saved.headers["location"]))
    assert "Stories that at least 5 sources carry" in shown and "No story has had enough sources" in shown
    assert "at least 5 sources" in text_of(read(client, "/searches"))
