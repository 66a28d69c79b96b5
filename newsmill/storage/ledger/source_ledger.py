"""The calls of the ledger about what is followed: sources, the listings and pages that they lead to, and pages from outside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Engine

from newsmill.model import Link, OutcomeRecord, Segment, Source
from newsmill.storage.database import reading, writing
from newsmill.storage.ledger import links as ledger_links
from newsmill.storage.ledger import moved_listings, poll_plans, polls, revisits, sources, submitted_pages
from newsmill.storage.ledger.poll_plans import PolledListing
from newsmill.storage.ledger.records import Added, ArchivedRow, SubmittedFetch


class SourceLedger:
    """A part of `Ledger`; see there."""

    _engine: Engine

    # ---- sources

    def put_source(self, source: Source, *, now: datetime) -> None:
        """Create or change a source. Its home page, feeds, sitemaps and sections become listings; new ones are due at once.

        The listings of a paused source are made when it is resumed.
        """
        with writing(self._engine) as conn:
            sources.put(conn, source, now)

    def sources(self) -> list[Source]:
        """All sources by name, disabled ones too (`Source.enabled`)."""
        with reading(self._engine) as conn:
            return sources.list_sources(conn)

    def source(self, name: str) -> Source | None:
        with reading(self._engine) as conn:
            return sources.get_source(conn, name)

    def set_enabled(self, name: str, enabled: bool, *, now: datetime) -> bool:
        """Pause or resume a source's ticks; URLs already due are still fetched. False: the source does not exist."""
        with writing(self._engine) as conn:
            return sources.set_enabled(conn, name, enabled, now)

    def tick(self, *, now: datetime, next_tick: Callable[[Source, datetime], datetime], only_due: bool = False) -> list[str]:
        """Make the listings of every source whose next tick has come due. Returns the names of these sources.

        `next_tick(source, after)` gives the source's next tick after `after`. Of two schedulers exactly one gets a tick. Several missed
        ticks become one. A clock that was set back neither stops a source nor repeats a cron tick. `only_due` leaves out the search for
        ticks that a wrong clock wrote, which reads the plans of all sources.
        """
        with writing(self._engine) as conn:
            return sources.tick(conn, now, next_tick, only_due)

    def read_listings(self, name: str, *, now: datetime) -> None:
        """Make a source's listings due now, as a tick does. Its next tick stays."""
        with writing(self._engine) as conn:
            sources.make_listings_due(conn, name, now)

    def make_revisits_due(self, *, now: datetime, limit: int = 500) -> int:
        """Make up to `limit` stored articles due whose revisit has come. Returns their number; only reads if there is none."""
        with reading(self._engine) as conn:
            if not revisits.is_any_due(conn, now):
                return 0
        with writing(self._engine) as conn:
            return revisits.make_due(conn, now, limit)

    def move_listing(self, source: str, url: str, new_url: str, failure: OutcomeRecord | None = None, *, now: datetime) -> bool:
        """Follow a listing that has moved permanently, in the plan of its source too. False: the source has no such listing.

        `failure`: what the old URL answers with; None for a permanent redirect.
        """
        with writing(self._engine) as conn:
            return moved_listings.move_listing(conn, source, url, new_url, failure, now)

    # ---- rendering

    def script_sources(self) -> set[str]:
        """The names of sources whose last pages all had their text only in a browser."""
        with reading(self._engine) as conn:
            return sources.list_script_sources(conn)

    def count_script_pages(self, pages: Mapping[str, Sequence[bool]]) -> None:
        """Record by source, for each of its pages with a document in order, whether only a browser showed the text."""
        if pages:
            with writing(self._engine) as conn:
                sources.count_script_pages(conn, pages)

    def count_rendered(self, source: str | None = None) -> dict[str, int]:
        """The number of archived pages with a rendered DOM, by source ("" for none)."""
        with reading(self._engine) as conn:
            return sources.count_rendered(conn, source)

    # ---- links

    def add(self, links: Iterable[Link], *, now: datetime, again: bool = False, listing_id: int | None = None) -> Added:
        """One row per URL. A known row stays as it is; with `again`, one that has an outcome is due again.

        `listing_id` is the row of the listing that shows the links: its sightings are recorded, pages from its first poll rank behind new
        ones, and a page that failed for a passing reason and is still shown is due again.

        An invalid URL that a person or a program requested (found_by manual, api) gets a row with the outcome bad_url. Others are only
        counted in the result.
        """
        with writing(self._engine) as conn:
            return ledger_links.add(conn, links, now, again, listing_id)

    # ---- polls

    def select_changed(self, links: Sequence[Link], *, now: datetime) -> list[Link]:
        """Of the parts that a sitemap index names, those to poll again."""
        with reading(self._engine) as conn:
            return polls.select_changed(conn, links, now)

    def list_polled(self, source: str) -> list[PolledListing]:
        """The listings of a source that were polled, with their plans."""
        with reading(self._engine) as conn:
            return poll_plans.list_polled(conn, source)

    # ---- pages from outside

    def find_archived_rows(self, keys: Sequence[str]) -> dict[str, ArchivedRow]:
        """Of URL keys, the known rows by key."""
        with reading(self._engine) as conn:
            return submitted_pages.find_archived_rows(conn, keys)

    def save_submitted_pages(self, segment: Segment, pages: Sequence[SubmittedFetch], *, now: datetime) -> set[str]:
        """Record a segment and make the rows of its pages `fetched`, in one commit: new rows, or known ones of any state.

        Give one page per URL. Call it when the file is on disk. Returns the keys of the changed rows; listings' rows do not change.
        """
        with writing(self._engine) as conn:
            return submitted_pages.save(conn, segment, pages, now)
