"""The images of an article: the main one, and the others with caption and credit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin, urlsplit

from lxml.html import HtmlElement

from newsmill.extraction.metadata.structured_data import StructuredData
from newsmill.extraction.normalise import normalise_line
from newsmill.extraction.vocabulary import compile_words
from newsmill.model import Image

MAX_IMAGES = 50  # images of one article; photo galleries have more, but a text corpus does not need them
_CREDIT_CLASS = re.compile(r"credit|copyright|source|photographer|byline|attribution|quelle|urheber|fotograf|crédit|copyr", re.IGNORECASE)
# "(Photo: Jane Doe/AFP)", "Foto: dpa", "© Reuters", "Crédit photo : X" at the end of a caption.
_CAPTION_END = compile_words(
    r"[\s(\[|–—-]*((?:©|\(c\)|copyright\b|{picture_credit}(?:\s*(?:by|von|courtesy of))?\s*[:：/©])\s*[^()]{2,80}?)[)\]]?\s*$"
)
_LABEL = compile_words(r"^(?:{picture_credit}\s*(?:by|von)?\s*[:：/]?\s*|©\s*|\(c\)\s*|copyright\s*)+")
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
