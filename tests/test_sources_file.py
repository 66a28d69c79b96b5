"""A source is added to sources.toml, and nothing else in the file changes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from newsmill.exceptions import ConfigError
from newsmill.settings import read_sources
from newsmill.sources.file import add_sources, extend_source, render_table

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
