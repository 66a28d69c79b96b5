"""What a site's pages say of blocks that one page leaves in doubt: tables of made pages, and whole pages read by both paths."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import lru_cache

import pytest
from html_pages import html, page, paragraphs
from hypothesis import given
from hypothesis import strategies as st
from test_profile import STORY, line, prose, removed, story

from newsmill.extraction.body import extract
from newsmill.extraction.body.block_rules import BESIDE_TEXT
from newsmill.extraction.pipeline import read
from newsmill.extraction.site_profile.apply_profile import apply
from newsmill.extraction.site_profile.block_correction import correct_blocks
from newsmill.extraction.site_profile.profile import PageBlocks, learn_profile, make_page_blocks, remove_copies
from newsmill.extraction.site_profile.profile_trust import is_proven
from newsmill.model import Block, BlockType, ExtractionResult, Profile

MANY = 24  # pages; more than a mature profile needs
SLIDE, PULL = "body/main/article.story/div.slide/h2", "body/main/article.story/aside.pull"


def kept_words(profile: Profile, path: str) -> float:
    seen = profile.paths[path]
    return seen.kept_words / seen.words


def with_block(path: str, share: float, *, among: bool = True, repeat: bool = False, **fields: object) -> list[PageBlocks]:
    """Pages with one more block each, kept on a share of them; between two paragraphs (`among`), or after the text and a removed line."""
    pages = []
    for number in range(MANY):
        text = "Always the very same eight words stand here" if repeat else prose(number, 50, 12)
        block = line(text, path, kept=number < share * MANY, **fields)
        extra = (block,) if among else (line("Elsewhere", "body/div/p", kept=False), block)
        pages.append(story(number, *extra, at=2 if among else None))
    return pages


@pytest.mark.parametrize(
    ("path", "share", "fields", "expected"),
    [
        (SLIDE, 0.5, {}, 1.0),  # the model is in two minds about text that no other page has
        (SLIDE, 0.5, {"among": False}, 1.0),
        (SLIDE, 0.5, {"repeat": True}, 0.5),  # the same words on every page: the lines decide
        (SLIDE, 0.25, {}, 0.25),  # nearer to no text; left to the model
        (SLIDE, 0.125, {}, 0.0),  # it slipped
        (f"{STORY}/a", 0.5, {}, 0.5),  # leads to another page
        ("body/main/article.story/figure/div.caption", 0.5, {}, 0.5),
        ("body/main/article.story/h1.print", 0.5, {}, 0.0),  # the headline once more
        ("body/main/article.story/h1.part", 1.0, {}, 1.0),  # a site that sets its subheadings so
        (PULL, 0.0, {"reason": BESIDE_TEXT}, 1.0),  # text of its own in an aside between two paragraphs
        (PULL, 0.0, {"reason": "outside the article"}, 0.0),
        (PULL, 0.0, {"reason": BESIDE_TEXT, "among": False}, 0.0),
        (PULL, 0.0, {"reason": BESIDE_TEXT, "repeat": True}, 0.0),  # a sign-up box
        (f"{PULL}/a", 0.0, {"reason": BESIDE_TEXT}, 0.0),  # a teaser
        (f"{PULL}/figure/p", 0.0, {"reason": BESIDE_TEXT}, 0.0),  # a caption
    ],
)
def test_places_are_text_or_not_as_the_whole_site_says(path: str, share: float, fields: dict[str, object], expected: float) -> None:
    pages = with_block(path, share, **fields)  # type: ignore[arg-type]
    assert kept_words(learn_profile(pages), path) == pytest.approx(expected)
    assert kept_words(learn_profile(pages[:19]), path) == pytest.approx(sum(number < share * MANY for number in range(19)) / 19, abs=0.06)


def test_a_quotation_that_shortens_the_text_stays_out() -> None:
    pages = []
    for number in range(MANY):
        words = prose(number, 1).split()
        quote = " ".join((*words[:6], *words[20:30]))
        pages.append(story(number, line(quote, PULL, kept=False, reason=BESIDE_TEXT), at=3))
    assert kept_words(learn_profile(pages), PULL) == 0


def test_two_pages_do_not_make_a_place_of_text() -> None:
    quote = [line(prose(number, 50, 12), PULL, kept=False, reason=BESIDE_TEXT) for number in range(MANY)]
    for count, expected in ((2, 0.0), (3, 1.0)):
        pages = [story(number, *([quote[number]] if number < count else []), at=2) for number in range(MANY)]
        assert kept_words(learn_profile(pages), PULL) == expected


@given(st.lists(st.lists(st.tuples(st.sampled_from((STORY, SLIDE, PULL)), st.integers(0, 30), st.booleans()), max_size=6), max_size=24))
def test_evidence_changes_nothing_but_what_is_kept(pages: list[list[tuple[str, int, bool]]]) -> None:
    given_blocks = [[line(prose(text, 0, 9), path, kept=kept, reason=BESIDE_TEXT) for path, text, kept in page] for page in pages]
    found = correct_blocks(given_blocks)
    assert [[replace(block, kept=True) for block in page] for page in found] == [
        [replace(block, kept=True) for block in page] for page in given_blocks
    ]
    order = list(range(len(pages)))
    random.Random(len(pages)).shuffle(order)
    assert correct_blocks([given_blocks[at] for at in order]) == [found[at] for at in order]


@pytest.mark.parametrize("kept", [True, False])
def test_a_line_that_introduces_links_goes_with_them(kept: bool) -> None:
    """On a third of the pages, so that it is not common; whether the links went before or go by the profile."""
    again, teaser = line("DON'T MISS", STORY), f"{STORY}/a"

    def with_links(number: int, *blocks: Block) -> PageBlocks:
        links = [line(prose(number, 60 + at, 12), teaser, kept=kept) for at in range(2)]
        return story(number, *blocks, *links, at=3)

    pages = [with_links(number, *([again] if number % 3 == 0 else [])) for number in range(MANY)]
    assert "DON'T MISS" in removed(learn_profile(pages), pages[0])
    heading = line("Background", STORY)
    pages = [with_links(number, *([heading, line(prose(number, 70), STORY)] if number % 3 == 0 else [])) for number in range(MANY)]
    assert "Background" not in removed(learn_profile(pages), pages[0]), "text follows it"


def test_a_long_line_at_the_end_of_three_texts_goes_when_they_are_of_two_sections() -> None:
    credit = line(prose(500, 0, 30), STORY)
    pages = [story(number, *([credit] if number < 3 else [])) for number in range(MANY)]
    assert removed(learn_profile(pages), pages[0]) == [credit.text]
    one_section = [story(number, *([credit] if number < 3 else []), section="news") for number in range(MANY)]
    assert removed(learn_profile(one_section), one_section[0]) == []
    short = line("Ann Example wrote this", STORY)
    pages = [story(number, *([short] if number < 3 else [])) for number in range(MANY)]
    assert removed(learn_profile(pages), pages[0]) == []


@pytest.mark.parametrize(("count", "goes"), [(MANY, True), (MANY // 2, True), (MANY // 3, False)])
def test_lines_that_begin_alike_at_the_end_of_most_texts_go(count: int, goes: bool) -> None:
    ends = {number: line(f"Follow the Evening Gazette on Example for {prose(number, 80, 9)}", STORY) for number in range(count)}
    pages = [story(number, *([ends[number]] if number in ends else [])) for number in range(MANY)]
    profile = learn_profile(pages)
    assert removed(profile, pages[0]) == ([ends[0].text] if goes else [])
    if goes:
        reason = next(block.reason for block in apply(profile, pages[0].blocks) if not block.kept)
        assert reason == f"ends {count} of {MANY} pages of this site with the same first words"
    inside = story(99, line(f"Follow the Evening Gazette on Example for {prose(99, 80, 9)}", STORY), at=0, paragraphs=20)
    assert removed(profile, inside) == []


def test_long_paragraphs_that_begin_alike_stay() -> None:
    """The reports of one paper often begin a paragraph with the same words, such as the name of an agency."""
    pages = [story(number, line(f"The Royal Mounted Police of Canada said {prose(number, 80, 40)}", STORY)) for number in range(MANY)]
    assert removed(learn_profile(pages), pages[0]) == []


def test_a_long_text_on_most_pages_is_the_sites_own_and_makes_no_copies() -> None:
    notice = [line(prose(900, number, 40), "body/main/div.box/p") for number in range(8)]
    pages = [story(number, *notice) for number in range(MANY)]
    assert len(remove_copies(pages)) == MANY
    assert set(removed(learn_profile(pages), pages[0])) == {block.text for block in notice}
    copies = [replace(pages[0], url=f"https://paper.example/news/copy-{number}") for number in range(MANY)]
    assert len(remove_copies(copies)) == 1
    assert len(remove_copies([PageBlocks(f"https://paper.example/{number}", tuple(notice)) for number in range(MANY)])) == 1


def test_captions_do_not_keep_a_site_from_the_fast_way() -> None:
    """They do not belong to the text, so it does not matter what the model makes of them."""
    pages = [
        story(number, line(prose(number, 50, 60), "body/main/figure/figcaption", type=BlockType.CAPTION, kept=number % 2 == 0), at=2)
        for number in range(MANY)
    ]
    profile = learn_profile(pages)
    assert (profile.reach, profile.agreement) == (1.0, 1.0)
    assert is_proven(profile)


# ---- whole pages -----------------------------------------------------------------------------------------------------------------


def quotation(number: int) -> str:
    return f"{prose(number, 50, 14)[:-1]} said the mayor."


def gazette(number: int) -> tuple[str, str]:
    """A page with a quotation in an aside between two paragraphs, and its URL."""
    text = tuple(prose(number, at, 45) for at in range(6))
    inside = paragraphs(text[:3]) + f"<aside class=pull><blockquote>{quotation(number)}</blockquote></aside>" + paragraphs(text[3:])
    url = f"https://gazette.example/{('news', 'sport')[number % 2]}/story-{number}"
    return html(f"<main><article class=story><h1>{prose(number, 99, 6)[:-1]}</h1><div class=text>{inside}</div></article></main>"), url


def reading(number: int, profile: Profile | None = None) -> ExtractionResult:
    text, url = gazette(number)
    return read(page(text, url), profile=profile)


@lru_cache(1)
def of_the_gazette() -> Profile:
    return replace(
        learn_profile([make_page_blocks(gazette(number)[1], reading(number)) for number in range(MANY)], "gazette.example"), version=3
    )


def text_of(found: ExtractionResult) -> str:
    assert found.document is not None
    return found.document.text


def test_a_page_alone_leaves_an_aside_out_and_its_site_brings_it_back() -> None:
    number = 40
    assert quotation(number) not in text_of(reading(number))
    for profile in (of_the_gazette(), replace(of_the_gazette(), fast=False)):
        assert text_of(reading(number, profile)).split("\n\n")[3] == quotation(number)
    blocks = reading(number, replace(of_the_gazette(), fast=False)).blocks
    assert next((block.layer, block.reason) for block in blocks if block.text == quotation(number)) == ("profile", extract.SITE_TEXT)
