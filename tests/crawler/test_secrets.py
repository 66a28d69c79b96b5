"""Passwords in URLs, submitted or in pages, are sent to no server and stored nowhere."""

from __future__ import annotations

import gzip
import sqlite3
from pathlib import Path

from fake_site import Farm
from world import World

from newsmill.model import Outcome, State

SECRET = "hunter2-of-somebody"


def test_credentials_in_urls_leave_no_trace(sites: Farm, world: World) -> None:
    site = sites.site()

    def with_password(path: str) -> str:
        return site.url(path).replace("http://", f"http://editor:{SECRET}@")

    for name in ("a", "b", "c", "d"):
        site.article(f"/{name}", f"Article {name}")
    site.feed("/feed.xml", with_password("/b"))
    site.page("/go", redirect=with_password("/c"))
    site.page("/nowhere", redirect=f"ftp://editor:{SECRET}@{site.host}/")
    site.robots(f"User-agent: *\nAllow: /\nSitemap: {with_password('/map.xml')}\n")
    site.page("/map.xml", f"<urlset><url><loc>{with_password('/d')}</loc></url></urlset>", content_type="text/xml")
    world.source("paper", homepage=with_password("/"), feeds=(site.url("/feed.xml"),))
    site.page("/", "<html><body><p>nothing</p></body></html>")
    bad = [f"http://editor:{SECRET}@[::1", f"ftp://editor:{SECRET}@x.example/", f"http:editor:{SECRET}@ /x"]
    world.submit(with_password("/a"), site.url("/go"), site.url("/nowhere"), *bad)
    world.crawl(delay=0.0)
    assert {world.outcome(site.url(f"/{name}")) for name in ("a", "b", "d", "go")} == {State.FETCHED}
    assert world.outcome(site.url("/nowhere")) is Outcome.BAD_REDIRECT
    assert {world.outcome(url) for url in bad} == {Outcome.BAD_URL}
    assert not any("authorization" in hit.headers or SECRET in str(hit) for hit in site.log)
    assert SECRET not in world.log() and "editor" not in world.log()
    assert SECRET not in str(world.states())
    # A source's plan is what its operator wrote; sources.toml and `newsmill add` refuse a password in it (tests/test_settings.py).
    kept = {name: text for name, text in read_everything(world.data).items() if SECRET in text}
    assert set(kept) <= {"sources", "hosts"}, kept  # and a host's robots.txt is what it published


def read_everything(data: Path) -> dict[str, str]:
    """By name, every table's rows, and every archived record's head and metadata (bodies are what the site published), as text."""
    database = sqlite3.connect(data / "newsmill.db")
    names = [name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    texts = {name: str(database.execute(f'SELECT * FROM "{name}"').fetchall()) for name in names}
    database.close()
    for path in data.rglob("*.warc.gz"):
        texts[path.name] = gzip.decompress(path.read_bytes()).decode("latin-1")
    return texts
