"""Authors: the names in a byline, the authors of a page, and the removal of bylines from its text. Pure.

A name has no "By", no e-mail address, no separate job title and no date. Uncertain names are dropped.
The authors of a page are people first, and organisations where the page names no person. Bylines in the visible page are elements marked
as naming an author, and the line "By …" below the headline.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from typing import Any

from lxml import etree
from lxml.html import HtmlElement

from newsmill.extraction.metadata.date_parsers import find_written_dates
from newsmill.extraction.metadata.other_articles import find_headline, find_teaser_parts
from newsmill.extraction.metadata.structured_data import StructuredData, as_list, get_types, read_text, unescape_html
from newsmill.extraction.metadata.titles import join_letters
from newsmill.extraction.normalise import WORD_MARKS, cache_short_texts, normalise_line
from newsmill.extraction.vocabulary import build_alternation
from newsmill.model import Author, AuthorType, Block, BlockType
from newsmill.text import lazy_re as re

# ---- the names in a byline ----------------------------------------------------------------------------------------------------

MAX_NAME_CHARACTERS = 60  # characters of one name; longer texts are sentences
MAX_CACHED_CHARACTERS = 200  # characters of a cached byline; authors recur on many pages of a site, and several times on each
MAX_NAME_WORDS = 7  # "The Members of the Choir of Radio France" is among the longest names

_BYLINE_WORDS = re.compile(rf"^[\s~•|–—\-]*(?:{build_alternation('byline')})(?:[:：\s]+|$)", re.IGNORECASE)
# Chinese, Japanese and Korean join the role to the name: "记者张三", "글=홍길동 기자", "홍길동 기자 외 1명" ("and one more").
_JOINED_ROLE = re.compile(
    r"^(?:[\u4e00-\u9fff]{2,8}\s)?(?:本[报報])?[记記]者(?=[\u4e00-\u9fff]{2,4}$)|^[\uac00-\ud7a3]{1,10}=(?=[\uac00-\ud7a3])|^文[・=＝](?=\w)"
)
# behind the name: "홍길동 기자 외 1명", "山田太郎 記者", "李明 报道"
_ROLE_BEHIND = re.compile(r"\s(?:(?:\w{0,4}기자|특파원|논설위원|칼럼니스트|앵커)(?:\s외\s\d+명)?|[记記]者|特派員|編集委員|報導|报道|報道)$")
_NOBODY = re.compile(rf"^(?:{build_alternation('not_an_author')})$", re.IGNORECASE)
_CONTACT = re.compile(r"\S{1,64}@\S+|https?://\S+|\bwww\.\S+|@\w+")  # at most 64 characters before the "@" (RFC 5321, 4.5.3.1.1)
_SEPARATOR = re.compile(
    r"\s*(?:[,;|/／•·●‧→\n\u2028、，]|\s[–—-]\s|\s(?:and|und|et|y|e|og|och|ja|ve|dan|oraz|a|és|și|şi|và|и|і|та|και|و|और|และ|with|mit|avec)\s"
    r"|\si\s(?=\S+\s\S)|\s&\s|\bfor\s(?=the\s|[A-Z])|\sfür\s(?=[A-Z]))\s*"
)
_BRACKETS = re.compile(r"\s?[(\[][^()\[\]]*[)\]]")
_HTML_TAG = re.compile(r"<[^<>]*>")
_SPACE = re.compile(r"\s+")
_WORD_JOINER = re.compile("[\u200b\u2060\ufeff]")  # without a width, also beside the words that separate names
_LINE_END = re.compile("[\n\u2028]")
_DATE = re.compile(
    r"\b\d{1,2}\s*[ap]\.?m\b|\d{1,2}[./:]\d{1,2}|\b(?:19|20)\d{2}\b|\d+\s*(?:min|minutes?|minuten|hours?|days?|comments?|kommentare?)\b|^\d+$",
    re.IGNORECASE,
)
# Whole names only, because "Jane", "Marie" and "Julia" begin like a month.
_MONTHS = (
    "jan(?:uary|uar)?|feb(?:ruary|ruar)?|mar(?:ch)?|märz?|apr(?:il)?|ma[iy]|june?|juni|july?|juli|aug(?:ust)?|"
    "sept?(?:ember)?|o[ck]t(?:ober)?|nov(?:ember)?|de[cz](?:ember)?"
)
_WEEKDAYS = "(?:mon|tues|wednes|thurs|fri|satur|sun)day|(?:mo|di|mi|do|fr|sa|so|mon|tue|wed|thu|fri|sat|sun)\\.?"
_MONTH = re.compile(rf"^(?:on\s)?(?:{_WEEKDAYS}|(?:\d{{1,2}}\.?\s)?(?:{_MONTHS})\.?\s*\d{{0,2}}(?:st|nd|rd|th)?)$", re.IGNORECASE)
_JOB_TITLE = re.compile(
    r"^(?:ph\.?\s?d\.?|m\.?d\.?|r\.?d\.?n?\.?|m\.?s\.?c?\.?|b\.?a\.?|m\.?a\.?|mba|cpa|jr\.?|sr\.?|esq\.?)$|"
    rf"\b(?:{build_alternation('job_title')})s?\b",
    re.IGNORECASE,
)  # only behind a name, because some authors sign with their job
_CONJUNCTIONS = frozenset(
    ("and", "und", "et", "y", "e", "og", "och", "ja", "ve", "dan", "oraz", "și", "şi", "và", "и", "і", "та", "και", "with", "mit", "avec")
)  # lower case only, because "Dan" is a name
_AGENCY = re.compile(rf"^(?:{build_alternation('agency')})$", re.IGNORECASE)
_ORGANISATION = re.compile(
    r"\b(?:agency|agentur|agence|agencia|press|news|media|medien|redaktion|rédaction|redacción|redação|redazione|redactie|redaksi|editorial|editors?|staff|team|desk|newsroom|"
    r"bureau|magazine|magazin|journal|times|post|daily|zeitung|tv|radio|gmbh|inc|ltd|llc|ag|e\.?v|foundation|stiftung|institute?|university|universität|network|group|online|"
    r"nachrichten|company|association|verband|ministry|ministerium|blog|services?|tribune|herald|gazette|chronicle|bulletin|clinic|hospital)\b|"
    r"\.(?:com|de|org|net|co|at|ch|fr|it|es|news|eu|info|uk|tr|tv)$",
    re.IGNORECASE,
)


def split_names(text: str) -> list[str]:
    """Return the names in a byline, in order. Line breaks (and U+2028, for element boundaries) separate names as commas do."""
    return list(_split_names_cached(text))


@cache_short_texts(MAX_CACHED_CHARACTERS)
def _split_names_cached(text: str) -> tuple[str, ...]:
    text = _WORD_JOINER.sub("", unescape_html(_HTML_TAG.sub(" ", text)))
    text = _SPACE.sub(lambda run: "\n" if _LINE_END.search(run.group()) else " ", text)
    text = _CONTACT.sub(" ", _BRACKETS.sub("", text))
    names: list[str] = []
    for part in _SEPARATOR.split(text):
        name = normalise_line(part).removesuffix(" &")
        while (match := _BYLINE_WORDS.match(name)) is not None and match.end():
            name = name[match.end() :]
        name = _ROLE_BEHIND.sub("", _JOINED_ROLE.sub("", name))
        name = name.strip(" .,:;|–—-~*©'\"“”") if not re.search(r"\b\w\.$", name) else name.strip(" ,:;|–—-~*©")
        first, _, rest = name.partition(" ")
        name = rest if first in _CONJUNCTIONS else name  # behind a comma: "Jane Doe, John Roe, and Max Moe"
        if _is_name(name) and not (names and _JOB_TITLE.search(name)):
            names.append(name)
    return tuple(dict.fromkeys(names))


def _is_name(name: str) -> bool:
    if not 1 < len(name) <= MAX_NAME_CHARACTERS or len(name.split()) > MAX_NAME_WORDS or not any(char.isalpha() for char in name):
        return False
    if ":" in name or "：" in name:  # the credit of a picture, or another label
        return False
    return not (_NOBODY.match(name) or _MONTH.match(name) or name in _CONJUNCTIONS or _DATE.search(name))


def is_agency(name: str) -> bool:
    """Return True for the name of a news agency, such as "dpa"."""
    return _AGENCY.match(name) is not None


@lru_cache(maxsize=512)
def classify_author(name: str) -> AuthorType:
    """Return ORGANISATION for agencies, desks, newspapers and words that are not names of people, otherwise PERSON."""
    return AuthorType.ORGANISATION if is_agency(name) or _ORGANISATION.search(name) else AuthorType.PERSON


# ---- the authors of a page ----------------------------------------------------------------------------------------------------

MAX_COMPLETED_AUTHORS = 6  # authors of a source that may complete another source; a longer list is the staff of the site
MAX_AUTHORS = 100  # names examined; the longest real byline is that of the investigation of a consortium
MAX_BYLINE_CHARACTERS = 120  # characters of a byline; a longer marked element is a biography or a box
MAX_BYLINE_NAMES = 10  # names in similar elements beside each other; more are a list of other articles or of the staff
MAX_WORDS_BETWEEN = 2  # words between two names of one byline: "and", "together with"
_MAX_LINES_BELOW = 40  # elements after the headline in which a bare "By …" line is a byline; further down it is the source of a quotation
_META_NAMES = (
    "author",
    "article:author",
    "dc.creator",
    "dcterms.creator",
    "parsely-author",
    "sailthru.author",
    "byl",
    "cxenseparse:author",
    "og:author",
    "article:author_name",
    "citation_author",
)
_SURNAME_FIRST = re.compile(r"\s*([^,;]+),\s*([^,;]+)$")  # "Doe, Jane", one author in each <meta> of Highwire Press
_AUTHOR_CLASS = re.compile(r"author|byline|autor(?!i[sz])|redakteur|writer|username", re.IGNORECASE)
# Parts of a byline beside the name: the role of the author, the source of a picture or text, and the time.
_BESIDE_NAME = re.compile(
    r"(?:^|[\s_-])(?:credits?|roles?|jobs?|job-?titles?|occupation|affiliation|dates?|timestamp)(?:$|[\s_-])",
    re.IGNORECASE,
)
_COMMENT_BOX = re.compile(r"comment|kommentar|reply|respond", re.IGNORECASE)
_LINE_TAGS = frozenset(("p", "span", "div", "a", "address", "strong", "em", "li"))
_NAMELESS_TAGS = frozenset(("button", "label", "time", "script", "style", "svg"))
_BY_LINE = re.compile(
    rf"^(?:{build_alternation('byline')})[:：\s]\s*\S|"
    # Chinese, Japanese and Korean: "記者林美麗／高雄報導", "文・佐藤健", "山田太郎 記者", "서울=김철수 기자"
    r"^(?:本[报報])?[记記]者\s?[\u4e00-\u9fff]{2,4}(?:\W|$)|^文[・=＝]|^[^\s\W]{2,12}\s(?:[记記]者|기자)$|^[가-힣]{1,10}=[가-힣]{2,4}\s기자$",
    re.IGNORECASE,
)
_FULL_NAME = re.compile(r"^[^\W\d_a-zß-ÿ][\w.'’-]*(?:\s[\w.'’-]+){1,3}$")
_USER_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_GAP = "· · ·"
Authors = tuple[Author, ...]


def find_authors(page: StructuredData, site_names: frozenset[str], hint: tuple[str, ...] = ()) -> tuple[Authors, str] | None:
    """Return the authors in page order and their provenance, or None if no source names one.

    JSON-LD, <meta>, the byline and the listing are searched in this order for a person, and for an organisation only if none names a
    person: sites put their own name into the data of articles with a byline.
    """

    def select_authors(authors: Iterable[Author]) -> Authors:
        """Return each author once; an author with the name of the site is an organisation."""
        return tuple(_correct_type(author, site_names) for author in _remove_duplicates(authors))

    found = [
        (select_authors(author for value in _find_declared(page) for author in _parse_authors(value)), "json-ld"),
        (select_authors(Author(name, classify_author(name)) for name in _find_meta_names(page)), "meta"),
    ]
    if not any(_has_names(authors) for authors, _ in found):  # a search in the visible page costs more than one in the data
        found.append((select_authors(Author(name, classify_author(name)) for name in find_bylines(page)), "dom"))
        found.append((select_authors(Author(name, classify_author(name)) for value in hint for name in split_names(value)), "feed"))
    found = [(authors, source) for authors, source in found if authors]
    found = [(_drop_publishers(authors), source) for authors, source in found]
    kinds: tuple[Callable[[Authors], object], ...] = (_has_names, _list_person_names, bool)
    chosen = next(((authors, source) for is_kind in kinds for authors, source in found if is_kind(authors)), None)
    return chosen and next(((authors, source) for authors, source in found if source == "meta" and _completes(authors, chosen[0])), chosen)


def _drop_publishers(authors: Authors) -> Authors:
    """Return the authors without the publisher or site that stands beside a person; an agency stays, because it wrote the text too."""
    if not _list_person_names(authors):
        return authors
    return tuple(author for author in authors if author.type is AuthorType.PERSON or is_agency(author.name))


def _has_names(authors: Authors) -> bool:
    """True if a person is named, and not only by a user name such as "jdoe"."""
    return any(author.type is AuthorType.PERSON and not _USER_NAME.fullmatch(author.name) for author in authors)


def _list_person_names(authors: Authors) -> frozenset[str]:
    return frozenset(author.name.casefold() for author in authors if author.type is AuthorType.PERSON)


def _completes(more: Authors, fewer: Authors) -> bool:
    """True if one source names the same people as the other and more: JSON-LD often has only the first of several authors."""
    return (
        len(more) <= MAX_COMPLETED_AUTHORS
        and _list_person_names(more) > _list_person_names(fewer) != frozenset()
        and len(_list_person_names(more)) == len(more)
    )


def _remove_duplicates(authors: Iterable[Author]) -> Authors:
    return tuple({author.name.casefold(): author for author in islice(authors, MAX_AUTHORS)}.values())


def _correct_type(author: Author, site_names: frozenset[str]) -> Author:
    """Make an author with the name of the site an organisation. The author is kept, because a site may have the name of its only author."""
    return Author(author.name, AuthorType.ORGANISATION) if join_letters(author.name) in site_names else author


def _find_declared(page: StructuredData) -> list[Any]:
    article = page.article or {}
    return as_list(article.get("author")) or as_list(article.get("creator"))


def _parse_authors(value: Any) -> Iterator[Author]:
    """Read one author value: a name, a node with a name, or a string with several names."""
    organisation = isinstance(value, dict) and any("Organization" in kind for kind in get_types(value))
    for item in as_list(value.get("name") if isinstance(value, dict) else value):
        for name in split_names(read_text(item) or ""):
            yield Author(name, AuthorType.ORGANISATION if organisation else classify_author(name))


def _find_meta_names(page: StructuredData) -> list[str]:
    """Return the names in <meta>: the first list, or a later one that has all its names and more.

    The free field of Twitter counts only with a label for authors.
    """
    lists = [names for name in _META_NAMES if (names := [found for value in page.meta.get(name, ()) for found in _split_meta(name, value)])]
    if lists:
        return next((names for names in lists[1:] if set(names) > set(lists[0])), lists[0])
    label = (page.first("twitter:label1") or "").casefold()
    return (
        split_names(page.first("twitter:data1") or "")
        if label in ("written by", "verfasst von", "geschrieben von", "écrit par", "escrito por")
        else []
    )


def _split_meta(name: str, value: str) -> list[str]:
    return split_names(_SURNAME_FIRST.sub(r"\2 \1", value) if name == "citation_author" and value.count(",") == 1 else value)


def find_bylines(page: StructuredData) -> list[str]:
    """Return the names in the byline nearest to the headline: that in the smallest box around both.

    Menus and lists of other articles have bylines too. Where no element is marked, a bare "By …" line below the headline counts.
    """
    tree = page.marks.tree
    marked = [element for element in page.marks.bylines if not _is_in_comment(element)]
    headline = find_headline(tree, [title for title in (page.title, page.first("og:title")) if title])
    distance = {} if headline is None else {box: number for number, box in enumerate(headline.iterancestors())}
    by_distance: dict[int, list[HtmlElement]] = {}
    for element in marked:
        nearest = next((distance[box] for box in element.iterancestors() if box in distance), len(distance))
        by_distance.setdefault(nearest, []).append(element)
    names = next(filter(None, (_find_marked_names(by_distance[number]) for number in sorted(by_distance))), [])
    return names or _find_bare_line(headline, tree, page.marks.titles)


def _find_marked_names(marked: list[HtmlElement]) -> list[str]:
    """Return the names of the first marked element with any; microdata and rel=author come before class names."""
    groups = (
        [e for e in marked if e.get("itemprop") in ("author", "creator")],
        [e for e in marked if "author" in e.get("rel", "").split()],
        [e for e in marked if _AUTHOR_CLASS.search(e.get("class", ""))],
        [e for e in marked if "/author/" in e.get("href", "")],
    )
    return next(filter(None, map(_find_first_group, groups)), [])


def _is_in_comment(element: HtmlElement) -> bool:
    return any(
        _COMMENT_BOX.search(f"{box.get('class', '')} {box.get('id', '')}")
        for box in (element, *list(element.iterancestors())[:6])
        if box.tag != "body"
    )


def _find_first_group(elements: list[HtmlElement]) -> list[str]:
    """Return the names of the first element with any, and of similar elements beside it (several authors have separate elements)."""
    for index, element in enumerate(elements):
        names = _read_names(element)
        if names:
            like = [
                other
                for other in elements[index + 1 :]
                if _are_near(element, other) and other.tag == element.tag and other.get("class") == element.get("class")
            ]
            found = list(dict.fromkeys(names + [name for other in like for name in _read_names(other)]))
            return found if len(found) <= MAX_BYLINE_NAMES else []
    return []


def _are_near(left: HtmlElement, right: HtmlElement) -> bool:
    """True for elements with the same parent or the same grandparent."""
    a, b = left.getparent(), right.getparent()
    return a is b or (a is not None and b is not None and a.getparent() is b.getparent())


def _find_bare_line(headline: HtmlElement | None, tree: HtmlElement, titles: Collection[str]) -> list[str]:
    if headline is None:
        return []
    below = (element for element in headline.xpath("following::*") if element.tag in _LINE_TAGS)
    for line in islice(below, _MAX_LINES_BELOW):
        text = " ".join((line.text_content() if len(line) < 6 else "").split())
        if (3 if not text.isascii() else 5) < len(text) <= 80 and _BY_LINE.match(text):
            if line in find_teaser_parts(tree, (line,), titles):
                continue
            return [name for name in _read_names(line) if " " not in name or not name.islower()]
    return []


def _read_names(element: HtmlElement) -> list[str]:
    """Return the names in one element: all names of its first piece with any, and full names in the next pieces up to other text."""
    inner = next((e for e in element.iter() if e is not element and e.get("itemprop") == "name"), element)
    pieces = [inner.get("content", "")] if inner.get("content") else list(_list_pieces(inner))
    if sum(map(len, pieces)) > MAX_BYLINE_CHARACTERS:
        return []
    names: list[str] = []
    for piece in pieces:
        found = [name for name in split_names(piece) if not (names and _JOB_TITLE.search(name))]
        if names and not all(_FULL_NAME.match(name) for name in found):
            break
        if names and not found and len(piece.split()) > MAX_WORDS_BETWEEN:
            break
        names += found
    return names


def _list_pieces(element: HtmlElement) -> Iterator[str]:
    """Yield the texts between element boundaries; two consecutive single words are one name in two elements."""
    pieces = [" ".join(text.split()) for text in _list_texts(element)]
    held = ""
    for piece in filter(None, pieces):
        if held and " " not in held and " " not in piece and piece[:1].isupper() and held[:1].isupper():
            yield f"{held} {piece}"
            held = ""
            continue
        if held:
            yield held
        held = piece
    if held:
        yield held


def _list_texts(element: HtmlElement) -> Iterator[str]:
    """Yield the texts of an element in page order; a longer part beside the name becomes a gap, which ends a row of names."""
    walk = etree.iterwalk(element, events=("start", "end"))
    for event, part in walk:
        if event == "start":
            if part is not element and _is_beside(part):
                walk.skip_subtree()
                yield _GAP if len("".join(part.itertext()).split()) > MAX_WORDS_BETWEEN else ""
            elif part.text:
                yield part.text
        elif part is not element and part.tail:
            yield part.tail


def _is_beside(part: HtmlElement) -> bool:
    return part.tag in _NAMELESS_TAGS or _BESIDE_NAME.search(part.get("class", "")) is not None


# ---- bylines and datelines in the text ----------------------------------------------------------------------------------------

# The removal uses the fields of the page, not word lists. It removes the names of the authors and the day of publication from a line.
# If only a few words remain (a month, a weekday, "by"), the line is a byline or a dateline.
# One of the last paragraphs of a news article that begins with the name of an author is about the author.

LAYER = "rules"
FIRST_BLOCKS = 2  # kept blocks at the start that may be bylines: a name, and a date below it
MAX_LINE_WORDS = 16  # words; names, a weekday, a date, a time and a zone
MAX_OTHER_WORDS = 4  # words that may remain: "by", weekday, month, "Uhr"
LAST_BLOCKS = 3  # kept blocks at the end that may be about the authors: there may be several authors, or a line below
MAX_WORDS_BEFORE_NAME = 3  # words before the name: "Our correspondent Jane Doe is …"
BIOGRAPHY_WORDS = range(6, 121)  # words
_WORD = re.compile(rf"\d+|[^\W\d_]+(?:[{WORD_MARKS}]+[^\W\d_]*)*")
_DATE_UNIT = re.compile(r"(?<=\d)\s?[年月日号號時时点點分秒년월일시분초]")  # in the dates and times of Chinese, Japanese and Korean
_CLOCK = re.compile(r"\d{1,2}\s?[:.h]\s?\d{2}(?!\d|[.]\d)")  # "10:30", "10h30"
_SPEAKER = re.compile(r"[^:：]{1,60}[:：]\s")  # "Jane Doe: When …?" in an interview


def remove_bylines(
    blocks: Sequence[Block], authors: Sequence[Author], day: str | None, *, is_news: bool = False, language: str | None = None
) -> tuple[Block, ...]:
    """Return the blocks, with bylines and datelines among the first kept ones and as the last one marked as removed.

    `day` is the day of publication that the page displays (YYYY-MM-DD), or None if it is unknown. `language` is the tag of the text.
    `is_news` means that the page declares a news article; paragraphs about its authors at the end are then marked too. In guides they
    are text: the gold texts keep 9 of 12 there, and none of 5 on news pages.
    """
    out = list(blocks)
    kept = [index for index, block in enumerate(out) if block.kept and block.type in (BlockType.PARAGRAPH, BlockType.HEADING)]
    above = sorted((*kept, *(index for index, block in enumerate(out) if block.kept and block.type is BlockType.LIST)))  # date and topics
    for index in above[:FIRST_BLOCKS]:
        reason = classify_byline(out[index].text, authors, day, language)
        if reason is None:
            break
        if len(above) <= FIRST_BLOCKS and sum(len(_WORD.findall(out[other].text)) for other in above if other > index) <= MAX_LINE_WORDS:
            break
        out[index] = replace(out[index], kept=False, layer=LAYER, reason=reason)
    last = max((index for index, block in enumerate(out) if block.kept), default=-1)
    if (
        len(kept) > FIRST_BLOCKS + 1
        and last == kept[-1]
        and (reason := classify_byline(out[last].text, authors, day, language)) is not None
    ):
        out[last] = replace(out[last], kept=False, layer=LAYER, reason=reason)
    for index in kept[-LAST_BLOCKS:] if is_news and len(kept) > FIRST_BLOCKS + LAST_BLOCKS else ():
        if out[index].kept and is_about_author(out[index].text, authors):
            out[index] = replace(out[index], kept=False, layer=LAYER, reason="about the author")
    return tuple(out)


def is_about_author(text: str, authors: Sequence[Author]) -> bool:
    """True for a paragraph with the full name of a person among the authors in its first words, and no colon after it.

    >>> is_about_author("Jane Doe is our correspondent in Paris.", [Author("Jane Doe")])
    True
    >>> is_about_author("Jane Doe: When did you come to Paris?", [Author("Jane Doe")])
    False
    """
    words = [word.casefold() for word in _WORD.findall(text)]
    if len(words) not in BIOGRAPHY_WORDS or _SPEAKER.match(text):
        return False
    people = [_WORD.findall(author.name.casefold()) for author in authors if author.type is AuthorType.PERSON]
    return any(len(name) > 1 and _contains_name(words[: MAX_WORDS_BEFORE_NAME + len(name)], name) for name in people)


def classify_byline(text: str, authors: Sequence[Author], day: str | None, language: str | None = None) -> str | None:
    """Return `byline` or `dateline`, or None for a line with other content. `language` is the tag of the text, for other calendars.

    >>> classify_byline("By Jane Doe, 23 November 2026", [Author("Jane Doe")], "2026-11-23")
    'byline'
    >>> classify_byline("22 жовтня 2026 р.", [], "2026-10-22")
    'dateline'
    >>> classify_byline("Jane Doe won the race on 23 November 2026", [Author("Jane Doe")], "2026-11-23")
    """
    line = _CLOCK.sub(" ", _BYLINE_WORDS.sub("", _CONTACT.sub(" ", text)))
    words = [word.casefold() for word in _WORD.findall(_DATE_UNIT.sub(" ", line))]
    names = [_WORD.findall(author.name.casefold()) for author in authors]
    known = {author.name for author in authors}
    if len(text) <= MAX_BYLINE_CHARACTERS and (written := split_names(text)) and known.issuperset(written):
        return "byline"
    if len(words) > MAX_LINE_WORDS:
        return None
    signed = any(_contains_name(words, name) for name in names)
    name_words = {word for name in names for word in name}
    other_words = {word for word in words if not word.isdigit() and word not in name_words}
    numbers = {int(word) for word in words if word.isdecimal() and len(word) <= 4}
    dated = day is not None and (
        {int(day[:4]), int(day[8:10])} <= numbers or any(day in found.days for found in find_written_dates(text, language))
    )
    if len(other_words) > MAX_OTHER_WORDS or not (signed or dated) or (signed and not dated and len(other_words) > 1):
        return None
    return "byline" if signed else "dateline"


def _contains_name(words: Sequence[str], name: Sequence[str]) -> bool:
    return bool(name) and any(list(words[at : at + len(name)]) == list(name) for at in range(len(words) - len(name) + 1))
