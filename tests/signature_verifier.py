"""A verifier of HTTP message signatures (RFC 9421) for tests, written from the RFC and independent of Newsmill's signer."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MEMBER = re.compile(r'([a-z0-9*_.-]+)=(\((?:[^()"]|"[^"]*")*\)(?:;[a-z]+=(?:"[^"]*"|[^,;"]+))*)')
COMPONENT = re.compile(r'"([^"]+)"((?:;[a-z]+(?:="[^"]*")?)*)')


def verify(
    headers: Mapping[str, str], method: str, url: str, keys: Mapping[str, bytes], *, request_url: str | None = None
) -> dict[str, dict[str, str]]:
    """The parameters of every signature by its label. `keys`: raw public keys by id. Raises InvalidSignature, KeyError and ValueError.

    `request_url`: of the request that a signed response answers.
    """
    fields = {name.lower(): value for name, value in headers.items()}
    members = MEMBER.findall(fields["signature-input"])
    if not members:
        raise ValueError("no signature")
    found = {}
    for label, written in members:
        components, _, rest = written[1:].partition(")")
        lines = []
        for name, flags in COMPONENT.findall(components):
            value = component_value(name, flags, fields, method, request_url if ";req" in flags else url)
            lines.append(f'"{name}"{flags}: {value}')
        lines.append(f'"@signature-params": {written}')
        parameters = dict(re.findall(r';([a-z]+)="?([^";]*)"?', rest))
        match = re.search(rf"(?:^|, ){re.escape(label)}=:([A-Za-z0-9+/=]+):", fields["signature"])
        if match is None:
            raise InvalidSignature
        key = Ed25519PublicKey.from_public_bytes(keys[parameters["keyid"]])
        key.verify(base64.b64decode(match[1]), "\n".join(lines).encode("ascii"))
        found[label] = parameters
    return found


def component_value(name: str, flags: str, fields: Mapping[str, str], method: str, url: str | None) -> str:
    """The value of a covered component (RFC 9421, section 2)."""
    parts = urlsplit(url or "")
    if name == "@method":
        return method
    if name == "@path":
        return parts.path or "/"
    if name == "@authority":
        authority = parts.netloc.lower()
        return authority.removesuffix(":443" if parts.scheme == "https" else ":80")
    key = re.search(r';key="([^"]*)"', flags)
    if key is None:
        return fields[name]
    member = re.search(rf'(?:^|, ){re.escape(key[1])}=("[^"]*")', fields[name])
    if member is None:
        raise KeyError(key[1])
    return member[1]
