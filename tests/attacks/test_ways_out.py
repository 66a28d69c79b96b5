"""Every way to the network: a server that redirects into the private network gets nothing, and a new way fails until it is listed."""

from __future__ import annotations

import gzip
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from command_result import Newsmill, make_runner
from test_imports import MODULES, name_of, parse
from warc_records import article

import newsmill as package
from newsmill import settings
from newsmill.context import open_context
from newsmill.exceptions import ArchiveDamaged, ServiceError

WARC = b"".join(gzip.compress(article(topic)) for topic in ("council", "port"))

# Modules that import a client of the network, each with the reason why nobody but the operator can choose where it connects.
GUARDED = "the IP address guard checks each connection"
CRAWL = "of the crawl: the guard is its resolver, and checks the IP address of each response"
SETTING = "a setting of the operator names the server"
LOCAL = "only sockets of this machine"
SERVER = "listens, and connects to nothing"
NAMES = "resolves names, and connects to nothing"
WAYS_OUT = {
    "crawler.browser.chromium": "through crawler.browser.forward_proxy",
    "crawler.browser.forward_proxy": GUARDED,
    "crawler.browser.handler": "through crawler.browser.forward_proxy",
    "crawler.browser.page_rendering": "through crawler.browser.forward_proxy",
    "crawler.fetching.failures": CRAWL,
    "crawler.network.certificates": CRAWL,
    "crawler.network.guarded_resolver": GUARDED,
    "crawler.network.header_limit": CRAWL,
    "crawler.network.proxy_connections": CRAWL,
    "crawler.network.proxy_route": GUARDED,
    "crawler.spider_runs.spider_run": CRAWL,
    "newsmill.archive.buckets": "ARCHIVE_URL and arguments of commands name the bucket; the client follows no redirect",
    "newsmill.archive.warc_writer": "names of statuses",
    "newsmill.cli.health": NAMES,
    "newsmill.client.api_connection": "newsmill.open and NEWSMILL_URL name the server; no redirect is followed",
    "newsmill.client.http": "errors of newsmill.client.api_connection",
    "newsmill.demo": SERVER,
    "newsmill.engines.datatrove": "the engine calls the batch function",
    "newsmill.engines.ray": "the engine calls the batch function",
    "newsmill.engines.spark": "the engine calls the batch function",
    "newsmill.mcp_server": "standard input and output",
    "newsmill.network.address_guard": GUARDED,
    "newsmill.network.guarded_connection": GUARDED,
    "newsmill.network.http_get": GUARDED,
    "newsmill.notifications.channels.apprise_child": "the guard, as an audit hook; or the host that NEWSMILL_APPRISE names",
    "newsmill.notifications.channels.http_post": GUARDED,
    "newsmill.notifications.channels.mail": SETTING,
    "newsmill.queue.embedded_redis": LOCAL,
    "newsmill.queue.queue": SETTING,
    "newsmill.sandbox.child": LOCAL,
    "newsmill.sandbox.parent": LOCAL,
    "newsmill.scrapy.submitter": "Deferreds only; the user's own crawl connects",
    "newsmill.storage.database": SETTING,
    "newsmill.storage.owner_ids": NAMES,
    "newsmill.storage.processes": NAMES,
    "newsmill.text.urls": "the Public Suffix List of the package, which is never fetched",
    "newsmill.web.header_timeout": SERVER,
    "newsmill.web.pages.host_proofs": "the name servers of the system get the name of a host with a public suffix",
    "newsmill.web.problem_details": "names of statuses",
    "newsmill.web.serve": SERVER,
    "workers.worker": LOCAL,
}
CLIENTS = (
    *(
        "aiobotocore",
        "aiohttp",
        "apprise",
        "boto3",
        "botocore",
        "datatrove",
        "dns",
        "fsspec",
        "ftplib",
        "h11",
        "http",
        "httpcore",
        "httpx",
        "imaplib",
    ),
    *("mcp", "niquests", "paramiko", "playwright", "poplib", "psycopg", "pycurl", "pyspark", "ray", "redis", "requests", "s3fs"),
    *("scrapy_playwright", "sentry_sdk", "smtplib", "socket", "socketserver", "ssl", "tldextract", "twisted", "urllib3", "uvicorn"),
    *("websocket", "websockets", "xmlrpc"),
)
CALLS = re.compile(r"\b(urllib\.request|open_connection|create_connection|read_table|pyarrow\.fs|pyarrow\.dataset)\b")


def test_every_module_that_reaches_the_network_is_listed() -> None:
    imported = {name_of(path): {name.split(".")[0] for name, _ in parse(path).imports} for path in MODULES}
    calling = {name_of(path) for path in MODULES if CALLS.search(path.read_text(encoding="utf-8"))}
    found = {name for name, names in imported.items() if not names.isdisjoint(CLIENTS)} | calling
    assert found == WAYS_OUT.keys(), "say in WAYS_OUT what guards the way"


class Site:
    """A server on one IP address of this machine, which serves parts of a file or redirects, and notes the requests."""

    def __init__(self, ip: str) -> None:
        site, self.requests, self.content = self, list[tuple[str, Any]](), WARC
        self.redirect, self.status = "", 302

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.requests.append((self.path, self.headers))
                if site.redirect:
                    self.send_response(site.status)
                    self.send_header("Location", site.redirect)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                first, last = map(int, re.findall(r"\d+", self.headers.get("Range", "bytes=0-9")))
                part = site.content[first : last + 1]
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {first}-{first + len(part) - 1}/{len(site.content)}")
                self.send_header("Content-Length", str(len(part)))
                self.end_headers()
                self.wfile.write(part)

            do_HEAD = do_PUT = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer((ip, 0), Handler)
        self.url = f"http://{ip}:{self.server.server_address[1]}"


@contextmanager
def serve(ip: str) -> Iterator[Site]:
    site = Site(ip)
    thread = Thread(target=site.server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield site
    finally:
        site.server.shutdown()
        site.server.server_close()
        thread.join()


@pytest.fixture
def outside() -> Iterator[Site]:
    with serve("127.0.0.1") as site:
        yield site


@pytest.fixture
def inside() -> Iterator[Site]:
    with serve("127.0.0.2") as site:
        yield site


@pytest.fixture
def newsmill(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Newsmill:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEWSMILL_DATA", str(tmp_path / "data"))
    return make_runner(capsys, monkeypatch)


COMMANDS = (
    ("extract", "URL", "--format", "parquet", "-o", "out", "-p", "1"),
    ("import", "URL", "-p", "1"),
    ("profiles", "import", "URL"),
    ("submit", "--warc", "URL"),
    ("submit", "--warc", "--in-place", "URL"),
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_redirect_into_the_private_network_is_not_followed(
    command: tuple[str, ...], newsmill: Newsmill, outside: Site, inside: Site
) -> None:
    outside.redirect = f"{inside.url}/secret"
    done = newsmill(*(f"{outside.url}/a" if word == "URL" else word for word in command))
    assert (done.code != 0, inside.requests) == (True, []) and outside.requests
    assert "Traceback" not in done.err
    if command[0] != "extract":  # its sentence is in the file of outcomes
        assert "the URL leads into a private network, or its port is not 80 or 443; see NEWSMILL_ALLOW_NETS" in done.err


def test_no_redirect_of_a_file_that_was_submitted_in_place_is_followed(newsmill: Newsmill, outside: Site, inside: Site) -> None:
    url = f"{outside.url}/a.warc.gz"
    assert newsmill("submit", "--warc", "--in-place", url, "--json").json["queued"] == 2
    outside.redirect = f"{inside.url}/secret"
    with open_context(settings.load()) as store:
        trace = store.ledger.traces.get("https://paper.example/port")
        assert trace is not None and trace.segment is not None and trace.offset is not None
        with pytest.raises(ServiceError, match="NEWSMILL_ALLOW_NETS"):
            store.archive.read_page(trace.segment, trace.offset, trace.url)
    assert inside.requests == []


def test_the_operators_networks_are_open(newsmill: Newsmill, outside: Site, inside: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEWSMILL_ALLOW_NETS", "127.0.0.2")
    outside.redirect = f"{inside.url}/a.warc.gz"
    url = outside.url.replace("http://", "http://user:pass%20word@")
    captures = list(package.read_warc(f"{url}/a.warc.gz"))
    assert [capture.page is not None for capture in captures] == [True, True]
    assert {headers["Authorization"] for _, headers in outside.requests} == {"Basic dXNlcjpwYXNzIHdvcmQ="}
    assert {headers["Authorization"] for _, headers in inside.requests} == {None}, "a password is for the host of the URL"


def test_a_name_that_leads_into_the_private_network_is_refused(inside: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    port = inside.url.rpartition(":")[2]
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: real("127.0.0.2" if "." in str(host) else host, *rest, **more))
    with pytest.raises(OSError, match="private network"):
        list(package.read_warc(f"http://files.evil.example:{port}/a.warc.gz"))
    assert inside.requests == []


def test_a_loop_of_redirects_ends(outside: Site) -> None:
    outside.redirect = f"{outside.url}/again"
    with pytest.raises(OSError, match="more than 5 redirects"):
        list(package.read_warc(f"{outside.url}/a.warc.gz"))
    assert len(outside.requests) == 6


# In a process of its own: fsspec keeps a client, with the URL of its server, and its connections.
READ_BUCKET = """
from contextlib import suppress
import newsmill
from newsmill.archive.archive import Archive
from newsmill.exceptions import NewsmillError
with suppress(NewsmillError, OSError):
    list(newsmill.read_warc("s3://bucket/a.warc.gz"))
with suppress(NewsmillError):
    Archive("s3://bucket/archive").read_page("20260101T000000Z-00000000", 0)
"""


@pytest.mark.parametrize("status", [301, 302, 307])
def test_a_bucket_that_redirects_leads_nowhere(status: int, outside: Site, inside: Site, tmp_path: Path) -> None:
    outside.redirect, outside.status = f"{inside.url}/bucket/a.warc.gz", status
    given = {"AWS_ENDPOINT_URL": outside.url, "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_MAX_ATTEMPTS": "1"}
    subprocess.run([sys.executable, "-c", READ_BUCKET], env=os.environ | given, cwd=tmp_path, check=True)
    assert any("a.warc.gz" in path for path, _ in outside.requests) and any("archive" in path for path, _ in outside.requests)
    assert inside.requests == []


@pytest.mark.parametrize("reference", ["{url}/secret@0", "s3://bucket/a@0", "file:///etc/passwd@0", "../../etc/passwd@0", "file-0@0"])
def test_a_reference_of_a_document_or_job_is_no_url(reference: str, newsmill: Newsmill, inside: Site) -> None:
    newsmill("submit", "https://paper.example/a")
    segment, _, offset = reference.format(url=inside.url).partition("@")
    with open_context(settings.load()) as store, pytest.raises(ArchiveDamaged, match="is not a segment id"):
        store.archive.read_page(segment, int(offset))
    assert inside.requests == []
