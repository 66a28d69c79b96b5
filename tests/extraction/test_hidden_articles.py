"""Several articles in tabs, of which the page shows one. All texts are made up."""

from __future__ import annotations

import pytest

from newsmill import extract

SHOWN = "The harbour council has moved the evening ferry to a later hour, because the last train from the valley arrives at nine."
OTHER = "The museum of clocks opens a new hall in spring, and its oldest clock will be repaired in front of the visitors until then."
REST = "Passengers who bought a ticket for the earlier ferry may use it on the later one, said the council on Tuesday evening."


def make_page(attributes: str, heading: str) -> str:
    shown = f"<section><h1>Ferry leaves later</h1>{f'<p>{SHOWN}</p>' * 2}<p>{REST}</p></section>"
    hidden = f"<section {attributes}>{heading}{f'<p>{OTHER}</p>' * 3}</section>"
    return f"<html lang=en><head><title>Ferry leaves later</title></head><body><main>{shown}{hidden}</main></body></html>"


@pytest.mark.parametrize("attributes", ["hidden", 'style="display:none"', 'aria-hidden="true"'])
def test_another_article_in_a_hidden_tab_is_not_text(attributes: str) -> None:
    text = extract(make_page(attributes, "<h1>Museum opens hall</h1>"), url="https://paper.example/2026/11/25/ferry-leaves-later-12").text
    assert REST in text and OTHER not in text and "Museum" not in text


@pytest.mark.parametrize(
    ("attributes", "heading"), [("hidden", ""), ("hidden", "<h2>What was said</h2>"), ("", "<h1>Museum opens hall</h1>")]
)
def test_a_hidden_part_of_the_article_and_a_shown_one_stay(attributes: str, heading: str) -> None:
    text = extract(make_page(attributes, heading), url="https://paper.example/2026/11/25/ferry-leaves-later-12").text
    assert REST in text and OTHER in text
