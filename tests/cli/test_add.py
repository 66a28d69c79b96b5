"""`newsmill add` inspects real sites, asks, and adds to sources.toml and to the store without replacing anything."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from command_result import Newsmill
from fake_site import farm

from newsmill import demo as newspaper
from newsmill.cli import add, add_run
from newsmill.cli.terminal import note
from newsmill.exceptions import UrlError
from newsmill.model import Outcome, OutcomeRecord
from newsmill.site_inspection import processes as site_inspection
from newsmill.site_inspection.findings import Obstacle, SiteInspection
from newsmill.site_inspection.processes import OnStart
from newsmill.sources.table import make_name

FILE = '# ours\n[sources.old]   # first\nhomepage = "https://old.example/"\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "sources.toml").write_text(FILE)
    return tmp_path


def test_a_site_is_shown_and_added(newsmill: Newsmill, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEWSMILL_ALLOW_NETS", "127.0.0.1/32")
    with newspaper.serve(with_crawl_delay=False) as paper:
        name = make_name(paper.url)
        shown = newsmill("add", paper.url.removeprefix("http://"), "--delay", "0", "--yes")  # the newspaper answers no TLS
        assert shown.code == 0, shown.err
        for text in (f"news sitemap {paper.url}/sitemap-news.xml: 4 articles", f"feed {paper.url}/rss.xml: 4 articles", "confidence 0.9"):
            assert text in shown.out
        assert "Russland und die NATO treffen sich zu Gesprächen" in shown.out
        table = shown.out[shown.out.index(f"[sources.{name}]") :]
        paths = [request.path for request in paper.log]
        assert len(paths) == 12 and paths[:2] == ["/robots.txt", "/"] and "/intern/" not in "".join(paths)
        assert (folder / "config" / "sources.toml").read_text() == f"{FILE}\n{table.strip()}\n"
        listed = newsmill("sources", "list", "--json").json
        assert [row["source"]["name"] for row in listed] == [name]  # the others of the file are read at the next start


def test_nothing_is_added_unasked_and_a_failure_is_counted(newsmill: Newsmill, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The inspections are given: what is tested is what follows from them."""
    home, missing = "https://a.example/", "https://a.example/nothing"
    failed = SiteInspection(missing, obstacle=Obstacle.UNREACHABLE, failure=OutcomeRecord(Outcome.GONE, "HTTP 404"))
    given = {home: SiteInspection(home, plan={"homepage": home}), missing: failed}
    monkeypatch.setattr(site_inspection, "inspect_site", lambda url, **_: given[url])
    asked = newsmill("add", home)
    assert asked.code == 2 and "nothing was added; confirm with --yes" in asked.err
    assert (folder / "config" / "sources.toml").read_text() == FILE
    added = newsmill("add", home, missing, "--yes", "--json")
    assert added.code == 1
    assert [(line["result"], line["inspection"]["obstacle"]) for line in added.lines] == [("new", None), ("failed", "unreachable")]
    assert "2 sites: 1 added, 1 failed" in added.err and "cannot be read: not found: HTTP 404; check the URL" in added.err


def test_a_site_that_refuses_gets_advice_that_helps(newsmill: Newsmill, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The inspection of the site that wants cookies is real; those of the others are given."""
    monkeypatch.setenv("NEWSMILL_ALLOW_NETS", "127.0.0.0/24")
    failures = {
        "https://refusing.example/": OutcomeRecord(Outcome.HTTP_ERROR, "HTTP 403"),
        "https://failing.example/": OutcomeRecord(Outcome.HTTP_ERROR, "HTTP 500"),
        "https://dead.example/": OutcomeRecord(Outcome.REFUSED),
    }
    inspect_site = site_inspection.inspect_site

    def inspect(url: str, **options: Any) -> SiteInspection:
        failure = failures.get(url)
        return SiteInspection(url, obstacle=Obstacle.UNREACHABLE, failure=failure) if failure else inspect_site(url, **options)

    monkeypatch.setattr(site_inspection, "inspect_site", inspect)
    with farm() as sites:
        looping = sites.site()
        looping.page("/", redirect="/enter", headers={"Set-Cookie": "seen=1"})
        looping.page("/enter", redirect="/")
        shown = newsmill("add", *failures, looping.url("/"), "--delay", "0", "--yes")
    assert shown.code == 1
    lines = [line for line in shown.err.splitlines() if "cannot be read" in line]
    texts = ("HTTP 403", "redirect loop", "HTTP 500", "connection refused")
    refused, looped, failed, dead = (next(line for line in lines if text in line) for text in texts)
    assert "HTTP 403; the site refuses this program; give the URL of a feed or a sitemap" in refused
    assert "connection refused; no server answers there" in dead
    assert "redirect loop; the site may want cookies" in looped and "COOKIES_ENABLED = true" in looped
    assert "try again later" in failed and "try again later" not in refused + looped


def test_the_page_of_a_feed_is_inspected_where_the_feed_fails(newsmill: Newsmill, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = SiteInspection("https://a.example/rss", obstacle=Obstacle.UNREACHABLE, failure=OutcomeRecord(Outcome.GONE, "HTTP 404"))
    page = SiteInspection("https://a.example/", plan={"homepage": "https://a.example/"})
    monkeypatch.setattr(site_inspection, "inspect_site", lambda url, **_: page if url == page.url else failed)
    (folder / "list.opml").write_text(
        f'<opml version="2.0"><body><outline type="rss" xmlUrl="{failed.url}" htmlUrl="{page.url}"/></body></opml>'
    )
    added = newsmill("add", "--file", "list.opml", "--yes")
    assert (added.code, "following a-example (https://a.example/)" in added.err) == (0, True), added.err


def test_a_second_url_extends_a_source_and_an_interrupt_keeps_what_was_added(
    newsmill: Newsmill, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The inspections are given: what is tested is what follows from them."""
    plans = {
        "https://a.example/": {"homepage": "https://a.example/", "feeds": ["https://a.example/feed"]},
        "https://a.example/s/": {"sections": ["https://a.example/s/"], "discover": False},
        "https://b.example/rss": {"feeds": ["https://b.example/rss"], "discover": False},
    }

    def inspect(url: str, **_: object) -> SiteInspection:
        if " " in url:
            raise UrlError(f"not a URL: {url!r}")
        if url not in plans:
            raise KeyboardInterrupt
        return SiteInspection(url, plan=plans[url])

    monkeypatch.setattr(site_inspection, "inspect_site", inspect)
    (folder / "list.opml").write_text(
        '<opml version="2.0"><body><outline xmlUrl="https://a.example/"/><outline xmlUrl="https://a.example/s/"/>'
        '<outline xmlUrl="not a url"/><outline xmlUrl="https://stop.example/"/><outline xmlUrl="https://b.example/rss"/></body></opml>'
    )
    stopped = newsmill("add", "--file", "list.opml", "--yes")
    assert stopped.code == 130
    assert "source a-example follows this site already: 1 section added to it" in stopped.err
    assert "3 sites: 1 added, 1 added to a source, 1 failed; interrupted, 2 left" in stopped.err
    rows = {row["source"]["name"]: row["source"] for row in newsmill("sources", "list", "--json").json}
    assert rows["a-example"]["homepage"] == "https://a.example/" and rows["a-example"]["sections"] == ["https://a.example/s/"]
    text = (folder / "config" / "sources.toml").read_text()
    assert text.startswith(FILE) and 'sections = ["https://a.example/s/"]' in text
    again = newsmill("add", "https://a.example/", "https://b.example/rss", "--yes")
    assert (again.code, "2 sites: 1 added, 1 followed already" in again.err) == (0, True)
    other = newsmill("add", "https://b.example/rss", "--name", "a-example", "--yes")
    assert (other.code, "source a-example exists and follows a.example; choose another name" in other.err) == (1, True)
    assert newsmill("add", "https://b.example/rss", "https://a.example/", "--name", "x").code == 2


def test_hosts_of_a_list_are_inspected_at_once_and_the_urls_of_a_host_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three hosts meet at a barrier, which opens only if their inspections run at the same time."""
    barrier, running, lock = threading.Barrier(3, timeout=20), Counter[str](), threading.Lock()

    def inspect(url: str, **_: object) -> SiteInspection:
        host = url.split("/")[2]
        with lock:
            running[host] += 1
            assert running[host] == 1, f"{host} is inspected twice at once"
        if url.endswith("/first"):
            barrier.wait()
        with lock:
            running[host] -= 1
        return SiteInspection(url)

    monkeypatch.setattr(site_inspection, "inspect_site", inspect)
    listed = [f"https://{host}.example/{path}" for host in "abc" for path in ("first", "second")]
    assert [future.result().url for future in site_inspection.inspect_sites(listed)] == listed


def test_the_processes_end_with_the_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    processes = list[subprocess.Popen[bytes]]()

    def inspect(url: str, *, on_start: OnStart, **_: object) -> SiteInspection:
        if not url.startswith("https://slow"):
            return SiteInspection(url)
        with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
            processes.append(process)
            on_start(process)
        return SiteInspection(url)

    monkeypatch.setattr(site_inspection, "inspect_site", inspect)
    sites = ["https://a.example/", *(f"https://slow-{number}.example/" for number in range(30))]
    with closing(site_inspection.inspect_sites(sites)) as inspections:
        next(inspections).result()
    assert processes and len(processes) < len(sites) - 1
    assert all(process.poll() is not None for process in processes)


def test_lists_without_an_inspection(newsmill: Newsmill, folder: Path) -> None:
    (folder / "config" / "sources.toml").unlink()
    (folder / "list.csv").write_text("name,homepage,feeds\nmine,https://c.example/,https://c.example/1 https://c.example/2\n,d.example,\n")
    assert newsmill("add", "--file", "list.csv", "--no-check").code == 0
    exported = newsmill("sources", "export", "--format", "csv")
    assert exported.out.splitlines()[2] == "mine,https://c.example/,https://c.example/1 https://c.example/2,,,,true"
    toml = newsmill("sources", "export", "--format", "toml").out
    (folder / "copy.toml").write_text(toml)
    assert newsmill("add", "--file", "copy.toml").code == 0
    assert newsmill("sources", "export", "--format", "toml").out == toml
    assert newsmill("sources", "export", "--format", "opml").out.count("xmlUrl") == 2
    (folder / "empty.toml").write_text("# nothing yet\n")
    empty = newsmill("add", "--file", "empty.toml")
    assert (empty.code, "empty.toml: no source in it" in empty.err) == (2, True)
    broken = newsmill("add", "--file", "none.csv")
    assert (broken.code, "none.csv: cannot be read" in broken.err) == (2, True)


def test_a_long_list_is_written_in_batches_and_an_interrupt_keeps_what_was_reported(
    newsmill: Newsmill, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C comes while the second batch waits, and in the next run while one is written."""
    monkeypatch.setattr(add_run, "MAX_BATCH_SITES", 3)
    urls = [f"https://{name}.example/" for name in "bcdefgh"]
    urls.insert(2, "https://b.example/s/")
    urls.insert(5, "not a url")
    (folder / "list.csv").write_text("homepage\n" + "\n".join(urls) + "\n")
    writes, write = [], add_run.add_sources

    def counted(path: Path, tables: Mapping[str, Any]) -> None:
        writes.append(list(tables))
        write(path, tables)
        if interrupts_writing:
            signal.raise_signal(signal.SIGINT)

    def interrupted(text: str) -> None:
        if text == "[8/9] https://g.example/":
            signal.raise_signal(signal.SIGINT)
        note(text)

    monkeypatch.setattr(add_run, "add_sources", counted)
    monkeypatch.setattr(add, "note", interrupted)
    interrupts_writing, expected = False, ["b-example", "c-example", "d-example", "e-example", "f-example"]
    stopped = newsmill("add", "--file", "list.csv", "--no-check", "--json")
    assert (stopped.code, "interrupted, 2 left" in stopped.err) == (130, True)
    assert [(line["url"], line["result"]) for line in stopped.lines][2] == ("https://b.example/s/", "extended")
    assert [line["url"] for line in stopped.lines] == urls[:7]
    assert writes == [["b-example", "c-example"], ["d-example", "e-example"], ["f-example"]]
    text = (folder / "config" / "sources.toml").read_text()
    followed = {row["source"]["name"] for row in newsmill("sources", "list", "--json").json}
    assert followed >= set(expected) and all(f"[sources.{name}]" in text for name in expected)
    interrupts_writing = True
    monkeypatch.setattr(add, "note", note)
    stopped = newsmill("add", "--file", "list.csv", "--no-check", "--json")
    assert (stopped.code, [line["url"] for line in stopped.lines][-2:]) == (130, urls[7:])
    assert {row["source"]["name"] for row in newsmill("sources", "list", "--json").json} >= {"g-example", "h-example"}
