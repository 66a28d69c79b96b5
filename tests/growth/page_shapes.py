"""Pages made of one shape repeated: what a page can hold many of, up to what the reader takes (40,000 elements, 5 MiB)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

SENTENCE = "The council met on Monday to talk about the bridge, and nobody left before midnight."
THAI = "สภาเทศบาลประชุมเมื่อวันจันทร์เพื่อหารือเรื่องสะพานและไม่มีใครกลับก่อนเที่ยงคืน"


@dataclass(frozen=True, slots=True)
class Shape:
    """`html(n)` holds the shape n times; `most` is how often a page can hold it before the reader refuses the page."""

    name: str
    most: int
    html: Callable[[int], str]


def page(body: str, head: str = "") -> str:
    """A whole page around a body, with an article before it."""
    start = f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>The bridge stays open</title>{head}</head>'
    article = "".join(f"<p>{SENTENCE} This is paragraph {number} of the report about it.</p>" for number in range(6))
    return f"{start}<body><article><h1>The bridge stays open</h1>{article}</article>{body}</body></html>"


def repeated(piece: str, n: int) -> str:
    """The piece n times; "%d" in it is the number of the piece, from 0."""
    return "".join(piece.replace("%d", str(i)) for i in range(n)) if "%d" in piece else piece * n


def _inside(name: str, most: int, piece: str, before: str = "", after: str = "") -> Shape:
    """The same piece again and again inside the article."""

    def html(n: int) -> str:
        return page("").replace("</article>", before + repeated(piece, n) + after + "</article>")

    return Shape(f"{name}, in the article", most, html)


def _alone(name: str, most: int, piece: str, before: str = "", after: str = "") -> Shape:
    """The same and nothing else on the page."""

    def html(n: int) -> str:
        return f"<html><body>{before}{repeated(piece, n)}{after}</body></html>"

    return Shape(f"{name}, alone", most, html)


def _everywhere(name: str, most: int, piece: str, before: str = "", after: str = "") -> list[Shape]:
    return [_inside(name, most, piece, before, after), _alone(name, most, piece, before, after)]


def _head(name: str, most: int, piece: str) -> Shape:
    return Shape(name, most, lambda n: page("", repeated(piece, n)))


def _data(name: str, most: int, value: Callable[[int], object]) -> Shape:
    def html(n: int) -> str:
        return page("", f'<script type="application/ld+json">{json.dumps(value(n))}</script>')

    return Shape(f"JSON-LD: {name}", most, html)


def _script(name: str, most: int, value: Callable[[int], object]) -> Shape:
    """A page whose text stands in a script only."""
    return Shape(name, most, lambda n: f"<html><body><script type='application/json'>{json.dumps(value(n))}</script></body></html>")


def _article(**fields: object) -> dict[str, object]:
    return {"@context": "https://schema.org", "@type": "NewsArticle", "headline": "The bridge stays open", **fields}


def _nested(n: int) -> object:
    value: object = _article()
    for _ in range(n):
        value = [value]
    return value


LONG = " ".join([SENTENCE] * 3)


def _live_blog(n: int) -> str:
    """Half of the paragraphs are the lead, half are in the updates."""
    updates = [{"@type": "BlogPosting", "headline": f"Update {i}", "articleBody": f"Update {i}. {SENTENCE}"} for i in range(n)]
    data = json.dumps({"@type": "LiveBlogPosting", "liveBlogUpdate": updates})
    lead = "".join(f"<p>Lead {i}. {SENTENCE}</p>" for i in range(n))
    shown = "".join(f"<p>Update {i}. {SENTENCE}</p>" for i in range(n))
    return page("", f'<script type="application/ld+json">{data}</script>').replace("</article>", f"{lead}{shown}</article>")


_LINKED_HEADING = '<h3><a href="/story">The same headline of the day</a></h3>'
_ITEM = "itemscope itemtype='http://schema.org"
SHAPES: tuple[Shape, ...] = (
    *_everywhere("links in one cell", 8_000, '<a href="/story-%d">Headline number %d of the day</a> ', "<table><tr><td>", "</table>"),
    *_everywhere("headlines with a teaser", 8_000, '<div><a href="/s-%d">Headline number %d of the day</a><p>Teaser %d of it.</p></div>'),
    *_everywhere(
        "headlines in one box", 8_000, '<h3><a href="/s-%d">Headline number %d of the day</a></h3><p>Teaser %d.</p>', "<div>", "</div>"
    ),
    *_everywhere("one link again and again", 16_000, '<a href="/story">The same headline of the day</a> '),
    *_everywhere("dialogues", 15_000, f"<div role='dialog'><p>{SENTENCE}</p></div>text %d"),
    *_everywhere("requests for consent", 9_000, "<div><p>We use cookies and our partners need your consent.</p><button>OK</button></div>"),
    *_everywhere("e-mail fields", 12_000, "<form><p>Your address:</p><input type='email'></form>"),
    *_everywhere("web components", 19_000, f"<x-line><x-part>{SENTENCE}</x-part></x-line>"),
    _alone("short links", 16_000, '<a href="/t-%d">tag %d</a> '),
    *_everywhere("dt and dd", 18_000, "<dt>a<dd>b", "<dl>", "</dl>"),
    *_everywhere("dt and dd that differ", 18_000, "<dt>name %d<dd>value of %d", "<dl>", "</dl>"),
    _alone("h1", 20_000, "<h1>Headline</h1>"),
    *_everywhere("h1 that differ", 20_000, "<h1>Headline %d</h1>"),
    *_everywhere("h2 and paragraph", 12_000, f"<h2>Heading %d</h2><p>{SENTENCE}</p>"),
    _alone("read-more lines", 38_000, "<p>Read more</p>"),
    _alone("read-more links", 18_000, '<p><a href="/%d">Read more</a></p>'),
    *_everywhere("paragraphs", 38_000, f"<p>{SENTENCE}</p>"),
    *_everywhere("paragraphs that differ", 30_000, f"<p>Day %d. {SENTENCE}</p>"),
    _alone("paragraphs of one word", 38_000, "<p>word%d</p>"),
    *_everywhere("nested divs", 250, f"<div><p>{SENTENCE}</p>"),
    *_everywhere("deeply nested divs", 2_000, "<div>text %d "),
    *_everywhere("nested lists", 900, "<ul><li>text %d "),
    *_everywhere("nested tables", 400, "<table><tr><td>text %d "),
    _inside("nested quotes", 2_000, "<blockquote>text %d "),
    _inside("nested spans", 2_000, "<span>text %d "),
    *_everywhere("sentences in one paragraph", 50_000, f"{SENTENCE} ", "<p>", "</p>"),
    *_everywhere("Thai sentences in one paragraph", 18_000, THAI, "<p>", "</p>"),
    _inside("Chinese in one paragraph", 60_000, "市议会周一开会讨论这座桥，午夜前没有人离开。", "<p>", "</p>"),
    _inside("mojibake in one paragraph", 50_000, "CafÃ© Ã¼ber â€œZÃ¼richâ€\u009d ", "<p>", "</p>"),
    _inside("one word without spaces", 4_000_000, "a", "<p>", "</p>"),
    _inside("blanks", 3_000_000, " ", "<p>a", "b</p>"),
    _inside("combining accents", 800_000, "\u0301", "<p>a", "</p>"),
    *_everywhere("br", 38_000, "line %d<br>", "<p>", "</p>"),
    *_everywhere("br and br", 18_000, "line %d<br><br>", "<div>", "</div>"),
    _inside("bare br", 38_000, "<br>", "<p>", "</p>"),
    _inside("hr", 38_000, "<hr>"),
    _inside("links in one paragraph", 18_000, '<a href="/%d">name %d</a> ', "<p>", "</p>"),
    _inside("cells that span rows", 9_000, "<tr><td rowspan=1000>%d", "<table>", "</table>"),
    *_everywhere("li", 38_000, "<li>item %d", "<ul>", "</ul>"),
    *_everywhere("li with a link", 19_000, '<li><a href="/%d">item number %d of many items</a>', "<ul>", "</ul>"),
    *_everywhere("rows", 9_000, "<tr><td>1<td>value %d<td>3", "<table>", "</table>"),
    _alone("rows of prose", 9_000, f"<tr><td>{LONG}<td>%d", "<table>", "</table>"),
    *_everywhere("cells of one row", 38_000, "<td>%d", "<table><tr>", "</table>"),
    *_everywhere("tables", 9_000, "<table><tr><td>value %d</table>"),
    _alone("lists", 12_000, "<ul><li>item number %d of a list</ul>"),
    _inside("images", 38_000, '<img src="/image-%d.jpg" alt="picture %d">'),
    _alone("figures", 9_000, '<figure><img src="/image-%d.jpg"><figcaption>Picture %d (Photo: Ada Lovelace)</figcaption></figure>'),
    _inside("dated teasers", 7_500, '<div><h3><a href="/a/%d">Story %d</a></h3><time datetime="2026-11-18">18 November 2026</time></div>'),
    _inside("teasers that were cut off", 7_500, '<div><h3><a href="/a/%d">Story %d</a></h3><p>A story of some words …</p></div>'),
    _inside("nested teasers that were cut off", 2_000, '<div><p>A story of <a href="/a/%d">some words</a> …</p>'),
    _inside("times in links", 12_000, '<a href="/a"><time datetime="2026-11-18">18 November 2026</time></a> '),
    _inside("times", 38_000, '<time datetime="2026-11-25">25 November 2026</time> '),
    _alone("dates in text", 38_000, "<p>25 November 2026, 12:%d</p>"),
    _inside("bylines", 18_000, '<p class="byline">By Ada Lovelace %d</p>'),
    _inside("authors", 18_000, '<a rel="author" href="/a/%d">Ada Lovelace %d</a>'),
    _inside(
        "other articles with bylines",
        6_000,
        '<div><h3><a href="/s-%d">Headline number %d of this day</a></h3><p class="byline">By Ada %d</p><time>1 May 2026</time></div>',
    ),
    _alone("bylines below one linked heading", 18_000, '<p class="byline">By Ada Lovelace %d</p>', f"<div>{_LINKED_HEADING}", "</div>"),
    _inside("marks in one heading", 18_000, 'Part %d <a href="#part">#</a> ', "<h2>", "</h2>"),
    _inside("headings by role", 18_000, "<div role='heading' aria-level='3'>Heading %d</div>"),
    _inside("spans", 38_000, "<span>word</span> ", "<p>", "</p>"),
    _inside("hidden spans", 38_000, '<span style="display:none">word</span> ', "<p>", "</p>"),
    *_everywhere("bold words", 38_000, "<b>word</b> ", "<p>", "</p>"),
    _inside("unclosed b", 2_000, "<b>word "),
    _inside("unclosed i and u", 1_000, "<i><u>word "),
    _inside("misnested formats", 900, "<b><i>word</b></i> "),
    *_everywhere("unclosed p", 38_000, "<p>word "),
    _inside("unclosed a", 38_000, '<a href="/%d">link '),
    _inside("closing tags", 300_000, "</div>"),
    _inside("entities", 300_000, "&amp;&eacute; ", "<p>", "</p>"),
    _inside("unknown entities", 300_000, "&nothing;", "<p>", "</p>"),
    _inside("numeric entities", 300_000, "&#11;x", "<p>", "</p>"),
    _inside("ampersands", 1_000_000, "&", "<p>", "</p>"),
    _inside("less-than signs", 1_000_000, "<", "<p>", "</p>"),
    _inside("opened comments", 1_000_000, "<!--"),
    _inside("comments", 300_000, "<!-- x -->"),
    _inside("processing instructions", 300_000, "<?x y?>"),
    _inside("scripts", 18_000, "<script>var a = [1, 2];</script>"),
    _inside("opened scripts", 38_000, "<script>"),
    _inside("noscripts", 18_000, "<noscript>Please switch on JavaScript</noscript>"),
    _alone("articles", 9_000, '<article><h2><a href="/%d">Headline number %d here</a></h2><p>Some text %d</p></article>'),
    _alone("sections with a heading", 9_000, f"<section><h2>Part %d</h2><p>{SENTENCE}</p></section>"),
    _inside("iframes", 38_000, '<iframe src="/%d"></iframe>'),
    _inside("embeds", 9_000, '<blockquote class="twitter-tweet"><p>Text %d</p><a href="https://x.example/%d">x</a></blockquote>'),
    _inside("options", 38_000, "<option>choice %d", "<select>", "</select>"),
    _inside("microdata", 18_000, '<div itemscope itemtype="https://schema.org/Person"><span itemprop="name">Ada %d</span></div>'),
    _inside(
        "comments of microdata",
        9_000,
        f"<div {_ITEM}/Comment'><meta itemprop='author' content='Ada %d'><p itemprop='datePublished'>2026-05-01</p></div>",
    ),
    _inside(
        "articles of microdata",
        9_000,
        f"<div {_ITEM}/Article'><h3 itemprop='headline'>Day %d</h3><meta itemprop='keywords' content='a'></div>",
    ),
    _alone("live updates", 9_000, '<article class="live-update"><time datetime="2026-11-25T12:00Z">12:00</time><p>Update %d</p></article>'),
    _inside("quoted sentences", 9_000, f"<blockquote>{SENTENCE} %d</blockquote>"),
    _inside("copyright lines", 18_000, "<p>© 2026 The Paper. All rights reserved. %d</p>"),
    _inside("JSON in scripts", 9_000, '<script type="application/json">{"a": [{"text": "Some text %d"}]}</script>'),
    _head("meta", 38_000, '<meta property="og:title" content="The bridge stays open">'),
    _head("meta authors", 38_000, '<meta name="author" content="Ada Lovelace %d">'),
    _head("meta keywords", 38_000, '<meta property="article:tag" content="tag %d">'),
    _head("meta images", 38_000, '<meta property="og:image" content="https://paper.example/%d.jpg">'),
    _head("meta dates", 38_000, '<meta property="article:published_time" content="2026-11-25T12:00:00Z">'),
    _head("links of the head", 38_000, '<link rel="alternate" hreflang="en" href="/%d">'),
    _head("canonicals", 38_000, '<link rel="canonical" href="https://paper.example/%d">'),
    _head("titles", 38_000, "<title>The bridge stays open %d</title>"),
    _head("styles", 18_000, "<style>p { color: red }</style>"),
    _head("JSON-LD blocks", 18_000, '<script type="application/ld+json">{"@type": "NewsArticle", "headline": "The bridge %d"}</script>'),
    _head("empty JSON-LD blocks", 18_000, '<script type="application/ld+json">{}</script>'),
    Shape("a long title", 2_000_000, lambda n: page("").replace("<title>", "<title>" + "x" * n)),
    Shape("a long title of words", 400_000, lambda n: page("").replace("<title>", "<title>" + "word - " * n)),
    Shape("a long h1", 400_000, lambda n: page(f"<h1>{'word - ' * n}</h1>")),
    Shape("a long author", 350_000, lambda n: page("", f'<meta name="author" content="{"Ada Lovelace, " * n}">')),
    Shape("a long author joined by and", 400_000, lambda n: page("", f'<meta name="author" content="{"Ada and " * n}">')),
    Shape("long keywords", 400_000, lambda n: page("", f'<meta name="keywords" content="{"some tag, " * n}">')),
    Shape("a long date", 400_000, lambda n: page(f'<time datetime="{"9" * n}">{"9" * n}</time>')),
    Shape("a long date of parts", 400_000, lambda n: page(f"<p>{'2026-' * n}</p>")),
    Shape("a long description", 400_000, lambda n: page("", f'<meta name="description" content="{"word " * n}">')),
    Shape("a long byline", 100_000, lambda n: page(f'<p class="byline">By {"Ada Lovelace " * n}</p>')),
    Shape("a long class", 400_000, lambda n: page(f'<div class="{"word-1 " * n}">{SENTENCE}</div>')),
    Shape("a long style", 300_000, lambda n: page(f'<div style="{"clip : " * n}">{SENTENCE}</div><span style="{"display " * n}">x</span>')),
    Shape("a long href", 400_000, lambda n: page(f'<a href="/{"a/" * n}">Headline number one of the day</a>')),
    Shape("a long href that climbs", 400_000, lambda n: page(f'<a href="/{"../" * n}">Headline number one of the day</a>')),
    Shape("a long href of parameters", 400_000, lambda n: page(f'<a href="/?{"a=b&" * n}">Headline number one of the day</a>')),
    Shape("a long canonical", 400_000, lambda n: page("", f'<link rel="canonical" href="https://paper.example/{"a/" * n}">')),
    Shape("attributes of one tag", 60_000, lambda n: page(f"<p {' '.join(f'a{i}=1' for i in range(n))}>{SENTENCE}")),
    Shape("one attribute of one tag", 400_000, lambda n: page(f"<p {'class=x ' * n}>{SENTENCE}")),
    Shape("tags with many attributes", 4_000, lambda n: page("".join(f"<p {' '.join(f'a{i}=1' for i in range(100))}>x" for _ in range(n)))),
    Shape("quotes of an attribute", 400_000, lambda n: page("<p a=" + "\"'" * n + f">{SENTENCE}")),
    Shape("open tags", 400_000, lambda n: page("<p " * n)),
    Shape("equals signs in a tag", 400_000, lambda n: page("<p " + "= " * n + ">")),
    Shape("one script", 2_000_000, lambda n: page(f"<script>{'a' * n}</script>")),
    Shape("braces in a script", 2_000_000, lambda n: page(f"<script>{'{' * n}</script>")),
    Shape("brackets in a script", 2_000_000, lambda n: page(f"<script>window.x = {'[' * n}</script>")),
    Shape("quotes in a script", 2_000_000, lambda n: page(f"<script>window.x = {chr(34) * n}</script>")),
    Shape("backslashes in a script", 2_000_000, lambda n: page('<script>window.x = "' + "\\" * n + "</script>")),
    Shape(
        "strings in a script",
        100_000,
        lambda n: page(f'<script>window.x = {{"a": [{",".join([chr(34) + SENTENCE[:30] + chr(34)] * n)}]}}</script>'),
    ),
    Shape("names of a bot filter in a script", 5_000, lambda n: f"<html><body><script>{'_Incapsula_Resource' * n}</script><p>One word"),
    Shape("assignments in a script", 100_000, lambda n: page(f"<script>{'window.x = {a: 1}; ' * n}</script>")),
    _script("html in a script's strings", 30_000, lambda n: {"body": f"<p>{SENTENCE}</p>" * n}),
    _script("objects in a script", 20_000, lambda n: {"body": [{"type": "paragraph", "text": SENTENCE}] * n}),
    _data("body", 50_000, lambda n: _article(articleBody=SENTENCE * n)),
    _data("authors", 50_000, lambda n: _article(author=[{"@type": "Person", "name": f"Ada Lovelace {i}"} for i in range(n)])),
    _data("author of many words", 200_000, lambda n: _article(author="Ada Lovelace, " * n)),
    _data("keywords", 100_000, lambda n: _article(keywords=[f"word {i}" for i in range(n)])),
    _data("keywords in one string", 300_000, lambda n: _article(keywords="word one, " * n)),
    _data("images", 50_000, lambda n: _article(image=[f"https://paper.example/{i}.jpg" for i in range(n)])),
    _data("articles", 30_000, lambda n: [_article(url=f"https://paper.example/{i}") for i in range(n)]),
    _data("list of articles", 20_000, lambda n: {"@type": "ItemList", "itemListElement": [_article(url=f"/{i}") for i in range(n)]}),
    _data("graph", 30_000, lambda n: {"@graph": [_article(**{"@id": f"#{i}", "author": {"@id": f"#{i + 1}"}}) for i in range(n)]}),
    _data(
        "updates",
        20_000,
        lambda n: {
            "@type": "LiveBlogPosting",
            "liveBlogUpdate": [{"@type": "BlogPosting", "headline": f"U {i}", "articleBody": SENTENCE} for i in range(n)],
        },
    ),
    Shape("a live blog beside a long lead", 8_000, _live_blog),
    _data("nested lists", 900, _nested),
    _data("number", 1_000_000, lambda n: 0),
    _data("headline", 400_000, lambda n: _article(headline="word - " * n)),
    _data("sections", 100_000, lambda n: _article(articleSection=[f"section {i}" for i in range(n)])),
    _data("types", 100_000, lambda n: _article(**{"@type": [f"T{i}" for i in range(n)]})),
    _data("dates", 100_000, lambda n: _article(datePublished=["2026-11-25"] * n)),
)
