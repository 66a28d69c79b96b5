"""Site profiles, on pages made of blocks: what repeats goes, what only looks alike stays, and the order of pages does not matter."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from newsmill.extraction.site_profile.apply_profile import apply, find_removed_lines
from newsmill.extraction.site_profile.profile import MAX_LINES, MAX_PATHS, PageBlocks, learn_profile, remove_copies
from newsmill.extraction.site_profile.profile_trust import has_layout_changed, is_improvement, is_learning_due, measure_fit
from newsmill.extraction.site_profile.site_keys import get_key_prefix, get_section, list_key_prefixes, make_ending_key, make_line_key
from newsmill.model import Block, BlockType, Profile

STORY, FOOT, TEASER = "body/main/article.story/p", "body/main/article.story/div.end/p", "body/aside.most-read/p"
FOOTER = "Have your say in our forum 17 of the Evening Gazette"


def prose(page: int, paragraph: int, words: int = 40) -> str:
    """A paragraph no other page has."""
    chance = random.Random(1000 * page + paragraph)
    return " ".join("".join(chance.choices("abcdefghij", k=6)) for _ in range(words)).capitalize() + "."


def story(page: int, *extra: Block, at: int | None = None, section: str = "", paragraphs: int = 5) -> PageBlocks:
    """An article of its own words, with blocks put in at a place (or at the end)."""
    blocks = [Block(BlockType.PARAGRAPH, prose(page, number), path=STORY) for number in range(paragraphs)]
    place = len(blocks) if at is None else at
    blocks[place:place] = extra
    return PageBlocks(f"https://paper.example/{section or ('news', 'sport')[page % 2]}/story-{page}", tuple(blocks))


def line(text: str, path: str = FOOT, **fields: object) -> Block:
    return replace(Block(BlockType.PARAGRAPH, text, path=path), **fields)  # type: ignore[arg-type]


def removed(profile: Profile, page: PageBlocks) -> list[str]:
    return [block.text for block in apply(profile, page.blocks) if not block.kept and block.layer == "profile"]


def with_footer(count: int, **where: object) -> list[PageBlocks]:
    return [story(page, line(f"{FOOTER}, no. {page}"), **where) for page in range(count)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tagged", "site_tags"),
    [
        ([("news", "paper")] * 25, ("news", "paper")),
        ([("news", "paper")] * 24 + [("bridge",)], ("news", "paper")),  # a page with its own
        ([("news", "paper")] * 24 + [()] * 20, ("news", "paper")),  # pages whose tags come from elsewhere
        ([("news", "paper")] * 20 + [("bridge",)] * 5, ()),  # a subject with many articles
        ([("news", "paper")] * 15, ()),
        ([("news", f"story {number}") for number in range(25)], ()),
        ([()] * 25, ()),
    ],
)
def test_keywords_that_all_pages_have_are_not_tags_of_an_article(tagged: list[tuple[str, ...]], site_tags: tuple[str, ...]) -> None:
    profile = learn_profile([replace(story(number), meta_tags=tags) for number, tags in enumerate(tagged)])
    assert profile.site_tags == site_tags
    assert is_improvement(replace(profile, site_tags=("old",)), profile)


def test_a_footer_no_rule_knows_goes_and_says_why() -> None:
    pages = with_footer(25)
    blocks = apply(learn_profile(pages), pages[3].blocks)
    assert [block.kept for block in blocks] == [True] * 5 + [False]
    assert (blocks[-1].layer, blocks[-1].reason) == ("profile", "stands on 25 of 25 pages of this site")
    assert blocks[:-1] == pages[3].blocks[:-1]


def test_the_second_page_is_enough_for_a_short_footer_and_the_third_for_a_long_one() -> None:
    assert removed(learn_profile(with_footer(1)), story(9, line(FOOTER))) == []
    assert removed(learn_profile(with_footer(2)), story(9, line(f"{FOOTER}, no. 9"))) == [f"{FOOTER}, no. 9"]
    long = line(prose(99, 1, 30))
    for count in (1, 2, 4):
        assert removed(learn_profile([story(page, long) for page in range(count)]), story(9, long)) == [], count
    assert removed(learn_profile([story(page, long) for page in range(5)]), story(9, long)) == [long.text]


def test_up_to_four_pages_decide_nothing_inside_a_text() -> None:
    box = line("Sign up for our evening briefing", STORY)
    for count in range(1, 5):
        pages = [story(page, box, at=1) for page in range(count)]
        assert removed(learn_profile(pages), pages[0]) == []
    pages = [story(page, box, at=1) for page in range(6)]
    assert removed(learn_profile(pages), pages[0]) == [box.text]


def linked(page: int, path: str = f"{STORY}/a") -> Block:
    return line(prose(page, 77, 9), path)


def test_where_a_link_stands_on_page_after_page_it_leads_to_other_articles() -> None:
    pages = [story(page, linked(page), at=2) for page in range(20)]
    unseen = story(99, linked(99), at=2)
    assert removed(learn_profile(pages), unseen) == [linked(99).text]
    assert apply(learn_profile(pages), unseen.blocks)[2].reason == "a link stands at this position on 20 of 20 pages of this site"


@pytest.mark.parametrize(
    "pages",
    [
        pytest.param([story(page, linked(page), at=2) for page in range(19)], id="too few pages"),
        pytest.param([story(page, *[linked(page)] * (page % 3 == 0), at=2) for page in range(30)], id="a sentence is a link now and then"),
        pytest.param([story(page, linked(page), at=2, section="news") for page in range(30)], id="one section"),
        pytest.param([story(page, *[linked(100 * page + n) for n in range(9)], at=2) for page in range(30)], id="links are the text"),
    ],
)
def test_a_link_may_be_text(pages: list[PageBlocks]) -> None:
    assert removed(learn_profile(pages), story(99, linked(99), at=2)) == []


def test_a_linked_heading_is_text() -> None:
    place = "body/main/article.story/h3.product/a"
    pages = [story(page, linked(page, place), at=2) for page in range(30)]
    assert removed(learn_profile(pages), story(99, linked(99, place), at=2)) == []


def test_a_line_of_a_paragraph_is_taken_out_of_it() -> None:
    pages = [story(page, line(f"{prose(page, 9)}\nsource desk {page}", STORY)) for page in range(6)]
    blocks = apply(learn_profile(pages), pages[2].blocks)
    assert [block.text for block in blocks[-2:]] == [prose(2, 9), "source desk 2"]
    assert [block.kept for block in blocks[-2:]] == [True, False]


def test_one_section_alone_proves_little_inside_a_text() -> None:
    """A weekly interview asks the same question on every page of its section."""
    question = line("What is your favourite book?", STORY, type=BlockType.HEADING)
    seen = [story(page, question, at=2, section="interviews") for page in range(12)]
    assert removed(learn_profile(seen), seen[0]) == []
    whole = [*seen, *(story(page, section="news") for page in range(20, 40))]
    assert removed(learn_profile(whole), seen[0]) == [], "and with the rest of the site it is on a third of the pages"


def test_a_box_of_one_template_goes_and_a_subheading_that_recurs_stays() -> None:
    box, heading = line("What to know about the election this year", STORY), line("Background", STORY, type=BlockType.HEADING)
    pages = [*(story(page, box, at=2) for page in range(6)), *(story(page, heading, at=2) for page in range(10, 16))]
    profile = learn_profile([*pages, *(story(page) for page in range(20, 60))])
    assert removed(profile, pages[0]) == [box.text]
    assert removed(profile, pages[-1]) == []


def test_a_teaser_that_quotes_an_article_does_not_take_its_sentence() -> None:
    quoted = prose(0, 0)
    pages = [story(0), *(story(page, line(quoted, TEASER, kept=False)) for page in range(1, 25))]
    assert removed(learn_profile(pages), pages[0]) == []


def test_what_the_model_leaves_out_elsewhere_goes_where_it_slipped() -> None:
    share = line("Share this story with a friend", STORY)
    pages = [story(page, replace(share, kept=page == 7), at=2) for page in range(10)]
    assert removed(learn_profile(pages), pages[7]) == [share.text]


def test_an_authors_line_on_a_few_pages_stays() -> None:
    bio = line("Ann Example is our correspondent in Prague")
    pages = [*(story(page, bio) for page in range(3)), *(story(page) for page in range(10, 40))]
    assert removed(learn_profile(pages), pages[0]) == []


def test_tables_are_left_alone() -> None:
    head = line("Team | Points", STORY, type=BlockType.TABLE)
    pages = [story(page, head) for page in range(25)]
    assert removed(learn_profile(pages), pages[0]) == []


def test_a_place_that_never_held_text_goes_only_with_many_pages_of_two_sections() -> None:
    def page(number: int, **fields: object) -> PageBlocks:
        return story(number, line(prose(number, 50), TEASER, kept=False), at=2, **fields)  # type: ignore[arg-type]

    slipped = story(99, line(prose(99, 50), TEASER), at=2)
    assert removed(learn_profile([page(number) for number in range(25)]), slipped) == [prose(99, 50)]
    assert removed(learn_profile([page(number) for number in range(19)]), slipped) == []
    assert removed(learn_profile([page(number, section="news") for number in range(25)]), slipped) == []


def test_copies_of_one_article_are_one_page() -> None:
    original = story(0)
    copies = [replace(original, url=f"https://paper.example/news/copy-{number}") for number in range(10)]
    assert len(remove_copies([original, *copies, story(1)])) == 2
    profile = learn_profile([original, *copies, story(1)])
    assert profile.pages == 2
    assert removed(profile, original) == []


def test_a_long_notice_does_not_make_copies_of_short_pages() -> None:
    notice = line(prose(500, 0, 60))
    pages = [story(page, notice, paragraphs=1) for page in range(6)]
    assert learn_profile(pages).pages == 6
    pages = [story(page, notice, paragraphs=2) for page in range(6)]
    assert removed(learn_profile(pages), pages[0]) == [notice.text]


def test_a_page_of_which_nothing_would_stay_is_left_alone() -> None:
    strange = PageBlocks("https://paper.example/news/x", (line("Only this here"), line(f"{FOOTER}, no. 3"), line(f"{FOOTER}, no. 4")))
    assert apply(learn_profile(with_footer(25)), strange.blocks) == strange.blocks


def test_fit_tells_a_new_layout() -> None:
    old = learn_profile(story(page) for page in range(20))
    assert old.fit == 1.0
    new = [tuple(replace(block, path="body/div.new/section/p") for block in story(page).blocks) for page in range(50, 60)]
    assert [measure_fit(old, blocks) for blocks in new] == [0.0] * 10
    assert has_layout_changed(old, [measure_fit(old, blocks) for blocks in new])
    assert not has_layout_changed(old, [0.0] * 4), "four pages prove nothing"
    assert not has_layout_changed(old, [1.0] * 6 + [0.0] * 4)


def test_a_text_in_a_script_is_a_layout_of_its_own() -> None:
    """It has no positions, so it fits a site whose other pages have none either, and is a new layout where they have."""
    text = (Block(BlockType.PARAGRAPH, "text from a script"),)
    old = learn_profile(story(page) for page in range(20))
    assert (measure_fit(old, text), measure_fit(old, ())) == (0.0, 1.0)
    mixed = learn_profile([*(story(page) for page in range(18)), *(replace(story(page), blocks=text) for page in (18, 19))])
    scripts = learn_profile(replace(story(page), blocks=(line(f"Text {page} of a script", path=None),)) for page in range(5))
    assert (scripts.fit, measure_fit(scripts, text)) == (1.0, 1.0)
    assert measure_fit(mixed, text) == 1.0


def test_a_profile_is_worth_a_version_when_it_decides_otherwise() -> None:
    young, grown = learn_profile(with_footer(5)), learn_profile(with_footer(20))
    assert is_improvement(None, young) and is_improvement(young, grown)
    assert not is_improvement(grown, learn_profile(with_footer(28)))
    assert find_removed_lines(grown) == {make_line_key(FOOT, f"{FOOTER}, no. 0")}
    other = [story(page, line("A footer of another year")) for page in range(25)]
    assert is_improvement(grown, learn_profile(other))
    rich = learn_profile(with_footer(60))
    assert find_removed_lines(rich) == find_removed_lines(grown) and is_improvement(grown, rich), (
        "what stands on every tenth page is known now"
    )
    assert not is_improvement(rich, learn_profile(with_footer(60)))


@given(st.text("ab1|…/.é", max_size=40), st.lists(st.text("ab 12|…é", max_size=30), max_size=90).map(" ".join))
def test_every_key_of_a_line_begins_with_one_of_its_openings(path: str, text: str) -> None:
    for key in (make_line_key(path, text), make_ending_key(path, text)):
        assert key is None or get_key_prefix(key) in list_key_prefixes(path, text)


def test_when_a_site_is_learnt() -> None:
    assert not is_learning_due(4, 0) and is_learning_due(5, 0) and is_learning_due(300, 0)
    assert not is_learning_due(19, 5) and is_learning_due(20, 5) and not is_learning_due(59, 22) and is_learning_due(60, 22)
    assert not is_learning_due(179, 60) and is_learning_due(180, 60) and not is_learning_due(899, 300) and is_learning_due(900, 300)


def test_sections() -> None:
    assert get_section("https://a.example/2026/11/25/x") == get_section("https://a.example/2025/1/y") == "0"
    assert get_section("https://a.example/sport/x") == "sport"
    assert get_section("https://a.example/x") == get_section("") == ""


def test_a_profile_is_bounded_and_json() -> None:
    many = [line(f"{prose(1, number, 3)} {'x' * 500}", f"body/div.c{'x' * number}/p") for number in range(1500)]
    profile = learn_profile([story(page, *many, at=2) for page in range(3)])
    assert len(profile.lines) == MAX_LINES and len(profile.paths) == MAX_PATHS
    data = TypeAdapter(Profile).dump_json(profile)
    assert len(data) < 400_000
    assert TypeAdapter(Profile).validate_json(data) == profile


TEXTS = st.sampled_from(
    ["Footer 1", "Footer 2", "one two three", "Read more", *(prose(0, number) for number in range(3)), "", "\ud800", "12"]
)
BLOCKS = st.builds(
    Block,
    st.sampled_from([BlockType.PARAGRAPH, BlockType.HEADING, BlockType.TABLE]),
    st.lists(TEXTS, min_size=1, max_size=3).map("\n".join),
    st.booleans(),
    path=st.sampled_from([None, STORY, FOOT]),
)
PAGES = st.lists(
    st.builds(PageBlocks, st.sampled_from(["", "https://a.example/x/1", "https://a.example/y/2"]), st.lists(BLOCKS, max_size=8).map(tuple)),
    max_size=12,
)


@given(PAGES, st.randoms())
@settings(max_examples=60)
def test_the_order_of_pages_does_not_matter(pages: list[PageBlocks], chance: random.Random) -> None:
    shuffled = list(pages)
    chance.shuffle(shuffled)
    assert learn_profile(shuffled) == learn_profile(pages)


@given(PAGES, st.lists(BLOCKS, max_size=8))
@settings(max_examples=60)
def test_applying_loses_nothing_and_keeps_nothing_new(pages: list[PageBlocks], blocks: list[Block]) -> None:
    after = apply(learn_profile(pages * 3), blocks)
    assert lines(after) == lines(blocks)
    assert set(kept(after)) <= set(kept(blocks))
    assert apply(learn_profile([]), blocks) == tuple(blocks)


def lines(blocks: Sequence[Block]) -> list[str]:
    return [part for block in blocks for part in block.text.split("\n")]


def kept(blocks: Sequence[Block]) -> list[str]:
    return lines([block for block in blocks if block.kept])


@pytest.mark.parametrize("count", [0, 1])
def test_no_pages_and_one_page_know_nothing(count: int) -> None:
    profile = learn_profile(with_footer(count))
    assert (profile.pages, dict(profile.lines)) == (count, {})
