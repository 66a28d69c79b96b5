"""Text without passwords: the one function that every URL goes through before it is shown, logged or stored as a reason."""

from __future__ import annotations

import re

MASK = "***"

_TOKEN = re.compile(r"[^\s\"'<>]+")
_START = re.compile(r":?[/\\]{2,}|:")  # of what a lenient parser reads as an authority, with or without a scheme before it
_AUTHORITY_END = re.compile(r"[/\\?#]")
_HOST_AND_PORT = re.compile(r"(?:\[[^\]]*\]|[^:@]*)(?::\d{0,5})?")
_SECRET_PARAMETER = re.compile(
    r"(?<![a-z0-9])((?:ssl|db)?(?:password|passwd|passphrase|pwd|pass|secret(?:[_-]?key)?|(?:access|auth)[_-]?token|api[_-]?key)=)"
    r"[^&;\s\"'<>#]+",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """The text with user and password of every URL in it replaced by `***`, and the values of password parameters. Never raises.

    A password may hold an unescaped "@", "/" or ":", as people write them. Where a URL has credentials, everything before its last "@" is
    hidden, even if this "@" is one of its path. An e-mail address and the "@" in the path of a web page's URL stay.
    """
    hidden = _TOKEN.sub(lambda match: _without_credentials(match[0]), text) if "@" in text else text
    return _SECRET_PARAMETER.sub(rf"\1{MASK}", hidden) if "=" in hidden else hidden


def _without_credentials(token: str) -> str:
    before, found, after = token.rpartition("@")
    start = _START.search(before) if found else None
    if start is None:
        return token
    scheme, rest = before[: start.start()].lower(), before[start.end() :]
    if not rest or scheme.endswith("mailto"):
        return token
    authority = _AUTHORITY_END.split(rest, maxsplit=1)[0]
    in_the_path = authority != rest and scheme.endswith(("http", "https")) and _HOST_AND_PORT.fullmatch(authority)
    return token if in_the_path else f"{before[: start.end()]}{MASK}@{after}"
