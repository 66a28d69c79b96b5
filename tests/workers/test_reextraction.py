"""A pass over the archive: what it replaces, what it leaves, what it reports, and that a kill loses nothing."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest
from services import eventually
from sqlalchemy import select, update
from test_learning import page
from workers_world import WorkersWorld

from newsmill.context import AppContext
from newsmill.exceptions import ConfigError, NewsmillError
from newsmill.extraction.document_identity import hash_text
from newsmill.intake import reextraction_pass
from newsmill.intake.reextraction_pass import run_pass
from newsmill.model import Document, Judgement, PassOptions, ReextractionPass, Rules, Source
from newsmill.sandbox.pages import Sandbox
from newsmill.storage.changes import Changes
from newsmill.storage.database import reading, writing
from newsmill.storage.reextraction_filter import check_conditions
from newsmill.storage.reextractions import Reextractions
from newsmill.storage.schema import documents, revisions
from workers.jobs import extract_claimed_pages
from workers.process import WorkerContext

HOST = "https://gazette.example"
PAGES = 12
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
TEASER = "Subscribe to the newsletter of the Evening Gazette and read all stories of the week at home."


def store(world: WorkersWorld, sandbox: Sandbox) -> list[Document]:
    """Documents by URL, as an older program stored them: one in three was cut off, one in three has a teaser in its text."""
    world.ledger.sources.put(Source("gazette", f"{HOST}/"), now=NOW)
    pages = {f"{HOST}/{number:02}-story": page(number) for number in range(PAGES)}
    segment = world.fetch_all(pages, now=NOW, source="gazette")
    extract_claimed_pages(WorkerContext(world.app, sandbox, "worker-1"), segment)
    found = sorted(world.documents.iterate(), key=lambda document: document.url)
    assert len(found) == PAGES
    with writing(world.app.engine) as conn:
        for number, document in enumerate(found):
            text = (document.text, document.text.split("\n\n")[0], f"{document.text}\n\n{TEASER}")[number % 3]
            values = {"text": text, "content_hash": hash_text(f"{document.title}\n\n{text}"), "extractor": "trafilatura 2.1.0"}
            conn.execute(update(documents).where(documents.c.id == document.id).values(**values))
    return sorted(world.documents.iterate(), key=lambda document: document.url)


def run(app: AppContext, options: PassOptions, stop_after: int = 1_000_000) -> ReextractionPass:
    """A pass, stopped before it asks for the page of this number."""
    asked = itertools.count()
    current = Reextractions(app.engine).begin(options, now=NOW)
    for moved in run_pass(app, current, lambda seconds: next(asked) >= stop_after):
        current = moved
    return current


def test_a_pass_replaces_what_gets_better_and_never_looks_like_an_edit(world: WorkersWorld, sandbox: Sandbox) -> None:
    stored, app = store(world, sandbox), world.app
    reextractions, since = Reextractions(app.engine), Changes(app.engine).end()
    dry = run(app, PassOptions(where=("extractor<2.2",), is_dry_run=True))
    expected = {"gazette": {"better": 8, "equal": 4}}
    assert (dry.total, dry.counts, dry.changed) == (PAGES, expected, 8)
    assert sorted(world.documents.iterate(), key=lambda document: document.url) == stored
    examples = reextractions.list_documents(dry.id, limit=9, has_diff=True)
    assert examples and all(one.diff and one.verdict.reasons and not one.is_replaced for one in examples)

    done = run(app, PassOptions(where=("extractor<2.2",)))
    assert (done.counts, done.changed) == (expected, 8)
    now = sorted(world.documents.iterate(), key=lambda document: document.url)
    assert all("trafilatura 2.1.0" not in document.extractor and TEASER not in document.text for document in now)
    kept = ("id", "revision", "first_seen_at", "fetched_at", "archive_ref", "source")
    assert [[getattr(one, name) for name in kept] for one in now] == [[getattr(one, name) for name in kept] for one in stored]
    changed = {one.id for old, one in zip(stored, now, strict=True) if old.text != one.text}
    assert {one.id for one in Changes(app.engine).after(since, limit=99)} == changed  # readers get the new text, with the old revision
    assert not Changes(app.engine).filter_new(sorted(changed), since=datetime.now(UTC))  # what alerts ask
    with reading(app.engine) as conn:
        assert conn.execute(select(revisions.c.document_id)).all() == []
    replacement = reextractions.find_replacement(next(one for one in now if one.id in changed))
    assert replacement is not None and replacement.is_replaced and replacement.extractor_before == "trafilatura 2.1.0"
    assert run(app, PassOptions(where=("extractor<2.2",))).total == 0


def test_a_worse_text_stays(world: WorkersWorld, sandbox: Sandbox) -> None:
    store(world, sandbox)
    run(world.app, PassOptions())
    stored = list(world.documents.iterate())
    rules = Rules(drop_css=("p:nth-of-type(2)", "p:nth-of-type(3)", "p:nth-of-type(4)"))  # they take the text
    world.ledger.sources.put(Source("gazette", f"{HOST}/", rules=rules), now=NOW)
    segment, aside = world.segment_files()[0], world.data / "aside.warc.gz"
    segment.rename(aside)
    damaged = run(world.app, PassOptions(source="gazette", limit=2))
    aside.rename(segment)
    worse = run(world.app, PassOptions(source="gazette"))
    assert damaged.counts == {"gazette": {"failed": 2}}
    assert worse.counts == {"gazette": {"worse": PAGES}} and list(world.documents.iterate()) == stored
    listed = Reextractions(world.app.engine).list_documents(worse.id, Judgement.WORSE, limit=99)
    assert len(listed) == PAGES and "article text" in listed[0].verdict.reasons[0]


def test_a_stopped_pass_continues_and_two_processes_do_not_share_one(world: WorkersWorld, sandbox: Sandbox) -> None:
    store(world, sandbox)
    options, reextractions = PassOptions(limit=PAGES - 1), Reextractions(world.app.engine)
    first = run(world.app, options, stop_after=5)
    assert 0 < first.done < PAGES - 1 and first.ended_at is None
    found = next(reextractions.iterate(first, 1))
    results = [reextraction_pass.reextract(world.app, sandbox, stored, {}) for stored in found]
    moved = reextractions.record(first, results, now=NOW)
    with pytest.raises(NewsmillError, match="another process"):
        reextractions.record(first, results, now=NOW)
    assert moved.done == first.done + 1
    done = run(world.app, options)
    assert done.id == first.id and done.done == PAGES - 1 and done.ended_at is not None


def test_a_killed_pass_loses_nothing_and_reads_nothing_twice(world: WorkersWorld, sandbox: Sandbox) -> None:
    store(world, sandbox)
    reextractions = Reextractions(world.app.engine)

    def done() -> int:
        latest = reextractions.find_latest()
        return 0 if latest is None else latest.done

    for _ in range(2):
        before = done()
        process = world.start("reextraction")
        eventually(lambda before=before: done() > before)
        process.kill()
    last = run(world.app, PassOptions())
    assert last.done == PAGES and last.count("better") == 8 and last.ended_at is not None
    assert len(reextractions.list_documents(last.id, limit=99)) == 8  # each once
    assert all("2.1.0" not in document.extractor for document in world.documents.iterate())


@pytest.mark.parametrize("condition", ["extractor", "words<3", "profile<2.1", "confidence<0.5.1", "extractor<x"])
def test_conditions_that_cannot_be_read(condition: str) -> None:
    with pytest.raises(ConfigError, match="as in extractor<2"):
        check_conditions(["extractor<2.4", "profile >= 3", "confidence<0.5", condition])
