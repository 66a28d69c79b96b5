"""The pages of one article become one document, and a page of another one does not become part of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from html_pages import html
from html_pages import page as make_page

from newsmill.cli.trace import print_result
from newsmill.extraction.pipeline import read
from newsmill.model import Document, ExtractionResult
from newsmill.sandbox.pages import Sandbox

URL = "https://paper.example/politics/the-bridge-over-the-river-10431"
TITLE = "The bridge over the river"
DECLARED = '<meta property="og:type" content="article"><meta property="article:published_time" content="2026-11-25T10:00:00Z">'
LEAD = "What the engineers found under the old road, and why nobody had looked there in the forty years before the flood."


def prose(part: int, count: int = 4) -> list[str]:
    things = ("council", "ferry", "engineer", "mayor", "school", "harbour", "museum", "market")
    line = "On day {} of month {} the {} met the {} at the bridge and talked for hours about the costs of its {} bearings."
    return [line.format(number + 3, part + 1, things[number], things[-number - 1], (part + 1) * (number + 2)) for number in range(count)]


def body(part: int, *, title: str = TITLE, top: str = "", head: str = DECLARED, pages: int = 3, texts: list[str] | None = None) -> str:
    paragraphs = "".join(f"<p>{text}</p>" for text in texts or prose(part))
    pager = "".join(f'<a href="{URL}/{number}">{number}</a> ' for number in range(2, pages + 1))
    shown = html(f'<main><article><h1>{title}</h1>{top}{paragraphs}</article><div class="pages">1 {pager}</div></main>', head)
    return shown.replace("Council votes", title)


def url_of(part: int) -> str:
    return URL if part == 1 else f"{URL}/{part}"


def joined(first: str, *others: tuple[str, str]) -> Document:
    parts = tuple(make_page(text, url) for url, text in others)
    result = read(replace(make_page(first, URL), parts=parts))
    assert result.document is not None
    return result.document


def test_pages_are_joined_without_what_they_repeat(capsys: pytest.CaptureFixture[str]) -> None:
    top = f"<p>{LEAD}</p>"
    others = [(url_of(number), body(number, title=f"{TITLE} – page {number}", top=top)) for number in (2, 3)]
    document = joined(body(1, top=top), *others)
    assert document.text.split("\n\n") == [LEAD, *prose(1), *prose(2), *prose(3)]
    assert document.title == TITLE and document.url == URL and document.word_count == len(document.text.split())
    assert document.warnings == (f"joined from 3 pages, with {URL}/2 {URL}/3",)
    result = read(replace(make_page(body(1, top=top), URL), parts=(make_page(others[0][1], others[0][0]),)))
    leads = [(page, block.reason) for page, block in result.list_blocks() if block.text == LEAD]
    assert leads == [(URL, None), (f"{URL}/2", "repeated from an earlier page of the article")]
    assert {page for page, block in result.list_blocks() if block.text in prose(2)} == {f"{URL}/2"}
    print_result(result)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("page ")] == [f"page {URL}", f"page {URL}/2"]


def test_a_page_alone_names_the_next_one() -> None:
    alone = read(make_page(body(1), URL))
    assert alone.document is not None and alone.next_page == f"{URL}/2"
    assert alone.document.warnings == (f"the article continues at {URL}/2, which is not part of this text",)
    part = joined(body(1), (url_of(2), body(2)))
    assert part.text.split("\n\n") == [*prose(1), *prose(2)]
    assert f"the article continues at {URL}/3, which is not part of this text" in part.warnings
    undeclared = read(
        make_page(body(1, head="").replace(URL, "https://paper.example/about-bridges"), "https://paper.example/about-bridges")
    )
    assert undeclared.document is not None and undeclared.document.warnings and undeclared.next_page is None  # it may be a list


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (body(2, title="Strike at the harbour goes on"), "it has the title 'Strike at the harbour goes on'"),
        (body(2, head=DECLARED.replace("11-25", "11-21")), "it was published on 2026-11-21"),
        (
            body(2, head=f'{DECLARED}<link rel="canonical" href="https://paper.example/news/strike-of-the-pilots-8">'),
            "its canonical URL is ",
        ),
        (body(1), "it repeats the text of the pages before"),
        ("<html></html>", "no_text"),
    ],
)
def test_another_article_is_not_joined(text: str, reason: str) -> None:
    document = joined(body(1), (url_of(2), text), (url_of(3), body(3)))
    assert document.text.split("\n\n") == prose(1)
    (warning,) = document.warnings
    assert warning.startswith(f"{URL}/2 is not part of this text: {reason}")


def test_all_pages_on_one_replace_the_first() -> None:
    everything = [*prose(1), *prose(2), *prose(3)]
    shown = (f"{URL}?page=all", body(1, texts=everything, pages=1))
    result = read(replace(make_page(body(1), URL), parts=(make_page(shown[1], shown[0]),)))
    assert {*result.block_pages} == {shown[0]} and len(result.block_pages) == len(result.blocks)
    assert all(page is None for page, _ in read(make_page(body(1), URL)).list_blocks())
    whole = joined(body(1), shown)
    assert whole.text.split("\n\n") == everything and whole.warnings == (f"joined from 2 pages, with {URL}?page=all",)
    other = joined(body(1), (f"{URL}?page=all", body(2, pages=1)))
    assert other.text.split("\n\n") == prose(1) and "it does not have the text of the first page" in other.warnings[0]


def test_the_sandbox_reads_all_pages() -> None:
    parts = tuple(replace(make_page(body(number), url_of(number)), headers=()) for number in (2, 3))
    page = replace(make_page(body(1), URL), parts=parts)
    with Sandbox() as box:
        result = box.read(page, brief=True)
    assert isinstance(result, ExtractionResult) and result.document is not None and result.document == read(page).document
