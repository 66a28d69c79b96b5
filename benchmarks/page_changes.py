"""Whether the text of a page depends on how the page is built.

    python benchmarks/page_changes.py [--step 6] [--folds DIR] [--changes NAME,…]

Each gold page is changed in a way that its reader does not see (other class names, no `article`, a box of a newsletter between two
paragraphs), and is extracted again by Newsmill and by trafilatura. The gold text stays the same, so each loss against the first row is a
dependence on the page's construction. Needs `pip install -e '.[train]'`.
"""

from __future__ import annotations

import argparse
import copy
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from statistics import mean

import lxml.html
from gold import GoldPage, pages, scorer
from lxml.html import HtmlElement
from page_scores import is_exact, page_f1
from quality import by_reader, by_trafilatura
from trafilatura.utils import decode_file

SETS = ("aeb", "fundus-eval", "fundus-parser", "wcxb-article")
INLINE = frozenset(
    re.findall(
        r"\w+",
        """a abbr b bdi bdo br button cite code del em font i img input ins kbd label mark q s samp small span strong
    sub sup time u""",
    )
)
SECTIONS = frozenset(("article", "main", "section", "header", "footer", "nav", "aside", "figure"))
MIN_PARAGRAPH_WORDS = 15
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


CHANGES: dict[str, Callable[[HtmlElement], None]] = {
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
    """The page after one of CHANGES, as UTF-8."""
    tree = lxml.html.document_fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", decode_file(page.html)))
    CHANGES[change](tree)
    html: bytes = lxml.html.tostring(tree, encoding="utf-8", doctype="<!DOCTYPE html>")
    return replace(page, html=html.replace(b"<head>", b'<head><meta charset="utf-8">', 1))


def measure(page: GoldPage, changes: Sequence[str], folds: Path | None) -> list[tuple[bool, float, float]]:
    """For each change: whether Newsmill's text is exact, its F1, and trafilatura's F1."""
    score, found = scorer(), []
    for change in changes:
        changed = change_page(page, change)
        ours, theirs = by_reader(changed, folds).text, by_trafilatura(changed).text
        found.append((is_exact(score, page.gold, ours), page_f1(score, page.gold, ours), page_f1(score, page.gold, theirs)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--step", type=int, default=6, help="take every n-th page")
    parser.add_argument("--folds", type=Path, help="models of train_blocks.py; without them the shipped model, which has seen the pages")
    parser.add_argument("--changes", default=",".join(CHANGES))
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    changes = options.changes.split(",")
    chosen = [page for dataset in SETS for number, page in enumerate(pages(dataset)) if number % options.step == 0]
    with ProcessPoolExecutor(options.processes) as pool:
        rows = list(pool.map(partial(measure, changes=changes, folds=options.folds), chosen, chunksize=2))
    print(f"{len(chosen)} pages\n| change | exact | F1 | trafilatura's F1 |\n|---|---|---|---|")
    for number, change in enumerate(changes):
        exact, ours, theirs = zip(*(row[number] for row in rows), strict=True)
        print(f"| {change} | {sum(exact)} | {mean(ours):.4f} | {mean(theirs):.4f} |")


if __name__ == "__main__":
    main()
