"""A takedown holds under every URL of the article, and touches no other article, whatever URLs pages name; on both databases."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from rows import NOON, SITE, SOURCE
from sqlalchemy import Engine, select, update
from takedown_store import REASON, Store, check_counters, erase_archived_pages, make_link, make_store, take_down

from newsmill.exceptions import ConfigError
from newsmill.model import Outcome
from newsmill.storage import doctor
from newsmill.storage.database import reading, writing
from newsmill.storage.ledger.barred_urls import make_text_key
from newsmill.storage.ledger.ended_rows import requeue_for_extraction
from newsmill.storage.schema import documents, ledger, takedowns
from newsmill.text import urls

LIST = f"{SITE}/news/all"


@pytest.fixture
def store(engine: Engine, tmp_path: Path) -> Store:
    return make_store(engine, tmp_path)


def write_text(number: int, words: int = 200) -> str:
    """A text of its own for each number."""
    return " ".join(f"w{random.Random(f'{number} {at}').randrange(10**6)}" for at in range(words))


def edit(text: str) -> str:
    """A paragraph is added, and a few words are changed."""
    words = text.split()
    for at in range(10, len(words), 40):
        words[at] = "changed"
    return " ".join(words) + "\n" + write_text(-1, 40)


def check(store: Store, engine: Engine) -> None:
    check_counters(engine)
    assert doctor.Doctor(engine, store.app.ledger, store.app.archive).examine(now=store.app.now(), deep=True) == []


@pytest.mark.parametrize(
    "spelling",
    ["/story?print=1", "/amp/story", "/story/amp", "/story?utm=x&from=mail", "/story?from=mail", "/story/print", "/index/../story/"],
)
def test_a_spelling_of_a_removed_url_is_refused_without_a_canonical_url(store: Store, engine: Engine, spelling: str) -> None:
    assert store.show(f"{SITE}/story", "Title", write_text(1)) is Outcome.STORED
    take_down(store.app, [f"{SITE}/story"], REASON)
    assert store.show(f"{SITE}{spelling}", "Title", edit(write_text(1))) is Outcome.TAKEDOWN
    assert store.app.documents.count() == 0
    erase_archived_pages(store.app)
    assert b"paper.example/" not in store.read_archive()
    check(store, engine)


def test_the_title_and_text_of_a_removed_article_do_not_come_back_at_another_url(store: Store, engine: Engine) -> None:
    """The reason for the key of the text: a feed named 120 URLs of one article, and those read after the takedown were stored."""
    assert store.show(f"{SITE}/story.php?id=1", "Title", write_text(1)) is Outcome.STORED
    assert make_text_key(f"{SITE}/a", "hash") == make_text_key(f"{SITE}/b", "hash") != make_text_key("https://other.example/a", "hash")
    assert store.show(f"{SITE}/notice", "Short", "Nothing here.") is Outcome.STORED
    take_down(store.app, [f"{SITE}/story.php?id=1", f"{SITE}/notice"], REASON)
    assert store.show(f"{SITE}/story.php?id=1.102", "Title", write_text(1)) is Outcome.TAKEDOWN
    assert store.show(f"{SITE}/story.php?id=2", "Title", write_text(2)) is Outcome.STORED
    assert store.show(f"{SITE}/another-notice", "Short", "Nothing here.") is Outcome.STORED
    assert f"{SITE}/story.php?id=1.102" in {one.url for one in store.app.takedowns.list()}
    keys = {urls.make_key(one.url) for one in store.app.takedowns.list()}
    assert store.app.takedowns.remove(keys, store.app.archive, now=NOON) == len(keys)
    assert store.show(f"{SITE}/story.php?id=1.103", "Title", write_text(1)) is not Outcome.TAKEDOWN
    check(store, engine)


COPIES = {
    "another path": ("/elsewhere", "Title", write_text(1) + " More."),
    "a corrected copy in another section": ("/news/story", "Title", write_text(1) + "\nCorrection: an earlier version named another day."),
    "another title": ("/second", "New title", write_text(1)),
    "upper case, and most of the text is new": ("/2026/The-Story", "New title", write_text(1, 100) + write_text(7, 100)),
    "another extension, and most of the text is new": ("/2026/the-story.html", "New title", write_text(1, 100) + write_text(7, 100)),
    "the title of an earlier revision": ("/third", "Flash", write_text(8) + " More."),
}
OTHERS = {
    "another article of the series": ("/monday", "Title", write_text(2)),
    "upper case": ("/2026/THE-STORY", "Other", write_text(3)),
    "a short notice": ("/notice", "Title", "Nothing here."),
    "the beginning of the removed article": ("/comment", "A comment", write_text(1, 60) + write_text(4, 200)),
}


def test_an_edited_copy_of_a_removed_article_does_not_come_back_at_another_url(store: Store, engine: Engine) -> None:
    url = f"{SITE}/2026/the-story"
    assert store.show(url, "Flash", write_text(8)) is Outcome.STORED
    assert store.show(url, "Title", write_text(1)) is not None
    take_down(store.app, [url], REASON)
    for case, (path, title, text) in OTHERS.items():
        assert store.show(f"{SITE}{path}", title, text) is Outcome.STORED, case
    for case, (path, title, text) in COPIES.items():
        assert store.show(f"{SITE}{path}", title, text) is Outcome.TAKEDOWN, case
    assert store.app.documents.count() == len(OTHERS)
    check(store, engine)


def test_another_article_behind_a_parameter_of_a_removed_url_is_stored(store: Store, engine: Engine) -> None:
    assert store.show(f"{SITE}/article.php?id=1", "One", write_text(1), f"{SITE}/article.php") is Outcome.STORED
    take_down(store.app, [f"{SITE}/article.php?id=1"], REASON)
    assert store.show(f"{SITE}/article.php?id=2", "Two", write_text(2)) is Outcome.STORED
    assert store.show(f"{SITE}/article.php?id=1&from=mail", "One", write_text(1)) is Outcome.TAKEDOWN
    check(store, engine)


def test_every_url_of_an_article_is_barred_under_its_own_key(store: Store, engine: Engine) -> None:
    """The canonical URL has changed since the article was stored, and the page redirects."""
    first, second = f"{SITE}/old-name", f"{SITE}/new-name"
    store.show(f"{SITE}/short", "Title", write_text(1), first, final=f"{SITE}/final")
    store.show(f"{SITE}/short", "Title", write_text(1), second, final=f"{SITE}/final")
    document = store.app.documents.get(f"{SITE}/short")
    assert document is not None and document.canonical_url == second
    result = take_down(store.app, [document.id], REASON)
    assert set(result.urls) == {f"{SITE}/short", f"{SITE}/final", second}  # that the ID is the key of the first one is all that is known
    for number, url in enumerate((first, second, f"{SITE}/final", f"{SITE}/short")):
        assert store.show(f"{SITE}/other/{number}", "Title", write_text(1), url) is Outcome.TAKEDOWN
        store.app.ledger.links.add([make_link(url)], now=NOON)
        assert store.outcome(url) is Outcome.TAKEDOWN
    check(store, engine)


def show_template_site(store: Store) -> list[str]:
    """Five articles that name the list of all articles as their canonical URL."""
    found = [f"{SITE}/story/{number}" for number in range(5)]
    for number, url in enumerate(found):
        assert store.show(url, f"Title {number}", write_text(number), LIST) is Outcome.STORED
    return found


@pytest.mark.parametrize("removed", [0, 3])
def test_a_canonical_url_of_all_articles_bars_one_of_them(store: Store, engine: Engine, removed: int) -> None:
    found = show_template_site(store)
    (gone,) = take_down(store.app, [found[removed]], REASON).documents
    assert gone.url == found[removed]
    erase_archived_pages(store.app)
    others = [url for url in found if url != gone.url]
    for number, url in enumerate(found):
        expected = Outcome.TAKEDOWN if url == gone.url else Outcome.UNCHANGED
        assert store.show(url, f"Title {number}", write_text(number), LIST) is expected, "fetched again"
    check(store, engine)

    with writing(engine) as conn:
        rows = conn.execute(select(ledger.c.id).where(ledger.c.url.in_(others))).scalars().all()
        assert requeue_for_extraction(conn, rows, NOON) == 4
    for claim in store.claim_pending():
        number = int(claim.url[-1])
        store.store_claims([claim], f"Title {number}", edit(write_text(number)), LIST)
    assert {row.url for row in store.app.documents.iterate()} == set(others), "extracted again, with another text"

    assert store.show(f"{SITE}/story/9", "Title 9", write_text(9), LIST) is Outcome.STORED, "a new article"
    new = store.app.documents.get(f"{SITE}/story/9")
    assert new is not None and (new.canonical_url, new.id == gone.id) == (None, False)
    assert store.show(f"{SITE}/again/9", "Another title", edit(write_text(removed)), LIST) is (
        Outcome.TAKEDOWN if removed == 0 else Outcome.STORED
    ), "only the first article was stored with the canonical URL"
    check(store, engine)


def test_a_canonical_url_that_is_a_listing_does_not_stop_the_takedown(store: Store, engine: Engine) -> None:
    store.app.ledger.sources.put(replace(SOURCE, sections=(LIST,), every=timedelta(days=9)), now=NOON)
    found = show_template_site(store)
    result = take_down(store.app, [found[0]], REASON)
    assert result.urls == (found[0],)
    assert store.outcome(LIST) is not Outcome.TAKEDOWN
    assert store.show(f"{SITE}/story/9", "Title 9", write_text(9), LIST) is Outcome.STORED
    with pytest.raises(ConfigError, match="is a section of source paper"):
        take_down(store.app, [LIST], REASON)
    check(store, engine)


def test_a_listing_may_have_a_barred_url(store: Store) -> None:
    """Nothing of a listing is stored but links, so a barred URL that a source names as its section is read."""
    take_down(store.app, [LIST], REASON)
    store.app.ledger.sources.put(replace(SOURCE, sections=(LIST,)), now=NOON)
    assert store.outcome(LIST) is None


def test_the_canonical_url_of_another_article_stays(store: Store, engine: Engine) -> None:
    """A page names another article of the site as its canonical URL; the other article is not taken down with it."""
    assert store.show(f"{SITE}/b", "B", write_text(2), f"{SITE}/a") is Outcome.STORED
    assert store.show(f"{SITE}/a", "A", write_text(1)) is Outcome.STORED
    store.store_claims(store.claim_pending(), "B", write_text(2), f"{SITE}/a")
    result = take_down(store.app, [f"{SITE}/b"], REASON)
    assert [one.url for one in result.documents] == [f"{SITE}/b"]
    assert store.show(f"{SITE}/a", "A", write_text(1)) is Outcome.UNCHANGED
    assert store.show(f"{SITE}/b", "B", write_text(2), f"{SITE}/a") is Outcome.TAKEDOWN
    check(store, engine)


def test_a_url_that_leads_to_a_removed_article_now_keeps_its_document(store: Store, engine: Engine) -> None:
    store.show(f"{SITE}/a", "A", write_text(1))
    store.show(f"{SITE}/b", "B", write_text(2))
    take_down(store.app, [f"{SITE}/a"], REASON)
    erase_archived_pages(store.app)
    store.show(f"{SITE}/b", "A", write_text(1), final=f"{SITE}/a")
    kept = store.app.documents.get(f"{SITE}/b")
    assert kept is not None and kept.title == "B"
    assert store.app.takedowns.count_to_erase() == 1, "its page in the archive is erased"
    assert erase_archived_pages(store.app).pages == 1


def test_a_copy_that_waits_for_its_extraction_is_refused(store: Store, engine: Engine) -> None:
    """The row of a copy is in no state in which the takedown finds it, and its page names no barred URL."""
    store.show(f"{SITE}/a", "A", write_text(1))
    assert store.show(f"{SITE}/copy-of-a", "A", write_text(1), f"{SITE}/a") is Outcome.DUPLICATE
    claims = store.fetch(make_link(f"{SITE}/copy-of-a"))
    take_down(store.app, [f"{SITE}/a"], REASON)
    store.store_claims(claims, "A", write_text(1), None)
    assert store.outcome(f"{SITE}/copy-of-a") is Outcome.TAKEDOWN


def test_the_evidence_of_two_articles_with_one_canonical_url(store: Store, engine: Engine) -> None:
    """Both stay away, also under new URLs, and a third one is stored. Without a text to compare, every page counts as the article."""
    for number in (1, 2):
        store.show(f"{SITE}/m/{number}", f"Title {number}", write_text(number), LIST)
    with writing(engine) as conn:  # as a revisit leaves it
        conn.execute(update(documents).values(canonical_url=LIST))
    for number in (1, 2):
        take_down(store.app, [f"{SITE}/m/{number}"], REASON)
    for number, expected in ((1, Outcome.TAKEDOWN), (2, Outcome.TAKEDOWN), (3, Outcome.STORED)):
        assert store.show(f"{SITE}/n/{number}", f"Other {number}", edit(write_text(number)), LIST) is expected
    with reading(engine) as conn:
        stored = repr(conn.execute(select(takedowns.c.evidence)).all())
    assert write_text(1).split()[0] not in stored
    short = f"{SITE}/short"
    store.show(f"{SITE}/s", "Title", "Too short.", short)
    take_down(store.app, [f"{SITE}/s"], REASON)
    assert store.show(f"{SITE}/t", "Another title", write_text(5), short) is Outcome.TAKEDOWN
    check(store, engine)
