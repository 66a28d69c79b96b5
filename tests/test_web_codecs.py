"""Encoding labels, and bytes that browsers decode and Python's codecs do not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from webencodings.labels import LABELS  # type: ignore[import-untyped]  # publishes no types

from newsmill.web_codecs import decode, find_codec

CODECS = sorted({name for label in LABELS if (name := find_codec(label)) is not None})


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("latin1", "cp1252"),
        (" Latin1\n", "cp1252"),
        ("ISO-8859-9", "cp1254"),
        ("Shift_JIS", "cp932"),
        ("x-sjis", "cp932"),
        ("csisolatin5", "cp1254"),
        ("iso-ir-149", "cp949"),
        ("x-mac-ukrainian", "mac-cyrillic"),
        ("csunicode11utf7", None),
        ("dos-874", "cp874"),
        ("chinese", "gb18030"),
        ("logical", "iso8859-8"),
        ("hz-gb-2312", "hz"),
        ("iso-2022-cn", None),  # the standard replaces it, and Python has no codec
        ("x-user-defined", "cp1252"),
        ("latin-1", "cp1252"),  # Python's own spelling
        ("utf-7", None),
        ("hex", None),
        ("\0", None),
        ("", None),
        (None, None),
    ],
)
def test_labels(label: str | None, name: str | None) -> None:
    assert find_codec(label) == name


def test_every_label_of_the_standard_is_known() -> None:
    assert {label for label in LABELS if find_codec(label) is None} == {"iso-2022-cn", "iso-2022-cn-ext", "replacement"}
    assert len(LABELS) == 228


@pytest.mark.parametrize(
    ("name", "body", "text"),
    [
        ("cp1252", b"\x93a\x94 \x9d", "“a” \x9d"),
        ("cp1253", b"\xe1\xaa\x81", "α\ufffd\x81"),
        ("gb18030", b"\x80 \xff\x80", "€ \ufffd€"),
        ("euc_jp", b"\xad\xa1\xad\xea\xfc\xe2\xa4\xb3", "①㈱髙こ"),
        ("iso2022_jp", b"\x1b$B-!$3\x1b(B.", "①こ."),
        ("euc_jp", b"\xa4<p>", "\ufffd<p>"),  # half a character takes no markup with it
        ("utf-8", b"a\xe5\x9cb", "a\ufffdb"),
    ],
)
def test_decode(name: str, body: bytes, text: str) -> None:
    assert decode(body, name) == text


@given(st.binary(max_size=200), st.sampled_from(CODECS))
def test_decode_never_raises(body: bytes, name: str) -> None:
    assert isinstance(decode(body, name), str)
