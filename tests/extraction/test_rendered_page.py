"""A script that explodes or empties the DOM does not cost the article that the response has."""

from __future__ import annotations

from dataclasses import replace

import pytest
from html_pages import PROSE, html, paragraphs
from html_pages import page as make_page

from newsmill.extraction.pipeline import read
from newsmill.model import Outcome

ARTICLE = html(f"<article><h1>Council votes</h1>{paragraphs()}</article>")
BROKEN = {
    "too many elements": ("<p>" + "<i>x</i>" * 45_000, Outcome.TOO_LARGE),
    "too large": ("<p>" + "é" * 3_000_000, Outcome.TOO_LARGE),
    "too deep": ("<div>" * 3_000, Outcome.TOO_DEEP),
    "empty": ("<html></html>", Outcome.NO_TEXT),
}


@pytest.mark.parametrize("name", BROKEN)
def test_the_body_of_the_response_is_extracted_if_the_dom_has_no_document(name: str) -> None:
    dom, outcome = BROKEN[name]
    page = replace(make_page(ARTICLE), rendered=dom.encode())
    result = read(page)
    assert result.document is not None and PROSE[0] in result.document.text
    assert f"not rendered: the rendered page is {outcome}" in result.document.warnings[-1]
    assert result.rendering_failure == result.document.warnings[-1].removeprefix("not rendered: ")
    assert read(replace(page, rendered=None)).document == replace(result.document, warnings=result.document.warnings[:-1])


def test_a_dom_with_a_document_and_a_page_without_any_stay_as_they_are() -> None:
    app = make_page("<html><body><script>show()</script></body></html>")
    result = read(replace(app, rendered=ARTICLE.encode()))
    assert result.document is not None and result.document.warnings == () and result.rendering_failure is None
    result = read(replace(app, rendered=BROKEN["too deep"][0].encode()))
    assert (result.ending.outcome, result.document) == (Outcome.TOO_DEEP, None)


def test_a_document_says_why_its_page_was_not_rendered() -> None:
    result = read(replace(make_page(ARTICLE), rendering_failure="no DOM after 30 s"))
    assert result.document is not None and result.document.warnings == ("not rendered: no DOM after 30 s",)
