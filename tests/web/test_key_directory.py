"""The key directory as verifiers fetch it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path

from signature_verifier import verify
from site_of_tests import RunningApp
from starlette.testclient import TestClient

from newsmill.network.signing_keys import add_key
from newsmill.settings import Settings
from newsmill.web.config import DIRECTORY_PATH, WebConfig

PUBLIC = "https://news.example.org"


def test_the_directory_is_served_signed_under_the_public_name(make_web: Callable[..., RunningApp], tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, public_url=PUBLIC)
    web = make_web(WebConfig(sends_webhooks=False, public_url=PUBLIC), settings)
    verifier = TestClient(web.app, base_url=PUBLIC)
    assert verifier.get(DIRECTORY_PATH).status_code == 404  # no key: off
    key = add_key(tmp_path / "keys", now=web.context.now())
    answer = verifier.get(DIRECTORY_PATH, headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-type"] == "application/http-message-signatures-directory+json"
    (shown,) = answer.json()["keys"]
    assert (shown["kid"], shown["x"], shown["crv"]) == (key.id, key.public, "Ed25519")
    public = {key.id: base64.urlsafe_b64decode(key.public + "=")}
    assert verify(answer.headers, "GET", "", public, request_url=f"{PUBLIC}{DIRECTORY_PATH}")
    digest = base64.b64encode(hashlib.sha256(answer.content).digest()).decode()
    assert answer.headers["content-digest"] == f"sha-256=:{digest}:"
    for _ in range(5):
        add_key(tmp_path / "keys", now=web.context.now())
    many = verifier.get(DIRECTORY_PATH, headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in many.headers


def test_without_https_nothing_is_signed(make_web: Callable[..., RunningApp], tmp_path: Path) -> None:
    web = make_web(WebConfig(sends_webhooks=False), Settings(data=tmp_path, public_url="http://news.example.org"))
    add_key(tmp_path / "keys", now=web.context.now())
    assert web.stranger.get(DIRECTORY_PATH).status_code == 404


def test_strangers_do_not_learn_which_file_is_damaged(make_web: Callable[..., RunningApp], tmp_path: Path) -> None:
    web = make_web(WebConfig(sends_webhooks=False, public_url=PUBLIC), Settings(data=tmp_path, public_url=PUBLIC))
    add_key(tmp_path / "keys", now=web.context.now())
    (file,) = (tmp_path / "keys").iterdir()
    file.write_text("damaged")
    answer = TestClient(web.app, base_url=PUBLIC).get(DIRECTORY_PATH)
    assert (answer.status_code, str(tmp_path) in answer.text) == (500, False)
