"""A WebSub hub: it verifies subscriptions as the standard asks, and pushes what it is told to."""

from __future__ import annotations

import hashlib
import hmac
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError
from urllib.parse import parse_qsl, urlencode


@dataclass
class Hub:
    """The forms that came in, and the verified subscriptions by topic."""

    url: str = ""
    lease_seconds: int = 3600
    status: int = 202  # of the answer to a request; another one is not verified
    forms: list[dict[str, str]] = field(default_factory=list)
    verified: dict[str, dict[str, str]] = field(default_factory=dict)

    def verify(self, form: Mapping[str, str], challenge: str = "a challenge") -> bool:
        """Whether the callback echoes the challenge."""
        query = {"hub.mode": form["hub.mode"], "hub.topic": form["hub.topic"], "hub.challenge": challenge}
        query |= {"hub.lease_seconds": str(self.lease_seconds)} if form["hub.mode"] == "subscribe" else {}
        status, body = call(f"{form['hub.callback']}?{urlencode(query)}")
        return status == 200 and body == challenge.encode()

    def push(self, topic: str, body: bytes, *, secret: str | None = None) -> int:
        """Push a feed to the subscriber of its topic; the status. `secret` other than the agreed one makes a forged push."""
        form = self.verified[topic]
        signature = hmac.new((secret or form["hub.secret"]).encode(), body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/rss+xml", "X-Hub-Signature": f"sha256={signature}", "Link": f'<{topic}>; rel="self"'}
        return call(form["hub.callback"], body, headers)[0]


def call(url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
    """Status and body of a GET request, or with a body of a POST request."""
    request = urllib.request.Request(url, body, dict(headers or {}))
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.read()
    except HTTPError as error:
        with error:
            return error.code, error.read()


@contextmanager
def small_hub(host: str = "127.0.0.1") -> Iterator[Hub]:
    """A running hub."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
            hub.forms.append(form)
            if hub.status == 202 and hub.verify(form):  # before the answer, as some hubs do
                if form["hub.mode"] == "subscribe":
                    hub.verified[form["hub.topic"]] = form
                else:
                    hub.verified.pop(form["hub.topic"], None)
            self.send_response(hub.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer((host, 0), Handler)
    hub.url = f"http://{host}:{server.server_port}/hub"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
