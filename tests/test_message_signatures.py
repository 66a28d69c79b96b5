"""Signatures of requests and of the key directory, checked by an independent verifier; the keys and their rotation."""

from __future__ import annotations

import base64
import hashlib
import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from signature_verifier import verify

from newsmill.exceptions import ConfigError
from newsmill.network.message_signatures import make_directory, sign_directory, sign_request
from newsmill.network.signing_keys import (
    SigningKey,
    add_key,
    choose_key,
    choose_published,
    dump_key,
    load_key,
    make_key,
    read_keys,
    remove_key,
)

AGENT, NOW = "https://news.example.org", datetime(2026, 11, 28, 12, tzinfo=UTC)
# RFC 9421, B.1.4 and B.2.6
RFC_KEY = base64.b64decode("JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=")
RFC_PRIVATE = b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF\n-----END PRIVATE KEY-----\n"
RFC_HEADERS = {
    "Date": "Tue, 20 Apr 2021 02:07:55 GMT",
    "Content-Type": "application/json",
    "Content-Length": "18",
    "Signature-Input": 'sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length")'
    ';created=1618884473;keyid="test-key-ed25519"',
    "Signature": "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:",
}


def raw(key: SigningKey) -> bytes:
    return base64.urlsafe_b64decode(key.public + "=")


def test_the_verifier_accepts_the_vector_of_the_rfc_and_nothing_else() -> None:
    keys = {"test-key-ed25519": RFC_KEY}
    assert verify(RFC_HEADERS, "POST", "https://example.com/foo?param=Value&Pet=dog", keys)
    for method, url in (("GET", "https://example.com/foo"), ("POST", "https://example.com/fo"), ("POST", "https://example.org/foo")):
        with pytest.raises(InvalidSignature):
            verify(RFC_HEADERS, method, url, keys)


def test_the_thumbprint_is_that_of_the_drafts() -> None:
    key = load_key(RFC_PRIVATE, NOW)
    assert (key.id, raw(key)) == ("poqkLGiymh_W0uP6PZFw-dvez3QJT5SolqXBCW38r0U", RFC_KEY)
    assert load_key(dump_key(key), NOW).id == key.id
    assert "private" not in repr(key)
    for wrong in (b"", b"no key", RFC_PRIVATE.replace(b"MC4C", b"MC4D")):
        with pytest.raises(ConfigError):
            load_key(wrong, NOW)


def test_the_id_of_a_new_key_is_no_option_of_a_command() -> None:
    assert not [key.id for key in (make_key(NOW) for _ in range(500)) if key.id.startswith("-")]


def test_every_signed_request_is_accepted() -> None:
    """10,000 requests: schemes, ports, hosts in any case, paths and queries of all printable characters."""
    chance, key = random.Random(9421), make_key(NOW)
    keys, nonces = {key.id: raw(key)}, set()
    for number in range(10_000):
        scheme = chance.choice(("http", "https"))
        host = chance.choice(("paper.example", "PAPER.example", "xn--bcher-kva.example", "127.0.0.1", "[2001:db8::1]"))
        port = chance.choice(("", "", ":80", ":443", ":8080"))
        path = "".join(chance.choices("abcXYZ019-._~!$&'()*+,;=:@/%", k=chance.randrange(40)))
        url = f"{scheme}://{host}{port}{chance.choice(('', '/'))}" if number % 10 == 0 else f"{scheme}://{host}{port}/{path}?q={path}"
        method = chance.choice(("GET", "GET", "HEAD", "POST"))
        headers = sign_request(key, AGENT, method, url, NOW.timestamp() + number)
        (parameters,) = verify(headers, method, url, keys).values()
        assert int(parameters["expires"]) - int(parameters["created"]) == 300
        assert (parameters["tag"], parameters["keyid"], parameters["alg"]) == ("web-bot-auth", key.id, "ed25519")
        assert headers["Signature-Agent"] == f'sig1="{AGENT}"'
        nonces.add(parameters["nonce"])
    assert len(nonces) == 10_000
    with pytest.raises(InvalidSignature):
        verify(headers | {"Signature-Agent": 'sig1="https://evil.example"'}, method, url, keys)
    with pytest.raises(InvalidSignature):
        verify(headers, method, "https://other.example/", keys)


def test_the_directory_is_signed_by_each_key_for_its_host() -> None:
    keys = [make_key(NOW), make_key(NOW + timedelta(days=1))]
    body = make_directory(keys)
    headers = sign_directory(keys, "news.example.org", body, NOW.timestamp())
    shown = {key["kid"]: base64.urlsafe_b64decode(key["x"] + "=") for key in json.loads(body)["keys"]}
    signed = verify(headers, "GET", "", shown, request_url=AGENT)
    assert {one["keyid"] for one in signed.values()} == set(shown) == {key.id for key in keys}
    assert {one["tag"] for one in signed.values()} == {"http-message-signatures-directory"}
    assert headers["Content-Digest"] == f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"
    assert b'"d"' not in body
    with pytest.raises(InvalidSignature):
        verify(headers, "GET", "", shown, request_url="https://mirror.example/")


def test_a_new_key_is_published_before_it_signs_and_the_old_one_after_it_signed(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    assert choose_key(read_keys(folder), NOW) is None
    first = add_key(folder, now=NOW)
    second = add_key(folder, now=NOW + timedelta(days=30))
    keys = read_keys(folder)
    assert [key.id for key in keys] == [first.id, second.id]
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    states = [
        (days, number + 1, [keys.index(key) + 1 for key in choose_published(keys, NOW + timedelta(days=days))])
        for days in (0, 30.5, 31.9, 32.1, 33.9, 34.1)
        for number in [keys.index(choose_key(keys, NOW + timedelta(days=days)))]  # type: ignore[arg-type]
    ]
    assert states == [(0, 1, [1, 2]), (30.5, 1, [1, 2]), (31.9, 1, [1, 2]), (32.1, 2, [1, 2]), (33.9, 2, [1, 2]), (34.1, 2, [2])]
    assert remove_key(folder, first.id)
    assert not remove_key(folder, "../" + first.id)
    assert choose_key(read_keys(folder), NOW) == choose_key(read_keys(folder), NOW + timedelta(days=90))
    next(folder.iterdir()).write_text("damaged")
    with pytest.raises(ConfigError, match="restore the file"):
        read_keys(folder)
