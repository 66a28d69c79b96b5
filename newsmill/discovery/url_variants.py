"""Other URLs of the article of a URL, by spelling: without AMP, print and mobile signs, the name of an index file, or a parameter. Pure.

They are guesses. The caller compares what both URLs show.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

from newsmill import urls
from newsmill.exceptions import UrlError

MAX_PARAMETERS = 8  # names of a URL whose variants are listed

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
    try:
        plain = urls.normalize(urlunsplit((parts.scheme, host, path, query, "")))
        if urls.make_key(plain) == urls.make_key(url) or urls.get_site(plain) != urls.get_site(url):
            return None
    except UrlError:
        return None
    is_homepage = urlsplit(plain).path == "/" and not query
    return None if is_homepage else plain


def drop_each_parameter(url: str) -> dict[str, str]:
    """For each name of a parameter, the URL without it; empty for a URL with more than MAX_PARAMETERS names."""
    names = list_names(url)
    return {name: drop_parameters(url, {name}) for name in names} if len(names) <= MAX_PARAMETERS else {}


def list_names(url: str) -> list[str]:
    """The names of the parameters of a URL, in lower case, each once."""
    return list(dict.fromkeys(name_of(parameter) for parameter in urlsplit(url).query.split("&") if parameter))


def drop_parameters(url: str, names: set[str]) -> str:
    """The URL without the parameters of these names (lower case)."""
    parts = urlsplit(url)
    kept = [parameter for parameter in parts.query.split("&") if parameter and name_of(parameter) not in names]
    return urlunsplit((parts.scheme, parts.netloc, parts.path, "&".join(kept), ""))


def find_only_difference(one: str, other: str) -> str | None:
    """The name of the parameter in which two URLs differ; None if they differ in something else, or in several."""
    names = {*list_names(one), *list_names(other)}
    if len(names) > 2 * MAX_PARAMETERS:
        return None
    try:
        found = [
            name for name in sorted(names) if urls.make_key(drop_parameters(one, {name})) == urls.make_key(drop_parameters(other, {name}))
        ]
    except UrlError:
        return None
    return found[0] if len(found) == 1 else None


def name_of(parameter: str) -> str:
    """The name of a parameter as written in a URL, in lower case.

    >>> name_of("Page=2"), name_of("amp")
    ('page', 'amp')
    """
    return parameter.partition("=")[0].lower()
