"""A source is added to sources.toml, and nothing else in the file changes. OPML and CSV: what other programs write is read, what is written
is read back, and hostile files are refused or harmless.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from lxml import etree

from newsmill.exceptions import ConfigError
from newsmill.model import Render, Source
from newsmill.sources.config_file import read_sources
from newsmill.sources.files import add_sources, extend_source, render_table
from newsmill.sources.source_lists import ListedSite, make_table, read_list, write_csv, write_opml
from newsmill.sources.table import parse_source

TABLE = {"homepage": "https://b.example/", "feeds": ["https://b.example/feed"], "discover": False, "politeness": {"delay": 2.0}}
LAYOUTS = {
    "empty": "",
    "only comments": "# Sources: one table each.\n#\n# [sources.example]\n",
    "no line break at the end": '[sources.a]\nhomepage = "https://a.example/"  # ours',
    "carriage returns": '[sources.a]\r\nhomepage = "https://a.example/"\r\n',
    "byte order mark": '\ufeff[sources.a]\nhomepage = "https://a.example/"\n',
    "another table last": '[sources.a]\nhomepage = "https://a.example/"\n\n[scrapy]\nCOOKIES_ENABLED = true\n',
    "quoted name": '[sources."a.b"]\nhomepage = "https://a.example/"\n',
    "inline table": 'sources = {a = {homepage = "https://a.example/"}}\n',
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_table_is_added_at_the_end_or_the_file_stays(tmp_path: Path, layout: str) -> None:
    path = tmp_path / "sources.toml"
    before = LAYOUTS[layout].encode()
    path.write_bytes(before)
    path.chmod(0o640)
    if layout == "inline table":  # TOML does not let it grow
        with pytest.raises(ConfigError, match="its layout does not allow another table"):
            add_sources(path, {"b": TABLE})
        assert path.read_bytes() == before
        return
    old = read_sources(path)
    add_sources(path, {"b": TABLE})
    assert path.read_bytes().startswith(before)
    assert [source.name for source in read_sources(path)] == [*(source.name for source in old), "b"]
    assert path.stat().st_mode & 0o777 == 0o640
    assert [file.name for file in tmp_path.iterdir()] == ["sources.toml"]


def test_urls_are_added_to_lists_in_their_own_layout(tmp_path: Path) -> None:
    path = tmp_path / "real.toml"
    link = tmp_path / "sources.toml"
    link.symlink_to(path)
    path.write_text(
        "# head\n[sources.first]\nname = 'a'   # its name\nhomepage = \"https://a.example/\"\nfeeds = [\n    # the main one\n"
        '    "https://a.example/1",\n]\nevery = "15m" # often\n\n# b\n[sources.b]\n'
        'feeds = ["https://b.example/1"] # one line\n\n[scrapy]\nX = 1\n'
    )
    extend_source(link, "a", {"feeds": ("https://a.example/2",), "sections": ("https://a.example/s/",)})
    extend_source(link, "b", {"feeds": ("https://b.example/2",)})
    text = path.read_text()
    first, second = read_sources(path)
    assert first.feeds == ("https://a.example/1", "https://a.example/2") and first.sections == ("https://a.example/s/",)
    assert second.feeds == ("https://b.example/1", "https://b.example/2")
    for kept in (
        "# head\n",
        "name = 'a'   # its name",
        "    # the main one\n",
        'every = "15m" # often',
        "# b\n",
        "# one line",
        "[scrapy]\nX = 1",
    ):
        assert kept in text
    assert link.is_symlink()
    with pytest.raises(ConfigError, match=r"\[sources.c\] cannot be changed"):
        extend_source(path, "c", {"feeds": ("https://c.example/",)})


def test_hostile_values_are_quoted_and_a_full_disk_changes_nothing(tmp_path: Path) -> None:
    url = 'https://a.example/?q="]\\n[sources.evil]'
    path = tmp_path / "sources.toml"
    path.write_text("# kept\n")
    add_sources(path, {"a": {"homepage": url}})
    assert [(source.name, source.homepage) for source in read_sources(path)] == [("a", url)]
    assert "[sources.a]\n" in render_table("a", {"homepage": url})
    if os.geteuid() != 0:  # root may write everywhere
        tmp_path.chmod(0o500)
        with pytest.raises(ConfigError, match="cannot be written"):
            add_sources(path, {"b": TABLE})
        tmp_path.chmod(0o700)


OPML = b"""<?xml version="1.0" encoding="ISO-8859-1"?>
<!DOCTYPE opml [<!ENTITY lol "lol"><!ENTITY x SYSTEM "file:///etc/passwd">]>
<opml version="1.0"><head><title>Abonnements \xe9</title></head><body>
<outline text="Folder"><outline text="A &amp; B" type="rss" xmlUrl="https://a.example/feed?x=1&amp;y=2" htmlUrl="https://a.example/"
 language="de"/>
<outline text="&lol;&x;" xmlUrl='https://b.example/rss'/></outline>
<outline type="link" text="C" url="https://c.example/"/>
<outline text="A again" xmlUrl="https://a.example/feed?x=1&amp;y=2"><outline xmlUrl="
"""


def test_opml_of_feed_readers() -> None:
    assert read_list(OPML, "list.opml") == (
        ListedSite(
            "https://a.example/feed?x=1&y=2",
            None,
            {"feeds": ["https://a.example/feed?x=1&y=2"], "discover": False, "language": "de"},
            "https://a.example/",
        ),
        ListedSite("https://b.example/rss", None, {"feeds": ["https://b.example/rss"], "discover": False}),
        ListedSite("https://c.example/", None, {"homepage": "https://c.example/"}),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://a.example/\nhttps://b.example/rss\n", ["https://a.example/", "https://b.example/rss"]),
        ("a.example,The A\n# none\nb.example;x\n", ["a.example", "b.example;x"][:1]),
        ("Name;URL;Country\nA;https://a.example/;DE\n;;\nB;b.example;FR\n", ["https://a.example/", "b.example"]),
        ("name;url\rA;https://a.example/\rB;https://b.example/\r", ["https://a.example/", "https://b.example/"]),  # Excel for Mac
        ("\ufefftitle,feed_url\nA,https://a.example/feed\n", ["https://a.example/feed"]),
    ],
)
def test_csv_of_spreadsheets(text: str, expected: list[str]) -> None:
    assert [site.url for site in read_list(text.encode(), "list.csv")] == expected


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"<html><body>a", "expected OPML, CSV or TOML with sources, not HTML"),
        (b"<rss><channel/></rss>", "not FEED"),
        (b"<opml><body/></opml>", "no source in it"),
        (b"name,url\n", "no source in it"),
        (b"\0\1\2\3" * 100, "no source in it"),
        (b"x" * 10_000_001, "10,000,001 bytes"),
        (b'url\n"' + b"x" * 200_000, "not CSV"),
        (bytes(range(256)) * 40, "no source in it"),
        (b"".join(b"https://a.example/%d\n" % number for number in range(10_001)), "more than 10,000 sources; split the list"),
    ],
)
def test_files_that_are_no_list(body: bytes, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        read_list(body, "list")


def test_a_title_in_the_column_name_is_no_name_of_a_source() -> None:
    sites = read_list("name,url\npaper-2,https://a.example/\nDer Tag Zürich,https://b.example/\n".encode(), "list.csv")
    assert [site.name for site in sites] == ["paper-2", None]


def test_what_is_exported_is_read_back() -> None:
    sources = [
        Source("a", homepage="https://a.example/?q='<&\">", language="de"),
        Source(
            "b", feeds=("https://b.example/1", "https://b.example/2"), sections=("https://b.example/s/",), discover=False, enabled=False
        ),
    ]
    restored = [parse_source(site.name or "", dict(site.table), "csv") for site in read_list(write_csv(sources).encode(), "csv")]
    assert restored == sources
    opml = write_opml(sources, {"a": ["https://a.example/feed"]}).encode()
    outlines = etree.fromstring(opml).findall("body/outline")
    assert [(one.get("text"), one.get("xmlUrl")) for one in outlines] == [
        ("a", "https://a.example/feed"),
        ("b", "https://b.example/1"),
        ("b", "https://b.example/2"),
    ]
    assert outlines[0].get("htmlUrl") == sources[0].homepage
    assert [site.url for site in read_list(opml, "opml")] == ["https://a.example/feed", "https://b.example/1", "https://b.example/2"]


def test_a_table_has_only_the_keys_without_their_default() -> None:
    source = Source(
        "a",
        homepage="https://a.example/",
        freshness=timedelta(minutes=30),
        max_age=timedelta(days=90),
        deny=("x",),
        expect={"documents_per_day": 5},
        render=Render.AUTO,
        revisit=(timedelta(days=2),),
    )
    table = make_table(source)
    assert set(table) == {"homepage", "freshness", "max_age", "deny", "expect", "render", "revisit"}
    assert parse_source("a", table, "table") == source
    assert make_table(Source("a")) == {}
