"""What recognises a removed article: its edited copies, and no other article."""

from __future__ import annotations

import random

from rows import document_of

from newsmill.model import Document
from newsmill.storage.ledger.takedown_evidence import (
    list_marks,
    make_evidence,
    merge_evidence,
    repeats_removed_article,
    shows_removed_article,
)


def article(number: int, *, changed: int = 0, added: bool = False, title: str | None = None) -> Document:
    """One of many articles of 600 words, with some words changed and a paragraph added."""
    source, edits = random.Random(number), random.Random(f"edits {number}")
    words = [f"w{source.randrange(10**6)}" for _ in range(600)]
    for at in edits.sample(range(600), changed):
        words[at] = "changed"
    if added:
        at = edits.randrange(600)
        words[at:at] = [f"new{edits.randrange(10**6)}" for _ in range(60)]
    return document_of(f"https://paper.example/{number}", title=title or f"Edited {number}", text=" ".join(words), site_name="The Paper")


def evidence_of(document: Document) -> dict[str, object] | None:
    return make_evidence([(document.title, document.text)], document.site_name)


def test_an_edited_copy_is_recognised() -> None:
    """A paragraph is added and words are changed; the title is another one."""
    removed = [evidence_of(article(number, title=f"Title {number}")) for number in range(200)]
    for changed, least in ((5, 200), (30, 199), (60, 195)):
        found = [shows_removed_article(article(number, changed=changed, added=True), removed[number]) for number in range(200)]
        assert sum(found) >= least, changed


def test_another_article_is_not() -> None:
    removed, others = [evidence_of(article(number)) for number in range(25)], [article(number) for number in range(1000, 1025)]
    assert not any(shows_removed_article(other, evidence) for other in others for evidence in removed)


def repeats(page: Document, removed: Document) -> bool:
    """Whether the page is found by a mark, and counts as the removed article."""
    one, other = evidence_of(page), evidence_of(removed)
    assert one is not None and other is not None
    return not set(list_marks(one)).isdisjoint(list_marks(other)) and repeats_removed_article(one, other)


def test_a_copy_at_another_url_is_recognised() -> None:
    """Three quarters of the text under the same title, or nine tenths under another one."""
    for changed, added, title, least in ((0, True, None, 100), (12, True, None, 98), (1, False, "New", 100), (2, True, "New", 94)):
        found = [repeats(article(number, changed=changed, added=added, title=title), article(number)) for number in range(100)]
        assert sum(found) >= least, (changed, added, title)


def test_an_article_of_a_series_is_not() -> None:
    """The reports for each Monday have one title, and share a beginning and an end of a quarter of their length."""
    frame = article(0).text.split()[:120]

    def report(number: int, title: str) -> Document:
        return document_of(
            "https://paper.example/x", title=title, text=" ".join([*frame[:60], *article(number).text.split()[:360], *frame[60:]])
        )

    reports = [report(number, "Weather for Monday") for number in range(1, 25)]
    found = [repeats(one, other) for one in reports for other in reports if one is not other]
    assert sum(found) <= len(found) // 50
    others = [report(number, f"Weather for day {number}") for number in range(1, 25)]
    assert not any(repeats(one, other) for one in others for other in others if one is not other)


def test_titles_and_short_texts() -> None:
    removed = evidence_of(article(1, title="The Ferry Sank"))
    assert shows_removed_article(article(2, title="the ferry sank!"), removed)
    assert not shows_removed_article(article(2, title="The Paper"), evidence_of(article(1, title="The Paper"))), "the name of the site"
    short = document_of("https://paper.example/short", title="Other", text="Too short to compare.")
    assert (evidence_of(short), shows_removed_article(article(3), None), shows_removed_article(short, removed)) == (None, True, False)


def test_it_does_not_hold_the_text() -> None:
    document = article(1)
    evidence = make_evidence([(document.title, document.text), ("Earlier", article(2).text), ("Flash", "Short.")], None)
    assert evidence is not None and (len(evidence["titles"]), len(evidence["texts"])) == (3, 2)
    assert not any(word in repr(evidence) for word in (*document.text.split(), "Edited", "Earlier"))
    merged = merge_evidence(evidence, evidence_of(article(3)))
    assert merged is not None and all(shows_removed_article(article(number), merged) for number in (1, 2, 3))
    assert merge_evidence(evidence, None) is None
