"""Which date of a page is beside its headline, and which dates a text contains. An ambiguous date gives two days, a wrong one none."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsmill.extraction.body.block_walk import segment
from newsmill.extraction.html import parse_html
from newsmill.extraction.metadata.headline_dates import HeadlineDate, find_headline_date
from newsmill.extraction.metadata.written_dates import MAX_TEXT_CHARACTERS, find_written_dates
from newsmill.text.month_names import load_month_names, parse_month

TITLE = "The ferry keeps running"
PROSE = "<p>The council decided on 1 January 2020 that the ferry keeps running in winter, after a long debate about its cost and use.</p>"
# one language of each way to write: order, cases, scripts, digits
LANGUAGES = (
    "en",
    "de",
    "fr",
    "es",
    "pt",
    "it",
    "nl",
    "sv",
    "da",
    "fi",
    "pl",
    "cs",
    "sk",
    "hr",
    "sl",
    "ro",
    "hu",
    "lv",
    "lt",
    "et",
    "ru",
    "uk",
    "bg",
    "el",
    "tr",
    "az",
    "id",
    "th",
    "hi",
    "bn",
    "ka",
    "sw",
    "ar",
    "fa",
    "he",
)


@pytest.mark.parametrize(
    ("body", "days"),
    [
        ("<h1>{t}</h1><p>By Jane Doe, 3 March 2026</p>{p}", ("2026-03-03",)),
        ("<p>3 March 2026</p><h1>{t}</h1>{p}", ("2026-03-03",)),
        ("<h1>{t}</h1><p>A subtitle</p><div>Share</div><div>Print</div><div><span>March 3, 2026</span></div>{p}", ("2026-03-03",)),
        # the nearest; in one line the earlier of two, for the other is the last change
        ("<p>1 March 2026</p><p>Politics</p><h1>{t}</h1><p>3 March 2026</p>{p}", ("2026-03-03",)),
        ("<h1>{t}</h1><p>5 March 2026 3 March 2026</p>{p}", ("2026-03-03",)),
        ("<h1>{t}</h1><p>Updated 5 March 2026</p><p>3 March 2026</p>{p}", ("2026-03-03",)),
        # two characters of Chinese are a word
        ("<h1>{t}</h1><p>2026年3月3日 08:30 来源：江城日报 记者：张三、李四 编辑：王五</p>{p}", ("2026-03-03",)),
        ("<h1>{t}</h1><p>2025年3月3日，她当选为市长，任期四年。</p>{p}", None),
        # a dateline of a paragraph, and a sentence that tells a day
        ("<h1>{t}</h1><p>Port Bay, 3 March 2026 – " + "The council decided so. " * 9 + "</p>", ("2026-03-03",)),
        ("<h1>{t}</h1>{p}", None),
        # the whole page may stand in a form; captions, menus, quotations and teasers do not tell its day
        ("<form><p>3 March 2026</p><h1>{t}</h1>{p}</form>", ("2026-03-03",)),
        ("<h1>{t}</h1><figure><figcaption>Foto of 3 March 2026</figcaption></figure>{p}", None),
        ("<div class='caption'><h1>{t}</h1></div><div class='header-caption'>By Jane Doe, 3 March 2026</div>{p}", ("2026-03-03",)),
        ("<nav>3 March 2026</nav><h1>{t}</h1>{p}", None),
        ("<h1>{t}</h1><aside>3 March 2026</aside>{p}", None),
        ("<h1>{t}</h1>" + "<p>More of it.</p>" * 9 + "<p>3 March 2026</p>", None),
        # the logo is no headline; the title in another heading is
        ("<h1>Port News</h1><p>1 March 2026</p>" + "<p>x</p>" * 9 + "<h2>{t}</h2><p>3 March 2026</p>", ("2026-03-03",)),
        ("<h1>Port News</h1><p>3 March 2026</p>{p}", None),
        ("<h1>{t}</h1><p>04/03/2026</p>{p}", ("2026-03-04", "2026-04-03")),
    ],
)
def test_the_date_beside_the_headline(body: str, days: tuple[str, ...] | None) -> None:
    tree = parse_html(f"<html><body>{body.replace('{t}', TITLE).replace('{p}', PROSE)}</body></html>").tree
    assert tree is not None
    found = find_headline_date(segment(tree), TITLE, "en")
    assert found == (None if days is None else HeadlineDate(days, updated=False))


@pytest.mark.parametrize(
    ("line", "language"),
    [
        ("Last updated: 3 March 2026", "en"),
        ("Aktualisiert am 03.03.2026, 14:07", "de"),
        ("Mis à jour le 3 mars 2026", "fr"),
        ("Обновлено: 3 марта 2026", "ru"),
        ("更新时间：2026年3月3日", "zh"),
    ],
)
def test_a_last_change_is_called_one(line: str, language: str) -> None:
    tree = parse_html(f"<html><body><h1>{TITLE}</h1><p>{line}</p></body></html>").tree
    assert tree is not None
    assert find_headline_date(segment(tree), TITLE, language) == HeadlineDate(("2026-03-03",), updated=True)


def test_no_title_no_date() -> None:
    tree = parse_html("<html><body><p>3 March 2026</p></body></html>").tree
    assert tree is not None
    assert find_headline_date(segment(tree), None, "en") is None
    assert find_headline_date(segment(tree), TITLE, "en") is None


@pytest.mark.parametrize(
    ("text", "language", "days"),
    [
        ("3 March 2026", "en", [("2026-03-03",)]),
        ("March 3rd, 2026 at 14:07", "en", [("2026-03-03",)]),
        ("By Jane DoeSept. 2, 2026", "en", [("2026-09-02",)]),
        ("Published 2 Sep 2026, updated 4 Sep 2026", "en-GB", [("2026-09-02",), ("2026-09-04",)]),
        ("Dienstag, 3. März 2026, 14:07 Uhr", "de-AT", [("2026-03-03",)]),
        ("le 1er août 2026", "fr", [("2026-08-01",)]),
        ("Actualizado 15 de mayo de 2026", "es", [("2026-05-15",)]),
        ("15. joulukuuta 2025", "fi", [("2025-12-15",)]),
        ("30 декабря 2020 г.", "ru", [("2020-12-30",)]),
        ("2022. január 25.", "hu", [("2022-01-25",)]),
        ("입력 26.11.24 05:00", "ko", [("2026-11-24",)]),  # the year comes first
        ("26.11.24", "ja", [("2026-11-24",)]),
        ("24.11.26", "de", [("2026-11-24",)]),
        ("24 בנובמבר 2026", "he", [("2026-11-24",)]),  # "of November"
        ("2022 m. sausio 25 d.", "lt", [("2022-01-25",)]),
        ("25 tháng 1 năm 2022", "vi", [("2022-01-25",)]),
        ("2026年3月3日 10:00", "zh", [("2026-03-03",)]),
        ("2026년 3월 3일", "ko", [("2026-03-03",)]),
        ("٣ مارس ٢٠٢٦", "ar", [("2026-03-03",)]),
        # other calendars, only in languages that use them; a day that the calendar does not have is no date
        ("24 พฤศจิกายน 2569", "th", [("2026-11-24",)]),
        ("๒๔ พ.ย. ๒๕๖๙ 10:30 น.", "th", [("2026-11-24",)]),
        ("24 พฤศจิกายน พ.ศ. 2569", "th-TH", [("2026-11-24",)]),
        ("24/11/2569", "th", [("2026-11-24",)]),
        ("24 November 2569", "en", []),
        ("۳ آذر ۱۴۰۵", "fa", [("2026-11-24",)]),
        ("سه‌شنبه ۳ آذر ۱۴۰۵ - ۱۰:۳۰", "fa-IR", [("2026-11-24",)]),
        ("۱۴۰۵/۰۹/۰۳", "fa", [("2026-11-24",)]),
        ("۳۰ اسفند ۱۴۰۳", "fa", [("2025-03-20",)]),  # a leap year
        ("۳۰ اسفند ۱۴۰۴", "fa", []),
        ("1405/09/03", "en", []),
        ("۲۴ نوامبر ۲۰۲۶", "fa", [("2026-11-24",)]),
        ("令和8年11月24日", "ja", [("2026-11-24",)]),
        ("平成元年1月8日", "ja", [("1989-01-08",)]),
        ("民國115年11月24日", "zh-TW", [("2026-11-24",)]),
        # months of a country, in two words, with a prefix, and in another spelling
        ("24 تشرين الثاني 2026", "ar", [("2026-11-24",)]),
        ("24 نونبر 2026", "ar", [("2026-11-24",)]),
        ("24. Jänner 2026", "de", [("2026-01-24",)]),
        ("24. novembar 2026.", "sr", [("2026-11-24",)]),
        ("ថ្ងៃទី 24 ខែវិច្ឆិកា ឆ្នាំ2026", "km", [("2026-11-24",)]),
        ("२४ नवम्बर २०२६", "hi", [("2026-11-24",)]),
        ("2026-03-03", None, [("2026-03-03",)]),
        ("2026. 03. 03.", None, [("2026-03-03",)]),
        ("03.03.26 | 18:19", "de", [("2026-03-03",)]),
        ("3.3.2026", "de", [("2026-03-03",)]),
        ("12.16.2026", "en", [("2026-12-16",)]),
        # day and month may change places, but not where one of them cannot be a month
        ("04/03/2026", "en", [("2026-03-04", "2026-04-03")]),
        ("05-05-2026", "en", [("2026-05-05",)]),
        ("25/03/2026", "en", [("2026-03-25",)]),
        # no dates: a part is missing, is none, or belongs to something else
        ("March 2026", "en", []),
        ("30 February 2026", "en", []),
        ("40 comments 2026", "en", []),
        ("3 mars 2026", "de", []),  # "mars" is not a German month
        ("© 2026", "en", []),
        ("version 10.15.20", "en", []),
        ("192.168.10.2026", "en", []),
        ("+49 30 03.03.2026.17", "de", []),
        ("03:03:2026", "en", []),
        ("", None, []),
    ],
)
def test_dates_in_a_text(text: str, language: str | None, days: list[tuple[str, ...]]) -> None:
    assert [found.days for found in find_written_dates(text, language)] == days


@given(
    st.dates(min_value=date(1990, 1, 1), max_value=date(2039, 12, 31)), st.sampled_from(LANGUAGES), st.sampled_from(["wide", "abbreviated"])
)
def test_every_day_is_read_in_the_words_of_its_language(day: date, language: str, width: str) -> None:
    month = load_month_names(language)["format"][width][day.month]
    found = find_written_dates(f"x {day.day} {month} {day.year} x", language)
    assert [one.days for one in found] == [(day.isoformat(),)]


@given(st.text(max_size=80) | st.from_regex(r"[\d./ -]{0,40}"), st.none() | st.sampled_from(LANGUAGES))
def test_any_text_gives_real_days_at_places_that_do_not_overlap(text: str, language: str | None) -> None:
    found = find_written_dates(text, language)
    for one in found:
        assert one.days and all(date.fromisoformat(day).isoformat() == day for day in one.days)
    assert all(left.end <= right.start for left, right in pairwise(found))
    assert all(0 <= one.start < one.end <= len(text) for one in found)


def test_a_long_text_is_searched_only_at_its_beginning() -> None:
    assert find_written_dates("x" * MAX_TEXT_CHARACTERS + " 3.3.2026", "de") == []


@pytest.mark.parametrize("language", ["xx", "zxx", "q", "", "tlh-Latn"])
def test_a_language_that_is_not_known_has_english_months_only(language: str) -> None:
    assert (parse_month("March", language), parse_month("März", language)) == (3, None)


@pytest.mark.parametrize("language", ["de", "fr", "ru", "tr"])
def test_the_months_of_a_language_do_not_depend_on_what_was_read_before(language: str) -> None:
    assert load_month_names("he")["stand-alone"]["abbreviated"][3] == "מרץ"
    names = [name for widths in load_month_names(language).values() for width in ("wide", "abbreviated") for name in widths[width].values()]
    assert len(names) == 48 and not any("\u0590" <= letter <= "\u05ff" for name in names for letter in name)
