"""The crawler's requests as servers see them: each is signed for its own host, also through redirects and after a rotation."""

from __future__ import annotations

import base64
from datetime import timedelta
from pathlib import Path

import pytest
from fake_site import Farm
from signature_verifier import verify
from world import World, now

from newsmill.model import Kind, State
from newsmill.network.signing_keys import add_key

AGENT = "https://news.example.org"


def test_every_request_is_signed_for_its_own_host(sites: Farm, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old key is 40 days old, the second signs since 28 days, and the third not yet."""
    monkeypatch.setenv("NEWSMILL_PUBLIC_URL", AGENT)
    folder = world.data / "keys"
    keys = [add_key(folder, now=now() - timedelta(days=days)) for days in (40, 30, 1)]
    site, other = sites.site(), sites.site()
    site.robots("User-agent: *\nAllow: /\n")
    page = site.page("/a?b=c", redirect=other.article("/moved"))
    feed = site.feed("/feed.xml", page)
    world.submit(page)
    world.submit(feed, kind=Kind.FEED)
    world.crawl(delay=0.0)
    assert world.outcome(other.url("/moved")) is State.FETCHED
    public = {key.id: base64.urlsafe_b64decode(key.public + "=") for key in keys}
    requests = [(hit, server) for server in (site, other) for hit in server.log]
    assert {(hit.path, server.ip) for hit, server in requests} >= {
        ("/robots.txt", site.ip),
        ("/feed.xml", site.ip),
        ("/a?b=c", site.ip),
        ("/moved", other.ip),
    }
    for hit, server in requests:
        (parameters,) = verify(hit.headers, "GET", server.url(hit.path), public).values()
        assert parameters["keyid"] == keys[1].id
    assert not [name for name, _ in world.page(other.url("/moved")).request_headers if name.lower().startswith("signature")]


def test_without_a_key_no_request_is_signed(sites: Farm, world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NEWSMILL_PUBLIC_URL", AGENT)
    site = sites.site()
    world.submit(site.article("/a"))
    world.crawl(delay=0.0)
    assert site.log
    assert not any(name.lower().startswith("signature") for hit in site.log for name in hit.headers)
