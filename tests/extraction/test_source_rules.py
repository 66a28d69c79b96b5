"""An operator's rules for one source: what they drop and keep, the fields they name, and that a rule which does not match does nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from newsmill.extraction.pipeline import read
from newsmill.model import Author, AuthorType, Block, ExtractionResult, Page, Rules

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
TEXT = "The council met in the old town hall on Monday and spoke at length about the bridge, paragraph {}."
PAGE = f"""<html lang=en><head><title>Bridge</title><meta name=author content="Web Desk"><meta name=written content="2026-11-20"></head>
<body><main><h1>The bridge</h1><p class=kicker>Town hall</p>
<article class=story><p>{TEXT.format(1)}</p><p>{TEXT.format(2)}</p><aside class=box><p>{TEXT.format(3)}</p></aside><p>{TEXT.format(4)}</p>
<ul class=facts><li>Built in 1901</li><li>Repaired in 1960</li></ul></article>
<section class=more><p>{TEXT.format(5)}</p><p>{TEXT.format(6)}</p></section>
<p class=by>By Ann Example and Ben Sample</p><time class=when datetime="2026-11-24T08:30:00+01:00">yesterday</time></main></body></html>"""


def read_with(page: Page | None = None, **rules: object) -> ExtractionResult:
    page = page or Page("https://a.example/x", "https://a.example/x", NOW, 200, (("Content-Type", "text/html"),), PAGE.encode())
    return read(page, rules=Rules(**rules))  # type: ignore[arg-type]


def removed_text(reading: ExtractionResult, reason: str) -> str:
    return " ".join(block.text for block in reading.blocks if not block.kept and block.layer == "rules" and block.reason == reason)


def text(reading: ExtractionResult) -> str:
    assert reading.document is not None
    return reading.document.text


def test_elements_are_dropped_by_selector_and_by_path() -> None:
    for rule, reason in (({"drop_css": (".box",)}, "drop_css .box"), ({"drop_xpath": ("//aside",)}, "drop_xpath //aside")):
        reading = read_with(**rule)
        assert TEXT.format(3) in removed_text(reading, reason)
        assert TEXT.format(3) not in text(reading) and TEXT.format(4) in text(reading)


@pytest.mark.parametrize("rule", [{"keep_css": ("section.more",)}, {"keep_xpath": ("//section[@class='more']",)}])
def test_what_is_kept_is_the_body_and_nothing_else(rule: dict[str, tuple[str, ...]]) -> None:
    reading = read_with(**rule)
    assert text(reading) == f"{TEXT.format(5)}\n\n{TEXT.format(6)}"
    ((name, (selector,)),) = rule.items()
    assert TEXT.format(1) in removed_text(reading, f"outside {name} {selector}")
    assert reading.document is not None and reading.document.extractor == "rules"


def test_dropping_goes_before_keeping_and_lists_stay_together() -> None:
    reading = read_with(keep_css=("article",), drop_css=(".box",), drop_lines=("Repaired .*",))
    assert reading.document is not None
    assert [block.text for block in reading.document.blocks] == [TEXT.format(1), TEXT.format(2), TEXT.format(4), "Built in 1901"]


def test_fields_are_read_where_the_operator_says() -> None:
    reading = read_with(fields={"title": "p.kicker", "authors": ".by", "published_at": "time.when", "section": "meta[name=written]"})
    document = reading.document
    assert document is not None
    assert (document.title, document.section) == ("Town hall", "2026-11-20")
    assert document.authors == (Author("Ann Example", AuthorType.PERSON), Author("Ben Sample", AuthorType.PERSON))
    assert document.published_at == datetime(2026, 11, 24, 7, 30, tzinfo=UTC)
    assert {document.provenance[name] for name in ("title", "authors", "published_at", "section")} == {"rules"}


def test_a_rule_that_does_not_match_changes_nothing() -> None:
    fields = {"title": ".none", "published_at": ".kicker", "authors": ".facts > b", "nonsense": "p", "id": "p"}
    rules = {
        "keep_css": (".none", "p["),
        "keep_xpath": ("//p[", "count(//p)"),
        "drop_css": ("::x",),
        "drop_xpath": ("//none", "string(//p)"),
    }
    assert read_with(**rules, fields=fields) == read_with()


def test_expired_rules_are_for_older_pages_only() -> None:
    page = Page("https://a.example/x", "https://a.example/x", NOW, 200, (("Content-Type", "text/html"),), PAGE.encode())
    dropped = {"drop_css": (".facts",), "expires": date(2026, 11, 25)}
    assert "Built" not in text(read_with(page, **dropped))
    assert "Built" in text(read_with(replace(page, fetched_at=NOW + timedelta(days=1)), **dropped))


def test_blocks_keep_their_place() -> None:
    blocks = read_with(keep_css=("section.more",)).blocks
    assert all(isinstance(block, Block) and block.path for block in blocks)


def test_a_selector_names_a_custom_element_as_the_page_does() -> None:
    written = PAGE.replace("<article class=story>", "<x-story>").replace("</article>", "</x-story>")
    page = Page("https://a.example/x", "https://a.example/x", NOW, 200, (("Content-Type", "text/html"),), written.encode())
    result = read_with(page, drop_css=("x-story aside",), fields={"title": "x-story p"})
    assert result.document is not None and result.document.title == TEXT.format(1)
    assert TEXT.format(4) in result.document.text and TEXT.format(3) not in result.document.text
