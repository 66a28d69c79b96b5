"""The structured data of a page: JSON-LD, <meta>, <link>, <title>, <h1>, <time>. This module reads them; other modules evaluate them."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice
from typing import Any

from lxml import etree
from lxml.html import HtmlElement

from newsmill.extraction.body.blocks import Layout, segment
from newsmill.extraction.body.markup import resolve_url
from newsmill.extraction.metadata.other_articles import MicrodataItems, find_items, find_teaser_parts
from newsmill.extraction.normalise import normalise_line
from newsmill.text.finite_json import DECODER

# schema.org types of one article, by priority; a page without them may still be an article.
ARTICLE_TYPES = (
    "NewsArticle",
    "ReportageNewsArticle",
    "AnalysisNewsArticle",
    "OpinionNewsArticle",
    "BackgroundNewsArticle",
    "AskPublicNewsArticle",
    "ReviewNewsArticle",
    "AdvertiserContentArticle",
    "SatiricalArticle",
    "LiveBlogPosting",
    "Article",
    "BlogPosting",
    "Report",
    "ScholarlyArticle",
    "TechArticle",
    "SocialMediaPosting",
    "Review",
    "Recipe",
    "Claim",
    "ClaimReview",
)
# Types of pages that list other pages (schema.org), which identify an index page.
LIST_TYPES = frozenset({"CollectionPage", "SearchResultsPage", "ProfilePage", "ItemList", "ContactPage", "AboutPage", "CheckoutPage"})
MAX_JSON_LD_CHARACTERS = 2_000_000  # characters of one script; the largest of 1,842 measured pages has 400,000
MAX_NODES = 5_000  # JSON-LD nodes examined; a page with more is data, not an article
MAX_META_CHARACTERS = 10_000  # characters of one <meta>; some descriptions contain the whole article
MAX_META_VALUES = 100  # contents kept for one <meta> name
MAX_TITLE_CHARACTERS = 1_000  # characters of a title or heading; longer texts are neither
MAX_LINKS = 5_000  # links examined for tags; the largest of 1,582 measured pages has 3,400
MAX_HEADINGS = 20  # headings of a page, <h1> and <h2> together; the headline is among the first
# Words in the class of elements that name an author, without a first letter that may be a capital.
_AUTHOR_CLASS = re.compile("uthor|utor|yline|writer|redakteur|username")
_DATE_ELEMENTS = etree.XPath('//@itemprop[contains(., "datePublished")]/..')
_BEFORE_DATE_NAME = re.compile(rb"(?i:itemprop)\s*+=\s*+[\"']?[^\"'>]{0,100}\Z")  # the text before the name of the date
_DATE_NAME, _MAX_ATTRIBUTE_BYTES = b"datePublished", 200  # and the maximum bytes from the start of its attribute to the name
_ITEM_WORDS = (b"itemscope", b"itemScope", b"ITEMSCOPE")
_NAME_ATTRIBUTES = ("name", "property", "http-equiv", "itemprop")
_NAVIGATION_CLASS = re.compile(r"crumb|\bnav|logo|site-?(?:title|name)|brand|masthead", re.IGNORECASE)
_DIALOG_ROLES = frozenset(("dialog", "alertdialog"))  # a request for consent, not the article (WAI-ARIA)
_TAG_LINK = re.compile(rb"rel=[\"']?(?:\w{1,20} ){0,5}tag\b")
_HOMEPAGE = re.compile(r"(?:https?://[^/?#]+)?/|https?://[^/?#]+", re.IGNORECASE)
_JSON_START = re.compile(r"[{\[]")
_COMMENT_LINE = re.compile(r"^[ \t]*+//.*$", re.MULTILINE)
_TRAILING_COMMA = re.compile(r",(\s*[}\]])")
_BAD_ESCAPE = re.compile(r'\\(?!["\\/bfnrtu])')

_SHOWN_PROPERTIES = frozenset(("articleSection", "dateModified", "keywords"))  # of microdata, which pages also give to what they show
_LIST_PROPERTIES = ("itemListElement", "blogPost", "blogPosts")  # of ItemList and Blog (schema.org)

Node = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Heading:
    """An <h1> or <h2>; `is_navigation` is True in a breadcrumb trail, navigation, list, logo, dialog or link to the homepage."""

    text: str
    level: int
    is_navigation: bool


class MarkedElements:
    """The elements of a page that are marked as author or date. They are searched on first use, because most pages do not need them."""

    def __init__(
        self, part: HtmlElement, tree: Callable[[], HtmlElement] | None = None, html: bytes | None = None, titles: tuple[str, ...] = ()
    ) -> None:
        self.part = part  # the part of the page that is already parsed
        self.titles = titles  # what the page calls itself
        self._make = tree
        self._html = html  # the HTML of the whole page

    @cached_property
    def tree(self) -> HtmlElement:
        """The tree of the whole page, for searches outside the structured data. It may be parsed on first use."""
        return self.part if self._make is None else self._make()

    @cached_property
    def layout(self) -> Layout:
        """The text blocks of `part`. They are shared, because they cost a twentieth of the extraction of an unknown page."""
        return segment(self.part)

    @cached_property
    def items(self) -> MicrodataItems:
        """The microdata items of the article of the page and of others."""
        return _find_items(self.tree, self._html, self.titles)

    @cached_property
    def dated(self) -> tuple[HtmlElement, ...]:
        """Microdata: elements with itemprop="datePublished" of the article."""
        if self._html is not None and not _may_have_dates(self._html):
            return ()
        found = _DATE_ELEMENTS(self.tree)
        elements = found if isinstance(found, list) else []
        dated = [element for element in elements if isinstance(element, HtmlElement) and _is_date(element)]
        return tuple(element for element in dated if not self.items.is_in_other(element))

    @cached_property
    def dates(self) -> tuple[str, ...]:
        """The content, datetime or text of the elements in `dated`."""
        return tuple(map(_read_item_date, self.dated))

    @cached_property
    def bylines(self) -> tuple[HtmlElement, ...]:
        """Elements marked as naming an author of the article: by itemprop, rel or class."""
        found = [element for element in self.tree.iter(etree.Element) if names_author(element) and not _is_date(element)]
        teaser_parts = find_teaser_parts(self.tree, found, self.titles) if found else frozenset()
        return tuple(element for element in found if element not in teaser_parts and not self.items.is_in_other(element))

    @cached_property
    def tags(self) -> tuple[str, ...]:
        """The texts of links with rel="tag" (HTML standard 4.6.7.15), without categories, tag clouds and the tags of other articles."""
        if self._html is not None and _TAG_LINK.search(self._html) is None:
            return ()
        links = [link for link in islice(self.tree.iter("a"), MAX_LINKS) if _is_tag(link)]
        teaser_parts = find_teaser_parts(self.tree, links, self.titles) if links else frozenset()
        return tuple(normalise_line(link.text_content()[:MAX_TITLE_CHARACTERS]) for link in links if link not in teaser_parts)


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
    meta: dict[str, list[str]] = {}
    links: dict[str, list[str]] = {}
    headings: list[Heading] = []
    times: list[HtmlElement] = []
    titles: list[HtmlElement] = []
    item_metas: list[HtmlElement] = []  # microdata of the article, or of another thing on the page
    nodes: list[Node] = []
    base = None
    for element in tree.iter("meta", "link", "script", "title", "h1", "h2", "time", "base"):
        tag = element.tag
        if tag == "meta":
            if "itemprop" in element.attrib and next(element.iterancestors("head"), None) is None:
                item_metas.append(element)
            else:
                _add_meta(element, meta)
        elif tag == "link":
            for rel in element.get("rel", "").lower().split():
                links.setdefault(rel, []).append(element.get("href", ""))
        elif tag == "script":
            if is_json_ld(element):
                nodes.extend(islice(_list_nodes(parse_json_ld(element.text or "")), MAX_NODES))
        elif tag == "title":
            titles.append(element)
        elif tag in ("h1", "h2"):
            if len(headings) < MAX_HEADINGS:
                headings.append(_read_heading(element))
        elif tag == "time":
            times.append(element)
        elif base is None:
            base = element.get("href")
    title_texts = (normalise_line(element.text_content()[:MAX_TITLE_CHARACTERS]) for element in titles if not _is_inside_svg(element))
    title = next(filter(None, title_texts), None)
    stated_titles = (title, *meta.get("og:title", ()), *(heading.text for heading in headings if heading.level == 1))
    marks = MarkedElements(tree, whole, html, tuple(text[:MAX_TITLE_CHARACTERS] for text in stated_titles if text))
    items = marks.items if whole is None else _find_items(tree, html, marks.titles)
    for element in item_metas:
        if not items.is_in_other(element):
            _add_meta(element, meta)
    for name, value in items.list_properties(_SHOWN_PROPERTIES):
        meta.setdefault(name.lower(), [value[:MAX_META_CHARACTERS]])
    nodes = nodes[:MAX_NODES]
    by_id = {node["@id"]: node for node in nodes if isinstance(node.get("@id"), str) and len(node) > 1}
    resolved: list[Node] = [{key: _resolve_values(value, by_id) for key, value in node.items()} for node in nodes]
    listed = _find_listed_nodes(nodes, by_id)
    unlisted = [made for node, made in zip(nodes, resolved, strict=True) if id(node) not in listed]
    stated_urls = [*links.get("canonical", ())[:1], *meta.get("og:url", ())[:1]]
    return StructuredData(
        article=_find_own_article(resolved, unlisted, url, stated_urls),
        nodes=tuple(resolved),
        meta={name: tuple(values) for name, values in meta.items()},
        links={rel: tuple(hrefs) for rel, hrefs in links.items()},
        title=title,
        headings=tuple(heading for heading in headings if heading.text),
        times=tuple(times),
        marks=marks,
        lang=_read_root_language(tree),
        base=base,
    )


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


def _find_items(tree: HtmlElement, html: bytes | None, titles: tuple[str, ...]) -> MicrodataItems:
    """Find the microdata items, unless the HTML shows that there are none, which is faster than a search in the tree."""
    if html is not None and not any(word in html for word in _ITEM_WORDS):
        return MicrodataItems(None, frozenset())
    return find_items(tree, ARTICLE_TYPES, titles)


def _may_have_dates(html: bytes) -> bool:
    """Whether the HTML may have a date in microdata. This check takes a tenth of the time of a search in the tree."""
    at = html.find(_DATE_NAME)
    while at >= 0:
        if _BEFORE_DATE_NAME.search(html, max(0, at - _MAX_ATTRIBUTE_BYTES), at) is not None:
            return True
        at = html.find(_DATE_NAME, at + 1)
    return False


def names_author(element: HtmlElement) -> bool:
    """Whether an element is marked as naming an author: by class, by microdata, or as a link."""
    classes = element.get("class")
    if classes and _AUTHOR_CLASS.search(classes) is not None:
        return True
    if element.get("itemprop") in ("author", "creator"):
        return True
    return element.tag == "a" and (element.get("rel") == "author" or "/author/" in element.get("href", ""))


def _is_date(element: HtmlElement) -> bool:
    return "datePublished" in element.get("itemprop", "").split()


def _is_tag(link: HtmlElement) -> bool:
    rel = link.get("rel", "").lower().split()
    return "tag" in rel and "category" not in rel and next(link.iterancestors("aside", "nav"), None) is None


def _read_item_date(element: HtmlElement) -> str:
    return element.get("content") or element.get("datetime") or normalise_line(element.text_content()[:200])


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


def is_json_ld(script: HtmlElement) -> bool:
    """Return True for a script that declares JSON-LD, with any parameters of its type."""
    return "ld+json" in script.get("type", "").lower()


def parse_json_ld(text: str) -> Any:
    """Parse JSON-LD, also with raw line breaks, trailing commas, stray backslashes, comment lines, or escaped like HTML.

    Text around it does not count: comment marks, CDATA marks, a byte order mark, a semicolon.
    Several documents in one script become a list. Return None for other errors.
    """
    if len(text) > MAX_JSON_LD_CHARACTERS:
        return None
    text = text.replace("<![CDATA[", "")
    if '"' not in text:
        text = html.unescape(text)
    documents, is_whole = _decode_documents(text)
    if not is_whole:
        text = _COMMENT_LINE.sub("", text)
        documents, _ = _decode_documents(_BAD_ESCAPE.sub(r"\\\\", _TRAILING_COMMA.sub(r"\1", text)))
    return documents if len(documents) > 1 else next(iter(documents), None)


def _decode_documents(text: str) -> tuple[list[Any], bool]:
    """Return the JSON documents in a text up to the first error, and whether there was none."""
    documents: list[Any] = []
    start = _JSON_START.search(text)
    while start is not None:
        try:
            document, end = DECODER.raw_decode(text, start.start())
        except (ValueError, RecursionError):  # a number of 4,301 digits raises a plain ValueError
            return documents, False
        documents.append(document)
        start = _JSON_START.search(text, end)
    return documents, True


def _list_nodes(value: Any, depth: int = 0) -> Iterator[Node]:
    """Yield every object of a JSON-LD document that has a type or an id, outer ones first. The caller stops after MAX_NODES."""
    if isinstance(value, list):
        for item in value:
            yield from _list_nodes(item, depth)
    elif isinstance(value, dict) and depth < 20:
        if "@type" in value or "@id" in value:
            yield value
        for item in value.values():
            if isinstance(item, (dict, list)):
                yield from _list_nodes(item, depth + 1)


def _resolve_values(value: Any, by_id: Mapping[str, Node]) -> Any:
    """Replace references by @id with the nodes that they refer to, one level deep, and {"@value": …} with the value."""
    if isinstance(value, list):
        return [_resolve_values(item, by_id) for item in value]
    if not isinstance(value, dict):
        return value
    if isinstance(literal := value.get("@value"), (str, int, float)):
        return literal
    name = value.get("@id")
    return by_id.get(name, value) if isinstance(name, str) and set(value) <= {"@id", "@type"} else value


def _find_listed_nodes(nodes: list[Node], by_id: Mapping[str, Node]) -> frozenset[int]:
    """Return the `id()` of each node in a list of several things, such as the other articles of the site."""
    lists = [node[key] for node in nodes for key in _LIST_PROPERTIES if key in node and "BreadcrumbList" not in get_types(node)]
    inner = (item for items in lists if isinstance(items, list) and len(items) > 1 for item in islice(_list_nodes(items), MAX_NODES))
    return frozenset(id(_resolve_values(item, by_id)) for item in inner)


def get_types(node: Node) -> tuple[str, ...]:
    """Return the types of the node without namespace, for example ("NewsArticle",)."""
    value = node.get("@type")
    if isinstance(value, str):
        return (_strip_namespace(value),)
    return tuple(_strip_namespace(kind) for kind in value if isinstance(kind, str)) if isinstance(value, list) else ()


@lru_cache(maxsize=1000)  # extraction reads the types of a page about sixty times
def _strip_namespace(kind: str) -> str:
    return re.split(r"[/:#]", kind)[-1]


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


def as_list(value: Any) -> list[Any]:
    """Return a JSON-LD value as a list: the list itself, a list of the single value, or an empty list for None."""
    return value if isinstance(value, list) else [] if value is None else [value]


def read_text(value: Any) -> str | None:
    """Return a JSON-LD value as one line of text, or None. It reads strings, {"@value": …} and the first item of a list."""
    if isinstance(value, list):
        value = next((item for item in value if item), None)
    if isinstance(value, dict):
        value = value.get("@value") or value.get("name")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    return normalise_line(unescape_html(value)) or None if isinstance(value, str) else None


def unescape_html(text: str) -> str:
    """Unescape character references, twice, because publishers escape their JSON-LD like HTML."""
    return html.unescape(html.unescape(text)) if "&" in text else text
