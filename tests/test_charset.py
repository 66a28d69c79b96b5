"""Character encodings in the order of the HTML standard."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from webencodings.labels import LABELS  # type: ignore[import-untyped]  # publishes no types

from newsmill.text.charset import to_text, to_utf8
from newsmill.text.declared_charset import find_declared_encoding, find_xml_label
from newsmill.text.web_codecs import decode, find_codec

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
        (b'<meta charset="utf-16">', "utf-8"),  # a page whose <meta> can be read is not UTF-16
        (b'<meta name=description content="charset=utf-8">', None),
        (b"<meta charset", None),
    ],
)
def test_prescan(head: bytes, encoding: str | None) -> None:
    assert find_declared_encoding(head) == encoding


CHINESE = "<title>市议会表决新桥</title><p>" + "市议会星期二晚上在老市政厅开会，没有人预料到会有长时间的争论。" * 3 + "</p>"


@pytest.mark.parametrize(
    ("body", "header", "encoding"),
    [
        (CHINESE.encode(), "text/html; charset=gb2312", "utf-8"),
        (CHINESE.encode(), "text/html; charset=big5", "utf-8"),
        (b'<meta charset="iso-8859-1">' + GERMAN.encode(), None, "utf-8"),
        (CHINESE.encode() + b"<p>\xe5\x9c</p>", "text/html; charset=gbk", "utf-8"),  # a character cut in two changes nothing
        (GERMAN.encode(), "text/html; charset=utf-16", "utf-8"),  # text of UTF-16 has a zero in every piece of markup
        ("<p>«Ёж», Ж</p>".encode("cp1251"), "text/html; charset=windows-1251", "cp1251"),
        ("<title>约</title>".encode("gb18030"), "text/html; charset=gb2312", "gb18030"),
        (b"<p>\xd4\xbc</p>", "text/html; charset=gb2312", "gb18030"),  # 约: one character that is valid UTF-8 (U+053C) by chance
        (CHINESE.encode("gb18030"), "text/html; charset=gb2312", "gb18030"),
        (CHINESE.encode("gb18030"), "text/html; charset=utf-8", "gb18030"),
        (
            b'<meta charset="gbk">' + CHINESE.encode("gb18030"),
            "text/html; charset=utf-8",
            "gb18030",
        ),  # the header is wrong, <meta> is right
        (b'<meta charset="windows-1251">' + RUSSIAN.encode("cp1251"), "text/html; charset=euc-kr", "cp1251"),
        (b'<?xml version="1.0" encoding="windows-1251"?>' + RUSSIAN.encode("cp1251"), None, "cp1251"),
        (("<p>Říká, že „most“ zůstane, a děti zpívají – celé odpoledne. </p>" * 5).encode("cp1250"), None, "cp1250"),
        (("<p>Młodzież śpiewała całą noc, a źródło biło pod dębem. </p>" * 5).encode("iso8859-2"), None, "iso8859-2"),
        (("<p>El niño comió piñones; mañana será otro día, ¿verdad? </p>" * 5).encode("cp1252"), None, "cp1252"),
        (("<p>A ponte não caiu, e a população vê a construção do avião. </p>" * 5).encode("cp1252"), None, "cp1252"),
        (("<p>Çocuklar bahçede şarkı söylüyor, ağaçların gölgesi serin. </p>" * 5).encode("cp1254"), None, "cp1254"),
        (("<p>Šiandien žmonės ąžuolų giraitėje dainavo iki vėlyvos nakties. </p>" * 5).encode("cp1257"), None, "cp1257"),
        ("<p>市議會星期二晚上在老市政廳開會，沒有人預料到會有長時間的爭論。</p>".encode("big5hkscs") * 3, None, "big5hkscs"),
        ("<p>시의회는 화요일 저녁 옛 시청에서 회의를 열었고 긴 논쟁을 예상한 사람은 없었다.</p>".encode("cp949") * 3, None, "cp949"),
    ],
)
def test_what_the_bytes_prove(body: bytes, header: str | None, encoding: str) -> None:
    """Valid UTF-8 is read as UTF-8 whatever the page declares; a wrong or missing declaration is corrected."""
    text, name = to_text(body, header)
    assert name == encoding
    assert text == body.decode(encoding, "replace")


@given(
    st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs"), min_codepoint=0x800), min_size=1, max_size=60)
    | st.text(st.characters(min_codepoint=0xA1, max_codepoint=0xFF), min_size=1, max_size=60)
    | st.text(st.characters(codec="utf-8", categories=("L",), min_codepoint=0x80), min_size=4, max_size=60),
    st.text(st.characters(codec="ascii"), max_size=60),
    st.sampled_from(sorted(LABELS)),
)
def test_utf8_is_never_mojibake(wide: str, ascii_text: str, label: str) -> None:
    """Valid UTF-8 is UTF-8 under every label of the standard, in the header or in the page."""
    body = f"<p>{ascii_text}</p><p>{wide}</p>".encode()
    assume(b"\0" not in body and not body.startswith((b"\xef\xbb\xbf", b"\xfe\xff", b"\xff\xfe")))
    assert to_text(body, f"text/html; charset={label}") == (body.decode(), "utf-8")
    declared = f'<meta charset="{label}">'.encode() + body
    assert to_text(declared) == (declared.decode(), "utf-8")


@given(
    st.binary(max_size=300) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")), st.sampled_from(sorted(LABELS))
)
def test_the_page_as_utf8_has_the_same_text(body: bytes, label: str) -> None:
    for header in (None, "text/html; charset=utf-8", f"text/html; charset={label}"):
        assert to_utf8(body, header).decode() == to_text(body, header)[0]


@pytest.mark.parametrize("piece", [b"<script", b"<", b"<style<!--", b"<script></", b"<a \xe9"])
def test_detection_takes_linear_time(piece: bytes) -> None:
    """Unclosed markup in a page of 2 MB; quadratic time would outlast the test's time limit by hours."""
    body = piece * (2_000_000 // len(piece)) + b"\xe9t\xe9"
    assert to_text(body)[0].endswith("\xe9t\xe9")


def xml(label: str, text: str, encoding: str) -> bytes:
    return f'<?xml version="1.0" encoding="{label}"?><a>{text}</a>'.encode(encoding)


@pytest.mark.parametrize(
    ("body", "header", "encoding"),
    [
        (xml("gb2312", "漢字鎔囍", "gbk"), None, "gb18030"),
        (xml("gb2312", "漢字鎔囍", "gbk"), "text/xml; charset=utf-8", "gb18030"),
        (xml("iso-8859-1", "Grüße", "utf-8"), None, "utf-8"),
        (xml("utf-8", "plain", "ascii"), "text/xml; charset=iso-8859-1", "utf-8"),
        (xml("utf-16", "Grüße", "utf-8"), "text/xml; charset=utf-16", "utf-8"),
        (xml("utf-16", "Grüße", "utf-16-le"), None, "utf-16-le"),
        (xml("klingon", "Grüße", "utf-8"), None, "utf-8"),
        ("<a>Grüße</a>".encode("cp1252"), "text/xml; charset=iso-8859-1", "cp1252"),
        ("<a>Grüße</a>".encode() * 30 + b"\xff", None, "utf-8"),
        (b'<a><meta charset="gbk">plain</a>', None, "utf-8"),
    ],
)
def test_xml_follows_its_declaration_and_is_utf_8_without_one(body: bytes, header: str | None, encoding: str) -> None:
    assert to_text(body, header, is_xml=True)[1] == encoding


@pytest.mark.parametrize(
    ("body", "label"),
    [(b"<?xml encoding='Klingon'?>", "Klingon"), (b"<?xml version='1.0'?>", None), (b"<?xml encoding='a\0b'?>", "a"), (b"<a/>", None)],
)
def test_the_label_of_an_xml_declaration(body: bytes, label: str | None) -> None:
    assert find_xml_label(body) == label


def test_surrogates_in_utf8_are_dropped() -> None:
    assert to_text("<p>half \ud83d character</p>".encode("utf-8", "surrogatepass"))[0] == "<p>half  character</p>"


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400), st.none() | st.text(max_size=40))
def test_never_raises(body: bytes, header: str | None) -> None:
    text, name = to_text(body, header)
    text.encode("utf-8")
    assert name


# ---- codecs ------------------------------------------------------------------------------------------------------------------


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
