"""Profiles in the store: versions, the sites and pages behind them, and repeated extraction, which must come to an end."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from rows import HOST, NOON, SITE, Mill, after, bad, document_of, good, links
from sqlalchemy import Engine

from newsmill.model import LineStats, Outcome, PathStats, Profile, State
from newsmill.storage.documents import ArchivedPage, Documents
from newsmill.storage.ledger import Ledger
from newsmill.storage.profiles import SETTLE, ProfileNote, Profiles, ProfileVersion
from newsmill.text.urls import get_profile_site

PROFILE = Profile(
    HOST,
    pages=25,
    sections=2,
    lines={"p | the \0footer": LineStats(23, 23, 22, 2)},
    paths={"body/p": PathStats(25, 25, 900, 880, 2)},
    fit=0.97,
)


@pytest.fixture
def profiles(engine: Engine) -> Profiles:
    return Profiles(engine)


def stored(ledger: Ledger, count: int, *, fetched_at: datetime = NOON, version: int | None = None) -> Mill:
    """A site with documents."""
    mill = Mill(ledger)
    for claim in mill.fetch(*links(count)):
        mill.store(good(claim, document_of(claim.url, archive_ref=None, fetched_at=fetched_at, profile_version=version)))
    return mill


def read_again(profiles: Profiles, note: ProfileNote, limit: int, now: datetime) -> int:
    """Have up to `limit` documents of older versions read again, all of which the version is assumed to change."""
    return profiles.bring_up_to_date(note, [], [held.ledger_id for held in profiles.outdated(note, limit)], now=now)


def test_versions_are_counted_and_old_ones_kept(profiles: Profiles) -> None:
    assert profiles.latest(HOST) is None and profiles.newest(HOST) is None
    first = profiles.put(PROFILE, documents=25, now=NOON)
    assert first is not None and first.version == 1
    assert first == replace(PROFILE, version=1, looked_at=25)
    assert profiles.put(PROFILE, documents=26, now=NOON) is None, "somebody else was first"
    second = profiles.put(replace(first, pages=40), documents=60, now=after(hours=1))
    assert second is not None and profiles.latest(HOST) == replace(second, lines={"p | the footer": LineStats(23, 23, 22, 2)})
    assert [note.version for note in profiles.versions(HOST)] == [1, 2]
    assert profiles.newest(HOST) == ProfileNote(HOST, 2, after(hours=1), 40, 0.97, None, 60, False)
    kept = profiles.get(HOST, 1)
    assert kept is not None and kept.pages == 25
    assert profiles.latest("other.example") is None


def test_a_page_is_read_with_the_profile_of_its_own_layout(profiles: Profiles) -> None:
    first = profiles.put(PROFILE, documents=5, now=NOON)
    assert first is not None
    profiles.put(replace(first, since=after(days=3)), documents=9, now=after(days=4))
    assert profiles.valid_at(HOST, after(days=2)) == ProfileVersion(1, fast=True, looked_at=5)
    assert profiles.valid_at(HOST, after(days=3)) == ProfileVersion(2, fast=True, looked_at=9)
    found = profiles.at(HOST, NOON)
    assert found is not None and found.version == 1
    assert profiles.at("other.example", NOON) is None


def test_a_look_that_taught_nothing_moves_the_next_one(profiles: Profiles) -> None:
    profiles.put(PROFILE, documents=50, now=NOON)
    profiles.record_learning(HOST, 1, documents=75)
    profiles.record_learning(HOST, 1, documents=60)
    note = profiles.newest(HOST)
    assert note is not None and note.documents == 75


def test_sites_and_samples(ledger: Ledger, profiles: Profiles) -> None:
    stored(ledger, 6, version=1)
    assert profiles.changed_sites(NOON) == profiles.sites_of_sources(["paper"]) == [HOST]
    assert profiles.changed_sites(after(seconds=1)) == profiles.sites_of_sources(["nobody"]) == []
    assert (profiles.count(HOST), profiles.count(HOST, NOON), profiles.count(HOST, after(days=1))) == (6, 6, 0)
    sample = profiles.sample(HOST, 4)
    assert sample == profiles.sample(HOST, 6)[:4]
    assert {place.segment for place in sample} == {"20261125T120000Z-00000001"}
    assert isinstance(sample[0], ArchivedPage) and sample[0].source == "paper"
    assert len(profiles.sample(HOST, 9, newest=True)) == 6
    assert [[block.path for block in blocks] for blocks in profiles.recent(HOST, 1, 2)] == [[None, "body/p"]] * 2
    assert profiles.recent(HOST, 2, 2) == []


def test_documents_of_older_versions_are_cleaned_again_and_keep_their_day(ledger: Ledger, profiles: Profiles, documents: Documents) -> None:
    mill = stored(ledger, 5)
    profiles.put(PROFILE, documents=5, now=NOON)
    mill.now = after(days=1)
    (note,) = profiles.unapplied_versions()
    assert read_again(profiles, note, 3, mill.now) == 3
    assert ledger.progress.count().states[State.FETCHED] == 3
    assert documents.count() == 5, "they are there all along"
    claims = mill.claim("20261125T120000Z-00000001")
    for claim in claims:
        content = "cleaner" if claim is claims[0] else None
        assert mill.store(good(claim, document_of(claim.url, content=content, archive_ref=None, profile_version=1))) == {Outcome.STORED: 1}
    assert read_again(profiles, note, 3, mill.now) == 2
    for claim in mill.claim("20261125T120000Z-00000001"):
        mill.store(good(claim, document_of(claim.url, archive_ref=None, profile_version=1)))
    assert read_again(profiles, note, 3, mill.now) == 0
    assert profiles.unapplied_versions() == []
    assert [(row.day, row.outcome, row.n) for row in ledger.counters.list_outcomes() if row.n] == [(NOON.date(), Outcome.STORED, 5)]
    assert sorted(document.revision for document in documents.iterate()) == [1, 1, 1, 1, 2]
    assert {document.profile_version for document in documents.iterate()} == {1}


def test_cleaning_again_ends_whatever_the_pages_become(ledger: Ledger, profiles: Profiles) -> None:
    """One has no text now, one is another document now, one dies: none of them is read twice."""
    mill = stored(ledger, 3)
    profiles.put(PROFILE, documents=3, now=NOON)
    (note,) = profiles.unapplied_versions()
    assert read_again(profiles, note, 9, NOON) == 3
    first, second, third = mill.claim("20261125T120000Z-00000001")
    mill.store(bad(first, Outcome.NO_TEXT), good(second, document_of(second.url, canonical=f"{SITE}/elsewhere", profile_version=1)))
    for _ in range(2):
        ledger.claims.report_crash(third, "read", "signal 11", now=mill.now)
        mill.now += timedelta(hours=1)
        third = mill.take_aside()
    ledger.claims.report_crash(third, "read", "signal 11", now=mill.now)
    assert read_again(profiles, note, 9, mill.now) == 0
    assert profiles.unapplied_versions() == []


def test_a_version_counts_as_applied_only_when_pages_in_hand_are_stored(ledger: Ledger, profiles: Profiles) -> None:
    mill = stored(ledger, 2, version=1)
    profiles.put(PROFILE, documents=2, now=NOON)
    (note,) = profiles.unapplied_versions()
    assert read_again(profiles, note, 9, NOON) == 0
    assert profiles.unapplied_versions() == [note]
    (late,) = mill.fetch(replace(links(1)[0], url=f"{SITE}/late"))
    mill.store(good(late, document_of(late.url, archive_ref=None)))  # its worker did not know the new version yet
    assert read_again(profiles, note, 9, NOON + SETTLE) == 1


def test_pages_of_an_older_layout_are_left_as_they_are(ledger: Ledger, profiles: Profiles) -> None:
    stored(ledger, 2, version=1)
    first = profiles.put(PROFILE, documents=2, now=NOON)
    assert first is not None
    profiles.put(replace(first, since=after(days=1)), documents=2, now=after(days=2))
    for note in profiles.unapplied_versions():
        assert read_again(profiles, note, 9, after(days=3)) == 0
    assert [note.version for note in profiles.unapplied_versions()] == [1]


@pytest.mark.parametrize(
    ("url", "site"),
    [
        ("https://www.paper.example/a", "paper.example"),
        ("http://m.paper.example:8080/a", "m.paper.example:8080"),
        ("", ""),
        ("nonsense", ""),
    ],
)
def test_the_site_of_an_address(url: str, site: str) -> None:
    assert get_profile_site(url) == site
