"""Which of a page's dates stands beside its headline."""

from __future__ import annotations

import pytest

from newsmill.extraction.body.blocks import segment
from newsmill.extraction.html import parse_html
from newsmill.extraction.metadata.headline_dates import HeadlineDate, find_headline_date

TITLE = "The ferry keeps running"
PROSE = "<p>The council decided on 1 January 2020 that the ferry keeps running in winter, after a long debate about its cost and use.</p>"


@pytest.mark.parametrize(
    ("body", "days"),
    [
        ("<h1>{t}</h1><p>By Jane Doe, 3 March 2026</p>{p}", ("2026-03-03",)),
        ("<p>3 March 2026</p><h1>{t}</h1>{p}", ("2026-03-03",)),
        ("<h1>{t}</h1><p>A subtitle</p><div>Share</div><div>Print</div><div><span>March 3, 2026</span></div>{p}", ("2026-03-03",)),
        # the nearest; in one line the earlier of two, for the other is the last change
        ("<p>1 March 2026</p><p>Politics</p><h1>{t}</h1><p>3 March 2026</p>{p}", ("2026-03-03",)),
        ("<h1>{t}</h1><p>5 March 2026 3 March 2026</p>{p}", ("2026-03-03",)),
        ("<h1>{t}</h1><p>Updated 5 March 2026</p><p>3 March 2026</p>{p}", ("2026-03-03",)),
        # a dateline of a paragraph, and a sentence that tells a day
        ("<h1>{t}</h1><p>Port Bay, 3 March 2026 – " + "The council decided so. " * 9 + "</p>", ("2026-03-03",)),
        ("<h1>{t}</h1>{p}", None),
        # the whole page may stand in a form; captions, menus, quotations and teasers do not tell its day
        ("<form><p>3 March 2026</p><h1>{t}</h1>{p}</form>", ("2026-03-03",)),
        ("<h1>{t}</h1><figure><figcaption>Foto of 3 March 2026</figcaption></figure>{p}", None),
        ("<h1>{t}</h1><div class='image-caption'>3 March 2026</div>{p}", None),
        ("<nav>3 March 2026</nav><h1>{t}</h1>{p}", None),
        ("<div class='current-date'>3 March 2026</div><h1>{t}</h1>{p}", None),
        ("<h1>{t}</h1><aside>3 March 2026</aside>{p}", None),
        ("<h1>{t}</h1>" + "<p>More of it.</p>" * 9 + "<p>3 March 2026</p>", None),
        # the logo is not a headline; the title in another heading is
        ("<h1>Port News</h1><p>1 March 2026</p>" + "<p>x</p>" * 9 + "<h2>{t}</h2><p>3 March 2026</p>", ("2026-03-03",)),
        ("<h1>Port News</h1><p>3 March 2026</p>{p}", None),
        ("<h1>{t}</h1><p>04/03/2026</p>{p}", ("2026-03-04", "2026-04-03")),
    ],
)
def test_the_date_beside_the_headline(body: str, days: tuple[str, ...] | None) -> None:
    tree = parse_html(f"<html><body>{body.replace('{t}', TITLE).replace('{p}', PROSE)}</body></html>").tree
    assert tree is not None
    found = find_headline_date(segment(tree), TITLE, "en")
    assert found == (None if days is None else HeadlineDate(days, updated=False))


@pytest.mark.parametrize(
    ("line", "language"),
    [
        ("Last updated: 3 March 2026", "en"),
        ("Aktualisiert am 03.03.2026, 14:07", "de"),
        ("Mis à jour le 3 mars 2026", "fr"),
        ("Обновлено: 3 марта 2026", "ru"),
        ("更新时间：2026年3月3日", "zh"),
    ],
)
def test_a_last_change_is_called_one(line: str, language: str) -> None:
    tree = parse_html(f"<html><body><h1>{TITLE}</h1><p>{line}</p></body></html>").tree
    assert tree is not None
    assert find_headline_date(segment(tree), TITLE, language) == HeadlineDate(("2026-03-03",), updated=True)


def test_no_title_no_date() -> None:
    tree = parse_html("<html><body><p>3 March 2026</p></body></html>").tree
    assert tree is not None
    assert find_headline_date(segment(tree), None, "en") is None
    assert find_headline_date(segment(tree), TITLE, "en") is None
