"""Whether the text and the fields of a page depend on how the page is built.

    python benchmarks/page_changes.py text [--step 6] [--folds DIR] [--changes NAME,…]
    python benchmarks/page_changes.py fields [--step 12]
    python benchmarks/page_changes.py edits REPOSITORY… [--edits 300]

`text`: each gold page is changed in a way that its reader does not see (other class names, no `article`, a box of a newsletter between two
paragraphs), and is extracted again by Newsmill and by trafilatura. The gold text stays the same, so each loss against the first row is a
dependence on the page's construction.
`fields`: each gold page is changed in a way that tells its reader the same (JSON-LD in CDATA, teasers before the article), and its fields
are found again. The fields of the unchanged page are the reference: a change is counted where a field gets another value, loses its value,
or gets one that it did not have. The text stays that of the unchanged page.
`edits`: the versions of Markdown posts in git repositories are rendered and read one after the other. An edit is a commit that changed a
post; it should make a revision if and only if the words of the body or the title changed. Clones need their history.
Needs `pip install -e '.[train]'`.
"""

from __future__ import annotations

import argparse
import copy
import json
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2b
from html import escape
from itertools import chain, pairwise
from pathlib import Path
from statistics import mean

import lxml.html
from lxml.html import HtmlElement
from markdown_it import MarkdownIt
from quality import NOW, GoldPage, by_reader, by_trafilatura, is_exact, page_f1, pages, reading_of, scorer
from trafilatura.utils import decode_file

from newsmill.extraction.document_identity import has_same_content
from newsmill.extraction.html import parse_html
from newsmill.extraction.metadata.fields import Fields, find_fields
from newsmill.extraction.metadata.structured_data import read_structured_data
from newsmill.extraction.pipeline import read
from newsmill.model import Document, Page

Change = Callable[[HtmlElement], None]

TEXT_SETS = ("aeb", "fundus-eval", "fundus-parser", "wcxb-article")
FIELD_SETS = (*TEXT_SETS, "trafilatura-eval")
INLINE = frozenset(
    re.findall(
        r"\w+",
        """a abbr b bdi bdo br button cite code del em font i img input ins kbd label mark q s samp small span strong
    sub sup time u""",
    )
)
SECTIONS = frozenset(("article", "main", "section", "header", "footer", "nav", "aside", "figure"))
MIN_PARAGRAPH_WORDS = 15
MAX_VERSIONS = 12  # of a post
CONSENT = """<div><h2>We value your privacy</h2><p>We and our 843 partners store and/or access information on a device, such as cookies, and
    process personal data, such as unique identifiers, for personalised advertisements and content, and to measure both.</p>
    <p>With your permission we and our partners may use precise geolocation data. You may click to consent to this processing as described
    above.</p>
    <button>Accept all</button><button>More options</button></div>"""
NEWSLETTER = """<div><h3>The day in your town</h3><p>The most important stories of the day, every morning at seven.</p>
    <form><input type="email"><button>Subscribe</button></form></div>"""
RELATED = """<div><div>Read more</div><ul><li><a href="/2026/11/03/vote">Council vote on the new bridge is delayed until spring</a></li>
    <li><a href="/2026/11/02/mayor">Mayor resigns after months of criticism over the budget</a></li></ul></div>"""
ADVERTISEMENT = '<div><div>Advertisement</div><iframe src="https://ads.example/1"></iframe><p>Article continues below</p></div>'


def elements(tree: HtmlElement) -> list[HtmlElement]:
    body = tree.find("body")
    return [element for element in (tree if body is None else body).iter() if isinstance(element.tag, str)]


def keep(tree: HtmlElement) -> None:
    """Only parsed and written again."""


def rename_classes(tree: HtmlElement) -> None:
    for element in elements(tree):
        for name in ("class", "id"):
            if value := element.get(name):
                element.set(name, " ".join(f"c{blake2b(word.encode(), digest_size=4).hexdigest()}" for word in value.split()))


def remove_classes(tree: HtmlElement) -> None:
    for element in elements(tree):
        for name in [name for name in element.attrib if name in ("class", "id") or name.startswith("data-")]:
            del element.attrib[name]


def remove_sections(tree: HtmlElement) -> None:
    for element in elements(tree):
        element.tag = "div" if element.tag in SECTIONS else element.tag


def remove_paragraphs(tree: HtmlElement) -> None:
    for element in elements(tree):
        element.tag = "div" if element.tag == "p" else element.tag


def break_lines(tree: HtmlElement) -> None:
    """Paragraphs become text between two `br`."""
    for box in elements(tree):
        for paragraph in [child for child in box if child.tag == "p"]:
            for _ in range(2):
                paragraph.addnext(lxml.html.Element("br"))
            paragraph.drop_tag()


def remove_white_space(tree: HtmlElement) -> None:
    for element in elements(tree):
        if element.tag not in INLINE and element.tag not in ("pre", "textarea"):
            element.text = element.text if element.text and element.text.strip() else None
            element.tail = element.tail if element.tail and element.tail.strip() else None


def wrap_paragraphs(tree: HtmlElement) -> None:
    for element in elements(tree):
        parent = element.getparent()
        if element.tag == "p" and parent is not None:
            outer, tail = lxml.html.Element("div"), element.tail
            parent.replace(element, outer)
            element.tail, outer.tail = None, tail
            outer.append(element)


def name_components(tree: HtmlElement) -> None:
    for element in elements(tree):
        element.tag = f"x-{element.tag}" if element.tag in ("div", "section", "article", "main") else element.tag


def hide_in_shadow(tree: HtmlElement) -> None:
    for element in elements(tree):
        if element.tag in ("article", "main"):
            root = lxml.html.Element("template", shadowrootmode="open")
            root.text, element.text = element.text, None
            root.extend(list(element))
            element.append(root)
            return


def insert_before(html: str, tree: HtmlElement) -> None:
    elements(tree)[0].insert(0, lxml.html.fragment_fromstring(html))


def insert_between(html: str, tree: HtmlElement) -> None:
    """Insert a box behind the middle paragraph of the box with the most paragraphs."""
    groups = (
        [child for child in box if child.tag == "p" and len(child.text_content().split()) > MIN_PARAGRAPH_WORDS] for box in elements(tree)
    )
    paragraphs = max(groups, key=len, default=[])
    if len(paragraphs) > 3:
        before, box = paragraphs[len(paragraphs) // 2], copy.deepcopy(lxml.html.fragment_fromstring(html))
        box.tail, before.tail = before.tail, None
        before.addnext(box)


TEXT_CHANGES: dict[str, Change] = {
    "none": keep,
    "class names hashed": rename_classes,
    "no class names": remove_classes,
    "no sections": remove_sections,
    "div for p": remove_paragraphs,
    "br for p": break_lines,
    "no white space": remove_white_space,
    "a div around each p": wrap_paragraphs,
    "custom elements": name_components,
    "shadow root": hide_in_shadow,
    "consent first": partial(insert_before, CONSENT),
    "newsletter inside": partial(insert_between, NEWSLETTER),
    "other articles inside": partial(insert_between, RELATED),
    "advertisement inside": partial(insert_between, ADVERTISEMENT),
}


def change_page(page: GoldPage, change: str) -> GoldPage:
    """The page after one of TEXT_CHANGES, as UTF-8."""
    tree = lxml.html.document_fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", decode_file(page.html)))
    TEXT_CHANGES[change](tree)
    html: bytes = lxml.html.tostring(tree, encoding="utf-8", doctype="<!DOCTYPE html>")
    return replace(page, html=html.replace(b"<head>", b'<head><meta charset="utf-8">', 1))


def compare_texts(page: GoldPage, changes: Sequence[str], folds: Path | None) -> list[tuple[bool, float, float]]:
    """For each change: whether Newsmill's text is exact, its F1, and trafilatura's F1."""
    score, found = scorer(), []
    for change in changes:
        changed = change_page(page, change)
        ours, theirs = by_reader(changed, folds).text, by_trafilatura(changed).text
        found.append((is_exact(score, page.gold, ours), page_f1(score, page.gold, ours), page_f1(score, page.gold, theirs)))
    return found


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
FIELD_CHANGES: dict[str, Change] = {
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


def compare_fields(page: GoldPage, *, is_bare: bool) -> list[Counter[str]]:
    """Return the number of other, lost and new values for each change; nothing for a page that is not an article."""
    document = reading_of(page, None).document
    counts: list[Counter[str]] = []
    reference: list[object] = []
    for change in chain(("none",), INSERTED) if is_bare and document else FIELD_CHANGES if document else ():
        tree = lxml.html.document_fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", decode_file(page.html)))
        if is_bare:
            remove_data(tree)
        FIELD_CHANGES[change](tree)
        values = [*list_values(page, lxml.html.tostring(tree, encoding="unicode"), document.text if document else "")]
        reference = reference or values
        pairs = [(before, after) for before, after in zip(reference, values, strict=True) if before != after]
        counts.append(Counter("new" if before is None else "lost" if after is None else "other" for before, after in pairs))
    return counts


def report_texts(options: argparse.Namespace) -> None:
    changes = options.changes.split(",")
    chosen = choose(TEXT_SETS, options.step or 6)
    with ProcessPoolExecutor(options.processes) as pool:
        rows = list(pool.map(partial(compare_texts, changes=changes, folds=options.folds), chosen, chunksize=2))
    print(f"{len(chosen)} pages\n| change | exact | F1 | trafilatura's F1 |\n|---|---|---|---|")
    for number, change in enumerate(changes):
        exact, ours, theirs = zip(*(row[number] for row in rows), strict=True)
        print(f"| {change} | {sum(exact)} | {mean(ours):.4f} | {mean(theirs):.4f} |")


def report_fields(options: argparse.Namespace) -> None:
    chosen = choose(FIELD_SETS, options.step or 12)
    for is_bare, names in ((False, [*FIELD_CHANGES]), (True, ["none", *INSERTED])):
        with ProcessPoolExecutor(options.processes) as pool:
            rows = [row for row in pool.map(partial(compare_fields, is_bare=is_bare), chosen, chunksize=2) if row]
        print(
            f"\n{len(rows)} pages{', only what readers see' if is_bare else ''}\n| change | other value | lost | new |\n|---|---|---|---|"
        )
        for name, counts in zip(names, zip(*rows, strict=True), strict=True):
            total = sum(counts, Counter[str]())
            print(f"| {name} | {total['other']} | {total['lost']} | {total['new']} |")


def report_edits(options: argparse.Namespace) -> None:
    print("| repository | changed | edits | no revision | revision |\n|---|---|---|---|---|")
    for repository in options.repositories:
        counts: dict[str, Counter[str]] = {}
        for post, versions in list_posts(repository, options.edits):
            read_versions = [read_version(post, *version) for version in versions]
            for before, after in pairwise(one for one in read_versions if one is not None):
                counts.setdefault(after.name_change(before), Counter())[after.makes_revision(before)] += 1
        for change, found in sorted(counts.items()):
            print(f"| {repository.name} | {change} | {found.total()} | {found[False]} | {found[True]} |")


def list_posts(repository: Path, count: int) -> Iterator[tuple[str, list[tuple[int, str]]]]:
    """Posts with their versions (time, Markdown), oldest first, in a fixed random order, until there are `count` edits."""

    def git(*arguments: str) -> bytes:
        return subprocess.run(("git", "-C", str(repository), *arguments), capture_output=True, check=True).stdout

    commits: dict[str, list[tuple[str, int]]] = {}
    log = git("log", "--no-merges", "--reverse", "--format=%x00%H %ct", "--name-only", "--no-renames", "--diff-filter=AM").decode()
    for block in log.split("\0")[1:]:
        first, *paths = filter(None, block.splitlines())
        commit, at = first.split()
        for path in paths:
            if re.search(r"(post|blog|news|content)\w*/.*\.(md|markdown)$", path):
                commits.setdefault(path, []).append((commit, int(at)))
    found = 0
    for path in sorted(commits, key=lambda path: blake2b(path.encode()).digest()):
        versions = [(at, git("show", f"{commit}:{path}").decode("utf-8", "replace")) for commit, at in commits[path][:MAX_VERSIONS]]
        if len(versions) > 1 and found < count:
            found += len(versions) - 1
            yield path, versions


@dataclass(frozen=True, slots=True)
class PostVersion:
    """One version of a post, and the document that was read from its page."""

    head: str
    title: str
    html: str
    words: tuple[str, ...]
    document: Document

    def name_change(self, before: PostVersion) -> str:
        """What changed, the weightiest first."""
        names = {"words": "body", "title": "title", "html": "markup of the body", "head": "metadata"}
        return next((name for field, name in names.items() if getattr(self, field) != getattr(before, field)), "nothing that is rendered")

    def makes_revision(self, before: PostVersion) -> bool:
        """As ledger/store_decisions.py decides."""
        return not has_same_content(self.document, before.document)


def read_version(path: str, at: int, source: str) -> PostVersion | None:
    """A version, rendered as a page with its title, authors, tags and the links of a site; None if it is no article."""
    parts = re.match(r"\s*(---|\+\+\+)\n(.*?)\n\1\s*\n?(.*)", source, re.DOTALL)
    head, body = (parts[2], parts[3]) if parts else ("", source)
    named = {key.lower(): value.strip("\"' []") for key, value in re.findall(r"^(\w+)\s*[:=]\s*(.+)$", head, re.MULTILINE)}
    title, author = named.get("title", "Untitled"), named.get("author") or named.get("authors") or "The team"
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(re.sub(r"\{[%:{].*?\}+", "", body))
    page = f"""<!doctype html><html><head><meta charset="utf-8"><title>{escape(title)} | Weblog</title>
        <meta name="author" content="{escape(author)}"><meta name="description" content="{escape(named.get("description", ""))}">
        <meta name="keywords" content="{escape(named.get("tags", ""))}"><meta name="date" content="{escape(named.get("date", ""))}"></head>
        <body><header><nav><a href="/">Home</a> <a href="/posts">Posts</a></nav></header><main><article>
        <h1>{escape(title)}</h1>
        <p class="byline">By {escape(author)}</p>{html}</article></main><aside><h2>More posts</h2><ul><li>
        <a href="/a">An older post</a></li></ul></aside><footer><p>© The project</p></footer></body></html>"""
    url = f"https://weblog.example/{re.sub(r'[^a-z0-9]+', '-', path.lower())}"
    fetched_at = datetime.fromtimestamp(at, UTC)
    headers = (("Content-Type", "text/html; charset=utf-8"),)
    document = read(Page(url, url, fetched_at, 200, headers, page.encode("utf-8", "replace"))).document
    words = tuple(" ".join(map(str, lxml.html.fromstring(f"<div>{html}</div>").itertext())).split())
    return None if document is None else PostVersion(head, title, html, words, document)


def choose(sets: Sequence[str], step: int) -> list[GoldPage]:
    return [page for dataset in sets for number, page in enumerate(pages(dataset)) if number % step == 0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question", choices=("text", "fields", "edits"))
    parser.add_argument("repositories", nargs="*", type=Path, help="for edits: folders of git repositories")
    parser.add_argument("--edits", type=int, default=300, help="of each repository")
    parser.add_argument("--step", type=int, help="take every n-th page (default: 6 for texts, 12 for fields)")
    parser.add_argument("--folds", type=Path, help="models of train_blocks.py; without them the shipped model, which has seen the pages")
    parser.add_argument("--changes", default=",".join(TEXT_CHANGES), help="changes of the text to measure")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    {"text": report_texts, "fields": report_fields, "edits": report_edits}[options.question](options)


if __name__ == "__main__":
    main()
