"""Boxes that ask their reader for something are not part of an article, wherever they stand and whatever their classes are."""

from __future__ import annotations

import pytest
from extraction.html_pages import PROSE, html, page, paragraphs
from lxml.html import tostring

from newsmill.extraction.body.block_walk import segment
from newsmill.extraction.body.layout_stats import LayoutStats
from newsmill.extraction.body.page_facts import PageFacts
from newsmill.extraction.body.prompts import CONSENT, DIALOGUE, SIGN_UP, find_prompts, replace_elements
from newsmill.extraction.html import parse_html
from newsmill.extraction.pipeline import read

ENGLISH = (
    "<div><h2>We value your privacy</h2><p>We and our 843 partners store and access information on a device, such as cookies,"
    " and process personal data for advertisements and the measurement of content.</p><button>Accept all</button></div>"
)
GERMAN = (
    "<div><p>Wir und unsere 213 Partner verwenden Cookies und verarbeiten personenbezogene Daten. Ihre Einwilligung können Sie jederzeit"
    " widerrufen.</p><div><button>Alle akzeptieren</button></div></div>"
)
FRENCH = (
    "<div><p>Nos partenaires et nous déposons des cookies et traitons des données personnelles. Votre consentement vaut pour ce site"
    " seulement.</p><button>Tout accepter</button></div>"
)
DIALOGUE_BOX = '<div role="dialog"><p>Three of your free stories are left this month. Readers like you pay for our reporting.</p></div>'
NEWSLETTER = (
    "<div><h3>The morning in your town</h3><p>All that matters, every morning at seven.</p>"
    '<form><input type="email" placeholder="you@example.org"><button>Yes, please</button></form></div>'
)
LOG_IN = '<section><p>You have an account already?</p><form><input type="password"><button>Log in</button></form></section>'
PROMPTS = {"en": ENGLISH, "de": GERMAN, "fr": FRENCH, "dialogue": DIALOGUE_BOX, "newsletter": NEWSLETTER, "log-in": LOG_IN}
SPEECH = "Speaker number {0} told the council that the bridge had carried {0} thousand people a day since May."
STORY = (*PROSE, *map(SPEECH.format, range(2, 7)))


def kept_text(body: str) -> str:
    document = read(page(html(body))).document
    return "" if document is None else document.text


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
@pytest.mark.parametrize("at", [0, 4, len(STORY)])
def test_a_prompt_is_no_text(prompt: str, at: int) -> None:
    inside = paragraphs(STORY[:at]) + prompt + paragraphs(STORY[at:])
    assert kept_text(f"<article><h1>Council votes</h1>{inside}</article>") == "\n\n".join(STORY)


@pytest.mark.parametrize("prompt", [ENGLISH, GERMAN, DIALOGUE_BOX], ids=["en", "de", "dialogue"])
def test_a_prompt_before_the_page(prompt: str) -> None:
    assert kept_text(f"{prompt}<main><h1>Council votes</h1>{paragraphs(STORY)}</main>") == "\n\n".join(STORY)


@pytest.mark.parametrize(
    "body",
    [
        f'<form><input type="email">{paragraphs(STORY)}</form>',  # a content system that puts the whole page into a form
        f'<div role="dialog" aria-modal="true">{paragraphs(STORY)}</div>',  # a site that opens its articles over the front page
        f"<div>{paragraphs(STORY)}<p>We use cookies to bake, and our partners accept all of them.</p><button>Share</button></div>",
    ],
)
def test_an_article_in_such_a_box_stays(body: str) -> None:
    assert kept_text(f"<h1>Council votes</h1>{body}").startswith("\n\n".join(STORY))


@pytest.mark.parametrize("tag", ["article", "main"])
def test_a_notice_beside_a_form_to_sign_up_stays(tag: str) -> None:
    """Together they have fewer words than a form with small print may have."""
    notice = "The council votes on Thursday and not on Tuesday, as our report of last week had said of the meeting in the old town hall."
    body = f"<h1>Council votes</h1><div class=column><{tag}><p>{notice}</p></{tag}>{NEWSLETTER}</div>"
    tree = parse_html(html(body)).tree
    layout = segment(tree)
    named = {layout.blocks[i].text for i in find_prompts(LayoutStats(layout, PageFacts())).reasons}
    assert notice not in named and "The morning in your town" in named
    assert kept_text(body) == notice


def test_each_prompt_has_its_reason() -> None:
    tree = parse_html(html(paragraphs(STORY) + ENGLISH + NEWSLETTER + DIALOGUE_BOX)).tree
    layout = segment(tree)
    prompts = find_prompts(LayoutStats(layout, PageFacts()))
    reasons = {layout.blocks[i].text: reason for i, reason in prompts.reasons.items()}
    assert (reasons["We value your privacy"], reasons["Accept all"], reasons["Yes, please"]) == (CONSENT, CONSENT, SIGN_UP)
    assert next(reason for text, reason in reasons.items() if text.startswith("Three of your free stories")) == DIALOGUE
    assert reasons.keys().isdisjoint(STORY)
    before = tostring(tree)
    with replace_elements(prompts.dialogues):
        assert "843 partners" not in tree.text_content()
    assert tostring(tree) == before


def test_a_page_without_blocks_has_no_prompts() -> None:
    assert find_prompts(LayoutStats(segment(parse_html("<html><body></body></html>").tree), PageFacts())).reasons == {}
