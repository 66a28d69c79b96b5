"""Share of lists and tables that is kept: `python benchmarks/lists_and_tables.py [--set SET] [--folds DIR]`.

The blocks are list items and table cells of three words or more. The benchmark searches their words, in sequence, in the gold text, in the
text of Newsmill, and in items or cells of its Markdown. The gold texts are plain text, so words elsewhere on the page also count there.
Cells of MIN_PROSE_CELL_WORDS words or more are paragraphs for extraction (extraction/body/extract.py), and also in the Markdown.
The shipped model has seen these pages; `--folds DIR` is as in quality.py.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from gold import GoldPage, pages
from markdown_it import MarkdownIt
from markdown_it.token import Token

from newsmill.charset import to_utf8
from newsmill.exports.markdown import render_markdown
from newsmill.extraction.body.block_model import parse_model
from newsmill.extraction.body.blocks import TextBlock, segment, split_words
from newsmill.extraction.html import parse_source, prepare_html
from newsmill.extraction.pipeline import read
from newsmill.model import BlockType, Document, Page

NOW = datetime(2026, 11, 25, tzinfo=UTC)
CONTENT_TYPE = "text/html; charset=utf-8"
FEWEST = 3  # words of a block; shorter phrases occur anywhere
KINDS = {BlockType.LIST: "list", BlockType.TABLE: "table"}
PARSER = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
OPENED = {"list_item_open": "list", "td_open": "table", "th_open": "table"}
CLOSED = {"list_item_close": "list", "td_close": "table", "th_close": "table"}


def flat(text: str) -> str:
    """Join the words, with a space at either end so that a part of a word does not match."""
    return f" {' '.join(split_words(text))} "


def rendered(source: str) -> dict[str, str]:
    """Return the text of Markdown, by a CommonMark parser: all words, and those in list items and in table cells."""
    found: dict[str, list[str]] = {"all": [], "list": [], "table": []}
    inside = Counter[str]()
    for token in PARSER.parse(source):
        inside[OPENED.get(token.type, "")] += 1
        inside[CLOSED.get(token.type, "")] -= 1
        text = token.content if token.type in ("fence", "code_block") else " ".join("".join(_inline(token.children or ())).split())
        for name in found:
            if name == "all" or inside[name] > 0:
                found[name].append(text)
    return {name: flat(" ".join(text)) for name, text in found.items()}


def _inline(tokens: Iterable[Token]) -> Iterator[str]:
    for token in tokens:
        yield " " if token.type in ("softbreak", "hardbreak") else token.content if token.type in ("text", "code_inline") else ""


def count_words(blocks: Sequence[TextBlock], document: Document | None, gold: str) -> Counter[tuple[str, str]]:
    """Count words by kind and by place."""
    gold, ours = flat(gold), flat("" if document is None else document.text)
    shown = rendered("" if document is None else render_markdown(document))
    counts = Counter[tuple[str, str]]()
    counts["all", "documents"] += document is not None
    counts["all", "same in Markdown"] += document is not None and shown["all"] == ours
    for block in blocks:
        name, text = KINDS.get(block.type), flat(block.text)
        if name is None or len(block.words) < FEWEST:
            continue
        in_gold, in_ours = text in gold, text in ours
        counts[name, "gold"] += len(block.words) * in_gold
        counts[name, "ours"] += len(block.words) * in_ours
        counts[name, "both"] += len(block.words) * (in_gold and in_ours)
        counts[name, "marked"] += len(block.words) * (in_gold and in_ours and text in shown[name])
    return counts


def read_page(page: GoldPage, folds: Path | None) -> tuple[list[TextBlock], Document | None]:
    """Return every block of the page, and its document."""
    model = None if folds is None else parse_model((folds / f"fold-{page.fold}.json").read_text("utf-8"))
    fetched = Page(page.url, page.url, NOW, 200, (("Content-Type", CONTENT_TYPE),), page.html)
    tree = parse_source(prepare_html(to_utf8(page.html, CONTENT_TYPE))).tree
    return [] if tree is None else segment(tree).blocks, read(fetched, model=model).document


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", default="wcxb-article", help="a set whose golds are whole texts")
    parser.add_argument(
        "--folds", type=Path, help="folder of fold-0.json to fold-4.json: each page by the model that has not seen its publisher"
    )
    options = parser.parse_args()
    counts = Counter[tuple[str, str]]()
    for page in pages(options.set):
        counts += count_words(*read_page(page, options.folds), page.gold["text"])
    documents, same = counts["all", "documents"], counts["all", "same in Markdown"]
    print(f"{documents:,} documents, {same:,} with the words of their text in the Markdown, in order")
    for name in KINDS.values():
        gold, ours, both, marked = (counts[name, place] for place in ("gold", "ours", "both", "marked"))
        print(f"{name}: {gold:,} words; recall {both / gold:.3f}, precision {both / ours:.3f}, as {name}: {marked / both:.3f}")


if __name__ == "__main__":
    main()
