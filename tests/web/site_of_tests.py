"""The web door for tests: an application over a store, and clients that call it as a program, a browser or a stranger does."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from fastapi import FastAPI
from starlette.testclient import TestClient

from newsmill.keep import database
from newsmill.keep.tokens import Scope, TokenKind
from newsmill.web.app import create_app
from newsmill.web.callers import COOKIE
from newsmill.web.config import WebConfig
from newsmill.web.house import House, open_house

BASE = "http://127.0.0.1:8470"


@dataclass
class Door:
    """An open application."""

    house: House
    app: FastAPI
    stranger: TestClient  # of this machine, without a token

    def client(self, **headers: str) -> TestClient:
        return TestClient(self.app, base_url=BASE, headers=headers, raise_server_exceptions=False, follow_redirects=False)

    def program(self, scope: str = "read") -> TestClient:
        """A client with a token."""
        token = self.house.tokens.add(f"{scope} program", Scope(scope), now=self.house.now())
        return self.client(authorization=f"Bearer {token}")

    def browser(self, scope: str = "admin") -> TestClient:
        """A client with a session."""
        secret = self.house.tokens.add("browser", Scope(scope), now=self.house.now(), kind=TokenKind.SESSION, life=timedelta(hours=1))
        client = self.client()
        client.cookies.set(COOKIE, secret)
        return client

    def close(self) -> None:
        self.stranger.__exit__(None, None, None)
        self.house.engine.dispose()


def open_door(folder: Path, config: WebConfig) -> Door:
    """The application over the store in `folder`, its background work running."""
    engine = database.connect(f"sqlite:///{folder / 'newsmill.sqlite'}")
    house = open_house(engine, str(folder / "archive"))
    app = create_app(house, config)
    stranger = TestClient(app, base_url=BASE, raise_server_exceptions=False, follow_redirects=False)
    stranger.__enter__()
    return Door(house, app, stranger)
