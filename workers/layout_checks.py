"""The layout of pages: whether site profiles still fit."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from statistics import median

from newsmill.extraction.site_profile import position_evidence, profile_trust
from newsmill.health.causes import LayoutFit, Observation
from newsmill.model import Profile
from newsmill.storage.check_histories import CheckHistory
from newsmill.storage.profiles import ProfileNote, Profiles

LAYOUT_INTERVAL = timedelta(minutes=30)  # a profile and ten documents are read, about 10 ms
RECENT_DOCUMENTS = 10  # whose fit to the profile is measured
MAX_LAYOUT_SITES = 20  # of one source, whose profiles are compared


def add_layout(profiles: Profiles, seen: Observation, history: CheckHistory, site: str | None) -> tuple[Observation, CheckHistory]:
    """Measure how the newest documents fit their site's profile, every LAYOUT_INTERVAL."""
    last = seen.last_document_at
    is_recent = history.layout_at is not None and timedelta() <= seen.at - history.layout_at < LAYOUT_INTERVAL
    if site is None or last is None or is_recent:
        return seen, history
    history = replace(history, layout_at=seen.at)
    found = read_layout(profiles, site, history.layout_versions.get(site))
    if found is None:
        return seen, history
    layout, compared = found
    versions = {**{name: version for name, version in history.layout_versions.items() if name != site}, site: compared}
    newest = dict(list(versions.items())[-MAX_LAYOUT_SITES:])
    return replace(seen, layout=layout), replace(history, layout_versions=newest)


def read_layout(profiles: Profiles, site: str, compared: int | None) -> tuple[LayoutFit, int] | None:
    """The fit of a site's newest documents, and the version to compare later ones with. None: the site has no profile.

    `compared` is the version that the last check returned. It stays until RECENT_DOCUMENTS newer documents fit it: a version that is
    learned while a layout changes knows the old and the new layout, and so fits both.
    """
    note = profiles.newest(site)
    profile = None if note is None else profiles.get(site, note.version)
    if note is None or profile is None:
        return None
    before = profiles.get(site, compared) if compared is not None and compared < note.version else None
    reference, is_new_layout = (profile, False) if before is None else _choose_reference(before, profile, note)
    pages = profiles.recent(site, note.version, RECENT_DOCUMENTS)
    fits = [profile_trust.measure_fit(reference, blocks) for blocks in pages]
    has_left = profile_trust.has_layout_changed(reference, fits)
    is_enough = len(pages) >= profile_trust.MIN_RECENT_PAGES
    layout = LayoutFit(
        site,
        note.version,
        recent=sorted(fits)[len(fits) // 2] if is_enough else None,
        usual=reference.fit,
        words=int(median(map(position_evidence.count_kept_words, pages))) if is_enough else None,
        usual_words=None if reference.norm is None else reference.norm.median,
        has_changed=has_left or profile_trust.has_layout_changed(profile, [profile_trust.measure_fit(profile, blocks) for blocks in pages]),
        version_since=note.since if is_new_layout else None,
    )
    is_settled = reference is profile or is_new_layout or has_left
    if is_settled or profiles.count(site, note.since) >= note.documents + RECENT_DOCUMENTS:
        return layout, note.version
    return layout, reference.version


def _choose_reference(before: Profile, newest: Profile, note: ProfileNote) -> tuple[Profile, bool]:
    """The profile that the documents should fit: the older one, unless it has seen few pages; and whether the layout is new since then."""
    is_new_layout = note.since is not None and note.since != before.since
    is_known = is_new_layout or before.pages >= position_evidence.MATURE_PAGES
    return before if is_known else newest, is_new_layout
