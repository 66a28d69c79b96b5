"""All fields of a document except its body, each with its provenance."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

from lxml.html import HtmlElement

from newsmill.exceptions import UrlError
from newsmill.extraction import live_updates as extraction_live_updates
from newsmill.extraction.body.markup import resolve_url
from newsmill.extraction.metadata import authors, dates, language, titles
from newsmill.extraction.metadata.date_parsers import MAX_AHEAD, Timestamp, find_written_dates, parse_timestamp
from newsmill.extraction.metadata.structured_data import ARTICLE_TYPES, StructuredData, as_list, get_types, read_text, unescape_html
from newsmill.extraction.normalise import normalise, normalise_line
from newsmill.extraction.vocabulary import build_alternation
from newsmill.model import Author, AuthorType, Hint, Image, LiveUpdate, Page
from newsmill.text import urls
from newsmill.text.caseless_re import CaselessPattern

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
    base = (resolve_url(structured.base, url) if structured.base else None) or url
    for value, source in (
        (next(iter(structured.links.get("canonical", ())), None), "meta"),
        (structured.first("og:url"), "meta"),
    ):
        if value and url:
            try:
                canonical = urls.normalize(value.strip(), base)
                if urls.get_site(canonical) == urls.get_site(url) and not _is_homepage(canonical):
                    return canonical, source
            except UrlError:
                continue
    return None


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


# ---- fields from the positions of a site profile ------------------------------------------------------------------------------

SOURCE = "profile"
# Sources of a date that a proven position overrides, because the page does not state them for machines.
GUESSED_SOURCES = frozenset(("dom", "url", "text", "feed"))


def apply_positions(found: Fields, texts: Mapping[str, str], now: datetime) -> Fields:
    """Return the fields with values from the site's proven positions, if the page's data lacks a field or is its only source.

    `texts` are the texts at these positions by field (`apply_profile.find_field_texts`).
    `now` is the time of the fetch, the upper limit for dates.
    """
    for field, read in (("title", _apply_title), ("authors", _apply_authors), ("published_at", _apply_published)):
        if field in texts:
            found = read(texts[field], found, now)
    return found


def _apply_title(text: str, found: Fields, now: datetime) -> Fields:
    if not titles.split_title_words(text) or titles.split_title_words(text) == titles.split_title_words(found.title or ""):
        return found
    return replace(found, title=normalise_line(text), provenance={**found.provenance, "title": SOURCE})


def _apply_authors(text: str, found: Fields, now: datetime) -> Fields:
    """Replace the authors if the page's data names none or only an organisation."""
    if any(author.type is AuthorType.PERSON for author in found.authors):
        return found
    people = tuple(Author(name, authors.classify_author(name)) for name in authors.split_names(text))
    return replace(found, authors=people, provenance={**found.provenance, "authors": SOURCE}) if people else found


def _apply_published(text: str, found: Fields, now: datetime) -> Fields:
    """Replace the day of publication if the page does not state one for machines."""
    if found.published is not None and found.published.source not in GUESSED_SOURCES:
        return found
    written = next(iter(find_written_dates(text, found.language)), None)
    moment = parse_timestamp(written.days[0], SOURCE, now + MAX_AHEAD) if written is not None and len(written.days) == 1 else None
    if moment is None or (found.published is not None and found.published.day == moment.day):
        return found
    return replace(found, published=moment, provenance={**found.provenance, "published_at": SOURCE})


# ---- access: free or paywalled, the licence, and the directives for robots ----------------------------------------------------

PAYWALL_NOTICE = CaselessPattern(build_alternation("paywall"))
MAX_ENDING_CHARACTERS = 300  # characters at the end of a text in which a paywall notice counts; further up it is a quotation
_LICENSE = re.compile(r"creativecommons\.org/(?:licenses|publicdomain)/", re.IGNORECASE)
# Headers and meta names with directives for robots and text miners (TDMRep: https://www.w3.org/community/reports/tdmrep/).
_ROBOTS_META = (
    "robots",
    "googlebot",
    "googlebot-news",
    "bingbot",
    "tdm-reservation",
    "tdm-policy",
    "gptbot",
    "ccbot",
    "google-extended",
    "anthropic-ai",
)
_ROBOTS_HEADERS = ("x-robots-tag", "tdm-reservation", "tdm-policy")
Access = tuple[bool, str]


def find_access(page: StructuredData, status: int, text: str = "") -> Access | None:
    """Return (is free, reason as text), or None if the page gives no evidence.

    `status` is the HTTP status. `text` is the body, of which only the end is searched for a paywall notice.
    """
    if status in (401, 402):
        return False, f"the server answered {status}"
    declared = _find_declared_access(page)
    if declared is not None:
        return declared
    notice = PAYWALL_NOTICE.search(text[-MAX_ENDING_CHARACTERS:])
    if notice is not None:
        return False, f"the text ends with {notice.group()!r}"
    tier = page.first("article:content_tier")
    if tier is not None and tier.strip().lower() in ("free", "metered", "locked"):
        return tier.strip().lower() == "free", f"meta article:content_tier is {tier.strip().lower()}"
    return None


def _find_declared_access(page: StructuredData) -> Access | None:
    article = page.article or {}
    free = parse_boolean(article.get("isAccessibleForFree"))
    parts = [
        part
        for part in as_list(article.get("hasPart"))
        if isinstance(part, dict) and parse_boolean(part.get("isAccessibleForFree")) is False
    ]
    if parts:
        where = next((part["cssSelector"] for part in parts if isinstance(part.get("cssSelector"), str)), None)
        return False, "JSON-LD says a part is not free" + (f" ({where})" if where else "")
    return None if free is None else (free, f"JSON-LD isAccessibleForFree is {str(free).lower()}")


def parse_boolean(value: Any) -> bool | None:
    """Parse a schema.org Boolean in the spellings of publishers; return None for any other value."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower().rsplit("/", 1)[-1]
    return True if word in ("true", "yes", "1") else False if word in ("false", "no", "0") else None


def find_license(page: StructuredData) -> tuple[str, str] | None:
    """Return the URL or the name of the licence and its provenance, or None if the page states none."""
    article = page.article or {}
    declared = article.get("license")
    if isinstance(declared, dict):
        declared = declared.get("url") or declared.get("@id") or declared.get("name")
    if isinstance(declared, str) and declared.strip():
        return declared.strip(), "json-ld"
    linked = next((href.strip() for href in page.links.get("license", ()) if href.strip()), None)
    if linked:
        return linked, "meta"
    named = page.first("dc.rights.license", "dcterms.license", "license", "dc.rights")
    return (named.strip(), "meta") if named and _LICENSE.search(named) else None


def find_rights(page: StructuredData, headers: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """Return the directives of the page for robots and text miners, by meta name or header name; values are unchanged."""
    rights = {f"meta {name}": ", ".join(page.meta[name]) for name in _ROBOTS_META if name in page.meta}
    for key, value in headers:
        if key.lower() in _ROBOTS_HEADERS:
            name = f"header {key.lower()}"
            rights[name] = f"{rights[name]}, {value}" if name in rights else value
    return rights


# ---- images: the main image, and those of the article with caption and credit -------------------------------------------------

MAX_IMAGES = 50  # images of one article; photo galleries have more, but a text corpus does not need them
_CREDIT_CLASS = re.compile(r"credit|copyright|source|photographer|byline|attribution|quelle|urheber|fotograf|crédit|copyr", re.IGNORECASE)
_CREDIT_WORD = (
    r"(?:photo(?:graph)?|picture|image|illustration|foto\w*|bild|abbildung|quelle|credit|crédits?(?: photo)?|"
    r"fuente|immagine|zdjęcie|fot\.|kuva|фото|写真)"
)
# "(Photo: Jane Doe/AFP)", "Foto: dpa", "© Reuters", "Crédit photo : X" at the end of a caption.
_CAPTION_END = re.compile(
    rf"[\s(\[|–—-]*((?:©|\(c\)|copyright\b|{_CREDIT_WORD}(?:\s*(?:by|von|courtesy of))?\s*[:：/©])\s*[^()]{{2,80}}?)[)\]]?\s*$",
    re.IGNORECASE,
)
_LABEL = re.compile(rf"^(?:{_CREDIT_WORD}\s*(?:by|von)?\s*[:：/]?\s*|©\s*|\(c\)\s*|copyright\s*)+", re.IGNORECASE)
_OUTSIDE_TAGS = frozenset({"nav", "aside", "footer", "header"})
_NOT_A_PICTURE = re.compile(r"^data:|\.svg(?:$|\?)|pixel|spacer|blank\.|placeholder", re.IGNORECASE)


def find_image(page: StructuredData, base: str) -> tuple[str, str] | None:
    """Return the URL of the main image and its provenance, or None."""
    article = page.article or {}
    for value, source in (
        (_read_image_url(article.get("image")), "json-ld"),
        (page.first("og:image:secure_url", "og:image", "og:image:url", "twitter:image", "twitter:image:src"), "meta"),
        (_read_image_url(article.get("thumbnailUrl")), "json-ld"),
        (next(iter(page.links.get("image_src", ())), None), "meta"),
    ):
        image_url = resolve_image_url(value, base)
        if image_url is not None:
            return image_url, source
    return None


def _read_image_url(value: Any) -> str | None:
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, dict):
        value = value.get("url") or value.get("contentUrl") or value.get("@id")
        return _read_image_url(value) if isinstance(value, (list, dict)) else value if isinstance(value, str) else None
    return value if isinstance(value, str) else None


def resolve_image_url(value: str | None, base: str) -> str | None:
    """Resolve a URL against the URL of the page, without credentials; return None if the result is not an http(s) URL of an image."""
    try:
        parts = urlsplit(image_url := urljoin(base, (value or "").strip()))
    except ValueError:
        return None
    if "@" in parts.netloc:
        image_url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return image_url if value and image_url.startswith(("http://", "https://")) and not _NOT_A_PICTURE.search(image_url) else None


def find_images(tree: HtmlElement, base: str) -> tuple[Image, ...]:
    """Return the figures with a caption, outside navigation and teasers, once each, in page order."""
    found: dict[str, Image] = {}
    for figure in tree.iter("figure"):
        image = _read_figure(figure, base)
        if image is not None:
            found.setdefault(image.url, image)
        if len(found) >= MAX_IMAGES:
            break
    return tuple(found.values())


def _read_figure(figure: HtmlElement, base: str) -> Image | None:
    if any(parent.tag in _OUTSIDE_TAGS or parent.tag == "a" for parent in figure.iterancestors()):
        return None
    image_url = next((url for img in figure.iter("img", "source") for url in _list_sources(img) if resolve_image_url(url, base)), None)
    caption = next(figure.iter("figcaption"), None)
    if image_url is None or caption is None:
        return None
    return Image(str(resolve_image_url(image_url, base)), *split_credit(caption))


def _list_sources(img: HtmlElement) -> Iterator[str]:
    for name in ("src", "data-src", "data-original", "data-lazy-src", "srcset", "data-srcset"):
        value = img.get(name)
        if value:
            yield value.split(",")[0].split()[0] if "srcset" in name and value.split() else value


def split_credit(caption: HtmlElement) -> tuple[str | None, str | None]:
    """Split a <figcaption> into caption and credit, by an element for the credit or by a label at the end."""
    whole = normalise_line(" ".join(caption.itertext()))
    marked = next((child for child in caption.iter() if child is not caption and _CREDIT_CLASS.search(child.get("class", ""))), None)
    if marked is not None:
        end = normalise_line(" ".join(marked.itertext()))
        if end and end != whole and whole.endswith(end):
            return whole.removesuffix(end).strip(" |–—-") or None, _LABEL.sub("", end).strip(" ()[]") or None
    match = _CAPTION_END.search(whole)
    if match is None:
        return whole or None, None
    return whole[: match.start()].strip() or None, _LABEL.sub("", match.group(1)).strip(" ()[]") or None
