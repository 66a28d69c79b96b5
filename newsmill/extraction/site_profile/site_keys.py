"""The names by which lines and places of one page are found again on another page of its site. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from urllib.parse import urlsplit

from newsmill.model import Block, BlockType

LONG_LINE_WORDS = 25  # words; a longer line must stand on two other pages
MAX_TAIL_LINES = 8  # kept lines at the end of a text, at most half of it: where footers stand
INNER_BOXES = 4  # boxes of a path that make a place: the outer ones carry classes of a section or of a single article
MAX_KEY_CHARACTERS = 160  # characters of a line that are kept readable
MAX_OPENING_CHARACTERS = 100  # characters; no more of a long key are sure to be kept
MAX_PATH_CHARACTERS = 1500  # characters of a path; the longest of 60 real sites have 700
ENDING_WORDS = (
    64,
    32,
    16,
)  # words; a line's end of so many is a line of its own, so that "… is our reporter in Rome" repeats under any name
BEGINNING_WORDS = 6  # words; so many that end text after text alike are the site's, whatever follows: "Follow us on … for more about this"
BEGINNING_MARK = "⋯"  # the last character of such a line's key
EXEMPT_TYPES = (BlockType.TABLE, BlockType.CODE)  # "Points", "Total": a table's head repeats and is text all the same
NON_PROSE_TYPES = (BlockType.CAPTION, BlockType.EMBED)  # blocks of a document that are no part of its text
_DIGITS = re.compile(r"\d+")


def get_section(url: str) -> str:
    """The section of the site that a URL belongs to: its first folder with digits masked; "" for a URL without folders."""
    folders = urlsplit(url).path.strip("/").split("/")[:-1]
    return _DIGITS.sub("0", folders[0]) if folders else ""


def make_line_key(path: str | None, line: str) -> str:
    """What makes a line the same line on another page: its place, and its words with digits masked.

    >>> line_key("body/main/div/p", "source site-41") == line_key("body/main/div/p", "source  site-7")
    True
    """
    return bound_key(f"{_get_inner_path(path)} | {_mask_digits(line.split())}", MAX_KEY_CHARACTERS)


def make_ending_key(path: str | None, line: str) -> str | None:
    """What makes two long lines of different beginnings the same: their place and most of their words, from the end. None for short ones.

    >>> bio = "is a senior editor of the Evening Gazette and has written about schools and railways for it since the year 1998."
    >>> ending_key("main/p", f"Jane Doe {bio}") == ending_key("main/p", f"Max Ferdinand Muster {bio}")
    True
    """
    words = line.split()
    size = next((size for size in ENDING_WORDS if size <= 0.8 * len(words)), None)
    return None if size is None else bound_key(f"{_get_inner_path(path)} | …{_mask_digits(words[-size:])}", MAX_KEY_CHARACTERS)


def make_beginning_key(path: str | None, line: str) -> str | None:
    """What makes two lines of different ends the same: their place and first words. None for short ones.

    >>> beginning = "Follow the Evening Gazette online for news"
    >>> beginning_key("main/p", f"{beginning} about schools") == beginning_key("main/p", f"{beginning} and sport")
    True
    """
    words = line.split()
    return (
        bound_key(f"{_get_inner_path(path)} | {_mask_digits(words[:BEGINNING_WORDS])}", MAX_KEY_CHARACTERS - 1) + BEGINNING_MARK
        if len(words) > BEGINNING_WORDS
        else None
    )


def list_openings(path: str | None, line: str) -> tuple[str, ...]:
    """The `opening` of each key that the line has or may have.

    >>> opening(line_key("main/p", "3 men in a boat")) in openings("main/p", "3 men in a boat")
    True
    """
    words = line.split()
    if not words:
        return (f"{_get_inner_path(path)} | "[:MAX_OPENING_CHARACTERS],)
    first = (words[0], *(f"…{words[-size]}" for size in ENDING_WORDS if size <= 0.8 * len(words)))
    return tuple(f"{_get_inner_path(path)} | {_mask_digits((word,))}"[:MAX_OPENING_CHARACTERS] for word in first)


def get_opening(key: str) -> str:
    """How a line's key begins: with its place and the first word."""
    place, between, words = key.partition(" | ")
    return f"{place}{between}{words.partition(' ')[0]}"[:MAX_OPENING_CHARACTERS]


@lru_cache(maxsize=2000)  # of a site's places
def _get_inner_path(path: str | None) -> str:
    return "/".join((path or "").split("/")[-INNER_BOXES:])


def _mask_digits(words: Sequence[str]) -> str:
    return _DIGITS.sub("0", " ".join(words))


def make_path_key(path: str) -> str:
    """A path as a profile names it."""
    return bound_key(path, MAX_PATH_CHARACTERS)


def bound_key(key: str, most: int) -> str:
    """The key, its end replaced by a digest where it is longer than `most` characters."""
    return key if len(key) <= most else f"{key[: most - 20]}…{hash_bytes(key.encode('utf-8', 'replace')).hex()}"


def hash_bytes(data: bytes) -> bytes:
    """Eight bytes that stand for any number of them."""
    return blake2b(data, digest_size=8).digest()


def find_tail(blocks: Sequence[Block]) -> frozenset[tuple[int, int]]:
    """The last kept lines, as (block, line within it)."""
    kept = [(at, number) for at, block in enumerate(blocks) if block.kept for number in range(block.text.count("\n") + 1)]
    return frozenset(kept[-max(1, min(MAX_TAIL_LINES, len(kept) // 2)) :])


def count_path_words(blocks: Sequence[Block]) -> dict[str, tuple[int, int]]:
    """Per path its words, and how many of them were kept."""
    found: dict[str, tuple[int, int]] = {}
    for block in blocks:
        if block.path:
            key = make_path_key(block.path)
            words, kept = found.get(key, (0, 0))
            size = len(block.text.split())
            found[key] = words + size, kept + size * block.kept
    return found
