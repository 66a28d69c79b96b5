"""How pages are rendered: templates and their filters, the values that every page needs, the reader's preferences, static files, and pages
for errors and sign-in.

Routes call `PageView(request).page("home.html", …)`. Programs get problem details instead of an error page (web/responses.py). The
URL of a static file contains a hash of its content, so browsers may cache it for ever.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlencode, urlsplit
from zoneinfo import ZoneInfo, available_timezones

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.exceptions import HTTPException

from newsmill.exceptions import ConfigError, NewsmillError
from newsmill.model import DocumentMarks
from newsmill.storage.marks import Marks
from newsmill.storage.tokens import Scope, TokenKind
from newsmill.web.auth import LINK_NAME, Caller, get_caller, local_path, make_csrf_token, require_csrf
from newsmill.web.pages import charts, translations
from newsmill.web.pages.translations import Translations, translate_message, translate_reason

router = APIRouter(include_in_schema=False)

TEMPLATE_FOLDER = Path(__file__).parent / "templates"
COOKIE_SECONDS = 365 * 86_400  # lifetime of what the reader has chosen
RIGHT_TO_LEFT = frozenset(["ar", "arc", "ckb", "dv", "fa", "he", "ku", "ps", "sd", "syr", "ug", "ur", "yi"])
CHARTS = (
    charts.axis_maximum,
    charts.draw_bar_links,
    charts.draw_bars,
    charts.draw_shares,
    charts.draw_sparkline,
    charts.draw_swatch,
    charts.draw_ticks,
    charts.max_total,
)
OUTCOMES = (charts.describe_counts, charts.sum_by_state)


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
        return translate_message(sentence, self.words.language) or sentence

    def describe_refusal(self, error: ConfigError) -> str:
        """Why a form was not saved, with the label of its field: `Check every: expected a duration such as "15m", not 'soon'`."""
        text = str(error).removeprefix("form: ")
        key, separator, rest = text.partition(": ")
        labels = self.words.texts
        names = (name for part in reversed(key.split(".")) for name in (f"form.{part}.label", f"searches.{part}"))
        label = next((labels[name] for name in names if name in labels), None)
        why = f"{label}: {self.translate(rest)}" if separator and label else self.translate(text)
        return self.words("forms.invalid", why=why[:1].upper() + why[1:])

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
    """Who is signed in, as the name of a token; None for a reader without one. A sign-in link has no name of its own."""
    if caller is None or caller.token is None:
        return None
    is_link = caller.token.kind is TokenKind.SESSION and caller.token.parent is None and caller.name == LINK_NAME
    return words("login.by_link") if is_link else caller.name


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
        translate_message=translate_message,
        shorten_apart=shorten_apart,
        static=static_url,
        languages=translations.LANGUAGES,
        direction=direction,
    )
    return environment


# ---- filters and functions of the templates ----------------------------------------------------------------------------------


def link(url: object) -> str | None:
    """The URL if it may stand in an href, which is an http(s) URL with a host; else None (javascript:, data:)."""
    try:
        parts = urlsplit(str(url))
    except ValueError:
        return None
    return str(url) if parts.scheme in ("http", "https") and parts.netloc else None


def host(url: object) -> str:
    """The host name of a URL, or an empty string."""
    try:
        return urlsplit(str(url)).hostname or ""
    except ValueError:
        return ""


def shorten(text: object, max_characters: int) -> str:
    """The text on one line with at most `max_characters`, cut at a space in the second half if there is one."""
    line = " ".join(str(text).split())
    if len(line) <= max_characters:
        return line
    start = line[: max_characters - 1]
    space = start.rfind(" ", max_characters // 2)
    return f"{start[:space] if space > 0 else start}…"


def shorten_middle(text: object, max_characters: int) -> str:
    """The text on one line with at most `max_characters`, cut in the middle: URLs and paths differ at their ends.

    >>> shorten_middle("https://example.org/2026/11/a-story", 20)
    'https://e…11/a-story'
    """
    line = " ".join(str(text).split())
    if len(line) <= max_characters:
        return line
    end = max_characters // 2
    return f"{line[: max_characters - 1 - end]}…{line[-end:]}"


def shorten_apart(texts: Sequence[str], max_characters: int) -> list[str]:
    """The texts as by `shorten_middle`; those that would then look alike stay whole.

    >>> shorten_apart(["html/body/div.a/section/p", "html/body/div.b/section/p", "html/body/main/article/p"], 15)
    ['html/body/div.a/section/p', 'html/body/div.b/section/p', 'html/bo…ticle/p']
    """
    shortened = {text: shorten_middle(text, max_characters) for text in texts}
    alike = Counter(shortened.values())
    return [shortened[text] if alike[shortened[text]] == 1 else " ".join(text.split()) for text in texts]


def cut(text: object, max_characters: int) -> str:
    """The text with at most `max_characters`, its line breaks kept."""
    whole = str(text)
    return whole if len(whole) <= max_characters else f"{whole[: max_characters - 1]}…"


def breakable(url: object) -> Markup:
    """The URL with a line break allowed after each slash."""
    *folders, name = str(url).split("/")
    return Markup("<wbr>").join([*(f"{folder}/" for folder in folders), name])


def sentence(text: str) -> Markup:
    """A message as a sentence: what stands in backticks is code, and it ends with a full stop.

    >>> sentence("Run `newsmill up`")
    Markup('Run <code>newsmill up</code>.')
    """
    parts = [Markup("<code>{}</code>").format(part) if number % 2 else escape(part) for number, part in enumerate(text.split("`"))]
    return Markup("").join([*parts, "" if text.endswith((".", "!", "?", "…", ":")) else "."])


def params(query: Mapping[str, object], **changes: object) -> str:
    """The query string `?a=b` with some parameters changed; empty and None values are left out."""
    values = {name: value for name, value in {**query, **changes}.items() if value not in (None, "")}
    return f"?{urlencode(values, doseq=True)}" if values else "?"


def direction(language: str | None) -> str:
    """`rtl` for a language written from right to left, else `auto`, which lets the text decide."""
    return "rtl" if language and language.partition("-")[0].lower() in RIGHT_TO_LEFT else "auto"


# ---- the reader's preferences, kept in cookies, and their page ---------------------------------------------------------------

ZONE_COOKIE = "nm_zone"  # the script of the pages sets the zone of the browser until the reader chooses another
KEYS_COOKIE = "nm_keys"
NO_KEYS = "off"


@cache
def known_zones() -> frozenset[str]:
    """The names of all time zones, also the old ones that browsers still give."""
    return frozenset(available_timezones())


def read_zone(request: Request) -> tzinfo:
    """The reader's time zone; UTC for an unknown one."""
    name = request.cookies.get(ZONE_COOKIE, "UTC")
    return ZoneInfo(name) if name in known_zones() else UTC


def has_keys(request: Request) -> bool:
    """Whether the keyboard shortcuts are on."""
    return request.cookies.get(KEYS_COOKIE) != NO_KEYS


@router.get("/preferences")
def show_preferences(request: Request, next: str = "/") -> Response:
    """The form, and the list of keyboard shortcuts. `next`: the path that saving it leads to."""
    chosen = request.cookies.get(ZONE_COOKIE, "UTC")
    zones = listed_zones() if chosen in listed_zones() or chosen not in known_zones() else (chosen, *listed_zones())
    return PageView(request).page("preferences.html", zones=zones, chosen=chosen, next=local_path(next), has_keys=has_keys(request))


@router.post("/preferences", dependencies=[Depends(require_csrf)])
def save_preferences(
    request: Request,
    zone: Annotated[str, Form(max_length=100)] = "UTC",
    keys: Annotated[bool, Form()] = False,
    next: Annotated[str, Form(max_length=4000)] = "/",
) -> Response:
    """Save the form of the page /preferences, and lead back. An unknown time zone is left out."""
    response = RedirectResponse(local_path(next), 303)
    values = {KEYS_COOKIE: "on" if keys else NO_KEYS} | ({ZONE_COOKIE: zone} if zone in known_zones() else {})
    for name, value in values.items():
        response.set_cookie(name, value, max_age=COOKIE_SECONDS, samesite="lax", secure=request.url.scheme == "https")
    return response


@cache
def listed_zones() -> tuple[str, ...]:
    """The names to choose from: continents with a city, and UTC."""
    continents = ("Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific")
    return ("UTC", *sorted(name for name in known_zones() if name.partition("/")[0] in continents))


# ---- style sheet and icons ---------------------------------------------------------------------------------------------------

STATIC_FOLDER = Path(__file__).parent / "static"
CONTENT_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


@cache
def read_files() -> dict[str, tuple[bytes, str]]:
    """Name → content and its hash. The folder is listed once, so no request can name another path."""
    contents = {path.name: path.read_bytes() for path in STATIC_FOLDER.iterdir() if path.suffix in CONTENT_TYPES}
    return {name: (content, blake2b(content, digest_size=6).hexdigest()) for name, content in contents.items()}


def static_url(name: str) -> str:
    """The current URL of a file."""
    return f"/static/{read_files()[name][1]}/{name}"


@router.get("/static/{tag}/{name}")
def serve_file(tag: str, name: str) -> Response:
    """A file. A request with an outdated hash gets the current content, which must not be cached."""
    if name not in read_files():
        raise HTTPException(404)
    content, current = read_files()[name]
    caching = "public, max-age=31536000, immutable" if tag == current else "no-cache"
    return Response(content, media_type=CONTENT_TYPES[Path(name).suffix], headers={"Cache-Control": caching})


# ---- errors and sign-in ------------------------------------------------------------------------------------------------------

TITLED_STATUSES = (400, 401, 403, 404, 405, 409, 413, 421, 422, 429, 500, 503)


def render_error_page(request: Request, status: int, detail: str) -> Response:
    """The page for an error; `detail` is an English sentence."""
    path = None if request.method == "GET" else "/"  # the path of a form may be no page
    view = PageView(request, is_caller_known=False, path=path)
    translated = translate_message(detail, view.words.language)
    text = translated or detail
    title = view.words(f"error.{status}") if status in TITLED_STATUSES else view.words("error.other")
    target = view.here_url if view.path != "/login" else "/"
    return view.page(
        "error.html",
        status,
        title=title,
        detail=text[:1].upper() + text[1:],
        is_english=translated is None,
        number=status,
        sign_in=f"/login?next={quote(target)}",
    )


def render_sign_in_page(request: Request, message: str, status: int) -> Response:
    """The form for a token. `message` is a key of `login.message` in the catalogues."""
    view = PageView(request, is_caller_known=False)
    return view.page("login.html", status, message=message, target=request.query_params.get("next", "/"))
