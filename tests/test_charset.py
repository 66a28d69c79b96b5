"""Character encodings in the order of the HTML standard."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newsmill.charset import declared_in_page, python_name, to_text

GERMAN = "<html><body>Grüße aus Köln, schöne Straßen und große Bäume überall.</body></html>"
RUSSIAN = "<html><body>" + "Совет собрался во вторник вечером в старой ратуше, и никто не ожидал долгих споров. " * 5 + "</body></html>"


@pytest.mark.parametrize(
    ("body", "header", "encoding"),
    [
        (b"\xef\xbb\xbf" + GERMAN.encode(), "text/html; charset=iso-8859-1", "utf-8"),  # the mark beats the header
        (b"\xff\xfe" + GERMAN.encode("utf-16-le"), None, "utf-16-le"),
        (GERMAN.encode("cp1252"), "text/html; charset=ISO-8859-1", "cp1252"),  # the header, in the web's meaning of the label
        (b'<meta charset="windows-1252">' + GERMAN.encode("cp1252"), None, "cp1252"),
        (b'<meta charset="windows-1252">' + GERMAN.encode(), "text/html; charset=utf-8", "utf-8"),  # the header beats <meta>
        (RUSSIAN.encode("cp1251"), "text/html; charset=utf-8", "cp1251"),  # a default header that cannot be true
        (GERMAN.encode(), None, "utf-8"),
        (GERMAN.encode("utf-16-le"), None, "utf-16-le"),
        (GERMAN.encode("utf-16-be"), None, "utf-16-be"),
        (GERMAN.encode(), "text/html; charset=no-such-thing", "utf-8"),
        (RUSSIAN.encode("cp1251"), None, "cp1251"),
        (RUSSIAN.encode("koi8_r"), None, "koi8-r"),
        (b"<!--" + b"x" * 3000 + b'--><meta charset="windows-1252">' + GERMAN.encode("cp1252"), None, "cp1252"),  # late, before any guess
    ],
)
def test_order(body: bytes, header: str | None, encoding: str) -> None:
    text, name = to_text(body, header)
    assert name == encoding
    assert "\ufffd" not in text
    assert ("Köln" in text) or ("Совет" in text)


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        (b'<meta charset="utf-8">', "utf-8"),
        (b"<META http-equiv=Content-Type content='text/html; charset=windows-1251'>", "cp1251"),
        (b'<meta content="text/html; charset=koi8-r" http-equiv="content-type">', "koi8-r"),
        (b'<!-- <meta charset="utf-8"> --><meta charset=gb2312>', "gb18030"),
        (b'<title data-x="<meta charset=utf-8>">', None),
        (b'<meta charset="utf-16">', "utf-8"),  # a page whose <meta> can be read is no UTF-16
        (b'<meta name=description content="charset=utf-8">', None),
        (b"<meta charset", None),
    ],
)
def test_prescan(head: bytes, encoding: str | None) -> None:
    assert declared_in_page(head) == encoding


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("latin1", "cp1252"),
        ("Shift_JIS", "cp932"),
        ("x-sjis", "cp932"),
        ("utf-7", None),
        ("hex", None),
        ("\0", None),
        ("", None),
        (None, None),
    ],
)
def test_labels(label: str | None, name: str | None) -> None:
    assert python_name(label) == name


def test_surrogates_in_utf8_are_dropped() -> None:
    assert to_text("<p>half \ud83d character</p>".encode("utf-8", "surrogatepass"))[0] == "<p>half  character</p>"


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.none() | st.text(max_size=40))
def test_never_raises(body: bytes, header: str | None) -> None:
    text, name = to_text(body, header)
    text.encode("utf-8")
    assert name


def test_measured_on_chardets_samples(shared: Path) -> None:
    """95 of 100 sample texts without a declaration decode to the same characters as with their true encoding."""
    folder = shared / "cases" / "encodings"
    right = total = 0
    for line in (folder / "cases.jsonl").read_text("utf-8").splitlines():
        case = json.loads(line)
        if case["kind"] != "chardet":
            continue
        name = re.sub(
            r"-(?:bulgarian|croatian|czech|greek|hebrew|hungarian|polish|romanian|russian|slovak|slovene|turkish)$", "", case["encoding"]
        )
        body = gzip.decompress((folder / next(iter(case["files"].values()))).read_bytes())
        total += 1
        right += to_text(body)[0] == body.decode(python_name(name) or name, "replace").lstrip("\ufeff")
    assert right / total >= 0.95, f"{right} of {total}"


def test_measured_on_html5lib(shared: Path) -> None:
    for line in (shared / "cases" / "html5lib" / "cases.jsonl").read_text("utf-8").splitlines():
        case = json.loads(line)
        if case["kind"] == "encoding":
            body = case["data_latin1"].encode("latin-1")
            expected = python_name(case["encoding"])
            assert expected is not None
            assert to_text(body)[0] == body.decode(expected, "replace").lstrip("\ufeff"), case["id"]
