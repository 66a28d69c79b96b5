"""How pages are rendered: templates, and the values that every page needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException

from newsmill.exceptions import ConfigError, NewsmillError
from newsmill.model import DocumentMarks
from newsmill.storage.marks import Marks
from newsmill.storage.tokens import Scope
from newsmill.text.sentences import KEYED, Sentence
from newsmill.web.auth import Caller, get_caller
from newsmill.web.csrf import make_csrf_token
from newsmill.web.pages import charts, translations
from newsmill.web.pages.outcome_counts import describe_counts, mark_outcome, sum_by_state
from newsmill.web.pages.reader_cookies import COOKIE_SECONDS, ZONE_COOKIE, has_keys, read_zone
from newsmill.web.pages.removal_reasons import translate_reason
from newsmill.web.pages.sentence_translations import translate_sentence
from newsmill.web.pages.static_files import static_url
from newsmill.web.pages.template_filters import (
    breakable,
    cut,
    direction,
    host,
    link,
    params,
    sentence,
    shorten,
    shorten_apart,
    shorten_middle,
)
from newsmill.web.pages.timeline_links import draw_bar_links, draw_ticks
from newsmill.web.pages.translations import Translations
from newsmill.web.sessions import local_path

TEMPLATE_FOLDER = Path(__file__).parent / "templates"
CHARTS = (
    charts.axis_maximum,
    draw_bar_links,
    charts.draw_bars,
    charts.draw_shares,
    charts.draw_sparkline,
    charts.draw_swatch,
    draw_ticks,
    charts.max_total,
)
OUTCOMES = (describe_counts, mark_outcome, sum_by_state)


class PageView:
    """The view of one request: its language, its caller and the current time."""

    def __init__(self, request: Request, *, is_caller_known: bool = True, path: str | None = None) -> None:
        """Without `is_caller_known`, a caller who cannot be identified counts as anonymous: error pages must not fail themselves.

        `path` is the page that the answer to a form shows, if the form has a path of its own.
        """
        self.request = request
        self.path = path or request.url.path
        self.caller = get_caller(request) if is_caller_known else get_caller_safely(request)
        self.requested_language = request.query_params.get("lang")
        language = translations.choose_language(
            self.requested_language, request.cookies.get(translations.COOKIE), request.headers.get("accept-language", "")
        )
        self.words = translations.load_translations(language, read_zone(request))
        self.now: datetime = request.app.state.context.now()
        self.user = "" if self.caller is None else self.caller.user

    @property
    def here_url(self) -> str:
        """The path of the page with the query of the request, to which a form leads back."""
        query = self.request.url.query
        return f"{self.path}?{query}" if query else self.path

    def may(self, scope: Scope) -> bool:
        """Whether the caller has the scope."""
        return self.caller is not None and self.caller.may(scope)

    def marks(self, ids: Iterable[str]) -> Mapping[str, DocumentMarks]:
        """The marks that the caller has made on documents, by id."""
        return Marks(self.request.app.state.context.engine, self.user).get(ids)

    def translate(self, sentence: str) -> str:
        """A sentence of another part of Newsmill, in the reader's language if the catalogue has it."""
        return translate_sentence(sentence, self.words.language) or sentence

    def describe_refusal(self, error: ConfigError) -> str:
        """Why a form was not saved, with the label of its field: `Check every: expected a duration such as "15m", not 'soon'`."""
        text, label = str(error), None
        while isinstance(text, Sentence) and text.template == KEYED and label is None:
            key, rest = str(text.values["key"]), str(text.values["error"])
            label = self._find_label(key)
            if label is None and key != "form":
                break
            text = rest
        why = f"{label}: {self.translate(text)}" if label else self.translate(text)
        return self.words("forms.invalid", why=why[:1].upper() + why[1:])

    def _find_label(self, key: str) -> str | None:
        """The label of a key of sources.toml or of a saved search."""
        names = (name for part in reversed(key.split(".")) for name in (f"form.{part}.label", f"searches.{part}"))
        return next((self.words.texts[name] for name in names if name in self.words.texts), None)

    def page(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """Render the template with `values` and the values that base.html needs."""
        text = template_environment().get_template(template).render(**self._common_values(), **values)
        response = HTMLResponse(text, status, headers={"Vary": "Accept-Language, Cookie", "Content-Language": self.words.language})
        if self.requested_language in translations.LANGUAGES:
            secure = self.request.url.scheme == "https"
            response.set_cookie(
                translations.COOKIE, self.words.language, max_age=COOKIE_SECONDS, httponly=True, samesite="lax", secure=secure
            )
        return response

    def _common_values(self) -> dict[str, Any]:
        caller = self.caller
        query = {name: value for name, value in self.request.query_params.multi_items() if name != "lang"}
        return {
            "t": self.words,
            "now": self.now,
            "path": local_path(self.path),  # an unknown path may be another host as a link: "//evil.example"
            "query": query,
            "may_write": self.may(Scope.WRITE),
            "may_admin": self.may(Scope.ADMIN),
            "user": name_user(caller, self.words),
            "csrf": make_csrf_token(self.request),
            "here_url": self.here_url,
            "has_images": self.request.app.state.config.shows_images,
            "zone_is_chosen": ZONE_COOKIE in self.request.cookies,
            "keys": has_keys(self.request),
        }


def name_user(caller: Caller | None, words: Translations) -> str | None:
    """Who is signed in, as the name of a token; None for a reader without one. The person who runs the server has no name."""
    if caller is None:
        return None
    return words("login.by_link") if caller.token.is_local else caller.name


def get_caller_safely(request: Request) -> Caller | None:
    """The caller; None also when the caller cannot be identified."""
    try:
        return get_caller(request)
    except (HTTPException, NewsmillError):
        return None


@cache
def template_environment() -> Environment:
    """The templates with their filters and functions. Values are escaped, and an undefined name is an error."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE_FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        link=link, host=host, shorten=shorten, shorten_middle=shorten_middle, cut=cut, breakable=breakable, params=params, sentence=sentence
    )
    environment.globals.update(
        charts={function.__name__: function for function in CHARTS},
        outcomes={function.__name__: function for function in OUTCOMES},
        translate_reason=translate_reason,
        translate_sentence=translate_sentence,
        shorten_apart=shorten_apart,
        static=static_url,
        languages=translations.LANGUAGES,
        direction=direction,
    )
    return environment
