"""Whether the fields of a page depend on how the page is built.

    python benchmarks/field_changes.py [--step 12] [--processes 1]

Each gold page is changed in a way that tells its reader the same (JSON-LD in CDATA, teasers before the article), and its fields are
found again. The fields of the unchanged page are the reference: a change is counted where a field gets another value, loses its value,
or gets one that it did not have. The text stays that of the unchanged page. Needs `pip install -e '.[train]'`.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from html import escape
from itertools import chain

import lxml.html
from gold import GoldPage, pages
from lxml.html import HtmlElement
from page_changes import insert_before
from quality import NOW, reading_of
from trafilatura.utils import decode_file

from newsmill.extraction.html import parse_html
from newsmill.extraction.metadata.fields import Fields, find_fields
from newsmill.extraction.metadata.structured_data import read_structured_data
from newsmill.model import Page

SETS = ("aeb", "fundus-eval", "fundus-parser", "wcxb-article", "trafilatura-eval")
Change = Callable[[HtmlElement], None]
OTHER = {
    "@type": "NewsArticle",
    "headline": "Mayor resigns after months of criticism over the budget",
    "url": "/2011/02/02/mayor",
    "datePublished": "2011-02-02T04:05:06+00:00",
    "author": {"@type": "Person", "name": "Wilma Other"},
    "image": "https://img.example/mayor.jpg",
}
TEASER = """<div><h3><a href="/2011/02/02/mayor">Mayor resigns after months of criticism over the budget</a></h3>
    <span class="byline">By <a rel="author" href="/author/wilma">Wilma Other</a></span>
    <time datetime="2011-02-02">2 February 2011</time></div>"""
ITEM = """<div itemscope itemtype="https://schema.org/NewsArticle"><h3 itemprop="headline"><a href="/mayor">Mayor resigns</a></h3>
    <span itemprop="author">Wilma Other</span><meta itemprop="datePublished" content="2011-02-02"><meta itemprop="description" content="No">
    <meta itemprop="dateModified" content="2026-02-02"><meta itemprop="keywords" content="mayor"></div>"""
COMMENT = """<div><div itemscope itemtype="https://schema.org/Comment"><span itemprop="author">Rita Reader</span>
    <time itemprop="datePublished" datetime="2026-11-05">5 November 2026</time><p>I never liked that bridge.</p></div></div>"""
DIALOGUE = '<div role="dialog"><h1>We value your privacy</h1><p>We and our partners use cookies.</p><button>Accept</button></div>'


def list_scripts(tree: HtmlElement) -> list[HtmlElement]:
    return [script for script in tree.iter("script") if "ld+json" in script.get("type", "")]


def rewrite_json(rewrite: Callable[[str], str], tree: HtmlElement) -> None:
    for script in list_scripts(tree):
        script.text = rewrite(script.text or "")


def join_graph(tree: HtmlElement) -> None:
    """All JSON-LD of the page becomes one graph."""
    scripts, nodes = list_scripts(tree), []
    for script in scripts:
        try:
            found = json.loads(script.text or "", strict=False)
        except ValueError:
            return
        nodes += found if isinstance(found, list) else [found]
    for script in scripts[1:]:
        script.drop_tree()
    for script in scripts[:1]:
        script.text = json.dumps({"@graph": nodes})


def list_others_first(tree: HtmlElement) -> None:
    script = lxml.html.Element("script", type="application/ld+json")
    script.text = json.dumps({"@type": "ItemList", "itemListElement": [OTHER, OTHER | {"url": "/2011/02/02/vote"}]})
    tree.insert(0, script)


def rename_properties(tree: HtmlElement) -> None:
    for meta in tree.iter("meta"):
        meta.set("property", re.sub("^article:", "og:article:", meta.get("property", "")))


def move_meta(tree: HtmlElement) -> None:
    body = tree.find("body")
    for meta in list(tree.iterfind("head/meta")) if body is not None else ():
        body.append(meta)


def remove_data(tree: HtmlElement) -> None:
    """Only what readers see stays: no JSON-LD, no <meta>, no microdata."""
    for element in [*list_scripts(tree), *tree.iter("meta")]:
        element.drop_tree()
    for element in tree.iter(lxml.html.etree.Element):
        for name in ("itemprop", "itemscope", "itemtype"):
            element.attrib.pop(name, None)


def rename_headlines(tree: HtmlElement) -> None:
    for heading in [*tree.iter("h1")]:
        heading.tag = "div"
        heading.set("role", "heading")
        heading.set("aria-level", "1")


def append(html: str, tree: HtmlElement) -> None:
    tree.append(lxml.html.fragment_fromstring(html))


INSERTED: dict[str, Change] = {
    "teasers before": partial(insert_before, f"<div>{TEASER * 2}</div>"),
    "microdata of others before": partial(insert_before, f"<div>{ITEM * 2}</div>"),
    "comment after": partial(append, COMMENT),
    "dialogue with h1 before": partial(insert_before, DIALOGUE),
    "role=heading for h1": rename_headlines,
}
CHANGES: dict[str, Change] = {
    "none": lambda _: None,
    "JSON-LD in CDATA": partial(rewrite_json, "<![CDATA[{}]]>".format),
    "JSON-LD behind a comment": partial(rewrite_json, "/* plug-in */ {}".format),
    "JSON-LD with a byte order mark": partial(rewrite_json, "\ufeff{}".format),
    "JSON-LD escaped": partial(rewrite_json, escape),
    "JSON-LD as one graph": join_graph,
    "JSON-LD of others first": list_others_first,
    "og:article: for article:": rename_properties,
    "meta in body": move_meta,
    **INSERTED,
}


def list_values(page: GoldPage, html: str, text: str) -> Iterator[object]:
    parsed = parse_html(html)
    assert parsed.tree is not None
    fetched = Page(page.url, page.url, NOW, 200, (("Content-Type", "text/html"),), page.html)
    found: Fields = find_fields(read_structured_data(parsed.tree, page.url, html.encode()), parsed.tree, fetched, text, None)
    for moment in (found.published, found.modified):
        yield moment and (moment.day, moment.at)
    yield tuple(author.name for author in found.authors) or None
    yield from (found.title, found.description, found.language, found.section, found.tags or None, found.image, found.article_type)


def compare(page: GoldPage, *, is_bare: bool) -> list[Counter[str]]:
    """Return the number of other, lost and new values for each change; nothing for a page that is not an article."""
    document = reading_of(page, None).document
    counts: list[Counter[str]] = []
    reference: list[object] = []
    for change in chain(("none",), INSERTED) if is_bare and document else CHANGES if document else ():
        tree = lxml.html.document_fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", decode_file(page.html)))
        if is_bare:
            remove_data(tree)
        CHANGES[change](tree)
        values = [*list_values(page, lxml.html.tostring(tree, encoding="unicode"), document.text if document else "")]
        reference = reference or values
        pairs = [(before, after) for before, after in zip(reference, values, strict=True) if before != after]
        counts.append(Counter("new" if before is None else "lost" if after is None else "other" for before, after in pairs))
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--step", type=int, default=12, help="take every n-th page")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    chosen = [page for dataset in SETS for number, page in enumerate(pages(dataset)) if number % options.step == 0]
    for is_bare, names in ((False, [*CHANGES]), (True, ["none", *INSERTED])):
        with ProcessPoolExecutor(options.processes) as pool:
            rows = [row for row in pool.map(partial(compare, is_bare=is_bare), chosen, chunksize=2) if row]
        print(
            f"\n{len(rows)} pages{', only what readers see' if is_bare else ''}\n| change | other value | lost | new |\n|---|---|---|---|"
        )
        for name, counts in zip(names, zip(*rows, strict=True), strict=True):
            total = sum(counts, Counter[str]())
            print(f"| {name} | {total['other']} | {total['lost']} | {total['new']} |")


if __name__ == "__main__":
    main()
