"""Sites are learnt from archived pages and their early documents cleaned again: with the real reader, in this process, pass by pass."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from works import Works

from newsmill.model import ExtractionPath, Outcome
from newsmill.sandbox.parent import Sandbox
from newsmill.storage.fast_path_stats import FastPathStats
from newsmill.storage.profiles import SETTLE, Profiles, ProfileVersion
from workers import jobs
from workers.jobs import WorkerContext, extract_claimed_pages
from workers.scheduler import SchedulerContext, run_pass
from workers.site_learning import REQUEST_TIMEOUT, SiteLearning, count_paths

NOW = datetime.fromisoformat("2026-11-25T12:00:00+00:00")
HOST = "gazette.example"
FOOTER = "Have your say about this and the other stories in the reading room of the Evening Gazette"
WORDS = ("harbour", "council", "winter", "bridge", "market", "school", "railway", "garden", "museum", "village", "river", "budget")


def page(number: int, footer: str = FOOTER, wrap: str = "div") -> str:
    """An article of its own words whose last paragraph is the site's."""
    chance = random.Random(number)

    def sentence() -> str:
        return " ".join(chance.choices(WORDS, k=14)).capitalize() + f" {number}."

    body = "".join(f"<p>{' '.join(sentence() for _ in range(4))}</p>" for _ in range(5))
    title = f"Story {number}: {sentence()}"
    return (
        f"<html lang=en><head><title>{title}</title></head><body><main><article class=story><h1>{title}</h1>"
        f"<{wrap} class=text>{body}<p>{footer}</p></{wrap}></article></main></body></html>"
    )


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as box:
        yield box


@pytest.fixture
def database_url(tmp_path: object) -> str:
    """One kind: the statements are tested on both in tests/storage/test_profiles.py."""
    return f"sqlite:///{tmp_path}/newsmill.sqlite"


class Mill:
    """Crawler, workers and scheduler of a small site."""

    def __init__(self, works: Works, sandbox: Sandbox) -> None:
        self.works, self.now, self.number = works, NOW, 0
        self.profiles = Profiles(works.ledger._engine)
        self.context = WorkerContext(
            works.ledger,
            works.archive,
            sandbox,
            "worker-1",
            clock=lambda: self.now,
            profiles=self.profiles,
            ways=FastPathStats(works.ledger._engine),
        )
        self.context = SchedulerContext(
            works.ledger, works.archive, works.queue, works.redis.ensure, NOW, learning=SiteLearning(self.profiles)
        )

    def crawl(self, count: int, **look: str) -> None:
        pages = [page(self.number + number, **look) for number in range(count)]
        segment = self.works.fetch_all(
            {f"https://{HOST}/{('news', 'sport')[number % 2]}/story-{self.number + number}": body for number, body in enumerate(pages)},
            now=self.now,
        )
        self.number += count
        extract_claimed_pages(self.context, segment)

    def rounds(self, most: int = 6) -> int:
        """Scheduler's passes with the work they give, until one gives none; how many gave some."""
        for done in range(most):
            run_pass(self.context, self.now)
            jobs_waiting = self.context.queue.rq.get_jobs()
            if not jobs_waiting:
                return done
            self.context.queue.rq.empty()
            for job in jobs_waiting:
                getattr(jobs, job.func_name.rpartition(".")[2])(*job.args)
            self.now += timedelta(seconds=30)
        return most

    def texts(self) -> list[tuple[int | None, bool]]:
        """Of each document the profile it was cleaned with, and whether the footer is in its text."""
        return [(document.profile_version, FOOTER in document.text) for document in self.works.documents.iterate()]


@pytest.fixture
def mill(works: Works, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mill]:
    mill = Mill(works, sandbox)
    monkeypatch.setattr(jobs, "worker_context", mill.context)
    yield mill
    mill.context.queue.close()


def test_a_footer_no_rule_knows_is_gone_once_the_site_is_known(mill: Mill) -> None:
    mill.crawl(4)
    assert mill.rounds() == 0, "four pages are no reason to learn"
    assert mill.texts() == [(None, True)] * 4
    mill.crawl(2)
    mill.rounds()
    assert mill.texts() == [(1, False)] * 6, "early documents were cleaned again"
    assert {document.revision for document in mill.works.documents.iterate()} == {2}
    mill.crawl(2)
    assert mill.texts()[-2:] == [(1, False)] * 2, "new ones are clean at once"
    mill.now += SETTLE
    assert mill.rounds() == 0 and mill.profiles.unapplied_versions() == []
    assert mill.works.outcomes() == {"stored": 8}


def test_it_grows_with_the_site_and_comes_to_rest(mill: Mill) -> None:
    mill.crawl(6)
    mill.rounds()
    mill.crawl(16)
    mill.rounds()
    assert mill.texts() == [(2, False)] * 22
    assert [note.pages for note in mill.profiles.versions(HOST)] == [6, 22]
    mill.crawl(40)
    mill.rounds()
    assert [note.pages for note in mill.profiles.versions(HOST)] == [6, 22, 60]
    assert mill.texts() == [(3, False)] * 62
    assert {document.revision for document in mill.works.documents.iterate()} <= {1, 2}, "the third changed no text"
    mill.crawl(124)
    mill.rounds()
    note = mill.profiles.newest(HOST)
    assert note is not None and (note.version, note.documents) == (3, 186), "looked at again, and nothing new was learnt"
    assert mill.rounds() == 0


def test_what_is_no_longer_due_is_not_learnt_again(mill: Mill) -> None:
    mill.crawl(6)
    mill.rounds()
    jobs.learn_site(HOST)
    jobs.learn_site("nobody.example")
    assert [note.version for note in mill.profiles.versions(HOST)] == [1]


def test_a_site_is_asked_for_once_until_the_request_counts_as_lost(mill: Mill) -> None:
    mill.crawl(6)
    learning = SiteLearning(mill.profiles)
    assert learning.due(mill.now) == [HOST]
    assert learning.due(mill.now + timedelta(seconds=30)) == []
    assert learning.due(mill.now + REQUEST_TIMEOUT) == [HOST]
    jobs.learn_site(HOST)
    assert learning.due(mill.now + 2 * REQUEST_TIMEOUT) == []


def test_a_new_layout_is_learnt_anew_and_the_old_one_kept(mill: Mill) -> None:
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
    versions = [document.profile_version for document in mill.works.documents.iterate()]
    assert versions == [before.version] * 20 + [after.version] * 12
    assert not any(new in document.text or FOOTER in document.text for document in mill.works.documents.iterate())


def test_a_sample_that_cannot_be_read_back_asks_no_more(mill: Mill) -> None:
    mill.crawl(6)
    for path in (mill.works.data / "archive").rglob("*.warc.gz"):
        path.unlink()
    mill.rounds()
    assert mill.rounds() == 0
    assert mill.works.outcomes() == {Outcome.STORED: 6}, "and what is stored is not lost with the archive"


def test_pages_of_a_known_site_are_read_by_its_profile_and_counted(mill: Mill) -> None:
    mill.crawl(22)
    mill.rounds()
    before = FastPathStats(mill.works.ledger._engine).newest_counts()[0]
    mill.crawl(10)
    taken = FastPathStats(mill.works.ledger._engine).newest_counts()[0]
    assert (taken.site, taken.fast, sum(taken.pages.values()) - sum(before.pages.values())) == (HOST, True, 10)
    assert taken.pages[ExtractionPath.FAST] >= 8 and taken.pages[ExtractionPath.DISAGREED] == 0
    readers = [document.extractor for document in mill.works.documents.iterate()]
    assert readers.count(f"profile {taken.version}") == taken.pages[ExtractionPath.FAST]
    assert not any(FOOTER in document.text for document in mill.works.documents.iterate())


def test_a_site_whose_profile_errs_goes_the_long_way_until_it_is_learnt_anew(mill: Mill) -> None:
    mill.crawl(22)
    mill.rounds()
    ways, (note,) = FastPathStats(mill.works.ledger._engine), mill.profiles.versions(HOST)[-1:]
    count_paths(ways, {(HOST, note.version): {ExtractionPath.AGREED: 10, ExtractionPath.DISAGREED: 3}})
    assert ways.newest_counts()[0].fast
    count_paths(ways, {(HOST, note.version): {ExtractionPath.DISAGREED: 1}})
    assert not ways.newest_counts()[0].fast
    counted = sum(ways.newest_counts()[0].pages.values())
    mill.crawl(4)
    assert sum(ways.newest_counts()[0].pages.values()) == counted, "nobody even tries"
    mill.crawl(20)
    mill.rounds()
    after = ways.newest_counts()[0]
    assert after.fast and after.version == note.version + 1
