"""Extreme pages: long titles and words, right-to-left scripts, hostile text, very long documents."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from newsmill.model import Page

NOON = datetime(2026, 11, 25, 12, 20, tzinfo=UTC)
PAYLOADS = (
    "<script>window.hit=1</script>",
    '"><img src=x onerror="window.hit=1">',
    "'-window.hit-'",
    "{{ 7*7 }}${7*7}",
    "javascript:window.hit=1",
    "</title></textarea></script><svg/onload=window.hit=1>",
)
LONG_WORD = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 3
ARABIC = (
    "أعلنت البلدية يوم الثلاثاء افتتاح المكتبة الجديدة في وسط المدينة بعد سنوات من العمل، وقال رئيس البلدية إن أبوابها ستبقى مفتوحة كل يوم."
)
HEBREW = "הספרייה החדשה במרכז העיר תיפתח ביום שלישי לאחר שנים של עבודה, כך הודיעה העירייה. הכניסה חופשית לכל התושבים בכל ימות השבוע."
ENGLISH = (
    "The council met on Tuesday evening and voted, after two hours of debate, to keep the ferry running through the winter months. "
    "Residents of the west bank had asked for it since the bridge was closed in the spring, and the operator has now found a second crew."
)


def page_at(url: str, body: bytes, headers: tuple[tuple[str, str], ...] = (("Content-Type", "text/html; charset=utf-8"),)) -> Page:
    return Page(url, url, NOON, 200, headers, body)


def extremes() -> list[Page]:
    """Pages whose content must appear as text and fit into the window."""
    title = "A title that goes on and on because somebody put the whole first paragraph of the article into it, as content systems do, " * 3
    return [
        made("long-title", title.strip(), several(ENGLISH)),
        made("long-word", f"One word: {LONG_WORD}", [f"It reads {LONG_WORD} and nothing else. {ENGLISH}", *several(ENGLISH)]),
        made("arabic", "افتتاح المكتبة الجديدة في وسط المدينة", several(ARABIC), language="ar"),
        made("hebrew", "הספרייה החדשה נפתחת ביום שלישי", several(HEBREW), language="he"),
        made(
            "hostile", f"Hostile {PAYLOADS[1]}", [f"{ENGLISH} {payload}" for payload in PAYLOADS], author=PAYLOADS[0], section=PAYLOADS[5]
        ),
        made("parts", "Everything a text can hold", several(ENGLISH), extra=PARTS),
        made(
            "very-long", "The whole report of the committee of inquiry", [f"{number}. {ENGLISH} {ENGLISH[::-1]}" for number in range(400)]
        ),
    ]


def earlier_version() -> Page:
    """The page "hostile" before the site changed its title, its author, one paragraph and the order of two."""
    kept = [f"{ENGLISH} {payload}" for payload in PAYLOADS]
    changed = kept[2].replace("ferry", "boat").replace("the", "that")
    paragraphs = [*kept[:2], changed, kept[4], kept[3], f"This paragraph was removed later. {PAYLOADS[0]}", *kept[5:]]
    return made("hostile", f"An earlier title {PAYLOADS[1]}", paragraphs, author="Bob Example", section=PAYLOADS[5])


def several(text: str) -> list[str]:
    """Paragraphs that differ, as those of a text do."""
    return [f"{year}: {text}" for year in range(2021, 2027)]


PARTS = """<h2>What was decided</h2><ul><li>The ferry runs until the end of March.</li><li>A second crew is hired for the evenings.</li>
<li>The fare stays as it is.</li></ul><blockquote>
<p>We have waited long enough for this, and so has everybody on the west bank.</p></blockquote>
<table><tr><th>Year</th><th>Passengers on the ferry</th></tr><tr><td>2024</td><td>184,000</td></tr>
<tr><td>2025</td><td>201,500</td></tr></table>
<pre>06:10  west bank, then every 20 minutes\n22:50  last boat</pre>"""


def made(
    path: str,
    title: str,
    paragraphs: Sequence[str],
    *,
    author: str = "Ann Example",
    section: str = "Town",
    language: str = "en",
    extra: str = "",
) -> Page:
    """An article page with the usual things around it."""
    body = "".join(f"<p>{escape(text)}</p>" for text in paragraphs)
    html = f"""<!doctype html><html lang="{language}"><head><meta charset="utf-8"><title>{escape(title)}</title>
<meta property="og:title" content="{escape(title)}"><meta property="og:type" content="article">
<meta name="author" content="{escape(author)}">
<meta property="article:section" content="{escape(section)}"><meta property="article:published_time" content="2026-11-24T09:30:00Z">
<meta property="og:image" content="https://images.example/{path}.jpg"><meta http-equiv="refresh" content="0;url=https://elsewhere.example/">
<link rel="preconnect" href="https://preconnect.example/"><link rel="stylesheet" href="https://styles.example/a.css"></head>
<body><nav><ul><li><a href="/">Home</a></li><li><a href="/town">Town</a></li></ul></nav>
<article><h1>{escape(title)}</h1><img src="https://images.example/{path}.jpg" alt=""><div class="text">{body}{extra}</div>
<p class="credit">source site-40</p></article><script>window.hit=1;new Image().src="https://scripts.example/"</script>
<footer><p>© Extremes. All rights reserved.</p></footer></body></html>"""
    return page_at(f"https://extremes.example/{path}", html.encode())
