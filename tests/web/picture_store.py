"""A store for the pictures of the documentation: the five editions of the sample newspaper, followed for two months.

Each article was found a quarter of an hour after its publication; a few URLs failed. The clock stops at NOON of sample_pages.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, timedelta
from pathlib import Path

from newspaper_site.article import read_articles
from sample_pages import NOON
from sample_store import PAPER, SampleStore, fetch, lease_new, process_pages

from newsmill import demo
from newsmill.context import build_context
from newsmill.model import Kind, Link, Outcome, OutcomeRecord, Source
from newsmill.sandbox.pages import Sandbox
from newsmill.storage import database, schema_version
from newsmill.storage.ledger import Ended
from newsmill.storage.processes import Heartbeat
from newsmill.text.sentences import Sentence

EDITIONS = {"de": "aunebote", "en": "aunebote-english", "es": "aunebote-espanol", "fr": "aunebote-francais", "uk": "aunebote-ukrainska"}
DELAY = timedelta(minutes=15)  # from publication to the first time that Newsmill sees an article


@contextmanager
def open_picture_store(folder: Path) -> Iterator[SampleStore]:
    """Fill and open a store in the folder."""
    engine = database.connect(f"sqlite:///{folder / 'newsmill.sqlite'}")
    schema_version.upgrade(engine)
    world = SampleStore(folder, build_context(engine, str(folder / "archive"), queue_depth=lambda: 0))
    world.context = replace(world.context, now=lambda: world.now)
    try:
        fill(world)
        world.now = NOON
        yield world
    finally:
        engine.dispose()


def fill(world: SampleStore) -> None:
    articles = sorted(read_articles(), key=lambda article: article.when.astimezone(UTC))
    world.now = articles[0].when.astimezone(UTC) - timedelta(days=1)
    for language, name in EDITIONS.items():
        source = Source(name, homepage=f"http://{PAPER}/{language}/", language=language, every=timedelta(minutes=15))
        world.context.ledger.sources.put(source, now=world.now)
    with Sandbox() as sandbox, demo.serve() as paper:
        for article in articles:
            at = article.when.astimezone(UTC) + DELAY
            process_pages(world, sandbox, EDITIONS[article.language], [fetch(paper.url, article.url)], at)
    world.context.ledger.sources.tick(now=NOON - timedelta(hours=1), next_tick=lambda source, at: NOON + timedelta(minutes=12))
    for language, name in EDITIONS.items():
        end(world, name, f"/{language}/", Kind.HOMEPAGE, OutcomeRecord(Outcome.LISTED))
    end(world, "aunebote", "/de/stadt/adventsmarkt-das-programm-10388", Kind.PAGE, OutcomeRecord(Outcome.GONE, "HTTP 410"))
    end(world, "aunebote-english", "/en/2026/09/30/the-page-nobody-wrote", Kind.PAGE, OutcomeRecord(Outcome.GONE, "HTTP 404"))
    slow = Sentence("no answer within {n:.0f} s", n=30)
    end(world, "aunebote-francais", "/fr/ville/plan-de-la-ville", Kind.PAGE, OutcomeRecord(Outcome.TIMEOUT, slow))
    for role in ("crawler", "worker", "scheduler"):
        Heartbeat(world.context.engine, role=role).beat(NOON - timedelta(seconds=4))


def end(world: SampleStore, source: str, path: str, kind: Kind, ending: OutcomeRecord) -> None:
    """A URL that ended so an hour ago."""
    at = NOON - timedelta(hours=1)
    rows = lease_new(world, [Link(f"http://{PAPER}{path}", kind, source, "section")], at)
    world.context.ledger.url_endings.end([Ended(row.id, row.fence, ending) for row in rows], now=at)
