"""Search of the stored documents.

    Search(engine)
      .search(query="", *, limit=20, cursor=None, order="relevance", wait=False, count=True) -> Results  # or "newest"
      .count(query="", *, most=10_000) -> int                                        # exact up to `most`; `most + 1` means more
      .over_time(query="", step="hour", *, since=None, until=None) -> tuple[tuple[datetime, int], ...]
      .by_source(query="", *, since=None, until=None) -> tuple[tuple[str, int], ...]
      .spread(query="", *, since, seconds) -> Spread                                 # both, as far as there is time; for a page
      .clock() -> float                                                              # seconds, as limits are measured
      .iterate(query="", *, since=None, until=None) -> Iterator[Stored]              # in the order they were stored; resumable

    Results(hits: tuple[Hit, ...], cursor: str | None, total: int | None, reached: datetime | None)
      cursor   of the next page; None on the last one
      total    how many documents match; None when they are more than MOST (10,000), or counting would take more than 30 ms
      reached  None; or the time down to which everything has been looked at, when more would have taken too long: the page is short,
               possibly empty, and the cursor goes on with what is older. `wait=True` looks at everything instead
    Spread(days, since, sources, among, total)
      days     (day, n), counted whole, from `since` on, later than asked for when the time was up; sources  (name, n) of the `among`
               newest matches; total  None unless everything was counted
    Hit(id, url, title, source, site_name, language, section, published_at, first_seen_at, authors, word_count, is_free, doubtful,
        snippet)
      authors  names; snippet  pieces of the text and whether each is one of the words looked for: (("The ", False), ("harbour", True), …)
    Stored(document, stored_at, cursor)
      cursor  of `iterate(since=…)`, which goes on after this document

A query is what a person types: words (all of them), "a phrase", -without, this OR that, and filters: source: lang: author: section: title:
site: is_free:yes|no|unknown doubtful:yes|no after:2026-01-01 before:2026-02 . A value may be quoted. Nothing is an error: a field
nobody knows is a word. An empty query matches every document; one without anything to look for (`!!!`, only words to leave out) none.

A document's time, here, is when it was published, never later than it was first seen, and when it was first seen where that is unknown:
after:, before:, "newest", `over_time` and `by_source` go by it. Times are aware and UTC. A cursor is opaque and stays good while documents
come and go; one this program did not give out raises CursorError. Every call may raise ServiceError.
"""

from newsmill.search.records import MAX_TOTAL as MAX_TOTAL
from newsmill.search.records import Breakdown as Breakdown
from newsmill.search.records import Hit as Hit
from newsmill.search.records import Order as Order
from newsmill.search.records import SearchResults as SearchResults
from newsmill.search.records import Step as Step
from newsmill.search.records import StoredHit as StoredHit
from newsmill.search.search import Search as Search
