"""When a site is learnt, from which pages, and when documents are cleaned again. What a profile is, newsmill.extraction.site_profile.profile decides."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from newsmill.archive.archive import Archive
from newsmill.exceptions import ArchiveDamaged
from newsmill.extraction.site_profile import apply_profile as reader
from newsmill.extraction.site_profile import field_positions
from newsmill.extraction.site_profile.profile import PageBlocks, learn_profile, make_page_blocks
from newsmill.model import ExtractionPath, ExtractionResult, Outcome, Page, Profile
from newsmill.sandbox.parent import SandboxCrash
from newsmill.storage.documents import ArchivedPage
from newsmill.storage.fast_path_stats import FastPathCounts, FastPathStats
from newsmill.storage.profiles import FIELDS, OutdatedDocument, ProfileNote, Profiles

log = logging.getLogger(__name__)

SAMPLE_PAGES = 60  # pages a profile is learnt from, three seconds of one worker; of 40 a box of every tenth page was missed (measured)
RECENT_DOCUMENTS = 10  # documents whose fit is looked at
MAX_COMPARED_PER_PASS = 500  # documents compared with a new version in one pass: a quarter of a second
MAX_REEXTRACTED_PER_PASS = 200  # documents in one pass of the scheduler: some seconds of work for two workers
REQUEST_TIMEOUT = timedelta(minutes=3)  # after which a request for a profile counts as lost
NEVER = datetime(1970, 1, 1, tzinfo=UTC)

ReadPage = Callable[[Page], ExtractionResult | SandboxCrash]


@dataclass
class SiteLearning:
    """The scheduler's side: which sites have news, and what is still to be cleaned again."""

    profiles: Profiles
    looked_at: datetime = NEVER
    sites: set[str] = field(default_factory=set)  # due and not learnt yet
    asked: dict[str, tuple[int, datetime]] = field(default_factory=dict)  # with how many documents learnt before, and when

    def due(self, now: datetime) -> list[str]:
        """Sites to be learnt now. Looks only at sites that stored something since the last look."""
        end = self.profiles.end()
        fresh = {*self.profiles.changed_sites(self.looked_at), *self.sites}
        self.looked_at = end
        self.sites = {site for site in fresh if is_due(self.profiles, site)}
        return [site for site in sorted(self.sites) if self._ask(site, now)]

    def _ask(self, site: str, now: datetime) -> bool:
        """False while an earlier request for the same is young: some worker is at it, and a second would read the same pages."""
        note = self.profiles.newest(site)
        learnt_at = note.documents if note else 0
        before, when = self.asked.get(site, (-1, NEVER))
        if before == learnt_at and abs(now - when) < REQUEST_TIMEOUT:
            return False
        self.asked[site] = learnt_at, now
        return True

    def clean_again(self, now: datetime) -> int:
        """Open some of the documents that older versions cleaned and that newer ones would change; how many."""
        looked = opened = 0
        for note in self.profiles.unapplied_versions():
            found = self.profiles.outdated(note, MAX_COMPARED_PER_PASS - looked)
            same = find_unchanged(self.profiles, note, found)
            other = [held.ledger_id for held in found if held.id not in same][: MAX_REEXTRACTED_PER_PASS - opened]
            opened += self.profiles.bring_up_to_date(note, [held for held in found if held.id in same], other, now=now)
            looked += len(found)
            if looked >= MAX_COMPARED_PER_PASS or opened >= MAX_REEXTRACTED_PER_PASS:
                break
        return opened


def find_unchanged(profiles: Profiles, note: ProfileNote, found: Sequence[OutdatedDocument]) -> frozenset[str]:
    """Those of the documents (ids) whose text and fields the version would not change: decided from what is stored, not from the pages."""
    new = profiles.get(note.site, note.version)
    if new is None or not found:
        return frozenset()
    olds = {version: profiles.get(note.site, version) for version in {held.version for held in found} if version is not None}
    known = frozenset(name for name in FIELDS if field_positions.find_proven_position(new, name) is not None)
    return frozenset(
        held.id
        for held in found
        if not held.missing & known and reader.keeps_document(olds.get(held.version) if held.version else None, new, held.blocks)
    )


def count_paths(ways: FastPathStats | None, pages: Mapping[tuple[str, int], Mapping[ExtractionPath, int]]) -> None:
    """Count how pages were read, and send a site back the long way where its profile is found to err."""
    if ways is None:
        return
    ways.add(pages)
    for site, version in sorted(key for key, counted in pages.items() if ExtractionPath.DISAGREED in counted):
        taken = ways.of(site, version)
        if taken is not None and taken.fast and _is_mistrusted(taken):
            log.warning("%s is read the long way again: its profile %d found another text on too many pages", site, version)
            ways.disable_fast_path(site, version)


def _is_mistrusted(taken: FastPathCounts) -> bool:
    return reader.is_mistrusted(taken.pages[ExtractionPath.AGREED], taken.pages[ExtractionPath.DISAGREED])


def is_due(profiles: Profiles, site: str) -> bool:
    """Whether the site has grown enough, or does not look any more as it did."""
    note = profiles.newest(site)
    documents = profiles.count(site, note.since if note else None)
    return (
        reader.is_learning_due(documents, note.documents if note else 0)
        or _should_relearn(note, documents)
        or _has_layout_changed(profiles, note, documents)
    )


def _should_relearn(note: ProfileNote | None, documents: int) -> bool:
    """Whether a profile that was found to err has enough new pages to be learnt anew."""
    return note is not None and not note.fast and documents >= 2 * note.documents


def _has_layout_changed(profiles: Profiles, note: ProfileNote | None, documents: int) -> bool:
    if note is None or documents < note.documents + reader.MIN_RECENT_PAGES:
        return False
    known = profiles.get(note.site, note.version)
    recent = profiles.recent(note.site, note.version, RECENT_DOCUMENTS)
    return known is not None and reader.has_layout_changed(known, [reader.measure_fit(known, blocks) for blocks in recent])


def learn_site(profiles: Profiles, archive: Archive, read: ReadPage, site: str, *, now: datetime, stopping: Callable[[], bool]) -> None:
    """Learn a site that is due: a new version where it teaches something, else a note that it was looked at."""
    note, old = profiles.newest(site), profiles.latest(site)
    documents = profiles.count(site, note.since if note else None)
    changed, erred = _has_layout_changed(profiles, note, documents), _should_relearn(note, documents)
    if not changed and not erred and not reader.is_learning_due(documents, note.documents if note else 0):
        return
    sample = profiles.sample(site, min(SAMPLE_PAGES, max(documents, reader.MATURE_PAGES)), newest=changed)
    read_pages = list(read_sample(archive, read, sample, stopping))
    if stopping():
        return
    chosen, since = _select_layout(read_pages, old, changed=changed)
    new = replace(learn_profile(chosen, site), version=old.version if old else 0, since=since)
    if _is_improvement(old, new, changed=changed) or (erred and new.pages >= reader.MATURE_PAGES):
        stored = profiles.put(new, documents=profiles.count(site, since) if changed else documents, now=now)
        if stored is not None:
            log.info("learnt %s from %d pages: version %d", site, stored.pages, stored.version)
    elif note is not None:
        profiles.record_learning(site, note.version, documents=documents)


def _is_improvement(old: Profile | None, new: Profile, *, changed: bool) -> bool:
    """A new layout needs pages enough to be one; what is read from fewer pages than before (a damaged archive) teaches nothing."""
    if old is None or changed:
        return old is None or new.pages >= reader.YOUNG_PAGES
    return new.pages >= old.pages and reader.is_improvement(old, new)


def read_sample(
    archive: Archive, read: ReadPage, sample: Sequence[ArchivedPage], stopping: Callable[[], bool]
) -> Iterator[tuple[Page, PageBlocks]]:
    """The pages of the sample with their blocks; without those that are damaged, kill their reader, or are no article any more."""
    for place in sample:
        if stopping():
            return
        try:
            page = archive.read_page(place.segment, place.offset)
        except ArchiveDamaged:
            continue
        reading = read(page)
        if isinstance(reading, ExtractionResult) and reading.ending.outcome is Outcome.STORED:
            yield page, make_page_blocks(page.url, reading)


def _select_layout(
    pages: Sequence[tuple[Page, PageBlocks]], old: Profile | None, *, changed: bool
) -> tuple[list[PageBlocks], datetime | None]:
    """The pages to learn from, and since when their layout holds: all, or after a change those that do not fit the old profile."""
    if old is None:
        return [blocks for _, blocks in pages], None
    if changed:
        new = [
            (page, blocks)
            for page, blocks in pages
            if reader.has_layout_changed(old, [reader.measure_fit(old, blocks.blocks)] * reader.MIN_RECENT_PAGES)
        ]
        return [blocks for _, blocks in new], min((page.fetched_at for page, _ in new), default=None)
    return [blocks for page, blocks in pages if old.since is None or page.fetched_at >= old.since], old.since
