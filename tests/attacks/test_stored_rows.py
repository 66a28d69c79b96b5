"""The same promises on the rows of the store: what only a store of an older version has, and hosts of one registered domain."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from rows import NOON, Mill, document_of, ended, good
from sqlalchemy import Engine, update

from newsmill.model import ClaimedPage, Document, Hint, Kind, LeasedUrl, Link, Outcome, OutcomeRecord, Source, State
from newsmill.storage.database import writing
from newsmill.storage.documents import Documents
from newsmill.storage.ledger import Postponed
from newsmill.storage.ledger.links import insert_hosts
from newsmill.storage.revisions import Revisions
from newsmill.storage.schema import documents, ledger
from newsmill.storage.url_parameters import MIN_COPIES

HONEST, HOSTILE = "https://news.example", "https://hostile.example"
TOWN, BLOG = "https://news.town.example", "https://blog-of-x.town.example"
TOPICS = ("bridge", "budget", "storm", "harbour", "river", "market", "school")
WORDS = {name: " ".join(f"{name} {number}." for number in range(90)) for name in (*TOPICS, "lie")}


def article(url: str, topic: str, canonical: str | None = None, **fields: object) -> Document:
    values = {"title": f"The {topic}", "text": WORDS[topic], "archive_ref": None, "content": topic, "source": None, **fields}
    return document_of(url, canonical, **values)  # type: ignore[arg-type]


def host_of(url: str) -> str:
    return url.split("/")[2]


def add_sources(mill: Mill) -> None:
    for name, site in (("honest", HONEST), ("hostile", HOSTILE)):
        mill.ledger.sources.put(Source(name, homepage=f"{site}/", discover=False), now=NOON)


def store(mill: Mill, link: Link, document: Document) -> Outcome | State:
    """Fetch a link and store what was read."""
    mill.ledger.links.add([link], now=mill.now)
    mill.lease(host_of(link.url))
    for claim in mill.claim(mill.save()):
        mill.store(good(claim, document))
    return outcome(mill, link.url)


def outcome(mill: Mill, url: str) -> Outcome | State:
    trace = mill.ledger.traces.get(url)
    assert trace is not None, url
    return trace.outcome or trace.state


def by_feed(url: str, site: str, source: str, hint: Hint | None = None) -> Link:
    return Link(url, source=source, found_by="feed", found_on=f"{site}/feed", hint=hint or Hint())


def make_owned_by_other_site(engine: Engine, mill: Mill) -> tuple[str, str]:
    """A document of the honest site with a row of the hostile one, as older versions stored it. (Its URL, the URL of the row.)"""
    story, trap = f"{HONEST}/story-1", f"{HOSTILE}/r1"
    assert store(mill, by_feed(story, HONEST, "honest"), article(story, "bridge", story)) is Outcome.STORED
    with writing(engine) as conn:
        insert_hosts(conn, [host_of(trap)])
        conn.execute(update(documents).values(requested_url=trap))
        conn.execute(update(ledger).where(ledger.c.url == story).values(url=trap, url_key="f" * 32, host=host_of(trap), source="hostile"))
    return story, trap


def test_a_row_of_another_site_does_not_keep_its_document(engine: Engine, mill: Mill, documents: Documents) -> None:
    """A revisit neither replaces nor removes it, and the row of its own URL takes over."""
    add_sources(mill)
    story, trap = make_owned_by_other_site(engine, mill)
    for page in (article(story, "lie", story, title="The bridge"), article(trap, "lie", title="The bridge")):
        (claim,) = revisit(mill, HOSTILE)
        mill.store(good(claim, page))
    revisit(mill, HOSTILE, fetched=False)
    mill.ledger.url_endings.end([ended(row, Outcome.GONE, "HTTP 410") for row in mill.leased_rows], now=mill.now)
    found = documents.get(story)
    assert found is not None and (found.content_hash, found.revision, found.gone_at) == ("bridge", 1, None)
    assert store(mill, by_feed(story, HONEST, "honest"), article(story, "bridge", story)) is Outcome.STORED
    found = documents.get(story)
    assert found is not None and (found.requested_url, found.source, found.revision) == (story, "honest", 1)
    assert mill.ledger.traces.get(f"{HONEST}/story-1") is not None and documents.count() == 1


def revisit(mill: Mill, site: str, *, fetched: bool = True) -> list[ClaimedPage]:
    """Fetch the stored articles of a site again."""
    mill.now += timedelta(days=2)
    assert mill.ledger.due_revisits.make_due(now=mill.now) >= 1
    mill.lease(host_of(site))
    return mill.claim(mill.save()) if fetched else []


@pytest.mark.parametrize("canonical", [f"{HONEST}/story-1", None])
def test_a_page_of_another_site_is_no_document(mill: Mill, documents: Documents, canonical: str | None) -> None:
    """A browser may be led to another site, and a program may submit what it likes."""
    add_sources(mill)
    trap = by_feed(f"{HOSTILE}/r1", HOSTILE, "hostile")
    assert store(mill, trap, article(f"{HONEST}/story-1", "bridge", canonical)) is Outcome.OFF_SITE
    assert documents.count() == 0


@pytest.mark.parametrize("text", ["lie", "bridge"])
def test_another_host_leaves_no_revision_and_no_date(engine: Engine, mill: Mill, documents: Documents, text: str) -> None:
    """A blog of one registered domain names the paper's URL as its canonical one before the paper's page is read."""
    story, blog = f"{TOWN}/story", f"{BLOG}/forged"
    title = "The bridge"
    early = article(blog, text, story, title=title, first_seen_at=NOON - timedelta(days=9))
    assert store(mill, Link(blog, source="blog"), early) is Outcome.STORED
    later = article(blog, text, story, title=title, text=f"{WORDS[text]} More.", content="more", first_seen_at=NOON - timedelta(days=9))
    mill.ledger.retries.retry(urls=[blog], refetch=True, now=mill.now)
    mill.lease(host_of(blog))
    mill.store(*(good(claim, later) for claim in mill.claim(mill.save())))
    assert store(mill, Link(story, source="paper"), article(story, "bridge", story, first_seen_at=NOON)) is Outcome.STORED
    found = documents.get(story)
    assert found is not None and (found.content_hash, found.revision, found.first_seen_at) == ("bridge", 1, NOON)
    history = Revisions(engine).list(found.id)
    assert history is not None and [one.revision for one in history] == [1]


def test_the_own_mobile_page_keeps_the_history(engine: Engine, mill: Mill, documents: Documents) -> None:
    plain, mobile = "https://www.paper.example/story", "https://m.paper.example/story"
    early = article(mobile, "bridge", plain, first_seen_at=NOON - timedelta(days=1))
    assert store(mill, Link(mobile, source="paper"), early) is Outcome.STORED
    assert store(mill, Link(plain, source="paper"), article(plain, "bridge", plain, first_seen_at=NOON)) is Outcome.STORED
    found = documents.get(plain)
    assert found is not None and found.first_seen_at == NOON - timedelta(days=1)


@pytest.mark.parametrize("first", ["hostile", "honest"])
def test_the_url_that_the_site_links_to_has_the_document(mill: Mill, documents: Documents, first: str) -> None:
    """A hostile feed names the article with a parameter of its own, and the page names no canonical URL."""
    add_sources(mill)
    story = f"{HONEST}/story-1"
    links = [by_feed(f"{story}?x=1", HOSTILE, "hostile"), by_feed(story, HONEST, "honest")]
    for link in sorted(links, key=lambda link: link.source != first):
        store(mill, link, article(link.url, "bridge"))
    found = documents.get(story)
    assert found is not None and (found.url, found.source, found.revision) == (story, "honest", 1)
    assert documents.count() == 1 and outcome(mill, f"{story}?x=1") is Outcome.DUPLICATE


# ---- parameters


def add_copies(mill: Mill, found_on: str, source: str, topics: tuple[str, ...] = TOPICS[:1], count: int = 120) -> None:
    """Links to pages of the honest site that answer one of its articles, whatever their number is."""
    for number in range(count):
        url, topic = f"{HONEST}/article.php?id={1 + number % len(topics)}.{number}", topics[number % len(topics)]
        link = Link(url, source=source, found_by="feed", found_on=found_on)
        assert store(mill, link, article(url, topic)) is Outcome.DUPLICATE


def store_articles(mill: Mill, name: str = "id", count: int = MIN_COPIES) -> None:
    for number in range(count):
        url = f"{HONEST}/article.php?{name}={number + 1}"
        assert store(mill, by_feed(url, HONEST, "honest"), article(url, TOPICS[number])) is Outcome.STORED


def test_links_of_another_site_do_not_teach_parameters(mill: Mill) -> None:
    add_sources(mill)
    store_articles(mill, count=1)
    add_copies(mill, f"{HOSTILE}/feed", "hostile")
    new = [by_feed(f"{HONEST}/article.php?id={number}", HONEST, "honest") for number in range(50, 70)]
    assert mill.ledger.links.add(new, now=NOON).new == 20


def test_many_copies_of_one_article_do_not_teach_parameters(mill: Mill) -> None:
    add_sources(mill)
    store_articles(mill, count=1)
    add_copies(mill, f"{HONEST}/feed", "honest", count=20)
    new = [by_feed(f"{HONEST}/article.php?id={number}", HONEST, "honest") for number in range(50, 70)]
    assert mill.ledger.links.add(new, now=NOON).new == 20


def learn(mill: Mill, name: str = "from") -> None:
    """The site's own listings show copies of several articles, which differ in one parameter."""
    for number in range(MIN_COPIES):
        url = f"{HONEST}/{TOPICS[number]}.php"
        assert store(mill, by_feed(url, HONEST, "honest"), article(url, TOPICS[number])) is Outcome.STORED
        copy = f"{url}?{name}=app{number}"
        assert store(mill, by_feed(copy, HONEST, "honest"), article(copy, TOPICS[number])) is Outcome.DUPLICATE
    assert mill.ledger.links.add([by_feed(f"{HONEST}/{TOPICS[0]}.php?{name}=mail", HONEST, "honest")], now=NOON).new == 0


def test_a_parameter_that_a_canonical_url_names_is_kept(mill: Mill) -> None:
    add_sources(mill)
    learn(mill)
    url = f"{HONEST}/river.php"
    assert store(mill, by_feed(url, HONEST, "honest"), article(url, "river", f"{url}?from=archive")) is Outcome.STORED
    assert mill.ledger.links.add([by_feed(f"{HONEST}/{TOPICS[0]}.php?from=web", HONEST, "honest")], now=NOON).new == 1


@pytest.mark.parametrize("plain", [None, "lie"])
def test_a_parameter_that_turns_out_to_select_articles_is_kept(mill: Mill, plain: str | None) -> None:
    """The page without it is gone, or another article; one link of a listing shows that, and the next read finds the others."""
    add_sources(mill)
    learn(mill)
    links = [by_feed(f"{HONEST}/story.php?from={number}", HONEST, "honest") for number in range(5)]
    seen: set[str] = set()
    for _ in range(4):
        mill.ledger.links.add(links, now=mill.now)
        for row in mill.lease(host_of(HONEST)):
            seen.add(row.url)
            number = row.url.rpartition("=")[2]
            if number.isdigit():
                topic = TOPICS[2 + int(number)]
            elif plain is not None:
                topic = plain
            else:
                mill.ledger.url_endings.end([ended(row, Outcome.GONE, "HTTP 404")], now=mill.now)
                continue
            (claim,) = mill.claim(mill.save([row]))
            mill.store(good(claim, article(row.url, topic)))
    assert seen == {f"{HONEST}/story.php", *(link.url for link in links)}


# ---- listings


@pytest.mark.parametrize("kind", [Kind.FEED, Kind.SITEMAP, Kind.SECTION])
@pytest.mark.parametrize("is_ended", [True, False])
def test_a_listing_that_another_feed_names_as_an_article_is_read(mill: Mill, kind: Kind, is_ended: bool) -> None:
    add_sources(mill)
    url = f"{HONEST}/list"
    mill.ledger.links.add([by_feed(url, HOSTILE, "hostile")], now=NOON)
    if is_ended:
        mill.ledger.url_endings.end([ended(row, Outcome.NOT_HTML) for row in mill.lease(host_of(url))], now=NOON)
    mill.ledger.links.add([Link(url, kind, "honest", found_by="homepage", found_on=f"{HONEST}/")], now=NOON)
    (row,) = (row for row in mill.lease(host_of(url)) if row.url == url)
    assert (row.kind, row.source) == (kind, "honest")
    mill.ledger.url_endings.end([ended(row, Outcome.LISTED)], now=NOON)
    mill.ledger.links.add([by_feed(url, HOSTILE, "hostile")], now=NOON)
    assert outcome(mill, url) is Outcome.LISTED
    counts = mill.ledger.progress.count()
    assert counts.pages == 0 and counts.outcomes.get(Outcome.NOT_HTML, 0) == 0


def test_another_homepage_does_not_make_an_article_a_listing(mill: Mill) -> None:
    add_sources(mill)
    url = f"{HONEST}/story-1"
    named = Link(url, Kind.FEED, "hostile", found_by="homepage", found_on=f"{HOSTILE}/")
    mill.ledger.links.add([named], now=NOON)
    mill.ledger.links.add([by_feed(url, HONEST, "honest", Hint(title="The bridge"))], now=NOON)
    mill.ledger.links.add([named], now=NOON)
    (row,) = (row for row in mill.lease(host_of(url)) if row.url == url)
    assert (row.kind, row.source, row.hint.title) == (Kind.PAGE, "honest", "The bridge")


def test_an_article_that_ended_under_another_source_is_tried_when_its_site_announces_it(mill: Mill) -> None:
    """A hostile feed may name an article before it is published, and the patterns of its source may leave it out."""
    add_sources(mill)
    url = f"{HONEST}/story-1"
    for ending in (Outcome.GONE, Outcome.DENIED):
        mill.ledger.links.add([by_feed(f"{url}-{ending}", HOSTILE, "hostile")], now=NOON)
        mill.ledger.url_endings.end([ended(row, ending) for row in mill.lease(host_of(url))], now=NOON)
        mill.ledger.links.add([by_feed(f"{url}-{ending}", HONEST, "honest")], now=NOON)
        (row,) = mill.lease(host_of(url))
        assert row.source == "honest"
        mill.ledger.url_endings.end([ended(row, Outcome.GONE)], now=NOON)
    assert mill.ledger.progress.count("hostile").pages == 0 and mill.ledger.progress.count("honest").outcomes == {Outcome.GONE: 2}


# ---- spellings of URLs that have one key, of which the server answers one

SPELLINGS = {
    "slash": (f"{HONEST}/story-1", f"{HONEST}/story-1/"),
    "scheme": (f"http://{host_of(HONEST)}/story-1", f"{HONEST}/story-1"),
    "slashes": (f"{HONEST}/12/story-1", f"{HONEST}//12/story-1"),
    "order": (f"{HONEST}/story.php?b=2&a=1", f"{HONEST}/story.php?a=1&b=2"),
    "www": (f"{HONEST}/story-1", f"https://www.{host_of(HONEST)}/story-1"),
    "same": (f"{HONEST}/story-1", f"{HONEST}/story-1"),
}


HTTP_503 = OutcomeRecord(Outcome.HTTP_ERROR, "HTTP 503")


def list_link(url: str, kind: Kind, site: str, source: str) -> Link:
    return Link(url, kind, source, found_by="feed" if kind is Kind.PAGE else "homepage", found_on=f"{site}/")


def postpone(mill: Mill, rows: list[LeasedUrl]) -> datetime:
    later = mill.now + timedelta(hours=9)
    assert mill.ledger.url_endings.postpone([Postponed(row.id, row.fence, later, failure=HTTP_503) for row in rows], now=mill.now) == 1
    return later


def fail(mill: Mill, state: str, host: str) -> list[LeasedUrl]:
    """What the fetch of the one due row leaves: an outcome, a wait, a lease, or an archived page. Returns the rows that are leased."""
    leased = mill.lease(host) if state != "new" else []
    if state == "ended":
        mill.ledger.url_endings.end([ended(row, Outcome.GONE, "HTTP 404") for row in leased], now=mill.now)
    elif state == "waiting":
        postpone(mill, leased)
    elif state == "fetched":
        mill.save()
    return leased if state == "leased" else []


@pytest.mark.parametrize("kind", [Kind.PAGE, Kind.FEED])
def test_another_site_does_not_spell_a_url(mill: Mill, kind: Kind) -> None:
    """The first announcement of the site itself starts the row again at its own spelling, and later ones do not."""
    add_sources(mill)
    states = ("new", "ended", "waiting", "leased", "fetched")
    cases = [(name, state) for name in SPELLINGS for state in states if (name, state) != ("same", "fetched")]
    for name, state in cases:
        url, trap = (f"{one}{'&' if '?' in one else '?'}n={name}-{state}" for one in SPELLINGS[name])
        by_honest, by_hostile = list_link(url, kind, HONEST, "honest"), list_link(trap, kind, HOSTILE, "hostile")
        mill.ledger.links.add([by_hostile], now=mill.now)
        leased = fail(mill, state, host_of(trap))
        mill.ledger.links.add([by_honest], now=mill.now)
        assert mill.ledger.url_endings.end([ended(row, Outcome.GONE) for row in leased], now=mill.now) == 0, "the lease has ended"
        rows = mill.lease(host_of(url))
        assert [(row.url, row.source, row.kind, row.attempts) for row in rows] == [(url, "honest", kind, 0)], (name, state)
        later = postpone(mill, rows)
        for link in (by_honest, by_hostile, list_link(trap, kind, HONEST, "honest"), by_honest):
            mill.ledger.links.add([link], now=mill.now)
        trace = mill.ledger.traces.get(url)
        assert trace is not None and (trace.url, trace.state, trace.next_at) == (url, State.DUE, later), "the site's own wait holds"
    assert mill.ledger.progress.count("hostile").pages == 0


def test_who_knows_better_spells_a_url_once(mill: Mill) -> None:
    """A feed on another host, named in the plan of the source; then the site itself, or a person."""
    mill.ledger.sources.put(Source("honest", homepage=f"{HONEST}/", feeds=(f"{HOSTILE}/feed",), discover=False), now=NOON)
    for name, better in (
        ("a", by_feed(f"{HONEST}/a", HONEST, "honest")),
        ("b", Link(f"{HONEST}/b")),
        ("c", Link(f"{HONEST}/c", found_by="api")),
    ):
        worse = by_feed(f"{HONEST}/{name}/", HOSTILE, "honest")
        mill.ledger.links.add([worse], now=NOON)
        mill.ledger.url_endings.end(
            [ended(row, Outcome.GONE, "HTTP 410") for row in mill.lease(host_of(HONEST)) if row.url == worse.url], now=NOON
        )
        for link in (worse, better, worse, by_feed(worse.url, HONEST, "honest")):
            mill.ledger.links.add([link], now=NOON)
        (row,) = mill.lease(host_of(HONEST))
        assert (row.url, row.source) == (better.url, "honest")
        mill.ledger.url_endings.end([ended(row, Outcome.GONE, "HTTP 410")], now=NOON)
        mill.ledger.links.add([worse, better, by_feed(worse.url, HONEST, "honest")], now=NOON)
        assert mill.lease(host_of(HONEST)) == []


def test_a_site_that_spells_a_url_in_two_ways(mill: Mill) -> None:
    """The next try, which a listing causes in any case, is at the spelling of that listing."""
    add_sources(mill)
    one, other = (by_feed(url, HONEST, "honest") for url in (f"{HONEST}/story-1/", f"{HONEST}/story-1"))
    mill.ledger.links.add([one], now=mill.now)
    rows = mill.lease(host_of(HONEST))
    seen = []
    listing = add_listing(mill)
    for _ in range(4):
        mill.ledger.url_endings.end([ended(row, Outcome.HTTP_ERROR, "HTTP 503") for row in rows], now=mill.now)
        mill.ledger.links.add([one, other], now=mill.now, listing_id=listing)
        assert mill.lease(host_of(HONEST)) == []
        mill.now += timedelta(days=2)
        mill.ledger.links.add([other], now=mill.now, listing_id=listing)
        rows = mill.lease(host_of(HONEST))
        seen += [row.url for row in rows]
        one, other = other, one
    assert seen == [f"{HONEST}/story-1", f"{HONEST}/story-1/"] * 2


def add_listing(mill: Mill) -> int:
    mill.ledger.links.add([Link(f"{HONEST}/feed", Kind.FEED, "honest", found_by="homepage", found_on=f"{HONEST}/")], now=mill.now)
    (row,) = mill.lease(host_of(HONEST))
    mill.ledger.url_endings.end([ended(row, Outcome.LISTED)], now=mill.now)
    return row.id


def test_another_homepage_does_not_make_an_ended_article_a_listing(mill: Mill) -> None:
    add_sources(mill)
    url = f"{HONEST}/story-1"
    mill.ledger.links.add([by_feed(url, HONEST, "honest")], now=NOON)
    mill.ledger.url_endings.end([ended(row, Outcome.GONE) for row in mill.lease(host_of(url))], now=NOON)
    mill.ledger.links.add([list_link(url, Kind.FEED, HOSTILE, "hostile")], now=NOON)
    trace = mill.ledger.traces.get(url)
    assert trace is not None and (trace.kind, trace.source, trace.state) == (Kind.PAGE, "honest", State.DROPPED)
