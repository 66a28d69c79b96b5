"""Articles on several pages, from the feed to the document: a crawler process, a worker's extraction, a revisit and a takedown."""

from __future__ import annotations

from datetime import UTC, datetime

from fake_site import Farm, Site
from sqlalchemy import update
from takedown_store import erase_archived_pages, take_down
from world import World, now

from newsmill.context import AppContext, build_context
from newsmill.model import Outcome, State
from newsmill.sandbox.pages import Sandbox
from newsmill.settings import load
from newsmill.storage.database import writing
from newsmill.storage.documents import Documents
from newsmill.storage.schema import ledger
from workers.jobs import extract_claimed_pages
from workers.process import WorkerContext

NAMES = ("bridges", "robots", "missing", "ends-at-another", "whole")
THINGS = ("council", "ferry", "engineer", "mayor", "school", "harbour")


def prose(name: str, number: int | str) -> list[str]:
    line = "On page {} about {} the {} met the {} for {} hours and talked about the costs of the new bearings."
    return [line.format(number, name, thing, THINGS[at - 2], at + 3) for at, thing in enumerate(THINGS)]


def add_page(site: Site, path: str, title: str, texts: list[str], links: str) -> str:
    body = "".join(f"<p>{text}</p>" for text in texts)
    head = f'<title>{title}</title><meta property="og:type" content="article">'
    html = f"<html lang=en><head>{head}</head><body><main><article><h1>{title}</h1>{body}</article><div>{links}</div></main></body></html>"
    return site.page(path, html, zipped=True)


def add_part(site: Site, name: str, number: int, *, title: str | None = None, links: str = "", texts: list[str] | None = None) -> str:
    """A page of the article; the first one is at a URL without a number."""
    first = f"/story/the-night-of-{name}"
    links += " ".join(f'<a href="{first}/{other}">{other}</a>' for other in (2, 3) if other != number)
    path = first if number == 1 else f"{first}/{number}"
    return add_page(site, path, title or f"The night of {name}", texts or prose(name, number), links)


def add_articles(site: Site) -> dict[str, str]:
    urls = {name: add_part(site, name, 1) for name in NAMES}
    for name in NAMES[:4]:
        add_part(site, name, 2)
    add_part(site, "bridges", 3, links='<a href="/story/the-night-of-bridges/4">4</a>')
    site.page("/story/the-night-of-bridges/4", redirect="/story/the-night-of-bridges/2")
    add_part(site, "ends-at-another", 3, title="Strike at the harbour goes on")
    whole = "/story/the-night-of-whole?page=all"
    add_part(site, "whole", 1, links=f'<a href="{whole}">View all</a>')
    add_page(site, whole, "The night of whole", [*prose("whole", 1), *prose("whole", 2)], "")
    site.robots("User-agent: *\nDisallow: /story/the-night-of-robots/2")
    return urls


def work(app: AppContext, sandbox: Sandbox) -> None:
    context = WorkerContext(app, sandbox, "worker-1")
    for segment_id in app.ledger.segments.list_pending(now=datetime.now(UTC), limit=100):
        extract_claimed_pages(context, segment_id)


def revisit(world: World, app: AppContext, sandbox: Sandbox, url: str) -> None:
    with writing(world.engine) as conn:
        conn.execute(update(ledger).where(ledger.c.url == url).values(revisit_at=now()))
    assert world.ledger.due_revisits.make_due(now=now()) == 1
    world.wait(lambda: world.trace(url).state not in (State.DUE, State.FETCHING))
    work(app, sandbox)


def test_articles_on_several_pages(sites: Farm, world: World) -> None:
    site = sites.site()
    urls = add_articles(site)
    first = urls["bridges"]
    world.source(delay=0.05)
    world.submit(*urls.values(), source="paper")
    app, stored = build_context(world.engine, str(world.data), settings=load({"NEWSMILL_DATA": str(world.data)})), Documents(world.engine)

    def is_fetched() -> bool:
        return all(world.trace(url).state is State.FETCHED for url in urls.values())

    with Sandbox() as sandbox, world.crawler(patch={"crawler.segments.page_writer.MAX_SEGMENT_SECONDS": 0.1}):
        world.wait(is_fetched)
        site.log.clear()
        work(app, sandbox)
        assert app.documents.count() == 0
        world.wait(is_fetched)
        assert all(gap >= 0.04 for gap in site.gaps())  # at the pace of the host
        requested = [hit.path for hit in site.log]
        work(app, sandbox)
        assert {world.outcome(url) for url in urls.values()} == {Outcome.STORED}
        assert len(requested) == len({*requested}) and "/story/the-night-of-robots/2" not in requested
        pages = {"bridges": 3, "robots": 1, "missing": 2, "ends-at-another": 2, "whole": 2}
        for name, url in urls.items():
            document = stored.get(url)
            assert document is not None and document.revision == 1
            assert document.text.split("\n\n") == [text for number in range(pages[name]) for text in prose(name, number + 1)], name
        assert world.trace(first).parts == (f"{first}/2", f"{first}/3")
        assert [part.url for part in world.page(first).parts] == [f"{first}/2", f"{first}/3"]

        edit = "The mayor has changed her mind, and the old bridge over the river stays where it is."
        add_part(site, "bridges", 2, texts=[*prose("bridges", 2)[:-1], edit])
        revisit(world, app, sandbox, first)
        edited = stored.get(first)
        assert edited is not None and edited.revision == 2 and edit in edited.text and prose("bridges", 3)[0] in edited.text
        site.page("/story/the-night-of-bridges/3", status=503)
        revisit(world, app, sandbox, first)
        assert stored.get(first) == edited  # it does not shrink while a page is away

    result = take_down(app, [f"{first}/3"], "letter of 1 November")
    assert [one.url for one in result.documents] == [first] and {first, f"{first}/2", f"{first}/3"} <= {*result.urls}
    assert erase_archived_pages(app).pages == 3  # the first fetch, that with the further pages, and a revisit
    for path in app.archive.list_files():
        assert app.archive.count_pages(path, lambda found: any("bridges" in url for url in found)) == 0
