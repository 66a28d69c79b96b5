"""Signatures of requests by Web Bot Auth (draft-ietf-webbotauth-httpsig-protocol-00, RFC 9421, Ed25519).

The profile covers a fixed list of components, so the signature base is built from one template: the general library takes six times the
CPU for each request (0.29 ms instead of 0.04).
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Sequence
from urllib.parse import urlsplit

from newsmill.network.signing_keys import DIRECTORY_SECONDS, SigningKey
from newsmill.settings import Settings

LABEL = "sig1"  # of the signature, in each of the three headers
REQUEST_TAG, DIRECTORY_TAG = "web-bot-auth", "http-message-signatures-directory"
DIRECTORY_TYPE = "application/http-message-signatures-directory+json"
REQUEST_SECONDS = 300  # that a signature is valid: longer than any download, and than the clocks of servers differ
DEFAULT_PORTS = {"http": 80, "https": 443}


def find_agent_url(settings: Settings) -> str | None:
    """The origin that requests name as the place of the key directory: NEWSMILL_PUBLIC_URL if it is https, as verifiers require."""
    url = (settings.public_url or "").rstrip("/")
    return url if url.startswith("https://") else None


def sign_request(key: SigningKey, agent: str, method: str, url: str, now: float) -> dict[str, str]:
    """The headers that sign a request. `agent` is the https origin with the directory, `now` Unix time; `url` is absolute and ASCII."""
    parts = urlsplit(url)
    created = int(now)
    parameters = (
        f'("@method" "@authority" "@path" "signature-agent";key="{LABEL}");created={created};expires={created + REQUEST_SECONDS};'
        f'keyid="{key.id}";alg="ed25519";nonce="{secrets.token_urlsafe(24)}";tag="{REQUEST_TAG}"'
    )
    lines = (
        f'"@method": {method}',
        f'"@authority": {make_authority(parts.scheme, parts.hostname or "", parts.port)}',
        f'"@path": {parts.path or "/"}',
        f'"signature-agent";key="{LABEL}": "{agent}"',
        f'"@signature-params": {parameters}',
    )
    signature = _sign(key, "\n".join(lines))
    return {
        "Signature-Agent": f'{LABEL}="{agent}"',
        "Signature-Input": f"{LABEL}={parameters}",
        "Signature": f"{LABEL}=:{signature}:",
    }


def make_authority(scheme: str, host: str, port: int | None) -> str:
    """The normal form of a host and port (RFC 9421, 2.2.3)."""
    name = f"[{host}]" if ":" in host else host.lower()
    return name if port is None or port == DEFAULT_PORTS.get(scheme) else f"{name}:{port}"


def make_directory(keys: Sequence[SigningKey]) -> bytes:
    """The public keys as a JSON Web Key Set."""
    shown = [
        {"kty": "OKP", "crv": "Ed25519", "kid": key.id, "x": key.public, "use": "sig", "nbf": int(key.created_at.timestamp())}
        for key in keys
    ]
    return json.dumps({"keys": shown}, separators=(",", ":")).encode()


def sign_directory(keys: Sequence[SigningKey], authority: str, body: bytes, now: float) -> dict[str, str]:
    """The headers of the directory's response, with a signature by each key, which bind the keys to the host of the request."""
    created = int(now)
    digest = f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"
    inputs, signatures = [], []
    for number, key in enumerate(keys):
        parameters = (
            f'("@authority";req "content-digest");created={created};expires={created + DIRECTORY_SECONDS};'
            f'keyid="{key.id}";alg="ed25519";nonce="{secrets.token_urlsafe(24)}";tag="{DIRECTORY_TAG}"'
        )
        base = f'"@authority";req: {authority}\n"content-digest": {digest}\n"@signature-params": {parameters}'
        inputs.append(f"sig{number}={parameters}")
        signatures.append(f"sig{number}=:{_sign(key, base)}:")
    return {
        "Content-Type": DIRECTORY_TYPE,
        "Content-Digest": digest,
        "Signature-Input": ", ".join(inputs),
        "Signature": ", ".join(signatures),
        "Cache-Control": f"max-age={DIRECTORY_SECONDS}",
    }


def _sign(key: SigningKey, base: str) -> str:
    return base64.b64encode(key.private.sign(base.encode("ascii", "backslashreplace"))).decode()
