"""What a site declares about text and data mining, as it is written; nothing is interpreted here.

Sources: TDM Reservation Protocol (W3C Community Group, 2024); X-Robots-Tag and robots meta tags; lines of robots.txt on the use of content.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from newsmill.discovery.html_links import read_attributes
from newsmill.text.charset import to_text
from newsmill.text.finite_json import NUMBERS

MAX_DECLARATIONS = 20  # of one place
MAX_VALUE_CHARACTERS = 300
MAX_HEAD_BYTES = 256 * 1024  # of a page; its meta tags stand in the head

TDMREP_PATH = "/.well-known/tdmrep.json"
AI_TXT_PATH = "/ai.txt"

_HEADERS = frozenset({"tdm-reservation", "tdm-policy", "x-robots-tag", "content-usage"})
_META_NAMES = frozenset({"tdm-reservation", "tdm-policy", "robots", "googlebot-news", "ai-content-declaration"})
_META = re.compile(r"<meta\b([^<>]{1,2000})>", re.I)
_ROBOTS_LINE = re.compile(r"^[^\S\n]*(content-signals?|content-usage)[^\S\n]*:[^\S\n]*([^#\n]+)", re.I | re.M)


@dataclass(frozen=True, slots=True)
class Declaration:
    """One statement of a site: its place (a URL, "header" or "meta"), its name and its value as written."""

    place: str
    name: str
    value: str


def find_header_declarations(headers: Iterable[tuple[str, str]]) -> list[Declaration]:
    """The declarations in the headers of a response."""
    found = (Declaration("header", name.lower(), _cut(value)) for name, value in headers if name.lower() in _HEADERS)
    return [one for one, _ in zip(found, range(MAX_DECLARATIONS), strict=False)]


def find_meta_declarations(html: bytes, content_type: str | None = None) -> list[Declaration]:
    """The declarations in the meta tags of a page (decoded from its Content-Encoding)."""
    text, _ = to_text(html[:MAX_HEAD_BYTES], content_type)
    found: list[Declaration] = []
    for tag in _META.finditer(text):
        attributes = read_attributes(f" {tag[1]}")
        name = attributes.get("name", "").strip().lower()
        if name in _META_NAMES and len(found) < MAX_DECLARATIONS:
            found.append(Declaration("meta", name, _cut(attributes.get("content", ""))))
    return found


def find_robots_declarations(body: bytes, url: str) -> list[Declaration]:
    """The lines of a robots.txt about the use of content."""
    lines = _ROBOTS_LINE.finditer(body[:MAX_HEAD_BYTES].decode("utf-8", "replace"))
    return [Declaration(url, line[1].lower(), _cut(line[2])) for line, _ in zip(lines, range(MAX_DECLARATIONS), strict=False)]


def read_tdmrep(body: bytes, url: str) -> list[Declaration]:
    """The rules of a tdmrep.json, one for each location. A file that is not one gives none."""
    try:
        rules = json.loads(body[:MAX_HEAD_BYTES], **NUMBERS)
    except (ValueError, RecursionError):
        return []
    return list(_read_rules(rules, url))[:MAX_DECLARATIONS] if isinstance(rules, list) else []


def _read_rules(rules: list[object], url: str) -> Iterator[Declaration]:
    for rule in rules:
        if isinstance(rule, dict) and "tdm-reservation" in rule:
            values = {key: rule[key] for key in ("location", "tdm-reservation", "tdm-policy") if key in rule}
            yield Declaration(url, "tdmrep", _cut(json.dumps(values, ensure_ascii=False)))


def read_ai_txt(body: bytes, content_type: str | None, url: str) -> list[Declaration]:
    """The lines of an ai.txt that are not comments. An HTML page under this URL gives none."""
    text, _ = to_text(body[:MAX_HEAD_BYTES], content_type)
    if "<" in text[:2000] or "\0" in text:
        return []
    lines = [line.strip() for line in text.splitlines()]
    return [Declaration(url, "ai.txt", _cut(line)) for line in lines if line and not line.startswith("#")][:MAX_DECLARATIONS]


def _cut(value: str) -> str:
    text = " ".join(value.split())
    return text if len(text) <= MAX_VALUE_CHARACTERS else f"{text[: MAX_VALUE_CHARACTERS - 1]}…"
