"""All fields of a document except its body, each with its provenance."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lxml.html import HtmlElement

from newsmill.exceptions import UrlError
from newsmill.extraction import live_updates as extraction_live_updates
from newsmill.extraction.body.markup import resolve_url
from newsmill.extraction.metadata import authors, dates, language, titles
from newsmill.extraction.metadata.access import find_access, find_license, find_rights
from newsmill.extraction.metadata.images import find_image, find_images
from newsmill.extraction.metadata.json_ld import get_types, read_text, unescape_html
from newsmill.extraction.metadata.marked_elements import ARTICLE_TYPES
from newsmill.extraction.metadata.structured_data import StructuredData
from newsmill.extraction.metadata.timestamps import Timestamp
from newsmill.extraction.normalise import normalise, normalise_line
from newsmill.model import Author, Hint, Image, LiveUpdate, Page
from newsmill.text import urls

# Also of a language: /de/, /en-gb/, /fr/index.html.
_HOMEPAGE = re.compile(r"https?://[^/]+(?:/[a-z]{2}(?:[-_][a-z]{2})?)?/?(?:(?:index|default|home)(?:\.\w{2,5})?/?)?", re.IGNORECASE)
# Folders of all articles of a site, which generators declare as the section: they tell the kind of a page and not its subject.
_ARTICLE_FOLDERS = frozenset("post posts article articles artikel story stories entry entries beitrag beitraege beiträge".split())  # noqa: SIM905
_SECTION_META = ("article:section", "articlesection", "section", "parsely-section", "cxenseparse:section", "dc.subject")
MAX_TAGS = 50  # a longer list consists of keywords for search engines


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of a document; `provenance` gives the origin of each field that was found."""

    canonical_url: str | None
    original_url: str | None
    site_name: str | None
    title: str | None
    description: str | None
    authors: tuple[Author, ...]
    published: Timestamp | None
    modified: Timestamp | None
    language: str | None
    section: str | None
    tags: tuple[str, ...]
    image: str | None
    images: tuple[Image, ...]
    article_type: str | None
    live_updates: tuple[LiveUpdate, ...]
    is_free: bool | None
    is_free_reason: str | None
    license: str | None
    rights: Mapping[str, str]
    provenance: Mapping[str, str]


def find_fields(
    structured: StructuredData,
    tree: HtmlElement,
    page: Page,
    text: str,
    fallback_language: str | None,
    ending: str = "",
    site_tags: tuple[str, ...] = (),
) -> Fields:
    """Find all fields of one page.

    `text` is the cleaned body, whose language counts if the page declares none; `ending` is the end of the body before cleaning.
    `site_tags` are tags in <meta> that all pages of the site have.
    """
    hint: Hint = page.hint
    base = page.url
    provenance: dict[str, str] = {}

    def record(name: str, found: tuple[Any, str] | None) -> Any:
        if found is None:
            return None
        provenance[name] = found[1]
        return found[0]

    site_name = record("site_name", find_site_name(structured))
    tag = record("language", language.find_language(structured, text, fallback_language, hint.language))
    published = dates.find_published(structured, page.url, page.fetched_at, hint.published, tag)
    modified = dates.find_modified(structured, published, page.fetched_at, hint.modified_at)
    for name, timestamp in (("published_at", published), ("modified_at", modified)):
        if timestamp is not None:
            provenance[name] = timestamp.source
    free = find_access(structured, page.status, ending or text)
    return Fields(
        canonical_url=record("canonical_url", find_canonical_url(structured, page.url)),
        original_url=record("original_url", find_original_url(structured, page.url)),
        site_name=site_name,
        title=record("title", titles.find_title(structured, page.url, hint.title)),
        description=record("description", _find_description(structured)),
        authors=record("authors", authors.find_authors(structured, titles.find_site_names(structured, page.url), hint.authors)) or (),
        published=published,
        modified=modified,
        language=tag,
        section=record("section", _find_section(structured)),
        tags=record("tags", _find_tags(structured, hint.tags, site_tags)) or (),
        image=record("image", find_image(structured, base)),
        images=(*find_images(tree, base),),
        article_type=record("article_type", _find_article_type(structured)),
        live_updates=extraction_live_updates.find_updates(structured, page.fetched_at),
        is_free=free and free[0],
        is_free_reason=free and free[1],
        license=record("license", find_license(structured)),
        rights=find_rights(structured, page.headers),
        provenance=provenance,
    )


def find_canonical_url(structured: StructuredData, url: str) -> tuple[str, str] | None:
    """Return the canonical URL and its provenance, or None.

    A canonical URL on another site is ignored, and so is a homepage (a common template error). Like every link it is relative to the base
    of the page.
    """
    stated = next(iter(structured.links.get("canonical", ())), None), structured.first("og:url")
    found = (canonical for value in stated if (canonical := _resolve_article(structured, value, url)) is not None)
    return next(((canonical, "meta") for canonical in found if urls.find_site(canonical) == urls.find_site(url)), None)


def find_original_url(structured: StructuredData, url: str) -> tuple[str, str] | None:
    """Return the canonical URL (RFC 6596) and its provenance if it is an article on another site, or None."""
    original = _resolve_article(structured, next(iter(structured.links.get("canonical", ())), None), url)
    return None if original is None or urls.find_site(original) == urls.find_site(url) else (original, "meta")


def _resolve_article(structured: StructuredData, value: str | None, url: str) -> str | None:
    """Return a link of the page as a URL; None for one that is no URL, or leads to a homepage."""
    if not value or not url:
        return None
    try:
        base = (resolve_url(structured.base, url) if structured.base else None) or url
        resolved = urls.normalize(value.strip(), base)
    except UrlError:
        return None
    return None if _is_homepage(resolved) else resolved


def _is_homepage(url: str) -> bool:
    return _HOMEPAGE.fullmatch(url) is not None


def find_site_name(structured: StructuredData) -> tuple[str, str] | None:
    """Return the name of the site and its provenance: og:site_name, the JSON-LD publisher, or application-name. None if there is none."""
    name = structured.first("og:site_name")
    if name:
        return normalise_line(unescape_html(name)), "meta"
    publisher = read_text((structured.article or {}).get("publisher"))
    if publisher:
        return publisher, "json-ld"
    site = next((read_text(node.get("name")) for node in structured.nodes if "WebSite" in get_types(node) and node.get("name")), None)
    if site:
        return site, "json-ld"
    name = structured.first("application-name", "apple-mobile-web-app-title", "twitter:site:name")
    return (normalise_line(unescape_html(name)), "meta") if name else None


def _find_description(structured: StructuredData) -> tuple[str, str] | None:
    found = structured.first("og:description", "description", "twitter:description", "dc.description")
    if found and normalise_line(unescape_html(found)):
        return normalise(unescape_html(found)), "meta"
    declared = read_text((structured.article or {}).get("description"))
    return (declared, "json-ld") if declared else None


def _find_section(structured: StructuredData) -> tuple[str, str] | None:
    meta = structured.first(*_SECTION_META)
    for found, source in (
        (read_text((structured.article or {}).get("articleSection")), "json-ld"),
        (meta and normalise_line(unescape_html(meta)), "meta"),
        (_find_breadcrumb(structured), "json-ld"),
    ):
        if found and found.lower() not in _ARTICLE_FOLDERS:
            return found, source
    return None


def _find_breadcrumb(structured: StructuredData) -> str | None:
    """Return the first step of the JSON-LD breadcrumb trail between the homepage and the page itself."""
    node = next((node for node in structured.nodes if "BreadcrumbList" in get_types(node)), None)
    steps = node.get("itemListElement") if node is not None else None
    names = [_read_step_name(step) for step in steps if isinstance(step, dict)] if isinstance(steps, list) else []
    return names[1] if len(names) >= 3 else None


def _read_step_name(step: Mapping[str, Any]) -> str | None:
    item = step.get("item")
    return read_text(step.get("name")) or (read_text(item.get("name")) if isinstance(item, dict) else None)


_JOINED_TAGS = re.compile(r",(?=[^\s\d])")  # "Spain,Europe" are two tags, "Paris, Texas" and "1,000 words" one


def _find_tags(structured: StructuredData, hint: tuple[str, ...], site_tags: tuple[str, ...]) -> tuple[tuple[str, ...], str] | None:
    declared = (structured.article or {}).get("keywords")
    listed = (
        [read_text(item) for item in declared] if isinstance(declared, list) else _split_tags(declared if isinstance(declared, str) else "")
    )
    contents = [unescape_html(tag) for tag in structured.meta.get("article:tag", ())]
    metas = [normalise_line(tag) for content in contents for tag in _JOINED_TAGS.split(content)]
    named = _split_tags(structured.first("news_keywords") or "")
    # of search engines, and on many sites the same on every page
    keywords = _split_tags(structured.first("keywords", "parsely-tags") or "")
    declared_tags = ((listed, "json-ld"), (metas, "meta"), (named, "meta"))
    linked = () if any(any(values) for values, _ in declared_tags) else structured.marks.tags
    for values, source in (*declared_tags, (linked, "dom"), (keywords, "meta"), (hint, "feed")):
        tags = tuple(dict.fromkeys(tag for tag in values if tag))[:MAX_TAGS]
        if tags and (source != "meta" or tags != site_tags):
            return tags, source
    return None


def _split_tags(text: str) -> list[str]:
    separator = ";" if ";" in text and "," not in text else ","
    return [normalise_line(part) for part in unescape_html(text).split(separator)]


def _find_article_type(structured: StructuredData) -> tuple[str, str] | None:
    kinds = get_types(structured.article or {})
    if kinds:
        return next((kind for kind in kinds if kind in ARTICLE_TYPES), kinds[0]), "json-ld"
    found = structured.first("og:type")
    return (found.strip(), "meta") if found else None
