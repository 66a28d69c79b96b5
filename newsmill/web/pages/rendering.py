"""Why a block of a page went, in the reader's language: read/ says it in English, and what has no translation stays so."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.exceptions import HTTPException

from newsmill.exceptions import NewsmillError
from newsmill.storage.tokens import Scope
from newsmill.web.auth import Caller, get_caller, make_csrf_token
from newsmill.web.pages import charts, outcome_charts, static, translations
from newsmill.web.pages.translations import CATALOGUE_FOLDER

_WITH_CONFIDENCE = re.compile(r"(.*) \((\d\.\d\d) sure\)")
_N_OF_M = re.compile(r"(\d+) of (\d+)")


@cache
def reason_translations(language: str) -> Mapping[str, str]:
    """English → that language; empty for English itself."""
    file = CATALOGUE_FOLDER / f"reasons.{language}.toml"
    return tomllib.loads(file.read_text("utf-8")) if file.exists() else {}


def translate_reason(reason: str, language: str) -> str | None:
    """The reason in a language, None where it is known in English only.

    >>> in_words("stands on 23 of 25 pages of this site", "de")
    'steht auf 23 von 25 Seiten dieser Website'
    """
    if sure := _WITH_CONFIDENCE.fullmatch(reason):
        why = translate_reason(sure[1], language)
        return why and f"{why} ({sure[2].replace('.', ',')} {reason_translations(language)['sure']})"
    counted = _N_OF_M.search(reason)
    found = reason_translations(language).get(_N_OF_M.sub("{n} of {of}", reason, count=1))
    return found and (found.format(n=counted[1], of=counted[2]) if counted else found)


# Templates and what every page needs: the reader's language, who is asking, addresses that may be linked.

TEMPLATE_FOLDER = Path(__file__).parent / "templates"
COOKIE_SECONDS = 365 * 86_400  # seconds; how long the choice of a language is remembered

_WITHOUT_SCHEME = re.compile(r"[\w-]+(\.[\w-]+)+(:\d+)?(/|$)")
RIGHT_TO_LEFT = frozenset(["ar", "arc", "ckb", "dv", "fa", "he", "ku", "ps", "sd", "syr", "ug", "ur", "yi"])


@cache
def template_environment() -> Environment:
    """Everything is escaped unless a template says otherwise, and none does; a name that is not there is an error, not a gap."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATE_FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters.update(link=link, host=host, shorten=shorten, cut=cut, breakable=breakable, params=params)
    made.globals.update(
        charts={chart.__name__: chart for chart in (charts.bars, charts.peak, charts.share, charts.sparkline, charts.swatch)},
        outcomes={describe.__name__: describe for describe in (outcome_charts.by_state, outcome_charts.said)},
        in_words=translate_reason,
        static=static.static_url,
        languages=translations.LANGUAGES,
        direction=direction,
    )
    return made


def add_scheme(url: str) -> str:
    """`example.org/a` as people write it → `https://example.org/a`; anything else is left as it is."""
    return f"https://{url}" if _WITHOUT_SCHEME.match(url) else url


def link(url: object) -> str | None:
    """An address that may stand in an href: http(s) with a host, or None. Everything else (javascript:, data:) is only text."""
    try:
        parts = urlsplit(str(url))
    except ValueError:
        return None
    return str(url) if parts.scheme in ("http", "https") and parts.netloc else None


def host(url: object) -> str:
    """The host of an address, for showing."""
    try:
        return urlsplit(str(url)).hostname or ""
    except ValueError:
        return ""


def shorten(text: object, most: int) -> str:
    """At most that many characters, cut at a space where there is one near."""
    said = " ".join(str(text).split())
    if len(said) <= most:
        return said
    cut = said[: most - 1]
    space = cut.rfind(" ", most // 2)
    return f"{cut[:space] if space > 0 else cut}…"


def cut(text: object, most: int) -> str:
    """At most that many characters, line breaks and all."""
    said = str(text)
    return said if len(said) <= most else f"{said[: most - 1]}…"


def breakable(url: object) -> Markup:
    """An address that may be broken after its slashes."""
    return Markup("<wbr>").join(part for part in _pieces(str(url)))


def _pieces(url: str) -> list[str]:
    parts = url.split("/")
    return [part + "/" for part in parts[:-1]] + [parts[-1]]


def params(given: Mapping[str, object], **changed: object) -> str:
    """The query `?a=b` with some parameters changed; those that are None are left out."""
    kept = {name: value for name, value in {**given, **changed}.items() if value not in (None, "")}
    return f"?{urlencode(kept, doseq=True)}" if kept else "?"


def get_caller_safely(request: Request) -> Caller | None:
    """Who is calling, or None also where that cannot be found out."""
    try:
        return get_caller(request)
    except (HTTPException, NewsmillError):
        return None


class PageView:
    """One request's view: `View(request).page("home.html", …)`."""

    def __init__(self, request: Request, *, sure: bool = True) -> None:
        """Not `sure`: something went wrong, perhaps even in finding out who is calling; then it is a stranger."""
        self.request = request
        self.caller = get_caller(request) if sure else get_caller_safely(request)
        self.asked = request.query_params.get("lang")
        language = translations.choose_language(
            self.asked, request.cookies.get(translations.COOKIE), request.headers.get("accept-language", "")
        )
        self.words = translations.load_translations(language)
        self.now: datetime = request.app.state.context.now()

    def page(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """The template as an answer. `values` are its own; what base.html needs is added here."""
        text = template_environment().get_template(template).render(**self._common(), **values)
        answer = HTMLResponse(text, status, headers={"Vary": "Accept-Language, Cookie", "Content-Language": self.words.language})
        if self.asked in translations.LANGUAGES:
            secure = self.request.url.scheme == "https"
            answer.set_cookie(
                translations.COOKIE, self.words.language, max_age=COOKIE_SECONDS, httponly=True, samesite="lax", secure=secure
            )
        return answer

    def _common(self) -> dict[str, Any]:
        who = self.caller
        query = {name: value for name, value in self.request.query_params.multi_items() if name != "lang"}
        return {
            "t": self.words,
            "now": self.now,
            "path": self.request.url.path,
            "query": query,
            "may_write": who is not None and who.may(Scope.WRITE),
            "may_admin": who is not None and who.may(Scope.ADMIN),
            "signed_in": who is not None and who.token is not None,
            "csrf": make_csrf_token(self.request),
        }


def direction(language: str | None) -> str:
    """`rtl` for a language written from right to left, `auto` where the text itself shall say."""
    return "rtl" if language and language.partition("-")[0].lower() in RIGHT_TO_LEFT else "auto"
