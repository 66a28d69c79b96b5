"""Classification of pages that are not articles, with an outcome and a reason. A page without clear evidence is an article."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lxml import etree

from newsmill.extraction.body.prompts import CONSENT_REQUEST_WORDS, CONSENT_WORDS
from newsmill.extraction.body.trailing_lines import read_ending
from newsmill.extraction.metadata.structured_data import StructuredData
from newsmill.extraction.normalise import count_words
from newsmill.extraction.page_type.bot_walls import detect_bot_wall
from newsmill.extraction.page_type.evidence import (
    MAX_SHORT_WORDS,
    MAX_STUB_WORDS,
    MAX_TEXT_CHARACTERS,
    Evidence,
    is_declared_article,
    list_h1,
    read_visible_text,
)
from newsmill.extraction.page_type.list_pages import detect_list_page
from newsmill.extraction.page_type.paywalls import detect_paywall, is_locked_by_ghost
from newsmill.extraction.vocabulary import compile_words
from newsmill.model import Block, Outcome, OutcomeRecord
from newsmill.text.sentences import Sentence

MAX_WALL_WORDS = 400  # words; the longest consent dialogue of large German and French sites has fewer
MIN_TEXT_WORDS = 5  # words; a shorter text has no content on any kind of page
MIN_LABELS = 10  # labels or table cells; a flash of an agency has fewer lines
MAX_LABEL_WORDS = 8  # words of the longest label
MAX_MEAN_LABEL_WORDS = 3.5  # words of a label; verses have five or more
MAX_TITLE_CHARACTERS = 500  # characters examined of the title and the headlines of a page
_NOT_FOUND = compile_words("{not_found}")
_SITE_ERROR = compile_words(r"\W*{site_error}\W*")
_SITE_NAME = re.compile(r"\s[–—·:-]\s.*|\|.*", re.DOTALL)  # or a section, behind the headline in a title
_SCRIPT_REQUEST = compile_words("{script_request}")
_PLACEHOLDER = compile_words(r"\W*(?:{placeholder}\W*){1,3}")
# Pages about the publisher, only at the top of a site or of a language folder: /politik/datenschutz may be an article.
_PUBLISHER_URL = re.compile(
    r"https?://[^/]+/(?:[a-z]{2}/)?(?:impressum|imprint|legal(?:-notice)?|mentions-legales|aviso-legal|note-legali|terms(?:-of-(?:use|service))?|agb|"
    r"nutzungsbedingungen|datenschutz(?:erklaerung)?|privacy(?:-policy)?|confidentialite|privacidad|cookies?(?:-policy)?|kontakt|contact(?:-us|o)?|"
    r"about(?:-us)?|ueber-uns|qui-sommes-nous|newsletters?|mediadaten|advertise|werbung|jobs|faq|login|register|registrieren|anmelden)"
    r"(?:/|\.html?)?(?:[?#].*)?$",
    re.IGNORECASE,
)
_NEWSLETTER_URL = re.compile(r"https?://[^?#]{0,500}/newsletters?/[^/?#]", re.IGNORECASE)  # an issue of a newsletter is longer
_AUDIO_TYPES = frozenset({"AudioObject", "PodcastEpisode", "RadioEpisode"})
# Nothing is shown but an element that is empty until a script finds it, by its id, its class or the name of a custom element.
_IS_APPLICATION = etree.XPath(
    "//script[@src] and //body//*[@id or @class][not(self::script or self::noscript or *)][not(normalize-space())] "
    "and not(//body//*[self::img or self::picture or self::video or self::audio or self::iframe or self::object or self::embed]"
    "[not(ancestor::noscript)])"
)


def classify_page(page: StructuredData, blocks: Sequence[Block], text: str, url: str, status: int = 200) -> OutcomeRecord | None:
    """Return the outcome of a page that is not an article, or None for an article.

    `text` is the cleaned body, `blocks` are all blocks of the page, and `status` is the HTTP status.
    If the body has no text, the visible words of the page decide.
    """
    shown = text or read_visible_text(page.marks.tree)
    ending = read_ending(blocks) or shown[-MAX_STUB_WORDS:]
    evidence = Evidence(page, shown[:MAX_TEXT_CHARACTERS], count_words(shown), is_declared_article(page), url, ending)
    outcome = _detect_publisher_page(evidence) or _detect_short_page(evidence, status)
    if outcome is not None:
        return outcome
    if not text:
        list_page = None if evidence.is_article else detect_list_page(evidence, blocks, empty=True)
        return list_page or OutcomeRecord(Outcome.NO_TEXT, Sentence("no text was found in the page's body"))
    if evidence.is_article:
        return _detect_no_text(evidence)
    return detect_list_page(evidence, blocks, empty=False) or _detect_labels(evidence) or _detect_no_text(evidence)


def _detect_publisher_page(evidence: Evidence) -> OutcomeRecord | None:
    """Detect a page about the publisher or its newsletter by its URL."""
    if evidence.is_article:
        return None
    if _PUBLISHER_URL.match(evidence.url):
        return OutcomeRecord(
            Outcome.NOT_ARTICLE, Sentence("a page of the publisher's own (legal notice, privacy, newsletter, contact), by its URL")
        )
    if evidence.words < MAX_STUB_WORDS and _NEWSLETTER_URL.match(evidence.url):
        return OutcomeRecord(Outcome.NOT_ARTICLE, Sentence("a page of {n} words about a newsletter, by its URL", n=evidence.words))
    return None


def _detect_short_page(evidence: Evidence, status: int) -> OutcomeRecord | None:
    """Detect what only short pages are: errors, walls, recordings; Ghost's notice counts below a text of any length."""
    if is_locked_by_ghost(evidence.page):
        return OutcomeRecord(
            Outcome.PAYWALL, Sentence("{n} words, then {what}", n=evidence.words, what=Sentence("Ghost's notice for subscribers"))
        )
    if evidence.words >= MAX_WALL_WORDS:
        return None
    return (
        _detect_error_page(evidence)
        or detect_bot_wall(evidence)
        or _detect_needs_script(evidence)
        or _detect_consent_wall(evidence)
        or detect_paywall(evidence, status)
        or _detect_recording(evidence)
    )


def _detect_error_page(evidence: Evidence) -> OutcomeRecord | None:
    if evidence.is_article or evidence.words >= MAX_SHORT_WORDS:
        return None
    title, headlines = evidence.page.title or "", list_h1(evidence.page)[:2]
    titles = " | ".join(filter(None, (title, *headlines)))
    is_error = any(_SITE_ERROR.fullmatch(text[:MAX_TITLE_CHARACTERS]) for text in (_SITE_NAME.sub("", title), *headlines))
    if is_error or _NOT_FOUND.search(titles):
        message = titles
    elif evidence.words < MAX_SHORT_WORDS // 2 and _NOT_FOUND.search(evidence.text):
        message = evidence.text
    else:
        return None
    return OutcomeRecord(Outcome.SOFT_404, Sentence("the page says {what} under status 200", what=repr(message[:80])))


def _detect_no_text(evidence: Evidence) -> OutcomeRecord | None:
    """Detect a body with less than MIN_TEXT_WORDS words, or with a placeholder that a script replaces."""
    if evidence.words < MIN_TEXT_WORDS or (evidence.words < MAX_STUB_WORDS and _PLACEHOLDER.fullmatch(evidence.text) is not None):
        return OutcomeRecord(Outcome.NO_TEXT, Sentence("the page's body says only {what}", what=repr(evidence.text[:80])))
    return None


def _detect_labels(evidence: Evidence) -> OutcomeRecord | None:
    """Detect a text without a sentence: the rows of a table, the fields of a form, the captions of pictures.

    Verses are longer than labels. Each of 350 measured articles that declare nothing has a line of 20 words or more.
    """
    cells = [cell for line in evidence.text.split("\n") for cell in line.split(" | ") if cell.strip()]
    if len(cells) < MIN_LABELS or evidence.words > MAX_MEAN_LABEL_WORDS * len(cells):
        return None
    if max(map(count_words, cells)) > MAX_LABEL_WORDS:
        return None
    return OutcomeRecord(
        Outcome.NOT_ARTICLE, Sentence("{n} words in {cells} labels or table cells, and no sentence", n=evidence.words, cells=len(cells))
    )


def _detect_needs_script(evidence: Evidence) -> OutcomeRecord | None:
    if not evidence.words and _IS_APPLICATION(evidence.page.marks.tree):
        return OutcomeRecord(Outcome.NEEDS_SCRIPT, Sentence("an empty element that a script fills"))
    request = _SCRIPT_REQUEST.search(evidence.text) if evidence.words < MAX_SHORT_WORDS else None
    if request is None and evidence.words < 30:
        noscript_text = " ".join(" ".join(element.itertext()) for element in evidence.page.marks.tree.iter("noscript"))[:5000]
        request = _SCRIPT_REQUEST.search(noscript_text)
    if request is None:
        return None
    return OutcomeRecord(Outcome.NEEDS_SCRIPT, Sentence("{n} words, and a request to switch on JavaScript", n=evidence.words))


def _detect_consent_wall(evidence: Evidence) -> OutcomeRecord | None:
    """Detect a text about cookies, consent and data: one mention in 25 words, and at least two different mentions."""
    if evidence.is_article or CONSENT_REQUEST_WORDS.search(evidence.text) is None:
        return None
    mentions = [match.group().lower() for match in CONSENT_WORDS.finditer(" ".join((*list_h1(evidence.page)[:1], evidence.text)))]
    if len(set(mentions)) >= 2 and len(mentions) * 25 >= evidence.words:
        return OutcomeRecord(Outcome.CONSENT_WALL, Sentence("{n} words, all about cookies and consent", n=evidence.words))
    return None


def _detect_recording(evidence: Evidence) -> OutcomeRecord | None:
    """Detect the page of a video or a podcast that has only a description."""
    if evidence.words >= MAX_STUB_WORDS:
        return None
    kind = (evidence.page.first("og:type") or "").lower()
    types = evidence.page.types()
    if kind.startswith("video") or (evidence.page.article is None and "VideoObject" in types):
        return OutcomeRecord(Outcome.NOT_ARTICLE, Sentence("a video with {n} words of text", n=evidence.words))
    if not evidence.is_article and (kind.startswith(("music", "audio")) or types & _AUDIO_TYPES):  # many articles are read aloud
        return OutcomeRecord(Outcome.NOT_ARTICLE, Sentence("a podcast with {n} words of text", n=evidence.words))
    return None
