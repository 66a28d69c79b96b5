"""The bound of missed articles by source and week, from sightings in the database."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta

from rows import NOON, SITE, SOURCE, Mill, after, document_of, good
from sqlalchemy import Engine, insert, select, update

from newsmill.cli.status import describe_missed
from newsmill.health.completeness import Unknown
from newsmill.model import Kind, Link
from newsmill.storage import schema
from newsmill.storage.completeness import CompletenessReader, WeekCompleteness, choose_week, update_completeness
from newsmill.storage.database import reading, writing
from newsmill.storage.documents import to_row
from newsmill.storage.ledger import Ledger
from newsmill.storage.schema import completeness, documents, sightings

MONDAY = date(2026, 11, 23)  # NOON is a Wednesday
ADDED = after(days=-9)


def fill(engine: Engine, counts: dict[str, int], *, published: datetime | None = None, first: int = 0) -> None:
    """`{"feed homepage": 3}`: three articles that both showed."""
    row = {"host": "h", "source": "paper", "found_by": "feed", "state": "done", "first_seen_at": NOON, "next_at": NOON}
    with writing(engine) as conn:
        listings = {one.kind: one.id for one in conn.execute(select(schema.ledger).where(schema.ledger.c.kind != "page"))}
        number = first
        for kinds, count in counts.items():
            for _ in range(count):
                number += 1
                url = f"{SITE}/{number}"
                page = conn.execute(insert(schema.ledger).values(**row, url_key=url, url=url, kind="page")).inserted_primary_key[0]
                document = replace(document_of(url), published_at=published or NOON)
                conn.execute(insert(documents), {**to_row(document), "ledger_id": page, "stored_at": NOON})
                for kind in kinds.split():
                    conn.execute(insert(sightings).values(page_id=page, listing_id=listings[kind], sighted_at=NOON, is_late=False))


def read(engine: Engine, now: datetime = NOON) -> tuple[WeekCompleteness, ...]:
    return CompletenessReader(engine).read(["paper"], now)["paper"]


def test_a_week_has_a_bound_from_its_sightings(ledger: Ledger, engine: Engine) -> None:
    ledger.sources.put(SOURCE, now=ADDED)
    fill(engine, {"feed homepage": 60, "feed": 30, "homepage": 2})
    fill(engine, {"feed": 4}, published=after(days=-4), first=100)  # found late
    fill(engine, {"feed": 5}, published=after(days=-40), first=200)  # older than the source
    fill(engine, {"": 3}, first=300)  # by hand or by an API: no listing showed them
    assert update_completeness(engine, NOON) == 1
    (week,) = read(engine)
    assert (week.week, week.articles, week.late, week.unknown) == (MONDAY, 92, 4, None)
    assert week.at_most is not None and 1 / 93 <= week.at_most < 0.2
    assert choose_week([replace(week, at_most=None), week]) == week


def test_an_article_with_one_url_on_the_feed_and_another_on_the_homepage_is_one(ledger: Ledger, engine: Engine) -> None:
    """As of a feed whose links go through a service that counts clicks: the pages of the homepage repeat its documents."""
    ledger.sources.put(SOURCE, now=ADDED)
    mill = Mill(ledger)
    with reading(engine) as conn:
        listings = {row.kind: row.id for row in conn.execute(select(schema.ledger).where(schema.ledger.c.kind != "page"))}
    numbers = {"feed": range(40), "homepage": range(10, 45)}
    for kind, prefix in (("feed", "clicked"), ("homepage", "article")):
        mill.ledger.links.add([Link(f"{SITE}/{prefix}/{n}", source="paper") for n in numbers[kind]], now=NOON, listing_id=listings[kind])
        claims = mill.claim(mill.save([row for row in mill.lease() if row.kind is Kind.PAGE]))
        assert len(claims) == len(numbers[kind])
        canonical = {claim.id: f"{SITE}/article/{claim.url.rpartition('/')[2]}" for claim in claims}
        mill.store(*(good(claim, document_of(claim.url, canonical[claim.id], published_at=NOON)) for claim in claims))
    assert update_completeness(engine, NOON) == 1
    (week,) = read(engine)
    assert (week.articles, week.unknown) == (45, None)
    assert week.at_most is not None and week.at_most < 0.2


def test_rows_are_computed_again_each_hour_and_two_days_beyond_the_week(ledger: Ledger, engine: Engine) -> None:
    ledger.sources.put(SOURCE, now=ADDED)
    ledger.sources.put(replace(SOURCE, name="new"), now=NOON)
    assert update_completeness(engine, NOON) == 2
    assert update_completeness(engine, after(minutes=59)) == 0
    fill(engine, {"feed homepage": 30})
    assert update_completeness(engine, after(minutes=60)) == 2
    assert read(engine)[0] == WeekCompleteness(MONDAY, 30, 0, None, Unknown.ONE_LISTING)
    tuesday = after(days=6)  # of the next week: both weeks of both sources
    assert update_completeness(engine, tuesday) == 4
    assert [week.week for week in read(engine, tuesday)] == [MONDAY + timedelta(days=7), MONDAY]
    assert update_completeness(engine, tuesday + timedelta(days=2)) == 2
    with writing(engine) as conn:
        conn.execute(update(completeness).values(computed_at=after(days=60)))  # by a clock that was ahead
    assert update_completeness(engine, tuesday + timedelta(days=2)) == 2
    assert read(engine, after(days=120)) == ()


def test_status_says_it_in_words() -> None:
    week = WeekCompleteness(MONDAY, 401, 2, 0.0123, None)
    assert describe_missed(week) == "at most 1.2 %"
    for reason in Unknown:
        assert describe_missed(replace(week, at_most=None, unknown=reason)).startswith("unknown: ")
