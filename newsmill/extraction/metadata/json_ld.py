"""JSON-LD: the nodes that a page's scripts declare, even if their JSON is damaged."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any

from lxml.html import HtmlElement

from newsmill.extraction.normalise import normalise_line
from newsmill.text.finite_json import DECODER

MAX_JSON_LD_CHARACTERS = 2_000_000  # characters of one script; the largest of 1,842 measured pages has 400,000
MAX_NODES = 5_000  # JSON-LD nodes examined; a page with more is data, not an article
_JSON_START = re.compile(r"[{\[]")
_COMMENT_LINE = re.compile(r"^[ \t]*+//.*$", re.MULTILINE)
_TRAILING_COMMA = re.compile(r",(\s*[}\]])")
_BAD_ESCAPE = re.compile(r'\\(?!["\\/bfnrtu])')
_LIST_PROPERTIES = ("itemListElement", "blogPost", "blogPosts")  # of ItemList and Blog (schema.org)

Node = Mapping[str, Any]


def is_json_ld(script: HtmlElement) -> bool:
    """Return True for a script that declares JSON-LD, with any parameters of its type."""
    return "ld+json" in script.get("type", "").lower()


def parse_json_ld(text: str) -> Any:
    """Parse JSON-LD, also with raw line breaks, trailing commas, stray backslashes, comment lines, or escaped like HTML.

    Text around it does not count: comment marks, CDATA marks, a byte order mark, a semicolon.
    Several documents in one script become a list. Return None for other errors.
    """
    if len(text) > MAX_JSON_LD_CHARACTERS:
        return None
    text = text.replace("<![CDATA[", "")
    if '"' not in text:
        text = html.unescape(text)
    documents, is_whole = _decode_documents(text)
    if not is_whole:
        text = _COMMENT_LINE.sub("", text)
        documents, _ = _decode_documents(_BAD_ESCAPE.sub(r"\\\\", _TRAILING_COMMA.sub(r"\1", text)))
    return documents if len(documents) > 1 else next(iter(documents), None)


def _decode_documents(text: str) -> tuple[list[Any], bool]:
    """Return the JSON documents in a text up to the first error, and whether there was none."""
    documents: list[Any] = []
    start = _JSON_START.search(text)
    while start is not None:
        try:
            document, end = DECODER.raw_decode(text, start.start())
        except (ValueError, RecursionError):  # a number of 4,301 digits raises a plain ValueError
            return documents, False
        documents.append(document)
        start = _JSON_START.search(text, end)
    return documents, True


def list_nodes(value: Any, depth: int = 0) -> Iterator[Node]:
    """Yield every object of a JSON-LD document that has a type or an id, outer ones first. The caller stops after MAX_NODES."""
    if isinstance(value, list):
        for item in value:
            yield from list_nodes(item, depth)
    elif isinstance(value, dict) and depth < 20:
        if "@type" in value or "@id" in value:
            yield value
        for item in value.values():
            if isinstance(item, (dict, list)):
                yield from list_nodes(item, depth + 1)


def resolve_values(value: Any, by_id: Mapping[str, Node]) -> Any:
    """Replace references by @id with the nodes that they refer to, one level deep, and {"@value": …} with the value."""
    if isinstance(value, list):
        return [resolve_values(item, by_id) for item in value]
    if not isinstance(value, dict):
        return value
    if isinstance(literal := value.get("@value"), (str, int, float)):
        return literal
    name = value.get("@id")
    return by_id.get(name, value) if isinstance(name, str) and set(value) <= {"@id", "@type"} else value


def find_listed_nodes(nodes: list[Node], by_id: Mapping[str, Node]) -> frozenset[int]:
    """Return the `id()` of each node in a list of several things, such as the other articles of the site."""
    lists = [node[key] for node in nodes for key in _LIST_PROPERTIES if key in node and "BreadcrumbList" not in get_types(node)]
    inner = (item for items in lists if isinstance(items, list) and len(items) > 1 for item in islice(list_nodes(items), MAX_NODES))
    return frozenset(id(resolve_values(item, by_id)) for item in inner)


def get_types(node: Node) -> tuple[str, ...]:
    """Return the types of the node without namespace, for example ("NewsArticle",)."""
    value = node.get("@type")
    if isinstance(value, str):
        return (_strip_namespace(value),)
    return tuple(_strip_namespace(kind) for kind in value if isinstance(kind, str)) if isinstance(value, list) else ()


@lru_cache(maxsize=1000)  # extraction reads the types of a page about sixty times
def _strip_namespace(kind: str) -> str:
    return re.split(r"[/:#]", kind)[-1]


def as_list(value: Any) -> list[Any]:
    """Return a JSON-LD value as a list: the list itself, a list of the single value, or an empty list for None."""
    return value if isinstance(value, list) else [] if value is None else [value]


def read_text(value: Any) -> str | None:
    """Return a JSON-LD value as one line of text, or None. It reads strings, {"@value": …} and the first item of a list."""
    if isinstance(value, list):
        value = next((item for item in value if item), None)
    if isinstance(value, dict):
        value = value.get("@value") or value.get("name")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    return normalise_line(unescape_html(value)) or None if isinstance(value, str) else None


def unescape_html(text: str) -> str:
    """Unescape character references, twice, because publishers escape their JSON-LD like HTML."""
    return html.unescape(html.unescape(text)) if "&" in text else text
