"""Rules of an administrator for one source: elements to drop, elements that are the body, and selectors of fields. Pure.

A rule that does not match a page has no effect on it, because pages of one source have several layouts. A broken selector matches
nothing; Newsmill rejects it when it reads the source.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import groupby

from cssselect import SelectorError
from lxml import etree
from lxml.cssselect import CSSSelector
from lxml.html import HtmlElement

from newsmill.extraction.body.block_walk import segment
from newsmill.extraction.body.blocks import TextBlock
from newsmill.extraction.body.markup import MarkupReader
from newsmill.extraction.metadata.author_names import classify_author, split_names
from newsmill.extraction.metadata.fields import Fields
from newsmill.extraction.metadata.timestamps import MAX_AHEAD, parse_timestamp
from newsmill.extraction.normalise import normalise, normalise_line
from newsmill.model import Author, Block, BlockType, Rules

LAYER = "rules"
SELECTABLE_FIELDS = (
    "title",
    "description",
    "authors",
    "published_at",
    "modified_at",
    "section",
    "language",
)  # that can have a selector
MAX_AUTHORS = 20


def select_active(rules: Rules | None, fetched_at: datetime) -> Rules:
    """Return the rules, or empty rules for a page fetched after their expiry."""
    expired = rules is not None and rules.expires is not None and fetched_at.date() > rules.expires
    return Rules() if rules is None or expired else rules


def drop_elements(tree: HtmlElement, rules: Rules) -> list[Block]:
    """Remove the elements that match a drop rule from the tree, and return them as removed blocks."""
    removed = []
    for reason, element in _find_matches(tree, rules, "drop"):
        text = normalise(element.text_content())
        if text:
            removed.append(Block(BlockType.PARAGRAPH, text, kept=False, layer=LAYER, reason=reason))
        if element.getparent() is not None:
            element.drop_tree()
    return removed


def keep_elements(tree: HtmlElement, rules: Rules) -> tuple[Block, ...] | None:
    """Return all blocks: those inside an element of a keep rule are kept, others removed. Return None if no keep rule matches."""
    wanted = {element: reason for reason, element in _find_matches(tree, rules, "keep")}
    if not wanted:
        return None
    names = " or ".join(sorted(set(wanted.values())))
    blocks: list[Block] = []
    markup = MarkupReader()
    for (inside, _), group in groupby(segment(tree).blocks, key=lambda block: (_is_inside(block, wanted), _find_group(block))):
        members = list(group)
        text = normalise("\n".join(block.text for block in members))
        kept = Block(members[0].type, text, path=members[0].box.path)
        if text and inside:
            blocks.append(replace(kept, markup=markup.read(members, kept.type, text)))
        elif text:
            blocks.append(replace(kept, kept=False, layer=LAYER, reason=f"outside {names}"))
    return tuple(blocks)


def _find_matches(tree: HtmlElement, rules: Rules, verb: str) -> Iterator[tuple[str, HtmlElement]]:
    """Yield the elements that match the rules of one kind, with the names of the rules."""
    for selector in getattr(rules, f"{verb}_css"):
        yield from ((f"{verb}_css {selector}", element) for element in select_css(tree, selector))
    for path in getattr(rules, f"{verb}_xpath"):
        yield from ((f"{verb}_xpath {path}", element) for element in _select_xpath(tree, path))


def select_css(tree: HtmlElement, selector: str) -> list[HtmlElement]:
    """Return the elements that match a CSS selector; an invalid selector matches nothing."""
    try:
        found = CSSSelector(selector, translator="html")(tree)
    except SelectorError:
        return []
    return [element for element in found if isinstance(element, HtmlElement)] if isinstance(found, list) else []


def _select_xpath(tree: HtmlElement, path: str) -> list[HtmlElement]:
    try:
        found = tree.xpath(path)
    except etree.XPathError:
        return []
    return [element for element in found if isinstance(element, HtmlElement)] if isinstance(found, list) else []


def _is_inside(block: TextBlock, wanted: dict[HtmlElement, str]) -> bool:
    return any(box.element in wanted for box in block.box.ancestors())


def _find_group(block: TextBlock) -> int:
    """Return the list whose items form one block together, or the block itself."""
    return next((box.index for box in block.box.ancestors() if box.tag in ("ul", "ol")), -1 - block.index)


def apply_field_rules(tree: HtmlElement, rules: Rules, found: Fields, now: datetime) -> Fields:
    """Return the fields with the values that the selectors of the rules find; their provenance is "rules". `now`: the fetch time."""
    for name, selector in sorted(rules.fields.items()):
        values = [value for element in select_css(tree, selector) if (value := _read_value(element))]
        if values:
            found = _set_field(found, name, values, now)
    return found


def _read_value(element: HtmlElement) -> str:
    """Return the value of an element: <meta content>, <time datetime>, otherwise its text."""
    stated = element.get("content") if element.tag == "meta" else element.get("datetime")
    return normalise_line(stated or element.text_content())


def _set_field(found: Fields, name: str, values: Sequence[str], now: datetime) -> Fields:
    provenance = {**found.provenance, name: LAYER}
    if name == "authors":
        people = list(dict.fromkeys(person for value in values for person in split_names(value)))[:MAX_AUTHORS]
        return (
            replace(found, authors=tuple(Author(person, classify_author(person)) for person in people), provenance=provenance)
            if people
            else found
        )
    if name in ("published_at", "modified_at"):
        timestamp = next((timestamp for value in values if (timestamp := parse_timestamp(value, LAYER, now + MAX_AHEAD))), None)
        if timestamp is None:
            return found
        return (
            replace(found, published=timestamp, provenance=provenance)
            if name == "published_at"
            else replace(found, modified=timestamp, provenance=provenance)
        )
    changed: Fields = replace(found, **{name: values[0]}, provenance=provenance) if name in SELECTABLE_FIELDS else found  # type: ignore[arg-type]
    return changed
