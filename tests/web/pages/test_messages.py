"""German pages show no English: not in templates, not in errors of requests and forms, not in the details of outcomes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from browsing import page_urls
from lxml import html
from page_client import HTML, read, text_of
from rows import SOURCE
from site_of_tests import RunningApp

from newsmill.network import address_guard, submitted_urls
from newsmill.sources.table import SUBTABLES, SourceTable
from newsmill.sources.table_values import NO_CREDENTIALS
from newsmill.web.pages.message_translations import MAX_MESSAGE_CHARACTERS, load_patterns, translate_message

ROOT = Path(__file__).resolve().parents[3]
TEMPLATES = sorted((ROOT / "newsmill" / "web" / "pages" / "templates").glob("*.html"))
# Sentences of these calls are shown on pages. Other files raise for programs, for the command line or for the log.
CALLS = (
    "OutcomeRecord",
    "CannotResolveHostError",
    "ListingError",
    "HeadTooLongError",
    "RenderingError",
    "ArchiveDamaged",
    "UrlError",
    "DecodeError",
    "ConfigError",
)
PAGE_CALLS = (*CALLS, "NewsmillError", "HTTPException", "unauthorized", "error_response")
PLACES = {
    "crawler/*.py": tuple(call for call in CALLS if call != "ConfigError"),  # of the start of a process
    "newsmill/extraction/**/*.py": CALLS,
    "newsmill/discovery/*.py": CALLS,
    "newsmill/archive/archive.py": CALLS,
    "newsmill/archive/warc*.py": CALLS,
    "newsmill/text/urls.py": CALLS,
    "newsmill/sources/table*.py": CALLS,
    "newsmill/intake/reextract.py": PAGE_CALLS,
    "newsmill/web/*.py": ("HTTPException", "unauthorized", "error_response"),
    "newsmill/notifications/**/*.py": ("HTTPException", "unauthorized", "error_response", "DeliveryError"),
    "newsmill/notifications/channels/targets.py": CALLS,
    "newsmill/storage/alert*.py": CALLS,
    "newsmill/storage/marks.py": CALLS,
    "newsmill/storage/saved_searches.py": CALLS,
    "newsmill/web/pages/*.py": PAGE_CALLS,
}
# Functions whose texts are joined to one detail, so that no call has them as its argument.
PARTS = {
    "crawler/frontier/listing_task.py": ("run",),
    "newsmill/discovery/feeds.py": ("read_feed",),
    "newsmill/discovery/json_feeds.py": ("read_json_feed",),
    "newsmill/notifications/channels/apprise_child.py": ("send",),
    "newsmill/notifications/channels/apprise_rules.py": ("find_refusal",),
    "newsmill/notifications/channels/http_post.py": ("find_target_refusal",),
    "newsmill/discovery/sitemaps.py": ("_unpack", "_read", "_stop_at_limit", "_warn_of_gzip"),
    "newsmill/discovery/sitemap_entries.py": ("warnings",),
}
# The same in every language.
NAMES = {
    *("Newsmill", "API", "Atom", "RSS", "JSON", "CSV", "SVG", "Feed", "newsmill", "up", "demo", "export", "UTC", "URL"),
    *("User", "agent", "Disallow", "OpenAPI", "Authorization", "Bearer", "TOKEN"),
}


def sentences() -> Iterator[tuple[str, str]]:
    """(place, sentence with a 9 for each value) of the calls."""
    for pattern, calls in PLACES.items():
        for path in sorted(ROOT.glob(pattern)):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in calls:
                    for text in filter(None, map(literal, node.args)):
                        if re.search(r"[a-z]{2,} ", text.replace("9", "")):
                            yield f"{path.relative_to(ROOT)}:{node.lineno}", text


def parts() -> Iterator[tuple[str, str]]:
    """(place, sentence with a 9 for each value) of the functions in PARTS, without their docstrings."""
    for path, names in PARTS.items():
        functions = [node for node in ast.walk(ast.parse((ROOT / path).read_text("utf-8"))) if getattr(node, "name", None) in names]
        assert {function.name for function in functions} == set(names)
        nodes: list[ast.AST] = [node for function in functions for node in function.body[ast.get_docstring(function) is not None :]]
        while nodes:
            node = nodes.pop()
            if not (text := literal(node)):
                nodes += ast.iter_child_nodes(node)
            elif re.search(r"[a-z]{2,}[ ,]", text.replace("9", "")):
                yield f"{path}:{node.lineno}", text


def literal(node: ast.AST) -> str:
    """The text of a string or an f-string, with a 9 for each value; empty for anything else."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(literal(part) if isinstance(part, ast.Constant) else "9" for part in node.values)
    return literal(node.left) + literal(node.right) if isinstance(node, ast.BinOp) else ""


def test_every_sentence_of_the_code_is_translated() -> None:
    found = [*sentences(), *parts()]
    assert len(found) > 100
    assert [(place, text) for place, text in found if not translate_message(text, "de")] == []
    assert [(place, text) for place, text in found if re.search("erwartet: (a|an|one|the) ", str(translate_message(text, "de")))] == []
    tables = (SourceTable, *SUBTABLES.values())
    expected = {field.description for table in tables for field in table.model_fields.values()} | {NO_CREDENTIALS}
    assert [text for text in expected if not translate_message(f"expected {text}, not 'x'", "de")] == []
    assert [text for text in expected if not translate_message(str(text), "de")] == []
    guard = address_guard.Guard()
    refused = [
        submitted_urls.refusal_reason(url, guard) for url in ("http://10.0.0.1/", "http://x.local/", "https://a.example:22/", "::", "x:y")
    ]
    assert [text for text in refused if not text or not translate_message(text, "de")] == []


@pytest.mark.parametrize(
    ("english", "german"),
    [
        ("9 new, 0 known", "9 neu, 0 bekannt"),
        ("1 new, 2 known; 3 older parts left to a backfill", "1 neu, 2 bekannt; 3 ältere Teile bleiben einem Backfill"),
        ("0 new, 1 known; URLs without a host: 4; odd", "0 neu, 1 bekannt; URLs ohne Host: 4; odd"),
        ("2 new, 1 known; larger than 50 MB; the rest is left out", "2 neu, 1 bekannt; größer als 50 MB; der Rest wird ausgelassen"),
        ("pushed by the hub: 1 new, 0 known; 0 new, 1 known", "vom Hub gesendet: 1 neu, 0 bekannt; 0 neu, 1 bekannt"),
        (
            "DNS lookup failed: no results for hostname lookup: nohost.invalid",
            "DNS-Abfrage fehlgeschlagen: keine Adresse für nohost.invalid",
        ),
    ],
)
def test_each_part_of_a_joined_detail_is_translated(english: str, german: str) -> None:
    assert translate_message(english, "de") == german


def test_patterns_match_what_they_should_and_nothing_else() -> None:
    german = translate_message("form: rules.fields: expected lines such as title = h1.headline, not 'x: y, not z'", "de")
    assert german == "form: rules.fields: erwartet: Zeilen wie title = h1.headline, nicht 'x: y, not z'"
    for text in ("foo: bar", "", ": ", "HTTP ", "x" * (MAX_MESSAGE_CHARACTERS + 1), "Ein Satz eines Servers", "{key}", "expected "):
        assert translate_message(text, "de") is None, text
    assert translate_message("the body is empty", "en") is None
    for pattern in load_patterns("de"):
        assert set(re.findall(r"{(\w+)}", pattern.translation)) == set(pattern.names), pattern


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_a_template_has_no_text_of_its_own(path: Path) -> None:
    markup = re.sub(r"{#.*?#}|{%.*?%}|{{.*?}}", " ", path.read_text("utf-8"), flags=re.DOTALL)
    attributes = re.findall(r"""(?:title|placeholder|aria-label|alt)="([^"]*)\"""", markup)
    words = set(re.findall(r"[^\W\d_]{2,}", " ".join([re.sub(r"<[^>]*>|&\w+;", " ", markup), *attributes])))
    assert words - NAMES - {"https", "www", "example", "org"} == set()


def test_pages_in_german_have_no_english_of_the_program(filled: RunningApp, ids: dict[str, str]) -> None:
    client = filled.browser()
    client.headers["accept-language"] = "de"
    other = next(document.id for document in filled.context.documents.iterate() if document.source == "nordlicht")
    statuses = {"/no/such/page": 404, "/documents/0000": 404, "/sources/nobody": 404, f"/documents/{other}/page": 404}
    statuses |= {f"/documents/{other}/explain": 404, "/ops/url?url=::": 422, f"/documents/{ids['paper']}?part=x": 422}
    statuses |= {"/search?order=oldest": 422, "/ops?after=-1": 422}
    for path in [*page_urls(ids).values(), *statuses]:
        page = read(client, path, 404 if path.startswith("/no/") else statuses.get(path, 200))
        # What a server or a hostile page said stays as it is, and so do documents in English.
        english = [
            text_of(part)
            for part in page.xpath(
                "//*[@lang='en'][not(ancestor-or-self::article | ancestor::ol | self::a[starts-with(@href, '/documents/')])]"
            )
        ]
        assert [text for text in english if text != "English" and "window.hit" not in text and "segment" not in text] == [], path


def test_refused_forms_are_answered_in_german(web: RunningApp) -> None:
    web.context.ledger.sources.put(replace(SOURCE, name="paper"), now=web.context.now())
    client = web.browser()
    client.headers["accept-language"] = "de"
    form = {"csrf": read(client, "/sources").xpath("//input[@name='csrf']/@value")[0], "homepage": "www.paper.example", "every": "15m"}
    for path, changes, expected in (
        ("/sources", {"every": "bald"}, 'Prüfintervall: erwartet: eine Dauer wie "15m", "2h" oder "1d", nicht \'bald\''),
        ("/sources", {"homepage": "http://10.0.0.1/"}, "10.0.0.1 ist keine öffentliche IP-Adresse"),
        ("/sources", {"name": "a b"}, "Nicht gespeichert. Erwartet: ein Name aus Buchstaben, Ziffern"),
        ("/sources/paper", {"delay": "viel"}, "erwartet: eine Zahl von Sekunden von 0 bis 3600"),
        ("/sources/paper", {"cron": "0 * * * *"}, "every oder cron, nicht beides"),
        ("/sources/paper/rules", {"do": "save", "expires": "morgen"}, "erwartet: ein Datum wie 2027-06-30"),
        ("/sources/paper/rules", {"do": "save", "fields": "title"}, "erwartet: Zeilen wie title = h1.headline"),
    ):
        answer = client.post(path, data=form | changes, headers=HTML)
        (alert,) = html.document_fromstring(answer.text).xpath("//*[@role='alert']")
        assert answer.status_code == 422 and "Nicht gespeichert." in text_of(alert) and expected in text_of(alert), text_of(alert)
    search = client.post("/searches", data=form | {"q": "ferry"}).headers["location"].partition("?")[0]
    for changes, expected in (
        ({"zone": "Mars"}, "Zeitzone: erwartet: eine Zeitzone wie Europe/Berlin oder UTC, nicht 'Mars'"),
        ({"target": "https://a:b@hook.example/"}, "Empfänger: erwartet: eine URL ohne Benutzer"),
        ({"channel": "apprise", "target": "tgram://x"}, "Empfänger: der Dienst 'tgram' ist nicht erlaubt"),
    ):
        answer = client.post(
            f"{search}/alerts", data=form | {"channel": "webhook", "target": "https://hook.example/"} | changes, headers=HTML
        )
        (alert,) = html.document_fromstring(answer.text).xpath("//*[@role='alert']")
        assert expected in text_of(alert), text_of(alert)
    note = client.post("/marks", data=form | {"id": "x", "do": "note", "note": "n" * 5000}, headers=HTML)
    assert "Eine Notiz hat höchstens 4.000 Zeichen, nicht 5.000." in note.text
    assert "Parameter after: Erlaubt ist: eine Zahl ab 0." in client.get("/ops?after=-1", headers=HTML).text
    expired = client.post("/sources/paper/state", data={"csrf": "x", "do": "pause"}, headers=HTML)
    assert "Das Formular ist abgelaufen" in expired.text
    assert "/sources/paper/state nimmt GET nicht an, sondern POST" in client.get("/sources/paper/state", headers=HTML).text
    assert (
        "Erlaubt ist: 'pause', 'resume' oder 'read'"
        in html.document_fromstring(client.post("/sources/paper/state", data=form | {"do": "x"}, headers=HTML).text).text_content()
    )
