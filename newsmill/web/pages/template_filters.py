"""The filters of the templates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode, urlsplit

from markupsafe import Markup, escape

RIGHT_TO_LEFT = frozenset(["ar", "arc", "ckb", "dv", "fa", "he", "ku", "ps", "sd", "syr", "ug", "ur", "yi"])


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
