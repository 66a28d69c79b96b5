"""Stories in pages and API: lists, one story, and what a person corrects."""

from __future__ import annotations

from collections.abc import Callable

from page_client import HTML, read, text_of, token
from rows import insert_pages
from site_of_tests import RunningApp
from story_world import make_world, settle

from newsmill.web.config import WebConfig

API = "/api/v1"


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
    assert [link.text_content() for link in page.xpath("//table//a")] == [
        member["source"] for member in sorted(program.get(f"{API}/stories/{big['id']}").json()["members"], key=lambda member: member["at"])
    ]
    assert len(page.xpath("//input[@name='document']")) == 4 and page.xpath("//details//a[contains(@href, $id)]", id=ids[-1])
    assert not read(web.browser("read"), f"/stories/{big['id']}").xpath("//input[@name='document']")
    assert page.xpath("//svg[@class='bars']") and "shared terms" in text_of(page) and "New here:" in text_of(page)
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
