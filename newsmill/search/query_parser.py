"""The items of a query, parsed into nodes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from newsmill.model import MarkKind
from newsmill.search.index_terms import mark_value, whole_value
from newsmill.search.parsed_query import (
    DATE_EXAMPLES,
    FILTER_EXAMPLES,
    FILTERS,
    OTHER_FILTERS,
    AllOf,
    AnyOf,
    Facet,
    Near,
    Node,
    NoneOf,
    Part,
    Query,
    Terms,
)
from newsmill.search.query_dates import parse_date
from newsmill.search.query_languages import find_language
from newsmill.search.query_notes import NoteKind, QueryNote
from newsmill.search.tokens import fold, is_unspaced, split_runs, split_words, tokenize_phrase

MAX_QUERY_CHARACTERS = 2000  # longer queries are cut
MAX_ITEMS = 40  # longer queries are cut: they are pasted texts, and every item costs an index search
MAX_PHRASE_WORDS = 40  # of a phrase

SIGN = "(?:-(?!-)|!(?!!))"  # before what a document must not have; "!!!" is emphasis
_ITEM = re.compile(
    rf"""(?P<minus>{SIGN}?)(?P<open>\()|(?P<close>\))|(?P<connective>(?:OR|AND|NOT|\||&|NEAR/\d{{1,2}})(?![^\s()]))|"""
    rf"""(?P<sign>{SIGN}?)(?:(?P<name>(?:{"|".join(FILTERS)})(?=:)|[a-z_]+(?=:\S)):\s*)?(?P<equals>=?)(?:["“”„](?P<quoted>[^"“”„]*)["“”„]?(?P<star>\*?)|(?P<plain>[^\s()]+))""",
    re.IGNORECASE,
)
_NEAR = re.compile(r"NEAR/(\d{1,2})")
MAX_NEAR_WORDS = 20  # of distance: on Postgres each takes six parts of the expression
_CONNECTIVES = {"OR": "OR", "|": "OR", "AND": "AND", "&": "AND", "NOT": "NOT"}  # in capitals: "or" is a word
_YES_NO = {"true": "yes", "yes": "yes", "1": "yes", "false": "no", "no": "no", "0": "no"}
_IS_FREE = _YES_NO | {"unknown": "unknown"}
_MARKS = {  # (filter, value) → the mark, and whether a document has it
    ("is", "starred"): (MarkKind.STAR, True),
    ("is", "unstarred"): (MarkKind.STAR, False),
    ("is", "read"): (MarkKind.READ, True),
    ("is", "unread"): (MarkKind.READ, False),
    ("has", "tag"): (MarkKind.TAG, True),
    ("has", "note"): (MarkKind.NOTE, True),
}
# What other programs write for words near each other, and for letters that are not known.
_PROXIMITY = re.compile(r"(?:NEAR|ADJ|WITHIN)(?:/?\d+)?|[WwNn]/\d+|\w*~\d*")
_WILDCARD = re.compile(r"[^\s/=]*(?:\w[*?]\w|(?<!\S)\*\w)[^\s/=]*")
_LONE_WILDCARD = re.compile(r"\w\s+\*\s+\w")  # in a phrase
_HYPHENS = re.compile("[-\u2010\u2011]")
_HYPHENATED = re.compile(rf"(?=.{{5,40}}$)[^\W\d_]+(?:{_HYPHENS.pattern}[^\W\d_]+)+")
MIN_PREFIX_CHARACTERS = 3  # of a word before *: shorter ones begin too many words


def read_items(text: str) -> list[re.Match[str]]:
    return list(_ITEM.finditer(text[:MAX_QUERY_CHARACTERS].replace("\0", " ")))


def is_word(connective: str | None) -> bool:
    """Whether what looks like an operator is a word, because it is not in capitals."""
    return connective is not None and connective not in _CONNECTIVES and not _NEAR.fullmatch(connective)


def field_of(item: re.Match[str]) -> str:
    plain = item["plain"] or ""
    name = (plain[:-1] if is_filter_without_value(item["name"], plain) else item["name"] or "").lower()
    return "lang" if name == "language" else name if name in FILTERS else ""


def is_filter_without_value(name: str | None, value: str) -> bool:
    return name is None and value.endswith(":") and value[:-1].lower() in FILTERS


class Parser:
    """Reads the items of a query once. OR binds closer than words side by side, NOT, - and ! closer than OR."""

    def __init__(self, items: Sequence[re.Match[str]], now: datetime, notes: list[QueryNote], user: str) -> None:
        self._items, self._now, self._notes, self._user, self._at = items, now, notes, user, 0
        self._query = Query()
        self.parts: list[tuple[int, int]] = []  # numbers of the items of each part that must match

    def parse(self) -> Query:
        nodes: list[Node] = []
        while self._at < len(self._items):  # a closing bracket too many ends a group that nobody opened
            more, parts = self._parse_group()
            nodes += more
            self.parts += parts
        query = _combine(self._query, nodes)
        if query.matches_nothing and not any(note.kind in ("date", "value", "field") for note in self._notes):
            self._notes.append(QueryNote("exclusions" if nodes else "no_words"))
        if query.since and query.until and query.since >= query.until:
            self._notes.append(QueryNote("empty_period"))
        return replace(query, notes=tuple(dict.fromkeys(self._notes)))

    def _parse_group(self) -> tuple[list[Node], list[tuple[int, int]]]:
        """The nodes of a group, all of which must match, up to its closing bracket or the end; and the items of each of its parts.

        An item without a node, such as after:, is a part too. OR behind it joins the nodes around it, and then it belongs to their part.
        """
        groups, parts, joining, negated, distance = list[list[Node]](), list[tuple[int, int]](), False, False, 0
        first, of_group = self._at, 0  # the first item of the next part, the number of the part of the last group
        while self._at < len(self._items):
            item = self._items[self._at]
            self._at += 1
            connective = _CONNECTIVES.get(item["connective"] or "")
            if item["close"]:
                break
            if connective is not None:
                joining = bool(groups) and (connective == "OR" or (connective == "NOT" and joining))
                negated = (not negated) if connective == "NOT" else False
                first = first if connective == "NOT" else self._at
                continue
            if (near := _NEAR.fullmatch(item["connective"] or "")) is not None:
                joining, negated, first, distance = bool(groups), False, self._at, min(int(near[1]), MAX_NEAR_WORDS)
                continue
            node = self._parse_node(item, negated ^ bool(item["minus"] or item["sign"]))
            if node is not None:
                if joining and distance:
                    nearby = _join_near(groups[-1][-1], node, distance)
                    if nearby is None:
                        self._notes.append(QueryNote("near", f"NEAR/{distance}"))
                        joining = False
                    else:
                        node = nearby
                        groups[-1].pop()
                if joining:
                    groups[-1].append(node)
                    first = parts[of_group][0]
                    del parts[of_group:]
                else:
                    groups.append([node])
                of_group = len(parts)
            parts.append((first, self._at))
            joining, negated, first, distance = False, False, self._at, 0
        return [group[0] if len(group) == 1 else AnyOf(tuple(group)) for group in groups], parts

    def _parse_node(self, item: re.Match[str], negated: bool) -> Node | None:
        if item["open"]:
            inner, _ = self._parse_group()
            node = None if not inner else inner[0] if len(inner) == 1 else AllOf(tuple(inner))
        else:
            node = self._parse_item(item, negated)
        if node is None or not negated:
            return node
        return node.node if isinstance(node, NoneOf) else NoneOf(node)

    def _parse_item(self, item: re.Match[str], negated: bool) -> Node | None:
        name = item["name"] and item["name"].lower()
        is_quoted = item["quoted"] is not None
        value = item["quoted"] if is_quoted else item["plain"] or item["connective"] or ""
        if is_filter_without_value(name, item["plain"] or ""):  # at the end of the query or of brackets
            self._reject(value, FILTER_EXAMPLES[value[:-1].lower()])
            return None
        is_prefix = bool(item["star"]) or value.endswith("*")
        if name in ("after", "before"):
            self._add_time_bound(name, value, negated)
            return None
        words = _Words(value, bool(item["equals"]) or is_quoted, is_prefix)
        if name is None or name == "title":
            self._check_words(item, value, is_quoted)
            return self._parse_hyphenated(words, "title" if name else "")
        if name not in FILTERS:
            if not value.startswith("/"):  # https://… is not meant as a filter
                options = OTHER_FILTERS.get(name)
                self._notes.append(QueryNote("other_field" if options else "field", f"{item['name']}:", options or FILTERS))
            return self._parse_words(replace(words, text=f"{name} {value}"))
        if not fold(value.strip()):
            self._reject(f"{name}:", FILTER_EXAMPLES[name])
            return None
        return self._parse_filter(name, value, is_whole=bool(item["equals"]))

    def _check_words(self, item: re.Match[str], value: str, is_quoted: bool) -> None:
        """Notes on what other programs would understand."""
        if is_quoted:
            if item["star"] == "" and not item[0].endswith(('"', "“", "”", "„")) and value.strip():
                self._notes.append(QueryNote("quote", value.strip()))
            if _LONE_WILDCARD.search(value):
                self._notes.append(QueryNote("wildcard", f'"{value}"'))
        elif not item["equals"] and _PROXIMITY.fullmatch(value):
            self._notes.append(QueryNote("operator", value))
        elif _WILDCARD.fullmatch(value):
            self._notes.append(QueryNote("wildcard", value))

    def _parse_filter(self, name: str, value: str, is_whole: bool) -> Node | None:
        folded = fold(value.strip())
        if name in ("source", "site"):
            return Facet(name, folded.removeprefix("www.") if name == "site" else folded, value.strip())
        if name in ("lang", "language"):
            code = find_language(value)
            if code is None:
                self._notes.append(QueryNote("language", value, FILTER_EXAMPLES[name]))
            return Facet("lang", code or folded.replace("_", "-"), value.strip())
        if name in ("is_free", "doubtful", "dated"):
            return self._parse_yes_no(name, value)
        if name in ("is", "has"):
            return self._parse_mark(name, value)
        if name == "tag":
            return Facet(name, mark_value(self._user, " ".join(folded.split())))
        if name == "type":
            return Facet(name, folded, value.strip())
        if is_whole:
            return Facet(f"{name}_is", whole_value(value), value.strip())
        words = tokenize_phrase(split_runs(value)[:MAX_PHRASE_WORDS])[0][:MAX_PHRASE_WORDS]
        each = tuple(Facet(name, mark_value(self._user, word) if name == "note" else word) for word in words)
        return (each[0] if len(each) == 1 else AllOf(each)) if each else None

    def _parse_yes_no(self, name: str, value: str) -> Node | None:
        known = (_IS_FREE if name == "is_free" else _YES_NO).get(fold(value.strip()))
        if known is None:
            self._reject(f"{name}:{value}", FILTER_EXAMPLES[name])
            return None
        if name == "is_free":
            return Facet(name, known)
        held = "yes" if name == "doubtful" else "no"  # only doubtful and undated documents have a property in the index
        return Facet(name, held) if known == held else NoneOf(Facet(name, held))

    def _parse_mark(self, name: str, value: str) -> Node | None:
        kind, is_present = _MARKS.get((name, fold(value.strip())), (None, False))
        if kind is None:
            self._reject(f"{name}:{value}", FILTER_EXAMPLES[name])
            return None
        mark = Facet(kind, mark_value(self._user))
        return mark if is_present else NoneOf(mark)

    def _parse_hyphenated(self, words: _Words, part: Part) -> Node | None:
        """Words joined by hyphens also match as one word: "Ukraine-Krieg" finds "Ukrainekrieg", and "e-mail" finds "email"."""
        found = self._parse_words(words, part)
        if found is None or words.is_exact or words.is_prefix or not _HYPHENATED.fullmatch(words.text):
            return found
        joined = self._parse_words(replace(words, text=_HYPHENS.sub("", words.text)), part)
        return found if joined is None or len(joined.words) > 1 else AnyOf((found, joined))

    def _parse_words(self, words: _Words, part: Part = "") -> Terms | None:
        pieces = tuple(split_runs(words.text)[:MAX_PHRASE_WORDS])
        found, is_character = tokenize_phrase(pieces)
        if not found:
            return None
        is_complete, is_spaced = len(found) <= MAX_PHRASE_WORDS, not is_unspaced(pieces[-1])
        is_prefix = words.is_prefix and is_spaced
        if is_prefix and len(found[-1]) < MIN_PREFIX_CHARACTERS:
            self._notes.append(QueryNote("prefix", f"{found[-1]}*"))
            is_prefix = False
        found = found[:MAX_PHRASE_WORDS]
        exact = words.is_exact or is_prefix or len(found) > 1 or not is_spaced
        typed = "" if exact else "".join(split_words(unicodedata.normalize("NFC", words.text))[:1])
        return Terms(found, part, exact, (is_prefix or is_character) and is_complete, pieces, typed)

    def _add_time_bound(self, name: str, value: str, negated: bool) -> None:
        at = parse_date(value, self._now)
        if at is None:
            self._reject(f"{name}:{value}", tuple(f"{name}:{example}" for example in DATE_EXAMPLES), "date")
        elif (name == "after") != negated:
            self._query = replace(self._query, since=max(at, self._query.since or at))
        else:
            self._query = replace(self._query, until=min(at, self._query.until or at))

    def _reject(self, text: str, options: tuple[str, ...], kind: NoteKind = "value") -> None:
        """A filter without a meaning: the query finds nothing, for without the filter it would find too much."""
        self._notes.append(QueryNote(kind, text, options))
        self._query = replace(self._query, matches_nothing=True)


@dataclass(frozen=True, slots=True)
class _Words:
    """Words as they were typed."""

    text: str
    is_exact: bool
    is_prefix: bool


def _join_near(one: Node, other: Node, distance: int) -> Near | None:
    """Two words near each other; None where one of the two is not a single word."""
    words = [
        replace(node, exact=True)
        for node in (one, other)
        if isinstance(node, Terms) and len(node.words) == 1 and not (node.prefix or node.part)
    ]
    return Near((words[0], words[1]), distance) if len(words) == 2 and distance else None


def _combine(query: Query, nodes: list[Node]) -> Query:
    """The query with its nodes, also if it finds nothing: its other errors get their notes too."""
    if nodes:
        query = replace(query, node=nodes[0] if len(nodes) == 1 else AllOf(tuple(nodes)))
    is_limited = query.matches_nothing or query.since or query.until or any(_is_selective(node) for node in nodes)
    return query if is_limited else replace(query, matches_nothing=True)


def _is_selective(node: Node) -> bool:
    """Whether the node selects documents. Excluding words alone does not; excluding a source or a language does."""
    if isinstance(node, NoneOf):
        return isinstance(node.node, Facet)
    return any(_is_selective(child) for child in node.nodes) if isinstance(node, AllOf | AnyOf) else True
