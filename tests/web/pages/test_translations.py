"""Both catalogues have the same keys; numbers, times and charts follow the language."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from newsmill.extraction.body import block_rules, extract
from newsmill.extraction.body.block_model import load_shipped_model
from newsmill.extraction.body.block_reasons import describe_features
from newsmill.extraction.site_profile import apply_profile, fast_path, position_evidence
from newsmill.model import OUTCOMES, BlockType, Kind, State
from newsmill.text.sentences import Sentence
from newsmill.web.pages import charts, translations
from newsmill.web.pages.removal_reasons import load_reasons, translate_reason
from newsmill.web.pages.source_form import LINE_FIELDS, RULE_LINE_FIELDS

PAGES = Path(translations.__file__).parent
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
EN, DE = translations.load_translations("en"), translations.load_translations("de")


def test_both_catalogues_have_the_same_keys_and_places() -> None:
    assert set(EN.texts) == set(DE.texts)
    for key, text in EN.texts.items():
        assert set(re.findall(r"{(\w+)}", text)) == set(re.findall(r"{(\w+)}", DE.texts[key])), key


def test_reasons_that_the_extractor_gives_are_translated() -> None:
    for reason in (
        *block_rules.RULES,
        *block_rules.HINTS,
        "source credit",
        "agency credit",
        "outside the article",
        "beside the text",
        *(describe_features([(name, 1.0)]) for name in load_shipped_model().features),
        apply_profile.REPEATED_LIST,
        fast_path.NO_TEXT_POSITION,
        fast_path.UNKNOWN_POSITION,
    ):
        assert translate_reason(reason, "de"), reason
    assert (
        translate_reason(Sentence("{reason} ({probability:.2f} sure)", reason="outside the article", probability=0.97), "de")
        == "außerhalb des Artikels (0,97 sicher)"
    )
    for template in (position_evidence.NEVER_TEXT, position_evidence.TEASER_LINK, apply_profile.REPEATED, apply_profile.REPEATED_BEGINNING):
        assert translate_reason(Sentence(template, n=3, of=4), "de") == load_reasons("de")[template].format(n=3, of=4)
    assert translate_reason(extract.SITE_TEXT, "de")
    assert translate_reason("drop_css aside", "de") is translate_reason("menu", "en") is None


def test_every_origin_of_a_url_has_its_text() -> None:
    """The inspector of sites has two more, which it never writes to the ledger."""
    root = PAGES.parents[2]
    files = [
        path for folder in ("newsmill", "crawler", "workers") for path in (root / folder).rglob("*.py") if path.stem != "site_inspector"
    ]
    code = "\n".join(path.read_text("utf-8") for path in files)
    origins = set(re.findall(r'(?:found_by=|found_by: str = |FOUND_BY = |FROM_[A-Z]+ = )"(\w+)"', code))
    assert origins == {key.removeprefix("found.") for key in EN.texts if key.startswith("found.")}


def test_every_key_a_template_or_module_uses_is_there_and_no_other() -> None:
    files = (*PAGES.glob("*.py"), *PAGES.parent.glob("*_messages.py"), *PAGES.glob("templates/*.html"))
    source = "\n".join(path.read_text() for path in files)
    used = set(re.findall(r"""(?:\bt|words)(?:\.n)?\(\s*f?['"]([\w.-]+)['"]\s*[,)]""", source))
    counted = {key for key in used if f"{key}.one" in EN.texts}
    assert used - counted <= set(EN.texts), used - counted - set(EN.texts)
    prefixes = set(re.findall(r"""['"]([a-z_]+(?:\.[a-z_]+)*\.)['"{]""", source)) | set(
        re.findall(r"""f['"]([a-z_]+(?:\.[a-z_]+)*\.){""", source)
    )
    known = (
        tuple(prefixes)
        + tuple(f"{key}." for key in counted)
        + ("form.", "span.", "ago.", "ahead.", "format.", "month.", "source.notice.", "operations.notice.")
    )
    assert [key for key in EN.texts if key not in used and not key.startswith(known)] == []


def test_outcomes_states_kinds_and_fields_have_texts() -> None:
    wanted = [f"{table}.{outcome}" for outcome in OUTCOMES for table in ("outcome", "meaning")]
    wanted += [f"state.{state}" for state in State] + [f"kind.{kind}" for kind in Kind] + [f"block.{kind}" for kind in BlockType]
    wanted += [
        f"form.{name}.{part}"
        for name in (
            *LINE_FIELDS,
            "homepage",
            "every",
            "cron",
            "freshness",
            "language",
            "delay",
            *RULE_LINE_FIELDS,
            "fields",
            "expires",
        )
        for part in ("label", "hint")
    ]
    assert set(wanted) <= set(EN.texts)


def test_numbers_and_times() -> None:
    assert (EN.number(1234567), DE.number(1234567)) == ("1,234,567", "1.234.567")
    assert (EN.size(82_888), DE.size(999), EN.size(3_200_000_000)) == ("82.9 kB", "999 B", "3.2 GB")
    assert EN.ago(NOW - timedelta(minutes=5), NOW) == "5 minutes ago"
    assert DE.ago(NOW + timedelta(hours=1), NOW) == "in einer Stunde"
    assert EN.ago(NOW - timedelta(days=8), NOW) == "17 Nov 2026"
    assert EN.moment(NOW.astimezone(UTC)) == "25 Nov 2026, 12:00"
    assert (EN.percent(1, 3), EN.percent(1, 0), EN.span(5400), EN.span(86_400)) == ("33 %", "0 %", "90 minutes", "day")


@pytest.mark.parametrize(
    ("requested", "cookie", "accepted", "expected"),
    [
        (None, None, "", "en"),
        ("de", "en", "en", "de"),
        (None, "de", "en", "de"),
        ("xx", "yy", "fr, de;q=0.8", "de"),
        (None, None, "de;q=0, en;q=0.1", "en"),
        (None, None, "de;q=x,,;;q=,*", "en"),
        (None, None, "x" * 100_000, "en"),
    ],
)
def test_the_language_of_a_request(requested: str | None, cookie: str | None, accepted: str, expected: str) -> None:
    assert translations.choose_language(requested, cookie, accepted) == expected


def test_charts_draw_what_they_are_given() -> None:
    rows = [(at, f"source {number}", 1) for number in range(9) for at in range(number + 1)]
    series = charts.stack_series(rows, 10, "others", "none")
    assert [one.name for one in series] == [*(f"source {number}" for number in range(8, 3, -1)), "others"]
    assert sum(one.total for one in series) == len(rows)
    drawn = charts.draw_bars([charts.Series("<b>", (3, 0, 1))], ["a", "b", "c"], "a & b")
    assert drawn.count("<rect") == 2
    assert "<b>" not in drawn and "a &amp; b" in drawn
    assert charts.draw_bars([], [], "") and charts.draw_sparkline([], "") and charts.draw_shares([], "")
