"""Removal of lines at the end of a body that are not part of it: credits, invitations to read on or to subscribe, and `drop_lines`.

The rules examine only the last lines of the body, because a short line further up is a heading, a list or a quotation.
Each rule needs a form (short, not a sentence) and a word of vocabulary.toml. Each removed piece becomes a block with a reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from newsmill.extraction.body.markup import cut_block
from newsmill.extraction.normalise import count_line_words
from newsmill.extraction.vocabulary import compile_rare_words, compile_words
from newsmill.model import Block, BlockType
from newsmill.text import lazy_re as re

LAYER = "rules"
MAX_TAIL_BLOCKS = 3  # kept blocks at the end of the body that the generic rules examine
MAX_TAIL_LINES = 8  # lines removed at most; a footer with more lines is text
MAX_READ_MORE_WORDS, MAX_PAYWALL_WORDS = 25, 40  # words; a longer line is prose
MAX_LINE_CHARACTERS = 600  # characters of a line that a rule may remove, and of the end of a text in which a credit is searched
MAX_ENDING_CHARACTERS = 500  # characters at the end of a body in which a paywall notice is searched
_TAIL_TYPES = (BlockType.PARAGRAPH, BlockType.HEADING, BlockType.QUOTE, BlockType.LIST, BlockType.TABLE)
_LEADING_MARKS = r"[\s*•–—\-(\[>»→/|]*"
# "Quelle: dpa", "Source - Reuters", "source site-40". A dash is a mark only between blanks, because "Source-code leak" is a headline.
_SOURCE_LABEL = compile_words(
    r"^(?P<stop>[.·]\s+)?" + _LEADING_MARKS + r"{source_label}(?:\s*(?P<mark>[:：|]|\s[\-–—/](?=\s)))?\s*(?P<rest>.*)$"
)
_AGENCY_LINE = compile_words(
    "^" + _LEADING_MARKS + r"©?\s*(?:(?:with|mit|avec|con|com|met|med|из|by|von)\s+)?{agency}"
    r"(?:[\s/,+&.\-–—]+(?:(?:and|und|et|y|e|en|og|och|\w{2,3})\s+)?{agency})*[\s)\].]*$"
)
# "(dpa)", "(AFP/Reuters)", "(mkr/dpa)", "(APA, 12.1.2022)" after the last sentence. Every repetition is bounded: linear time.
_AGENCY_END = compile_words(
    r"\s*[(\[](?:[\w.]{1,5}\s?[/,+]\s?){0,3}{agency}(?:\s?[/,+&–-]\s?[\w.]{1,12}){0,3}"
    r"(?:,\s?\d{1,2}\.\s?\d{1,2}\.\s?\d{2,4})?[)\]]\s*\.?$"
)
_AGENCY_NUMBER = re.compile(r"^©?\s*(?:dpa-infocom|dpa)?,?\s*dpa:[\d:/\-]+$", re.IGNORECASE)  # "© dpa-infocom, dpa:220112-99-678901/3"
_PAYWALL = compile_rare_words("{paywall}")
_READ_MORE = compile_words("^" + _LEADING_MARKS + r"{read_more}(?=\W|$)")
_INVITATION = compile_words("^" + _LEADING_MARKS + r"{read_more}\s*[:：»>|→–—-]")
_ENDS_SENTENCE = re.compile(r"[.!?…。！？؟।]['\"”’»«)\]]*$")
# A word that is a name: it contains a digit or a mark ("site-40", "dpa.de"), or begins with a capital. Case-sensitive.
_NAME_LIKE = re.compile(r"^(?:[^\W\d_]*[\d.\-/@][\w.\-/@]*|[A-ZÀ-ÞΑ-ΩА-Я&][\w.&'’-]*)$")
_ONLY_MARKS = re.compile(r"^[\s.·•…*_=~#|/\\–—\-+,;:°]+$")
_AFTER_SENTENCE = r"(?<=[.!?…。\"”“’»')\]])\s+"
_LONE_STOP = re.compile(_AFTER_SENTENCE + r"[.·•]$")
_INLINE_END = re.compile(_AFTER_SENTENCE + r"[.·•|–—]\s+(\S.{2,80})$")


def remove_trailing_lines(blocks: Sequence[Block], drop_lines: Sequence[str] = ()) -> tuple[Block, ...]:
    """Return the blocks, with removed lines marked by layer and reason; a block may be split. `drop_lines`: patterns of the source."""
    blocks = _remove_source_lines(blocks, drop_lines) if drop_lines else list(blocks)
    tail = [index for index, block in enumerate(blocks) if block.kept and block.type in _TAIL_TYPES][-MAX_TAIL_BLOCKS:]
    pieces = _split_tail([blocks[index] for index in tail])
    for index, piece in reversed(list(zip(tail, pieces, strict=True))):
        blocks[index : index + 1] = piece
    return tuple(blocks)


def read_ending(blocks: Sequence[Block]) -> str:
    """Return the end of the body before the rules. It includes the lines that they removed, such as a paywall notice."""
    return "\n".join(block.text for block in blocks if block.kept or block.layer == LAYER)[-MAX_ENDING_CHARACTERS:]


def _remove_source_lines(blocks: Sequence[Block], patterns: Sequence[str]) -> list[Block]:
    """Remove each line that an expression of the source matches in full. Newsmill rejects invalid expressions when it reads the source."""
    rules = [(pattern, re.compile(pattern)) for pattern in patterns]

    def find_reason(line: str) -> str | None:
        return next((f"drop_lines {pattern}" for pattern, rule in rules if rule.fullmatch(line.strip())), None)

    return [piece for block in blocks for piece in (_split_lines(block, find_reason) if block.kept else [block])]


def _split_lines(block: Block, find_reason: Callable[[str], str | None]) -> list[Block]:
    """Split a block into runs of lines: kept lines unchanged, removed lines marked with their reason."""
    runs: list[tuple[str | None, list[str]]] = []
    for line in block.text.split("\n"):
        reason = find_reason(line)
        if not runs or runs[-1][0] != reason:
            runs.append((reason, []))
        runs[-1][1].append(line)
    pieces, start = [], 0
    for reason, lines in runs:
        text = "\n".join(lines)
        pieces.append(cut_block(block, text, start) if reason is None else _make_removed(block, text, reason))
        start += len(text) + 1
    return pieces


def _split_tail(tail: list[Block]) -> list[list[Block]]:
    """Split each of the last blocks into kept and removed pieces. Stop at the first line, from the end, that no rule matches."""
    pieces: list[list[Block]] = [[block] for block in tail]
    lines_left = MAX_TAIL_LINES
    for at in range(len(tail) - 1, -1, -1):
        block = tail[at]
        lines = block.text.split("\n")
        removed: list[Block] = []
        while lines and lines_left:
            above = lines[-2] if len(lines) > 1 else (tail[at - 1].text.split("\n")[-1] if at else "")
            reason = classify_trailing_line(lines[-1], above)
            if reason is None:
                break
            removed.insert(0, _make_removed(block, lines.pop(), reason))
            lines_left -= 1
        rest = "\n".join(lines)
        if rest and _is_last_kept(pieces, at):
            rest, removed = _split_last_line(block, rest, removed)
        pieces[at] = ([cut_block(block, rest)] if rest else []) + removed
        if rest:
            break
    return pieces


def _split_last_line(block: Block, text: str, removed: list[Block]) -> tuple[str, list[Block]]:
    """Split off a credit in the last line of the last paragraph: "… would.  . source site-40", "… said. (dpa)"."""
    found = split_trailing_credit(text, after_credit=bool(removed))
    if found is None:
        return text, removed
    kept, end, reason = found
    return kept, [_make_removed(block, end, reason), *removed]


def _is_last_kept(pieces: list[list[Block]], at: int) -> bool:
    """True if no block after the block at `at` is kept."""
    return not any(piece.kept for later in pieces[at + 1 :] for piece in later)


def _make_removed(block: Block, text: str, reason: str) -> Block:
    return replace(block, text=text, kept=False, layer=LAYER, reason=reason, markup=None)


def classify_trailing_line(line: str, above: str = "") -> str | None:
    """Return the reason why a line at the end of the body is not part of it, or None for text. `above` is the line before it."""
    line = line.strip()
    if len(line) > MAX_LINE_CHARACTERS:
        return None
    after_stop = _ONLY_MARKS.match(above.strip()) is not None
    if _ONLY_MARKS.match(line) is not None:
        return "only punctuation at the end"
    if is_source_credit(line, after_stop=after_stop):
        return "source credit"
    if _AGENCY_NUMBER.match(line) or (len(line) <= 80 and _AGENCY_LINE.match(line)):
        return "agency credit"
    if _READ_MORE.match(line) is not None and _ENDS_SENTENCE.search(line) is not None and _INVITATION.match(line) is None:
        return None  # "Read more books, she told the children."
    words = count_line_words(line)
    if words <= MAX_PAYWALL_WORDS and _PAYWALL.search(line):
        return "paywall line"
    return "read-more line" if words <= MAX_READ_MORE_WORDS and _READ_MORE.match(line) else None


def is_source_credit(line: str, *, after_stop: bool = False) -> bool:
    """True for "source site-40", "Quelle: dpa", "Source Reuters"; False for a sentence that begins with such a word.

    With a colon or dash: up to eight words that do not end like a sentence, or up to four that do. Without: up to four words, each
    like a name (with a capital, a digit, a dot or a hyphen). After a line with only a full stop: up to six words of any kind.
    """
    match = _SOURCE_LABEL.match(line)
    if match is None or len(line) > 120:
        return False
    rest, marked = match["rest"].strip(" )]"), match["mark"] is not None
    after_stop = after_stop or match["stop"] is not None
    if not rest:
        return marked or after_stop
    if not marked and not line[match.start("rest") - 1].isspace():
        return False  # "Sourcery", "Quellenstraße": the word only begins with the label
    words, sentence = rest.split(), _ENDS_SENTENCE.search(rest) is not None
    if marked:
        return len(words) <= (4 if sentence else 8)
    if sentence:
        return False
    return len(words) <= 6 if after_stop else len(words) <= 4 and all(_NAME_LIKE.match(word) for word in words)


def is_invitation(line: str) -> bool:
    """True for "Read more: …", "Lesen Sie auch: …": the words with a mark after them, which excludes sentences."""
    return _INVITATION.match(line.strip()) is not None


def split_trailing_credit(text: str, *, after_credit: bool = False) -> tuple[str, str, str] | None:
    """Split off a credit in the line of the last sentence: (text before it, the rest, reason), or None.

    `after_credit` means that a credit line below is already removed, so a separate full stop is removed too.
    """
    start = max(0, len(text) - MAX_LINE_CHARACTERS)
    end = text[start:]
    match = _INLINE_END.search(end)
    if match is not None and is_source_credit(match[1], after_stop=True):
        return _split_at(text, start + match.start(), "source credit")
    match = _AGENCY_END.search(end)
    if match is not None and start + match.start() > 0:
        return _split_at(text, start + match.start(), "agency credit")
    match = _LONE_STOP.search(end)
    return _split_at(text, start + match.start(), "only punctuation at the end") if match is not None and after_credit else None


def _split_at(text: str, at: int, reason: str) -> tuple[str, str, str]:
    return text[:at], text[at:].strip(), reason
