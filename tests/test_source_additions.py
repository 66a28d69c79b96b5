"""Adding a site never replaces a source."""

from __future__ import annotations

from typing import Any

import pytest

from newsmill.model import Source
from newsmill.sources.additions import Action, SourceIndex, plan_addition

PAPER = Source("paper-example", homepage="https://www.paper.example/", feeds=("https://feeds.example/paper",))
PART = Source("part-example", sections=("https://part.example/news/",), discover=False)
OTHER_PART = Source("other-part", sections=("https://part.example/sport/",), discover=False)


@pytest.mark.parametrize(
    ("table", "host", "name", "action", "result"),
    [
        ({"homepage": "https://new.example/"}, "new.example", None, Action.NEW, "new-example"),
        ({"homepage": "https://new.example/"}, "new.example", "mine", Action.NEW, "mine"),
        ({"homepage": "http://paper.example"}, "paper.example", None, Action.KNOWN, "paper-example"),
        ({"homepage": "https://paper.example/en/"}, "paper.example", None, Action.EXTENDED, {"sections": ("https://paper.example/en/",)}),
        ({"sections": ["https://paper.example/a/"]}, "paper.example", None, Action.EXTENDED, {"sections": ("https://paper.example/a/",)}),
        ({"feeds": ["https://feeds.example/paper"]}, "paper.example", None, Action.KNOWN, "paper-example"),
        ({"feeds": ["https://feeds.example/paper"]}, "other.example", None, Action.REFUSED, "follows this URL already"),
        ({"homepage": "https://part.example/"}, "part.example", None, Action.REFUSED, "follows only parts of this site"),
        ({"homepage": "https://part.example/news/"}, "part.example", None, Action.KNOWN, "part-example"),
        ({"homepage": "https://part.example/sport/"}, "part.example", None, Action.KNOWN, "other-part"),
        ({"sections": ["https://part.example/sport/"]}, "part.example", None, Action.KNOWN, "part-example"),
        ({"homepage": "https://new.example/"}, "new.example", "paper-example", Action.REFUSED, "choose another name"),
        ({"sections": ["https://paper.example/a/"]}, "paper.example", "second", Action.NEW, "second"),
        ({"homepage": "https://paper.example/"}, "paper.example", "second", Action.REFUSED, "remove or rename that source first"),
    ],
)
def test_additions(table: dict[str, Any], host: str, name: str | None, action: Action, result: object) -> None:
    addition = plan_addition(SourceIndex([PAPER, PART, OTHER_PART]), table, host, name)
    assert addition.action is action
    if action is Action.EXTENDED:
        assert addition.added == result
        assert addition.source is not None and addition.source.homepage == PAPER.homepage and addition.source.feeds == PAPER.feeds
    elif action is Action.REFUSED:
        assert str(result) in str(addition.reason)
    else:
        assert addition.name == result
