"""From tree to the blocks of the body: what stays, what goes, by which layer and why. Constructed pages only."""

from __future__ import annotations

from types import SimpleNamespace

import lxml.html
import pytest

from newsmill.extraction.body import extract as bodies
from newsmill.extraction.body.extract import extract_body
from newsmill.model import BlockType

SENTENCES = (
    "The council of the town voted on Tuesday to keep the old bridge open to people on foot and on bicycles.",
    "Engineers had warned in spring that its middle pier stands on wood that has begun to rot under water.",
    "Repairs will cost eleven million, most of it paid by the region, and should take about two summers.",
    "Shopkeepers on the northern bank fear that the long closure to cars will send their customers elsewhere.",
    "The mayor said that the town had no choice, because a new bridge would cost four times as much to build.",
    "A first stretch of scaffolding is to be set up in March, when the river is at its lowest for the year.",
)
MENU = "".join(f'<li><a href="/{word}">{word.title()}</a></li>' for word in ("home", "politics", "sport", "culture", "weather", "contact"))
TEASERS = "".join(f'<div class="teaser"><a href="/{n}">Another story number {n} that you may like</a></div>' for n in range(6))


def page(inside: str) -> lxml.html.HtmlElement:
    return lxml.html.document_fromstring(
        "<html><head><title>Old bridge stays open - The Paper</title></head><body>"
        f'<nav><ul>{MENU}</ul></nav><main><article><h1>Old bridge stays open</h1><div class="story">{inside}</div></article>'
        f'<aside class="related"><h3>Read next</h3>{TEASERS}</aside></main>'
        "<footer><p>© The Paper. All rights reserved.</p></footer></body></html>"
    )


def paragraphs(*more: str) -> str:
    return "".join(f"<p>{sentence}</p>" for sentence in (*SENTENCES, *more))


def test_every_block_of_the_page_is_told_in_page_order():
    blocks = extract_body(page(paragraphs()), "https://paper.example/bridge").blocks
    assert [block.text for block in blocks if block.kept] == list(SENTENCES)
    assert blocks[0].text == "Home"
    assert blocks[-1].text == "© The Paper. All rights reserved."


def test_what_is_removed_says_by_which_layer_and_why():
    blocks = extract_body(page(paragraphs()), None).blocks
    removed = {block.text: block for block in blocks if not block.kept}
    assert all(block.layer in ("trafilatura", "model", "gate") and block.reason and block.path for block in removed.values())
    assert removed["Old bridge stays open"].reason is not None
    assert removed["Old bridge stays open"].reason.startswith("headline repeated")


def test_the_items_of_a_list_are_one_block():
    listed = "<ul>" + "".join(f"<li>{sentence}</li>" for sentence in SENTENCES[:3]) + "</ul>"
    blocks = [block for block in extract_body(page(paragraphs() + listed.replace("The", "That")), None).blocks if block.kept]
    assert blocks[-1].type is BlockType.LIST
    assert blocks[-1].text.count("\n") == 2


def test_confidence_is_a_share():
    confidence = extract_body(page(paragraphs()), None).confidence
    assert confidence is not None
    assert 0.8 < confidence <= 1


def test_a_model_that_drops_everything_is_overruled(monkeypatch: pytest.MonkeyPatch):
    drops = bodies.block_model.BlockModel(features=("kept",), trees=(-9.0,), threshold=0.5, version="drops")
    found = extract_body(page(paragraphs()), None, model=drops)
    assert [block.text for block in found.blocks if block.kept and block.text in SENTENCES] == list(SENTENCES)
    assert "too little" in found.warnings[0]


@pytest.mark.parametrize(
    ("inside", "below", "stands"),
    [
        ("<p>{0}</p><p>{1}</p><p>{2}</p>", "", True),
        # a locked page has nothing but its headline, its date, and other articles
        ("<p>Tuesday, by Jane Doe</p>", "", False),
        ("<p>For subscribers only</p>", "<div><a href=/1><h3>The ferry is late</h3><p>{0}</p></a><p>By Jane Doe</p></div>", False),
        (
            "",
            "<ul><li><h3><a href=/1>The ferry is late</a></h3><p>{0}</p></li><li><h3><a href=/2>The pool</a></h3><p>{1}</p></li></ul>",
            False,
        ),
        # a box with a link to the page itself, and one without a link, may be the article
        ("", "<div><h3><a href=/bridge>Old bridge stays open</a></h3><p>{0}</p><p>{1}</p></div>", True),
        ("", "<div><h3>What it costs</h3><p>{0}</p><p>{1}</p></div>", True),
    ],
)
def test_the_teasers_of_other_articles_are_not_the_text(inside: str, below: str, stands: bool):
    drops = bodies.block_model.BlockModel(features=("kept",), trees=(-9.0,), threshold=0.5, version="drops")
    html = "<html><head><title>Old bridge stays open</title></head><body><main><h1>Old bridge stays open</h1>{}</main>{}</body></html>"
    tree = lxml.html.document_fromstring(html.format(inside, below).format(*SENTENCES))
    found = extract_body(tree, "https://paper.example/bridge", model=drops)
    assert any(block.kept for block in found.blocks) is stands


@pytest.mark.parametrize(("odds", "stands"), [(0.3, True), (9.0, False)])
def test_in_doubt_a_model_may_drop_less(odds: float, stands: bool):
    """Both models leave the first three of six paragraphs, 45 % of the words; only the one that is sure may drop the others."""
    tree = (0, 0.5, -odds, (0, 3.5, odds, -odds, 0.0), 0.0)
    model = bodies.block_model.BlockModel(("after_first",), (tree,), threshold=0.5, version="first three")
    found = extract_body(page(paragraphs()), None, model=model)
    assert bool(found.warnings) is stands
    assert [block.text for block in found.blocks if block.kept and block.text in SENTENCES] == list(SENTENCES if stands else SENTENCES[:3])


def test_where_trafilatura_missed_most_of_the_text_the_choice_of_the_model_is_the_start(monkeypatch: pytest.MonkeyPatch):
    """The model keeps a block if it or one of the two before it was kept at the start: one pass keeps three paragraphs of six."""
    monkeypatch.setattr(bodies, "run_trafilatura", lambda *_: SimpleNamespace(text=SENTENCES[0], body=None))
    model = bodies.block_model.BlockModel(
        ("kept", "kept_before"), ((0, 0.5, (1, 2.5, 3.0, -3.0, 0.0), 3.0, 0.0),), threshold=0.5, version="two more"
    )
    found = extract_body(page(paragraphs()), None, model=model)
    assert [block.text for block in found.blocks if block.kept and block.text in SENTENCES] == list(SENTENCES[:5])
    assert [block.layer for block in found.blocks if block.text in SENTENCES] == [None, *["model"] * 4, "trafilatura"]


@pytest.mark.parametrize(
    ("block", "stands"),
    [
        ("<p>{}</p>", True),
        ('<p style="display: none">{}</p>', False),
        ('<p hidden="">{}</p>', False),
        ('<p style="font-size:0;">{}</p>', False),
        ('<p style="position:absolute; left: -9999px">{}</p>', False),
        ('<p style="font-size: 0.9em; margin-left: -10px">{}</p>', True),
        ('<div class="folded" style="display: none"><p>{}</p></div>', True),  # may open on a click
    ],
)
def test_a_paragraph_that_is_not_displayed_is_no_text(block: str, stands: bool):
    secret = "The treasurer of the town had asked for more time, but the council did not want to wait for it."
    inside = "".join(f"<p>{sentence}</p>{block.format(secret) if at == 2 else ''}" for at, sentence in enumerate(SENTENCES))
    (found,) = (one for one in extract_body(page(inside), None).blocks if one.text == secret)
    assert found.kept is stands and (stands or found.reason == "not displayed")


def test_a_page_without_text_keeps_nothing():
    assert not [
        block for block in extract_body(lxml.html.document_fromstring("<html><body><div></div></body></html>"), None).blocks if block.kept
    ]


def test_readers_comments_are_not_won_back():
    comments = "".join(f'<div class="comment"><p>{sentence} I say.</p></div>' for sentence in SENTENCES)
    tree = page(paragraphs() + f'<section class="comments" id="comments">{comments}</section>')
    assert not any("I say" in block.text for block in extract_body(tree, None).blocks if block.kept)


@pytest.mark.parametrize(
    ("around", "one"),
    [
        ('<ul class="forum-comments-list">{}</ul>', '<li class="forum-comment"><div>{}</div></li>'),
        ('<div class="box">{}</div>', '<div class="row"><div class="who">Ann</div><div class="reader_comment_text"><p>{}</p></div></div>'),
    ],
)
def test_comments_below_a_short_article_are_not_its_main_part(around: str, one: str):
    """Trafilatura keeps a list of comments that is longer than the article."""
    said = "".join(
        one.format(f"{word} is what I think of this bridge and of the people who want to close it for good.")
        for word in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    )
    tree = lxml.html.document_fromstring(
        "<html><head><title>Old bridge stays open - The Paper</title></head><body><article><h1>Old bridge stays open</h1>"
        f"<div>{paragraphs()}</div><div>{around.format(said)}</div></article></body></html>"
    )
    assert [block.text for block in extract_body(tree, None).blocks if block.kept] == list(SENTENCES)


def test_a_commentary_below_a_long_standfirst_is_the_article():
    lead = f"<p>{' '.join(SENTENCES)}</p>"
    body = "".join(
        f"<p>{sentence} So says {word}, and I agree with every word of it.</p>" for word in ("Ann", "Ben") for sentence in SENTENCES
    )
    tree = lxml.html.document_fromstring(
        "<html><head><title>Old bridge stays open - The Paper</title></head><body><article><header><h1>Old bridge stays open</h1>"
        f'{lead}</header><div class="kommentar">{body}</div></article></body></html>'
    )
    text = [block.text for block in extract_body(tree, None).blocks if block.kept]
    assert sum("I agree" in line for line in text) == 2 * len(SENTENCES)


def kept(inside: str) -> list[str]:
    return [block.text for block in extract_body(page(inside), None).blocks if block.kept]


def test_invitations_to_read_on_go_wherever_they_stand():
    more = '<p>Read more: <a href="/mayor">The mayor whom the bridge made famous in the whole region</a></p>'
    text = kept(f"<p>{SENTENCES[0]}</p>{more}" + "".join(f"<p>{sentence}</p>" for sentence in SENTENCES[1:4]) + paragraphs())
    assert not [line for line in text if line.startswith("Read more")]
    assert set(SENTENCES) <= set(text)
    assert "Read more books, the mayor told the children." in kept(paragraphs("Read more books, the mayor told the children."))


def drops_headings(tag: str) -> bodies.block_model.BlockModel:
    """A model that keeps everything except headings of one level."""
    level = float(tag[1])
    tree = (0, level - 0.5, 5.0, (0, level + 0.5, -5.0, 5.0, 0.0), 0.0)
    return bodies.block_model.BlockModel(features=("heading",), trees=(tree,), threshold=0.5, version="drops headings")


def kept_by(model: bodies.block_model.BlockModel, inside: str) -> list[str]:
    return [block.text for block in extract_body(page(inside), None, model=model).blocks if block.kept]


@pytest.mark.parametrize("above", ["", "<nav><a href='/news'>Our newsletter about bridges</a></nav>"])
def test_a_subheading_between_two_paragraphs_of_the_text_stays(above: str):
    inside = f"<p>{SENTENCES[0]}</p>{above}<h3>What it costs</h3><p>{SENTENCES[1]}</p><p>{SENTENCES[2]}</p>"
    assert "What it costs" in kept_by(drops_headings("h3"), inside)


@pytest.mark.parametrize(
    "middle",
    [
        '<h3><a href="/costs">What it costs</a></h3>',  # a teaser
        "<h3>What it costs</h3><h3>And why</h3>",  # not right before its text
        '<h3>What it costs</h3><nav><a href="/costs">Our story about costs</a></nav>',  # above a link
    ],
)
def test_other_headings_that_the_model_drops_go(middle: str):
    inside = f"<p>{SENTENCES[0]}</p>{middle}<p>{SENTENCES[1]}</p><p>{SENTENCES[2]}</p>"
    assert "What it costs" not in kept_by(drops_headings("h3"), inside)
