"""German pages show no English: not in templates, not in errors of requests and forms, not in the details of outcomes."""

from __future__ import annotations

import ast
import json
import pickle
import re
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from browsing import page_urls
from lxml import html
from page_client import HTML, read, text_of
from pydantic import TypeAdapter
from rows import SOURCE
from site_of_tests import RunningApp

from newsmill.exceptions import DecodeError, ListingError
from newsmill.model import Outcome, OutcomeRecord
from newsmill.sources.table import SUBTABLES, SourceTable
from newsmill.text.sentences import MARK, PACKED, Sentence, dump_sentence, is_neutral, join_sentences, load_sentence
from newsmill.web.pages.sentence_translations import load_catalogue, translate_sentence
from newsmill.web.problem_details import VALIDATION_TEMPLATES

PLACEHOLDER = re.compile(r"{(\w+)(:[^}]+)?}")
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
# The same in every language.
NAMES = {
    *("Newsmill", "API", "Atom", "RSS", "JSON", "CSV", "SVG", "Feed", "newsmill", "up", "demo", "export", "UTC", "URL"),
    *("User", "agent", "Disallow", "OpenAPI", "Authorization", "Bearer", "TOKEN"),
}


def calls() -> Iterator[tuple[str, ast.Call]]:
    """(place, call) of the code."""
    for folder in ("newsmill", "crawler", "workers"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(parse(path)):
                if isinstance(node, ast.Call):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node


@cache
def parse(path: Path) -> ast.AST:
    return ast.parse(path.read_text("utf-8"))


def list_templates() -> Iterator[tuple[str, str, set[str]]]:
    """(place, template, names of its values) of the calls, and of the tables whose texts are templates."""
    for place, node in calls():
        if isinstance(node.func, ast.Name) and node.func.id in ("Sentence", "count_sentence"):
            names = {str(keyword.arg) for keyword in node.keywords} | ({"n"} if node.func.id == "count_sentence" else set())
            for text in node.args:
                if isinstance(text, ast.Constant):
                    yield place, text.value, names
    validation = {text: set(PLACEHOLDER.findall(text)) for texts in VALIDATION_TEMPLATES.values() for text in texts}
    yield from (("VALIDATION_TEMPLATES", text, {name for name, _ in places}) for text, places in validation.items())
    for table in (SourceTable, *SUBTABLES.values()):
        yield from ((table.__name__, str(field.description), set()) for field in table.model_fields.values())


def test_every_template_has_a_german_text_with_the_same_values_and_none_is_unused() -> None:
    german, templates = load_catalogue("de"), list(list_templates())
    assert len(templates) > 300
    assert {template for _, template, _ in templates if not is_neutral(template)} - set(german) == set()
    assert set(german) - {template for _, template, _ in templates} == set()
    for template, text in german.items():
        assert set(PLACEHOLDER.findall(template)) == set(PLACEHOLDER.findall(text)), template
    wrong = [(place, template) for place, template, names in templates if not {name for name, _ in PLACEHOLDER.findall(template)} <= names]
    assert wrong == []


def test_what_is_shown_on_pages_is_a_sentence() -> None:
    """A plain text would stay English."""
    plain = []
    for pattern, calls in PLACES.items():
        for path in sorted(ROOT.glob(pattern)):
            for node in ast.walk(parse(path)):
                if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in calls:
                    plain += [(path.name, ast.unparse(argument)) for argument in node.args if is_plain_sentence(argument)]
    assert plain == []


def is_plain_sentence(node: ast.AST) -> bool:
    """Whether it is a string or an f-string with words."""
    texts = node.values if isinstance(node, ast.JoinedStr) else [node]
    text = "".join(part.value for part in texts if isinstance(part, ast.Constant) and isinstance(part.value, str))
    return re.search(r"[a-z]{2,} ", text) is not None


def test_a_sentence_survives_every_way_of_a_detail() -> None:
    inner = Sentence("longer than {n:,} characters", n=4000)
    sentence = Sentence("robots.txt: {detail}", detail=join_sentences([inner, "ein Text", Sentence("HTTP {status}", status=404)]))
    assert sentence == "robots.txt: longer than 4,000 characters; ein Text; HTTP 404"
    german = "robots.txt: länger als 4.000 Zeichen; ein Text; HTTP 404"
    record, adapter = OutcomeRecord(Outcome.DNS, sentence), TypeAdapter(OutcomeRecord)
    for survivor in (
        str(ListingError(sentence)),
        load_sentence(dump_sentence(sentence)),
        pickle.loads(pickle.dumps(DecodeError(sentence))).args[0],
        adapter.validate_json(adapter.dump_json(record, context=PACKED)).detail,
    ):
        assert survivor == sentence and translate_sentence(survivor, "de") == german
    assert translate_sentence(sentence, "en") is translate_sentence(str.__str__(sentence), "de") is None
    assert adapter.validate_python(adapter.dump_python(record, mode="json")).detail == sentence  # as the API writes it
    assert translate_sentence(Sentence("{key}: {error}", key="a", error="a text of a server"), "de") is None
    for broken in (MARK, MARK + "[", MARK + '["{x:,}",{"x":"y"}]', MARK + '"x"', MARK + "[1,2]", MARK + "[" * 99_999):
        assert not isinstance(load_sentence(broken), Sentence)
    tracemalloc.start()  # a template that repeats a value is refused before it is filled
    load_sentence(MARK + json.dumps(["{a}" * 3000, {"a": "x" * 10_000}]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 21


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
