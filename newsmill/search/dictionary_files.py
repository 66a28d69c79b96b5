"""simplemma's dictionaries as files of sorted words, which the processes of a user map into memory and share.

simplemma reads a dictionary from its beginning to find the places where a look-up can start: 0.2 s of CPU for English, 1 s for German, 3 s
for Polish, in each process. Therefore the first process of a user that needs a dictionary writes it to the user's cache folder: 2 MB for
English, 18 MB for German. The others open the file at once, and a look-up takes 4 to 7 µs instead of 14.

A file has pages of PAGE_BYTES. Each word of a page is a line: the word, a tab, one byte for the number of bytes to cut from its end, and
the bytes that the lemma has in their place.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from mmap import ACCESS_READ, mmap
from pathlib import Path

import platformdirs
from simplemma.strategies.dictionaries import LOW_MEMORY_DICTIONARY_FACTORY

PAGE_BYTES = 512  # the longest word and its lemma have 366
_NOTHING_CUT = ord("0")


class DictionaryFiles:
    """A `DictionaryFactory` of simplemma."""

    def get_dictionary(self, lang: str) -> Mapping[str, str]:
        return load_dictionary(lang)


@cache
def load_dictionary(language: str) -> Mapping[str, str]:
    """The lemmas by word, from the file, or from simplemma if the file cannot be written. `language` is a code of simplemma."""
    path = platformdirs.user_cache_path("newsmill") / f"simplemma-{version('simplemma')}" / f"{language}.words"
    if path.is_absolute():  # it is not if the user has no home folder
        # ImportError: another version of simplemma has another format
        with suppress(ImportError, OSError, ValueError):
            if not path.exists():
                _write(path, language)
            return WordFile(path)
    return LOW_MEMORY_DICTIONARY_FACTORY.get_dictionary(language)


class WordFile(Mapping[str, str]):
    """The lemmas by word of one file. Raises OSError, and ValueError for a file without pages."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._data = mmap(file.fileno(), 0, access=ACCESS_READ)
        self._starts = range(0, len(self._data), PAGE_BYTES)

    def __getitem__(self, word: str) -> str:
        key = word.encode()
        line = b"%b\t" % key
        size = len(line)
        page = bisect_right(self._starts, line, key=lambda start: self._data[start : start + size]) - 1
        lines = b"\n" + self._data[page * PAGE_BYTES : (page + 1) * PAGE_BYTES] if page >= 0 else b""
        at = lines.find(b"\n" + line)
        if at < 0:
            raise KeyError(word)
        at += 1 + size
        return (key[: len(key) + _NOTHING_CUT - lines[at]] + lines[at + 1 : lines.index(b"\n", at)]).decode()

    def __iter__(self) -> Iterator[str]:
        pages = (self._data[start : start + PAGE_BYTES] for start in self._starts)
        return (line.partition(b"\t")[0].decode() for page in pages for line in page.split(b"\n") if line)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _write(path: Path, language: str) -> None:
    """Write the file of a language. Another process finds it whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{language}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            file.writelines(_fill_pages(language))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _fill_pages(language: str) -> Iterator[bytes]:
    from simplemma.strategies.dictionaries.dictionary_factory import _read_decompressed
    from simplemma.strategies.dictionaries.frontcode import _iter_records, _read_header

    data = _read_decompressed(language)
    is_reversed, _, start = _read_header(data)
    if is_reversed:
        raise ValueError(f"the words of {language} are sorted by their ends")
    page = b""
    for _, word, lemma in _iter_records(data, start):
        same = min(len(word), len(lemma))
        while word[:same] != lemma[:same]:
            same -= 1
        line = b"%b\t%c%b\n" % (word, _NOTHING_CUT + len(word) - same, lemma[same:])
        if len(page) + len(line) > PAGE_BYTES:
            yield page.ljust(PAGE_BYTES, b"\n")
            page = b""
        page += line
    yield page.ljust(PAGE_BYTES, b"\n")
