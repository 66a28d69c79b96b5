"""Other URLs of the same article, by spelling alone. Knows no site."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from newsmill.discovery.url_patterns import PAGE_EXTENSION
from newsmill.exceptions import UrlError
from newsmill.text import lazy_re as re
from newsmill.text import urls

MAX_PARAMETERS = 8  # names of a URL whose variants are listed
MIN_SESSION_CHARACTERS = 8  # of an id of a session in a path, with what is around it: "s(4f0a1c)"
MAX_SESSION_FOLDER_CHARACTERS = 20  # before it: "/s/", "/session/"

_DIGIT = re.compile(r"[0-9]")
_TOKEN_VALUE = re.compile(r"(?:(?<==)|^)(?=[^=]*[0-9])[^=%]{6,}$")  # of a parameter; percent-encoded words have digits
_HOST = re.compile(r"(?:m|mobile|mobil|touch|wap|amp)\.(?=[^.]+\.)", re.I)
_PATH = re.compile(r"/(?:amp|print|drucken|druckversion)(?=/?$)|^/(?:amp|print)(?=/)|[-._](?:amp|print|druck)(?=\.\w{2,5}$)|\.amp$", re.I)
_INDEX = re.compile(r"(?<=/)(?:index|default)\.(?:html?|xhtml|php|aspx?|jsp)$", re.I)
_PARAMETER = re.compile(
    r"amp(?:=[1y]|=true|=)?|(?:output|outputtype|type|view|mode|format|layout|tmpl|display)=(?:amp|print|mobile|drucken|printview|component)"
    r"|(?:print|printview|drucken|mobile)=\w{1,5}",
    re.I,
)


def find_plain_url(url: str) -> str | None:
    """The URL (normal form) of the page of which this is an AMP, print or mobile version by its spelling; None if it is none.

    The name of an index file ("/story/index.html") is left out as well.
    """
    parts = urlsplit(url)
    host = _HOST.sub("", parts.netloc, count=1)
    path = _INDEX.sub("", _PATH.sub("", parts.path, count=1)) or "/"
    query = "&".join(parameter for parameter in parts.query.split("&") if not _PARAMETER.fullmatch(parameter))
    if (host, path, query) == (parts.netloc, parts.path, parts.query):
        return None
    try:
        plain = urls.normalize(urlunsplit((parts.scheme, host, path, query, "")))
        if urls.make_key(plain) == urls.make_key(url) or urls.get_site(plain) != urls.get_site(url):
            return None
    except UrlError:
        return None
    is_homepage = urlsplit(plain).path == "/" and not query
    return None if is_homepage else plain


def fold_path(url: str) -> str:
    """The URL with its path in lower case and without the extension of a page: many servers answer both.

    >>> fold_path("https://paper.example/News/The-Storm.html?page=2")
    'https://paper.example/news/the-storm?page=2'
    """
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=PAGE_EXTENSION.sub("", parts.path.rstrip("/")).lower()))


def find_edition(url: str) -> str:
    """The host of a URL, without the signs of AMP and mobile versions: local editions on hosts of their own share texts."""
    return urls.get_profile_site(find_plain_url(url) or url)


def is_same_edition(one: str, other: str) -> bool:
    """Whether two URLs are on one host, or on its AMP or mobile host.

    >>> is_same_edition("https://m.paper.example/story", "https://www.paper.example/story")
    True
    >>> is_same_edition("https://blog.paper.example/story", "https://www.paper.example/story")
    False
    """
    return find_edition(one) == find_edition(other)


def drop_each_parameter(url: str) -> dict[str, str]:
    """For each name of a parameter, the URL without it; empty for a URL with more than MAX_PARAMETERS names."""
    names = list_parameter_names(url)
    return {name: drop_parameters(url, {name}) for name in names} if len(names) <= MAX_PARAMETERS else {}


def list_parameter_names(url: str) -> list[str]:
    """The names of the parameters of a URL, in lower case, each once."""
    return list(dict.fromkeys(get_parameter_name(parameter) for parameter in urlsplit(url).query.split("&") if parameter))


def drop_parameters(url: str, names: set[str]) -> str:
    """The URL without the parameters of these names (lower case)."""
    parts = urlsplit(url)
    kept = [parameter for parameter in parts.query.split("&") if parameter and get_parameter_name(parameter) not in names]
    return urlunsplit((parts.scheme, parts.netloc, parts.path, "&".join(kept), ""))


def find_differences(one: str, other: str) -> list[str]:
    """What distinguishes two URLs of one article, and so does not select it: names of parameters, and the place of a session id.

    Empty if their paths differ in something else, or if they have different parameters and more than one of them.
    """
    first, second = set(list_parameter_names(one)), set(list_parameter_names(other))
    if len(first | second) > 2 * MAX_PARAMETERS:
        return []
    paths = [drop_parameters(url, first | second) for url in (one, other)]
    try:
        place = None
        if len({urls.make_key(path) for path in paths}) > 1:
            places = [find_session_place(path) for path in paths]
            if None in places or len({(found[0], urls.make_key(found[1])) for found in places if found is not None}) > 1:
                return []
            place = places[0]
        names = [name for name in sorted(first | second) if _make_value_key(one, name) != _make_value_key(other, name)]
    except UrlError:
        return []
    if first != second and len(names) > 1:
        return []
    return names if place is None else [*names, place[0]]


def _make_value_key(url: str, name: str) -> str:
    """The identity of the values of a parameter."""
    return urls.make_key(drop_parameters(f"https://a.example/?{urlsplit(url).query}", {*list_parameter_names(url)} - {name}))


def find_session_place(url: str) -> tuple[str, str] | None:
    """The place of the path segment that may be the id of a session, and the URL with "*" in its place; None: there is none.

    Such a segment has a digit, at least MIN_SESSION_CHARACTERS, a short path without digits before it, and an article's name behind it.
    The place tells its length, which ids of sessions have in common.

    >>> find_session_place("https://paper.example/s/0f3a91c4/story")
    ('/s/*8', 'https://paper.example/s/*/story')
    """
    parts = urlsplit(url)
    segments = parts.path.rstrip("/").split("/")
    at = next((number for number, segment in enumerate(segments) if _DIGIT.search(segment)), len(segments))
    before = "/".join([*segments[:at], ""])
    if at >= len(segments) - 1 or len(before) > MAX_SESSION_FOLDER_CHARACTERS:
        return None
    segment = segments[at]
    if len(segment) < MIN_SESSION_CHARACTERS or "%" in segment:  # percent-encoded words have digits
        return None
    path = before + "/".join(["*", *segments[at + 1 :]])
    return f"{before}*{len(segment)}", urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def mask_tokens(url: str) -> str:
    """The URL with "*" for what may be new at each read: values of at least six characters with a digit, and the id of a session.

    >>> mask_tokens("https://paper.example/feed.xml?v=1796081109&lang=de")
    'https://paper.example/feed.xml?v=*&lang=de'
    """
    place = find_session_place(url)
    parts = urlsplit(url if place is None else place[1])
    query = "&".join(_TOKEN_VALUE.sub("*", parameter) for parameter in parts.query.split("&"))
    return urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))


def get_parameter_name(parameter: str) -> str:
    """The name of a parameter as written in a URL, in lower case; "" for one without a value, which may be a value without a name.

    >>> get_parameter_name("Page=2"), get_parameter_name("5f3a91")
    ('page', '')
    """
    name, sign, _ = parameter.partition("=")
    return name.lower() if sign else ""
