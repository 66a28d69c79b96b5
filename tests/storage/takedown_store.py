"""A store with takedowns, a crawler and a worker, for the tests of both."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rows import NOON, SITE, SOURCE, after, document_of, ended, good, page_of
from sqlalchemy import Engine

from newsmill.context import AppContext, build_context
from newsmill.model import ClaimedPage, Kind, LeasedUrl, Link, Outcome
from newsmill.storage import counter_repair
from newsmill.storage.database import writing
from newsmill.storage.ledger import Fetched
from newsmill.storage.ledger.takedown_demands import TakedownResult
from newsmill.storage.ledger.takedowns import Erasure

REASON = "letter of 1 November, file 23"
URL = f"{SITE}/1"
SECRET = "Kowalczyk"


@dataclass
class Store:
    """A store with real files, and a crawler and a worker that do one step after another."""

    app: AppContext

    def fetch(self, *found: Link, body: bytes = SECRET.encode(), final: str | None = None) -> list[ClaimedPage]:
        """Links all the way into the archive and a worker's hands; barred ones are not fetched. `final`: where they redirect to."""
        app = self.app
        app.ledger.links.add(found, now=NOON, again=True)
        app.ledger.hosts.lease("crawler", limit=1, seconds=60, now=NOON)
        leased = self.lease_pages()
        if not leased:
            return []
        segment = app.archive.write([replace(page_of(row.url), body=body, url=final or row.url) for row in leased], now=NOON)
        rows = [Fetched(row.id, row.fence, offset, row.url, 200) for row, offset in zip(leased, segment.offsets, strict=True)]
        app.ledger.url_leases.save_segment(segment, rows, now=NOON)
        return app.ledger.claims.claim(segment.id, "worker", seconds=60, now=NOON)

    def lease_pages(self) -> list[LeasedUrl]:
        """Lease what is due; the listings have no links."""
        leased = self.app.ledger.url_leases.lease("paper.example", "crawler", limit=99, seconds=60, now=NOON)
        self.app.ledger.url_endings.end([ended(row, Outcome.EMPTY_LISTING) for row in leased if row.kind is not Kind.PAGE], now=NOON)
        return [row for row in leased if row.kind is Kind.PAGE]

    def store(self, *found: Link, text: str = SECRET, canonical: str | None = None) -> dict[Outcome, int]:
        """The pages with this text; with `canonical` as the canonical URL of those that are given."""
        results = []
        for claim in self.fetch(*found):
            named = canonical if claim.url in {link.url for link in found} else None
            results.append(good(claim, document_of(claim.url, named, text=f"{text} {named or claim.url}", title=text)))
        return self.app.ledger.results.store(results, now=NOON, owner="worker", seconds=60)

    def show(self, url: str, title: str, text: str, canonical: str | None = None, *, final: str | None = None) -> Outcome | None:
        """Fetch and extract a page, also again; `final` is where it redirects to. Returns the outcome of its row."""
        self.store_claims(self.fetch(make_link(url), final=final), title, text, canonical, final)
        return self.outcome(url)

    def claim_pending(self) -> list[ClaimedPage]:
        """The archived pages that wait for another extraction."""
        waiting = self.app.ledger.segments.list_pending(now=self.app.now(), limit=99)
        return [claim for segment in waiting for claim in self.app.ledger.claims.claim(segment, "worker", seconds=60, now=NOON)]

    def store_claims(
        self, claims: Sequence[ClaimedPage], title: str, text: str, canonical: str | None, final: str | None = None
    ) -> dict[Outcome, int]:
        """Store the same page for each claim."""
        made = [
            good(claim, replace(document_of(final or claim.url, canonical, title=title, text=text), requested_url=claim.url))
            for claim in claims
        ]
        return self.app.ledger.results.store(made, now=NOON, owner="worker", seconds=60)

    def read_archive(self) -> bytes:
        """The unpacked bytes of all segments."""
        root = Path(str(self.app.archive._url))
        return b"".join(gzip.decompress(path.read_bytes()) for path in sorted(root.rglob("*.warc.gz")))

    def outcome(self, url: str) -> Outcome | None:
        trace = self.app.ledger.traces.get(url)
        return None if trace is None else trace.outcome


def make_link(url: str) -> Link:
    return Link(url, source="paper", found_by="feed")


def make_store(engine: Engine, folder: Path) -> Store:
    store = Store(build_context(engine, str(folder / "archive"), now=lambda: after(hours=1)))
    store.app.ledger.sources.put(SOURCE, now=NOON)
    return store


def take_down(app: AppContext, urls_or_ids: Sequence[str], reason: str) -> TakedownResult:
    return app.takedowns.add(urls_or_ids, reason, now=app.now())


def erase_archived_pages(app: AppContext) -> Erasure:
    return app.takedowns.erase(app.archive, now=app.now())


def check_counters(engine: Engine) -> None:
    with writing(engine) as conn:
        assert (counter_repair.find_wrong_counters(conn), counter_repair.describe_wrong_totals(conn)) == ([], [])
