"""Bodies that try to crash, block, exhaust or deceive a reader: `bodies()` gives name, headers and bytes of each."""

from __future__ import annotations

import gzip
import json
import random
import zlib
from collections.abc import Iterator

import brotli
import zstandard

Headers = tuple[tuple[str, str], ...]
HTML: Headers = (("Content-Type", "text/html; charset=utf-8"),)
SENTENCE = "The council met on Monday to talk about the bridge, and nobody left before midnight. "
ARTICLE = "".join(f"<p>{SENTENCE * 3}</p>" for _ in range(12))
THAI = "สภาเทศบาลประชุมเมื่อวันจันทร์เพื่อหารือเรื่องสะพานและไม่มีใครกลับก่อนเที่ยงคืน"
MB = 1 << 20


def bodies() -> Iterator[tuple[str, Headers, bytes]]:
    yield "an honest article", HTML, page(ARTICLE)
    yield from _compressed()
    for name, body in (*_large(), *_deep(), *_encoded(), *_scripted()):
        yield name, HTML, body
    yield "UTF-16 under a UTF-8 header", HTML, page(ARTICLE).decode().encode("utf-16")
    yield "UTF-8 under a shift_jis header", (("Content-Type", "text/html; charset=shift_jis"),), page(f"<p>Käse für Zürich</p>{ARTICLE}")
    yield "BOM, header and meta disagree", (("Content-Type", "text/html; charset=koi8-r"),), b"\xef\xbb\xbf" + page(ARTICLE, "euc-kr")
    yield "random bytes", HTML, bytes(zlib.crc32(n.to_bytes(4, "big")) & 0xFF for n in range(500_000))


def page(body: str | bytes, charset: str = "utf-8") -> bytes:
    inner = body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass")
    head = f'<!DOCTYPE html><html lang="en"><head><meta charset="{charset}"><title>The bridge stays</title>'
    head += '<meta property="og:type" content="article"></head><body><article><h1>The bridge stays</h1>'
    return head.encode() + inner + b"</article></body></html>"


def _shuffled(letters: str, lines: int) -> Iterator[str]:
    """Lines of 100 letters that all differ, so that hardly any run of letters occurs twice."""
    chance = random.Random(1)
    return ("".join(chance.choices(letters, k=100)) for _ in range(lines))


def _compressed() -> Iterator[tuple[str, Headers, bytes]]:
    zeros = b"\0" * (200 * MB)
    once = gzip.compress(zeros, 9)
    packed = {
        "gzip": once,
        "x-gzip": once,
        "deflate": zlib.compress(zeros, 9),
        "br": brotli.compress(zeros, quality=5),
        "zstd": zstandard.ZstdCompressor(19).compress(zeros),
        "gzip, gzip": gzip.compress(once, 9),
        "gzip, deflate, gzip": gzip.compress(zlib.compress(once, 9), 9),
        ", ".join(["gzip"] * 200): once,
    }
    for coding, body in packed.items():
        yield f"200 MB bomb, {coding[:24]}", (*HTML, ("Content-Encoding", coding)), body
    text = gzip.compress(page(ARTICLE * 2000))
    yield "an honest gzip of 6 MB", (*HTML, ("Content-Encoding", "gzip")), text
    yield "gzip cut in half", (*HTML, ("Content-Encoding", "gzip")), text[: len(text) // 2]
    yield "gzip that is none", (*HTML, ("Content-Encoding", "gzip")), page(ARTICLE)
    yield "an unknown encoding", (*HTML, ("Content-Encoding", "klingon")), page(ARTICLE)


def _large() -> Iterator[tuple[str, bytes]]:
    yield "50 MB of paragraphs", page(f"<p>{SENTENCE}</p>" * (50 * MB // 92))
    yield "10 MB of paragraphs", page(f"<p>{SENTENCE}</p>" * (10 * MB // 92 - 20))
    yield "4.5 MB of paragraphs", page(f"<p>{SENTENCE}</p>" * 50_000)
    yield "5 MB in one paragraph", page(f"<p>{SENTENCE * 60_000}</p>")
    yield "5 MB in one word", page(f"<p>{'a' * 5 * MB}</p>{ARTICLE}")
    yield "4.6 MB of Thai lines in one paragraph", page(f"<p>{'<br>'.join(_shuffled(THAI, 15_200))}</p>")
    yield "5 MB of blanks", page(ARTICLE + " \n\t" * (5 * MB // 3))
    yield "5 MB of <!--", page(ARTICLE + "<!--" * (5 * MB // 4))
    yield "5 MB of <", page(ARTICLE + "<" * (5 * MB))
    yield "1 M of &", page(ARTICLE + "&" * MB + "&amp" * 100_000)
    yield "100,000 links", page(ARTICLE + "".join(f'<a href="/{n}">link {n}</a> ' for n in range(100_000)))
    yield (
        "8,000 headlines in one cell",
        page(f"<table><td>{''.join(f'<a href=/{n}>A headline of the day {n}</a> ' for n in range(8_000))}</table>"),
    )
    yield "6,000 dt and dd", page(f"<dl>{'<dt>a<dd>b' * 6_000}</dl>{ARTICLE}")
    yield "7,000 h1", page(f"{'<h1>The bridge stays</h1>' * 7_000}{ARTICLE}")
    yield "12,000 read-more lines", page(f"{'<p>Read more</p>' * 12_000}{ARTICLE}")
    yield "38,000 bold words", page(f"<p>{'<b>word</b> ' * 38_000}</p>{ARTICLE}")
    yield "100,000 list items", page(f"<ul>{'<li>one more' * 100_000}</ul>{ARTICLE}")
    yield "100,000 table cells", page(f"<table>{'<tr><td>1<td>2<td>3' * 33_000}</table>{ARTICLE}")
    yield "100,000 meta elements", page(ARTICLE).replace(b"</head>", b'<meta property="og:title" content="x">' * 100_000 + b"</head>")
    yield "a title of 2 MB", page(ARTICLE).replace(b"The bridge stays</title>", b"x" * 2 * MB + b"</title>")


def _deep() -> Iterator[tuple[str, bytes]]:
    for tag in ("div", "b", "table", "font", "a", "blockquote", "ul"):
        yield f"100,000 nested <{tag}>", page(f"<{tag}>" * 100_000 + ARTICLE)
    yield "300 nested <div>", page("<div>" * 300 + ARTICLE + "</div>" * 300)
    yield "100,000 attributes", page(f"<p {' '.join(f'a{n}=1' for n in range(100_000))}>{ARTICLE}")
    yield "100,000 times one attribute", page(f"<p {'class=x ' * 100_000}>{ARTICLE}")
    yield (
        "1,000 attributes on 200 elements",
        page("".join(f"<p {' '.join(f'a{n}=1' for n in range(1000))}>x" for _ in range(200)) + ARTICLE),
    )
    yield "100,000 misnested formats", page("<b><i><u>" * 33_000 + "</b></i></u>" * 33_000 + ARTICLE)


def _encoded() -> Iterator[tuple[str, bytes]]:
    yield "NUL in every word", page(ARTICLE.replace("e", "e\0"))
    yield "lone surrogates", page(ARTICLE.replace("o", "o\ud800"))
    yield "bidi controls", page(ARTICLE.replace(" ", " \u202e\u2066"))
    yield "numeric entities of nothing", page(ARTICLE.replace("e", "&#0;&#xD800;&#x110000;&#99999999999;"))
    yield "a billion laughs", _LAUGHS + page(f"<p>&lol9;</p>{ARTICLE}")
    yield "an external entity", b'<!DOCTYPE html [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + page(f"<p>&x;</p>{ARTICLE}")
    yield "ten thousand combining accents", page(ARTICLE + "<p>a" + "\u0301" * 10_000 + "</p>")


_LAUGHS = ("<?xml version='1.0'?><!DOCTYPE lolz [<!ENTITY lol0 'lol'>" + "".join(
    f"<!ENTITY lol{n} '{f'&lol{n - 1};' * 10}'>" for n in range(1, 10)
) + "]>").encode()  # fmt: skip


def _scripted() -> Iterator[tuple[str, bytes]]:
    def ld(value: str) -> bytes:
        return page(ARTICLE).replace(b"</head>", f'<script type="application/ld+json">{value}</script></head>'.encode())

    yield "JSON-LD of 4 MB", ld(json.dumps({"@type": "NewsArticle", "articleBody": SENTENCE * 50_000}))
    yield "JSON-LD nested 100,000 deep", ld("[" * 100_000)
    yield "JSON-LD of 50,000 authors", ld(json.dumps({"@type": "NewsArticle", "author": [{"name": f"N {n}"} for n in range(50_000)]}))
    yield "JSON-LD with a number of 1 M digits", ld('{"@type":"NewsArticle","wordCount":' + "9" * MB + "}")
    yield (
        "10,000 JSON-LD blocks",
        page(ARTICLE).replace(b"</head>", b'<script type="application/ld+json">{}</script>' * 10_000 + b"</head>"),
    )
    yield "4 MB of script", page(f"<script>{'var a = [1,2,3];' * 250_000}</script>{ARTICLE}")
    yield "dates that make expressions sweat", page(f"<p>{'2026-' * 100_000}</p><time datetime='{'9' * 100_000}'>{ARTICLE}")
    yield (
        "a canonical URL of 1 MB",
        page(ARTICLE).replace(b"</head>", b'<link rel="canonical" href="https://a/' + b"a/" * (MB // 2) + b'"></head>'),
    )
