"""The encoding that a page declares: in its <meta>, its XML declaration or its Content-Type."""

from __future__ import annotations

from newsmill.text import lazy_re as re
from newsmill.text.web_codecs import find_codec

_ATTRIBUTE = re.compile(
    rb"[\t\n\f\r /]*([^\t\n\f\r />=][^\t\n\f\r />=]*)(?:[\t\n\f\r ]*=[\t\n\f\r ]*(?:\"([^\"]*)\"|'([^']*)'|([^\t\n\f\r >]*)))?"
)
_TAG = re.compile(rb"<!--|<(?:/?[A-Za-z])|<[!/?]")
_NAME_END = re.compile(rb"[\t\n\f\r >/]")
_CHARSET = re.compile(rb"charset[\t\n\f\r ]*=[\t\n\f\r ]*(?:\"([^\"]*)\"|'([^']*)'|([^\t\n\f\r ;\"']+))", re.IGNORECASE)
_XML_DECLARATION = re.compile(rb"\s{0,99}<\?xml\b[^>]{0,200}?\bencoding[\t\n\f\r ]*=[\t\n\f\r ]*[\"']([ !#-&(-=?-~]{0,40})")


def find_xml_label(body: bytes) -> str | None:
    """The encoding label in the XML declaration at the start of the body, known or not; None without a declaration."""
    match = _XML_DECLARATION.match(body)
    return None if match is None else match[1].decode("latin-1")


def find_declared_encoding(head: bytes) -> str | None:
    """The encoding that a <meta> element in the given first bytes of a page names, as the standard's prescan finds it."""
    at = 0
    while (tag := _TAG.search(head, at)) is not None:
        at = tag.end()
        mark = tag.group()
        if mark == b"<!--":
            at = _find_end(head, b"-->", tag.start() + 2)
        elif mark in (b"<!", b"</", b"<?"):
            at = _find_end(head, b">", at)
        else:
            start = tag.start() + 1
            is_meta = head[start : start + 4].lower() == b"meta" and head[start + 4 : start + 5] in (b" ", b"\t", b"\n", b"\f", b"\r", b"/")
            attributes, at = _read_attributes(head, start + 4 if is_meta else _find_name_end(head, start))
            label = _read_meta_label(attributes) if is_meta else None
            name = find_codec(label)
            if name is not None:
                return "utf-8" if name.startswith("utf-16") else name  # a <meta> readable as ASCII disproves UTF-16
    return find_codec(find_xml_label(head))


def _find_end(head: bytes, mark: bytes, at: int) -> int:
    start = head.find(mark, at)
    return len(head) if start < 0 else start + len(mark)


def _find_name_end(head: bytes, at: int) -> int:
    match = _NAME_END.search(head, at)
    return len(head) if match is None else match.start()


def _read_attributes(head: bytes, at: int) -> tuple[dict[bytes, bytes], int]:
    """The attributes of the tag whose name ends at `at` (the first of one name counts), and where the tag ends."""
    attributes: dict[bytes, bytes] = {}
    while (match := _ATTRIBUTE.match(head, at)) is not None:
        at = match.end()
        value = next((group for group in match.groups()[1:] if group is not None), b"")
        attributes.setdefault(match.group(1).lower(), value)
    return attributes, _find_end(head, b">", at)


def _read_meta_label(attributes: dict[bytes, bytes]) -> str | None:
    charset = attributes.get(b"charset")
    if charset is None and attributes.get(b"http-equiv", b"").lower() == b"content-type":
        match = _CHARSET.search(attributes.get(b"content", b""))
        charset = next((group for group in match.groups() if group is not None), None) if match else None
    return None if charset is None else charset.decode("latin-1")


def read_header_label(content_type: str | None) -> str | None:
    match = _CHARSET.search((content_type or "").encode("utf-8", "replace"))
    return next((group for group in match.groups() if group is not None), b"").decode("latin-1") if match else None
