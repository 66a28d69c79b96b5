"""What a line at the end of a body is when it is not the article: the shapes of footers. The words are in vocabulary.toml.

A rule must be true of sites in general, so each one asks for a shape (short, no sentence) besides a word.
"""

from __future__ import annotations

import re

from newsmill.read.vocabulary import any_of

LONGEST = 600  # characters of a footer line; the longest notices of rights have 400
_MARK = r"[\s*•–—\-(\[>»→/|]*"
_AGENCY = f"(?:{any_of('agency')})"
# "Quelle: dpa", "Source - Reuters", "source site-40". A dash counts as a mark only between blanks: "Source-code leak" is a headline.
_LABEL = re.compile(
    rf"^(?P<stop>[.·]\s+)?{_MARK}(?:{any_of('source')})(?:\s*(?P<mark>[:：|]|\s[\-–—/](?=\s)))?\s*(?P<rest>.*)$", re.IGNORECASE
)
_AGENCY_LINE = re.compile(
    rf"^{_MARK}©?\s*(?:(?:with|mit|avec|con|com|met|med|из|by|von)\s+)?{_AGENCY}"
    rf"(?:[\s/,+&.\-–—]+(?:(?:and|und|et|y|e|en|og|och|\w{{2,3}})\s+)?{_AGENCY})*[\s)\].]*$",
    re.IGNORECASE,
)
# "(dpa)", "(AFP/Reuters)", "(mkr/dpa)", "(APA, 12.1.2022)" behind the last sentence. Every repetition is bounded: linear.
_AGENCY_END = re.compile(
    rf"\s*[(\[](?:[\w.]{{1,5}}\s?[/,+]\s?){{0,3}}{_AGENCY}(?:\s?[/,+&–-]\s?[\w.]{{1,12}}){{0,3}}"
    r"(?:,\s?\d{1,2}\.\s?\d{1,2}\.\s?\d{2,4})?[)\]]\s*\.?$",
    re.IGNORECASE,
)
_AGENCY_NUMBER = re.compile(r"^©?\s*(?:dpa-infocom|dpa)?,?\s*dpa:[\d:/\-]+$", re.IGNORECASE)  # "© dpa-infocom, dpa:220112-99-678901/3"
_REPRINT = re.compile(any_of("reprint"), re.IGNORECASE)
_PAYWALL = re.compile(any_of("wall"), re.IGNORECASE)
_READ_MORE = re.compile(rf"^{_MARK}(?:{any_of('read_more')})(?=\W|$)", re.IGNORECASE)
_INVITES = re.compile(rf"^{_MARK}(?:{any_of('read_more')})\s*[:：»>|→–—-]", re.IGNORECASE)
_SIGN_UP = re.compile(any_of("sign_up"), re.IGNORECASE)
_TO_READERS = re.compile(rf"^{_MARK}(?:{any_of('to_readers')})", re.IGNORECASE)
_SHARE_WORD = rf"(?:{any_of('share')})(?:\s+(?:this|on|via|to|in|auf|per|sur|en|su|op)\b[\s\w]{{0,25}})?:?"
_SHARE = re.compile(rf"^(?:{_SHARE_WORD}|(?:(?:{any_of('platform')})(?:[\s,|·/•]+|$)){{2,}})$", re.IGNORECASE)
_MOST_READ = re.compile(rf"^(?:{any_of('most_read')})\s*[:：]?$", re.IGNORECASE)
_PHOTO = re.compile(rf"^{_MARK}(?:{any_of('photo')})\s*[:：/©]\s*\S.{{0,80}}$", re.IGNORECASE)
# The most words of each kind: a notice of rights is a long sentence, an invitation a short one. Longer lines are prose.
_SHAPES = (
    (60, _REPRINT, "reprint notice"),
    (40, _PAYWALL, "paywall line"),
    (25, _READ_MORE, "read-more line"),
    (30, _SIGN_UP, "sign-up line"),
    (30, _TO_READERS, "line to the readers"),
    (15, _SHARE, "share line"),
    (14, _PHOTO, "photo credit"),
)
_ENDS_SENTENCE = re.compile(r"[.!?…。！？؟।]['\"”’»«)\]]*$")
# A word that names something: it holds a digit or a mark ("site-40", "dpa.de"), or begins with a capital. Not case-blind.
_NAME_LIKE = re.compile(r"^(?:[^\W\d_]*[\d.\-/@][\w.\-/@]*|[A-ZÀ-ÞΑ-ΩА-Я&][\w.&'’-]*)$")
_ONLY_MARKS = re.compile(r"^[\s.·•…*_=~#|/\\–—\-+,;:°]+$")
_AFTER_SENTENCE = r"(?<=[.!?…。\"”“’»')\]])\s+"
_LONE_STOP = re.compile(_AFTER_SENTENCE + r"[.·•]$")
_INLINE = re.compile(_AFTER_SENTENCE + r"[.·•|–—]\s+(\S.{2,80})$")


def name_of(line: str, above: str = "") -> str | None:
    """Why a line at the body's end is no part of it, or None for text. `above` is the line before it."""
    line = line.strip()
    if len(line) > LONGEST:
        return None
    words = len(line.split())
    after_stop = _ONLY_MARKS.match(above.strip()) is not None
    if _ONLY_MARKS.match(line) is not None:
        return "only punctuation at the end"
    if is_source_credit(line, after_stop=after_stop):
        return "source credit"
    if _AGENCY_NUMBER.match(line) or (len(line) <= 80 and _AGENCY_LINE.match(line)):
        return "agency credit"
    if _READ_MORE.match(line) is not None and _ENDS_SENTENCE.search(line) is not None and _INVITES.match(line) is None:
        return None  # "Read more books, she told the children."
    return next((reason for most, shape, reason in _SHAPES if words <= most and shape.search(line)), None)


def is_source_credit(line: str, *, after_stop: bool = False) -> bool:
    """True for "source site-40", "Quelle: dpa", "Source Reuters"; false for a sentence that begins with such a word.

    With a colon or dash: up to eight words that do not end like a sentence, or up to four that do. Without: up to four words, each of them
    name-like (a capital, a digit, a dot or a hyphen in it). After a line that is nothing but a full stop: up to six words of any kind.
    """
    match = _LABEL.match(line)
    if match is None or len(line) > 120:
        return False
    rest, marked = match["rest"].strip(" )]"), match["mark"] is not None
    after_stop = after_stop or match["stop"] is not None
    if not rest:
        return marked or after_stop
    if not marked and not line[match.start("rest") - 1].isspace():
        return False  # "Sourcery", "Quellenstraße": the word only begins like the label
    words, sentence = rest.split(), _ENDS_SENTENCE.search(rest) is not None
    if marked:
        return len(words) <= (4 if sentence else 8)
    if sentence:
        return False
    return len(words) <= 6 if after_stop else len(words) <= 4 and all(_NAME_LIKE.match(word) for word in words)


def invites(line: str) -> bool:
    """True for "Read more: …", "Lesen Sie auch: …": the words and a mark behind them, so that no sentence is meant."""
    return _INVITES.match(line.strip()) is not None


def is_photo_credit(line: str) -> bool:
    """True for "Photo: Jane Doe", "Bild: dpa": a label, a mark and a name."""
    return _PHOTO.match(line.strip()) is not None


def is_most_read(text: str) -> bool:
    """True for a list under the heading "Most read", in whatever language, that was taken for a part of the body."""
    return _MOST_READ.match(text.split("\n")[0].strip()) is not None


def split_end(text: str, *, after_credit: bool = False) -> tuple[str, str, str] | None:
    """A credit in the same line as the last sentence: (text without it, the credit, reason), or None.

    `after_credit`: a credit line below was removed already, so a stop that stands apart goes too.
    """
    start = max(0, len(text) - LONGEST)
    end = text[start:]
    match = _INLINE.search(end)
    if match is not None and is_source_credit(match[1], after_stop=True):
        return _parts(text, start + match.start(), "source credit")
    match = _AGENCY_END.search(end)
    if match is not None and start + match.start() > 0:
        return _parts(text, start + match.start(), "agency credit")
    match = _LONE_STOP.search(end)
    return _parts(text, start + match.start(), "only punctuation at the end") if match is not None and after_credit else None


def _parts(text: str, at: int, reason: str) -> tuple[str, str, str]:
    return text[:at], text[at:].strip(), reason
