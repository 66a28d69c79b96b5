"""When a site is learned, from which pages, and when documents are extracted again because their site's profile has a newer version.

`newsmill.extraction.site_profile` decides what a profile contains.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from newsmill.archive.archive import Archive
from newsmill.exceptions import ArchiveDamaged
from newsmill.extraction.site_profile import field_positions, position_evidence, profile_trust
from newsmill.extraction.site_profile.profile import PageBlocks, learn_profile, make_page_blocks
from newsmill.model import POSITION_FIELDS, ExtractionPath, ExtractionResult, Outcome, Page, Profile
from newsmill.sandbox.pages import SandboxCrash
from newsmill.storage.documents import ArchivedPage
from newsmill.storage.fast_path_stats import FastPathCounts, FastPathStats
from newsmill.storage.profiles import OutdatedDocument, ProfileNote, Profiles

log = logging.getLogger(__name__)

SAMPLE_PAGES = 60  # a profile is learned from, three seconds of one worker; 40 miss a box that is on every tenth page
RECENT_DOCUMENTS = 10  # whose fit to the profile is compared
MAX_COMPARED_PER_PASS = 500  # documents compared with a new version: a quarter of a second
MAX_REEXTRACTED_PER_PASS = 200  # documents: some seconds of work for two workers
REQUEST_TIMEOUT = timedelta(minutes=3)  # after which a request for a profile counts as lost
NEVER = datetime(1970, 1, 1, tzinfo=UTC)

ReadPage = Callable[[Page], ExtractionResult | SandboxCrash]


@dataclass
class SiteLearning:
    """The scheduler's part: which sites are due for learning, and which documents are outdated."""

    profiles: Profiles
    checked_until: datetime = NEVER
    due_sites: set[str] = field(default_factory=set)  # due and not learned yet
    requests: dict[str, tuple[int, datetime]] = field(default_factory=dict)  # by site: documents learned before, and when

    def due(self, now: datetime) -> list[str]:
        """Sites to be learned now. Looks only at sites that have stored something since the last call."""
        end = self.profiles.end()
        candidates = {*self.profiles.changed_sites(self.checked_until), *self.due_sites}
        self.checked_until = end
        self.due_sites = {site for site in candidates if is_due(self.profiles, site)}
        return [site for site in sorted(self.due_sites) if self._should_request(site, now)]

    def _should_request(self, site: str, now: datetime) -> bool:
        """False while an earlier request for the same version is young: a worker is at it, and a second would read the same pages."""
        note = self.profiles.newest(site)
        learned_documents = note.documents if note else 0
        requested_documents, requested_at = self.requests.get(site, (-1, NEVER))
        if requested_documents == learned_documents and abs(now - requested_at) < REQUEST_TIMEOUT:
            return False
        self.requests[site] = learned_documents, now
        return True

    def requeue_outdated(self, now: datetime) -> int:
        """Requeue some of the documents that a newer version of their site's profile would change, and return their number."""
        compared = requeued = 0
        for note in self.profiles.unapplied_versions():
            outdated = self.profiles.outdated(note, MAX_COMPARED_PER_PASS - compared)
            unchanged_ids = find_unchanged(self.profiles, note, outdated)
            changed = [document.ledger_id for document in outdated if document.id not in unchanged_ids]
            changed = changed[: MAX_REEXTRACTED_PER_PASS - requeued]
            unchanged = [document for document in outdated if document.id in unchanged_ids]
            requeued += self.profiles.bring_up_to_date(note, unchanged, changed, now=now)
            compared += len(outdated)
            if compared >= MAX_COMPARED_PER_PASS or requeued >= MAX_REEXTRACTED_PER_PASS:
                break
        return requeued


def find_unchanged(profiles: Profiles, note: ProfileNote, outdated: Sequence[OutdatedDocument]) -> frozenset[str]:
    """Ids of the documents whose text and fields the new version would not change, as far as the stored documents tell."""
    new = profiles.get(note.site, note.version)
    if new is None or not outdated:
        return frozenset()
    old_versions = {document.version for document in outdated if document.version is not None}
    old_profiles = {version: profiles.get(note.site, version) for version in old_versions}
    proven_fields = frozenset(name for name in POSITION_FIELDS if field_positions.find_field_position(new, name) is not None)
    return frozenset(
        document.id
        for document in outdated
        if not document.missing & proven_fields
        and not (new.site_tags and document.tags == new.site_tags)
        and profile_trust.keeps_document(old_profiles.get(document.version) if document.version else None, new, document.blocks)
    )


def count_paths(stats: FastPathStats, paths: Mapping[tuple[str, int], Mapping[ExtractionPath, int]]) -> None:
    """Count the extraction paths of pages, by site and version, and end the fast path of a site whose profile errs too often."""
    stats.add(paths)
    for site, version in sorted(key for key, counts in paths.items() if ExtractionPath.DISAGREED in counts):
        counts = stats.of(site, version)
        if counts is not None and counts.fast and _is_mistrusted(counts):
            log.warning("%s no longer uses the fast path: version %d of its profile found another text on too many pages", site, version)
            stats.disable_fast_path(site, version)


def _is_mistrusted(counts: FastPathCounts) -> bool:
    return profile_trust.is_mistrusted(counts.pages[ExtractionPath.AGREED], counts.pages[ExtractionPath.DISAGREED])


def is_due(profiles: Profiles, site: str) -> bool:
    """Whether the site has grown enough, its layout has changed, or its profile errs."""
    note = profiles.newest(site)
    documents = profiles.count(site, note.since if note else None)
    return (
        profile_trust.is_learning_due(documents, note.documents if note else 0)
        or _should_relearn(note, documents)
        or _has_layout_changed(profiles, note, documents)
    )


def _should_relearn(note: ProfileNote | None, documents: int) -> bool:
    """Whether a profile that errs has enough new pages to be learned again."""
    return note is not None and not note.fast and documents >= 2 * note.documents


def _has_layout_changed(profiles: Profiles, note: ProfileNote | None, documents: int) -> bool:
    if note is None or documents < note.documents + profile_trust.MIN_RECENT_PAGES:
        return False
    profile = profiles.get(note.site, note.version)
    recent = profiles.recent(note.site, note.version, RECENT_DOCUMENTS)
    return profile is not None and profile_trust.has_layout_changed(
        profile, [profile_trust.measure_fit(profile, blocks) for blocks in recent]
    )


def learn_site(profiles: Profiles, archive: Archive, read: ReadPage, site: str, *, now: datetime, stopping: Callable[[], bool]) -> None:
    """Learn a site that is due: store a new version if it improves on the old one, else note that the site was checked."""
    note, old = profiles.newest(site), profiles.latest(site)
    documents = profiles.count(site, note.since if note else None)
    changed, relearn = _has_layout_changed(profiles, note, documents), _should_relearn(note, documents)
    if not changed and not relearn and not profile_trust.is_learning_due(documents, note.documents if note else 0):
        return
    sample = profiles.sample(site, min(SAMPLE_PAGES, max(documents, position_evidence.MATURE_PAGES)), newest=changed)
    pages = list(read_sample(archive, read, sample, stopping))
    if stopping():
        return
    selected, since = _select_layout(pages, old, changed=changed)
    new = replace(learn_profile(selected, site), version=old.version if old else 0, since=since)
    if _is_improvement(old, new, changed=changed) or (relearn and new.pages >= position_evidence.MATURE_PAGES):
        stored = profiles.put(new, documents=profiles.count(site, since) if changed else documents, now=now)
        if stored is not None:
            log.info("learned %s from %d pages: version %d", site, stored.pages, stored.version)
    elif note is not None:
        profiles.record_learning(site, note.version, documents=documents)


def _is_improvement(old: Profile | None, new: Profile, *, changed: bool) -> bool:
    """A changed layout needs enough pages. Fewer pages than before (a damaged archive) do not improve a profile."""
    if old is None or changed:
        return old is None or new.pages >= position_evidence.YOUNG_PAGES
    return new.pages >= old.pages and profile_trust.is_improvement(old, new)


def read_sample(
    archive: Archive, read: ReadPage, sample: Sequence[ArchivedPage], stopping: Callable[[], bool]
) -> Iterator[tuple[Page, PageBlocks]]:
    """The pages of the sample with their blocks, without those that are damaged, crash their reader, or are not articles any more."""
    for archived in sample:
        if stopping():
            return
        try:
            page = archive.read_page(archived.segment, archived.offset, archived.url)
        except ArchiveDamaged:
            archive.require_files({other.segment for other in sample} - {archived.segment})
            continue
        result = read(page)
        if isinstance(result, ExtractionResult) and result.ending.outcome is Outcome.STORED:
            yield page, make_page_blocks(page.url, result)


def _select_layout(
    pages: Sequence[tuple[Page, PageBlocks]], old: Profile | None, *, changed: bool
) -> tuple[list[PageBlocks], datetime | None]:
    """The pages to learn from, and since when they have their layout: all, or after a change those that do not fit the old profile."""
    if old is None:
        return [blocks for _, blocks in pages], None
    if changed:
        repeat = profile_trust.MIN_RECENT_PAGES
        new = [
            (page, blocks)
            for page, blocks in pages
            if profile_trust.has_layout_changed(old, [profile_trust.measure_fit(old, blocks.blocks)] * repeat)
        ]
        return [blocks for _, blocks in new], min((page.fetched_at for page, _ in new), default=None)
    return [blocks for page, blocks in pages if old.since is None or page.fetched_at >= old.since], old.since
