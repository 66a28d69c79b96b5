"""An operator's own rules for one source: elements to drop, elements that are the body, and where fields stand. Pure.

A rule that does not match a page changes nothing on it: pages of one source have several layouts. A broken selector matches nothing;
it is refused where the source is read.
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

from newsmill.extraction.body.blocks import TextBlock, segment
from newsmill.extraction.body.markup import MarkupReader
from newsmill.extraction.metadata.fields import Fields
from newsmill.extraction.metadata.person_names import classify_author, split_names
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
)  # that a selector may name the place of
MAX_AUTHORS = 20


def select_active(rules: Rules | None, fetched_at: datetime) -> Rules:
    """The rules, or none for a page fetched after they expired."""
    expired = rules is not None and rules.expires is not None and fetched_at.date() > rules.expires
    return Rules() if rules is None or expired else rules


def drop_elements(tree: HtmlElement, rules: Rules) -> list[Block]:
    """Take what the drop rules match out of the tree; it comes back as removed blocks."""
    removed = []
    for reason, element in _find_matches(tree, rules, "drop"):
        text = normalise(element.text_content())
        if text:
            removed.append(Block(BlockType.PARAGRAPH, text, kept=False, layer=LAYER, reason=reason))
        if element.getparent() is not None:
            element.drop_tree()
    return removed


def keep_elements(tree: HtmlElement, rules: Rules) -> tuple[Block, ...] | None:
    """Every block of the page, kept where a keep rule's element holds it and removed elsewhere; None where no such rule matches."""
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
    """Each element that the rules of one kind match, with the rule's name."""
    for selector in getattr(rules, f"{verb}_css"):
        yield from ((f"{verb}_css {selector}", element) for element in select_css(tree, selector))
    for path in getattr(rules, f"{verb}_xpath"):
        yield from ((f"{verb}_xpath {path}", element) for element in _select_xpath(tree, path))


def select_css(tree: HtmlElement, selector: str) -> list[HtmlElement]:
    """The elements a CSS selector matches."""
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
    """The list whose items make one block together, or the block itself."""
    return next((box.index for box in block.box.ancestors() if box.tag in ("ul", "ol")), -1 - block.index)


# ---- fields --------------------------------------------------------------------------------------------------------------------


def apply_field_rules(tree: HtmlElement, rules: Rules, found: Fields, now: datetime) -> Fields:
    """The fields with those that the operator's selectors find on this page; their provenance says so. `now`: when it was fetched."""
    for name, selector in sorted(rules.fields.items()):
        values = [value for element in select_css(tree, selector) if (value := _read_value(element))]
        if values:
            found = _set_field(found, name, values, now)
    return found


def _read_value(element: HtmlElement) -> str:
    """What an element says: <meta content>, <time datetime>, else its text."""
    stated = element.get("content") if element.tag == "meta" else element.get("datetime")
    return normalise_line(stated or element.text_content())


def _set_field(found: Fields, name: str, values: Sequence[str], now: datetime) -> Fields:
    came = {**found.provenance, name: LAYER}
    if name == "authors":
        people = list(dict.fromkeys(person for value in values for person in split_names(value)))[:MAX_AUTHORS]
        return (
            replace(found, authors=tuple(Author(person, classify_author(person)) for person in people), provenance=came)
            if people
            else found
        )
    if name in ("published_at", "modified_at"):
        moment = next((moment for value in values if (moment := parse_timestamp(value, LAYER, now + MAX_AHEAD))), None)
        if moment is None:
            return found
        return (
            replace(found, published=moment, provenance=came)
            if name == "published_at"
            else replace(found, modified=moment, provenance=came)
        )
    changed: Fields = replace(found, **{name: values[0]}, provenance=came) if name in SELECTABLE_FIELDS else found  # type: ignore[arg-type]
    return changed
