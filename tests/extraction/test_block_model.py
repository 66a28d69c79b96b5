"""The table, its evaluation, the model that is shipped, and its features.

The features are one number a block and name, none of them broken by odd pages, and the few that decide most are what they say.
"""

from __future__ import annotations

import json
import math
from importlib.resources import files

import lxml.html
import pytest

from newsmill.extraction.body.block_features import compute_features
from newsmill.extraction.body.block_model import load_shipped_model, parse_model, to_probability
from newsmill.extraction.body.block_reasons import describe_features
from newsmill.extraction.body.block_walk import segment
from newsmill.extraction.body.layout_stats import LayoutStats
from newsmill.extraction.body.page_facts import PageFacts
from newsmill.extraction.body.page_stats import PageStats
from newsmill.extraction.class_words import find_class_groups

TABLE = {
    "version": "test",
    "threshold": 0.5,
    "features": ["linked", "kept"],
    "trees": [[0, 0.5, [1, 0.5, -1.0, 1.0, 0.2], -2.0, 0.0], [1, 0.5, -0.5, 0.5, 0]],
}


def test_a_tree_takes_the_lower_branch_up_to_its_threshold():
    model = parse_model(json.dumps(TABLE))
    assert model.compute_odds([(0.5, 1.0), (0.5, 0.5), (0.6, 1.0)]) == [1.5, -1.5, -1.5]


def test_rows_come_in_the_order_of_the_table():
    model = parse_model(json.dumps(TABLE))
    assert model.make_rows({"other": [9, 9], "kept": [1, 0], "linked": [0.1, 0.9]}) == [(0.1, 1), (0.9, 0)]


def test_the_features_that_spoke_for_the_outcome_are_named():
    model, row = parse_model(json.dumps(TABLE)), (0.9, 1.0)
    assert dict(model.explain(row, *model.compute_odds([row]))) == pytest.approx({"linked": 2.0, "kept": -0.5})


def test_every_feature_of_the_shipped_model_is_described_in_words():
    reasons = {describe_features([(name, 1.0)]) for name in load_shipped_model().features}
    assert len(reasons) == 10 and not any("_" in reason for reason in reasons)
    assert describe_features([("page_news", 5.0), ("like_chunk_kept", 0.4), ("sign_kept", 0.4), ("depth", 0.7)]) == (
        "judged by similar blocks on the page"
    )


def test_probability_is_bounded_and_monotone():
    assert [round(to_probability(odds), 3) for odds in (-1e9, -1, 0, 1, 1e9)] == [0.0, 0.269, 0.5, 0.731, 1.0]


def test_a_broken_table_is_refused():
    with pytest.raises((KeyError, ValueError)):
        parse_model('{"features": []}')


def test_the_shipped_model_is_small():
    assert len((files("newsmill.extraction.body") / "block_model.json").read_bytes()) <= 100_000
    assert 0 < load_shipped_model().threshold < 1


PROSE = "The council of the town voted on Tuesday to keep the old bridge open to people on foot and on bicycles."


def look(html: str, kept: tuple[int, ...] = (), facts: PageFacts | None = None):
    layout = segment(lxml.html.document_fromstring(html))
    stats = PageStats(LayoutStats(layout, facts or PageFacts()), [1.0 if i in kept else 0.0 for i in range(len(layout.blocks))])
    chosen = stats.find_near_blocks()
    return stats, chosen, compute_features(stats, chosen)


ODD = [
    "<html><body><p>x</p></body></html>",
    "<p>no body <a href=1>link</a></p>",
    "<body>" + "<div>" * 150 + "<p>deep</p>",
    "<body><p>. . .</p><p>word</p><p>***</p>",
    f"<body><p>{PROSE}</p><p>{PROSE}</p><h1></h1><ul><li><li>a</ul>",
    "<body><table><tr><td>1<td>2<tr><td>3<td>4</table>",
]


@pytest.mark.parametrize("html", ODD)
@pytest.mark.parametrize("kept", [(), (0,), (0, 1)])
def test_every_column_has_one_finite_number_a_block(html: str, kept: tuple[int, ...]):
    _, chosen, found = look(html, kept)
    for name, column in found.items():
        assert len(column) == len(chosen), name
        assert all(math.isfinite(value) for value in column), name


def test_the_shipped_model_knows_every_feature_it_asks_for():
    _, _, found = look(f"<body><p>{PROSE}</p>", (0,))
    assert set(load_shipped_model().features) <= set(found)


def test_blocks_far_from_the_body_get_no_row():
    menu = "".join(f"<li>{n}</li>" for n in range(40))
    stats, chosen, _ = look(f"<body><ul>{menu}</ul><main><p>{PROSE}</p><p>{PROSE} Again.</p></main></body>", (40, 41))
    assert chosen == [37, 38, 39, 40, 41]
    assert stats.main is not None
    assert stats.main.tag == "main"


def test_what_is_kept_around_a_block_leaves_the_block_itself_out():
    html = f"<body><main><p>{PROSE}</p><p>{PROSE} Two.</p><p>{PROSE} Three.</p></main></body>"
    _, _, found = look(html, (0, 2))
    assert found["parent_kept"] == pytest.approx([22 / 43, 1.0, 21 / 43], abs=0.03)
    assert found["path_kept"] == found["parent_kept"]


def test_a_second_article_is_told_from_the_first_by_its_title():
    article = "<article class='story'><h1>{}</h1><p>{} {}</p></article>"
    html = "<body>" + article.format("Old bridge stays open", PROSE, "One.") + article.format("Rain in the south", PROSE[4:], "Two.")
    _, chosen, found = look(html, (1, 3), PageFacts(title="Old bridge stays open"))
    at = {i: place for place, i in enumerate(chosen)}
    assert [found["title_article"][at[i]] for i in (1, 3)] == [True, False]
    assert found["h1_seen"][at[3]] == 2


def test_copies_of_a_text_are_counted():
    _, _, found = look(f"<body><p>{PROSE}</p><div>{PROSE}</div></body>", (0, 1))
    assert found["copies"] == [2, 2]


def test_class_words_are_whole_words():
    assert find_class_groups("story-relatedLinks") == find_class_groups("story") | find_class_groups("related")
    assert find_class_groups("wp-caption-text") == find_class_groups("caption") | find_class_groups("text")
    assert find_class_groups("shadow header-wrapper") == find_class_groups("header")
