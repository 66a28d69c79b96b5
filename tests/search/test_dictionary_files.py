"""Dictionaries of simplemma as files: the same lemmas, whether the file is new, was there, or cannot be written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from simplemma.strategies.dictionaries import LOW_MEMORY_DICTIONARY_FACTORY

from newsmill.search.dictionary_files import WordFile, load_dictionary

LANGUAGE = "ms"  # the smallest


@pytest.mark.parametrize(
    ("prepare", "is_file"),
    [(lambda cache: None, True), (lambda cache: cache.write_text("a file"), False)],
    ids=["written at first use", "without a writable cache folder"],
)
def test_the_lemmas_are_those_of_simplemma(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prepare: Callable[[Path], object], is_file: bool
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    prepare(tmp_path / "newsmill")
    expected = LOW_MEMORY_DICTIONARY_FACTORY.get_dictionary(LANGUAGE)
    for _ in range(2):  # the second process finds the file
        load_dictionary.cache_clear()
        dictionary = load_dictionary(LANGUAGE)
        assert isinstance(dictionary, WordFile) == is_file
        assert [*dictionary] == [*expected]
        words = [*expected][::50]
        unknown = ["", "\0", "\uffff", *(f"{word}x" for word in words), *(word[:-1] for word in words)]
        assert [dictionary.get(word) for word in (*words, *unknown)] == [expected.get(word) for word in (*words, *unknown)]
    load_dictionary.cache_clear()
    assert len([*(tmp_path / "newsmill").glob("*/*")]) == is_file  # no draft is left
