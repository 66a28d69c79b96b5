"""The language cases of franc, whatlang and nutch, read in place. `pytest -s` prints the rates."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import langcodes
import pytest
from py3langid.langid import MODEL_FILE, LanguageIdentifier  # type: ignore[import-untyped]  # publishes no types

from newsmill.extraction.metadata.language import detect_language

FLOOR = 0.98


def cases(shared: Path) -> Iterator[tuple[str, str, str]]:
    """Suite, language and text of each case; a language of several (Standard Arabic) stands for all of them."""
    for case in map(json.loads, (shared / "cases" / "langid" / "cases.jsonl").read_text("utf-8").splitlines()):
        yield case["id"].partition("/")[0], macrolanguage(case["lang"]), case["text"]


def macrolanguage(code: str | None) -> str:
    language = langcodes.Language.get(code or "und", normalize=True).prefer_macrolanguage().language
    return {"nb": "no", "nn": "no", "zlm": "ms"}.get(str(language), str(language))


@pytest.fixture(scope="module")
def known() -> set[str]:
    """The languages that the detector can name."""
    return {macrolanguage(label) for label in LanguageIdentifier.from_model_file(MODEL_FILE).labels}


def test_rates(shared: Path, known: set[str]) -> None:
    right, total, wrong = Counter[str](), Counter[str](), []
    for suite, language, text in cases(shared):
        if language not in known:
            continue
        found = macrolanguage(detect_language(text))
        total[suite] += 1
        right[suite] += found == language
        if found != language:
            wrong.append(f"{suite}: {found} for {language}")
    for suite in total:
        print(f"languages | {suite:10} | {right[suite]:4} of {total[suite]:4} | {right[suite] / total[suite]:.1%}")
    assert total.total() > 400
    assert right.total() / total.total() >= FLOOR, wrong
