"""A listing of any kind has a valid BCP 47 language tag or none."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from newsmill.discovery.feeds import read_feed
from newsmill.discovery.homepages import read_homepage
from newsmill.discovery.html_listings import read_section
from newsmill.discovery.sitemaps import SitemapReader

URL = "https://news.example/list"


def of_sitemap(tag: str) -> str | None:
    reader = SitemapReader(URL)
    language = f"<news:news><news:publication><news:language>{tag}</news:language></news:publication></news:news>"
    links = reader.feed(f"<urlset><url><loc>https://news.example/a</loc>{language}</url></urlset>".encode()) + reader.close()
    return links[0].hint.language


def of_entry(tag: str) -> str | None:
    feed = f'<rss><channel><item xml:lang="{tag}"><link>https://news.example/a</link></item></channel></rss>'
    return read_feed(feed.encode(), URL).pages[0].hint.language


READERS: dict[str, Callable[[str], str | None]] = {
    "feed": lambda tag: read_feed(f"<rss><channel><language>{tag}</language></channel></rss>".encode(), URL).language,
    "entry": of_entry,
    "json feed": lambda tag: read_feed(json.dumps({"language": tag, "items": []}).encode(), URL).language,
    "sitemap": of_sitemap,
    "section": lambda tag: read_section(f'<html lang="{tag}"><p>x'.encode(), URL).language,
    "homepage": lambda tag: read_homepage(f'<html lang="{tag}"><p>x'.encode(), URL).language,
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@pytest.mark.parametrize(
    ("written", "tag"), [("de_at", "de-AT"), (" EN ", "en"), ("zh-hant-tw", "zh-Hant-TW"), ("utf-8", None), ("german", None), ("", None)]
)
def test_only_language_tags_pass(read: Callable[[str], str | None], written: str, tag: str | None) -> None:
    assert read(written) == tag
