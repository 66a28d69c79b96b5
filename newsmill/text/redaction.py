"""Text without passwords: every URL passes through `redact` before it is shown, logged or stored as a reason."""

from __future__ import annotations

import re

MASK = "***"

_TOKEN = re.compile(r"[^\s\"'<>]+")
_AUTHORITY_START = re.compile(r":?[/\\]{2,}|:")  # as lenient parsers read it, with or without a scheme before it
_AUTHORITY_END = re.compile(r"[/\\?#]")
_HOST_AND_PORT = re.compile(r"(?:\[[^\]]*\]|[^:@]*)(?::\d{0,5})?")
# In messages that say how to write a setting.
_EXAMPLES = frozenset({"redis://:PASSWORD@HOST:6379/0", "postgresql://user:password@host/name", ":password@", "user:password@"})
_SECRET_PARAMETER = re.compile(
    r"(?<![a-z0-9])((?:ssl|db)?(?:password|passwd|passphrase|pwd|pass|secret(?:[_-]?key)?|(?:access|auth)[_-]?token|api[_-]?key)=)"
    r"[^&;\s\"'<>#]+",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """The text with `***` for user and password of every URL in it, and for the values of password parameters. Never raises.

    People write passwords with an unescaped "@", "/" or ":". In a URL with credentials, `***` therefore replaces everything before the
    last "@", even if this "@" belongs to the path. E-mail addresses and the "@" in the path of a web page's URL stay.
    """
    hidden = _TOKEN.sub(lambda match: _hide_credentials(match[0]), text) if "@" in text else text
    return _SECRET_PARAMETER.sub(rf"\1{MASK}", hidden) if "=" in hidden else hidden


def _hide_credentials(token: str) -> str:
    if token.rstrip(",;") in _EXAMPLES:
        return token
    before, at_sign, after = token.rpartition("@")
    start = _AUTHORITY_START.search(before) if at_sign else None
    if start is None:
        return token
    scheme, rest = before[: start.start()].lower(), before[start.end() :]
    if not rest or scheme.endswith("mailto"):
        return token
    authority = _AUTHORITY_END.split(rest, maxsplit=1)[0]
    is_in_path = authority != rest and scheme.endswith(("http", "https")) and _HOST_AND_PORT.fullmatch(authority)
    return token if is_in_path else f"{before[: start.end()]}{MASK}@{after}"
