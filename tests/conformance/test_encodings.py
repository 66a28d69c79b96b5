"""The encoding cases of chardet, html5lib, w3lib and ftfy, read in place. `pytest -s` prints the rates."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from newsmill.extraction.normalise import normalise
from newsmill.text.charset import to_text
from newsmill.text.web_codecs import decode, find_codec

FLOOR = 0.97
MIN_HIGH = 10  # characters beyond ASCII; a page with fewer does not test detection
_DECLARATION = re.compile(r"charset\s*=\s*[\"']?[\w-]+", re.IGNORECASE)
# What pages of a language were written in before UTF-8.
LEGACY = {
    "cp1250 iso8859-2": "cs hu pl",
    "cp1251 koi8-r": "ru bg",
    "cp1252": "es fr it nl no nb pt da sv",
    "cp1253 iso8859-7": "el",
    "cp1254": "tr",
    "cp1256": "ar fa",
    "cp1257": "lt lv",
    "cp1258": "vi",
    "cp874": "th",
    "cp932 euc_jp": "ja",
    "cp949": "ko",
    "gb18030 big5hkscs": "zh",
}
_LANGUAGE = re.compile(r"-(?:bulgarian|croatian|czech|greek|hebrew|hungarian|polish|romanian|russian|slovak|slovene|turkish)$")

Case = tuple[str, str, bool]  # suite, the case's id, and whether it is read right


def cases_of(shared: Path, collection: str) -> Iterator[dict[str, object]]:
    yield from map(json.loads, (shared / "cases" / collection / "cases.jsonl").read_text("utf-8").splitlines())


def outcomes(shared: Path) -> Iterator[Case]:
    """Whether each case gives the text that its suite expects."""
    for case in cases_of(shared, "encodings"):
        kind, name = str(case["kind"]), str(case["id"])
        match case:
            case {"kind": "chardet", "encoding": str(label), "files": dict(files)}:
                body = gzip.decompress((shared / "cases" / "encodings" / next(iter(files.values()))).read_bytes())
                yield kind, name, to_text(body)[0] == body.decode(codec_of(body, label), "replace").lstrip("\ufeff")
            case {"fn": "w3lib.encoding.html_to_unicode", "args": [header, {"__bytes__": str(page)}], "result": [_, str(text)]}:
                yield kind, name, to_text(page.encode("latin-1"), header)[0] == text
            case {"original": str(original), "fixed": str(fixed), "expect": "pass"}:
                repaired = str(case.get("fixed-encoding", fixed))  # `fixed` has straight quotes and no entities besides
                yield "ftfy", name, normalise(original) == normalise(repaired)
    for case in cases_of(shared, "html5lib"):
        match case:
            case {"kind": "encoding", "data_latin1": str(page), "encoding": str(label)}:
                body = page.encode("latin-1")
                yield "html5lib", str(case["id"]), to_text(body)[0] == decode(body, find_codec(label) or label).lstrip("\ufeff")


def codec_of(body: bytes, label: str) -> str:
    """Python's codec for a folder of chardet's samples; "UTF-16" and "UTF-32" follow the byte order mark."""
    name = _LANGUAGE.sub("", label)
    return name if name in ("UTF-16", "UTF-32") else find_codec(name) or name


def test_rates(shared: Path) -> None:
    right, total, wrong = Counter[str](), Counter[str](), []
    for suite, name, is_right in outcomes(shared):
        total[suite] += 1
        right[suite] += is_right
        if not is_right:
            wrong.append(name)
    for suite in total:
        print(f"encodings | {suite:10} | {right[suite]:4} of {total[suite]:4} | {right[suite] / total[suite]:.1%}")
    assert total.keys() == {"chardet", "w3lib", "ftfy", "html5lib"}
    assert right.total() / total.total() >= FLOOR, wrong


def legacy_pages(shared: Path) -> Iterator[tuple[str, bytes, str]]:
    """The measured pages in UTF-8, written in the encodings their language once had, without any declaration: name, bytes, text."""
    encodings = {language: names.split() for names, languages in LEGACY.items() for language in languages.split()}
    for gold in sorted((shared / "quality" / "data").glob("*/gold.jsonl")):
        for row in map(json.loads, gold.read_text("utf-8").splitlines()):
            file = gold.parent / "pages" / f"{row['id']}.html.gz"
            names = encodings.get((row.get("language") or "").partition("-")[0], [])
            if not names or not file.exists():
                continue
            html = _DECLARATION.sub("", gzip.decompress(file.read_bytes()).decode("utf-8", "ignore")).lstrip("\ufeff")
            for name in names:
                body = html.encode(name, "xmlcharrefreplace")
                text = body.decode(name)
                if sum(not character.isascii() for character in text) >= MIN_HIGH:
                    yield f"{row['id']} in {name}", body, text


@pytest.mark.slow
def test_undeclared_legacy_pages(shared: Path) -> None:
    """Every second one: detection takes most of the time."""
    wrong = []
    total = 0
    for name, body, text in islice(legacy_pages(shared), 0, None, 2):
        total += 1
        if to_text(body)[0] != text:
            wrong.append(name)
    print(f"encodings | undeclared | {total - len(wrong):4} of {total:4} | {1 - len(wrong) / total:.1%}")
    assert total > 75
    assert 1 - len(wrong) / total >= FLOOR, wrong
