"""Boxes of a page that ask their reader for something: dialogues, requests for consent, and forms to sign up or to log in.

They may stand anywhere on a page, also between two paragraphs, and their sentences read like an article.
A dialogue may have as much text as a short article, so trafilatura reads the page without it.
A box is recognised without its class: by its role, by what it says, or by a field for an e-mail address or a password.
The functions have no side effects.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass

from lxml.html import HtmlElement

from newsmill.extraction.body.blocks import Box, Layout, TextBlock
from newsmill.extraction.vocabulary import build_alternation

MAX_SIGN_UP_WORDS = 60  # words of such a form, including its small print
MAX_CONSENT_WORDS = 400  # words; the longest consent dialogue of large German and French sites has fewer
MIN_CONSENT_WORDS = 8  # words of a request; a shorter text is a button
MAX_DIALOGUE_SHARE = 0.5  # share of the page's words; a dialogue with more is the page itself
DIALOGUE, CONSENT, SIGN_UP = "dialogue", "consent dialogue", "newsletter or sign-up box"
_DIALOGUE_ROLES = frozenset(("dialog", "alertdialog"))
_SIGN_UP_FIELDS = frozenset(("email", "password"))
_TEXT_TAGS = frozenset(("article", "main"))
CONSENT_WORDS = re.compile(build_alternation("consent"), re.IGNORECASE)
CONSENT_REQUEST_WORDS = re.compile(rf"\b(?:{build_alternation('consent_request')})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Prompts:
    """The blocks in prompts, each with its reason, and the elements of dialogues and requests for consent."""

    reasons: Mapping[int, str]
    dialogues: tuple[HtmlElement, ...] = ()


def find_prompts(layout: Layout) -> Prompts:
    """Find the prompts of a page. Time is linear in the number of boxes and blocks."""
    if not layout.blocks:
        return Prompts({})
    contents = _BoxContents(layout)
    found = {box.index: DIALOGUE for box in layout.boxes if _is_dialogue(box)} | dict.fromkeys(_find_consent(layout, contents), CONSENT)
    found = {at: reason for at, reason in found.items() if 0 < contents.words[at] < MAX_DIALOGUE_SHARE * contents.words[0]}
    dialogues = sorted(found)
    found = dict.fromkeys(_find_sign_up(layout, contents), SIGN_UP) | found
    reasons: list[str | None] = []  # of each box
    for box in layout.boxes:
        reasons.append(found.get(box.index) or (reasons[box.parent.index] if box.parent else None))
    blocks = {block.index: reason for block in layout.blocks if (reason := reasons[block.box.index]) is not None}
    return Prompts(blocks, tuple(layout.boxes[at].element for at in dialogues))


def empty_elements(tree: HtmlElement, elements: Collection[HtmlElement]) -> HtmlElement:
    """Return the tree itself, or a copy in which the given elements of the tree are empty."""
    if not elements:
        return tree
    copy, wanted = deepcopy(tree), set(elements)
    for element in [twin for original, twin in zip(tree.iter(), copy.iter(), strict=True) if original in wanted]:
        element.clear(keep_tail=True)  # drop_tree() would join the tails, which takes quadratic time for many elements
    return copy


class _BoxContents:
    """The number of words of each box, and whether it contains the headline, a button, or an element for the text of the page."""

    def __init__(self, layout: Layout) -> None:
        boxes = layout.boxes
        self.words = [0] * len(boxes)
        for block in layout.blocks:
            self.words[block.box.index] += len(block.words)
        self.has_headline, self.has_button = [box.tag == "h1" for box in boxes], [box.tag == "button" for box in boxes]
        self.has_text = [box.tag in _TEXT_TAGS for box in boxes]
        for box in reversed(boxes):
            if box.parent is not None:
                outer = box.parent.index
                self.words[outer] += self.words[box.index]
                self.has_headline[outer] |= self.has_headline[box.index]
                self.has_button[outer] |= self.has_button[box.index]
                self.has_text[outer] |= self.has_text[box.index]


def _is_dialogue(box: Box) -> bool:
    element = box.element
    return box.tag == "dialog" or element.get("role") in _DIALOGUE_ROLES or element.get("aria-modal") == "true"


def _find_consent(layout: Layout, contents: _BoxContents) -> Iterator[int]:
    """Yield the boxes with a request for consent: the smallest with a button, around a block that speaks as such a request."""
    around: list[int] = []  # of each box, the smallest box around it with a button, if it may be a request; -1 for none
    for box in layout.boxes:
        may_be = contents.words[box.index] <= MAX_CONSENT_WORDS and not contents.has_headline[box.index]
        outer = around[box.parent.index] if box.parent else -1
        around.append(outer if not contents.has_button[box.index] else box.index if may_be else -1)
    for block in layout.blocks:
        if around[block.box.index] >= 0 and _is_request(block):
            yield around[block.box.index]


def _is_request(block: TextBlock) -> bool:
    """True for a text with two expressions about consent, of which one speaks to the reader."""
    if not MIN_CONSENT_WORDS <= len(block.words) <= MAX_CONSENT_WORDS or CONSENT_REQUEST_WORDS.search(block.text) is None:
        return False
    return len({found.group().lower() for found in CONSENT_WORDS.finditer(block.text)}) > 1


def _find_sign_up(layout: Layout, contents: _BoxContents) -> Iterator[int]:
    """Yield the boxes with a field for an e-mail address or a password: the largest around it of at most MAX_SIGN_UP_WORDS words.

    A box around an <article> or <main> is none: a notice of one sentence above the form has as few words.
    """
    fields = [field for field in layout.boxes[0].element.getroottree().iter("input") if _is_sign_up_field(field)]
    if not fields:
        return
    known = {box.element: box for box in layout.boxes}
    for field in fields:
        box = next((known[element] for element in field.iterancestors() if element in known), None)
        found = None
        while box is not None and contents.words[box.index] <= MAX_SIGN_UP_WORDS:
            if contents.has_headline[box.index] or contents.has_text[box.index]:
                break
            found, box = box.index, box.parent
        if found is not None:
            yield found


def _is_sign_up_field(field: HtmlElement) -> bool:
    return (field.get("type") or "").lower() in _SIGN_UP_FIELDS or "email" in (field.get("autocomplete") or "").lower()
