"""Site profiles are learned from archived pages and early documents extracted again, with the real reader, in this process."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from workers_world import WorkersWorld

from newsmill.exceptions import ServiceError
from newsmill.model import ExtractionPath, Outcome, Source, State
from newsmill.sandbox.pages import Sandbox
from newsmill.storage.profiles import SETTLE, ProfileVersion
from workers import jobs
from workers.jobs import extract_claimed_pages
from workers.process import WorkerContext
from workers.scheduler import SchedulerContext, run_pass
from workers.site_learning import REQUEST_TIMEOUT, SiteLearning, count_paths

NOW = datetime.fromisoformat("2026-11-25T12:00:00+00:00")
HOST = "gazette.example"
FOOTER = "Have your say about this and the other stories in the reading room of the Evening Gazette"
KEYWORDS = "<meta name=keywords content='news, paper'>"
WORDS = ("harbour", "council", "winter", "bridge", "market", "school", "railway", "garden", "museum", "village", "river", "budget")


def page(number: int, footer: str = FOOTER, wrap: str = "div") -> str:
    """An article of its own words whose last paragraph is the site's."""
    chance = random.Random(number)

    def sentence() -> str:
        return " ".join(chance.choices(WORDS, k=14)).capitalize() + f" {number}."

    body = "".join(f"<p>{' '.join(sentence() for _ in range(4))}</p>" for _ in range(5))
    title = f"Story {number}: {sentence()}"
    return (
        f"<html lang=en><head><title>{title}</title>{KEYWORDS}</head><body><main><article class=story><h1>{title}</h1>"
        f"<{wrap} class=text>{body}<p>{footer}</p></{wrap}></article></main></body></html>"
    )


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """One kind: the statements are tested on both in tests/storage/test_profiles.py."""
    return sqlite_url


class Mill:
    """Crawler, workers and scheduler of a small site."""

    def __init__(self, world: WorkersWorld, sandbox: Sandbox) -> None:
        self.world, self.now, self.number = world, NOW, 0
        app = replace(world.app, now=lambda: self.now)
        self.profiles, self.fast_path_stats = app.profiles, app.fast_path_stats
        self.worker = WorkerContext(app, sandbox, "worker-1")
        self.scheduler = SchedulerContext(app, world.queue, world.redis.ensure, NOW, learning=SiteLearning(self.profiles))

    def crawl(self, count: int, **look: str) -> None:
        pages = [page(self.number + number, **look) for number in range(count)]
        segment = self.world.fetch_all(
            {f"https://{HOST}/{('news', 'sport')[number % 2]}/story-{self.number + number}": body for number, body in enumerate(pages)},
            now=self.now,
        )
        self.number += count
        extract_claimed_pages(self.worker, segment)

    def rounds(self, most: int = 6) -> int:
        """Scheduler's passes with the work they give, until one gives none; how many gave some."""
        for done in range(most):
            run_pass(self.scheduler, self.now)
            jobs_waiting = self.scheduler.queue.rq.get_jobs()
            if not jobs_waiting:
                return done
            self.scheduler.queue.rq.empty()
            for job in jobs_waiting:
                getattr(jobs, job.func_name.rpartition(".")[2])(*job.args)
            self.now += timedelta(seconds=30)
        return most

    def tags(self) -> set[tuple[str, ...]]:
        return {document.tags for document in self.world.documents.iterate()}

    def texts(self) -> list[tuple[int | None, bool]]:
        """Of each document the profile it was cleaned with, and whether the footer is in its text."""
        return [(document.profile_version, FOOTER in document.text) for document in self.world.documents.iterate()]


@pytest.fixture
def mill(world: WorkersWorld, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mill]:
    mill = Mill(world, sandbox)
    monkeypatch.setattr(jobs, "worker_context", mill.worker)
    yield mill
    mill.scheduler.queue.close()


def test_a_footer_no_rule_knows_is_gone_once_the_site_is_known(mill: Mill) -> None:
    mill.crawl(4)
    assert mill.rounds() == 0, "four pages are not enough to learn"
    assert mill.texts() == [(None, True)] * 4
    mill.crawl(2)
    mill.rounds()
    assert mill.texts() == [(1, False)] * 6, "early documents were extracted again"
    assert {document.revision for document in mill.world.documents.iterate()} == {2}
    mill.crawl(2)
    assert mill.texts()[-2:] == [(1, False)] * 2, "new ones are clean at once"
    mill.now += SETTLE
    assert mill.rounds() == 0 and mill.profiles.unapplied_versions() == []
    assert mill.world.outcomes() == {"stored": 8}


def test_it_grows_with_the_site_and_comes_to_rest(mill: Mill) -> None:
    mill.crawl(6)
    mill.rounds()
    assert mill.tags() == {("news", "paper")}, "six pages may be about one subject"
    mill.crawl(16)
    mill.rounds()
    assert mill.texts() == [(2, False)] * 22
    assert mill.tags() == {()}, "early documents were extracted again"
    assert [note.pages for note in mill.profiles.versions(HOST)] == [6, 22]
    mill.crawl(40)
    mill.rounds()
    assert [note.pages for note in mill.profiles.versions(HOST)] == [6, 22, 60]
    assert mill.texts() == [(3, False)] * 62
    assert {document.revision for document in mill.world.documents.iterate()} <= {1, 2}, "the third changed no text"
    mill.crawl(124)
    mill.rounds()
    note = mill.profiles.newest(HOST)
    assert note is not None and (note.version, note.documents) == (3, 186), "examined again, with nothing new"
    assert mill.rounds() == 0


def test_what_is_no_longer_due_is_not_learnt_again(mill: Mill) -> None:
    mill.crawl(6)
    mill.rounds()
    jobs.learn_site(HOST)
    jobs.learn_site("nobody.example")
    assert [note.version for note in mill.profiles.versions(HOST)] == [1]


def test_a_site_is_requested_once_until_the_request_counts_as_lost(mill: Mill) -> None:
    mill.crawl(6)
    learning = SiteLearning(mill.profiles)
    assert learning.due(mill.now) == [HOST]
    assert learning.due(mill.now + timedelta(seconds=30)) == []
    assert learning.due(mill.now + REQUEST_TIMEOUT) == [HOST]
    jobs.learn_site(HOST)
    assert learning.due(mill.now + 2 * REQUEST_TIMEOUT) == []


def test_a_new_layout_is_learnt_and_the_old_one_kept(mill: Mill) -> None:
    mill.crawl(20)
    mill.rounds()
    before = mill.profiles.newest(HOST)
    assert before is not None
    mill.now += timedelta(days=1)
    changed_at = mill.now
    new = "The Gazette is yours: write to the editor of this page whenever you like it"
    mill.crawl(12, footer=new, wrap="section")
    mill.rounds()
    after = mill.profiles.newest(HOST)
    assert after is not None and after.version == before.version + 1
    assert after.since == changed_at
    assert mill.profiles.valid_at(HOST, NOW) == ProfileVersion(before.version, fast=True, looked_at=before.documents)
    versions = [document.profile_version for document in mill.world.documents.iterate()]
    assert versions == [before.version] * 20 + [after.version] * 12
    assert not any(new in document.text or FOOTER in document.text for document in mill.world.documents.iterate())


def test_a_sample_that_cannot_be_read_back_asks_no_more(mill: Mill) -> None:
    mill.crawl(6)
    for path in (mill.world.data / "archive").rglob("*.warc.gz"):
        path.unlink()
    mill.rounds()
    assert mill.rounds() == 0
    assert mill.world.outcomes() == {Outcome.STORED: 6}, "and what is stored is not lost with the archive"


def test_no_profile_is_learned_while_the_archive_is_not_mounted(mill: Mill) -> None:
    mill.crawl(6)
    archive = mill.world.data / "archive"
    archive.rename(mill.world.data / "mounted")
    with pytest.raises(ServiceError, match="check that ARCHIVE_URL is right and that the folder is mounted"):
        mill.rounds()
    assert mill.profiles.newest(HOST) is None
    (mill.world.data / "mounted").rename(archive)
    mill.now += REQUEST_TIMEOUT
    mill.rounds()
    assert mill.profiles.newest(HOST) is not None


def test_pages_of_a_known_site_are_read_by_its_profile_and_counted(mill: Mill) -> None:
    mill.crawl(22)
    mill.rounds()
    before = mill.fast_path_stats.newest_counts()[0]
    mill.crawl(10)
    counts = mill.fast_path_stats.newest_counts()[0]
    assert (counts.site, counts.fast, sum(counts.pages.values()) - sum(before.pages.values())) == (HOST, True, 10)
    assert counts.pages[ExtractionPath.FAST] >= 8 and counts.pages[ExtractionPath.DISAGREED] == 0
    readers = [document.extractor for document in mill.world.documents.iterate()]
    assert readers.count(f"profile {counts.version}") == counts.pages[ExtractionPath.FAST]
    assert not any(FOOTER in document.text for document in mill.world.documents.iterate())


def test_a_site_whose_profile_errs_takes_the_full_path_until_it_is_learnt_again(mill: Mill) -> None:
    mill.crawl(22)
    mill.rounds()
    stats, (note,) = mill.fast_path_stats, mill.profiles.versions(HOST)[-1:]
    count_paths(stats, {(HOST, note.version): {ExtractionPath.AGREED: 10, ExtractionPath.DISAGREED: 3}})
    assert stats.newest_counts()[0].fast
    count_paths(stats, {(HOST, note.version): {ExtractionPath.DISAGREED: 1}})
    assert not stats.newest_counts()[0].fast
    counted = sum(stats.newest_counts()[0].pages.values())
    mill.crawl(4)
    assert sum(stats.newest_counts()[0].pages.values()) == counted, "the fast path is not tried"
    mill.crawl(20)
    mill.rounds()
    after = stats.newest_counts()[0]
    assert after.fast and after.version == note.version + 1


def test_a_profile_that_was_learnt_between_two_fetches_makes_no_revision(mill: Mill) -> None:
    """The page of the revisit has another advertisement, and today's profile leaves out its footer. An edit makes a revision."""
    ledger, bodies = mill.world.ledger, {f"https://{HOST}/news/story-{number}": page(number) for number in range(6)}
    ledger.sources.put(Source("gazette", homepage=f"https://{HOST}/", revisit=(timedelta(hours=1), timedelta(days=1))), now=mill.now)
    extract_claimed_pages(mill.worker, mill.world.fetch_all(bodies, now=mill.now, source="gazette"))
    before = [*mill.world.documents.iterate()]
    jobs.learn_site(HOST)
    mill.now += timedelta(hours=1)
    assert ledger.due_revisits.make_due(now=mill.now) == 6
    mill.now += timedelta(minutes=5)
    changed = {url: body.replace("</main>", f"</main><aside>Advertisement {mill.now}</aside>") for url, body in bodies.items()}
    edited = f"https://{HOST}/news/story-3"
    changed[edited] = changed[edited].replace(FOOTER, f"The mayor resigned this morning.</p><p>{FOOTER}")
    extract_claimed_pages(mill.worker, mill.world.fetch_all(changed, now=mill.now, source="gazette"))
    after = [*mill.world.documents.iterate()]
    assert [document for document in after if document.url != edited] == [document for document in before if document.url != edited]
    (one,) = (document for document in after if document.url == edited)
    assert (one.revision, one.profile_version, "The mayor resigned" in one.text, FOOTER in one.text) == (2, 1, True, False)
    for url in bodies:
        trace = ledger.traces.get(url)
        assert trace is not None and (trace.state, trace.outcome, trace.failure) == (State.DONE, Outcome.STORED, None)
        document = mill.world.documents.get(url)
        assert document is not None and document.archive_ref == f"{trace.segment}@{trace.offset}" and trace.revisit_at is not None
