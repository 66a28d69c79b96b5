"""Every page in Chromium: phone and desktop, light and dark, and one of each kind without scripts; requests, size, and accessibility."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import screens
from axe_playwright_python.sync_playwright import Axe
from browsing import Canary, Site, canary, chromium, page_urls, serve_site, window
from picture_store import EDITIONS, open_picture_store
from playwright.sync_api import Browser, Page, Response, expect
from sample_store import SampleStore

from newsmill.model import DocumentMarks
from newsmill.storage.marks import MarkChange, Marks

DOCS = Path(__file__).resolve().parents[3] / "docs"
MAX_BYTES = 100_000  # bytes of a page with everything it loads, uncompressed
WEIGHTS = """[...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
    .filter(entry => !entry.name.endsWith("/archived")).map(entry => entry.decodedBodySize)"""
HEADER = """JSON.stringify([...document.querySelectorAll(".top, .top nav a, .account")].map(part => part.getBoundingClientRect()))"""
AXE = "options => axe.run(document, options)"
# One page of each template, and those whose text is odd.
TEMPLATE_PAGES = (
    *("home", "results", "filters", "nothing-found", "sources", "source-with-rules", "operations", "url", "lost", "login", "bot"),
    *("document-parts", "document-arabic", "explain", "updates", "archived", "comparison", "saved-searches", "saved-search", "preferences"),
    *("host-owner", "revisions", "revision-hostile", "stories", "story"),
)
# Colours alone differ between the themes, and the layout between the widths.
LAYOUT_RULES = ["color-contrast", "target-size", "scrollable-region-focusable", "heading-order", "landmark-unique"]
AXE_RULES: dict[tuple[int, str], dict[str, object]] = {
    (390, "light"): {},
    (1280, "light"): {"runOnly": LAYOUT_RULES},
    (1280, "dark"): {"runOnly": ["color-contrast"]},
}
OPEN_ALL = "for (const part of document.querySelectorAll('details')) part.open = true"
FITS = "document.documentElement.scrollWidth <= innerWidth"


@pytest.fixture(scope="module")
def site(world: SampleStore) -> Iterator[Site]:
    with serve_site(world.context) as site:
        yield site


@pytest.fixture(scope="module")
def canary_server() -> Iterator[Canary]:
    with canary() as canary_server:
        yield canary_server


@pytest.fixture(scope="module")
def browser(canary_server: Canary) -> Iterator[Browser]:
    with chromium(canary_server) as browser:
        yield browser


class Watched:
    """One window, and everything that goes wrong in it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.messages: list[str] = []
        self.answers: list[Response] = []
        page.on("console", lambda message: self.messages.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.messages.append(str(error)))
        page.on("response", lambda answer: self.answers.append(answer))

    def visit(self, url: str) -> None:
        self.messages.clear()
        self.answers.clear()
        self.page.goto(url)


def test_every_page(browser: Browser, site: Site, canary_server: Canary, ids: dict[str, str]) -> None:
    """Each page is loaded once; then the window changes its width and its colours, to which the style sheet alone reacts."""
    context = window(browser, site, 1280, "light")
    page = context.new_page()
    page.emulate_media(reduced_motion="reduce")  # colours change at once
    watched, headers, axe_script = Watched(page), set(), Axe().axe_script
    for name, path in page_urls(ids).items():
        watched.visit(site.url + path)
        assert all(answer.url.startswith(site.url) for answer in watched.answers), name
        assert sum(page.evaluate(WEIGHTS)) <= MAX_BYTES, name
        for width in (1280, 390):
            resize(page, width)
            assert page.evaluate(FITS), f"{name} is wider than {width} pixels"
            headers.add((width, page.evaluate(HEADER)))
        page.evaluate(OPEN_ALL)
        if name in TEMPLATE_PAGES:
            page.evaluate(axe_script)
        for (width, scheme), rules in AXE_RULES.items():
            resize(page, width)
            page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            assert page.evaluate(FITS), f"{name} is wider than {width} pixels with its closed parts open"
            if name in TEMPLATE_PAGES:
                report = page.evaluate(AXE, {"resultTypes": ["violations"], **rules})
                found = [(rule["id"], [node["html"][:200] for node in rule["nodes"]]) for rule in report["violations"]]
                assert not found, (name, width, scheme, found)
        page.emulate_media(color_scheme="light")
        assert page.evaluate("typeof window.hit") == "undefined", f"a payload ran on {name}"
        # What the archived page itself would like to load is refused, and the browser says so; a 404 is reported where it is meant.
        unexpected = [
            messages for messages in watched.messages if "Failed to load resource" not in messages and not name.startswith("archived")
        ]
        assert not unexpected, (name, unexpected)
    assert len(headers) == 2, "the header is where it was, on every page"
    context.close()
    assert canary_server.of_pages() == []


def resize(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})


def test_without_script_pages_are_whole(browser: Browser, site: Site, ids: dict[str, str]) -> None:
    context = window(browser, site, 390, "light", script=False)
    page = context.new_page()
    pages = page_urls(ids)
    for name in TEMPLATE_PAGES:
        page.goto(site.url + pages[name])
        assert page.locator("h1").count() == 1, name
        assert page.locator("main").inner_text().strip(), name
    page.goto(f"{site.url}/search")
    page.locator("#q").fill('"keep the ferry"')
    page.locator("main button.main").click()
    page.wait_for_url("**/search?q=%22keep+the+ferry%22")
    page.goto(f"{site.url}/sources")
    page.locator("#f-homepage").fill("new.example.org")
    page.locator("main form button.main").click()
    page.wait_for_url("**/sources/inspections/*")
    assert "new.example.org" in page.locator("main").inner_text()
    page.goto(f"{site.url}/sources/valley-gazette")
    page.locator("button[value=pause]").click()
    page.wait_for_url("**/sources/valley-gazette?done=paused")
    assert page.locator(".state.off").count() == 1
    page.locator("button[value=resume]").click()
    context.close()


def test_by_keyboard_alone(browser: Browser, site: Site) -> None:
    context = window(browser, site, 1280, "light")
    page = context.new_page()
    page.goto(f"{site.url}/sources")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("document.activeElement.getBoundingClientRect().top >= 0"), "the skip link shows when it has the focus"
    page.keyboard.press("Enter")
    page.wait_for_function("document.activeElement.id === 'content'")
    for _ in range(12):
        page.keyboard.press("Tab")
        ring = page.evaluate("(s => [s.outlineStyle, parseFloat(s.outlineWidth)])(getComputedStyle(document.activeElement))")
        assert ring[0] != "none" and ring[1] >= 2, page.evaluate("document.activeElement.outerHTML")
    context.close()


def test_what_stays_in_sight_scrolls_refreshes_and_prints(browser: Browser, site: Site, ids: dict[str, str]) -> None:
    context = window(browser, site, 390, "light")
    page = context.new_page()
    page.goto(f"{site.url}/search?q=ferry")
    before = page.evaluate(HEADER)
    page.mouse.wheel(0, 2000)
    page.wait_for_function("scrollY > 1000")
    assert page.evaluate(HEADER) == before, "the header stays"
    item = page.evaluate("getComputedStyle(document.querySelector('ol.documents > li')).overflow")
    assert item == "clip", "accents stacked on a letter of one title do not cover other titles"
    page.goto(f"{site.url}/ops")
    wide = page.evaluate("[...document.querySelectorAll('.scroll')].filter(box => box.scrollWidth > box.clientWidth).length")
    assert wide >= 2 and page.evaluate(FITS)
    assert (
        page.evaluate("getComputedStyle(document.querySelector('.scroll')).backgroundAttachment") == "local, local, scroll, scroll, scroll"
    )
    page.clock.install()
    page.goto(f"{site.url}/")
    with page.expect_response("**/fetching"):
        page.clock.fast_forward(11_000)
    page.wait_for_function("document.querySelector('[data-refresh] a[href=\"/#now\"]')")
    page.goto(f"{site.url}/documents/{ids['paper']}")
    page.emulate_media(media="print")
    assert page.locator(".prose").is_visible() and not page.locator(".top").is_visible() and not page.locator(".facts").is_visible()
    page.emulate_media(media="screen")
    page.locator("#print-fields").check()
    page.emulate_media(media="print")
    assert page.locator(".facts dl").first.is_visible()
    page.goto(f"{site.url}/search?q=ferry")
    shown = page.locator("input:visible, button:visible, summary:visible")
    assert page.locator("ol.documents").is_visible() and page.locator(".chart").first.is_visible() and shown.count() == 0
    context.close()


def test_pages_fit_at_400_percent(browser: Browser, site: Site, ids: dict[str, str]) -> None:
    """A window of 1280 pixels has 320 then (WCAG 2.2, 1.4.10). German has the longer words."""
    context = window(browser, site, 320, "light", language="de")
    page = context.new_page()
    pages = page_urls(ids)
    for name in TEMPLATE_PAGES:
        page.goto(site.url + pages[name])
        page.evaluate(OPEN_ALL)
        assert page.evaluate(FITS), name
    context.close()


LABELS = "[...document.querySelectorAll('.ticks text')].filter(one => one.checkVisibility()).map(one => one.getBoundingClientRect())"


def test_labels_of_charts_never_overlap(browser: Browser, site: Site) -> None:
    """In the narrow column beside results and in wide charts, in days, months and years; German has the longer words."""
    for language in ("en", "de"):
        context = window(browser, site, 1280, "light", language=language)
        page = context.new_page()
        for path in (
            *("/search?q=ferry", "/search?q=ferry&step=day", "/search?q=ferry+after:2022-02+before:2026-12", "/search?q=ferry+after:2015"),
            *("/explore?q=ferry", "/explore?q=ferry&after=2022-02-01&before=2026-11-26", "/explore?q=ferry&after=1985-01-01"),
        ):
            page.goto(site.url + path)
            for width in (1280, 390, 320):
                resize(page, width)
                page.evaluate(OPEN_ALL)
                boxes = sorted((box["left"], box["right"]) for box in page.evaluate(LABELS))
                assert len(boxes) > 1 and boxes[-1][1] <= width, (path, width)
                assert all(one[1] < other[0] for one, other in pairwise(boxes)), (path, width, language, boxes)
        context.close()


def test_a_phone_shows_the_search_field_and_the_chart_at_once(browser: Browser, site: Site, ids: dict[str, str]) -> None:
    context = window(browser, site, 390, "light", language="de")
    page = context.new_page()
    for path in ("/", "/sources", f"/documents/{ids['paper']}", "/stories"):
        page.goto(site.url + path)
        expect(page.locator(".top .search input")).to_be_in_viewport()
    page.goto(f"{site.url}/explore?q=ferry&q=library")
    form = page.locator("form.compare").bounding_box()
    assert form is not None and form["height"] < 280, "the form leaves room for the chart"
    expect(page.locator(".chart")).to_be_in_viewport()
    page.goto(f"{site.url}/documents/{ids['paper']}")
    assert page.locator(".facts dl:visible dt").count() <= 11, "hashes and positions are closed"
    context.close()


def test_the_answer_to_rules_is_in_view(browser: Browser, site: Site) -> None:
    """The editor is far below the top of the page, where mistakes and what was saved are shown."""
    context = window(browser, site, 390, "light", script=False)
    page = context.new_page()
    page.goto(f"{site.url}/sources/valley-gazette")
    page.locator("#technical > summary").click()
    page.locator("#rules > summary").click()
    for selectors, button, answer in (
        ("a[", "preview", "[role=alert]"),
        ("a[", "save", "[role=alert]"),
        ("aside.related", "preview", "#preview"),
        ("aside.related", "save", ".notice[role=status]"),
    ):
        page.locator("#f-drop_css").fill(selectors)
        page.locator(f"button[value={button}]").click()
        expect(page.locator(answer)).to_be_in_viewport()
    context.close()


def test_the_archived_page_can_do_nothing(browser: Browser, site: Site, canary_server: Canary, ids: dict[str, str]) -> None:
    """Opened outside its frame: no script, no network, and only a click leaves the page."""
    context = window(browser, site, 1280, "light")
    page = context.new_page()
    for name in ("hostile", "paper"):
        page.goto(f"{site.url}/documents/{ids[name]}/archived")
        page.wait_for_timeout(300)  # a refresh or a connection made ahead would come now
        assert page.url.endswith("/archived")
        assert page.evaluate("self.origin") == "null"
        assert page.locator("article").count() >= 1
    assert canary_server.of_pages() == []
    page.goto("about:blank")
    page.set_content('<img src="https://heard.example/">')
    page.wait_for_timeout(300)
    context.close()
    assert canary_server.of_pages(), "the canary hears what is not in a cage"
    canary_server.heard.clear()


def test_the_docs_show_every_picture() -> None:
    """The pictures are made by hand with tests/web/screens.py."""
    kept = {path.name: path.stat().st_size for path in (DOCS / "screens").glob("*.png")}
    assert set(kept) == {f"{name}.png" for name in screens.PICTURES}
    assert max(kept.values()) <= screens.MAX_BYTES
    shown = {
        path: set(re.findall(r"screens/([\w-]+\.png)\)", (DOCS / path).read_text("utf-8")))
        for path in ("guides/web-pages.md", "index.md", "../README.md")
    }
    assert shown["guides/web-pages.md"] == set(kept), "docs/guides/web-pages.md shows every picture"
    assert shown["index.md"] == shown["../README.md"] == {"search.png", "explain.png"}


def test_the_store_of_the_pictures_is_the_sample_newspaper(tmp_path: Path) -> None:
    with open_picture_store(tmp_path) as world:
        found = list(world.context.documents.iterate())
        assert len({document.text for document in found}) == len(found) == 17 and {one.source for one in found} == {*EDITIONS.values()}
        assert world.id_of(screens.ARTICLE) and all(screens.REMOVED not in document.text for document in found)


def test_shortcuts_marks_and_the_time_zone(browser: Browser, site: Site, world: SampleStore) -> None:
    """Results and documents worked through with the keyboard; what is read and starred is stored; times are in the zone of the browser."""
    marks = Marks(world.context.engine)
    context = window(browser, site, 1280, "light", zone="Europe/Berlin")
    page = context.new_page()
    page.goto(f"{site.url}/search?q=ferry&order=newest")
    assert "nm_zone=Europe/Berlin" in page.evaluate("document.cookie")
    page.get_by_text("Times: Europe/Berlin").wait_for()  # also on the first page
    links = page.locator("ol.documents h3 a")
    first, second = (links.nth(number).get_attribute("href").partition("?")[0].rpartition("/")[2] for number in range(2))  # type: ignore[union-attr]
    page.keyboard.press("/")
    page.keyboard.type("jks?")  # in a field, keys are letters
    assert page.evaluate("document.activeElement.id") == "q" and page.locator("#q").input_value() == "jks?"
    page.locator("#q").blur()
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert links.nth(1).evaluate("link => link === document.activeElement && getComputedStyle(link).outlineStyle !== 'none'")
    page.keyboard.press("k")
    with page.expect_response("**/marks"):
        page.keyboard.press("s")
    page.locator(f"#d-{first} .star[aria-pressed=true]").wait_for()
    page.locator(f"#d-{second} input").check()
    assert page.locator("details.bulk").get_attribute("open") is not None
    page.evaluate("scrollTo(0, document.body.scrollHeight / 2)")
    expect(page.locator("details.bulk button[value=tag]")).to_be_in_viewport()
    page.evaluate("scrollTo(0, 0)")
    page.keyboard.press("j")  # a checkbox is a field too
    page.locator(f"#d-{second} input").blur()
    page.keyboard.press("?")
    assert page.locator("dialog[open] kbd").count() == 7
    page.keyboard.press("Escape")
    page.locator(f"#d-{first} h3 a").focus()
    page.keyboard.press("o")
    page.wait_for_url(f"**/documents/{first}?**")
    assert "Europe/Berlin" in page.locator("footer").inner_text() and marks.get([first])[first].read is False
    with page.expect_response("**/marks"):  # two seconds in view
        page.wait_for_load_state()
    assert marks.get([first])[first] == DocumentMarks(starred=True, read=True)
    page.keyboard.press("j")
    page.wait_for_url(f"**/documents/{second}?**")
    page.keyboard.press("k")
    page.wait_for_url(f"**/documents/{first}?**")
    page.keyboard.press("u")
    page.wait_for_url(f"**/search?**#d-{first}")
    assert page.locator(f"#d-{first}.read").count() == 1
    page.keyboard.press("j")  # goes on from the document that was left
    assert page.locator(f"#d-{second} h3 a").evaluate("link => link === document.activeElement")
    marks.change([first], MarkChange(starred=False, read=False), now=world.now)
    context.close()
