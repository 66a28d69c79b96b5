"""The fast path on a made site: what it extracts alone, what it leaves to full extraction, and the positions of fields."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Any

import pytest

from newsmill.extraction import pipeline
from newsmill.extraction.html import parse_html, parse_source
from newsmill.extraction.pipeline import read
from newsmill.extraction.site_profile.fast_path import extract_fast_body
from newsmill.extraction.site_profile.field_positions import find_field_position as place_of
from newsmill.extraction.site_profile.html_pruner import HtmlPruner
from newsmill.extraction.site_profile.path_comparison import SAMPLE_ONE_IN, is_same_result, is_sample, measure_f1
from newsmill.extraction.site_profile.profile import learn_profile, make_page_blocks
from newsmill.extraction.site_profile.profile_trust import is_mistrusted, is_proven, keeps_document
from newsmill.model import BlockType, ExtractionPath, ExtractionResult, Outcome, Page, PathStats, Profile

NOW = datetime.fromisoformat("2026-11-25T12:00:00+00:00")
WORDS = ["harbour", "council", "winter", "bridge", "market", "school", "railway", "garden", "museum", "village", "river", "budget"]
LD = '<script type="application/ld+json">{"@type":"NewsArticle","headline":"%s","datePublished":"2026-11-%02dT08:00:00+01:00"%s}</script>'


def sentence(chance: random.Random, words: int = 14) -> str:
    return " ".join(chance.choices(WORDS, k=words)).capitalize() + "."


def html(number: int, *, extra: str = "", data: bool = True, paragraphs: int = 5, author: bool = True, headline: str | None = None) -> str:
    """A page of the Evening Gazette: menu, headline, byline, text, teasers, footer."""
    chance = random.Random(number)
    title, day = f"Story {number}: {sentence(chance, 6)[:-1]}", 1 + number % 24
    names = f',"author":{{"@type":"Person","name":"Jane Doe {chr(65 + number % 26)}ström"}}' if author else ""
    text = "".join(f"<p>{' '.join(sentence(chance) for _ in range(4))}</p>" for _ in range(paragraphs))
    teasers = "".join(f"<li class=teaser><h3><a href=/n/{n}>{sentence(chance, 8)}</a></h3><p>{sentence(chance)}</p></li>" for n in range(6))
    byline = (
        f"<div class=byline><span class=name>By Jane Doe {chr(65 + number % 26)}ström</span></div><p class=when>{day} November 2026</p>"
    )
    return (
        f"<html lang=en><head><title>{headline or title}</title>{LD % (headline or title, day, names) if data else ''}</head><body>"
        f"<nav class=menu><ul>{''.join(f'<li><a href=/{w}>{w}</a></li>' for w in WORDS)}</ul></nav><main><article class=story>"
        f"<h1 class=headline>{title}</h1>{byline}<p class=when>{day} November 2026</p><div class=text>{text}</div>{extra}</article>"
        f"<aside class=more><ul>{teasers}</ul></aside></main><footer class=site><p>All rights reserved by the Evening Gazette.</p></footer>"
        "</body></html>"
    )


def page(number: int, body: str | None = None) -> Page:
    url = f"https://gazette.example/{('news', 'sport')[number % 2]}/story-{number}"
    return Page(url, url, NOW, 200, (("Content-Type", "text/html; charset=utf-8"),), (body or html(number)).encode())


def unsampled(start: int) -> int:
    """The first number from `start` on whose page does not go through both paths."""
    return next(number for number in range(start, start + 200) if not is_sample(page(number).url, site()))


@lru_cache(1)
def site() -> Profile:
    return replace(learn_profile([make_page_blocks(page(n).url, read(page(n))) for n in range(24)], "gazette.example"), version=7)


def by_profile(number: int, body: str | None = None, profile: Profile | None = None) -> ExtractionResult:
    return read(page(number, body), profile=profile or site())


def read_both_ways(number: int, body: str | None = None) -> tuple[ExtractionResult, ExtractionResult]:
    """The results of the fast path and of full extraction."""
    fast, long = by_profile(number, body), by_profile(number, body, profile=replace(site(), fast=False))
    assert (fast.extraction_path, long.extraction_path) == (ExtractionPath.FAST, None)
    return fast, long


def test_a_known_page_is_read_by_the_profile_alone_and_says_so() -> None:
    fast, long = read_both_ways(unsampled(100))
    assert fast.document is not None and long.document is not None
    assert fast.document.extractor == "profile 7" and long.document.extractor.startswith("trafilatura")
    assert fast.document.profile_version == 7
    for field in ("text", "title", "authors", "published_at", "language", "provenance"):
        assert getattr(fast.document, field) == getattr(long.document, field), field


def test_a_table_with_text_keeps_its_cells_at_unknown_positions() -> None:
    """A few pages of a site have a table, and the columns of the next one are set in another way."""

    def with_table(number: int, cell: str) -> str:
        chance = random.Random(number)
        heads = "".join(f"<th>{sentence(chance, 2)}</th>" for _ in range(3))
        rows = "".join(f"<tr>{''.join(f'<td class={cell}>{sentence(chance, 2)}</td>' for _ in range(3))}</tr>" for _ in range(2))
        table = f"<table class=data><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
        return html(number).replace("</p></div>", f"</p>{table}</div>", 1)

    pages = [make_page_blocks(page(n).url, read(page(n, with_table(n, "number")))) for n in range(24)]
    profile = replace(learn_profile(pages, "gazette.example"), version=7)
    number = unsampled(100)
    found = by_profile(number, with_table(number, "text-right"), profile)
    assert found.extraction_path is ExtractionPath.FAST and found.document is not None
    (table,) = (block for block in found.document.blocks if block.type is BlockType.TABLE)
    assert [row.count(" | ") for row in table.text.split("\n")] == [2, 2, 2]


def ledger(number: int) -> str:
    """A page with the name of its site in <h1>; the headline is an <h2>, as the subheading is."""
    chance = random.Random(number)
    title, subheading = f"{sentence(chance, 6)[:-1]} {number}", sentence(chance, 4)[:-1]
    text = [f"<p>{' '.join(sentence(chance) for _ in range(4))}</p>" for _ in range(6)]
    return (
        f"<html lang=en><head><title>{title} — The Valley Ledger</title></head><body><header><h1>The Valley Ledger</h1></header>"
        f"<div class=page><div class=post><h2>{title}</h2><p class=meta>{1 + number % 24} November 2026</p>{''.join(text[:3])}"
        f"<h2>{subheading}</h2>{''.join(text[3:])}</div></div><footer>All rights reserved by the Ledger.</footer></body></html>"
    )


def test_a_headline_at_the_position_of_the_subheadings_is_no_text() -> None:
    pages = [make_page_blocks(page(n).url, read(page(n, ledger(n)))) for n in range(24)]
    profile = replace(learn_profile(pages, "gazette.example"), version=7)
    found = by_profile(unsampled(100), ledger(100), profile)
    assert found.extraction_path is ExtractionPath.FAST and found.document is not None
    headings = [block.text for block in found.document.blocks if block.type is BlockType.HEADING]
    assert len(headings) == 1 and f"<h2>{headings[0]}</h2><p>" in ledger(100)
    assert f"<title>{found.document.title} — The Valley Ledger" in ledger(100)


def test_links_are_the_same_either_way() -> None:
    number = unsampled(100)
    body = html(number).replace("<div class=text><p>", '<div class=text><p><a href="/a">A link</a> ')
    fast, long = read_both_ways(number, body)
    assert fast.document is not None and long.document is not None
    markup = [block.markup for block in fast.document.blocks]
    assert markup == [block.markup for block in long.document.blocks]
    assert [link.url for found in markup if found for link in found.links] == ["https://gazette.example/a"]


def test_a_paragraph_that_is_not_displayed_is_no_text_either_way() -> None:
    number = unsampled(100)
    body = html(number).replace("<div class=text>", '<div class=text><p style="display:none">Text for machines only.</p>')
    fast, long = read_both_ways(number, body)
    assert fast.document is not None and long.document is not None
    assert fast.document.text == long.document.text and "machines" not in fast.document.text
    assert {one.reason for result in (fast, long) for one in result.blocks if "machines" in one.text} == {"not displayed"}


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"author": False},  # the byline is searched in the page
        {"data": False},
        {"paragraphs": 0},
        {"extra": "<figure><nav class=menu>x</nav><img src=/a.jpg><figcaption>A harbour. Photo: Jane Doe</figcaption></figure>"},
        {"extra": f"<nav class=menu><p>{sentence(random.Random(5), 60)}</p></nav>"},  # a menu's name where the site has no menu
        {"extra": '<aside class=more><time itemprop=datePublished datetime="2026-11-02">2 November</time></aside>'},
        {"extra": "<div>"},  # not well nested
    ],
)
def test_a_page_is_read_alike_with_its_closed_boxes_parsed_or_not(how: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    pages = [page(number, html(number, **how)) for number in range(300, 312)]
    known = replace(site())  # one of its own: what it learns about its boxes must not reach other tests
    without = [read(one, profile=known, brief=True) for one in pages]
    monkeypatch.setattr(HtmlPruner, "is_worthwhile", False)
    assert without == [read(one, profile=known, brief=True) for one in pages]


def test_known_pages_are_parsed_without_menus_teasers_and_footer(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bytes] = []
    monkeypatch.setattr(pipeline, "parse_source", lambda markup: parsed.append(markup.html) or parse_source(markup))
    assert read(page(number := unsampled(100)), profile=replace(site()), brief=True).extraction_path is ExtractionPath.FAST
    assert len(parsed) == 1 and b"<nav class=menu></nav>" in parsed[0] and b"All rights reserved" not in parsed[0]
    assert b'class="teaser"' not in parsed[0] and html(number).split("<div class=text>")[1][:200].encode() in parsed[0]


def test_menus_are_not_even_entered_and_the_rest_says_why_it_went() -> None:
    tree = parse_html(html(unsampled(100))).tree
    assert tree is not None
    body = extract_fast_body(tree, site())
    assert body is not None
    assert not any("menu" in (block.path or "") or "teaser" in (block.path or "") for block in body.blocks)
    assert {block.reason for block in body.blocks if not block.kept} == {"this position never holds article text on this site"}
    explained = by_profile(unsampled(100))
    assert explained.extraction_path == ExtractionPath.FAST
    assert any("menu" in (block.path or "") for block in explained.blocks), "an explanation names every block"
    assert read(page(unsampled(100)), profile=site(), brief=True).blocks == ()


@pytest.mark.parametrize(
    "changed",
    [
        {"extra": f"<section class=new><p>{'A box that no page of this site had before. ' * 12}</p></section>"},
        {"paragraphs": 1},
        {"paragraphs": 40},
        {"data": False},
    ],
)
def test_a_page_unlike_the_others_goes_the_long_way(changed: dict[str, object]) -> None:
    number = unsampled(200)
    body = html(number, **changed).replace(f"{1 + number % 24} November 2026", "today")  # type: ignore[arg-type]
    reading = by_profile(number, body)
    assert reading.extraction_path == ExtractionPath.UNFIT
    assert reading.document is not None and reading.document.extractor.startswith("trafilatura")


def test_a_subheading_at_a_place_that_no_page_had_before_stays_between_two_paragraphs() -> None:
    number = unsampled(100)
    at = html(number).index("</p><p>", html(number).index("<div class=text>"))
    found = by_profile(number, html(number)[:at] + "</p><h3>What it costs</h3><p>" + html(number)[at + len("</p><p>") :])
    assert found.extraction_path is ExtractionPath.FAST
    assert found.document is not None
    assert "\n\nWhat it costs\n\n" in found.document.text
    linked = by_profile(number, html(number)[:at] + "</p><h3><a href=/n/9>What it costs</a></h3><p>" + html(number)[at + len("</p><p>") :])
    assert linked.document is not None
    assert "What it costs" not in linked.document.text


@pytest.mark.parametrize("is_known", [True, False])
def test_a_table_of_which_a_part_is_known_stays_whole(is_known: bool) -> None:
    number = unsampled(100)
    paragraph = next(path for path in site().paths if path.endswith("/div.text/p"))
    known = {f"{paragraph.removesuffix('p')}table/tr/th": site().paths[paragraph]} if is_known else {}
    table = "<table><tr><th>Year</th><th>Guests</th></tr><tr><td>2024</td><td>310</td></tr></table>"
    found = by_profile(number, html(number).replace("</p><p>", f"</p>{table}<p>", 1), replace(site(), paths={**site().paths, **known}))
    assert found.extraction_path is ExtractionPath.FAST and found.document is not None
    assert ("Year | Guests\n2024 | 310" in found.document.text) is is_known


def test_a_locked_page_is_known_without_the_long_way() -> None:
    """A few lines where the site keeps its text, and the wall's sentence; with another text beside it the long way has to look."""
    number = unsampled(300)
    few = f"<p>{sentence(random.Random(1), 20)}</p><p>This story is for subscribers only.</p>"
    wall = html(number, paragraphs=0).replace("<div class=text>", f"<div class=text>{few}")
    reading = by_profile(number, wall)
    assert (reading.extraction_path, reading.ending.outcome, reading.document) == (ExtractionPath.FAST, Outcome.PAYWALL, None)
    assert reading.ending.outcome == by_profile(number, wall, replace(site(), fast=False)).ending.outcome
    beside = wall.replace("</article>", f"<section class=new><p>{'Now the story as everybody may read it. ' * 60}</p></section></article>")
    assert by_profile(number, beside).extraction_path == ExtractionPath.UNFIT


def test_one_page_in_twenty_goes_both_ways_and_the_long_one_counts_where_they_differ() -> None:
    numbers = range(1000, 3000)
    sampled = [number for number in numbers if is_sample(page(number).url, site())]
    assert len(numbers) / SAMPLE_ONE_IN * 0.7 < len(sampled) < len(numbers) / SAMPLE_ONE_IN * 1.3
    for old in (replace(site(), pages=60), replace(site(), looked_at=60)):  # learned again, with nothing new
        assert 0 < sum(is_sample(page(number).url, old) for number in numbers) < len(sampled)
    right = by_profile(sampled[0])
    assert right.extraction_path == ExtractionPath.AGREED
    assert right.document is not None and right.document.extractor == "profile 7", "like that of all other pages of its site"
    footer = next(path for path in site().paths if "footer" in path)
    wrong = replace(site(), paths={**site().paths, footer: replace(site().paths[footer], kept_words=site().paths[footer].words)})
    body = html(sampled[0]).replace("All rights reserved by the Evening Gazette.", "Wholly other words of a longer kind. " * 8)
    differing = by_profile(sampled[0], body, wrong)
    assert differing.extraction_path == ExtractionPath.DISAGREED
    assert differing.document is not None and differing.document.extractor.startswith("trafilatura")


def test_read_again_a_site_is_sampled_more_seldom_and_nothing_else_changes() -> None:
    sampled = [number for number in range(1000, 3000) if is_sample(page(number).url, site())]
    again = [number for number in sampled if is_sample(page(number).url, site(), again=True)]
    assert 0 < len(again) < len(sampled) / 3
    number = next(number for number in sampled if number not in again)
    first, second = (read(page(number), profile=site(), brief=True, again=seen) for seen in (False, True))
    assert (first.extraction_path, second.extraction_path) == (ExtractionPath.AGREED, ExtractionPath.FAST)
    assert first.document is not None and first.document == second.document


def test_weak_evidence_reads_nothing_by_itself() -> None:
    assert is_proven(site())
    assert not is_proven(None) and not is_proven(replace(site(), fast=False)) and not is_proven(replace(site(), pages=19))
    assert (
        not is_proven(replace(site(), agreement=0.9))
        and not is_proven(replace(site(), reach=0.3))
        and not is_proven(replace(site(), fit=0.5))
    )
    assert not is_proven(learn_profile([]))
    young = learn_profile([make_page_blocks(page(n).url, read(page(n))) for n in range(3)])
    assert young.norm is not None and not is_proven(young)


def test_a_site_whose_places_hold_now_this_now_that_is_not_proven() -> None:
    """Text and teasers at one and the same place: paths cannot tell them apart, so the profile never becomes proven."""
    known = [make_page_blocks(page(n).url, read(page(n))) for n in range(24)]
    mixed = [
        replace(one, blocks=tuple(replace(b, path="body/p", kept=b.kept or i % 2 == 0) for i, b in enumerate(one.blocks))) for one in known
    ]
    assert not is_proven(learn_profile(mixed))


def test_texts_are_compared_by_their_words() -> None:
    assert measure_f1("", "") == 1.0 and measure_f1("a b", "") == 0.0
    assert measure_f1("one two three four", "one two three five") == 0.75
    number = unsampled(100)
    one = by_profile(number).document
    assert one is not None and is_same_result(one, one) and is_same_result(None, None) and not is_same_result(one, None)
    assert not is_same_result(one, replace(one, title="Another story"))
    assert not is_same_result(one, replace(one, published_day="2026-01-01"))


def test_the_profile_knows_where_fields_stand() -> None:
    headline, byline, when = (place_of(site(), name) for name in ("title", "authors", "published_at"))
    assert headline is not None and headline.endswith("h1.headline")
    assert byline is not None and "byline" in byline
    assert when is not None and when.endswith("p.when")


def test_places_speak_where_the_data_of_a_page_are_silent_or_alone() -> None:
    number = unsampled(300)
    silent = by_profile(number, html(number, data=False).replace("class=name", "class=named")).document
    assert silent is not None and silent.published_day == f"2026-11-{1 + number % 24:02}"
    alone = by_profile(number, html(number, headline="A headline made for search engines only")).document
    assert alone is not None and alone.title is not None and alone.title.startswith(f"Story {number}")
    unsigned = by_profile(number, html(number, author=False)).document
    assert unsigned is not None and [author.name for author in unsigned.authors] == [f"Jane Doe {chr(65 + number % 26)}ström"]


def test_too_many_disagreements_and_only_these_send_a_site_back() -> None:
    assert not is_mistrusted(0, 3) and is_mistrusted(0, 4)
    assert not is_mistrusted(40, 6) and is_mistrusted(20, 6)


def test_documents_that_a_version_would_not_change_are_told_by_their_blocks() -> None:
    document = by_profile(unsampled(100)).document
    assert document is not None
    assert keeps_document(None, site(), document.blocks)
    slipped = replace(
        document.blocks[-1], text="All rights reserved by the Evening Gazette.", path=next(p for p in site().paths if "footer" in p)
    )
    assert not keeps_document(None, site(), (*document.blocks, slipped))


def test_a_path_too_long_to_follow_is_no_place() -> None:
    deep = replace(site(), paths={**site().paths, "…/div/p": PathStats(24, 24, 900, 900, 2)})
    assert by_profile(unsampled(100), profile=deep).extraction_path == ExtractionPath.FAST
