"""Keys that identify lines and positions of one page on other pages of the same site.

The functions have no side effects.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from urllib.parse import urlsplit

from newsmill.extraction.normalise import count_line_words
from newsmill.model import Block, BlockType

LONG_LINE_WORDS = 25  # words; a longer line must be on two other pages to count as repeated
MAX_TAIL_LINES = 8  # kept lines at the end of a text, where footers are; at most half of the text
INNER_BOXES = 4  # innermost boxes of a path that form a position; outer boxes have classes of a section or of a single article
MAX_KEY_CHARACTERS = 160  # maximum length of a line key in characters; a digest replaces the rest
MAX_KEY_PREFIX_CHARACTERS = MAX_KEY_CHARACTERS - 21  # a shortened key keeps as many
MAX_PATH_CHARACTERS = 1500  # characters of a path; the longest on 60 real sites have 700
# Words at the end of a line that have a key of their own. With it "… is our reporter in Rome" repeats for any name.
ENDING_WORDS = (
    64,
    32,
    16,
)
# Words at the beginning of a line that have a key of their own, because a site varies the rest:
# "Follow us on … for more about this".
BEGINNING_WORDS = 6
MAX_VARIED_LINE_WORDS = 40  # of such a line; six equal words before more of the article's own are the style of the paper
BEGINNING_MARK = "⋯"  # the last character of the key of a beginning
EXEMPT_TYPES = (BlockType.TABLE, BlockType.CODE)  # a table's header ("Points", "Total") repeats but is text
NON_PROSE_TYPES = (BlockType.CAPTION, BlockType.EMBED)  # types of blocks that are in a document but not in its text
_DIGITS = re.compile(r"\d+")


def get_section(url: str) -> str:
    """Return the section of a URL: its first folder with digits masked, or "" for a URL without folders."""
    folders = urlsplit(url).path.strip("/").split("/")[:-1]
    return _DIGITS.sub("0", folders[0]) if folders else ""


def make_line_key(path: str | None, line: str) -> str:
    """Return the key that a line has on every page: its position, and its words with digits masked.

    >>> make_line_key("body/main/div/p", "source site-41") == make_line_key("body/main/div/p", "source  site-7")
    True
    """
    return bound_key(f"{_get_inner_path(path)} | {_mask_digits(line.split())}", MAX_KEY_CHARACTERS)


def make_ending_key(path: str | None, line: str) -> str | None:
    """Return the key that long lines with different beginnings share: their position and last words. None for short lines.

    The ending has 64, 32 or 16 words, at most 80 % of the line.

    >>> bio = "is a senior editor of the Evening Gazette and has written about schools and railways for it since the year 1998."
    >>> make_ending_key("main/p", f"Jane Doe {bio}") == make_ending_key("main/p", f"Max Ferdinand Muster {bio}")
    True
    """
    words = line.split()
    size = next((size for size in ENDING_WORDS if size <= 0.8 * len(words)), None)
    return None if size is None else bound_key(f"{_get_inner_path(path)} | …{_mask_digits(words[-size:])}", MAX_KEY_CHARACTERS)


def make_beginning_key(path: str | None, line: str) -> str | None:
    """Return the key that lines with different ends share: their position and first words.

    None for lines of up to BEGINNING_WORDS words, and of more than MAX_VARIED_LINE_WORDS.

    >>> beginning = "Follow the Evening Gazette online for news"
    >>> make_beginning_key("main/p", f"{beginning} about schools") == make_beginning_key("main/p", f"{beginning} and sport")
    True
    """
    words = line.split()
    return (
        bound_key(f"{_get_inner_path(path)} | {_mask_digits(words[:BEGINNING_WORDS])}", MAX_KEY_CHARACTERS - 1) + BEGINNING_MARK
        if BEGINNING_WORDS < len(words) <= MAX_VARIED_LINE_WORDS
        else None
    )


def list_key_prefixes(path: str | None, line: str) -> tuple[str, ...]:
    """Return the prefix (`get_key_prefix`) of each key that the line may have.

    >>> get_key_prefix(make_line_key("main/p", "3 men in a boat")) in list_key_prefixes("main/p", "3 men in a boat")
    True
    """
    words = line.split()
    if not words:
        return (f"{_get_inner_path(path)} | "[:MAX_KEY_PREFIX_CHARACTERS],)
    first = (words[0], *(f"…{words[-size]}" for size in ENDING_WORDS if size <= 0.8 * len(words)))
    return tuple(f"{_get_inner_path(path)} | {_mask_digits((word,))}"[:MAX_KEY_PREFIX_CHARACTERS] for word in first)


def get_key_prefix(key: str) -> str:
    """Return the prefix of a line's key: its position and the first word, at most MAX_KEY_PREFIX_CHARACTERS characters."""
    place, between, words = key.partition(" | ")
    return f"{place}{between}{words.partition(' ')[0]}"[:MAX_KEY_PREFIX_CHARACTERS]


@lru_cache(maxsize=2000)  # positions of a site
def _get_inner_path(path: str | None) -> str:
    return "/".join((path or "").split("/")[-INNER_BOXES:])


def _mask_digits(words: Sequence[str]) -> str:
    return _DIGITS.sub("0", " ".join(words))


def make_path_key(path: str) -> str:
    """Return the key of a path in a profile: the path itself, shortened if it is long."""
    return bound_key(path, MAX_PATH_CHARACTERS)


def bound_key(key: str, max_characters: int) -> str:
    """Return the key. If it is longer than `max_characters` characters, a digest replaces its end."""
    return key if len(key) <= max_characters else f"{key[: max_characters - 20]}…{hash_bytes(key.encode('utf-8', 'replace')).hex()}"


def hash_bytes(data: bytes) -> bytes:
    """Return an 8-byte digest of the data."""
    return blake2b(data, digest_size=8).digest()


def find_tail(blocks: Sequence[Block]) -> frozenset[tuple[int, int]]:
    """Return the last kept lines as (block number, line number within the block)."""
    kept = [(at, number) for at, block in enumerate(blocks) if block.kept for number in range(block.text.count("\n") + 1)]
    return frozenset(kept[-max(1, min(MAX_TAIL_LINES, len(kept) // 2)) :])


def count_path_words(blocks: Sequence[Block]) -> dict[str, tuple[int, int]]:
    """Return for each path key its number of words and its number of kept words."""
    found: dict[str, tuple[int, int]] = {}
    for block in blocks:
        if block.path:
            key = make_path_key(block.path)
            words, kept = found.get(key, (0, 0))
            size = count_line_words(block.text)
            found[key] = words + size, kept + size * block.kept
    return found
