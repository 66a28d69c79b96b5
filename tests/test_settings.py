"""settings.py and sources/table.py: valid values, and the error for each invalid one."""

from __future__ import annotations

import ipaddress
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsmill import settings
from newsmill.exceptions import ConfigError
from newsmill.model import Politeness, Rules, Source
from newsmill.sources.config_file import read_sources
from newsmill.sources.table import parse_source
from newsmill.sources.table_values import parse_duration

# ---- the environment -------------------------------------------------------------------------------------------------------


def test_the_default_is_the_embedded_store() -> None:
    found = settings.load({})
    assert (found.redis_url, found.database_url, found.archive_url) == (None, None, None)
    assert found.data == Path("newsmill-data")
    assert found.log_level == "INFO"
    assert found.agent.startswith("Newsmill/")


def test_every_variable() -> None:
    found = settings.load(
        {
            "REDIS_URL": "redis://:secret@redis:6379/0",
            "DATABASE_URL": "postgresql://newsmill:secret@db/newsmill",
            "ARCHIVE_URL": "s3://bucket/archive",
            "LOG_LEVEL": "debug",
            "NEWSMILL_DATA": "/data",
            "NEWSMILL_ALLOW_NETS": "10.0.0.0/8, 127.0.0.1 fd00::/8",
            "NEWSMILL_USER_AGENT": "mybot/1.0 (+https://example.org/bot)",
            "NEWSMILL_CONTACT": "https://example.org/bot",
            "NEWSMILL_PROCESSES": "3",
            "NEWSMILL_HIGH_WATER": "20",
            "NEWSMILL_ALLOW_OPEN_REDIS": "true",
        }
    )
    assert found.redis_url == "redis://:secret@redis:6379/0"
    assert found.log_level == "DEBUG"
    assert found.allow_nets[1] == ipaddress.ip_network("127.0.0.1/32")
    assert len(found.allow_nets) == 3
    assert found.agent == "mybot/1.0 (+https://example.org/bot)"
    assert (found.worker_processes, found.high_water, found.open_redis) == (3, 20, True)


def test_the_contact_is_part_of_the_user_agent() -> None:
    assert settings.load({"NEWSMILL_CONTACT": "me@example.org"}).agent.endswith("(+me@example.org)")


def test_an_empty_variable_counts_as_unset() -> None:
    assert settings.load({"DATABASE_URL": "", "NEWSMILL_DATA": " "}) == settings.load({})


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("REDIS_URL", "http://x:hush@y", "redis://"),
        ("REDIS_URL", "localhost:hush", "redis://"),
        ("DATABASE_URL", "mysql://x:hush@y/z", "postgresql://"),
        ("ARCHIVE_URL", "ftp://x:hush@y/z", "s3://"),
        ("NEWSMILL_WEB_URL", "https://me:hush@news.example.org", "http(s)://name"),
        ("NEWSMILL_WEB_URL", "https://me:hu/hush@news.example.org/?password=hush", "http(s)://name"),
        ("LOG_LEVEL", "loud", "DEBUG, INFO, WARNING or ERROR"),
        ("NEWSMILL_PROCESSES", "many", "a whole number"),
        ("NEWSMILL_PROCESSES", "0", "a whole number from 1"),
        ("NEWSMILL_HIGH_WATER", "-1", "1 or more"),
        ("NEWSMILL_ALLOW_NETS", "10.0.0.0/33", "networks such as"),
        ("NEWSMILL_ALLOW_NETS", "10.0.0.1/8", "networks such as"),
        ("NEWSMILL_USER_AGENT", "me\r\nCookie: x", "one line"),
        ("NEWSMILL_CONTACT", "https://example.org/a\nx", "one line"),
        ("NEWSMILL_CONTACT", "blah", "a URL that begins with http:// or https://, or an e-mail address"),
        ("NEWSMILL_CONTACT", "https://", "e-mail address"),
        ("NEWSMILL_CONTACT", "Ann Lee <ann@example.org>", "e-mail address"),
        ("NEWSMILL_CONTACT", "example.org/bot", "e-mail address"),
        ("NEWSMILL_ALLOW_OPEN_REDIS", "perhaps", "true or false"),
    ],
)
def test_an_invalid_value_gives_one_sentence(name: str, value: str, expected: str) -> None:
    with pytest.raises(ConfigError) as raised:
        settings.load({name: value})
    sentence = str(raised.value)
    assert sentence.startswith(f"{name}: expected ")
    assert expected in sentence
    assert "\n" not in sentence
    assert "hush" not in sentence  # passwords are never shown


def test_a_misspelt_variable_is_an_error_and_a_foreign_one_is_not() -> None:
    with pytest.raises(ConfigError, match="NEWSMILL_USERAGENT: unknown setting; did you mean NEWSMILL_USER_AGENT"):
        settings.load({"NEWSMILL_USERAGENT": "x"})
    settings.load({"NEWSMILL_REDIS_SERVICE_PORT_REDIS": "6379"})  # what Kubernetes sets for a service called newsmill-redis


def test_the_path_of_sources_toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert settings.load({}).sources_file is None
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "sources.toml").touch()
    assert settings.load({}).sources_file == Path("config/sources.toml")
    (tmp_path / "other").mkdir()
    assert settings.load({"NEWSMILL_CONFIG": "other"}).sources_file is None
    with pytest.raises(ConfigError, match="NEWSMILL_CONFIG: expected a folder"):
        _ = settings.load({"NEWSMILL_CONFIG": "nowhere"}).sources_file


# ---- sources.toml ----------------------------------------------------------------------------------------------------------


def read(tmp_path: Path, text: str | bytes) -> tuple[Source, ...]:
    path = tmp_path / "sources.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_sources(path)


def test_the_shortest_table(tmp_path: Path) -> None:
    assert read(tmp_path, '[sources.example]\nhomepage = "https://example.org/"') == (Source("example", homepage="https://example.org/"),)


def test_every_key(tmp_path: Path) -> None:
    (source,) = read(
        tmp_path,
        """
        [sources.example]
        name = "Example.org"
        homepage = "https://example.org/"
        feeds = ["https://example.org/rss.xml"]
        sitemaps = ["https://example.org/sitemap.xml"]
        sections = ["https://example.org/politics/"]
        language = "pt-BR"
        cron = "*/10 6-22 * * *"
        allow = ['/\\d{4}/']
        deny = ['/sponsored/']
        discover = false
        enabled = false
        rules.drop_css = ["div.teaser > p"]
        rules.drop_lines = ['Source: .*']
        rules.drop_xpath = ["//aside"]
        rules.keep_css = ["main"]
        rules.keep_xpath = ["//article"]
        rules.fields = {title = "h1", published_at = "time"}
        rules.expires = 2027-06-30
        politeness = { delay = 2, concurrency = 3 }
        expect = { documents_per_day = 5 }
        """,
    )
    assert source == Source(
        name="Example.org",
        homepage="https://example.org/",
        feeds=("https://example.org/rss.xml",),
        sitemaps=("https://example.org/sitemap.xml",),
        sections=("https://example.org/politics/",),
        language="pt-BR",
        every=None,
        cron="*/10 6-22 * * *",
        allow=(r"/\d{4}/",),
        deny=("/sponsored/",),
        rules=Rules(
            ("div.teaser > p",),
            ("Source: .*",),
            ("//aside",),
            ("main",),
            ("//article",),
            {"title": "h1", "published_at": "time"},
            date(2027, 6, 30),
        ),
        politeness=Politeness(2.0, 3),
        expect={"documents_per_day": 5},
        discover=False,
        enabled=False,
    )


def test_the_example_file_is_accepted() -> None:
    example = Path(__file__).parents[1] / "config" / "sources.example.toml"
    assert [source.enabled for source in read_sources(example)] == [True, False, False]


TABLE = '[sources.example]\nhomepage = "https://example.org/"\n'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[example]\n", "unknown table [example]; write [sources.example] for a source"),
        ("sources = 1\n", "sources: expected one table per source, such as [sources.example]"),
        ("[sources]\nexample = 1\n", "[sources.example]: expected a table"),
        ('[sources."a b"]\n', "[sources.a b]: expected a name of letters, digits and . : _ -"),
        ('[sources.".."]\n', "[sources...]: expected a name of letters, digits and . : _ - (at most 100, no dot first)"),
        ("[sources.example]\n", "[sources.example]: expected at least one of homepage, feeds, sitemaps, sections and spider"),
        ('[sources.example]\nhompage = "https://x.org"\n', "[sources.example]: hompage: unknown key; did you mean homepage?"),
        ('[sources.example]\nhomepage = "example.org"\n', "[sources.example]: homepage: expected an http(s) URL, not 'example.org'"),
        (TABLE + 'feeds = "https://x.org/rss"\n', "feeds: expected a list of http(s) URLs, not 'https://x.org/rss'"),
        (TABLE + 'feeds = ["ftp://x.org/rss"]\n', "feeds: expected a list of http(s) URLs, not 'ftp://x.org/rss'"),
        (TABLE + 'feeds = ["https://me:hush@x.org/rss"]\n', "feeds: expected a URL without user and password"),
        (TABLE + 'feeds = ["ftp://me:hush@x.org/rss"]\n', "feeds: expected a list of http(s) URLs, not 'ftp://***@x.org/rss'"),
        (TABLE + 'every = "soon"\n', "every: expected a duration such as"),
        (TABLE + 'every = "0m"\n', "every: expected a duration such as"),
        (TABLE + "every = 15\n", "every: expected a duration such as"),
        (TABLE + 'cron = "61 * * * *"\n', "cron: expected five cron fields"),
        (TABLE + 'every = "1h"\ncron = "1 * * * *"\n', "expected every or cron, not both"),
        (TABLE + "deny = ['(']\n", "deny: expected a list of regular expressions, not '('"),
        (TABLE + "language = 'german language'\n", "language: expected a language tag"),
        (TABLE + "enabled = 'yes'\n", "enabled: expected true or false, not 'yes'"),
        (TABLE + "rules.drop_css = ['p[']\n", "rules.drop_css: expected a list of CSS selectors, not 'p['"),
        (TABLE + "rules.keep_xpath = ['//p[']\n", "rules.keep_xpath: expected a list of XPath expressions, not '//p['"),
        (TABLE + "rules.fields.titel = 'h1'\n", "rules.fields.titel: unknown key; did you mean title?"),
        (TABLE + "rules.fields.title = 'h1['\n", "rules.fields.title: expected a CSS selector, not 'h1['"),
        (TABLE + "rules.expires = 'soon'\n", "rules.expires: expected a date such as 2027-06-30, not 'soon'"),
        (TABLE + "rules.drop = ['p']\n", "rules.drop: unknown key; did you mean drop_css?"),
        (TABLE + "politeness.delay = -1\n", "politeness.delay: expected seconds between two requests to one host, 0 to 3600, not '-1'"),
        (TABLE + "politeness.concurrency = 99\n", "politeness.concurrency: expected parallel requests to one host, 1 to 16"),
        (TABLE + "politeness = 1\n", "politeness: expected a table with delay and concurrency"),
        (TABLE + "expect.documents = 1\n", "expect.documents: unknown key; did you mean documents_per_day?"),
        (TABLE + "spider = 'paper.py'\n", "spider: expected \"package.module:ClassName\" of a Scrapy spider, not 'paper.py'"),
        (TABLE + "spider_args.password = 123\n", "spider_args.password: expected a table of strings"),
        (TABLE + "spider_limits.time = '7h'\n", 'spider_limits.time: expected a duration from "10s" to "6h", not \'7h\''),
        (TABLE + '[sources.b]\nname = "example"\nhomepage = "https://b.org"\n', "two sources have the name 'example'"),
        ("[sources.example\n", "not valid TOML: "),
        (b"\xff\xfe\x00", "not UTF-8"),
    ],
)
def test_an_invalid_file_gives_one_sentence(tmp_path: Path, text: str | bytes, sentence: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read(tmp_path, text)
    assert str(raised.value).startswith(str(tmp_path / "sources.toml"))
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.toml: cannot be read \(No such file or directory\)"):
        read_sources(tmp_path / "missing.toml")
    with pytest.raises(ConfigError, match=r"cannot be read \(Is a directory\)"):
        read_sources(tmp_path)


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    assert len(read(tmp_path, b"\xef\xbb\xbf" + TABLE.encode())) == 1


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("1h30m", 5400), ("2 d", 172800)])
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x))
)
def test_any_table_is_a_source_or_a_config_error(table: object) -> None:
    try:
        parse_source("example", table, "here")
    except ConfigError as error:
        assert str(error).startswith("here")
