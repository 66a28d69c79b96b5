"""The whole way from bytes to an ExtractionResult: the seed article, the operator's rules, and any input at all."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest
from html_pages import NOW, PROSE, TEXT, URL, article, html, page, paragraphs
from hypothesis import given, settings
from hypothesis import strategies as st

from newsmill.extraction import pipeline
from newsmill.extraction.document_builder import join_text
from newsmill.extraction.normalise import normalise
from newsmill.extraction.pipeline import read
from newsmill.model import BlockType, Outcome, Page, Rules
from newsmill.text import urls

CREDITS = [
    "<p>.<br>source site-40</p>",
    "<p>.</p><p>source site-41</p>",
    "<div>.<br>source site-40</div>",
    "<div>.</div><div>source site-41</div>",
    "<footer>.<br>source site-40</footer>",
    "<footer><p>.</p><p>source site-41</p></footer>",
    "<p>Quelle: dpa</p>",
]
INSIDE = ["<br>.<br>source site-40", " .<br>source site-41", "\n.\nsource site-40", " . source site-41"]


@pytest.mark.parametrize("credit", CREDITS)
@pytest.mark.parametrize(
    "frame", ["<article><h1>Council votes</h1>{}</article>", "<main><h1>Council votes</h1><h2>By night</h2><div>{}</div></main>"]
)
def test_the_credit_is_gone_in_every_markup(frame: str, credit: str) -> None:
    document = read(page(html(frame.format(paragraphs() + credit)))).document
    assert document is not None
    assert document.text.removeprefix("By night\n\n") == TEXT


@pytest.mark.parametrize("credit", INSIDE)
def test_the_credit_inside_the_last_paragraph(credit: str) -> None:
    body = paragraphs().removesuffix("</p>") + credit + "</p>"
    document = read(page(html(f"<article><h1>Council votes</h1>{body}</article>"))).document
    assert document is not None
    assert document.text == TEXT


def test_the_seed_article(shared: Path) -> None:
    """Every paragraph, and not its footer, in each markup."""
    title, *texts, stop, source = (shared / "seed" / "article.txt").read_text("utf-8").replace("\n.\n", "\n\n.\n\n").split("\n\n")
    assert (stop.strip(), source.strip()) == (".", "source site-40")
    want = [normalise(text) for text in texts if text.strip()]
    body = "".join(f"<p>{text.replace(chr(10), '<br>')}</p>" for text in want)
    for credit in CREDITS:
        document = read(page(html(f"<article><h1>{title}</h1>{body}{credit}</article>", lang="de"))).document
        assert document is not None
        assert document.text.split("\n\n") == want
        assert document.title == title
        assert document.language == "de"
    for credit in INSIDE:
        document = read(page(html(f"<article><h1>{title}</h1>{body.removesuffix('</p>')}{credit}</p></article>"))).document
        assert document is not None
        assert document.text.split("\n\n") == want


def test_every_removed_block_says_by_whom_and_why() -> None:
    reading = article(body="<p>.</p><p>source site-40</p>")
    removed = [block for block in reading.blocks if not block.kept]
    assert {"source site-40"} <= {block.text for block in removed}
    assert all(block.layer and block.reason for block in removed)
    assert reading.document is not None
    assert reading.document.blocks == tuple(block for block in reading.blocks if block.kept)
    assert join_text(reading.blocks) == reading.document.text


def test_an_operators_rules() -> None:
    rules = Rules(drop_css=("p.note", "div:nth-child(", "nosuchtag"), drop_lines=(r"Work is to begin .*",))
    reading = article(
        body='<p class="note">A note of the editor that does not belong to the text at all, as it is about us.</p>', rules=rules
    )
    assert reading.document is not None
    assert reading.document.text == "\n\n".join(PROSE[:3])
    assert {"drop_css p.note", r"drop_lines Work is to begin .*"} <= {block.reason for block in reading.blocks}


def test_identity() -> None:
    canonical = '<link rel="canonical" href="https://paper.example/politics/x.html">'
    first, second = article(canonical).document, article().document
    nameless = read(Page("", "", NOW, 200, (("Content-Type", "text/html"),), html(paragraphs()).encode())).document
    assert first and second and nameless
    assert first.id == urls.make_key("https://paper.example/politics/x.html")
    assert second.id == urls.make_key(URL)
    assert nameless.id == nameless.content_hash
    assert first.content_hash == second.content_hash  # the same words, whatever the URL


def test_of_a_rendered_page_the_dom_is_read() -> None:
    """Whatever encoding the server declared: the DOM is UTF-8."""
    headers = (("content-type", "text/html; charset=iso-8859-1"), ("Content-Encoding", "gzip"))
    plain = Page(URL, URL, NOW, 200, headers, gzip.compress(b"<div id=app></div>"))
    rendered = html(paragraphs()).replace("</p>", " Zwölf Boxkämpfer jagen Viktor.</p>").encode()
    assert read(plain).document is None
    document = read(replace(plain, rendered=rendered)).document
    assert document is not None and "Zwölf Boxkämpfer" in document.text
    assert document == read(replace(plain, headers=(("Content-Type", "text/html"),), body=rendered)).document


def test_adverts_and_counters_make_no_revision() -> None:
    first, second = (
        article(body="<aside>12 readers so far</aside>").document,
        article(body="<aside>13 readers so far. Buy a car!</aside>").document,
    )
    assert first and second
    assert first.content_hash == second.content_hash


def test_the_same_page_gives_the_same_reading() -> None:
    assert article() == article()


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=300)
    | st.text(alphabet=st.characters(exclude_categories=()) | st.sampled_from("<>/='\"&; "), max_size=300).map(
        lambda text: text.encode("utf-8", "surrogatepass")
    ),
    st.sampled_from(["", URL, "http://[", "javascript:x", "https://ex ample/\ud800"]),
)
def test_never_raises_and_never_a_silent_empty(body: bytes, url: str) -> None:
    for whole in (body, html(paragraphs()).encode().replace(b"debate", body)):
        reading = read(page(whole, url))
        assert (reading.document is not None) == (reading.ending.outcome is Outcome.STORED)
        if reading.document is not None:
            assert reading.document.text
            json.dumps([reading.document.title, reading.document.text]).encode("utf-8")
            reading.document.text.encode("utf-8")


@pytest.mark.parametrize(
    ("collection", "kinds", "step"),
    [("hostile_docs", None, 1), ("html5lib", ("tree", "encoding"), 3), ("injection", None, 25)],
)
@pytest.mark.slow
def test_measured_hostile_input(collection: str, kinds: tuple[str, ...] | None, step: int, shared: Path) -> None:
    """Collected cases, in turns alone and inside an article, end in a named outcome: every one, or every third or 25th of many alike."""
    folder = shared / "cases" / collection
    gzipped = json.loads((folder / "manifest.json").read_text("utf-8"))["files_gzipped"]
    rows = [json.loads(line) for line in (folder / "cases.jsonl").read_text("utf-8").splitlines()]
    for number, row in enumerate([row for row in rows if kinds is None or row["kind"] in kinds][::step]):
        body = _body(folder, row, gzipped)
        reading = read(page(body if number % 2 else html(paragraphs()).encode().replace(b"debate", body)))
        assert (reading.document is not None) == (reading.ending.outcome is Outcome.STORED)


def _body(folder: Path, row: dict[str, object], gzipped: bool) -> bytes:
    import gzip

    for field, encoding in (("payload", "utf-8"), ("data", "utf-8"), ("data_latin1", "latin-1")):
        if isinstance(row.get(field), str):
            return str(row[field]).encode(encoding, "surrogatepass" if encoding == "utf-8" else "strict")
    files = row.get("files")
    if not isinstance(files, dict):
        return b""
    data = (folder / next(iter(files.values()))).read_bytes()
    return gzip.decompress(data) if gzipped else data


SLIDE = "What you need: a costume with the number {n}, some glue, a pair of scissors and one free evening before the party."


def slides(count: int) -> str:
    return "".join(f'<figure><img src="/{n}.jpg"><figcaption><p>{SLIDE.format(n=n)}</p></figcaption></figure>' for n in range(count))


def test_the_captions_of_a_gallery_are_its_text() -> None:
    document = read(page(html(f"<article><h1>Council votes</h1><p>{PROSE[0]}</p>{slides(12)}</article>"))).document
    assert document is not None
    assert SLIDE.format(n=7) in document.text.split("\n\n")
    assert {block.type for block in document.blocks} == {BlockType.PARAGRAPH}


def test_captions_beside_a_text_are_not_its_text() -> None:
    document = read(page(html(f"<article><h1>Council votes</h1>{paragraphs() * 6}{slides(6)}</article>"))).document
    assert document is not None
    assert "What you need" not in document.text


@pytest.mark.parametrize(("kind", "stays"), [("NewsArticle", False), ("Article", True)])
def test_a_last_paragraph_about_the_author_goes_from_a_news_article(kind: str, stays: bool) -> None:
    biography = "Jane Doe is a senior fellow at the Institute of Bridges, and has written two books about rivers."
    data = {"@type": kind, "headline": "Council votes", "author": {"@type": "Person", "name": "Jane Doe"}}
    head = f'<script type="application/ld+json">{json.dumps(data)}</script>'
    more = "The ferry is to leave every half an hour, and it will carry no cars before the bearings have been replaced."
    reading = article(head, f"<p>{more}</p><p>{more.replace('ferry', 'boat')}</p><p>{biography}</p>")
    assert reading.document is not None
    assert reading.document.text.endswith(biography) is stays
    assert [block.reason for block in reading.blocks if block.text == biography and not block.kept] == (
        [] if stays else ["about the author"]
    )


def test_a_page_with_too_much_text_is_refused_before_its_extraction(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts, styles and comments do not count: one of two large pages is mostly scripts."""
    monkeypatch.setattr(pipeline, "MAX_TEXT_CHARACTERS", 20_000)
    paragraph = "<p>" + "The council met by the river and spoke about the new bridge of the town. " * 5 + "</p>"
    text = f"<article><h1>A headline of some length</h1>{paragraph * 20}</article>"
    scripts = f"<script>{'x' * 30_000}</script><style>{'y' * 30_000}</style><!-- {'z' * 30_000} -->"
    assert read(page(html(f"{text}{scripts}"))).ending.outcome is Outcome.STORED
    monkeypatch.setattr(pipeline, "read_structured_data", None)
    refused = read(page(html(f"{text}{paragraph * 60}")))
    assert refused.ending.outcome is Outcome.TOO_LARGE
    assert (refused.ending.detail or "").endswith("characters of text; the cap is 20,000")
