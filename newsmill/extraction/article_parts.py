"""An article on several pages becomes one document: the pages that show the same article are joined, and what they repeat is left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import replace
from datetime import timedelta

from newsmill.discovery.article_pages import find_page_number
from newsmill.exceptions import UrlError
from newsmill.extraction.document_identity import hash_text
from newsmill.extraction.normalise import count_words, normalise_line
from newsmill.extraction.site_profile.site_keys import NON_PROSE_TYPES
from newsmill.model import Block, Document, ExtractionResult, Image, Page
from newsmill.text import urls
from newsmill.text.sentences import Sentence, join_sentences

MAX_SHOWN_URL = 500  # characters of a URL in a warning
MAX_TEXT_CHARACTERS = 2_000_000  # of all pages together, as of one
MAX_DATE_GAP = timedelta(days=1)  # between the pages of one article, of which one may name only the day
MIN_SHARED_TITLE = 0.6  # of the words of the shorter title: "Bridges" and "Bridges - page 2"
MIN_SHARED_TEXT = 0.8  # of the paragraphs of the first page that "all on one page" has too
MIN_REPEATED_WORDS = 8  # of a line that is left out inside a page; a shorter one may be meant ("No.")


def describe_next_page(url: str) -> str:
    """The warning that names a page that is not part of the document."""
    return Sentence("the article continues at {url}, which is not part of this text", url=url[:MAX_SHOWN_URL])


def join_parts(first: ExtractionResult, parts: Sequence[tuple[Page, ExtractionResult]]) -> ExtractionResult:
    """The result of the first page, which has a document, with the text of the further pages up to the first that shows something else."""
    document = first.document
    assert document is not None
    blocks = first.blocks or document.blocks
    last, joined, warning, block_pages = first, [document], None, [document.url] * len(blocks)
    for page, result in parts:
        added, reason = _read_part(document, blocks, page, result)
        if reason is not None:
            warning = Sentence("{url} is not part of this text: {reason}", url=page.url[:MAX_SHOWN_URL], reason=reason)
            break
        assert result.document is not None
        known = 0 if _is_whole(page, document) else len(blocks)
        block_pages[known:] = [page.url] * (len(added) - known)
        blocks, last = added, result
        joined.append(result.document)
    if len(joined) > 1:
        document = _join_documents(document, joined, [block for block in blocks if block.kept])
        names = " ".join(part.url[:MAX_SHOWN_URL] for part in joined[1:])
        document = replace(
            document, warnings=(*document.warnings, Sentence("joined from {n} pages, with {urls}", n=len(joined), urls=names))
        )
    left = last.next_page if warning is None else None
    hidden = {result.next_page for result in (first, *(result for _, result in parts))} - {left, None}
    document = replace(document, warnings=_drop_page_warnings((*document.warnings, *filter(None, [warning])), hidden))
    result = replace(first, document=document, blocks=tuple(blocks) if first.blocks else (), next_page=last.next_page)
    return replace(result, block_pages=tuple(block_pages)) if result.blocks and len(joined) > 1 else result


def _drop_page_warnings(warnings: Iterable[str], urls: Set[str | None]) -> tuple[str, ...]:
    """The warnings, each once, without those that the article continues at one of the URLs."""
    hidden = {describe_next_page(url) for url in urls if url is not None}
    return tuple(dict.fromkeys(warning for warning in warnings if warning not in hidden))


def _read_part(document: Document, blocks: Sequence[Block], page: Page, result: ExtractionResult) -> tuple[tuple[Block, ...], str | None]:
    """The blocks with those of one more page, and why the page is not part of the article, if it is not."""
    part = result.document
    if part is None:
        return (), join_sentences(filter(None, (result.ending.outcome, result.ending.detail)), ", ")
    if (reason := _find_difference(document, part)) is not None:
        return (), reason
    known, shown = _list_texts(blocks), _list_texts(part.blocks)
    if _is_whole(page, document):
        if len(known & shown) < MIN_SHARED_TEXT * len(known):
            return (), Sentence("it does not have the text of the first page")
        return result.blocks or part.blocks, None
    added = _drop_repeated(result.blocks or part.blocks, known | {*map(_fold, filter(None, (document.title, document.description)))})
    if not any(block.kept and block.type not in NON_PROSE_TYPES for block in added):
        return (), Sentence("it repeats the text of the pages before")
    joined = (*blocks, *added)
    if sum(len(block.text) for block in joined if block.kept) > MAX_TEXT_CHARACTERS:
        return (), Sentence("the text of all pages has over {n:,} characters", n=MAX_TEXT_CHARACTERS)
    return joined, None


def _is_whole(page: Page, document: Document) -> bool:
    """Whether a further page has all pages on one."""
    return find_page_number(page.url, document.url) is None


def _find_difference(document: Document, part: Document) -> str | None:
    """What shows that a page is another article; None if nothing does."""
    canonical = part.canonical_url
    if canonical is not None and canonical not in (part.url, document.canonical_url) and not _is_of(canonical, document):
        return Sentence("its canonical URL is {url}", url=canonical[:MAX_SHOWN_URL])
    if document.title and part.title and not _is_same_title(document.title, part.title):
        return Sentence("it has the title {title}", title=repr(part.title))
    if document.published_at and part.published_at and abs(document.published_at - part.published_at) > MAX_DATE_GAP:
        return Sentence("it was published on {day}", day=f"{part.published_at:%Y-%m-%d}")
    return None


def _is_of(url: str, document: Document) -> bool:
    """Whether a URL is that of the document, or of one of its pages."""
    try:
        own = {urls.make_key(one) for one in (document.url, document.canonical_url) if one}
        return urls.make_key(url) in own or find_page_number(urls.normalize(url), urls.normalize(document.url)) is not None
    except UrlError:
        return False


def _is_same_title(one: str, other: str) -> bool:
    first, second = _fold(one), _fold(other)
    if first in second or second in first:
        return True
    shorter, longer = sorted(({*first.split()}, {*second.split()}), key=len)
    return len(shorter & longer) >= MIN_SHARED_TITLE * len(shorter)


def _fold(text: str) -> str:
    return normalise_line(text).casefold()


def _list_texts(blocks: Sequence[Block]) -> set[str]:
    return {_fold(block.text) for block in blocks if block.kept and block.type not in NON_PROSE_TYPES}


def _drop_repeated(blocks: Sequence[Block], known: set[str]) -> tuple[Block, ...]:
    """The blocks of a page; those are not kept that an earlier page has too: headline and teaser at its top, and whole lines below."""
    is_top, out = True, []
    for block in blocks:
        is_repeated = block.kept and _fold(block.text) in known
        if is_repeated and (is_top or count_words(block.text) >= MIN_REPEATED_WORDS):
            block = replace(block, kept=False, layer="rules", reason="repeated from an earlier page of the article")
        elif block.kept and block.type not in NON_PROSE_TYPES:
            is_top = False
        out.append(block)
    return tuple(out)


def _join_documents(document: Document, joined: Sequence[Document], blocks: Sequence[Block]) -> Document:
    text = "\n\n".join(block.text for block in blocks if block.type not in NON_PROSE_TYPES)
    images: dict[str, Image] = {}
    for image in (image for part in joined for image in part.images):
        images.setdefault(image.url, image)
    return replace(
        document,
        text=text,
        blocks=tuple(blocks),
        images=tuple(images.values()),
        word_count=count_words(text),
        content_hash=hash_text(f"{document.title or ''}\n\n{text}"),
        confidence=min((part.confidence for part in joined if part.confidence is not None), default=None),
        warnings=tuple(warning for part in joined for warning in part.warnings),
    )
