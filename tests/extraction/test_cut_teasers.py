"""Teasers of other articles whose text was cut off ("…") are not the text of a short article, and similar parts of an article are."""

from __future__ import annotations

import pytest
from html_pages import PROSE, html, page

from newsmill.extraction.pipeline import read

CUT = (
    "A new exhibition in the harbour museum shows how sailors lived a hundred years ago, and what they ate on their …",
    "The football club has signed a young striker from the second division, who is said to be the fastest of the...",
    "Police are looking for witnesses of a collision between a tram and a lorry near the central station on Monday…",
    "Farmers in the valley expect a poor harvest of apples this year, because the frost came twice in April […]",
)
ITEMS = {
    "read more": '<div><h3>Story {n}</h3><p>{cut} <a href="{to}">Read more</a></p></div>',
    "linked headline": '<div><h3><a href="{to}">Story {n}</a></h3><p>{cut}</p></div>',
    "all is a link": '<a href="{to}"><p>{cut}</p></a>',
    "image": '<div><a href="{to}"><img src="/{n}.jpg"></a><div><p>{cut}</p></div></div>',
    "item": '<li><a href="{to}">Story {n}</a><br>{cut}</li>',
    "article": '<article><h2><a href="{to}">Story {n}</a></h2><div><p>{cut}</p></div><a href="{to}">Continue</a></article>',
    "row": '<tr><td><a href="{to}">Story {n}</a></td><td>{cut}</td></tr>',
}
AROUND = {"item": "ul", "row": "table"}


def read_text(item: str, *, to: str = "/news/story-{n}", count: int = 4, around: str = "div", place: str = "{own}{others}") -> str:
    others = "".join(item.format(n=n, cut=cut, to=to.format(n=n)) for n, cut in enumerate(CUT[:count]))
    shown = place.format(own=f"<h1>Council votes</h1><p>{PROSE[0]}</p><p>{PROSE[1]}</p>", others=f"<{around}>{others}</{around}>")
    document = read(page(html(f"<div>{shown}</div>", '<meta property="og:type" content="article">'))).document
    assert document is not None and PROSE[0] in document.text and PROSE[1] in document.text
    return document.text


@pytest.mark.parametrize(
    "place", ["{others}<div>{own}</div>", "<div>{own}</div>{others}", "{own}{others}", "<article>{own}{others}</article>"]
)
@pytest.mark.parametrize("name", ITEMS)
def test_cut_teasers_are_not_the_text(name: str, place: str) -> None:
    text = read_text(ITEMS[name], around=AROUND.get(name, "div"), place=place)
    assert [cut for cut in CUT if cut[:60] in text] == []


@pytest.mark.parametrize(
    ("item", "to", "count"),
    [
        (ITEMS["linked headline"], "https://event-{n}.example/", 4),  # a list of things elsewhere is an article
        ("<p>One said <a href='{to}'>in a talk</a> of the year: {cut}</p>", "/news/story-{n}", 4),
        (ITEMS["read more"], "/news/story-{n}", 2),
        (
            "<div><h3><a href='{to}'>Part {n}</a></h3>" + f"<p>{' '.join(PROSE * 2)}" + " {cut}</p></div>",
            "/news/{n}",
            4,
        ),
    ],
)
def test_similar_parts_of_an_article_stay(item: str, to: str, count: int) -> None:
    text = read_text(item, to=to, count=count)
    assert [cut for cut in CUT[:count] if cut[:60] not in text] == []
