"""Boxes of a page that ask their reader for something: dialogues, requests for consent, and forms to sign up or to log in.

They may stand anywhere on a page, also between two paragraphs, and their sentences read like an article.
A dialogue may have as much text as a short article, so trafilatura reads the page without it.
A box is recognised without its class: by its role, by what it says, or by a field for an e-mail address or a password.
Only `replace_elements` changes the tree, and restores it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass

from lxml.html import HtmlElement

from newsmill.extraction.body.blocks import Box, TextBlock
from newsmill.extraction.body.layout_stats import LayoutStats
from newsmill.extraction.vocabulary import compile_rare_words

MAX_SIGN_UP_WORDS = 60  # words of such a form, including its small print
MAX_CONSENT_WORDS = 400  # words; the longest consent dialogue of large German and French sites has fewer
MIN_CONSENT_WORDS = 8  # words of a request; a shorter text is a button
MAX_DIALOGUE_SHARE = 0.5  # share of the page's words; a dialogue with more is the page itself
DIALOGUE, CONSENT, SIGN_UP = "dialogue", "consent dialogue", "newsletter or sign-up box"
_DIALOGUE_ROLES = frozenset(("dialog", "alertdialog"))
_SIGN_UP_FIELDS = frozenset(("email", "password"))
_TEXT_TAGS = frozenset(("article", "main"))
CONSENT_WORDS = compile_rare_words("{consent}")
CONSENT_REQUEST_WORDS = compile_rare_words(r"\b{consent_request}")


@dataclass(frozen=True, slots=True)
class Prompts:
    """The blocks in prompts, each with its reason, and the elements of dialogues and requests for consent."""

    reasons: Mapping[int, str]
    dialogues: tuple[HtmlElement, ...] = ()


def find_prompts(stats: LayoutStats) -> Prompts:
    """Find the prompts of a page. Time is linear in the number of boxes and blocks."""
    boxes, words = stats.all_boxes, stats.boxes.words
    if not stats.blocks:
        return Prompts({})
    headlines = _list_boxes_around(boxes, frozenset(("h1",)))
    found = {box.index: DIALOGUE for box in boxes if _is_dialogue(box)}
    found |= dict.fromkeys(_find_consent(stats, headlines), CONSENT)
    found = {at: reason for at, reason in found.items() if 0 < words[at] < MAX_DIALOGUE_SHARE * words[0]}
    dialogue_elements = tuple(boxes[at].element for at in sorted(found))
    found = dict.fromkeys(_find_sign_up(stats, headlines), SIGN_UP) | found
    if not found:
        return Prompts({})
    reasons: list[str | None] = []  # of each box
    for box in boxes:
        reasons.append(found.get(box.index) or (reasons[box.parent.index] if box.parent else None))
    return Prompts({block.index: reason for block in stats.blocks if (reason := reasons[block.box.index]) is not None}, dialogue_elements)


def _list_boxes_around(boxes: Iterable[Box], tags: Set[str]) -> set[int]:
    """Return the boxes that are or contain one with such a tag."""
    found = set[int]()
    for inner in boxes:
        if inner.tag in tags:
            for box in inner.ancestors():
                if box.index in found:
                    break
                found.add(box.index)
    return found


@contextmanager
def replace_elements(elements: Iterable[HtmlElement]) -> Iterator[None]:
    """Put an empty element without attributes in the place of each of these elements, until the end of the block."""
    replaced = []
    try:
        for element in elements:
            if (parent := element.getparent()) is not None:
                twin = element.makeelement(element.tag)
                twin.tail = element.tail
                parent.replace(element, twin)
                replaced.append((twin, parent, element))
        yield
    finally:
        for twin, parent, element in reversed(replaced):
            parent.replace(twin, element)


def _is_dialogue(box: Box) -> bool:
    element = box.element
    return box.tag == "dialog" or element.get("role") in _DIALOGUE_ROLES or element.get("aria-modal") == "true"


def _find_consent(stats: LayoutStats, headlines: Set[int]) -> Iterator[int]:
    """Yield the boxes with a request for consent: the smallest with a button, around a block that speaks as such a request."""
    buttons = _list_boxes_around(stats.all_boxes, frozenset(("button",)))
    around: list[int] = []  # of each box, the smallest box around it with a button, if it may be a request; -1 for none
    for box in stats.all_boxes if buttons else ():
        at = box.index
        if at not in buttons:
            around.append(around[box.parent.index] if box.parent else -1)
        else:
            around.append(at if stats.boxes.words[at] <= MAX_CONSENT_WORDS and at not in headlines else -1)
    for block in stats.blocks if buttons else ():
        if around[block.box.index] >= 0 and _is_request(block):
            yield around[block.box.index]


def _is_request(block: TextBlock) -> bool:
    """True for a text with two expressions about consent, of which one speaks to the reader."""
    if not MIN_CONSENT_WORDS <= len(block.words) <= MAX_CONSENT_WORDS or CONSENT_REQUEST_WORDS.search(block.text) is None:
        return False
    return len({found.group().lower() for found in CONSENT_WORDS.finditer(block.text)}) > 1


def _find_sign_up(stats: LayoutStats, headlines: Set[int]) -> Iterator[int]:
    """Yield the boxes with a field for an e-mail address or a password: the largest around it of at most MAX_SIGN_UP_WORDS words.

    A box around an <article> or <main> is none: a notice of one sentence above the form has as few words.
    """
    boxes = stats.all_boxes
    fields = [field for field in boxes[0].element.getroottree().iter("input") if _is_sign_up_field(field)]
    if not fields:
        return
    known = {box.element: box for box in boxes}
    left_out = headlines | _list_boxes_around(boxes, _TEXT_TAGS)
    for field in fields:
        box = next((known[element] for element in field.iterancestors() if element in known), None)
        found = None
        while box is not None and stats.boxes.words[box.index] <= MAX_SIGN_UP_WORDS and box.index not in left_out:
            found, box = box.index, box.parent
        if found is not None:
            yield found


def _is_sign_up_field(field: HtmlElement) -> bool:
    return (field.get("type") or "").lower() in _SIGN_UP_FIELDS or "email" in (field.get("autocomplete") or "").lower()
