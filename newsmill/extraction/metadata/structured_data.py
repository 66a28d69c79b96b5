"""The structured data of a page: JSON-LD, <meta>, <link>, <title>, <h1>, <time>; other modules evaluate them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from lxml.html import HtmlElement

from newsmill.extraction.body.markup import resolve_url
from newsmill.extraction.metadata.json_ld import (
    MAX_NODES,
    Node,
    find_listed_nodes,
    get_types,
    is_json_ld,
    list_nodes,
    parse_json_ld,
    read_text,
    resolve_values,
)
from newsmill.extraction.metadata.marked_elements import ARTICLE_TYPES, MAX_TITLE_CHARACTERS, MarkedElements, find_article_items
from newsmill.extraction.normalise import normalise_line

# Types of pages that list other pages (schema.org), which identify an index page.
LIST_TYPES = frozenset({"CollectionPage", "SearchResultsPage", "ProfilePage", "ItemList", "ContactPage", "AboutPage", "CheckoutPage"})
MAX_META_CHARACTERS = 10_000  # characters of one <meta>; some descriptions contain the whole article
MAX_META_VALUES = 100  # contents kept for one <meta> name
MAX_HEADINGS = 20  # headings of a page, <h1> and <h2> together; the headline is among the first
_NAME_ATTRIBUTES = ("name", "property", "http-equiv", "itemprop")
_NAVIGATION_CLASS = re.compile(r"crumb|\bnav|logo|site-?(?:title|name)|brand|masthead", re.IGNORECASE)
_DIALOG_ROLES = frozenset(("dialog", "alertdialog"))  # a request for consent, not the article (WAI-ARIA)
_HOMEPAGE = re.compile(r"(?:https?://[^/?#]+)?/|https?://[^/?#]+", re.IGNORECASE)

_SHOWN_PROPERTIES = frozenset(("articleSection", "dateModified", "keywords"))  # of microdata, which pages also give to what they show


@dataclass(frozen=True, slots=True)
class Heading:
    """An <h1> or <h2>; `is_navigation` is True in a breadcrumb trail, navigation, list, logo, dialog or link to the homepage."""

    text: str
    level: int
    is_navigation: bool


@dataclass(frozen=True, slots=True)
class StructuredData:
    """The structured data of a page. Texts are unchanged; `article` is the JSON-LD node of the article of this page."""

    article: Node | None
    nodes: tuple[Node, ...]
    meta: Mapping[str, tuple[str, ...]]  # name, property, http-equiv or itemprop of the article in lower case → contents in page order
    links: Mapping[str, tuple[str, ...]]  # rel in lower case → href
    title: str | None  # <title>
    headings: tuple[Heading, ...]  # every <h1> and the first <h2>, in page order
    times: tuple[HtmlElement, ...]  # <time>
    marks: MarkedElements
    lang: str | None  # <html lang>
    base: str | None  # <base href>

    def first(self, *names: str) -> str | None:
        """Return the first non-empty <meta> content with any of these names, in the order of the names, or None."""
        return next((value for name in names for value in self.meta.get(name, ()) if value.strip()), None)

    def types(self) -> frozenset[str]:
        """Return every JSON-LD type on the page."""
        return frozenset(kind for node in self.nodes for kind in get_types(node))


def read_structured_data(
    tree: HtmlElement, url: str | None = None, html: bytes | None = None, whole: Callable[[], HtmlElement] | None = None
) -> StructuredData:
    """Read the structured data in one pass over the elements that have any.

    `url` is the URL of the page, which identifies its own article. `html` is the parsed HTML; it saves searches for absent elements.
    `whole` returns the tree of the whole page if `tree` is only a part.
    """
    found = _collect_elements(tree)
    meta, links, headings = found.meta, found.links, found.headings
    title_texts = (normalise_line(element.text_content()[:MAX_TITLE_CHARACTERS]) for element in found.titles if not _is_inside_svg(element))
    title = next(filter(None, title_texts), None)
    stated_titles = (title, *meta.get("og:title", ()), *(heading.text for heading in headings if heading.level == 1))
    marks = MarkedElements(tree, whole, html, tuple(text[:MAX_TITLE_CHARACTERS] for text in stated_titles if text))
    items = marks.items if whole is None else find_article_items(tree, html, marks.titles)
    for element in found.item_metas:
        if not items.is_in_other(element):
            _add_meta(element, meta)
    for name, value in items.list_properties(_SHOWN_PROPERTIES):
        meta.setdefault(name.lower(), [value[:MAX_META_CHARACTERS]])
    resolved, unlisted = _resolve_nodes(found.nodes[:MAX_NODES])
    stated_urls = [*links.get("canonical", ())[:1], *meta.get("og:url", ())[:1]]
    return StructuredData(
        article=_find_own_article(resolved, unlisted, url, stated_urls),
        nodes=tuple(resolved),
        meta={name: tuple(values) for name, values in meta.items()},
        links={rel: tuple(hrefs) for rel, hrefs in links.items()},
        title=title,
        headings=tuple(heading for heading in headings if heading.text),
        times=tuple(found.times),
        marks=marks,
        lang=_read_root_language(tree),
        base=found.base,
    )


@dataclass(slots=True)
class _Elements:
    """What one pass over the elements with structured data finds."""

    meta: dict[str, list[str]] = field(default_factory=dict)
    links: dict[str, list[str]] = field(default_factory=dict)
    headings: list[Heading] = field(default_factory=list)
    times: list[HtmlElement] = field(default_factory=list)
    titles: list[HtmlElement] = field(default_factory=list)
    item_metas: list[HtmlElement] = field(default_factory=list)  # microdata of the article, or of another thing on the page
    nodes: list[Node] = field(default_factory=list)
    base: str | None = None


def _collect_elements(tree: HtmlElement) -> _Elements:
    found = _Elements()
    for element in tree.iter("meta", "link", "script", "title", "h1", "h2", "time", "base"):
        tag = element.tag
        if tag == "meta":
            if "itemprop" in element.attrib and next(element.iterancestors("head"), None) is None:
                found.item_metas.append(element)
            else:
                _add_meta(element, found.meta)
        elif tag == "link":
            for rel in element.get("rel", "").lower().split():
                found.links.setdefault(rel, []).append(element.get("href", ""))
        elif tag == "script":
            if is_json_ld(element):
                found.nodes.extend(islice(list_nodes(parse_json_ld(element.text or "")), MAX_NODES))
        elif tag == "title":
            found.titles.append(element)
        elif tag == "time":
            found.times.append(element)
        elif tag == "base":
            found.base = element.get("href") if found.base is None else found.base
        elif len(found.headings) < MAX_HEADINGS:
            found.headings.append(_read_heading(element))
    return found


def _resolve_nodes(nodes: list[Node]) -> tuple[list[Node], list[Node]]:
    """Return the nodes with references to others resolved, and those of them that are not an item of a list."""
    by_id = {node["@id"]: node for node in nodes if isinstance(node.get("@id"), str) and len(node) > 1}
    resolved: list[Node] = [{key: resolve_values(value, by_id) for key, value in node.items()} for node in nodes]
    listed = find_listed_nodes(nodes, by_id)
    return resolved, [made for node, made in zip(nodes, resolved, strict=True) if id(node) not in listed]


def _add_meta(element: HtmlElement, meta: dict[str, list[str]]) -> None:
    content = element.get("content")
    if content is None:
        return
    content = content[:MAX_META_CHARACTERS]
    for name in {name for attribute, value in element.items() if attribute in _NAME_ATTRIBUTES and (name := value.strip().lower())}:
        name = name.removeprefix("og:") if name.startswith("og:article:") else name  # some plug-ins write both
        values = meta.setdefault(name, [])
        if len(values) < MAX_META_VALUES:
            values.append(content)


def _read_heading(element: HtmlElement) -> Heading:
    around = [element, *list(element.iterancestors())[:3]]
    is_navigation = any(box.tag in ("nav", "li") or _NAVIGATION_CLASS.search(box.get("class", "")) for box in around)
    is_navigation = is_navigation or any(map(_is_dialog, element.iterancestors()))
    text = normalise_line(element.text_content()[:MAX_TITLE_CHARACTERS])
    return Heading(text, int(str(element.tag)[1]), is_navigation or _is_link_to_homepage(element, text))


def _is_dialog(box: HtmlElement) -> bool:
    """Whether a box is a dialog, or what Google Translate adds to a page: its own <h1> is "Original text"."""
    return box.tag == "dialog" or box.get("role") in _DIALOG_ROLES or "skiptranslate" in box.get("class", "")


def _is_link_to_homepage(heading: HtmlElement, text: str) -> bool:
    """Whether the whole heading is a link to a homepage: it is then the name of the site."""
    link = next(heading.iter("a"), None)
    if link is None or _HOMEPAGE.fullmatch(link.get("href", "").strip()) is None:
        return False
    return normalise_line(link.text_content()[:MAX_TITLE_CHARACTERS]) == text


def _is_inside_svg(element: HtmlElement) -> bool:
    parent = element.getparent()
    return parent is not None and parent.tag not in ("head", "html", "body")


def _read_root_language(tree: HtmlElement) -> str | None:
    root = tree.getroottree().getroot()
    return next((value for name in ("lang", "{http://www.w3.org/XML/1998/namespace}lang", "xml:lang") if (value := root.get(name))), None)


def _find_own_article(nodes: list[Node], unlisted: list[Node], url: str | None, stated_urls: list[str]) -> Node | None:
    """Return the article node of this page: the one with a URL of the page, otherwise the first of the best type.

    Nodes with a headline come first. `unlisted` are the nodes outside lists; an article in a list needs a URL of this page.
    `stated_urls` are those that the page states for itself.
    """
    base = url or next(iter(stated_urls), "")
    own_urls = [make_comparable(own) for stated in (base, *stated_urls) if (own := resolve_url(stated, base)) is not None]
    for candidates in (_select_articles(unlisted), _select_articles(nodes)):
        for own_url in own_urls:
            found = [node for node in candidates if any(make_comparable(other) == own_url for other in _list_urls(node, base))]
            if found and (own_url == own_urls[0] or "/" in own_url):  # a homepage as canonical URL is a common template error
                return min(found, key=_rank_types)
    return min(_select_articles(unlisted), key=_rank_types, default=None)  # min returns the first of equal items


def _select_articles(nodes: list[Node]) -> list[Node]:
    articles = [node for node in nodes if any(kind in ARTICLE_TYPES for kind in get_types(node))]
    return [node for node in articles if read_text(node.get("headline")) or read_text(node.get("name"))] or articles


def _rank_types(node: Node) -> int:
    """Rank news before articles before posts and reviews; a lower number is better."""
    return min((ARTICLE_TYPES.index(kind) // 10 for kind in get_types(node) if kind in ARTICLE_TYPES), default=9)


def _list_urls(node: Node, base: str) -> Iterator[str]:
    for key in ("url", "@id", "mainEntityOfPage"):
        value = node.get(key)
        value = value.get("@id", value.get("url")) if isinstance(value, dict) else value
        if isinstance(value, str) and (stated := resolve_url(value, base)) is not None:
            yield stated


def make_comparable(url: str) -> str:
    """Return a URL without the parts that vary between URLs of one page: scheme, "www.", "m.", query, fragment, last slash."""
    return re.sub(r"^https?://(?:www\.|m\.)?|[?#].*$", "", url).rstrip("/")
