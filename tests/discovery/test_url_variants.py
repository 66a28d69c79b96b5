"""Other URLs of an article: what is a version of what, by spelling."""

from __future__ import annotations

import pytest

from newsmill.discovery.url_variants import drop_each_parameter, drop_parameters, find_only_difference, find_plain_url


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("https://paper.example/a/story/amp/", "https://paper.example/a/story/"),
        ("https://paper.example/amp/a/story", "https://paper.example/a/story"),
        ("https://paper.example/a/story.amp.html", "https://paper.example/a/story.html"),
        ("https://paper.example/a/story.html?outputType=amp&id=7", "https://paper.example/a/story.html?id=7"),
        ("https://paper.example/a/story?amp", "https://paper.example/a/story"),
        ("https://m.paper.example/a/story", "https://paper.example/a/story"),
        ("https://amp.paper.co.uk/a/story", "https://paper.co.uk/a/story"),
        ("https://paper.example/a/story/print", "https://paper.example/a/story"),
        ("https://paper.example/a/story-druck.html", "https://paper.example/a/story.html"),
        ("https://paper.example/story?print=1", "https://paper.example/story"),
        # not a version of anything
        ("https://paper.example/a/story", None),
        ("https://paper.example/a/blueprint.html", None),
        ("https://paper.example/a/camp", None),
        ("https://paper.example/amp", None),
        ("https://m.co.uk/a/story", None),
        ("https://mobile.example/a/story", None),
        ("https://paper.example/story?printer=laser", None),
        ("https://www.paper.example/a/story", None),
    ],
)
def test_the_plain_url(url: str, plain: str | None) -> None:
    assert find_plain_url(url) == plain


def test_parameters() -> None:
    url = "https://paper.example/story?id=7&Ref=1&ref=2"
    assert drop_each_parameter(url) == {"id": "https://paper.example/story?Ref=1&ref=2", "ref": "https://paper.example/story?id=7"}
    assert drop_parameters(url, {"id", "ref"}) == "https://paper.example/story"
    assert drop_each_parameter("https://paper.example/story") == drop_each_parameter(f"{url}&a&b&c&d&e&f&g") == {}
    for one, other, name in (
        ("https://paper.example/story?id=7", "http://www.paper.example/story?id=7&from=app", "from"),
        ("https://paper.example/story?from=web", "https://paper.example/story?from=app", "from"),
        ("https://paper.example/story?id=7", "https://paper.example/story?from=app", None),
        ("https://paper.example/story?from=web", "https://paper.example/other?from=app", None),
        ("https://paper.example/story", "https://paper.example/story", None),
    ):
        assert find_only_difference(one, other) == find_only_difference(other, one) == name
