"""A source that fails shows as failing in every command: a refused client, a closed port, an unknown host; and a retry keeps the trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from command_result import Newsmill
from rows import SITE, Mill, bad, document_of, ended, good, links

from newsmill import context, settings
from newsmill.cli.crawl import describe_problem
from newsmill.cli.crawl_monitor import describe_listings
from newsmill.cli.sources.listed import COLUMNS, read_listed, to_row
from newsmill.cli.sources.state import describe_cause, describe_health, format_since
from newsmill.cli.terminal import now
from newsmill.context import AppContext
from newsmill.health.causes import Cause, Evidence, Finding, HealthState
from newsmill.model import Kind, Link, Outcome, OutcomeRecord, Source, State
from newsmill.storage.ledger import Ended, Postponed, Progress
from newsmill.storage.source_health import SourceHealth
from newsmill.web.pages import source_health_view
from newsmill.web.pages.translations import load_translations

FAILURES = {
    "forbidden": (OutcomeRecord(Outcome.HTTP_ERROR, "HTTP 403"), "blocked: HTTP 403 since "),
    "closed": (OutcomeRecord(Outcome.REFUSED, "connection refused"), "gone: connection refused since "),
    "unknown": (OutcomeRecord(Outcome.DNS, "no address"), "gone: host not found since "),
}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppContext]:
    monkeypatch.chdir(tmp_path)
    with context.open_context(settings.load(), create=True) as opened:
        for name in FAILURES:
            opened.ledger.sources.put(Source(name, homepage=f"http://{name}.example/"), now=now())
        opened.ledger.hosts.lease("crawler-1", limit=10, seconds=60, now=now())
        for name, (failure, _) in FAILURES.items():
            (row,) = opened.ledger.url_leases.lease(f"{name}.example", "crawler-1", limit=1, seconds=60, now=now())
            later = now() + timedelta(minutes=1)
            opened.ledger.url_endings.postpone([Postponed(row.id, row.fence, later, "waits", failure=failure)], now=now())
        yield opened


def test_every_command_says_what_fails(store: AppContext, newsmill: Newsmill) -> None:
    listed, status = newsmill("sources", "list"), newsmill("status")
    for _, words in FAILURES.values():
        assert words in listed.out
        assert words in status.out
    health = newsmill("status", "--json").json["sources"]["forbidden"]["health"]
    assert (health["state"], health["detail"], health["url"]) == ("blocked", "HTTP 403", "http://forbidden.example/")
    assert [cause["cause"] for cause in health["causes"]] == ["refused"]
    assert {row["health"]["outcome"] for row in newsmill("sources", "list", "--json").json} == {"http_error", "refused", "dns"}


def test_the_doctor_shows_evidence_and_remedy(store: AppContext, newsmill: Newsmill) -> None:
    shown = newsmill("sources", "doctor", "forbidden")
    assert shown.code == 1
    assert "Failing listings: 1 of 1 (blocked: HTTP 403). Example: http://forbidden.example/" in shown.out
    assert "what to do: Ask the publisher for access" in shown.out
    (cause,) = newsmill("sources", "doctor", "forbidden", "--json").json["health"]["causes"]
    assert (cause["cause"], cause["state"], cause["evidence"]["of"]) == ("refused", "blocked", 1)
    assert newsmill("sources", "doctor", "nobody").code == 2


def test_a_feed_of_the_plan_that_is_not_found_fails_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, newsmill: Newsmill) -> None:
    """A guessed one that does not exist does not, nor does one that the source has given up; the table leaves both out."""
    monkeypatch.chdir(tmp_path)
    planned, guessed, old = (f"{SITE}/{name}" for name in ("rss", "feed", "old"))
    with context.open_context(settings.load(), create=True) as store:
        store.ledger.sources.put(Source("paper", feeds=(planned, old)), now=now())
        store.ledger.sources.put(Source("paper", feeds=(planned,)), now=now())
        store.ledger.links.add([Link(guessed, Kind.FEED, "paper", "homepage")], now=now())
        mill = Mill(store.ledger, now=now())
        store.ledger.url_endings.end([ended(row, Outcome.GONE, "HTTP 404") for row in mill.lease()], now=now())
    check = newsmill("sources", "check", "--json")
    assert (check.code, check.json["alarms"]) == (1, [f"paper: feed {planned} failed: not found: HTTP 404"])
    assert {row["url"] for row in check.json["listings"]["paper"]} == {planned, guessed, old}
    table = newsmill("sources", "check").out
    assert (planned in table, guessed in table, old in table) == (True, False, False)


def test_a_listing_that_waits_for_its_next_try_fails_the_check(store: AppContext, newsmill: Newsmill) -> None:
    """Nothing has ended yet: HTTP 403 may pass."""
    check = newsmill("sources", "check")
    assert check.code == 1 and check.err.count(" failed: ") == 3
    assert "forbidden: homepage http://forbidden.example/ failed: blocked: HTTP 403" in check.err


def test_the_check_shows_the_last_try_of_each_listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, newsmill: Newsmill) -> None:
    """A feed that was read and times out now shows the timeout and its time; one that was read after a timeout shows the read."""
    monkeypatch.chdir(tmp_path)
    down, up = f"{SITE}/down", f"{SITE}/up"
    with context.open_context(settings.load(), create=True) as store:
        store.ledger.sources.put(Source("paper", feeds=(down, up)), now=now())
        mill = Mill(store.ledger, now=now())
        timeout = OutcomeRecord(Outcome.TIMEOUT, "no answer")
        for failing in (up, down):
            store.ledger.sources.make_listings_due("paper", now=mill.now)
            leased = mill.lease()
            assert {row.url for row in leased} == {down, up}
            failed = [Postponed(row.id, row.fence, mill.now, "waits", failure=timeout) for row in leased if row.url == failing]
            store.ledger.url_endings.postpone(failed, now=mill.now)
            store.ledger.url_endings.end([ended(row, Outcome.LISTED) for row in leased if row.url != failing], now=mill.now)
            mill.now += timedelta(days=1)
    failed_at = mill.now - timedelta(days=1)
    shown = {cells[2]: cells[3:] for line in newsmill("sources", "check").out.splitlines() if (cells := line.split())[:1] == ["paper"]}
    assert (shown[down][0], shown[up][0]) == ("timeout", "listed")
    assert shown[down][1:] == [f"{failed_at:%Y-%m-%d}", f"{failed_at:%H:%M}", "no", "answer"]


@contextmanager
def open_store_with_homepage() -> Iterator[tuple[AppContext, Mill, Source]]:
    """A new store in the current folder, with a source whose homepage was read."""
    source = Source("paper", homepage=f"{SITE}/")
    with context.open_context(settings.load(), create=True) as store:
        store.ledger.sources.put(source, now=now())
        mill = Mill(store.ledger, now=now())
        store.ledger.url_endings.end([ended(row, Outcome.LISTED) for row in mill.lease()], now=mill.now)
        yield store, mill, source


def test_a_source_whose_articles_are_all_refused_says_so_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, newsmill: Newsmill
) -> None:
    """After one crawl nothing is proven, so there is no alarm; but "ok" would hide that no article can be fetched."""
    monkeypatch.chdir(tmp_path)
    with open_store_with_homepage() as (store, mill, source):
        store.ledger.links.add(links(4), now=mill.now)
        first, *others = mill.lease()
        later, failure = mill.now + timedelta(minutes=10), FAILURES["forbidden"][0]
        waiting = [Postponed(row.id, row.fence, later, "http_error: HTTP 403", failure=failure) for row in others]
        store.ledger.url_endings.postpone([*waiting, Postponed(first.id, first.fence, later, "waits")], now=mill.now)
        assert describe_problem(store, source) == (
            f"{SITE}/ has no documents: Newsmill found 4 pages there (4 not fetched); most frequent failure: blocked: HTTP 403;"
            f" the next attempt is at {format_since(later, now())}"
        )
        for shown in (newsmill("sources", "list"), newsmill("status")):
            assert "no article fetched yet, blocked: HTTP 403" in shown.out and "failing since " in shown.out
        health = newsmill("sources", "list", "--json").json[0]["health"]
        assert (health["state"], health["causes"], health["kind"], health["failing"]) == ("failing", [], "page", 3)
        german = load_translations("de")
        view = source_health_view.read_health(store, [source], german, now())["paper"]
        assert view.text.startswith("gestört seit ") and view.text.endswith(": noch kein Artikel abgerufen: blockiert: HTTP 403")
        mill.now = now() + timedelta(minutes=11)
        fetched, *refused = mill.lease()
        segment = mill.save([fetched])
        store.ledger.url_endings.end([ended(row, Outcome.HTTP_ERROR, "HTTP 403") for row in refused], now=mill.now)
        assert "no article fetched yet" not in newsmill("sources", "list").out, "one waits for a worker"
        mill.store(*(bad(claim, Outcome.NOT_ARTICLE) for claim in mill.claim(segment)))
        problem = describe_problem(store, source) or ""
        assert "(3 http_error, 1 not_article); most frequent failure: blocked: HTTP 403" in problem
        assert "no article fetched yet" not in newsmill("sources", "list").out


def test_the_columns_of_a_source_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing that is due is no page, and an unchanged page is a stored one."""
    monkeypatch.chdir(tmp_path)
    with open_store_with_homepage() as (store, mill, _):
        for again in (False, True):
            store.ledger.links.add(links(1), now=mill.now, again=again)
            mill.store(*(good(claim, replace(document_of(claim.url), archive_ref=None)) for claim in mill.claim(mill.save(mill.lease()))))
        store.ledger.links.add(links(5), now=mill.now)
        _, dropped, failed = mill.lease(limit=3)
        store.ledger.url_endings.end([ended(failed, Outcome.HTTP_ERROR, "HTTP 404")], now=mill.now)
        store.ledger.url_endings.end([ended(dropped, Outcome.DENIED)], now=mill.now)
        store.ledger.sources.make_listings_due("paper", now=mill.now)
        (listed,) = read_listed(store)
        row = dict(zip(COLUMNS, to_row(listed), strict=True))
        assert listed.progress.outcomes[Outcome.UNCHANGED] == 1 and listed.progress.pending_listings == 1
        assert [row[name] for name in ("pages", "stored", "dropped", "failed", "pending pages")] == [5, 1, 1, 1, 2]


def test_a_crawl_without_pages_yet_counts_its_listings() -> None:
    progress = Progress(12, listings={State.DONE: 3, State.FETCHING: 1, State.DUE: 4})
    assert describe_listings(progress) == "reading listings, 3 of 8 read"


def test_a_source_whose_articles_were_all_fetched_again_unchanged_has_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with open_store_with_homepage() as (store, mill, source):
        for _ in range(2):
            store.ledger.links.add(links(1), now=mill.now, again=True)
            mill.store(*(good(claim, replace(document_of(claim.url), archive_ref=None)) for claim in mill.claim(mill.save(mill.lease()))))
        assert store.ledger.progress.count("paper").outcomes == {Outcome.UNCHANGED: 1}
        assert describe_problem(store, source) is None


def test_a_trace_keeps_the_failure_after_a_retry(store: AppContext, newsmill: Newsmill) -> None:
    store.ledger.clock_repair.adjust(now=now())
    (trace,) = store.ledger.traces.list_listings("forbidden")
    assert "failed: blocked: HTTP 403, failing since" in newsmill("trace", trace.url).out
    later = now() + timedelta(minutes=2)
    store.ledger.hosts.lease_one("forbidden.example", "crawler-2", seconds=60, now=later)
    (row,) = store.ledger.url_leases.lease("forbidden.example", "crawler-2", limit=1, seconds=60, now=later)
    store.ledger.url_endings.end([Ended(row.id, row.fence, OutcomeRecord(Outcome.HTTP_ERROR, "HTTP 403"))], now=later)
    assert newsmill("retry", trace.url).code == 0
    assert "failed: blocked: HTTP 403, failing since" in newsmill("trace", trace.url).out


def test_a_source_is_failing_from_the_first_failure_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, newsmill: Newsmill) -> None:
    """Nothing is proven yet, so it is amber: in lists, status and on the home page."""
    monkeypatch.chdir(tmp_path)
    with open_store_with_homepage() as (store, mill, _):
        for mill.now in (now(), now() + timedelta(seconds=5)):
            store.ledger.url_endings.end([ended(row, Outcome.NOT_MODIFIED) for row in mill.leased_rows], now=mill.now)
            store.ledger.sources.make_listings_due("paper", now=mill.now)
            mill.lease()
        timeout = OutcomeRecord(Outcome.TIMEOUT, "no answer")
        store.ledger.url_endings.postpone(
            [Postponed(row.id, row.fence, mill.now, "waits", failure=timeout) for row in mill.leased_rows], now=mill.now
        )
        for shown in (newsmill("sources", "list"), newsmill("status")):
            assert f"failing since {format_since(mill.now, now())}: " in shown.out
        (problem,) = source_health_view.list_problems(store, load_translations("en"), now())
        assert problem.mark == "failing" and problem.text.startswith("failing since ")


def test_states_in_words() -> None:
    refused = OutcomeRecord(Outcome.HTTP_ERROR, "HTTP 403")
    unproven = SourceHealth(HealthState.FAILING, (), refused, now(), "u", Kind.FEED, 1, 3)
    at = f"{unproven.since:%H:%M} UTC"
    assert describe_health(unproven, now()) == f"failing since {at}: blocked: HTTP 403 (1 of 3 listings)"
    assert describe_health(SourceHealth(HealthState.UNREAD), now()) == "not read yet"
    blocked = SourceHealth(HealthState.BLOCKED, (Finding(Cause.REFUSED, now(), Evidence(refused, "u", None, 3, 3)),))
    assert describe_health(blocked, now()) == f"blocked: HTTP 403 since {at}"
    assert describe_health(blocked, now() + timedelta(days=2)) == f"blocked: HTTP 403 since {unproven.since:%Y-%m-%d} {at}"
    missing = Finding(Cause.MISSING_LISTINGS, now(), Evidence(OutcomeRecord(Outcome.GONE, "HTTP 404"), "u", None, 1, 3))
    assert describe_health(SourceHealth(HealthState.MOVED, (missing,)), now()) == f"moved: not found: HTTP 404 (1 of 3 listings) since {at}"
    silent = SourceHealth(HealthState.STALE, (Finding(Cause.SILENT, now(), Evidence(last_at=now(), expected=30.0, probability=1e-9)),))
    assert describe_health(silent, now()) == f"stale: no new documents since {at}"


def test_every_cause_has_its_texts() -> None:
    for cause in Cause:
        title, evidence, remedy = describe_cause("paper", Finding(cause, now()), now())
        assert title and evidence and remedy and "{" not in evidence
